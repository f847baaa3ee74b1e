//! The server keeps serving when standard error or standard output is full, closed or unread.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use test_components::FAULTY_APPLICATION;

use crate::support::admin::Admin;
use crate::support::client::Client;
use crate::support::head75;
use crate::support::server::{Server, program};
use crate::support::tls::Certificate;

/// The server's address, distinct from the 127.0.0.1 of the metrics.
const LISTEN: &str = "127.0.0.2:0";

#[test]
fn a_full_disk_affects_only_the_log() {
    serves_without_its_log(full());
}

#[test]
fn a_closed_pipe_affects_only_the_log() {
    serves_without_its_log(closed());
}

#[test]
fn an_unread_pipe_affects_only_the_log() {
    let (unread, _reader) = unread();
    serves_without_its_log(unread);
}

#[test]
fn a_blocked_standard_output_does_not_delay_startup() {
    let (unread, _reader) = unread();
    for stdout in [full(), closed(), unread] {
        let mut command = program();
        command.args(["serve", "--engine", "native", "--listen", LISTEN]).stdout(stdout);
        let server = Server::spawn(command, 0);
        let address = server.listening(1)[0];
        Client::open75(address).echo("in");
        server.signal("TERM");
        let (status, log) = server.wait();
        assert!(status.success() && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn lost_log_lines_are_reported_once_there_is_room() {
    let (unread, mut reader) = unread();
    let server = start(unread);
    let (address, admin) = addresses(&server);
    lose_lines(address, &admin);
    let copied = std::thread::spawn(move || {
        let mut log = Vec::new();
        // A panic would reset the connection.
        let _ = io::copy(&mut reader, &mut log);
        String::from_utf8_lossy(&log).into_owned()
    });
    server.signal("TERM");
    assert!(server.wait_in_time().success());
    let log = copied.join().unwrap();
    assert!(log.contains("WARN lines of the log were lost lines="), "{}", &log[log.len() - 2000..]);
}

#[test]
fn silent_health_checks_are_counted_and_not_logged() {
    let certificate = Certificate::new("health-checks");
    for options in [&[][..], &["--proxy-protocol"]] {
        let mut command = program();
        command
            .args(["serve", "--engine", "native", "--workers", "1", "--listen", LISTEN, "--metrics", "0"])
            .args(certificate.options())
            .args(options);
        let server = Server::spawn(command, 2);
        let line = server.wait_for_log(&["status on http://"]);
        let admin = Admin(line.split("http://").nth(1).unwrap().trim_end_matches('/').into());
        for address in server.addresses() {
            for _ in 0..3 {
                drop(Client::connect(*address));
            }
        }
        while admin.metrics()["legacy_websocket_probes_total"] < 6.0 {}
        let metrics = admin.metrics();
        assert!(!metrics.keys().any(|name| name.contains("refused_total{")), "{metrics:?}");
        server.signal("TERM");
        let (status, log) = server.wait();
        assert!(status.success() && !log.contains("WARN"), "{log}");
    }
}

#[test]
fn application_output_does_not_flood_the_log() {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--workers", "1"]);
    let mut client = server.open76();
    client.send_text("fault:print");
    while !server.log().contains(" unlogged=") {
        client.send_text("fault:print");
        client.send_text("e:done");
        client.expect_text("e:done");
    }
    // Of a thousand lines, the first hundred are logged, then one with the number of suppressed lines.
    let line = server.wait_for_log(&["INFO application: line ", " unlogged="]);
    let unlogged: u32 = line.rsplit('=').next().unwrap().parse().unwrap();
    assert!(unlogged >= 900, "{line}");
}

#[test]
fn repeated_application_traps_do_not_flood_the_log() {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--workers", "1"]);
    let left_out = |line: &str| line.contains("the application was lost") && line.contains(" unlogged=");
    while !server.log().lines().any(left_out) {
        let mut client = server.open75();
        client.send_text("fault:panic");
        client.expect_end();
    }
}

/// While the log is blocked, clients are served and refused, lost lines are counted, and SIGTERM still works.
fn serves_without_its_log(stderr: Stdio) {
    let server = start(stderr);
    let (address, admin) = addresses(&server);
    let mut before = Client::open76(address);
    lose_lines(address, &admin);
    before.echo("still there");
    Client::open75(address).echo("and others");
    server.signal("TERM");
    assert!(server.wait_in_time().success());
}

/// With `--debug`, because debug lines are not rate-limited.
fn start(stderr: Stdio) -> Server {
    let mut command = program();
    command
        .args(["serve", "--engine", "native", "--debug", "--workers", "1", "--drain-timeout", "0s"])
        .args(["--listen", LISTEN, "--metrics", "0"])
        .stderr(stderr);
    Server::spawn(command, 1)
}

/// The addresses of the server and its metrics, which cannot be read from the log here.
fn addresses(server: &Server) -> (SocketAddr, Admin) {
    let admin =
        server.listening(2).into_iter().find(|address| address.ip().to_string() == "127.0.0.1").unwrap();
    (server.address(), Admin(admin.to_string()))
}

/// Fills the log queue, which holds a mebibyte, until lines are lost.
fn lose_lines(address: SocketAddr, admin: &Admin) {
    Client::connect(address).refused(b"NO REQUEST\r\n\r\n", "400");
    while admin.metrics()["legacy_websocket_log_lines_lost_total"] == 0.0 {
        for _ in 0..100 {
            let mut client = Client::connect(address);
            client.send(&head75(""));
            client.read_until(b"\r\n\r\n");
        }
    }
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

fn closed() -> Stdio {
    io::pipe().unwrap().1.into()
}

/// A socket that is full from the start, so that the first line blocks, and its reading end.
fn unread() -> (Stdio, UnixStream) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    while match ours.write(&[b'.'; 4096]) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    } {}
    ours.set_nonblocking(false).unwrap();
    (OwnedFd::from(ours).into(), theirs)
}
