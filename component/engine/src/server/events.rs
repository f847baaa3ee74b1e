//! The events of one read.

use alloc::string::String;
use alloc::vec::Vec;

use crate::connection::Connection;
use crate::event::Event;
use crate::shared::Shared;

/// The events of one [`Server::receive`](crate::Server::receive), in order.
#[derive(Debug)]
#[must_use = "iterate to the end to learn what came"]
pub struct Events<'s, 'i> {
    pub(super) connection: Option<&'s mut Connection>,
    pub(super) shared: &'s mut Shared,
    pub(super) input: &'i [u8],
    /// [`Self::take_messages`] no longer does anything.
    pub(super) one_by_one: bool,
}

impl<'i> Events<'_, 'i> {
    /// The remaining input.
    #[must_use]
    pub fn rest(&self) -> &'i [u8] {
        self.input
    }

    /// Stops between two events and returns the remaining input, for [`Server::defer`](crate::Server::defer).
    pub fn stop(mut self) -> &'i [u8] {
        let rest = core::mem::take(&mut self.input);
        if let Some(connection) = self.connection.take() {
            connection.account(self.shared);
        }
        rest
    }

    /// Takes up to `limit` of the next messages off the input together: appends their texts to `text`, and the end of
    /// each to `ends`. Faster than one event at a time.
    ///
    /// It takes only the easy cases, possibly none: `next` may still return a message, followed by more of them. So
    /// call it before each `next`.
    pub fn take_messages(&mut self, limit: usize, text: &mut String, ends: &mut Vec<u32>) {
        if let Some(connection) = &mut self.connection
            && !self.one_by_one
        {
            self.one_by_one = !connection.take_messages(self.shared, &mut self.input, limit, text, ends);
        }
    }
}

impl<'i> Iterator for Events<'_, 'i> {
    type Item = Event<'i>;

    fn next(&mut self) -> Option<Event<'i>> {
        match &mut self.connection {
            Some(connection) => connection.receive(self.shared, &mut self.input),
            None => self.shared.events.pop_front(),
        }
    }
}

impl Drop for Events<'_, '_> {
    fn drop(&mut self) {
        // Without a connection there is no input, and everything else is polled.
        if self.connection.is_some() {
            self.for_each(drop);
        }
    }
}
