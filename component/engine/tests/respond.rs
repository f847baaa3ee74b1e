//! A whole response to an opening handshake, instead of the 101.

mod support;

use legacy_websocket::{Misuse, Options};
use support::{Driver, ID, KEY3, head_hybi, head75, head76};

fn asked(head: &[u8]) -> Driver {
    let mut driver = Driver::new(Options { authorise: true, ..Options::default() });
    driver.receive(head);
    assert!(driver.news()[0].starts_with("handshake"));
    driver
}

#[test]
fn a_handshake_of_any_protocol_is_answered_with_a_response() {
    let fields = [("Location".into(), b"/login".to_vec())];
    for head in [
        head75(""),
        [&head76("")[..], KEY3].concat(),
        head_hybi(7, ""),
        head_hybi(8, ""),
        // Frames ahead of the answer are dropped.
        [&head_hybi(13, "")[..], b"\x81\x80\0\0\0\0"].concat(),
    ] {
        let mut driver = asked(&head);
        driver.server.respond(ID, 302, &fields, b"elsewhere").unwrap();
        driver.drain();
        let response = "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 9\r\nConnection: close\r\n\r\nelsewhere";
        assert_eq!(driver.bytes.escape_ascii().to_string(), response.as_bytes().escape_ascii().to_string());
        assert_eq!(driver.end.as_deref(), Some("Finish"));
        let news = ["rejected 302 answered with 302", "closed Refused"];
        assert_eq!(driver.news()[1..], news);
        assert!(driver.server.rejected_head(ID).is_some() && driver.server.connection(ID).is_none());
    }
}

#[test]
fn a_response_without_a_body_has_none() {
    let mut driver = asked(&head75(""));
    driver.server.respond(ID, 204, &[], b"dropped").unwrap();
    driver.drain();
    assert_eq!(driver.bytes, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

#[test]
fn a_response_that_cannot_be_written_leaves_the_handshake_undecided() {
    let mut driver = asked(&head75(""));
    for (status, field) in [(101, "A"), (199, "A"), (600, "A"), (200, "Connection"), (200, "a b")] {
        let result = driver.server.respond(ID, status, &[(field.into(), b"b".to_vec())], b"");
        assert_eq!(result, Err(Misuse::Invalid), "{status} {field}");
    }
    driver.server.accept(ID, None, &[]).unwrap();
    driver.drain();
    assert_eq!(driver.server.respond(ID, 200, &[], b""), Err(Misuse::WrongState));
    assert!(driver.bytes.starts_with(b"HTTP/1.1 101 "));
}
