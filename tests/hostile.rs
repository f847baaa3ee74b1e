//! Hostile peers stay within their limits and do not disturb other clients.

mod support;

use support::client::Client;
use support::server::Server;
use support::{frame, on_both_engines};

const MIB: u64 = 1 << 20;

/// Allowance on top of a limit for the allocator, socket buffers and a read buffer.
const SLACK: u64 = 32 * MIB;

/// A server with an innocent client, connected before the hostile peers.
struct Scene {
    server: Server,
    innocent: Client,
    before: u64,
}

impl Scene {
    fn new(engine: &str, options: &[&str]) -> Self {
        // Limits how long a peer may keep writing after it is closed.
        let server = Server::start(&[&["--engine", engine, "--close-timeout", "300ms"], options].concat());
        let innocent = server.open76();
        let before = server.resident_bytes();
        let mut scene = Self { server, innocent, before };
        scene.check_innocent();
        scene
    }

    #[track_caller]
    fn check_innocent(&mut self) {
        self.innocent.echo("h\u{e9} \u{20ac} \u{1f600}");
    }

    /// Asserts that memory has grown by no more than `limit` and [`SLACK`].
    #[track_caller]
    fn holds_at_most(&self, limit: u64) {
        let grown = self.server.resident_bytes().saturating_sub(self.before);
        assert!(grown < limit + SLACK, "{} MiB more than before", grown / MIB);
    }

    /// Checks that old and new clients are served, stops the server and returns the summary line of the log.
    #[track_caller]
    fn finish(mut self) -> String {
        self.check_innocent();
        self.server.open75().echo("new");
        self.server.open76().echo("new");
        self.innocent.close76();
        drop(self.innocent);
        let stopped = self.server.stop();
        assert!(stopped.contains("traps=0"), "{stopped}");
        stopped
    }
}

on_both_engines!(
    an_endless_head_is_refused,
    ten_thousand_fields_are_refused,
    a_length_of_four_gigabytes_closes,
    an_endless_length_closes,
    a_trickled_head_times_out,
    a_trickled_message_is_limited,
    an_unfinished_message_is_closed_as_idle,
    an_endless_message_closes,
    a_peer_that_does_not_read_is_closed,
    total_unfinished_messages_are_limited,
    handshakes_of_maximum_length_fit_in_memory,
);

fn an_endless_head_is_refused(engine: &str) {
    let mut scene = Scene::new(engine, &[]);
    let mut peer = scene.server.connect();
    peer.send(b"GET / HTTP/1.1\r\nX: ");
    peer.send(&[b'a'; 16_384]);
    assert!(peer.read_until(b"\r\n").starts_with(b"HTTP/1.1 431 "));
    scene.check_innocent();
    // The server discards the rest until the close timeout.
    assert!(peer.flood(&[b'a'; 65_536], usize::MAX));
    scene.holds_at_most(0);
    scene.finish();
}

fn ten_thousand_fields_are_refused(engine: &str) {
    let mut scene = Scene::new(engine, &["--max-head-bytes", "1048576"]);
    let fields = "a: b\r\n".repeat(10_000);
    let mut peer = scene.server.connect();
    let answer = peer.refused(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), "431");
    assert!(answer.contains("fields"), "{answer}");
    scene.check_innocent();
    scene.holds_at_most(MIB);
    scene.server.wait_for_log(&["rejected", &peer.address().to_string(), "431"]);
    scene.finish();
}

fn a_length_of_four_gigabytes_closes(engine: &str) {
    for (options, reason) in [(&[][..], "0xff"), (&["--skip-reserved-frames"], "message-limit")] {
        let mut scene = Scene::new(engine, options);
        for mut peer in [scene.server.open75(), scene.server.open76()] {
            peer.send(b"\xff\x8f\xff\xff\xff\x7f");
            peer.expect_end();
            scene.check_innocent();
            scene.server.wait_for_log(&["closed", &peer.address().to_string(), reason]);
        }
        scene.holds_at_most(0);
        scene.finish();
    }
}

fn an_endless_length_closes(engine: &str) {
    for (options, reason) in [(&[][..], "0x80"), (&["--skip-reserved-frames"], "does not end")] {
        let mut scene = Scene::new(engine, options);
        for mut peer in [scene.server.open75(), scene.server.open76()] {
            assert!(peer.flood(&[0x80; 65_536], usize::MAX));
            scene.check_innocent();
            scene.server.wait_for_log(&["closed", &peer.address().to_string(), reason]);
        }
        scene.holds_at_most(0);
        scene.finish();
    }
}

