//! Errors, one small type per layer, and the HTTP status sent to the peer: [`Refusal::status`].

use alloc::string::String;

use thiserror::Error;

use crate::later_protocol::LaterProtocol;

/// Why a request head cannot be parsed (draft 76 section 5.1, draft 75 section 5.2).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedHead {
    /// The first bytes are not a request line: not three parts separated by single spaces.
    #[error("malformed request line")]
    RequestLine,
    /// The first byte is that of a TLS handshake.
    #[error("TLS on a port without TLS")]
    Tls,
    /// A field line without a colon, with a name outside U+0021..U+007E, or folded.
    #[error("malformed field name")]
    FieldName,
    /// A CR or NUL inside a field value.
    #[error("malformed field value")]
    FieldValue,
    /// A line that ends in LF without CR.
    #[error("line ends in a bare LF")]
    BareLineFeed,
    /// Content-Length is not one decimal number.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Transfer-Encoding does not end in `chunked`, lists it twice, or comes from an HTTP/1.0 client (RFC 9112 section
    /// 6.1).
    #[error("malformed Transfer-Encoding")]
    TransferEncoding,
}

/// Why a chunked request body cannot be parsed (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedBody {
    /// Not a hexadecimal number of up to 16 digits, or a line that does not end in CR LF.
    #[error("malformed chunk size")]
    ChunkSize,
    /// An extension with an LF or NUL in it.
    #[error("malformed chunk extension")]
    ChunkExtension,
    /// A chunk without CR LF at its end.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// A line of the trailers with a NUL, or a CR or LF without the other.
    #[error("malformed trailer")]
    Trailer,
}

/// Why a key of draft 76 yields no number (section 5.2, steps 4 to 7).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedKey {
    /// No digit at all.
    #[error("the key has no digits")]
    NoDigits,
    /// No U+0020: step 5 says to abort.
    #[error("the key has no spaces")]
    NoSpaces,
    /// The key-number is not a multiple of the number of spaces: step 6 says to abort.
    #[error("the key's number is not a multiple of its spaces")]
    NotMultiple,
    /// The quotient does not fit 32 bits; conforming clients never produce one.
    #[error("the key's number is too large")]
    TooLarge,
}

