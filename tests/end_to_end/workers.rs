//! Several workers, each with its own instance of the application; messages reach the clients of all of them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use legacy_websocket_artifacts::ECHO;
use test_components::{CHAT, FAULTY_APPLICATION, FAULTY_LIBRARY};

use crate::file;
use crate::support::client::Client;
use crate::support::server::{Server, run};
use crate::support::{CLOSING, frame, on_both_engines};

on_both_engines!(
    a_broadcast_reaches_clients_of_all_workers,
    commands_reach_connections_of_other_workers,
    failures_on_other_workers_are_reported,
    messages_of_each_sender_arrive_in_order,
    a_fast_sender_is_slowed_down,
    a_fault_costs_the_clients_of_one_worker,
    a_single_instance_application_gets_one_worker,
    a_new_application_may_require_a_single_instance,
    all_workers_are_stopped,
);

fn start(engine: &str, workers: &str, more: &[&str]) -> Server {
    let options = ["--engine", engine, "--workers", workers, "--worker-fill", "0"];
    Server::start(&[&[wasm!(FAULTY_APPLICATION)], &options[..], more].concat())
}

/// One client on each worker, since a connection goes to the worker with the fewest; drafts 76 and 75 alternate.
fn one_of_each(server: &Server, workers: usize) -> Vec<Client> {
    let mut clients: Vec<_> =
        (0..workers).map(|at| if at % 2 == 0 { server.open76() } else { server.open75() }).collect();
    let homes: BTreeSet<_> = clients.iter_mut().map(|client| id(client) % workers as u64).collect();
    assert_eq!(homes.len(), workers);
    clients
}

fn id(client: &mut Client) -> u64 {
    client.send_text("who:");
    let answer = client.read_until(b"\xff");
    std::str::from_utf8(&answer[1..answer.len() - 1]).unwrap().parse().unwrap()
}

fn a_broadcast_reaches_clients_of_all_workers(engine: &str) {
    let server = start(engine, "3", &[]);
    let mut clients = one_of_each(&server, 3);
    clients[1].send_text("all:to all");
    for client in &mut clients {
        client.expect_text("to all");
    }
    clients[2].send_text("others:to the others");
    clients[0].expect_text("to the others");
    clients[1].expect_text("to the others");
    clients[2].send_text("all:again");
    for client in &mut clients {
        client.expect_text("again");
    }
}

fn commands_reach_connections_of_other_workers(engine: &str) {
    let server = start(engine, "3", &["--close-timeout", "1m"]);
    let mut clients = one_of_each(&server, 3);
    let ids: Vec<_> = clients.iter_mut().map(id).collect();
    clients[0].send_text(&format!("send:{}", ids[1]));
    clients[1].expect_text("sent");
    clients[0].send_text(&format!("send:{},{},{}", ids[2], ids[0], ids[1]));
    for client in &mut clients {
        client.expect_text("sent");
    }
    clients[0].send_text(&format!("close:{}", ids[2]));
    clients[2].expect(CLOSING);
    clients[0].send_text(&format!("reject:{}", ids[1]));
    clients[1].expect_end();
    // Sending to the closing connection fails, and the other is gone.
    clients[0].send_text(&format!("send:{}", ids[2]));
    clients[0].expect_text(&format!("CommandKind::Send to {}: Failure::WrongState", ids[2]));
    clients[0].send_text(&format!("send:{}", ids[1]));
    clients[0].expect_text(&format!("CommandKind::Send to {}: Failure::UnknownConnection", ids[1]));
}

fn failures_on_other_workers_are_reported(engine: &str) {
    let server = start(engine, "3", &[]);
    let mut client = server.open75();
    for id in [7001, 7002, 7003] {
        client.send_text(&format!("send:{id}"));
        client.expect_text(&format!("CommandKind::Send to {id}: Failure::UnknownConnection"));
        client.send_text(&format!("close:{id}"));
        client.expect_text(&format!("CommandKind::Close to {id}: Failure::UnknownConnection"));
    }
    client.send_text("send:0");
    client.expect_text("CommandKind::Send to 0: Failure::UnknownConnection");
}

fn messages_of_each_sender_arrive_in_order(engine: &str) {
    const COUNT: usize = 2000;
    let server = start(engine, "2", &[]);
    let mut clients = one_of_each(&server, 2);
    for round in 0..COUNT / 100 {
        for (sender, client) in clients.iter_mut().enumerate() {
            let messages = (0..100).map(|at| frame(&format!("all:{sender} {}", round * 100 + at)));
            client.send(&messages.collect::<Vec<_>>().concat());
        }
    }
    for client in &mut clients {
        let mut next = [0; 2];
        for _ in 0..2 * COUNT {
            let message = client.read_until(b"\xff");
            let text = std::str::from_utf8(&message[1..message.len() - 1]).unwrap();
            let (sender, number) = text.split_once(' ').unwrap();
            let next = &mut next[sender.parse::<usize>().unwrap()];
            assert_eq!(number.parse::<usize>().unwrap(), *next, "{text}");
            *next += 1;
        }
        assert_eq!(next, [COUNT; 2]);
    }
}

