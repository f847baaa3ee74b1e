//! wss, with self-signed certificates.

use std::fs;
use std::process::Command;

use rlimit::Resource;

use crate::file;
use crate::support::client::Client;
use crate::support::server::{Server, run};
use crate::support::tls::Certificate;
use crate::support::{CLOSING, frame, on_both_engines};

const LOCATION: &str = "wss://example.com/demo";

on_both_engines!(
    both_drafts_work_over_tls,
    long_messages_go_both_ways,
    shutdown_sends_close_notify,
    a_plain_client_on_the_tls_port_is_refused,
    a_slow_reader_over_tls_is_closed,
    an_unfinished_tls_handshake_times_out,
    the_tls_version_of_an_old_client_is_logged,
);

fn start(engine: &str, options: &[&str]) -> (Server, Certificate) {
    let name = std::thread::current().name().unwrap_or_default().replace("::", "-");
    let certificate = Certificate::new(&format!("{name}-{engine}"));
    let listen = [&["--engine", engine, "--debug"], &certificate.options()[..], options].concat();
    (Server::start(&listen), certificate)
}

#[track_caller]
fn connect(server: &Server, certificate: &Certificate) -> Client {
    Client::connect_tls(server.addresses()[1], certificate.client()).expect("TLS handshake")
}

fn both_drafts_work_over_tls(engine: &str) {
    let (server, certificate) = start(engine, &["--workers", "3", "--worker-fill", "0"]);
    let (mut client75, mut client76) = (connect(&server, &certificate), connect(&server, &certificate));
    client75.shake_hands75(LOCATION);
    client76.shake_hands76(LOCATION);
    client75.echo("h\u{e9} \u{20ac} \u{1f600}");
    client76.echo("h\u{e9} \u{20ac} \u{1f600}");
    // Most of them are handed over to another worker than the accepting one.
    let mut more: Vec<_> = (0..6).map(|_| connect(&server, &certificate)).collect();
    for client in &mut more {
        client.shake_hands76(LOCATION);
        client.echo("in");
    }
    // The other port stays plain.
    server.open76().echo("plain");
    client76.close76();
    server.wait_for_log(&["closed", &client76.address().to_string(), "by-peer"]);
    // TCP ends without a TLS alert.
    let address = client75.address().to_string();
    drop(client75);
    server.wait_for_log(&["closed", &address, "end-of-stream"]);
}

fn long_messages_go_both_ways(engine: &str) {
    let (server, certificate) = start(engine, &[]);
    let mut client = connect(&server, &certificate);
    client.shake_hands76(LOCATION);
    // Many records, more than the kernel and TLS buffer at once.
    let text = "0123456789abcdef".repeat(60_000);
    for _ in 0..4 {
        client.echo(&text);
    }
    let many = frame("short").repeat(5_000);
    client.send(&many);
    client.expect(&many);
}

fn shutdown_sends_close_notify(engine: &str) {
    let (server, certificate) = start(engine, &[]);
    let mut client = connect(&server, &certificate);
    client.shake_hands76(LOCATION);
    server.signal("TERM");
    client.expect(CLOSING);
    client.send(CLOSING);
    // An error without close_notify.
    client.expect_end();
    drop(client);
    assert!(server.wait().0.success());
}

fn a_plain_client_on_the_tls_port_is_refused(engine: &str) {
    let (server, certificate) = start(engine, &[]);
    let mut innocent = connect(&server, &certificate);
    innocent.shake_hands75(LOCATION);
    let mut client = Client::connect(server.addresses()[1]);
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    // A TLS alert.
    assert_eq!(client.read_until_gone().first(), Some(&21));
    server.wait_for_log(&["TLS handshake failed", &client.address().to_string()]);
    innocent.echo("on");
}

fn a_slow_reader_over_tls_is_closed(engine: &str) {
    let options = ["--max-queue-bytes", "65536", "--write-timeout", "1s", "--close-timeout", "300ms"];
    let (server, certificate) = start(engine, &options);
    let mut innocent = connect(&server, &certificate);
    innocent.shake_hands75(LOCATION);
    let mut client = connect(&server, &certificate);
    client.shake_hands76(LOCATION);
    assert!(client.flood(&frame(&"a".repeat(1000)), usize::MAX));
    innocent.echo("on");
    server.wait_for_log(&["closed", &client.address().to_string(), "slow-reader"]);
}

fn an_unfinished_tls_handshake_times_out(engine: &str) {
    let (server, certificate) = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = Client::connect(server.addresses()[1]);
    client.send(b"\x16\x03\x01");
    client.expect_end();
    server.wait_for_log(&["TLS handshake failed", &client.address().to_string()]);
    connect(&server, &certificate).shake_hands75(LOCATION);
}

