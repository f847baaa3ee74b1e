//! The engine compiled into the host: no sandbox, no calls across it.

use legacy_websocket::step::{Command, Input, Read, RequestHead, Server, Status, Step};
use legacy_websocket::{Counts, Options};

use super::api::{Engine, EngineError, EngineLost};

/// The native engine.
#[derive(Debug)]
pub(super) struct NativeEngine(Server);

impl NativeEngine {
    pub(super) fn create(options: &Options) -> Result<Self, EngineError> {
        Server::new(options.clone()).map(Self).map_err(|error| EngineError::Options(error.to_string()))
    }
}

impl Engine for NativeEngine {
    fn turn(&mut self, now: u64, inputs: &[Input]) -> Result<Step, EngineLost> {
        Ok(self.0.turn(now, inputs))
    }

    fn receive(&mut self, now: u64, reads: &[Read], bytes: &[u8]) -> Result<Step, EngineLost> {
        Ok(self.0.receive(now, reads, bytes))
    }

    fn command(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        Ok(self.0.command(commands))
    }

    fn command_partly(&mut self, commands: &[Command<'_>]) -> Result<Step, EngineLost> {
        Ok(self.0.command_partly(commands))
    }

    fn set_budget(&mut self, events: u32) -> Result<(), EngineLost> {
        self.0.set_budget(events);
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, EngineLost> {
        Ok(self.0.counts())
    }

    fn connections(&mut self) -> Result<Vec<Status>, EngineLost> {
        Ok(self.0.connections())
    }

    fn head(&mut self, connection: u64) -> Result<Option<RequestHead>, EngineLost> {
        Ok(self.0.head(connection))
    }
}
