//! What is told at start.

use std::fs;

use crate::requests::text;
use crate::support::head75;
use crate::support::server::{Server, run};
use crate::{get, path};

tests!(
    wrong_components_are_named,
    options_need_a_site,
    a_file_may_name_the_site,
    a_changed_site_serves,
    a_handshake_after_the_application_has_changed_is_refused,
);

fn wrong_components_are_named(site: &str) {
    let text = path("text.wasm");
    fs::write(&text, "text").unwrap();
    for (arguments, said) in [
        (&["serve", "--http", &text][..], "text.wasm is not a web application: it is not WebAssembly"),
        (&["serve", "--http", &path("echo.wasm")], "it is an application, and comes without --http"),
        (&["serve", site], "it serves HTTP"),
        (&["serve", "--http", "missing.wasm"], "missing.wasm: No such file"),
    ] {
        let output = run(arguments);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && log.contains(said), "{arguments:?}: {log}");
    }
}

fn options_need_a_site(_: &str) {
    for option in ["--watch", "--env=A=B", "--http-timeout=1s", "--http-max-requests=1"] {
        let output = run(&["serve", option]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && log.contains("required"), "{option}: {log}");
    }
}

fn a_file_may_name_the_site(site: &str) {
    let file = path("site.toml");
    fs::write(&file, format!("http = \"{site}\"\nhttp-timeout = \"5s\"\nenv = [\"A=b\"]\n")).unwrap();
    let output = run(&["check-config", &file]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let server = Server::start(&["--config", &file]);
    let mut client = server.connect();
    client.send(&get("/env/A"));
    assert_eq!(text(&mut client).1, "b");
    fs::write(&file, format!("http = \"{}\"\n", path("echo.wasm"))).unwrap();
    let output = run(&["check-config", &file]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && log.contains("it is an application"), "{log}");
}

fn a_changed_site_serves(site: &str) {
    let (changing, new) = (path("changing.wasm"), path("changing.new"));
    fs::copy(site, &changing).unwrap();
    let server = Server::start(&["--http", &changing, "--watch"]);
    let mut client = server.connect();
    client.send(&get("/bytes/3"));
    assert_eq!(client.read_response().1.len(), 3);
    // That for WASI 0.2 describes a request in the same words, with another type.
    fs::copy(path("p2.wasm"), &new).unwrap();
    fs::rename(&new, &changing).unwrap();
    server.wait_for_log(&["changing.wasm has changed"]);
    let answered = |client: &mut crate::support::client::Client| {
        client.send(&get("/bytes/3"));
        client.read_response().1.len()
    };
    assert_eq!(answered(&mut client), 3);
    fs::write(&changing, "text").unwrap();
    server.wait_for_log(&["serves on: ", "it is not WebAssembly"]);
    assert_eq!(answered(&mut client), 3);
}

fn a_handshake_after_the_application_has_changed_is_refused(site: &str) {
    let (changing, new) = (path("changing-application.wasm"), path("changing-application.new"));
    fs::copy(path("chat.wasm"), &changing).unwrap();
    let server = Server::start(&[&changing, "--http", site, "--watch", "--workers", "1"]);
    let mut client = server.connect();
    client.send(&get("/bytes/3"));
    client.read_response();
    fs::copy(path("echo.wasm"), &new).unwrap();
    fs::rename(&new, &changing).unwrap();
    server.wait_for_log(&["INFO", "a new application serves"]);
    server.open76().echo("new");
    // The site is another one's.
    client.send(&get("/bytes/3"));
    assert_eq!(client.read_response().1.len(), 3);
    client.refused(&head75(""), "503");
}
