//! Behaviour common to all example chats, whatever their language and host.

use super::server::Server;
use super::{contains, frame};

/// A conversation between a client of each draft.
#[track_caller]
pub(crate) fn talk(server: &Server) {
    let mut anna = server.open75();
    anna.expect(&frame("* you are guest 1"));
    let mut bob = server.open76();
    bob.expect(&frame("* you are guest 2"));
    anna.expect(&frame("* guest 2 joined"));
    anna.send(&frame("/nick Anna"));
    for client in [&mut anna, &mut bob] {
        client.expect(&frame("* guest 1 is now Anna"));
    }
    bob.send(&[frame("h\u{e9}llo \u{20ac}"), frame("and \u{1f600}")].concat());
    for client in [&mut anna, &mut bob] {
        client.expect(&frame("guest 2: h\u{e9}llo \u{20ac}"));
        client.expect(&frame("guest 2: and \u{1f600}"));
    }
    bob.send(&frame("/nick "));
    bob.expect(&frame("* a name has 1 to 20 characters"));
    bob.close76();
    anna.expect(&frame("* guest 2 left"));
    anna.finish();
    anna.expect_end();
    let mut page = server.connect();
    page.send(b"GET / HTTP/1.0\r\n\r\n");
    let page = page.read_to_end();
    assert!(page.starts_with(b"HTTP/1.1 200 ") && contains(&page, b"chat"), "{}", page.escape_ascii());
}
