//! A site that fails costs one request, and nobody else notices.

use crate::requests::text;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::{get, request, serve};

tests!(
    a_trap_costs_one_request,
    an_error_is_answered_with_500,
    an_endless_loop_costs_one_request,
    unbounded_memory_costs_one_request,
    a_response_that_does_not_begin_is_given_up,
    a_slow_upload_is_not_the_sites_fault,
    an_upload_that_stalls_ends_its_response,
    a_response_that_breaks_off_does_not_look_whole,
    a_client_that_leaves_ends_its_request,
    too_many_requests_are_refused,
    requests_wait_for_memory,
);

const LIMITS: [&str; 4] = ["--call-timeout", "300ms", "--max-memory-bytes", "33554432"];

/// While somebody gets events and others send messages, asks for something that fails.
fn fail(server: &Server, path: &str, status: &str) {
    let (mut events, mut old) = (server.connect(), server.open76());
    events.send(&get("/events"));
    events.read_until(b"data: 1\n\n");
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(&get(path));
        old.echo("meanwhile");
        let (head, body) = text(&mut client);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}{body}");
        // A fresh instance, on the same connection.
        client.send(&get("/count"));
        assert!(text(&mut client).0.starts_with("HTTP/1.1 200 "));
    }
    events.read_until(b"data: 100\n\n");
    old.echo("afterwards");
}

fn logged(server: &Server, client: &str, why: &str) {
    server.wait_for_logs(&["WARN", client, "site: ", why], 3);
}

fn a_trap_costs_one_request(site: &str) {
    let server = serve(site, &LIMITS);
    fail(&server, "/trap", "500");
    logged(&server, "peer=127.0.0.1", "unreachable");
    server.wait_for_log(&["site: ", "as told"]);
}

fn an_error_is_answered_with_500(site: &str) {
    let server = serve(site, &LIMITS);
    fail(&server, "/error", "500");
    logged(&server, "peer=127.0.0.1", "as told");
}

fn an_endless_loop_costs_one_request(site: &str) {
    let server = serve(site, &LIMITS);
    fail(&server, "/spin", "504");
    logged(&server, "peer=127.0.0.1", "computed for longer than 300ms");
}

fn unbounded_memory_costs_one_request(site: &str) {
    let server = serve(site, &LIMITS);
    fail(&server, "/grow", "500");
    logged(&server, "peer=127.0.0.1", "more than 33554432 bytes of memory");
}

fn a_response_that_does_not_begin_is_given_up(site: &str) {
    let server = serve(site, &["--http-timeout", "200ms"]);
    fail(&server, "/wait", "504");
    logged(&server, "peer=127.0.0.1", "does not answer in time");
}

fn a_slow_upload_is_not_the_sites_fault(site: &str) {
    let server = serve(site, &["--http-timeout", "200ms"]);
    let mut client = server.connect();
    client.send(&request("POST", "/wait", "Content-Length: 5\r\n"));
    let (head, _) = text(&mut client);
    // It has not asked for the body.
    assert!(head.starts_with("HTTP/1.1 504 ") || head.starts_with("HTTP/1.1 408 "), "{head}");
}

fn an_upload_that_stalls_ends_its_response(site: &str) {
    let server = serve(site, &["--http-timeout", "200ms", "--http-max-requests", "1"]);
    let mut client = server.connect();
    client.send(&request("POST", "/echo", "Transfer-Encoding: chunked\r\n"));
    client.send(b"3\r\none\r\n");
    client.read_until(b"\r\n\r\n");
    assert_eq!(client.read_chunk().unwrap(), b"one");
    let rest = client.read_until_gone();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a response that was cut looks whole");
    // Somebody else has its place.
    let mut other = server.connect();
    loop {
        other.send(&get("/count"));
        let (head, _) = text(&mut other);
        if head.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

fn a_response_that_breaks_off_does_not_look_whole(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&get("/cut"));
    let answer = client.read_until_gone();
    let text = String::from_utf8_lossy(&answer);
    // Nothing of it may have been sent before.
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    server.wait_for_log(&["WARN", "peer=127.0.0.1", "site: breaks off its response"]);
}

fn a_client_that_leaves_ends_its_request(site: &str) {
    let server = serve(site, &["--metrics", "0"]);
    let admin = crate::support::admin::Admin::of(&server);
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(&get("/wait")));
    crate::support::admin::until(&admin, |metrics| metrics["legacy_websocket_site_requests"] == 10.0);
    drop(clients);
    crate::support::admin::until(&admin, |metrics| {
        metrics["legacy_websocket_site_requests"] == 0.0
            && metrics["legacy_websocket_site_memory_bytes"] == 0.0
    });
}

fn too_many_requests_are_refused(site: &str) {
    let server = serve(site, &["--http-max-requests", "2"]);
    let begin = |server: &Server| -> Client {
        let mut client = server.connect();
        client.send(&get("/events"));
        client
    };
    let mut two = [begin(&server), begin(&server)];
    two.iter_mut().for_each(|client| drop(client.read_until(b"data: 1\n\n")));
    let mut third = server.connect();
    third.send(&get("/count"));
    assert!(text(&mut third).0.starts_with("HTTP/1.1 503 "));
    server.open76().echo("not held up");
    drop(two);
    loop {
        third.send(&get("/count"));
        let (head, _) = text(&mut third);
        if head.starts_with("HTTP/1.1 200 ") {
            break;
        }
    }
}

fn requests_wait_for_memory(site: &str) {
    // For one or two instances.
    let server = serve(site, &["--http-max-memory-bytes", "4194304"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(&get("/after/x")));
    for client in &mut clients {
        assert_eq!(text(client).1, "before");
    }
}
