//! The application of a gateway's workers: it takes what the engine tells of old clients to their backends.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use legacy_websocket::step::{Command, Event};
use tokio::task::spawn_local;

use super::inbound::{FromClient, Inbound};
use super::pair;
use super::shared::Gateway;
use crate::application::api::Application;
use crate::handle::Handle;

/// The clients of one worker whose opening handshakes were the engine's own.
#[derive(Debug)]
pub(crate) struct OldClients {
    gateway: Arc<Gateway>,
    handle: Handle,
    clients: HashMap<u64, Rc<Inbound>>,
}

impl OldClients {
    pub(crate) fn new(gateway: Arc<Gateway>, handle: Handle) -> Self {
        Self { gateway, handle, clients: HashMap::new() }
    }

    fn push(&self, connection: u64, event: FromClient) {
        if let Some(inbound) = self.clients.get(&connection)
            && inbound.push(event)
        {
            self.handle.pause(connection);
        }
    }
}

impl Application for OldClients {
    fn handle<'a>(&'a mut self, events: &'a [Event]) -> Vec<Command<'a>> {
        for event in events {
            match event {
                Event::Handshake(handshake) => {
                    let inbound = Rc::new(Inbound::default());
                    self.clients.insert(handshake.connection, Rc::clone(&inbound));
                    let (gateway, handle) = (Arc::clone(&self.gateway), self.handle.clone());
                    let pair = spawn_local(pair::serve(gateway, handle, handshake.clone(), inbound));
                    self.gateway.opening(handshake.connection, pair.abort_handle());
                }
                Event::Connected(connected) => self.push(connected.connection, FromClient::Connected),
                Event::Messages(messages) => {
                    let (text, ends) = (messages.text.clone(), messages.ends.clone());
                    self.push(messages.connection, FromClient::Texts { text, ends });
                }
                Event::Binary(binary) => {
                    self.push(binary.connection, FromClient::Binary(binary.bytes.clone()))
                }
                Event::Closed(closed) => {
                    let (cause, code, reason) = (closed.cause.clone(), closed.code, closed.reason.clone());
                    self.push(closed.connection, FromClient::Closed { cause, code, reason });
                    self.clients.remove(&closed.connection);
                }
                _ => {}
            }
        }
        Vec::new()
    }
}
