//! What holds for requests to an application holds for those to a site.

use crate::requests::text;
use crate::support::{answer75, head75};
use crate::{get, request, serve};

tests!(
    a_foreign_host_does_not_reach_the_site,
    a_foreign_origin_does_not_reach_the_site,
    two_origins_do_not_reach_the_site,
    forwarded_fields_count_where_they_are_trusted,
    the_standard_field_counts_as_for_sockets,
    the_public_url_is_the_sites,
    a_proxy_header_names_the_peer,
    health_checks_do_not_reach_the_site,
    the_environment_is_what_is_given,
    output_is_logged,
    requests_are_counted,
);

fn a_foreign_host_does_not_reach_the_site(site: &str) {
    let server = serve(site, &["--host", "example.com"]);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(&get("/"));
        assert!(text(&mut client).0.starts_with("HTTP/1.1 200 "));
        client.send(b"GET / HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-Host: example.com\r\n\r\n");
        assert!(text(&mut client).0.starts_with("HTTP/1.1 403 "));
    }
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(text(&mut client).0.starts_with("HTTP/1.1 400 "));
}

fn a_foreign_origin_does_not_reach_the_site(site: &str) {
    let server = serve(site, &["--origin", "http://example.com"]);
    let mut client = server.connect();
    for (method, origin, status) in [
        ("POST", "http://example.com", "200"),
        ("POST", "http://example.org", "403"),
        // A foreign page may show it, but nothing comes of it.
        ("GET", "http://example.org", "200"),
    ] {
        client.send(&request(method, "/", &format!("Origin: {origin}\r\n")));
        let (head, _) = text(&mut client);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {origin}: {head}");
    }
}

fn two_origins_do_not_reach_the_site(site: &str) {
    let server = serve(site, &["--origin", "http://example.com"]);
    let mut client = server.connect();
    let both = "Origin: http://example.com\r\nOrigin: http://example.org\r\n";
    for (method, status) in [("POST", "400"), ("GET", "200")] {
        client.send(&request(method, "/", both));
        let (head, _) = text(&mut client);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {head}");
    }
}

fn the_standard_field_counts_as_for_sockets(site: &str) {
    let server = serve(site, &["--trust-forwarded", "--host", "outer:8443"]);
    for fields in [
        "Forwarded: for=192.0.2.1;host=\"outer:8443\";proto=https\r\n",
        "X-Forwarded-Host: outer\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Proto: HTTPS\r\n",
        "X-Forwarded-Host: outer\r\nX-Forwarded-Port: 8443\r\nX-Forwarded-Ssl: on\r\n",
    ] {
        let mut client = server.connect();
        client.send(&request("GET", "/", fields));
        let (head, body) = text(&mut client);
        let body = body.to_lowercase();
        assert!(head.starts_with("HTTP/1.1 200 ") && body.contains(" outer:8443\n"), "{fields}{head}{body}");
        // Of WASI 0.2, wasmtime's scheme is always http.
        assert!(body.contains("scheme::https) ") || site.contains("p2.wasm"), "{body}");
        client.send(&head75(fields));
        client.expect(&answer75("wss://outer:8443/demo", ""));
    }
    let mut client = server.connect();
    client.send(&request("GET", "/", "Forwarded: host=outer:8443, host=inner\r\n"));
    assert!(text(&mut client).0.starts_with("HTTP/1.1 403 "));
    client.send(&request("GET", "/", "Forwarded: host=\"\r\n"));
    assert!(text(&mut client).0.starts_with("HTTP/1.1 400 "));
}

fn forwarded_fields_count_where_they_are_trusted(site: &str) {
    let fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: outer:8443\r\nX-Forwarded-For: 192.0.2.1\r\n";
    let first = |options: &[&str]| {
        let server = serve(site, options);
        let mut client = server.connect();
        client.send(&request("GET", "/", fields));
        text(&mut client).1.to_lowercase()
    };
    let trusted = first(&["--trust-forwarded"]);
    // Of WASI 0.2, wasmtime's scheme is always http.
    assert!(trusted.contains("scheme::https) outer:8443\n") || site.contains("p2.wasm"), "{trusted}");
    assert!(
        trusted.contains(" outer:8443\n") && trusted.contains("\nx-forwarded-proto: https\n"),
        "{trusted}"
    );
    assert!(trusted.contains("\nx-forwarded-for: 192.0.2.1, 127.0.0.1\n"), "{trusted}");
    let untrusted = first(&[]);
    assert!(untrusted.starts_with("method::get some(scheme::http) example.com\n"), "{untrusted}");
    assert!(untrusted.contains("\nx-forwarded-for: 127.0.0.1\n"), "{untrusted}");
}

fn the_public_url_is_the_sites(site: &str) {
    let server = serve(site, &["--public-url", "wss://public.example"]);
    let mut client = server.connect();
    client.send(&get("/"));
    let (_, body) = text(&mut client);
    assert!(body.contains(" public.example\n") && body.contains("\nx-forwarded-proto: https\n"), "{body}");
    // Also before a proxy, whose inner port is nobody's business.
    let server = serve(site, &["--public-url", "wss://public.example", "--trust-forwarded"]);
    let mut client = server.connect();
    client.send(&request("GET", "/", "X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\n"));
    let (_, body) = text(&mut client);
    let body = body.to_lowercase();
    assert!(body.contains(" public.example\n") && body.contains("\nx-forwarded-proto: https\n"), "{body}");
}

fn a_proxy_header_names_the_peer(site: &str) {
    let server = serve(site, &["--proxy-protocol"]);
    let mut client = server.connect();
    client.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 1024 80\r\n");
    client.send(&get("/"));
    let (_, body) = text(&mut client);
    assert!(body.contains("x-forwarded-for: 192.0.2.7\n"), "{body}");
}

fn health_checks_do_not_reach_the_site(site: &str) {
    let server = serve(site, &["--health-path", "/health"]);
    let mut client = server.connect();
    client.send(&get("/health"));
    assert_eq!(text(&mut client).1, "ok\n");
    // Nor on a connection that is kept.
    client.send(&get("/bytes/1"));
    client.read_response();
    client.send(&get("/health"));
    assert_eq!(text(&mut client).1, "ok\n");
}

fn the_environment_is_what_is_given(site: &str) {
    let server = serve(site, &["--env", "MINE=a b"]);
    let mut client = server.connect();
    for (path, said) in [("/env/MINE", "a b"), ("/env/PATH", "unset")] {
        client.send(&get(path));
        assert_eq!(text(&mut client).1, said);
    }
}

fn output_is_logged(site: &str) {
    let server = serve(site, &[]);
    let mut client = server.connect();
    client.send(&get("/print/hello-there"));
    assert_eq!(text(&mut client).1, "printed");
    server.wait_for_log(&["INFO", "site: hello-there"]);
}

fn requests_are_counted(site: &str) {
    let server = serve(site, &["--metrics", "0"]);
    let admin = crate::support::admin::Admin::of(&server);
    let mut client = server.connect();
    for path in ["/", "/nowhere", "/trap"] {
        client.send(&get(path));
        client.read_response();
    }
    let metrics = admin.metrics();
    for (status, count) in [(200, 1.0), (404, 1.0), (500, 1.0)] {
        assert_eq!(metrics[&format!("legacy_websocket_site_requests_total{{status=\"{status}\"}}")], count);
    }
    assert_eq!(metrics["legacy_websocket_site_failures_total{reason=\"error\"}"], 1.0);
    assert!(admin.get("/status.json").contains("\"site\":{\"open\":0,"), "{}", admin.get("/status.json"));
}
