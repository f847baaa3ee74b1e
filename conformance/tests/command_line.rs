//! The program, as its users run it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use conformance::{corpus, expectation};

#[test]
fn one_command_adds_and_blesses_a_case() {
    let folder = scratch("add");
    let (corpus, trace) = (folder.join("corpus"), folder.join("new.trace"));
    copy("closing76/closing-cut", &folder);
    let text = fs::read_to_string(corpus::folder().join("closing76/client-closes.trace")).unwrap();
    fs::write(&trace, format!("{text}# a comment\n")).unwrap();

    let output = run(&["add", path(&trace), "closing76/new", "--corpus", path(&corpus)]);
    let said = success(&output);
    assert!(said.contains("added closing76/new") && said.contains("  1.2 closing"), "{said}");
    assert_eq!(fs::read_to_string(corpus.join("closing76/new.trace")).unwrap(), text);
    let snapshot = fs::read_to_string(expectation::path(&folder.join("snapshots"), "closing76/new")).unwrap();
    assert!(snapshot.ends_with("  1.2 end\n"), "{snapshot}");
    assert!(success(&run(&["bless", "--corpus", path(&corpus)])).contains("Nothing changed."));

    for (name, why) in
        [("closing76/new", "there is such a case already"), ("../new", "a case is called AREA/NAME")]
    {
        let output = run(&["add", path(&trace), name, "--corpus", path(&corpus)]);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
    }
    fs::write(&trace, text.replace("76-answer-closing", "76-nonsense")).unwrap();
    let output = run(&["add", path(&trace), "closing76/other", "--corpus", path(&corpus)]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("76-nonsense is no requirement"), "{output:?}");
    assert!(!corpus.join("closing76/other.trace").exists());
}

#[test]
fn blessing_lists_changes_and_removes_stale_snapshots() {
    let folder = scratch("bless");
    let corpus = folder.join("corpus");
    for case in ["closing76/closing-cut", "frames76/message", "frames76/empty-message"] {
        copy(case, &folder);
    }
    let edited = corpus.join("frames76/message.trace");
    let text = fs::read_to_string(&edited).unwrap();
    fs::write(&edited, text.replace("\\x00", "\\x01")).unwrap();
    fs::remove_file(corpus.join("frames76/empty-message.trace")).unwrap();
    let said = success(&run(&["bless", "--corpus", path(&corpus)]));
    assert!(said.contains("changed frames76/message\n") && said.contains("-  1.2 message"), "{said}");
    assert!(said.contains("removed ") && said.contains("empty-message.snap"), "{said}");
    assert!(!said.contains("closing-cut"), "{said}");
}

#[test]
fn cases_are_shown_and_replayed_by_name() {
    let said = success(&run(&["show", "closing76/closing-cut"]));
    assert!(said.starts_with("FF and 00 come in two reads\n"), "{said}");
    assert!(success(&run(&["replay", "closing76/closing-cut"])).ends_with("  1.2 end\n"));
    let output = run(&["show", "closing76/no-such-case"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("closing76/no-such-case: "), "{output:?}");
}

#[test]
fn an_unreachable_server_is_reported_in_one_line() {
    // Nobody listens any more.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for scheme in ["ws", "wss"] {
        let output = run(&["check", &format!("{scheme}://{address}/"), "--echo"]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!("conformance: cannot connect to {address}: Connection refused");
        assert!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn hostile_traces_are_refused_or_replayed_quickly() {
    let trace = scratch("hostile").join("hostile.trace");
    let head = "legacy-websocket-trace 2\ntitle: t\nprotocol: draft76\nsection: s\nseverity: MAY\n\n";
    fs::write(&trace, format!("{head}C4294967295 \"x\"\n")).unwrap();
    success(&run(&["replay", path(&trace)]));
    fs::write(&trace, format!("{head}{}", "C \"x\"*67108864\n".repeat(61))).unwrap();
    let output = run(&["replay", path(&trace)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("line 8: repeated too often"), "{output:?}");
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).output().expect("the program runs")
}

#[track_caller]
fn success(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A fresh folder.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command-line").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A corpus of its own, containing one case with its snapshot.
fn copy(case: &str, folder: &Path) {
    for (from, name) in [
        (corpus::folder(), format!("corpus/{case}.trace")),
        (expectation::folder(), format!("snapshots/{case}.snap")),
    ] {
        let to = folder.join(&name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from.parent().unwrap().join(&name), to).unwrap();
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of the tests are text")
}
