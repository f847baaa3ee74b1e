//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use legacy_websocket::Protocol;
use legacy_websocket_shell::protocol_name;

use crate::gateway::{GatewayStatus, SiteStatus};
use crate::observe::log;
use crate::observe::metrics::{BOUNDS, Histogram, Snapshot};

const PREFIX: &str = "legacy_websocket_";

pub(super) fn text(now: &Snapshot, gateway: Option<&GatewayStatus>) -> String {
    let mut out = Text(String::with_capacity(8 * 1024));
    let (metrics, counts) = (&now.metrics, &now.counts);

    out.family("connections", "gauge", "Open connections by protocol and state.");
    for (protocol, count) in counts.connected.iter() {
        out.sample("connections", &[("protocol", protocol_name(protocol)), ("state", "connected")], count);
    }
    let opening = counts.open.saturating_sub(counts.connected.total());
    out.sample("connections", &[("protocol", "none"), ("state", "opening")], opening);
    let name = "worker_connections";
    out.family(name, "gauge", "Open connections by worker.");
    for (worker, connections) in now.workers.iter().enumerate() {
        out.sample(name, &[("worker", &worker.to_string())], connections);
    }
    let name = "worker_snapshot_age_seconds";
    out.family(name, "gauge", "How old the figures of a worker are that does not answer; 0 where it does.");
    for (worker, age) in now.ages.iter().enumerate() {
        if let Some(age) = age {
            out.sample(name, &[("worker", &worker.to_string())], age.as_secs_f64());
        }
    }
    out.single("connections_limit", "gauge", "Connections that there may be.", now.max_connections);
    out.single(
        "connections_accepted_total",
        "counter",
        "Connections accepted and let in.",
        now.totals.connections,
    );

    let name = "handshakes_total";
    out.family(name, "counter", "Opening handshakes (and requests refused) by outcome.");
    for protocol in Protocol::ALL.map(protocol_name) {
        let count = metrics.connected.get(protocol).copied().unwrap_or_default();
        out.sample(name, &[("outcome", "connected"), ("protocol", protocol), ("status", "101")], count);
    }
    for (status, count) in &metrics.rejected {
        out.sample(
            name,
            &[("outcome", "rejected"), ("protocol", ""), ("status", &status.to_string())],
            count,
        );
    }
    let late = metrics.closed.get("handshake-timeout").copied().unwrap_or_default();
    out.sample(name, &[("outcome", "timeout"), ("protocol", ""), ("status", "")], late);
    let name = "refused_total";
    out.family(name, "counter", "Peers turned away before anything was read of a request, by reason.");
    for (reason, count) in &metrics.refused {
        out.sample(name, &[("reason", reason)], count);
    }
    out.single(
        "probes_total",
        "counter",
        "Connections that ended without a byte, as those of health checks.",
        metrics.probes,
    );
    let name = "closed_total";
    out.family(name, "counter", "Connections closed by cause.");
    for (cause, count) in &metrics.closed {
        out.sample(name, &[("cause", cause)], count);
    }

    let name = "messages_total";
    out.family(name, "counter", "Messages by direction; those sent count once for each recipient.");
    out.sample(name, &[("direction", "received")], now.messages[0]);
    out.sample(name, &[("direction", "sent")], now.messages[1]);
    let name = "bytes_total";
    out.family(name, "counter", "Bytes by direction, without those of TLS.");
    out.sample(name, &[("direction", "received")], metrics.bytes_received);
    out.sample(name, &[("direction", "sent")], now.bytes_sent);

    out.single("queue_bytes", "gauge", "Memory of output that waits for peers to read.", now.queue_bytes);
    out.single(
        "queue_bytes_limit",
        "gauge",
        "Memory that such output may take up.",
        now.max_total_queue_bytes,
    );
    out.single("buffered_bytes", "gauge", "Held for incomplete heads and messages.", counts.buffered_bytes);
    out.single(
        "slow_readers_total",
        "counter",
        "Peers closed because they did not read.",
        now.totals.slow_readers,
    );
    out.single("traps_total", "counter", "Instances of the engine lost.", now.totals.traps);
    let lost = now.totals.application_traps;
    out.single("application_traps_total", "counter", "Instances of the application lost.", lost);
    out.single(
        "restarts_total",
        "counter",
        "Fresh instances of the engine after one was lost.",
        now.metrics.restarts,
    );
    let lost = log::lost_lines();
    out.single("log_lines_lost_total", "counter", "Lines of the log that could not be written.", lost);
    out.histogram("turn_seconds", "Time of turns: engine, application and writes.", &metrics.turns);
    match gateway {
        Some(GatewayStatus { site: Some(status), .. }) => site(&mut out, status),
        Some(gateway) => backends(&mut out, gateway),
        None => {}
    }
    out.single("uptime_seconds", "gauge", "Since the start.", now.uptime.as_secs_f64());
    out.family("info", "gauge", "What runs.");
    out.sample("info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    out.0
}

fn backends(out: &mut Text, gateway: &GatewayStatus) {
    let backends = &gateway.backends;
    let name = "backend_up";
    out.family(name, "gauge", "Whether a backend could be connected to when that was last tried.");
    for backend in backends {
        out.sample(name, &[("backend", &backend.name)], u8::from(backend.down.is_none()));
    }
    let name = "backend_connections";
    out.family(name, "gauge", "Open connections to a backend.");
    for backend in backends {
        out.sample(name, &[("backend", &backend.name)], backend.open);
    }
    let name = "backend_connects_total";
    out.family(name, "counter", "Connections made to a backend.");
    for backend in backends {
        out.sample(name, &[("backend", &backend.name)], backend.connects);
    }
    let name = "backend_failures_total";
    out.family(name, "counter", "Failures of a backend, by reason.");
    for backend in backends {
        for (reason, count) in &backend.failures {
            out.sample(name, &[("backend", &backend.name), ("reason", reason)], count);
        }
    }
    out.single("gateway_pairs", "gauge", "Old clients that are connected to a backend.", gateway.pairs);
    let help = "Clients of RFC 6455 that are connected to a backend.";
    out.single("gateway_tunnels", "gauge", help, gateway.tunnels);
    let name = "gateway_requests_total";
    out.family(name, "counter", "Requests passed through, by the status of the answer.");
    for (status, count) in &gateway.requests {
        out.sample(name, &[("status", &status.to_string())], count);
    }
    let help = "Binary messages of backends that were dropped, for the client has only text.";
    out.single("gateway_binary_dropped_total", "counter", help, gateway.dropped);
    let name = "gateway_backend_closes_total";
    out.family(name, "counter", "Close frames of old clients' backends, by code; 1005 is one without.");
    for (code, count) in &gateway.closes {
        out.sample(name, &[("code", &code.to_string())], count);
    }
}

fn site(out: &mut Text, status: &SiteStatus) {
    let help = "Requests that the site is answering; more than --http-max-requests are refused.";
    out.single("site_requests", "gauge", help, status.open);
    out.single("site_memory_bytes", "gauge", "Memory of the site's instances.", status.memory_bytes);
    let name = "site_requests_total";
    out.family(name, "counter", "Requests for the site, by the status of the answer.");
    for (status, count) in &status.requests {
        out.sample(name, &[("status", &status.to_string())], count);
    }
    let name = "site_failures_total";
    out.family(name, "counter", "Requests that the site has failed, by reason.");
    for (reason, count) in &status.failures {
        out.sample(name, &[("reason", reason)], count);
    }
}

struct Text(String);

/// Writing to a string cannot fail.
impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
    }

    /// No label value comes from a peer, but a backend's name may be a path.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let _ = writeln!(self.0, "{PREFIX}{name}{{{}}} {value}", labels.join(","));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{PREFIX}{name} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, of: &Histogram) {
        self.family(name, "histogram", help);
        let bounds = BOUNDS.iter().map(ToString::to_string).chain(["+Inf".into()]);
        let mut sum = 0;
        for (bound, count) in bounds.zip(of.buckets) {
            sum += count;
            self.sample(&format!("{name}_bucket"), &[("le", &bound)], sum);
        }
        let _ = writeln!(self.0, "{PREFIX}{name}_sum {}\n{PREFIX}{name}_count {sum}", of.seconds);
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n")
}
