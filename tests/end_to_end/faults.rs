//! Component faults, triggered in a build of the component that fails on command.

use test_components::FAULTY_LIBRARY;

use crate::support::frame;
use crate::support::server::Server;

const LIMITS: [&str; 6] = ["--workers", "1", "--call-timeout", "200ms", "--max-memory-bytes", "67108864"];

/// The fault is logged and closes all current connections; the next client is served.
fn costs_one_instance(fault: &str) {
    let server = Server::start(&[&["--component", wasm!(FAULTY_LIBRARY)][..], &LIMITS].concat());
    let (mut culprit, mut bystander) = (server.open76(), server.open75());
    culprit.echo("in");
    bystander.echo("in");
    culprit.send(&frame(&format!("fault:{fault}")));
    culprit.read_until_gone();
    bystander.read_until_gone();
    server.wait_for_log(&["ERROR", "connections=2"]);
    server.open76().echo("fresh");
    server.open75().echo("fresh");
    let stopped = server.stop();
    assert!(stopped.contains("traps=1"), "{stopped}");
}

#[test]
fn an_external_component_serves() {
    let server = Server::start(&["--component", wasm!(FAULTY_LIBRARY)]);
    server.open76().echo("in");
    server.open75().echo("in");
}

#[test]
fn a_trap_costs_one_instance() {
    costs_one_instance("trap");
}

#[test]
fn an_endless_call_costs_one_instance() {
    costs_one_instance("spin");
}

#[test]
fn unbounded_memory_costs_one_instance() {
    costs_one_instance("grow");
}

#[test]
fn consecutive_faults_are_counted() {
    let server = Server::start(&[&["--component", wasm!(FAULTY_LIBRARY)][..], &LIMITS].concat());
    for fault in ["trap", "spin", "grow", "trap"] {
        let mut client = server.open76();
        client.send(&frame(&format!("fault:{fault}")));
        client.read_until_gone();
    }
    server.open75().echo("still here");
    assert!(server.stop().contains("traps=4"));
}
