//! Metrics, health and the status page.

use std::io::Write;

use test_components::FAULTY_LIBRARY;

use crate::support::admin::{start, until};
use crate::support::on_both_engines;
use crate::support::{frame, head75};

on_both_engines!(
    connections_and_messages_are_counted,
    connections_are_listed_with_their_details,
    each_worker_is_counted,
    health_and_readiness_are_separate,
    unknown_pages_are_refused,
    a_foreign_host_name_is_refused,
    peers_that_never_read_exhaust_no_descriptors,
);

fn connections_and_messages_are_counted(engine: &str) {
    let (server, admin) =
        start(engine, &["--origin", "http://example.com", "--max-connections-per-peer", "5"]);
    let (mut client75, mut client76, mut leaves) = (server.open75(), server.open76(), server.open76());
    for _ in 0..3 {
        client75.echo("three");
    }
    client76.send(&frame("at once").repeat(7));
    client76.expect(&frame("at once").repeat(7));
    leaves.close76();
    drop(leaves);
    let stranger =
        String::from_utf8(head75("")).unwrap().replace("http://example.com\r\n\r\n", "http://a\r\n\r\n");
    server.connect().refused(stranger.as_bytes(), "403");
    let silent = server.connect();
    let metrics = until(&admin, |metrics| {
        metrics["legacy_websocket_connections{protocol=\"none\",state=\"opening\"}"] == 1.0
    });
    let value = |name: &str| metrics.get(&format!("legacy_websocket_{name}")).copied();
    for (name, expected) in [
        (r#"connections{protocol="draft75",state="connected"}"#, 1.0),
        (r#"connections{protocol="draft76",state="connected"}"#, 1.0),
        ("connections_accepted_total", 5.0),
        ("connections_limit", 16384.0),
        (r#"handshakes_total{outcome="connected",protocol="draft75",status="101"}"#, 1.0),
        (r#"handshakes_total{outcome="connected",protocol="draft76",status="101"}"#, 2.0),
        (r#"handshakes_total{outcome="rejected",protocol="",status="403"}"#, 1.0),
        (r#"closed_total{cause="by-peer"}"#, 1.0),
        (r#"closed_total{cause="refused"}"#, 1.0),
        (r#"messages_total{direction="received"}"#, 10.0),
        (r#"messages_total{direction="sent"}"#, 10.0),
        ("queue_bytes", 0.0),
        ("queue_bytes_limit", 268_435_456.0),
        ("buffered_bytes", 0.0),
        ("traps_total", 0.0),
        ("application_traps_total", 0.0),
        ("restarts_total", 0.0),
    ] {
        assert_eq!(value(name), Some(expected), "{name} in {metrics:#?}");
    }
    // The echoed messages, plus the handshakes.
    assert!(value(r#"bytes_total{direction="sent"}"#) > Some((3 * 7 + 7 * 9) as f64));
    let turns = value("turn_seconds_count").unwrap();
    assert!(turns > 10.0 && value(r#"turn_seconds_bucket{le="+Inf"}"#) == Some(turns));
    assert!(value("turn_seconds_sum") > Some(0.0));
    drop(silent);
}

/// Counters never decrease, although a fresh instance starts at 0.
#[test]
fn a_lost_instance_is_counted() {
    let (server, admin) = start("component", &["--component", wasm!(FAULTY_LIBRARY)]);
    let mut client = server.open76();
    client.echo("before");
    assert_eq!(admin.metrics()[r#"legacy_websocket_messages_total{direction="sent"}"#], 1.0);
    client.send(&frame("fault:trap"));
    client.read_until_gone();
    server.wait_for_log(&["a fresh instance serves on"]);
    let mut client = server.open75();
    client.echo("after");
    let metrics = admin.metrics();
    for (name, expected) in [
        ("traps_total", 1.0),
        ("restarts_total", 1.0),
        (r#"closed_total{cause="engine-lost"}"#, 1.0),
        (r#"messages_total{direction="sent"}"#, 2.0),
        (r#"connections{protocol="draft75",state="connected"}"#, 1.0),
        (r#"connections{protocol="draft76",state="connected"}"#, 0.0),
    ] {
        assert_eq!(
            metrics.get(&format!("legacy_websocket_{name}")),
            Some(&expected),
            "{name} in {metrics:#?}"
        );
    }
}

fn each_worker_is_counted(engine: &str) {
    let (server, admin) = start(engine, &["--workers", "3", "--worker-fill", "0"]);
    let mut clients: Vec<_> = (0..6).map(|_| server.open75()).collect();
    clients.iter_mut().for_each(|client| client.echo("in"));
    let metrics = admin.metrics();
    for (name, expected) in [
        (r#"worker_connections{worker="0"}"#, 2.0),
        (r#"worker_connections{worker="1"}"#, 2.0),
        (r#"worker_connections{worker="2"}"#, 2.0),
        (r#"connections{protocol="draft75",state="connected"}"#, 6.0),
        (r#"messages_total{direction="sent"}"#, 6.0),
        ("connections_accepted_total", 6.0),
    ] {
        assert_eq!(metrics.get(&format!("legacy_websocket_{name}")), Some(&expected), "{name}");
    }
    let json: serde_json::Value = serde_json::from_str(&admin.get("/status.json")).unwrap();
    assert_eq!(json["workers"], serde_json::json!([2, 2, 2]));
    assert_eq!(json["rows"].as_array().unwrap().len(), 6);
}

fn connections_are_listed_with_their_details(engine: &str) {
    let (server, admin) = start(engine, &["--workers", "1"]);
    let (client75, client76) = (server.open75(), server.open76());
    let json: serde_json::Value = serde_json::from_str(&admin.get("/status.json")).unwrap();
    let rows = json["rows"].as_array().unwrap();
    // Newest first.
    for (row, (client, protocol)) in rows.iter().zip([(&client76, "draft76"), (&client75, "draft75")]) {
        assert_eq!(row["peer"], client.address().to_string());
        assert_eq!(row["protocol"], protocol);
        assert_eq!(row["state"], "connected");
        assert_eq!(row["origin"], "http://example.com");
        assert_eq!(row["queue_bytes"], 0);
        assert!(row["age"].as_f64().unwrap() < 1000.0);
    }
    assert_eq!((rows.len(), &json["open"], &json["unready"]), (2, &2.into(), &serde_json::Value::Null));
}

fn health_and_readiness_are_separate(engine: &str) {
    let (server, admin) =
        start(engine, &["--max-connections", "1", "--close-timeout", "1h", "--drain-timeout", "1h"]);
    assert_eq!((admin.get("/healthz"), admin.get("/readyz")), ("ok\n".into(), "ready\n".into()));
    let mut client = server.open76();
    let (head, why) = admin.ask("GET", "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 ") && why == "full\n", "{head}\n{why}");
    server.signal("TERM");
    client.expect(crate::support::CLOSING);
    // Not ready for as long as the server drains.
    let (head, why) = admin.ask("GET", "/readyz");
    assert!(head.starts_with("HTTP/1.1 503 ") && why == "stopping\n", "{head}\n{why}");
    assert_eq!(admin.get("/healthz"), "ok\n");
    drop(client);
    assert!(server.wait().0.success());
}

fn unknown_pages_are_refused(engine: &str) {
    let (_server, admin) = start(engine, &[]);
    let page = admin.get("/");
    assert!(page.starts_with("<!doctype html>"), "{page}");
    // The page loads nothing from elsewhere.
    for part in ["src=", "//cdn", "@import", "url("] {
        assert!(!page.contains(part), "{part}");
    }
    let (head, _) = admin.ask("GET", "/");
    assert!(head.to_lowercase().contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(admin.ask("GET", "/nothing").0.starts_with("HTTP/1.1 404 "));
    assert!(admin.ask("POST", "/metrics").0.starts_with("HTTP/1.1 405 "));
    let mut client = admin.connect();
    client.send(b"\0no request\xff\r\n\r\n");
    assert!(client.read_until(b"\r\n").starts_with(b"HTTP/1.1 400 "));
}

/// Guards against DNS rebinding: a foreign name that resolves to this machine.
fn a_foreign_host_name_is_refused(engine: &str) {
    let (_server, admin) = start(engine, &["--metrics-host", "metrics.example.com"]);
    for path in ["/", "/metrics", "/status.json", "/readyz"] {
        let (head, body) = admin.ask_host("evil.example.com:9180", "GET", path);
        assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("--metrics-host"), "{head}{body}");
    }
    for host in ["localhost", "127.0.0.1:80", "[::1]", "metrics.example.com:9180"] {
        assert_eq!(admin.ask_host(host, "GET", "/healthz").1, "ok\n");
    }
}

fn peers_that_never_read_exhaust_no_descriptors(engine: &str) {
    let (server, admin) = start(engine, &[]);
    let before = server.descriptors();
    let request = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(1000);
    let peers: Vec<_> = (0..200).map(|_| admin.connect().into_stream()).collect();
    for mut peer in &peers {
        peer.set_nonblocking(true).unwrap();
        // As much as the kernel buffers.
        let _ = peer.write(&request);
    }
    assert_eq!(admin.get("/healthz"), "ok\n");
    let now = server.descriptors();
    // 64 connections, and what the process opens otherwise.
    assert!(now <= before + 70, "{now} descriptors, {before} before");
    server.open76().echo("in");
    drop(peers);
}
