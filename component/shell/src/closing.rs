//! How a connection ends: which side still reads, and whether our FIN has been sent.

use legacy_websocket::Disposition;

/// Where a connection's input goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// To the engine.
    #[default]
    ToEngine,
    /// Nowhere: the engine is done with the connection; input is still read so that the kernel sends no reset.
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
    /// Delayed: by the kernel (TLS sends an alert first), or until the host has written what it holds.
    Sending,
    /// Our side has ended.
    Sent,
}

/// A driver's next action for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Close the socket now.
    Close,
    /// Output is pending: write, but do not read.
    Write,
    /// Send our FIN, then ask again.
    SendFin,
    /// Read and discard until the peer ends its side or the linger timeout has passed.
    Linger,
    /// Read, and write pending output.
    Read,
    /// The peer has ended its side: wait for the engine.
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
    /// The next action. `then` is the disposition after the queued output; `is_flushed`: nothing is pending;
    /// `is_congested`: so much is pending that the peer must not be read from.
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

    /// The peer has ended its side. Returns whether to tell the engine.
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
