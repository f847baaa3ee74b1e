//! One client or application does not disturb the others.

use test_components::{CHAT, FAULTY_APPLICATION};

use crate::support::server::Server;
use crate::support::{CLOSING, frame, on_both_engines};

on_both_engines!(
    a_burst_of_messages_closes_no_other_client,
    a_slow_burst_does_not_exceed_the_call_timeout,
    a_million_failed_commands_do_not_trap_the_engine,
    an_application_that_keeps_failing_is_replaced,
    an_unfinished_message_times_out,
    a_client_that_closes_only_on_fin_is_closed_cleanly,
);

fn a_burst_of_messages_closes_no_other_client(engine: &str) {
    const COUNT: usize = 20_000;
    let server = Server::start(&[wasm!(CHAT), "--engine", engine]);
    let mut members: Vec<_> = (0..100).map(|_| server.open76()).collect();
    for member in &mut members {
        member.read_until(b"you are");
    }
    // From here on, members receive only chat messages.
    members[0].send(&frame("begin"));
    for member in &mut members {
        member.read_until(b"begin\xff");
    }
    members[0].send(&frame("x").repeat(COUNT));
    members[0].send(&frame("end"));
    for member in &mut members {
        let heard = member.read_until(b": end\xff");
        assert_eq!(heard.iter().filter(|byte| **byte == 0xff).count(), COUNT + 1);
    }
    let stopped = server.stop();
    assert!(stopped.contains("slow_readers=0 traps=0 application_traps=0"), "{stopped}");
}

fn a_slow_burst_does_not_exceed_the_call_timeout(engine: &str) {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--engine", engine, "--call-timeout", "3s"]);
    let (mut busy, mut other) = (server.open76(), server.open76());
    busy.send(&[frame("fault:nap").repeat(40), frame("e:done")].concat());
    // The other client need not wait for all of them.
    other.echo("e:in between");
    busy.expect(&frame("e:done"));
    let stopped = server.stop();
    assert!(stopped.contains("application_traps=0"), "{stopped}");
}

fn a_million_failed_commands_do_not_trap_the_engine(engine: &str) {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--engine", engine, "--call-timeout", "60s"]);
    let mut client = server.open76();
    client.send(&frame("storm:1000000"));
    client.echo("e:still here");
    let stopped = server.stop();
    assert!(stopped.contains("traps=0 application_traps=0"), "{stopped}");
}

fn an_application_that_keeps_failing_is_replaced(engine: &str) {
    let server = Server::start(&[wasm!(FAULTY_APPLICATION), "--engine", engine, "--workers", "1"]);
    let mut client = server.open76();
    client.send(&frame("cycle:"));
    server.wait_for_log(&["the application was lost", "failures in a row"]);
    client.expect(CLOSING);
    server.open76().echo("e:served by a fresh one");
}

fn an_unfinished_message_times_out(engine: &str) {
    let server = Server::start(&["--engine", engine, "--message-timeout", "300ms", "--debug"]);
    let mut client = server.open76();
    // A complete message resets the timeout; more bytes of an unfinished one do not.
    client.send(b"\0whole\xff\0half");
    client.expect(&frame("whole"));
    client.expect(CLOSING);
    server.wait_for_log(&["closed", &client.address().to_string(), "message-timeout"]);
}

fn a_client_that_closes_only_on_fin_is_closed_cleanly(engine: &str) {
    let options = ["--engine", engine, "--close-timeout", "1h", "--drain-timeout", "1h", "--debug"];
    let server = Server::start(&options);
    let mut client = server.open76();
    let address = client.address().to_string();
    server.signal("TERM");
    client.expect(CLOSING);
    client.expect_end();
    drop(client);
    server.wait_for_log(&["closed", &address, "by-us"]);
    assert!(server.wait().0.success());
}
