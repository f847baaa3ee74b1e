//! The command `new`: an application to start from.

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Write, stdout};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

/// A file that is written: its path in the application's folder, and its contents.
type Template = (&'static str, &'static str);

/// The page of every application.
const PAGE: &str = include_str!("../../templates/page.html");

const RUST: &[Template] = &[
    (".gitignore", include_str!("../../templates/rust/gitignore")),
    // Under its own name it would keep its folder out of our package.
    ("Cargo.toml", include_str!("../../templates/rust/manifest.toml")),
    ("README.md", include_str!("../../templates/rust/README.md")),
    ("src/lib.rs", include_str!("../../templates/rust/lib.rs")),
    ("src/page.html", PAGE),
];

const JAVASCRIPT: &[Template] = &[
    (".gitignore", include_str!("../../templates/javascript/gitignore")),
    ("README.md", include_str!("../../templates/javascript/README.md")),
    ("app.js", include_str!("../../templates/javascript/app.js")),
    TRACE,
    ("app.test.js", include_str!("../../templates/javascript/app.test.js")),
    ("legacy-websocket.d.ts", include_str!("../../templates/javascript/legacy-websocket.d.ts")),
    ("legacy-websocket.js", include_str!("../../templates/javascript/legacy-websocket.js")),
    ("package.json", include_str!("../../templates/javascript/package.json")),
    ("page.js", include_str!("../../templates/javascript/page.js")),
];

const PYTHON: &[Template] = &[
    (".gitignore", include_str!("../../templates/python/gitignore")),
    ("README.md", include_str!("../../templates/python/README.md")),
    TRACE,
    ("app.py", include_str!("../../templates/python/app.py")),
    ("legacy_websocket.py", include_str!("../../templates/python/legacy_websocket.py")),
    ("page.py", include_str!("../../templates/python/page.py")),
    ("requirements.txt", include_str!("../../templates/python/requirements.txt")),
    ("test_app.py", include_str!("../../templates/python/test_app.py")),
];

/// For languages without tests over the engine: what clients do, and are to hear.
const TRACE: Template = ("app.trace", include_str!("../../templates/app.trace"));

/// The WIT package, for languages whose tools read it.
const WIT: &[Template] = &[
    ("wit/deps/cli.wit", include_str!("../../wit/deps/cli.wit")),
    ("wit/deps/clocks.wit", include_str!("../../wit/deps/clocks.wit")),
    ("wit/deps/io.wit", include_str!("../../wit/deps/io.wit")),
    ("wit/deps/sockets.wit", include_str!("../../wit/deps/sockets.wit")),
    ("wit/handler.wit", include_str!("../../wit/handler.wit")),
    ("wit/legacy-websocket.wit", include_str!("../../wit/legacy-websocket.wit")),
    ("wit/types.wit", include_str!("../../wit/types.wit")),
    ("wit/worlds.wit", include_str!("../../wit/worlds.wit")),
];

/// The crate for applications in Rust.
const CRATE: &str = "legacy-websocket-application";

/// The longest name, in characters, as for crates.
const MAX_NAME: usize = 64;

#[derive(Debug, Args)]
pub(super) struct New {
    /// The application's name, and that of the folder it is written to: ASCII letters, digits, `-` and `_`.
    #[arg(value_parser = name)]
    name: String,

    /// The language to write it in.
    #[arg(long, value_enum, default_value_t)]
    language: Language,

    /// The crate legacy-websocket-application in a checkout (component/application), instead of the registry's. For
    /// Rust.
    #[arg(long, value_name = "FOLDER")]
    crate_path: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Needs Rust 1.95.
    #[default]
    Rust,
    /// Needs Node 20.
    #[value(name = "javascript")]
    JavaScript,
    /// Needs Python 3.10.
    Python,
}

