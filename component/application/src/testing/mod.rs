//! Tests of an application without a server: natively, over the real engine, without sockets, with a clock of their
//! own.
//!
//! The clients speak any protocol, byte by byte, and answer pings and closing handshakes by themselves. (With draft 76
//! not every browser does: WebKit ends TCP without a closing handshake, as [`Server::hang_up`] does.)
//!
//! The application is called as servers call it: first without events, with `handshake` events, with several messages
//! of one read at once, with `failed` for each command without effect. Everything that follows from something has
//! happened when the method returns. Under load a call has events of many connections, or a message and the end of one:
//! [`Server::together`] makes such calls. There is one instance of the application, where `serve` has one on each core
//! unless the first call returns [`Command::SingleInstance`](crate::Command::SingleInstance): what an application lacks
//! that does not return it, tests do not show.
//!
//! ```
//! use std::time::Duration;
//!
//! use legacy_websocket_application::testing::Server;
//! use legacy_websocket_application::{Application, Command, Event, Protocol, Recipients, Timers};
//!
//! /// Everyone hears everything. Once an hour there is a bell.
//! #[derive(Default)]
//! struct Chat {
//!     timers: Timers<&'static str>,
//! }
//!
//! impl Application for Chat {
//!     fn handle(&mut self, events: Vec<Event>) -> Vec<Command> {
//!         let mut commands = Vec::new();
//!         if events.is_empty() {
//!             // One bell, not one on each core.
//!             commands.push(Command::SingleInstance);
//!             self.timers.every("bell", Duration::from_secs(3600));
//!         }
//!         for event in events {
//!             match event {
//!                 Event::Handshake(handshake) if handshake.cookie("name").is_none() => {
//!                     commands.push(handshake.reject(403, "who are you?"));
//!                 }
//!                 Event::Messages(messages) => {
//!                     commands.push(Command::send_texts(Recipients::All, messages.iter()));
//!                 }
//!                 Event::Tick(now) if !self.timers.due(now).is_empty() => {
//!                     commands.push(Command::send(Recipients::All, "ding"));
//!                 }
//!                 Event::Request(request) => commands.push(request.respond_text(404, "no page")),
//!                 _ => {}
//!             }
//!         }
//!         commands.extend(self.timers.request());
//!         commands
//!     }
//! }
//!
//! let mut server = Server::new(Chat::default());
//! let anna = server.client(Protocol::Draft76).path("/chat").cookie("name", "anna").connect()?;
//! let bob = server.client(Protocol::Rfc6455).cookie("name", "bob").connect()?;
//! server.say(anna, "hi");
//! assert_eq!(server.heard(bob), ["hi"]);
//!
//! server.close(bob);
//! server.advance(Duration::from_secs(3601));
//! assert_eq!(server.heard(anna), ["hi", "ding"]);
//!
//! let refused = server.client(Protocol::Draft75).connect().unwrap_err();
//! assert_eq!((refused.status, &*refused.text()), (403, "who are you?\n"));
//! assert_eq!(server.get("/").status, 404);
//! # Ok::<(), legacy_websocket_application::testing::Response>(())
//! ```

mod builder;
mod http;
#[allow(unreachable_pub, reason = "the components have this file, too")]
mod lift;
#[allow(unreachable_pub, reason = "the components have this file, too")]
mod lower;
mod peer;
mod wire;
mod world;

use std::time::Duration;

use legacy_websocket::step::{Input, Loss, Lost, Received};
pub use legacy_websocket::{InvalidOptions, Limits, Options};

pub use self::builder::{ClientBuilder, RequestBuilder};
pub use self::http::Response;
pub use self::peer::Close;
use self::peer::Peer;
use self::world::World;
use crate::{Application, ConnectionId, Failed, Protocol};

/// A server with one application, and a clock of its own that [`advance`](Self::advance) moves.
///
/// Methods that act for a client panic if the client's connection is over.
#[derive(Debug)]
pub struct Server<A> {
    world: World<A>,
    next_id: ConnectionId,
}

/// A client of a [`Server`], by WebSocket or by HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(ConnectionId);

impl Client {
    /// The id by which the application knows it.
    #[must_use]
    pub fn id(self) -> ConnectionId {
        self.0
    }
}

impl<A: Application> Server<A> {
    /// Starts an application: its first call, without events, has been made.
    #[must_use]
    pub fn new(application: A) -> Self {
        Self::with_options(application, Options::default()).expect("the defaults are valid")
    }

    /// Starts an application with the options of an engine: pings, timeouts, limits, origins. The application is always
    /// asked about opening handshakes, and gets all requests but those of `health_path`.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the invalid option.
    pub fn with_options(application: A, options: Options) -> Result<Self, InvalidOptions> {
        Ok(Self { world: World::start(application, options)?, next_id: 1 })
    }

