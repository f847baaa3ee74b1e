//! Clients and requests before they are sent.

use super::peer::Peer;
use super::{Client, Response, Server, wire};
use crate::{Application, Protocol};

/// A client to be connected. The path is `/`, Host is `example.com`, and Origin `http://example.com`, unless told
/// otherwise.
#[derive(Debug)]
#[must_use = "connect it"]
pub struct ClientBuilder<'a, A> {
    server: &'a mut Server<A>,
    protocol: Protocol,
    subprotocol: Option<String>,
    head: Head,
}

/// A request by HTTP to be sent, on a connection of its own. Host is `example.com`.
#[derive(Debug)]
#[must_use = "send it"]
pub struct RequestBuilder<'a, A> {
    server: &'a mut Server<A>,
    method: String,
    body: Vec<u8>,
    head: Head,
}

/// What they have in common.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) target: String,
    pub(super) fields: Vec<(String, String)>,
    peer: Option<String>,
}

macro_rules! head_methods {
    ($builder:ident) => {
        /// Adds a field to the head. Host and Origin are replaced.
        pub fn field(mut self, name: &str, value: &str) -> Self {
            self.head.fields.push((name.into(), value.into()));
            self
        }

        /// Adds a cookie.
        pub fn cookie(self, name: &str, value: &str) -> Self {
            self.field("Cookie", &format!("{name}={value}"))
        }

        /// The peer's address as the application is told it, instead of one of RFC 5737.
        pub fn peer(mut self, address: &str) -> Self {
            self.head.peer = Some(address.into());
            self
        }
    };
}

impl<'a, A: Application> ClientBuilder<'a, A> {
    pub(super) fn new(server: &'a mut Server<A>, protocol: Protocol) -> Self {
        let head = Head { target: "/".into(), ..Head::default() };
        Self { server, protocol, subprotocol: None, head }
    }

    /// The path, and a query if there is one.
    pub fn path(mut self, target: &str) -> Self {
        self.head.target = target.into();
        self
    }

    /// The subprotocol that the client asks for.
    pub fn subprotocol(mut self, subprotocol: &str) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    head_methods!(ClientBuilder);

    /// Connects the client.
    ///
    /// # Errors
    /// The response that refused it; with status 0 if there was none: the connection has ended without one, or it still
    /// waits, because the command that decided on it had no effect ([`Server::failed`]).
    ///
    /// # Panics
    /// It is in [`Server::together`].
    #[track_caller]
    pub fn connect(self) -> Result<Client, Response> {
        let Self { server, protocol, subprotocol, head } = self;
        assert!(!server.world.is_held(), "clients connect outside of `together`");
        let bytes = wire::handshake(protocol, subprotocol.as_deref(), &head);
        let client = server.open(Peer::client(protocol), head.peer, bytes);
        let peer = server.peer(client);
        if peer.is_connected() { Ok(client) } else { Err(peer.response.clone().unwrap_or_default()) }
    }
}

impl<'a, A: Application> RequestBuilder<'a, A> {
    pub(super) fn new(server: &'a mut Server<A>, method: &str, target: &str) -> Self {
        let head = Head { target: target.into(), ..Head::default() };
        Self { server, method: method.into(), body: Vec::new(), head }
    }

    head_methods!(RequestBuilder);

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request. For the answer, if it may come later: [`Server::response`].
    pub fn start(self) -> Client {
        let Self { server, method, body, head } = self;
        let bytes = wire::request(&method, &head, &body);
        server.open(Peer::http(&method), head.peer, bytes)
    }

    /// Sends the request, and returns the answer.
    ///
    /// # Panics
    /// The application has not answered.
    #[track_caller]
    pub fn send(self) -> Response {
        let Self { server, method, body, head } = self;
        let client = RequestBuilder { server: &mut *server, method, body, head }.start();
        let answer = server.response(client).cloned();
        answer.unwrap_or_else(|| {
            panic!("the application has not answered; without effect: {:?}", server.failed())
        })
    }
}
