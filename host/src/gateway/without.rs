//! What stands for the gateway without the feature `gateway`: types without values, so that nothing of it is compiled.

#[path = "status.rs"]
mod status;

use std::rc::Rc;
use std::sync::Arc;

use legacy_websocket::Options as EngineOptions;

pub(crate) use self::status::{BackendStatus, GatewayStatus, SiteStatus};
use crate::accept::incoming::Peer;
use crate::connection::socket::Socket;
use crate::options::ShellOptions;
use crate::site::Site;

#[derive(Debug)]
pub(crate) enum Gateway {}

#[derive(Debug)]
pub(crate) enum PassThrough {}

pub(crate) enum Stage {
    Stopping,
    Aborted,
}

#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) socket: Socket,
    pub(crate) received: Vec<u8>,
    pub(crate) peer: Peer,
}

impl Gateway {
    pub(crate) fn of_site(site: Arc<Site>, _: &EngineOptions, _: &ShellOptions) -> Self {
        match *site {}
    }

    pub(crate) fn status(&self) -> GatewayStatus {
        match *self {}
    }

    pub(crate) fn backend_of(&self, _: u64) -> Option<String> {
        match *self {}
    }

    pub(crate) fn enter(&self, _: Stage) {
        match *self {}
    }

    pub(crate) async fn drained(&self) {
        match *self {}
    }
}

impl PassThrough {
    pub(crate) fn new(gateway: &Arc<Gateway>) -> Rc<Self> {
        match **gateway {}
    }

    pub(crate) async fn serve(self: Rc<Self>, _: Passed) -> Option<Passed> {
        match *self {}
    }
}