    /// A client of a protocol, to be connected.
    pub fn client(&mut self, protocol: Protocol) -> ClientBuilder<'_, A> {
        ClientBuilder::new(self, protocol)
    }

    /// A request by HTTP, to be sent.
    pub fn request(&mut self, method: &str, target: &str) -> RequestBuilder<'_, A> {
        RequestBuilder::new(self, method, target)
    }

    /// The answer to a `GET`.
    ///
    /// # Panics
    /// The application has not answered.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.request("GET", target).send()
    }

    /// A client sends a text message.
    #[track_caller]
    pub fn say(&mut self, client: Client, text: &str) {
        self.say_all(client, [text]);
    }

    /// A client sends several text messages, which arrive in one read.
    #[track_caller]
    pub fn say_all<'a>(&mut self, client: Client, texts: impl IntoIterator<Item = &'a str>) {
        let protocol = self.protocol(client);
        self.say_bytes(client, texts.into_iter().flat_map(|text| wire::text(protocol, text)).collect());
    }

    /// A client sends a binary message.
    ///
    /// # Panics
    /// It speaks draft 75 or 76, which have none.
    #[track_caller]
    pub fn say_binary(&mut self, client: Client, bytes: &[u8]) {
        let frame = wire::binary(self.protocol(client), bytes);
        self.say_bytes(client, frame.expect("drafts 75 and 76 have no binary messages"));
    }

    /// A client sends any bytes, right or wrong, as one read.
    #[track_caller]
    pub fn say_bytes(&mut self, client: Client, bytes: Vec<u8>) {
        let connection = self.peer(client).open(client).id();
        self.world.run(Input::Received(Received { connection, bytes }));
    }

    /// A client sends a ping of up to 125 bytes. The engine answers it: [`pongs`](Self::pongs).
    ///
    /// # Panics
    /// It speaks draft 75 or 76, which have none.
    #[track_caller]
    pub fn ping(&mut self, client: Client, payload: &[u8]) {
        let frame = wire::ping(self.protocol(client), payload);
        self.say_bytes(client, frame.expect("drafts 75 and 76 have no pings"));
    }

    /// A client closes its connection, with a closing handshake if its protocol has one, and code 1000.
    #[track_caller]
    pub fn close(&mut self, client: Client) {
        self.close_with(client, 1000, "");
    }

    /// A client closes its connection with a code and a reason, which drafts 75 and 76 do not have.
    #[track_caller]
    pub fn close_with(&mut self, client: Client, code: u16, reason: &str) {
        match wire::close(self.protocol(client), code, reason) {
            Some(frame) => {
                self.world.peer_mut(client.0).begin_close();
                self.say_bytes(client, frame);
            }
            None => self.hang_up(client),
        }
    }

    /// A client ends TCP without a closing handshake, as a browser that is quit does.
    #[track_caller]
    pub fn hang_up(&mut self, client: Client) {
        let connection = self.peer(client).open(client).id();
        self.world.end(connection);
        self.world.run(Input::Ended(connection));
    }

    /// A client's connection is reset.
    #[track_caller]
    pub fn reset(&mut self, client: Client) {
        let connection = self.peer(client).open(client).id();
        self.world.end(connection);
        self.world.run(Input::Lost(Lost { connection, why: Loss::Reset }));
    }

    /// A client's network is gone, and nobody is told: it neither sends nor hears anything from now on.
    #[track_caller]
    pub fn vanish(&mut self, client: Client) {
        self.peer(client).open(client);
        self.world.vanish(client.0);
    }

    /// What clients do in `act` arrives at once, as under load: the application gets it in one call, and the
    /// clients receive nothing before. A client that says something and closes makes a call with both.
    ///
    /// # Panics
    /// `act` lets time pass, connects a client, or waits for an answer (a request begins with
    /// [`RequestBuilder::start`]).
    pub fn together(&mut self, act: impl FnOnce(&mut Self)) {
        self.world.hold();
        act(self);
        self.world.release();
    }

    /// Lets time pass, with everything that is due in it.
    #[track_caller]
    pub fn advance(&mut self, time: Duration) {
        self.world.advance(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// The texts that a client has received since the last call of this.
    #[must_use]
    #[track_caller]
    pub fn heard(&mut self, client: Client) -> Vec<String> {
        std::mem::take(&mut self.world.peer_mut(client.0).texts)
    }

    /// The binary messages that a client has received since the last call of this.
    #[must_use]
    #[track_caller]
    pub fn heard_binary(&mut self, client: Client) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.world.peer_mut(client.0).binaries)
    }

    /// The pongs that a client has received since the last call of this.
    #[must_use]
    #[track_caller]
    pub fn pongs(&mut self, client: Client) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.world.peer_mut(client.0).pongs)
    }

    /// How a client's connection ended, as the client sees it; `None` while it is open. That of a client that hung up,
    /// was reset or vanished is over at once.
    #[must_use]
    #[track_caller]
    pub fn closed(&self, client: Client) -> Option<&Close> {
        self.peer(client).closed()
    }

    /// The answer to a request that was sent with [`RequestBuilder::start`], once there is one; for a client that was
    /// connected, the answer that let it in.
    #[must_use]
    #[track_caller]
    pub fn response(&self, client: Client) -> Option<&Response> {
        self.peer(client).response.as_ref()
    }

    /// The commands that had no effect since the last call of this. The application has been told: this is to
    /// assert that there were none.
    #[must_use]
    pub fn failed(&mut self) -> Vec<Failed> {
        std::mem::take(&mut self.world.failed)
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.world.application
    }

    #[track_caller]
    fn peer(&self, client: Client) -> &Peer {
        self.world.peer(client.0)
    }

    #[track_caller]
    fn protocol(&self, client: Client) -> Protocol {
        self.peer(client).protocol.expect("this client speaks plain HTTP")
    }

    /// Opens a connection on which the peer sends `bytes` first.
    fn open(&mut self, peer: Peer, address: Option<String>, bytes: Vec<u8>) -> Client {
        let id = self.next_id;
        self.next_id += 1;
        let address = address.unwrap_or_else(|| format!("192.0.2.1:{}", 1024 + id));
        self.world.open(id, peer, address, bytes);
        Client(id)
    }
}
