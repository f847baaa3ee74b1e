//! What an application wants done, as the engine takes it.

use alloc::vec::Vec;

use legacy_websocket::step::{
    Acceptance, Closing, Command, Outgoing, OutgoingBinary, Recipients, Refusal, Response, ResponseField,
};

use crate::types;

/// Lends commands to `run` as the engine's.
pub fn with_commands<R>(commands: &[types::Command], run: impl FnOnce(Vec<Command<'_>>) -> R) -> R {
    let fields: Vec<Vec<ResponseField<'_>>> = commands.iter().filter_map(fields).collect();
    let mut fields = fields.iter().map(Vec::as_slice);
    run(commands.iter().map(|command| lend(command, &mut fields)).collect())
}

/// The fields of a command that has some.
fn fields(command: &types::Command) -> Option<Vec<ResponseField<'_>>> {
    let fields = match command {
        types::Command::Accept(acceptance) => &acceptance.fields,
        types::Command::Respond(response) => &response.fields,
        _ => return None,
    };
    Some(fields.iter().map(|field| ResponseField { name: &field.name, value: &field.value }).collect())
}

fn lend<'a>(
    command: &'a types::Command,
    fields: &mut impl Iterator<Item = &'a [ResponseField<'a>]>,
) -> Command<'a> {
    match command {
        types::Command::Send(outgoing) => Command::Send(Outgoing {
            to: lend_recipients(&outgoing.to),
            text: &outgoing.text,
            ends: &outgoing.ends,
        }),
        types::Command::SendBinary(outgoing) => {
            Command::SendBinary(OutgoingBinary { to: lend_recipients(&outgoing.to), bytes: &outgoing.bytes })
        }
        types::Command::Close(closing) => Command::Close(Closing {
            connection: closing.connection,
            code: closing.code,
            reason: &closing.reason,
        }),
        types::Command::Accept(acceptance) => Command::Accept(Acceptance {
            connection: acceptance.connection,
            subprotocol: acceptance.subprotocol.as_deref(),
            fields: fields.next().unwrap_or_default(),
        }),
        types::Command::Reject(refusal) => Command::Reject(Refusal {
            connection: refusal.connection,
            status: refusal.status,
            reason: &refusal.reason,
        }),
        types::Command::Respond(response) => Command::Respond(Response {
            connection: response.connection,
            status: response.status,
            fields: fields.next().unwrap_or_default(),
            body: &response.body,
        }),
        types::Command::Tick(after) => Command::Tick(*after),
        types::Command::SingleInstance => Command::SingleInstance,
    }
}

fn lend_recipients(to: &types::Recipients) -> Recipients<'_> {
    match to {
        types::Recipients::One(connection) => Recipients::One(*connection),
        types::Recipients::Many(connections) => Recipients::Many(connections),
        types::Recipients::All => Recipients::All,
        types::Recipients::AllBut(connection) => Recipients::AllBut(*connection),
    }
}
