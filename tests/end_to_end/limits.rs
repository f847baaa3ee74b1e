//! Connection limits and timeouts.

use crate::support::client::Client;
use crate::support::on_both_engines;
use crate::support::server::Server;
use crate::support::{CLOSING, KEY3, head75, head76};

on_both_engines!(
    a_connection_over_the_limit_is_refused_until_there_is_room,
    an_idle_client_is_closed,
    a_silent_peer_is_closed,
    an_unfinished_head_times_out,
    a_missing_key3_times_out,
    each_address_is_announced_and_served,
    the_connection_limit_covers_all_addresses,
    a_flood_of_refusals_does_not_flood_the_log,
);

fn start(engine: &str, options: &[&str]) -> Server {
    Server::start(&[&["--engine", engine], options].concat())
}

fn a_connection_over_the_limit_is_refused_until_there_is_room(engine: &str) {
    let server = start(engine, &["--debug", "--max-connections", "1", "--workers", "1"]);
    let mut first = server.open76();
    let mut second = server.connect();
    let answer = second.refused(&head75(""), "503");
    assert!(answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    server.wait_for_log(&["refused", &second.address().to_string(), "503"]);
    first.echo("alone");
    first.close76();
    drop(first);
    // The server must see the connection close first.
    let mut third = (0..1000)
        .find_map(|_| {
            let mut client = server.connect();
            client.send(&head75(""));
            client.read_until(b"\r\n").starts_with(b"HTTP/1.1 101 ").then_some(client)
        })
        .expect("room");
    third.read_until(b"\r\n\r\n");
    third.echo("in");
}

fn an_idle_client_is_closed(engine: &str) {
    let server = start(engine, &["--debug", "--idle-timeout", "300ms"]);
    let (mut client75, mut client76) = (server.open75(), server.open76());
    client75.expect_end();
    // The server ends TCP as well; where a host has no half-close, an answer could meet a reset.
    client76.expect(CLOSING);
    client76.expect_end();
    server.wait_for_logs(&["closed", "idle-timeout"], 2);
}

fn a_silent_peer_is_closed(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.read_to_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "handshake-timeout"]);
}

fn an_unfinished_head_times_out(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.refused(b"GET /demo HTTP/1.1\r\nHost: exam", "408");
    server.wait_for_log(&["closed", &client.address().to_string(), "handshake-timeout"]);
}

fn a_missing_key3_times_out(engine: &str) {
    let server = start(engine, &["--handshake-timeout", "300ms"]);
    let mut client = server.connect();
    client.send(&[&head76(""), &KEY3[..7]].concat());
    client.read_until(b"\r\n\r\n");
    client.expect_end();
    server.wait_for_log(&["closed", &client.address().to_string(), "handshake-timeout"]);
}

fn each_address_is_announced_and_served(engine: &str) {
    let server = Server::start_on(&["127.0.0.1:0", "127.0.0.2:0"], &["--engine", engine]);
    for &address in server.addresses() {
        Client::open76(address).echo("in");
    }
    assert_ne!(server.addresses()[0], server.addresses()[1]);
}

fn the_connection_limit_covers_all_addresses(engine: &str) {
    let options = ["--engine", engine, "--max-connections", "1", "--workers", "1"];
    let server = Server::start_on(&["127.0.0.1:0", "127.0.0.2:0"], &options);
    let mut client = Client::open76(server.addresses()[1]);
    client.echo("alone");
    for &address in server.addresses() {
        Client::connect(address).refused(&head75(""), "503");
    }
    client.echo("still");
}

fn a_flood_of_refusals_does_not_flood_the_log(engine: &str) {
    const FLOOD: usize = 300;
    let server = start(engine, &[]);
    let refuse = || drop(server.connect().refused(b"NO REQUEST\r\n\r\n", "400"));
    (0..FLOOD).for_each(|_| refuse());
    // The next logged refusal carries the number of suppressed lines.
    let unlogged = loop {
        refuse();
        if let Some(line) = server.log().lines().find(|line| line.contains(" unlogged=")) {
            let count = line.rsplit('=').next().and_then(|count| count.parse::<usize>().ok());
            break count.expect("a number at the line's end");
        }
    };
    let logged = server.log().matches(" rejected ").count();
    assert!((1..FLOOD).contains(&logged) && unlogged > 0, "{logged} lines logged, {unlogged} suppressed");
}
