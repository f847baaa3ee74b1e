//! The protocol of RFC 6455 and of the drafts just before it, hybi-07 to -17: what Chrome 14, Firefox 6 and all later
//! browsers speak. Sans-IO pieces for one connection, which know nothing of other connections and of time:
//!
//! - [`Handshake`] reads an opening handshake and writes the answer.
//! - [`Session`] is the connection after that: bytes in, [`Event`]s and bytes out.
//! - [`encode_text`] and [`encode_binary`] are for messages to several clients, which are encoded once.
//!
//! The three versions have the same frames: messages of text or bytes, perhaps in fragments, with pings and pongs in
//! between; clients mask theirs. Section numbers are those of RFC 6455. Extensions are not supported, and so never
//! accepted.
//!
//! # Example
//!
//! An echo to one client:
//!
//! ```
//! use legacy_websocket::hybi::{CloseCode, Event, Handshake, Session, Version, write_refusal};
//! use legacy_websocket::{Head, Limits};
//!
//! /// What a client sends, and what is sent to it.
//! fn serve(mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//!     let limits = Limits::default();
//!     // A real server waits for the rest of the head.
//!     let head = Head::parse(&mut input, &limits)?.ok_or("incomplete")?;
//!     let handshake = match Handshake::read(&head, &Version::ALL) {
//!         Ok(Some(handshake)) => handshake,
//!         Ok(None) => return Err("not a WebSocket".into()),
//!         Err(refusal) => {
//!             write_refusal(refusal, &Version::ALL, out);
//!             return Err(refusal.into());
//!         }
//!     };
//!     let subprotocol = handshake.subprotocols(&head).find(|asked| *asked == "chat");
//!     handshake.write_answer(&head, subprotocol, &[], out)?;
//!     let mut session = Session::new(handshake.version(), limits.max_message_bytes);
//!     loop {
//!         match session.receive(&mut input, limits.max_buffered_bytes, out) {
//!             Ok(Some(Event::Text(text))) => session.send_text(&text, out)?,
//!             Ok(Some(Event::Binary(_))) => session.close(CloseCode::UNSUPPORTED_DATA, "text only", out),
//!             Ok(Some(Event::Ping(_) | Event::Pong(_))) => {}
//!             // The rest of the input is dropped.
//!             Ok(Some(Event::Close { .. })) | Err(_) => session.finish(out),
//!             Ok(None) => break,
//!         }
//!     }
//!     Ok(())
//! }
//!
//! let mut out = Vec::new();
//! serve(
//!     b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\
//!       \x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
//!     &mut out,
//! )?;
//! assert_eq!(
//!     out,
//!     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\
//!       \x81\x05Hello"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod close;
mod decoder;
pub(crate) mod encode;
mod event;
pub(crate) mod handshake;
mod header;
mod mask;
pub(crate) mod session;
mod texts;
mod utf8;
pub(crate) mod version;

pub use self::close::CloseCode;
pub use self::encode::{encode_binary, encode_text};
pub use self::event::Event;
pub use self::handshake::{Handshake, write_refusal};
pub use self::session::Session;
pub use self::version::Version;
