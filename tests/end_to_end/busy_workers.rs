//! A busy worker does not block shutdown, metrics, new clients or other clients.

use std::thread;

use legacy_websocket_artifacts::ECHO;
use test_components::FAULTY_APPLICATION;

use crate::support::admin::{Admin, start, until};
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::{frame, head75, on_both_engines};

on_both_engines!(
    shutdown_ends_after_the_drain_timeout,
    a_second_signal_stops_the_server_at_once,
    metrics_are_served_while_workers_are_busy,
    new_clients_go_to_workers_that_answer,
    messages_to_a_busy_worker_stall_no_other_client,
    a_few_clients_are_served_by_one_worker,
    a_client_accepted_during_an_application_restart_is_served_or_closed,
);

/// Exit status of a shutdown that was cut short.
const CUT_SHORT: Option<i32> = Some(3);

/// Two workers with practically no call timeout.
fn two(engine: &str, more: &[&str]) -> (Server, Admin) {
    let options = ["--workers", "2", "--worker-fill", "0", "--call-timeout", "1h"];
    start(engine, &[&[wasm!(FAULTY_APPLICATION)], &options[..], more].concat())
}

/// Makes this client's worker busy and waits until it is.
fn occupy(client: &mut Client, admin: &Admin) {
    // A worker that has never answered has no age.
    let is_age = |(name, _): &(&String, &f64)| name.contains("_snapshot_age_");
    until(admin, |metrics| metrics.iter().filter(is_age).count() == 2);
    client.send_text("fault:spin");
    wait_until_busy(admin);
}

fn wait_until_busy(admin: &Admin) {
    until(admin, |metrics| metrics.iter().any(|(name, age)| name.contains("_snapshot_age_") && *age > 0.0));
}

fn shutdown_ends_after_the_drain_timeout(engine: &str) {
    let (server, admin) = two(engine, &["--drain-timeout", "300ms"]);
    let mut clients = [server.open76(), server.open76()];
    occupy(&mut clients[0], &admin);
    server.signal("TERM");
    let (status, log) = server.wait();
    assert_eq!(status.code(), CUT_SHORT, "{log}");
    assert!(log.contains("does not end; left behind") && log.contains("unresponsive_workers=1"), "{log}");
}

fn a_second_signal_stops_the_server_at_once(engine: &str) {
    let (server, admin) = two(engine, &["--drain-timeout", "1h"]);
    let mut clients = [server.open76(), server.open76()];
    occupy(&mut clients[0], &admin);
    server.signal("TERM");
    server.wait_for_log(&["stopping"]);
    server.signal("INT");
    let (status, log) = server.wait();
    assert_eq!(status.code(), CUT_SHORT, "{log}");
}

fn metrics_are_served_while_workers_are_busy(engine: &str) {
    let (server, admin) = two(engine, &[]);
    let mut clients = [server.open76(), server.open75()];
    // Metrics show a worker as of its last answer.
    until(&admin, |metrics| metrics["legacy_websocket_connections_accepted_total"] == 2.0);
    occupy(&mut clients[0], &admin);
    assert_eq!((admin.get("/healthz"), admin.get("/readyz")), ("ok\n".into(), "ready\n".into()));
    let metrics = admin.metrics();
    for (name, expected) in [
        (r#"worker_connections{worker="0"}"#, 1.0),
        (r#"worker_connections{worker="1"}"#, 1.0),
        ("connections_accepted_total", 2.0),
    ] {
        assert_eq!(
            metrics.get(&format!("legacy_websocket_{name}")),
            Some(&expected),
            "{name} in {metrics:#?}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&admin.get("/status.json")).unwrap();
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(1), "{json}");
    occupy_the_other(&mut clients[1], &admin);
    let (head, why) = admin.ask("GET", "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 ") && why == "busy\n", "{head}\n{why}");
}

fn occupy_the_other(client: &mut Client, admin: &Admin) {
    client.send_text("fault:spin");
    until(admin, |_| admin.ask("GET", "/readyz").1 == "busy\n");
}

fn new_clients_go_to_workers_that_answer(engine: &str) {
    let (server, admin) = two(engine, &[]);
    let mut clients = [server.open76(), server.open76()];
    occupy(&mut clients[0], &admin);
    for _ in 0..20 {
        let mut client = server.open76();
        client.send_text("e:in");
        client.expect_text("e:in");
    }
}

/// The sender exceeds what may be queued for another worker; clients that do not contribute are still read from.
fn messages_to_a_busy_worker_stall_no_other_client(engine: &str) {
    let (server, admin) = two(engine, &[]);
    let mut clients = [server.open76(), server.open76(), server.open76(), server.open76()];
    let homes = clients.each_mut().map(|client| {
        client.send_text("who:");
        let answer = client.read_until(b"\xff");
        answer[answer.len() - 2] % 2
    });
    let [mut busy, rest @ ..] = clients;
    let mut others =
        rest.into_iter().zip(&homes[1..]).filter(|(_, home)| **home != homes[0]).map(|(client, _)| client);
    let (mut sender, mut bystander) = (others.next().unwrap(), others.next().unwrap());
    occupy(&mut busy, &admin);
    let text = "x".repeat(500_000);
    let said = text.clone();
    let sending = thread::spawn(move || {
        for _ in 0..3 {
            sender.send_text(&format!("others:{said}"));
        }
        sender
    });
    for _ in 0..3 {
        bystander.expect_text(&text);
    }
    for _ in 0..100 {
        bystander.send_text("e:still here");
        bystander.expect_text("e:still here");
    }
    // The sender may still be writing; its result does not matter.
    drop(server);
    let _ = sending.join();
}

/// More workers would only wake each other.
fn a_few_clients_are_served_by_one_worker(engine: &str) {
    let (server, admin) = start(engine, &[wasm!(ECHO), "--workers", "2", "--worker-fill", "5"]);
    let mut clients: Vec<_> = (0..5).map(|_| server.open76()).collect();
    clients[0].send(&frame("in"));
    clients[0].expect(&frame("in"));
    let connections = |worker| format!("legacy_websocket_worker_connections{{worker=\"{worker}\"}}");
    let metrics = admin.metrics();
    assert_eq!([0, 1].map(|worker| metrics[&connections(worker)]), [5.0, 0.0]);
    clients.extend((0..5).map(|_| server.open76()));
    let metrics = admin.metrics();
    assert_eq!([0, 1].map(|worker| metrics[&connections(worker)]), [5.0, 5.0]);
}

/// The client is accepted just as another client's message traps the application.
fn a_client_accepted_during_an_application_restart_is_served_or_closed(engine: &str) {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--engine", engine, "--workers", "1"]);
    for _ in 0..20 {
        server.open76().send_text("fault:panic");
        let mut client = server.connect();
        client.send(&[head75(""), frame("in")].concat());
        client.finish();
        // If the lost instance already knew the client, it is closed at once.
        let answer = client.read_until_gone();
        assert!(answer.is_empty() || answer.ends_with(&frame("1 in")), "{}", answer.escape_ascii());
    }
}
