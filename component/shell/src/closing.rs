//! How a connection ends: who still reads, and whether our FIN is sent.

use legacy_websocket::Disposition;

/// Where a connection's input goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// To the engine.
    #[default]
    ToEngine,
    /// The engine is done with the connection; further input is read so that the kernel sends no reset.
    Discarding,
    /// The peer has ended its side.
    Ended,
}

/// Progress of our FIN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fin {
    /// Not due yet.
    #[default]
    NotYet,
    /// It has to wait: for the kernel (TLS sends an alert first), or for the host to write what it holds.
    Sending,
    /// Our side has ended.
    Sent,
}

/// What a driver does next for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close the socket now.
    Close,
    /// Output waits: write, and read nothing.
    Write,
    /// Send our FIN, then ask again.
    SendFin,
    /// Read and discard until the peer ends its side or the linger timeout has passed.
    Linger,
    /// Read, and write what waits.
    Read,
    /// The peer has ended its side: wait for what the engine says.
    Wait,
}

/// The state of a connection's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Closing {
    pub reading: Reading,
    pub fin: Fin,
}

impl Closing {
    /// What to do next. `then` is what is to come after the output that is queued; `is_flushed`: nothing waits any more;
    /// `is_congested`: so much waits that the peer is not to be read from.
    #[must_use]
    pub fn action(self, then: Disposition, is_flushed: bool, is_congested: bool) -> Action {
        match then {
            Disposition::Abort => Action::Close,
            Disposition::Finish if !is_flushed => Action::Write,
            Disposition::Finish | Disposition::HalfClose if is_flushed && self.fin != Fin::Sent => {
                Action::SendFin
            }
            Disposition::Finish if self.reading == Reading::Ended => Action::Close,
            Disposition::Finish => Action::Linger,
            _ if !is_flushed && is_congested => Action::Write,
            _ if self.reading == Reading::Ended => Action::Wait,
            _ => Action::Read,
        }
    }

    /// The engine is done with the connection.
    pub fn linger(&mut self) {
        if self.reading == Reading::ToEngine {
            self.reading = Reading::Discarding;
        }
    }

    /// The peer has ended its side. Returns whether the engine is to be told.
    #[must_use]
    pub fn receive_eof(&mut self) -> bool {
        core::mem::replace(&mut self.reading, Reading::Ended) == Reading::ToEngine
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn actions() {
        let mut table = String::new();
        for then in [Disposition::Keep, Disposition::HalfClose, Disposition::Finish, Disposition::Abort] {
            for reading in [Reading::ToEngine, Reading::Discarding, Reading::Ended] {
                for fin in [Fin::NotYet, Fin::Sending, Fin::Sent] {
                    let closing = Closing { reading, fin };
                    let actions = [(true, false), (false, false), (false, true)]
                        .map(|(flushed, congested)| closing.action(then, flushed, congested));
                    let (then, reading, fin) =
                        (format!("{then:?}"), format!("{reading:?}"), format!("{fin:?}"));
                    let [flushed, waits, congested] = actions.map(|action| format!("{action:?}"));
                    writeln!(table, "{then:10}{reading:11}{fin:8} flushed: {flushed:8} waiting: {waits:8} congested: {congested}")
                        .unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn the_engine_is_told_of_the_eof_only_while_it_reads() {
        let mut closing = Closing::default();
        assert!(closing.receive_eof());
        assert!(!closing.receive_eof());
        let mut closing = Closing::default();
        closing.linger();
        assert!(!closing.receive_eof());
        assert_eq!(closing.reading, Reading::Ended);
    }
}
