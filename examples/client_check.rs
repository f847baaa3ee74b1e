//! A draft 76 client for the tests of the examples that serve.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

/// Starts the example and expects an echo and a closing handshake from it.
pub(crate) fn expect_echo(example: &mut Command) {
    let mut child = example.stdout(Stdio::piped()).spawn().expect("the example starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ws://").unwrap().trim_end_matches('/');
    let mut socket = TcpStream::connect(address).unwrap();
    socket
        .write_all(
            b"GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
              Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n^n:ds[4U\
              \x00h\xc3\xa9\xff\xff\x00",
        )
        .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let answer = answer.escape_ascii().to_string();
    assert!(answer.ends_with("8jKS\\'y:G*Co,Wxa-\\x00h\\xc3\\xa9\\xff\\xff\\x00"), "{answer}");
}
