//! Limits of number and time.

use crate::support::client::Client;
use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{CLOSING, KEY3, answer75, head75, head76};

on_both_engines!(
    a_connection_too_many_is_served_once_there_is_room,
    an_idle_client_is_closed,
    a_silent_peer_is_closed,
    half_a_head_times_out,
    a_key3_that_never_comes_times_out,
    each_address_is_announced_and_served,
    a_single_place_is_for_whichever_address,
);

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine], options].concat())
}

fn a_connection_too_many_is_served_once_there_is_room(engine: &str) {
    let server = start(engine, &["--debug", "--max-connections", "1"]);
    let mut first = server.open76();
    let mut second = server.connect();
    second.send(&head75(""));
    first.echo("alone");
    first.close76();
    drop(first);
    second.expect(&answer75("ws://example.com/demo", ""));
    second.echo("in");
    // Not merely in the end: not before the first was gone.
    server.wait_for_log(&["connected", &second.address().to_string()]);
    let log = server.log();
    let (closed, opened) = (log.find(" closed "), log.rfind(" connected "));
    assert!(closed.is_some() && closed < opened, "{log}");
}

fn an_idle_client_is_closed(engine: &str) {
    let server = start(engine, &["--debug", "--idle-timeout", "300ms"]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    client75.expect_end();
    client76.expect(CLOSING);
    client76.send(CLOSING);
    client76.expect_end();
    server.wait_for_logs(&["closed", "IdleTimeout"], 2);
}

fn a_silent_peer_is_closed(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.read_to_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "HandshakeTimeout"]);
}

fn half_a_head_times_out(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.refused(b"GET /demo HTTP/1.1\r\nHost: exam", "408");
    server.wait_for_log(&["closed", &client.address().to_string(), "HandshakeTimeout"]);
}

fn a_key3_that_never_comes_times_out(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.send(&[&head76(""), &KEY3[..7]].concat());
    client.read_until(b"\r\n\r\n");
    client.expect_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "HandshakeTimeout"]);
}

fn each_address_is_announced_and_served(engine: &str) {
    let server = Server::start_on(&["127.0.0.1:0", "127.0.0.2:0"], &["--engine", engine]);
    for &address in server.addresses() {
        Client::open76(address).echo("in");
    }
    assert_ne!(server.addresses()[0], server.addresses()[1]);
}

fn a_single_place_is_for_whichever_address(engine: &str) {
    let options = ["--engine", engine, "--max-connections", "1"];
    let server = Server::start_on(&["127.0.0.1:0", "127.0.0.2:0"], &options);
    for &address in server.addresses().iter().rev() {
        let mut client = Client::open76(address);
        client.echo("alone");
        client.close76();
    }
}
