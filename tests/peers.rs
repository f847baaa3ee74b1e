//! Checks that the peers keep to the contract of `tests/peers/README.md`. Their conformance is not tested here.

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;

use libtest_mimic::Arguments;

use support::client::Client;
use support::peer::{self, Peer};
use support::{ANSWER, KEY3, contains, frame, head75, head76, optional};

/// Name; whether draft 76 echoes; whether draft 75 does.
const PEERS: [(&str, bool, bool); 13] = [
    ("websocket-driver", true, true),
    ("netty", true, true),
    ("perl-protocol-websocket", true, true),
    ("ruby-websocket", true, true),
    ("em-websocket", true, true),
    ("websocket.io", true, true),
    ("eventlet", true, true),
    ("ws", true, false),
    ("tornado", true, false),
    ("txws", true, false),
    ("websocketpp", true, false),
    ("mochiweb", true, false),
    // It answers the challenge wrongly.
    ("lighttpd", false, false),
];

fn main() {
    let all = std::env::var("PEERS").is_ok_and(|peers| peers == "all");
    let some = &PEERS[..if all { PEERS.len() } else { 3 }];
    let trials = some.iter().map(|&(name, has76, has75)| {
        let installed = peer::install(name).map(|()| PathBuf::from(name));
        optional::trial(name, &installed, move |_| check(name, has76, has75))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn check(name: &str, has76: bool, has75: bool) {
    let peer = Peer::start(name).unwrap();
    let mut client = Client::connect(peer.address());
    client.send(&[&head76(""), KEY3].concat());
    let head = client.read_until(b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    if has76 {
        client.expect(ANSWER);
        echo(client);
    }
    if has75 {
        echo(open75(peer.address()));
    }
    assert!(peer.stop().success());
}

fn open75(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(&head75(""));
    let head = client.read_until(b"\r\n\r\n");
    assert!(contains(&head, b" 101 "), "{}", head.escape_ascii());
    client
}

fn echo(mut client: Client) {
    for text in ["hello", "h\u{e9}llo \u{20ac}"] {
        client.send(&frame(text));
        client.expect(&frame(text));
    }
}
