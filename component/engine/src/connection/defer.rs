//! How a connection keeps input for a later turn.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::{Connection, Phase};
use crate::ahead::Ahead;
use crate::deferred::Deferred;
use crate::frame::hold;
use crate::shared::Shared;

impl Connection {
    pub(crate) fn has_deferred(&self) -> bool {
        self.deferred.is_some()
    }

    /// Defers input, after any that is deferred already.
    pub(crate) fn defer(&mut self, shared: &mut Shared, mut input: &[u8]) {
        if input.is_empty() || self.has_ended() {
            return;
        }
        let room = shared.room().saturating_add(self.deferred.as_ref().map_or(0, |deferred| deferred.held()));
        let mut deferred = self.deferred.take().unwrap_or_else(|| {
            shared.deferred.push_back(self.id);
            Box::new(Deferred { connection: self.id, bytes: Vec::new(), start: 0, ended: false })
        });
        match hold(mem::take(&mut deferred.bytes), &mut input, room) {
            Ok(bytes) => {
                deferred.bytes = bytes;
                self.deferred = Some(deferred);
                self.account(shared);
            }
            Err(_) => self.push_out(shared),
        }
    }

    /// Defers the input that arrived ahead of an answer that has now been given.
    pub(super) fn defer_ahead(&mut self, shared: &mut Shared, ahead: Ahead) {
        if !ahead.rest().is_empty() {
            let (bytes, start) = ahead.into_parts();
            shared.deferred.push_back(self.id);
            self.deferred = Some(Box::new(Deferred { connection: self.id, bytes, start, ended: false }));
        }
        self.account(shared);
    }

    pub(crate) fn take_deferred(&mut self) -> Option<Deferred> {
        self.deferred.take().map(|deferred| *deferred)
    }

    pub(crate) fn put_back(&mut self, shared: &mut Shared, deferred: Deferred) {
        if self.has_ended() {
            return;
        }
        let ended = deferred.ended;
        if !deferred.bytes().is_empty() {
            match &mut self.phase {
                // It arrived ahead of an answer.
                Phase::Responding { ahead } | Phase::Deciding { ahead, .. } if ahead.held() == 0 => {
                    *ahead = Ahead::new(deferred.bytes, deferred.start);
                }
                _ => {
                    shared.deferred.push_back(self.id);
                    self.deferred = Some(Box::new(deferred));
                    return self.account(shared);
                }
            }
        }
        self.account(shared);
        if ended {
            self.receive_eof(shared);
        }
    }
}
