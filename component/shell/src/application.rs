//! A shell's obligations to the application.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use legacy_websocket::step::{Acceptance, Command, Event, Recipients, Step};

/// The number of commands, and roughly their bytes, that one engine call carries out: the result must fit in the
/// engine's memory.
const CALL_COMMANDS: usize = 1024;
const CALL_BYTES: usize = 4 << 20;

/// The opening handshakes among a batch of events: those the application's commands leave undecided are accepted
/// afterwards.
#[derive(Debug)]
pub struct Handshakes(Vec<(u64, Option<String>)>);

impl Handshakes {
    /// Connections, with the subprotocols they request.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let handshake = |event: &Event| match event {
            Event::Handshake(handshake) => Some((handshake.connection, handshake.subprotocol.clone())),
            _ => None,
        };
        Self(events.iter().filter_map(handshake).collect())
    }

    /// Adds an acceptance for each undecided handshake.
    pub fn accept_undecided<'a>(&'a self, commands: &mut Vec<Command<'a>>) {
        if self.0.is_empty() {
            return;
        }
        let decided: BTreeSet<u64> = commands.iter().filter_map(decides).collect();
        let undecided = self.0.iter().filter(|(connection, _)| !decided.contains(connection));
        commands.extend(undecided.map(|(connection, subprotocol)| {
            let (connection, subprotocol) = (*connection, subprotocol.as_deref());
            Command::Accept(Acceptance { connection, subprotocol, fields: &[] })
        }));
    }
}

/// The connection whose handshake a command decides.
fn decides(command: &Command<'_>) -> Option<u64> {
    match command {
        Command::Accept(acceptance) => Some(acceptance.connection),
        Command::Reject(refusal) => Some(refusal.connection),
        Command::Respond(response) => Some(response.connection),
        Command::Close(closing) => Some(closing.connection),
        _ => None,
    }
}

