//! SIGTERM and SIGINT.

use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{CLOSING, head75};

on_both_engines!(
    a_signal_closes_clients_cleanly,
    an_unresponsive_client_does_not_delay_shutdown,
    an_unfinished_request_is_refused_at_shutdown,
    an_idle_server_stops,
    health_checks_fail_during_shutdown,
    sighup_does_not_stop_the_server,
);

fn a_signal_closes_clients_cleanly(engine: &str) {
    for name in ["TERM", "INT"] {
        let server = Server::start(&["--engine", engine]);
        let (mut client75, mut client76, mut silent) = (server.open75(), server.open76(), server.connect());
        client75.echo("in");
        server.signal(name);
        client75.expect_end();
        silent.expect_end();
        client76.expect(CLOSING);
        client76.send(CLOSING);
        client76.expect_end();
        drop((client75, client76, silent));
        let (status, log) = server.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("connections=3") && log.contains("connected=2"), "{log}");
    }
}

fn an_unresponsive_client_does_not_delay_shutdown(engine: &str) {
    let options = ["--engine", engine, "--close-timeout", "300ms", "--drain-timeout", "1h", "--debug"];
    let server = Server::start(&options);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    server.signal("TERM");
    client75.expect_end();
    client76.expect(CLOSING);
    client76.expect_end();
    server.wait_for_log(&["closed", &client76.address().to_string(), "close-timeout"]);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
}

fn an_unfinished_request_is_refused_at_shutdown(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.connect();
    // The answer to the complete request shows that the partial one has been read.
    let whole = b"HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\n";
    client.send(&[whole, &head75("")[..40]].concat());
    client.read_until(b"\r\n\r\n");
    server.signal("TERM");
    client.refused(b"", "503");
    drop(client);
    assert!(server.wait().0.success());
}

fn health_checks_fail_during_shutdown(engine: &str) {
    const ASK: &[u8] = b"GET /healthz HTTP/1.0\r\n\r\n";
    let options =
        ["--engine", engine, "--health-path", "/healthz", "--close-timeout", "1h", "--drain-timeout", "1h"];
    let server = Server::start(&options);
    let mut client = server.open76();
    let mut check = server.connect();
    check.send(ASK);
    assert!(check.read_to_end().starts_with(b"HTTP/1.1 200 "));
    server.signal("TERM");
    client.expect(CLOSING);
    server.connect().refused(ASK, "503");
    server.connect().refused(&head75(""), "503");
    client.send(CLOSING);
    client.expect_end();
    drop((client, check));
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("connections=2"), "{log}");
}

fn an_idle_server_stops(engine: &str) {
    let stopped = Server::start(&["--engine", engine]).stop();
    assert!(stopped.contains("connections=0"), "{stopped}");
}

fn sighup_does_not_stop_the_server(engine: &str) {
    let server = Server::start(&["--engine", engine]);
    let mut client = server.open76();
    server.signal("HUP");
    server.wait_for_log(&["SIGHUP", "no certificate"]);
    client.echo("still here");
}