impl New {
    /// Writes the application, and says what to do next.
    pub(super) fn run(&self) -> Result<(), Box<dyn Error>> {
        if self.language == Language::Rust {
            self.must_be_a_crate()?;
        }
        let folder = Path::new(&self.name);
        let location = self.crate_location()?;
        must_be_free(folder)?;
        for (path, template) in self.language.templates() {
            let path = folder.join(path);
            let text = self.fill(template, &location);
            let parent = path.parent().unwrap_or(folder);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
            written.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let needs = match self.language {
            Language::Rust => " (building needs, once: rustup target add wasm32-wasip2)",
            Language::JavaScript | Language::Python => "",
        };
        writeln!(stdout(), "{}/ has an application, its tests and a README. Next{needs}:", self.name)?;
        self.next().iter().try_for_each(|command| writeln!(stdout(), "{command}"))?;
        Ok(())
    }

    /// To test, to build, to serve.
    fn next(&self) -> [String; 3] {
        let name = &self.name;
        match self.language {
            Language::Rust => {
                let built = format!("target/wasm32-wasip2/release/{}.wasm", self.module());
                [
                    format!("cd {name} && cargo test"),
                    "cargo build --release --target wasm32-wasip2".into(),
                    format!("legacy-websocket serve {built}"),
                ]
            }
            Language::JavaScript => [
                format!("cd {name} && npm install && npm test"),
                "npm run build".into(),
                format!("legacy-websocket serve {name}.wasm"),
            ],
            Language::Python => {
                let tools =
                    "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt";
                [
                    format!("cd {name} && {tools} && python3 -m unittest"),
                    format!("componentize-py -d wit -w application componentize app -o {name}.wasm"),
                    format!("legacy-websocket serve {name}.wasm"),
                ]
            }
        }
    }

    fn fill(&self, template: &str, location: &str) -> String {
        // The page first: it has the name.
        template
            .replace("{{page}}", PAGE)
            .replace("{{name}}", &self.name)
            .replace("{{module}}", &self.module())
            .replace("{{crate}}", location)
    }

    /// Its module has to have a name of its own.
    fn must_be_a_crate(&self) -> Result<(), String> {
        let module = self.module();
        if RESERVED.contains(&module.as_str()) || module == CRATE.replace('-', "_") {
            return Err(format!("{} means something else in Rust: choose another name", self.name));
        }
        Ok(())
    }

    /// The name of the module that cargo builds.
    fn module(&self) -> String {
        self.name.replace('-', "_")
    }

    /// Where cargo finds the crate.
    fn crate_location(&self) -> Result<String, Box<dyn Error>> {
        let version = concat!(
            "version = \"",
            env!("CARGO_PKG_VERSION_MAJOR"),
            ".",
            env!("CARGO_PKG_VERSION_MINOR"),
            "\""
        );
        let Some(path) = &self.crate_path else { return Ok(version.into()) };
        if self.language != Language::Rust {
            return Err("--crate-path is for --language rust: other applications need no crate".into());
        }
        let manifest = path.join("Cargo.toml");
        let text =
            fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
        if !text.lines().any(|line| line.trim() == format!("name = \"{CRATE}\"")) {
            return Err(format!("{} is not that of the crate {CRATE}", manifest.display()).into());
        }
        // As seen from the new folder. A string of JSON is one of TOML.
        let path = if path.is_absolute() { path.clone() } else { Path::new("..").join(path) };
        let path = path.to_str().ok_or("--crate-path: Cargo.toml can only name paths in UTF-8")?;
        Ok(format!("{version}, path = {}", serde_json::to_string(path)?))
    }
}

impl Language {
    fn templates(self) -> impl Iterator<Item = Template> {
        let (own, wit): (_, &[Template]) = match self {
            Self::Rust => (RUST, &[]),
            Self::JavaScript => (JAVASCRIPT, WIT),
            Self::Python => (PYTHON, WIT),
        };
        own.iter().chain(wit).copied()
    }
}

/// Nothing of anybody's is overwritten.
fn must_be_free(folder: &Path) -> Result<(), String> {
    let why = match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(()),
        Ok(false) => "exists and is not empty".into(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => "exists and is no folder".into(),
        Err(error) => error.to_string(),
    };
    Err(format!("{} {why}; nothing was written", folder.display()))
}

/// A name that can be that of a folder, a crate and a package.
fn name(text: &str) -> Result<String, String> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    if text.contains(['/', '\\']) {
        return Err("it is a path: the application is written to a folder of this name, here".into());
    }
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err("it must begin with an ASCII letter".into());
    }
    if let Some(other) = text.chars().find(|character| !is_allowed(*character)) {
        return Err(format!("it has {other:?}, and may have ASCII letters, digits, - and _"));
    }
    if text.len() > MAX_NAME {
        return Err(format!("it has more than {MAX_NAME} characters"));
    }
    Ok(text.into())
}

/// Keywords of Rust, those of the future among them, and the names of its own crates.
const RESERVED: &[&str] = &[
    "Self",
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["chat", "Chat_2", "my-chat", "r"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", "2chat", "-chat", "../chat", "my chat", "caf\u{e9}", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keywords_of_rust_are_names_elsewhere() {
        for word in ["fn", "proc-macro", CRATE, "legacy_websocket_application"] {
            let new = |language| New { name: word.into(), language, crate_path: None };
            assert!(new(Language::Rust).must_be_a_crate().is_err(), "{word}");
            assert_eq!(name(word).as_deref(), Ok(word));
        }
    }

    #[test]
    fn everything_is_filled_in() {
        for language in [Language::Rust, Language::JavaScript, Language::Python] {
            let new = New { name: "my-chat".into(), language, crate_path: None };
            for (path, template) in language.templates() {
                let text = new.fill(template, &new.crate_location().unwrap());
                assert!(!text.contains("{{"), "{path}");
            }
        }
        // It is written into literals of JavaScript and Python.
        assert!(!PAGE.contains(['`', '\\']) && !PAGE.contains("${") && !PAGE.contains("\"\"\""));
    }
}