/// Has the engine carry out commands in as many calls as needed. `command` carries out one batch, and is told whether
/// it is the last. Returns `None` if there are no commands.
///
/// # Errors
/// Those of `command`.
pub fn carry_out<E>(
    mut commands: &[Command<'_>],
    mut command: impl FnMut(&[Command<'_>], bool) -> Result<Step, E>,
) -> Result<Option<Step>, E> {
    let mut whole: Option<Step> = None;
    while !commands.is_empty() {
        let mut bytes: usize = 0;
        let fits = |command: &&Command<'_>| {
            bytes = bytes.saturating_add(command_bytes(command));
            bytes <= CALL_BYTES
        };
        let count = commands.iter().take(CALL_COMMANDS).take_while(fits).count().max(1);
        let (part, rest) = commands.split_at_checked(count).unwrap_or((commands, &[]));
        let step = command(part, rest.is_empty())?;
        whole = Some(match whole {
            None => step,
            Some(mut whole) => {
                whole.events.extend(step.events);
                whole.transmissions.extend(step.transmissions);
                Step { events: whole.events, transmissions: whole.transmissions, ..step }
            }
        });
        commands = rest;
    }
    Ok(whole)
}

/// The approximate size of a command.
#[must_use]
pub fn command_bytes(command: &Command<'_>) -> usize {
    match command {
        Command::Send(outgoing) => {
            let to = recipients_bytes(&outgoing.to);
            outgoing.text.len().saturating_add(size_of_val(outgoing.ends)).saturating_add(to)
        }
        Command::SendBinary(outgoing) => outgoing.bytes.len().saturating_add(recipients_bytes(&outgoing.to)),
        Command::Respond(response) => response.body.len(),
        Command::Close(closing) => closing.reason.len(),
        Command::Reject(refusal) => refusal.reason.len(),
        _ => 0,
    }
}

fn recipients_bytes(to: &Recipients<'_>) -> usize {
    match to {
        Recipients::Many(connections) => size_of_val(*connections),
        _ => 0,
    }
}

/// How many events these count as in the engine's budget.
#[must_use]
pub fn event_count(events: &[Event]) -> usize {
    let count = |event: &Event| match event {
        Event::Messages(messages) => messages.ends.len(),
        Event::StateChanged(_) => 0,
        _ => 1,
    };
    events.iter().map(count).fold(0, usize::saturating_add)
}

/// Counts how often in a row an application answers failures with commands that fail, which could go on forever.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailureCycle(u32);

impl FailureCycle {
    /// Consecutive failed answers to failures before the application is considered lost.
    pub const MAX: u32 = 10_000;

    /// Records what the application was told and the results of its commands. Returns whether it is considered lost.
    #[must_use]
    pub fn observe(&mut self, told_failure: bool, step: Option<&Step>) -> bool {
        let again = step.is_some_and(|step| has_failure(&step.events));
        match (told_failure, again) {
            (true, true) => self.0 = self.0.saturating_add(1),
            (true, false) => self.0 = 0,
            (false, _) => {}
        }
        let lost = self.0 >= Self::MAX;
        if lost {
            self.0 = 0;
        }
        lost
    }
}

/// Whether any command has failed.
#[must_use]
pub fn has_failure(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Failed(_)))
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use legacy_websocket::step::{
        CommandKind, Failed, Failure, Handshake, Outgoing, Protocol, Refusal, RequestHead, Response,
    };

    use super::*;

    fn handshake(connection: u64) -> Event {
        let head = RequestHead { method: "GET".into(), target: b"/".to_vec(), fields: Vec::new() };
        let (protocol, peer) = (Protocol::Draft76, "peer".into());
        let subprotocol = Some("chat".into());
        Event::Handshake(Handshake { connection, protocol, peer, subprotocol, head })
    }

    #[test]
    fn accept_reject_respond_and_close_decide_a_handshake() {
        let events = [1, 2, 3, 4, 5].map(handshake);
        let mut commands = vec![
            Command::Accept(Acceptance { connection: 1, subprotocol: None, fields: &[] }),
            Command::Reject(Refusal { connection: 2, status: 403, reason: "no" }),
            Command::close(3),
            Command::Respond(Response { connection: 5, status: 401, fields: &[], body: b"" }),
            Command::Send(Outgoing { to: Recipients::One(4), text: "too early", ends: &[9] }),
        ];
        let handshakes = Handshakes::of(&events);
        handshakes.accept_undecided(&mut commands);
        let accepted = Acceptance { connection: 4, subprotocol: Some("chat"), fields: &[] };
        assert_eq!((commands.len(), commands.last()), (6, Some(&Command::Accept(accepted))));
    }

    #[test]
    fn many_commands_are_carried_out_in_batches_in_order() {
        let commands: Vec<_> = (0..2500).map(Command::close).collect();
        let (mut parts, mut seen) = (Vec::new(), Vec::new());
        let step = carry_out(&commands, |part, last| {
            parts.push((part.len(), last));
            seen.extend(part.iter().map(|command| format!("{command:?}")));
            Ok::<_, Infallible>(Step {
                paused: vec![1],
                next_timeout: Some(parts.len() as u64),
                ..Step::default()
            })
        });
        assert_eq!(parts, [(1024, false), (1024, false), (452, true)]);
        assert_eq!(seen, commands.iter().map(|command| format!("{command:?}")).collect::<Vec<_>>());
        // The last call decides.
        assert_eq!(step, Ok(Some(Step { paused: vec![1], next_timeout: Some(3), ..Step::default() })));
        assert_eq!(carry_out(&[], |_, _| Ok::<_, Infallible>(Step::default())), Ok(None));
    }

    #[test]
    fn large_commands_get_a_batch_each() {
        let text = "x".repeat(CALL_BYTES);
        let ends = [u32::try_from(text.len()).unwrap()];
        let send = Command::Send(Outgoing { to: Recipients::All, text: &text, ends: &ends });
        let mut parts = Vec::new();
        let _ = carry_out(&[send.clone(), send], |part, _| {
            parts.push(part.len());
            Ok::<_, Infallible>(Step::default())
        });
        assert_eq!(parts, [1, 1]);
    }

    #[test]
    fn an_application_stuck_in_a_failure_cycle_is_lost() {
        let failed = Failed { connection: 1, command: CommandKind::Send, why: Failure::UnknownConnection };
        let failing = Step { events: vec![Event::Failed(failed)], ..Step::default() };
        let mut cycle = FailureCycle::default();
        // One successful answer resets the count.
        for answer in [Some(&failing), None] {
            assert!((1..FailureCycle::MAX).all(|_| !cycle.observe(true, answer)));
        }
        assert!((1..FailureCycle::MAX).all(|_| !cycle.observe(true, Some(&failing))));
        assert!(!cycle.observe(false, Some(&failing)));
        assert!(cycle.observe(true, Some(&failing)));
    }
}
