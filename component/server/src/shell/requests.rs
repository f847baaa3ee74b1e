//! Responses of the component that serves HTTP, on their way to the engine.

use alloc::vec::Vec;
use core::convert::Infallible;

use legacy_websocket::step::{Command, CommandKind, Event, Response, ResponseField};
use legacy_websocket_shell::{Level, LogCategory, carry_out};

use super::Shell;
use crate::system::http::{Answer, Failed};

impl Shell {
    /// Passes the responses that are whole to the engine.
    pub(super) fn answer_requests(&mut self, now: u64) {
        let done = self.site.take_done();
        if done.is_empty() {
            return;
        }
        let answers: Vec<_> = done.into_iter().map(|(id, done)| (id, self.answer(id, done))).collect();
        let fields: Vec<Vec<_>> = answers.iter().map(|(_, answer)| fields(answer)).collect();
        let commands: Vec<_> = answers
            .iter()
            .zip(&fields)
            .map(|((connection, answer), fields)| {
                let (connection, status, body) = (*connection, answer.status, answer.body.as_slice());
                Command::Respond(Response { connection, status, fields, body })
            })
            .collect();
        let Ok(step) = carry_out(&commands, |part, is_last| {
            Ok::<_, Infallible>(if is_last {
                self.engine.command(part)
            } else {
                self.engine.command_partly(part)
            })
        });
        let Some(mut step) = step else { return };
        // The application has sent none of these; that the client has left meanwhile is no news.
        step.events.retain(
            |event| !matches!(event, Event::Failed(failed) if failed.command == CommandKind::Respond),
        );
        self.pump(|pump, shell| pump.run(shell, step, now));
    }

    /// The response to a request, whatever has become of it.
    fn answer(&mut self, id: u64, done: Result<Answer, Failed>) -> Answer {
        let failed = match done {
            Ok(answer) => return answer,
            Err(failed) => failed,
        };
        let (status, text) = match failed {
            Failed::BadRequest => (400, "Bad Request\n"),
            Failed::TooMany(_) => (503, "Service Unavailable\n"),
            Failed::Error(_) | Failed::Status(_) | Failed::TooLong(_) => (500, "Internal Server Error\n"),
        };
        if let Some(permit) = self.log.permit(LogCategory::Failure) {
            let peer = self.links.get(&id).map(|link| link.peer.clone()).unwrap_or_default();
            self.log.write(
                Level::Warn,
                format_args!("request failed peer={peer} status={status} reason={failed}{permit}"),
            );
        }
        let fields = [("Content-Type".into(), "text/plain; charset=utf-8".into())].into();
        Answer { status, fields, body: text.into(), of_head: None }
    }
}

fn fields(answer: &Answer) -> Vec<ResponseField<'_>> {
    answer.fields.iter().map(|(name, value)| ResponseField { name, value }).collect()
}