fn a_trickled_head_times_out(engine: &str) {
    let mut scene = Scene::new(engine, &["--handshake-timeout", "1s"]);
    let mut peer = scene.server.connect();
    peer.send(b"GET / HTTP/1.1\r\nX: ");
    // Each byte arrives well within the timeout but does not extend it.
    peer.wait_for_answer(|peer| peer.send(b"a"));
    assert!(peer.read_to_end().starts_with(b"HTTP/1.1 408 "));
    scene.check_innocent();
    scene.server.wait_for_log(&["closed", &peer.address().to_string(), "handshake-timeout"]);
    scene.finish();
}

fn a_trickled_message_is_limited(engine: &str) {
    let mut scene = Scene::new(engine, &["--max-message-bytes", "20"]);
    let mut peer = scene.server.open76();
    peer.send(b"\0");
    for _ in 0..20 {
        peer.send(b"a");
        scene.check_innocent();
    }
    peer.send(b"\xff");
    peer.expect(&frame(&"a".repeat(20)));
    peer.send(b"\0");
    for _ in 0..21 {
        peer.send(b"a");
        scene.check_innocent();
    }
    peer.expect_end();
    scene.server.wait_for_log(&["closed", &peer.address().to_string(), "message-limit"]);
    scene.finish();
}

fn an_unfinished_message_is_closed_as_idle(engine: &str) {
    let mut scene = Scene::new(engine, &["--idle-timeout", "2s", "--debug"]);
    let mut peer = scene.server.open75();
    peer.send(b"\0half of it");
    // The innocent client is not idle meanwhile.
    peer.wait_for_answer(|_| scene.check_innocent());
    peer.expect_end();
    scene.server.wait_for_log(&["closed", &peer.address().to_string(), "idle-timeout"]);
    scene.finish();
}

fn an_endless_message_closes(engine: &str) {
    let mut scene = Scene::new(engine, &[]);
    for mut peer in [scene.server.open75(), scene.server.open76()] {
        peer.send(b"\0");
        assert!(peer.flood(&[b'a'; 65_536], usize::MAX));
        scene.check_innocent();
        scene.server.wait_for_log(&["closed", &peer.address().to_string(), "message-limit"]);
    }
    scene.holds_at_most(2 * MIB);
    scene.finish();
}

fn a_peer_that_does_not_read_is_closed(engine: &str) {
    let options = ["--max-queue-bytes", "65536", "--write-timeout", "1s"];
    let mut scene = Scene::new(engine, &options);
    let mut peer = scene.server.open76();
    let message = frame(&"a".repeat(1000));
    assert!(peer.flood(&message, usize::MAX));
    scene.check_innocent();
    scene.server.wait_for_log(&["closed", &peer.address().to_string(), "slow-reader"]);
    scene.holds_at_most(65_536);
    let stopped = scene.finish();
    assert!(stopped.contains("slow_readers=1"), "{stopped}");
}

fn total_unfinished_messages_are_limited(engine: &str) {
    const HOGS: usize = 64;
    const HELD: usize = 900_000;
    const LIMIT: usize = 8 << 20;
    let limit = LIMIT.to_string();
    let mut scene = Scene::new(engine, &["--max-buffered-bytes", &limit, "--workers", "1", "--debug"]);
    let mut small = scene.server.open75();
    small.send(b"\0half ");
    let part = [b"\0", &[b'a'; HELD][..]].concat();
    let hogs: Vec<_> = (0..HOGS)
        .map(|_| {
            let mut hog = scene.server.open76();
            // The connection may be closed while writing.
            hog.flood(&part, part.len());
            scene.check_innocent();
            hog
        })
        .collect();
    let survivors = LIMIT / HELD;
    scene.server.wait_for_logs(&["closed", "buffer-limit"], HOGS - survivors);
    scene.holds_at_most(LIMIT as u64);
    small.send(b"and half\xff");
    small.expect(&frame("half and half"));
    drop(hogs);
    scene.finish();
}

fn handshakes_of_maximum_length_fit_in_memory(engine: &str) {
    const PEERS: usize = 700;
    // All heads plus a third; if the server held more than that, the instance would be lost.
    let memory = (PEERS * 16_384 * 4 / 3 + 8 * MIB as usize).to_string();
    let mut scene = Scene::new(engine, &["--max-memory-bytes", &memory]);
    let mut head = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\
        WebSocket-Protocol: "
        .to_vec();
    head.resize(16_384 - 4, 0xff);
    head.extend(b"\r\n\r\n");
    let peers: Vec<_> = (0..PEERS)
        .map(|_| {
            let mut peer = scene.server.connect();
            peer.send(&head);
            peer.read_until(b"\r\n\r\n");
            peer
        })
        .collect();
    scene.check_innocent();
    drop(peers);
    scene.finish();
}
