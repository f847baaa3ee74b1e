//! Clients of every protocol in one application, on two workers.

use std::array;

use test_components::FAULTY_APPLICATION;

use crate::support::client::Client;
use crate::support::hybi::{BINARY, CLOSE, TEXT, close, masked, unmasked};
use crate::support::server::Server;
use crate::support::{CLOSING, frame, on_both_engines};

on_both_engines!(
    each_client_hears_all_others,
    a_binary_broadcast_leaves_out_draft_75_and_76,
    a_named_client_without_binary_is_reported,
    the_application_chooses_code_and_reason,
    the_application_is_told_the_peers_code_and_reason,
    a_stopping_server_says_so_in_every_protocol,
    a_lost_application_is_an_internal_error,
);

/// What the application sends as a binary message.
const BYTES: &[u8] = &[0, 128, 255];

/// A client of one of the protocols, the oldest first.
struct Member {
    client: Client,
    is_hixie: bool,
}

impl Member {
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let text = if self.is_hixie { frame(text) } else { unmasked(TEXT, text.as_bytes()) };
        self.client.expect(&text);
    }

    fn say(&mut self, text: &str) {
        self.client.send(&if self.is_hixie { frame(text) } else { masked(TEXT, text.as_bytes()) });
    }

    /// Its number, as the application knows it.
    fn id(&mut self) -> u64 {
        self.say("who:");
        let bytes = if self.is_hixie {
            let answer = self.client.read_until(b"\xff");
            answer[1..answer.len() - 1].to_vec()
        } else {
            let length = self.client.read_exact(2)[1];
            self.client.read_exact(length.into())
        };
        String::from_utf8(bytes).unwrap().parse().unwrap()
    }
}

fn start(engine: &str) -> Server {
    let workers = ["--workers", "2", "--worker-fill", "0"];
    Server::start(&[&[wasm!(FAULTY_APPLICATION), "--engine", engine], &workers[..]].concat())
}

/// Draft 75, draft 76, hybi-07, hybi-08, RFC 6455.
fn room(server: &Server) -> [Member; 5] {
    let address = server.address();
    let open = |at| match at {
        0 => Client::open75(address),
        1 => Client::open76(address),
        2 => Client::open_hybi(address, 7),
        3 => Client::open_hybi(address, 8),
        _ => Client::open_hybi(address, 13),
    };
    array::from_fn(|at| Member { client: open(at), is_hixie: at < 2 })
}

/// Each has joined once it has had an answer.
fn wait_for_all(room: &mut [Member]) {
    for member in room {
        member.id();
    }
}

fn each_client_hears_all_others(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    wait_for_all(&mut room);
    for sender in 0..room.len() {
        let text = format!("from {sender}: h\u{e9}llo");
        room[sender].say(&format!("others:{text}"));
        for member in room.iter_mut().enumerate().filter(|(at, _)| *at != sender).map(|(_, member)| member) {
            member.expect(&text);
        }
        room[sender].say("all:to all");
        room.iter_mut().for_each(|member| member.expect("to all"));
    }
}

fn a_binary_broadcast_leaves_out_draft_75_and_76(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    wait_for_all(&mut room);
    room[0].say("binary:");
    for member in &mut room[2..] {
        member.client.expect(&unmasked(BINARY, BYTES));
    }
    // Nothing came before this.
    room[4].say("all:after it");
    room.iter_mut().for_each(|member| member.expect("after it"));
    // What a client sends as binary comes back as binary.
    room[4].client.send(&masked(BINARY, BYTES));
    room[4].client.expect(&unmasked(BINARY, BYTES));
}

fn a_named_client_without_binary_is_reported(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    let ids: Vec<_> = room.iter_mut().map(Member::id).collect();
    for hixie in &ids[..2] {
        room[4].say(&format!("binary:{hixie}"));
        room[4].expect(&format!("CommandKind::SendBinary to {hixie}: Failure::NotText"));
    }
    room[4].say("binary:7001");
    room[4].expect("CommandKind::SendBinary to 7001: Failure::UnknownConnection");
    room[4].say(&format!("binary:{},{}", ids[2], ids[3]));
    for member in &mut room[2..4] {
        member.client.expect(&unmasked(BINARY, BYTES));
    }
}

fn the_application_chooses_code_and_reason(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    let ids: Vec<_> = room.iter_mut().map(Member::id).collect();
    // 1005 must not be sent.
    room[4].say(&format!("code:{},1005", ids[3]));
    room[4].expect(&format!("CommandKind::Close to {}: Failure::Invalid", ids[3]));
    for id in &ids[..4] {
        room[4].say(&format!("code:{id},4001"));
    }
    room[0].client.expect_end();
    room[1].client.expect(CLOSING);
    for member in &mut room[2..4] {
        member.client.expect(&unmasked(CLOSE, &close(4001, "told to")));
        member.client.send(&masked(CLOSE, &close(4001, "")));
        member.client.expect_end();
    }
    // The two that answered did so with a code, which the application was told.
    for _ in 2..4 {
        room[4].expect("closed 4001 ");
    }
    room[4].say(&format!("close:{}", ids[4]));
    room[4].client.expect(&unmasked(CLOSE, &close(1000, "")));
}

fn the_application_is_told_the_peers_code_and_reason(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    wait_for_all(&mut room);
    room[4].client.send(&masked(CLOSE, &close(3000, "h\u{e9}")));
    room[4].client.expect(&unmasked(CLOSE, &close(3000, "")));
    room[4].client.expect_end();
    for member in &mut room[..4] {
        member.expect("closed 3000 h\u{e9}");
    }
}

fn a_stopping_server_says_so_in_every_protocol(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    wait_for_all(&mut room);
    server.signal("TERM");
    room[0].client.expect_end();
    room[1].client.expect(CLOSING);
    room[1].client.send(CLOSING);
    for member in &mut room[2..] {
        member.client.expect(&unmasked(CLOSE, &close(1001, "")));
        member.client.send(&masked(CLOSE, &close(1001, "")));
        member.client.expect_end();
    }
    assert!(server.wait_in_time().success());
}

fn a_lost_application_is_an_internal_error(engine: &str) {
    let server = start(engine);
    let mut room = room(&server);
    let ids: Vec<_> = room.iter_mut().map(Member::id).collect();
    let mut lost = Member { client: Client::open_hybi(server.address(), 13), is_hixie: false };
    let worker = lost.id() % 2;
    lost.say("fault:panic");
    lost.client.expect(&unmasked(CLOSE, &close(1011, "")));
    for ((at, member), id) in room.iter_mut().enumerate().zip(ids) {
        match at {
            _ if id % 2 != worker => {
                member.say("e:still here");
                member.expect("e:still here");
            }
            0 => member.client.expect_end(),
            1 => member.client.expect(CLOSING),
            _ => member.client.expect(&unmasked(CLOSE, &close(1011, ""))),
        }
    }
    // A fresh instance serves.
    drop(Client::open_hybi(server.address(), 13));
}
