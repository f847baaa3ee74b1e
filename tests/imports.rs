//! Imports: no cycles between files, and an engine that depends on no sockets, clocks or WASI.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn imports_are_acyclic() {
    let sources = [
        ("host/src", 60),
        ("component/engine/src", 30),
        ("component/shell/src", 14),
        ("component/server/src", 24),
    ];
    for (source, at_least) in sources {
        let imports = imports(&root().join(source));
        assert!(imports.len() >= at_least, "{source}: {} files", imports.len());
        let cycles: Vec<_> = imports.keys().filter(|file| reaches(&imports, file, file)).collect();
        assert!(cycles.is_empty(), "{source}: files in import cycles: {cycles:#?}");
    }
}

#[test]
fn engine_and_shell_core_depend_on_nothing_that_does_io() {
    for (folder, expected) in [
        ("engine", &["base64", "md-5", "memchr", "sha1", "simdutf8", "thiserror"][..]),
        ("shell", &["legacy-websocket"]),
    ] {
        let folder = root().join("component").join(folder);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let (_, dependencies) = manifest.split_once("[dependencies]\n").unwrap_or_default();
        let names: Vec<_> = dependencies
            .lines()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('.').map(|(name, _)| name))
            .collect();
        assert_eq!(names, expected);
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap();
        assert!(library.contains("no_std"), "{}", folder.display());
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

type Imports = BTreeMap<String, BTreeSet<String>>;

/// For each file, by the path of its module, the modules that its `use` lines name.
fn imports(folder: &Path) -> Imports {
    let mut texts = BTreeMap::new();
    read_modules(folder, "", &mut texts);
    let resolve = |path: &str| {
        let mut path = path;
        while !texts.contains_key(path) {
            path = path.rsplit_once("::")?.0;
        }
        Some(path.to_owned())
    };
    let of = |module: &String, text: &String| {
        uses(text)
            .iter()
            .filter_map(|path| absolute(module, path))
            .flat_map(aliased)
            .filter_map(|path| resolve(&path))
            .filter(|to| to != module)
            .collect()
    };
    texts.iter().map(|(module, text)| (module.clone(), of(module, text))).collect()
}

fn read_modules(folder: &Path, prefix: &str, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.is_dir() {
            read_modules(&path, &format!("{prefix}{name}::"), texts);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["lib", "main"].contains(&name)
        {
            let text = fs::read_to_string(&path).unwrap();
            // Tests may import more.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            texts.insert(format!("{prefix}{name}"), text.to_owned());
        }
    }
}

/// The paths of `use` items, one for each name in braces.
fn uses(text: &str) -> Vec<String> {
    let starts = text.match_indices("use ").filter(|(at, _)| {
        let line = text[..*at].rsplit('\n').next().unwrap_or_default();
        ["", "pub ", "pub(crate) ", "pub(super) "].contains(&line.trim_start())
    });
    let mut paths = Vec::new();
    for (at, _) in starts {
        let item = text[at + 4..].split(';').next().unwrap_or_default();
        expand("", &item.split_whitespace().collect::<String>(), &mut paths);
    }
    paths
}

fn expand(prefix: &str, item: &str, paths: &mut Vec<String>) {
    let Some((before, inside)) = item.split_once('{') else {
        return paths.push(format!("{prefix}{item}"));
    };
    let (mut depth, mut start) = (0, 0);
    let inside = &inside[..inside.rfind('}').unwrap_or(inside.len())];
    for (at, character) in inside.char_indices().chain([(inside.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(&format!("{prefix}{before}"), &inside[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// The path from the crate's root; None for other crates.
fn absolute(module: &str, path: &str) -> Option<String> {
    let (first, rest) = path.split_once("::")?;
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    match first {
        "crate" => Some(rest.to_owned()),
        "self" => Some(format!("{module}::{rest}")),
        "super" => Some(if parent.is_empty() { rest.to_owned() } else { format!("{parent}::{rest}") }),
        _ => None,
    }
}

/// The server component has two modules of which each build has one, by the name of `system`.
fn aliased(path: String) -> Vec<String> {
    match path.strip_prefix("system::") {
        Some(rest) => ["wasi_0_2", "wasi_0_3"].map(|module| format!("{module}::{rest}")).into(),
        None => vec![path],
    }
}

/// Whether imports lead from one file to another.
fn reaches(imports: &Imports, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&String> = imports[from].iter().collect();
    while let Some(module) = next.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            next.extend(&imports[module]);
        }
    }
    false
}

#[test]
fn an_import_cycle_is_detected() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("imports");
    fs::create_dir_all(folder.join("b")).unwrap();
    fs::write(folder.join("a.rs"), "use crate::{x, b::{c::C, other}};\n").unwrap();
    fs::write(folder.join("b.rs"), "").unwrap();
    fs::write(folder.join("b/c.rs"), "use std::io;\nuse super::super::y;\npub(crate) use crate::a::A;\n")
        .unwrap();
    let imports = imports(&folder);
    assert!(reaches(&imports, "a", "a") && reaches(&imports, "b::c", "b::c") && !reaches(&imports, "b", "b"));
}