fn the_tls_version_of_an_old_client_is_logged(engine: &str) {
    let (server, _) = start(engine, &[]);
    let mut client = Client::connect(server.addresses()[1]);
    // A ClientHello of TLS 1.0: no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    let hello = [b"\x01\x00\x00\x29\x03\x01", &[7; 32][..], b"\x00\x00\x02\x00\x2f\x01\x00"].concat();
    client.send(&[b"\x16\x03\x01\x00\x2d", &hello[..]].concat());
    assert_eq!(client.read_until_gone().first(), Some(&21));
    server.wait_for_log(&[
        "WARN TLS handshake failed: the client offers TLS 1.0 at best",
        "docs/proxies.md",
        &client.address().to_string(),
    ]);
}

#[test]
fn a_new_certificate_is_loaded_when_its_files_change() {
    let (server, old) = start("native", &[]);
    let mut client = connect(&server, &old);
    client.shake_hands75(LOCATION);
    let new = old.renew();
    server.wait_for_log(&["TLS certificate reloaded"]);
    connect(&server, &new).shake_hands75(LOCATION);
    assert!(Client::connect_tls(server.addresses()[1], old.client()).is_err());
    client.echo("open connections stay");
}

#[test]
fn an_unreadable_certificate_is_retried() {
    let (server, old) = start("native", &[]);
    server.limit(Resource::NOFILE, Some(0));
    let new = old.renew();
    server.wait_for_log(&["not reloaded", "Too many open files"]);
    server.limit(Resource::NOFILE, None);
    server.wait_for_log(&["TLS certificate reloaded"]);
    connect(&server, &new).shake_hands75(LOCATION);
    // A FIFO does not block the server.
    fs::remove_file(&new.key).unwrap();
    assert!(Command::new("mkfifo").arg(&new.key).status().unwrap().success());
    server.wait_for_log(&["not reloaded", "not a regular file"]);
    connect(&server, &new).shake_hands75(LOCATION);
    fs::remove_file(&new.key).unwrap();
}

#[test]
fn invalid_pem_is_explained() {
    for (content, reason) in [
        ("-----BEGIN X\n", "a section cannot begin with -----BEGIN X"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n", "there is no line -----END CERTIFICATE-----"),
    ] {
        let path = file("no.pem", content.as_bytes());
        let output = run(&["serve", "--tls-listen", "127.0.0.1:0", "--tls-cert", &path, "--tls-key", &path]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && log.contains(&format!("{path}: {reason}")), "{log}");
    }
}

#[test]
fn a_new_certificate_is_loaded_on_sighup() {
    let (server, old) = start("native", &[]);
    let modified = fs::metadata(&old.certificate).unwrap().modified().unwrap();
    fs::write(&old.certificate, "no certificate").unwrap();
    server.signal("HUP");
    server.wait_for_log(&["not reloaded", old.certificate.to_str().unwrap()]);
    connect(&server, &old).shake_hands75(LOCATION);
    let new = old.renew();
    fs::File::open(&new.certificate).unwrap().set_modified(modified).unwrap();
    server.signal("HUP");
    server.wait_for_log(&["TLS certificate reloaded"]);
    connect(&server, &new).shake_hands75(LOCATION);
}

#[test]
fn tls_alone_opens_no_plain_port() {
    let certificate = Certificate::new("tls-alone");
    let server = Server::start_on(&[], &[&["--engine", "native"], &certificate.options()[..]].concat());
    assert_eq!(server.addresses().len(), 1);
    let mut client = Client::connect_tls(server.address(), certificate.client()).unwrap();
    client.shake_hands75(LOCATION);
}

#[test]
fn unusable_files_are_reported() {
    let (one, other) = (Certificate::new("one"), Certificate::new("other"));
    let [one, key, other] =
        [&one.certificate, &one.key, &other.certificate].map(|path| path.to_str().unwrap());
    let empty = file("empty.pem", b"");
    for (certificate, key, parts) in [
        ("/does/not/exist", key, ["/does/not/exist", "No such file"]),
        (&empty, key, ["empty.pem", "no certificate"]),
        (one, &empty, ["empty.pem", "no private key"]),
        (other, key, ["other.crt and", "one.key: the key does not belong to the certificate"]),
    ] {
        let output = run(&[
            "serve",
            "--engine",
            "native",
            "--tls-listen",
            "127.0.0.1:0",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ]);
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(parts.iter().all(|part| log.contains(part)), "{parts:?}\n{log}");
    }
    let output = run(&["serve", "--tls-listen", "127.0.0.1:0", "--tls-cert", one]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("--tls-key"));
}

/// This is why old clients need a TLS terminator in front.
#[test]
fn tls_1_0_is_refused_with_an_alert() {
    let (server, _) = start("native", &[]);
    let mut client = Client::connect(server.addresses()[1]);
    // TLS_RSA_WITH_AES_128_CBC_SHA, without extensions.
    client
        .send(b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x010123456789abcdef0123456789abcdef\0\0\x02\0\x2f\x01\0");
    let alert = client.read_until_gone();
    // A fatal alert.
    assert_eq!((alert.first(), alert.get(5)), (Some(&21), Some(&2)), "{}", alert.escape_ascii());
    server.wait_for_log(&["TLS handshake failed", &client.address().to_string()]);
}