/// Why an opening handshake or a request is refused by the engine.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The head cannot be read.
    #[error("{0}")]
    Malformed(#[from] MalformedHead),
    /// The head is longer than [`Limits::max_head_bytes`](crate::Limits::max_head_bytes).
    #[error("the head is too long")]
    HeadTooLong,
    /// The head has more fields than [`Limits::max_fields`](crate::Limits::max_fields).
    #[error("the head has too many fields")]
    TooManyFields,
    /// A body over [`Limits::max_message_bytes`](crate::Limits::max_message_bytes).
    #[error("the body is too long")]
    BodyTooLong,
    /// A request body in a transfer coding other than `chunked`.
    #[error("chunked is the only transfer coding that is supported")]
    TransferCoding,
    /// Content-Length beside Transfer-Encoding: request smuggling (RFC 9112 section 6.1).
    #[error("Content-Length and Transfer-Encoding came together")]
    TwoBodyLengths,
    /// A chunked body cannot be parsed.
    #[error("{0}")]
    MalformedBody(#[from] MalformedBody),
    /// Chunk extensions and trailers of a body over [`Limits::max_head_bytes`](crate::Limits::max_head_bytes).
    #[error("the chunk extensions and trailers are too long")]
    ChunkFieldsTooLong,
    /// An opening handshake whose method is not GET.
    #[error("an opening handshake must be GET")]
    Method,
    /// A resource name that does not begin with "/".
    #[error("the resource name must begin with a slash")]
    ResourceName,
    /// Draft 75 section 5.2 requires `HTTP/1.1`.
    #[error("the request is not HTTP/1.1")]
    HttpVersion,
    /// Upgrade is absent, repeated, or not "WebSocket".
    #[error("Upgrade is not WebSocket")]
    Upgrade,
    /// Connection does not name "Upgrade".
    #[error("Connection is not Upgrade")]
    Connection,
    /// A field that may appear only once is repeated.
    #[error("a field that may come once came twice")]
    DuplicateField,
    /// An opening handshake with a body: Content-Length other than 0, and other than 8 in draft 76, whose clients
    /// of the time count key3; or a transfer coding.
    #[error("an opening handshake has no body")]
    HandshakeBody,
    /// No Host, or an empty one.
    #[error("Host is absent")]
    HostAbsent,
    /// A Host (or a forwarded one) that cannot be a host and a port.
    #[error("Host is not a host and port")]
    HostMalformed,
    /// This field, which a trusted proxy sets, cannot be parsed.
    #[error("malformed {0}")]
    Forwarded(&'static str),
    /// A Host that the options do not list: DNS rebinding.
    #[error("Host is not accepted")]
    HostForeign,
    /// No Origin although the options list origins.
    #[error("Origin is absent")]
    OriginAbsent,
    /// An Origin that the options do not list.
    #[error("Origin is not accepted")]
    OriginForeign,
    /// A subprotocol that the options do not list.
    #[error("the subprotocol is not accepted")]
    Subprotocol,
    /// A later protocol that is not one of those accepted here (RFC 6455 section 4.2.2).
    #[error("this server does not speak {0}")]
    VersionOff(LaterProtocol),
    /// The hixie draft that the client speaks is switched off.
    #[error("the client's draft is switched off here")]
    DraftOff,
    /// One of `Sec-WebSocket-Key1` and `Sec-WebSocket-Key2` without the other.
    #[error("one of the two keys is absent")]
    OneKey,
    /// A key that yields no number.
    #[error("{0}")]
    Key(#[from] MalformedKey),
    /// No `Sec-WebSocket-Key`, or one that does not encode 16 bytes in base64 (RFC 6455 section 4.2.1), or 15 as some
    /// clients do in hybi-07 to -12.
    #[error("Sec-WebSocket-Key does not encode 16 bytes")]
    Nonce,
    /// The head (or the body, or the application's answer) did not arrive in time.
    #[error("the request took too long")]
    Timeout,
    /// The application did not answer in time.
    #[error("the application did not answer in time")]
    NoAnswer,
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl Refusal {
    /// The HTTP status sent to the peer: the single table of what a refusal means on the wire.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_)
            | Self::MalformedBody(_)
            | Self::TwoBodyLengths
            | Self::ResourceName
            | Self::Upgrade
            | Self::Connection
            | Self::DuplicateField
            | Self::HandshakeBody
            | Self::HostAbsent
            | Self::HostMalformed
            | Self::Forwarded(_)
            | Self::OneKey
            | Self::Key(_)
            | Self::Nonce => 400,
            Self::HostForeign | Self::OriginAbsent | Self::OriginForeign | Self::Subprotocol => 403,
            Self::Method => 405,
            Self::Timeout => 408,
            Self::BodyTooLong => 413,
            Self::VersionOff(_) | Self::DraftOff => 426,
            Self::HeadTooLong | Self::TooManyFields | Self::ChunkFieldsTooLong => 431,
            Self::TransferCoding => 501,
            Self::NoAnswer | Self::ShuttingDown => 503,
            Self::HttpVersion => 505,
        }
    }
}

/// Why a frame ends the connection (draft 76 section 5.3, draft 75 section 5.3, RFC 6455 section 5).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame of a type that is not 00 (nor, in draft 76, the closing FF 00).
    #[error("frame type 0x{0:02x} is not allowed")]
    ReservedType(u8),
    /// FF followed by this byte, which is not the 00 of a closing handshake.
    #[error("frame type 0xff with length byte 0x{0:02x} is not allowed")]
    ReservedLength(u8),
    /// A message, or a skipped frame, longer than
    /// [`Limits::max_message_bytes`](crate::Limits::max_message_bytes).
    #[error("the message is too long")]
    TooLong,
    /// The length of a skipped frame has too many bytes.
    #[error("the frame's length does not end")]
    EndlessLength,
    /// More bytes would have to be held than this connection has left.
    #[error("too many bytes are held")]
    NoRoom,
    /// Text that is not valid UTF-8, and the options say to close then; in RFC 6455 always (section 8.1).
    #[error("the message is not UTF-8")]
    NotUtf8,
    /// RFC 6455 section 5.1: a client masks every frame.
    #[error("the frame is not masked")]
    Unmasked,
    /// RFC 6455 section 5.2: RSV1, RSV2 and RSV3 belong to extensions, and none was agreed upon.
    #[error("the frame has a reserved bit set")]
    ReservedBit,
    /// RFC 6455 section 5.2: an opcode that is not defined.
    #[error("opcode {0:#x} is not allowed")]
    ReservedOpcode(u8),
    /// RFC 6455 section 5.2: a length not in its shortest form, or over 63 bits.
    #[error("the frame's length is not in its shortest form")]
    LongLength,
    /// RFC 6455 section 5.4: a continuation without a message to continue.
    #[error("there is no message to continue")]
    NothingToContinue,
    /// RFC 6455 section 5.4: a message begins before the fragments of another have ended.
    #[error("a message begins inside another")]
    Interleaved,
    /// RFC 6455 section 5.5: a control frame in fragments.
    #[error("the control frame is a fragment")]
    FragmentedControl,
    /// RFC 6455 section 5.5: a control frame with a payload over 125 bytes.
    #[error("the control frame is too long")]
    LongControl,
    /// RFC 6455 section 5.5.1: a close frame with half a close code.
    #[error("the close frame has one byte")]
    HalfCloseCode,
    /// RFC 6455 section 7.4: a close code that must not be sent.
    #[error("close code {0} is not allowed")]
    CloseCode(u16),
}

/// A call that makes no sense in the connection's state. Never caused by what a peer sends.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// No such connection: it never existed, or it has ended.
    #[error("no such connection")]
    UnknownConnection,
    /// The connection's id is in use.
    #[error("the connection id is in use")]
    DuplicateConnection,
    /// Not possible in the connection's state.
    #[error("not possible in the connection's state")]
    WrongState,
    /// The client's protocol has no such message.
    #[error("the client's protocol has no such message")]
    Unsupported,
    /// A status that is not allowed here, a field that cannot be written, a subprotocol not asked for.
    #[error("invalid argument")]
    Invalid,
}

/// Invalid options: from [`Server::new`](crate::Server::new).
// Not `{:?}` in the messages: the tables that it needs are 7 kB of the component.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidOptions {
    /// Not `ws://` or `wss://` with a host, or has a query or fragment (draft 76 section 3.1).
    #[error("public URL \"{0}\": it must be ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]")]
    PublicUrl(String),
    /// An accepted Origin, Host or subprotocol that no request can have.
    #[error("{option} \"{value}\" can never match: {hint}")]
    NeverMatches {
        /// `origin`, `host` or `subprotocol`.
        option: &'static str,
        /// The listed value.
        value: String,
        /// A suggestion for what was probably meant.
        hint: String,
    },
    /// Not a path, or has a query or fragment.
    #[error("the health path must begin with a slash and have no query")]
    HealthPath,
    /// No protocol is accepted.
    #[error("at least one protocol must be accepted")]
    NoProtocol,
    /// A limit that would refuse everything.
    #[error("{0} must not be 0")]
    ZeroLimit(&'static str),
    /// A limit below the maximum message length: such a message could not be buffered.
    #[error(
        "max_message_bytes must not be more than max_buffered_bytes, of which a message that has not ended takes up its part"
    )]
    MessageBeyondBuffer,
}