/// While one worker is busy, a client of another sends more than may be queued for it.
fn a_fast_sender_is_slowed_down(engine: &str) {
    const MESSAGES: usize = 320;
    const BYTES: usize = 100_000;
    // A generous bound on what the sockets and both workers may buffer.
    const HELD: usize = 20_000_000;
    let server = start(engine, "2", &["--call-timeout", "10s", "--max-queue-bytes", "67108864"]);
    let mut clients = one_of_each(&server, 2);
    let (mut hearer, mut sender) = (clients.remove(1), clients.remove(0));
    let text = "x".repeat(BYTES);
    let heard = AtomicBool::new(false);
    hearer.send_text("fault:nap");
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut taken = 0;
            for number in 0..MESSAGES {
                sender.send_text(&format!("others:{number} {text}"));
                taken += if heard.load(Ordering::Relaxed) { 0 } else { BYTES };
            }
            taken
        });
        for number in 0..MESSAGES {
            hearer.expect(&frame(&format!("{number} {text}")));
            heard.store(true, Ordering::Relaxed);
        }
        let taken = sending.join().unwrap();
        assert!(taken < HELD, "{taken}");
    });
    assert!(server.stop().contains("slow_readers=0"));
}

fn a_fault_costs_the_clients_of_one_worker(engine: &str) {
    let server = start(engine, "2", &[]);
    let mut clients = one_of_each(&server, 2);
    clients[0].send_text("fault:panic");
    clients[0].expect(CLOSING);
    server.wait_for_log(&["ERROR", "the application was lost", "connections=1"]);
    clients[1].send_text("others:nobody is there");
    clients[1].send_text("still here");
    clients[1].expect_text("3 still here");
    let stopped = server.stop();
    assert!(stopped.contains("application_traps=1"), "{stopped}");
}

fn a_single_instance_application_gets_one_worker(engine: &str) {
    let server = Server::start(&[wasm!(CHAT), "--engine", engine, "--workers", "4"]);
    server.wait_for_log(&["INFO", "one worker, for the application asks for a single instance"]);
    let mut clients: Vec<_> = (0..5).map(|_| server.open75()).collect();
    for (number, client) in (1..).zip(&mut clients) {
        client.expect_text(&format!("* you are guest {number}"));
    }
    clients[4].send_text("/stats");
    clients[4].read_until(b"* 5 here: ");
}

/// A new client gets the current application, on however many workers that runs.
fn a_new_application_may_require_a_single_instance(engine: &str) {
    let path = file(&format!("replaced-{engine}.wasm"), ECHO);
    let server =
        Server::start(&[&path, "--engine", engine, "--watch", "--workers", "3", "--worker-fill", "0"]);
    let mut first: Vec<_> = (0..6).map(|_| server.open75()).collect();
    fs::write(&path, CHAT).unwrap();
    server.wait_for_logs(&["INFO", "a new application serves"], 1);
    let mut chatters: Vec<_> = (0..6).map(|_| server.open75()).collect();
    chatters[5].read_until(b"* you are guest ");
    chatters[5].send_text("/stats");
    chatters[5].read_until(b"* 6 here: ");
    fs::write(&path, ECHO).unwrap();
    server.wait_for_logs(&["INFO", "a new application serves"], 2);
    let mut last: Vec<_> = (0..6).map(|_| server.open76()).collect();
    first.iter_mut().chain(&mut last).for_each(|client| client.echo("still an echo"));
    chatters[0].send_text("still a chat");
    chatters[5].read_until(b": still a chat\xff");
}

fn all_workers_are_stopped(engine: &str) {
    let server = start(engine, "4", &[]);
    let mut clients = one_of_each(&server, 4);
    server.signal("TERM");
    for (at, client) in clients.iter_mut().enumerate() {
        if at % 2 == 0 {
            client.expect(CLOSING);
            client.send(CLOSING);
        }
        client.expect_end();
    }
    let (status, log) = server.wait();
    assert!(status.success() && log.contains("connections=4"), "{log}");
}

#[test]
fn the_number_of_workers_is_validated() {
    for number in ["0", "513", "many"] {
        let output = run(&["serve", "--listen", "127.0.0.1:0", "--workers", number]);
        assert_eq!(output.status.code(), Some(2));
    }
}

/// When one worker loses its engine, the application reports the lost clients to those of the others.
#[test]
fn a_lost_engine_is_reported_to_other_workers() {
    let server = start("component", "2", &["--component", wasm!(FAULTY_LIBRARY)]);
    let mut clients = one_of_each(&server, 2);
    clients[0].send_text("fault:trap");
    clients[0].read_until_gone();
    server.wait_for_log(&["ERROR", "connections=1"]);
    clients[1].expect_text("gone");
    clients[1].send_text("still here");
    clients[1].expect_text("2 still here");
    let stopped = server.stop();
    assert!(stopped.contains(" traps=1 ") && stopped.contains("application_traps=0"), "{stopped}");
}
