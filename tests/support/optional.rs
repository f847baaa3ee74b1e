//! Trials that need a third-party program, which may be unavailable.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

/// Runs `tests/NAME`, which installs a program into a build folder and prints its path.
pub(crate) fn install(name: &str) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = script(name).arg(folder).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().into())
    } else {
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("{name}: {}", why.trim().lines().last().unwrap_or("failed")))
    }
}

/// `tests/NAME`, which downloads nothing unless asked to, since that takes several hundred megabytes.
pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(name));
    if ["CI", "TEST_INSTALL"].into_iter().all(|name| std::env::var_os(name).is_none()) {
        command.env("NO_INSTALL", "1");
    }
    command
}

/// A trial that is ignored if the program is unavailable, or fails if `CI` is set.
pub(crate) fn trial(
    name: &str,
    program: &Result<PathBuf, String>,
    run: impl FnOnce(&Path) + Send + 'static,
) -> Trial {
    match program.clone() {
        Ok(program) => Trial::test(name, move || {
            run(&program);
            Ok(())
        }),
        Err(why) if std::env::var_os("CI").is_some() => Trial::test(name, move || Err(why.into())),
        Err(why) => {
            eprintln!("{name} is ignored: {why}");
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    }
}
