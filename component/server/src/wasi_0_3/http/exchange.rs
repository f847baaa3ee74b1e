//! One request and its response.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Display, Formatter};
use core::mem;
use core::net::SocketAddr;

use legacy_websocket::{Options, step};

use super::call::{Call, CallState};
use super::request::build;
use super::upload::Upload;
use crate::io::Ready;
use crate::wasi_0_3::abi::{Event, Reader};
use crate::wasi_0_3::bindings::wasi::http::types::{ErrorCode, Response};
use crate::wasi_0_3::future::FutureWriter;
use crate::wasi_0_3::waiter::{Part, Source, Waiter};

/// The size of a read of a response's body, in bytes.
const READ: usize = 16 * 1024;

/// How many bytes of a body are read before others have their turn.
const TURN: usize = 256 * 1024;

/// Fields of a response that are the server's own.
const SERVERS: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One request and its response.
pub(crate) struct Exchange {
    id: u64,
    is_head: bool,
    upload: Option<Upload>,
    state: State,
}

enum State {
    Calling(Call),
    /// Nobody waits for the response any more.
    Abandoned(Call),
    Reading(Download),
    Done(Result<Answer, Failed>),
    Over,
}

/// What comes of an exchange.
pub(crate) enum Progress {
    GoesOn,
    Done(Result<Answer, Failed>),
    /// Nothing: it was abandoned.
    Over,
}

/// A response.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// In answer to HEAD, the length of the body that there would be.
    pub(crate) of_head: Option<usize>,
}

/// Why there is no response.
pub(crate) enum Failed {
    /// The request is none that `wasi:http` has.
    BadRequest,
    /// The component returned an error, or its body ended with one.
    Error(ErrorCode),
    /// The status is no final one.
    Status(u16),
    /// The body is longer than this many bytes.
    TooLong(usize),
    /// So many calls go on already.
    TooMany(usize),
}

impl Display for Failed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest => f.write_str("wasi:http has no such request"),
            Self::Error(error) => write!(f, "{error:?}"),
            Self::Status(status) => write!(f, "status {status} is not final"),
            Self::TooMany(max) => write!(f, "{max} requests are being answered"),
            Self::TooLong(max) => write!(f, "the response is longer than {max} bytes"),
        }
    }
}

/// A response whose body is being read.
struct Download {
    answer: Answer,
    /// The length of the body, as the component has declared it.
    length: Option<usize>,
    body: Reader,
    /// Tells the component whether its response was taken.
    taken: FutureWriter<Result<(), ErrorCode>>,
}

impl Exchange {
    /// Calls the component. `peer` is the other end of the connection, a proxy perhaps.
    pub(crate) fn start(
        request: step::Request,
        peer: SocketAddr,
        options: &Options,
        waiter: &mut Waiter,
    ) -> Self {
        let (id, is_head) = (request.connection, request.head.method == "HEAD");
        let mut exchange = Self { id, is_head, upload: None, state: State::Over };
        let Some((request, upload)) = build(request, peer, options, waiter) else {
            exchange.state = State::Done(Err(Failed::BadRequest));
            return exchange;
        };
        exchange.receive(Call::start(&request, id, waiter), waiter);
        exchange.upload = upload.and_then(|upload| upload.write(id, waiter));
        exchange
    }

    /// The bytes held of the response.
    pub(crate) fn held(&self) -> usize {
        match &self.state {
            State::Reading(download) => download.answer.body.capacity(),
            State::Done(Ok(answer)) => answer.body.capacity(),
            _ => 0,
        }
    }

    /// An event has told the result of a part.
    pub(crate) fn complete(&mut self, part: Part, event: &Event, waiter: &mut Waiter) {
        match (part, mem::replace(&mut self.state, State::Over)) {
            (Part::Upload, state) => {
                self.state = state;
                self.upload = self.upload.take().and_then(|upload| upload.complete(event, self.id, waiter));
            }
            (Part::Call, State::Calling(call)) => self.receive(call.complete(event), waiter),
            (Part::Call, State::Abandoned(call)) => {
                if let CallState::GoesOn(call) = call.complete(event) {
                    self.state = State::Abandoned(call);
                }
            }
            (Part::Body, State::Reading(mut download)) => {
                download.body.complete(event.result);
                self.state = State::Reading(download);
            }
            (_, state) => self.state = state,
        }
    }

    /// Reads what there is of the response, at most `max` bytes in all.
    pub(crate) fn drive(&mut self, max: usize, waiter: &mut Waiter) -> Progress {
        let mut state = mem::replace(&mut self.state, State::Over);
        if let State::Reading(download) = state {
            state = download.read(self.id, self.is_head, max, waiter);
        }
        match state {
            State::Over => Progress::Over,
            State::Done(done) => Progress::Done(done),
            state => {
                self.state = state;
                Progress::GoesOn
            }
        }
    }

    /// The client is gone. Returns whether the exchange is over.
    pub(crate) fn abandon(&mut self, waiter: &mut Waiter) -> bool {
        self.upload = None;
        match mem::replace(&mut self.state, State::Over) {
            State::Calling(call) | State::Abandoned(call) => self.state = State::Abandoned(call),
            State::Reading(download) => {
                waiter.keep(download.taken.write(Err(ErrorCode::ConnectionTerminated)));
            }
            State::Done(_) | State::Over => {}
        }
        matches!(self.state, State::Over)
    }

    fn receive(&mut self, call: CallState, waiter: &mut Waiter) {
        self.state = match call {
            CallState::GoesOn(call) => State::Calling(call),
            CallState::Returned(Ok(response)) => State::Reading(Download::new(response, self.id, waiter)),
            CallState::Returned(Err(error)) => State::Done(Err(Failed::Error(error))),
        };
    }
}

impl Download {
    fn new(response: Response, id: u64, waiter: &mut Waiter) -> Self {
        let status = response.get_status_code();
        let fields = response.get_headers().copy_all();
        let length = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, value)| core::str::from_utf8(value).ok()?.trim().parse().ok());
        let fields = fields.into_iter().filter(|(name, _)| is_passed(name)).collect();
        let (taken, result) = FutureWriter::new();
        // How the body ends, its trailers would tell. But if the component passes on those of the request, the other
        // end is ours, and to read them would be a trap.
        let (body, _) = Response::consume_body(response, result);
        waiter.join(body.handle(), Source::Exchange(id, Part::Body));
        let answer = Answer { status, fields, body: Vec::new(), of_head: None };
        Self { answer, length, body: Reader::new(body), taken }
    }

    fn read(mut self, id: u64, is_head: bool, max: usize, waiter: &mut Waiter) -> State {
        let until = self.answer.body.len().saturating_add(TURN);
        while self.body.start(READ) {
            if self.body.take(&mut self.answer.body).is_none() {
                return State::Done(self.end(is_head, waiter));
            }
            if self.answer.body.len() > max {
                waiter.keep(self.taken.write(Err(ErrorCode::HttpResponseBodySize(None))));
                return State::Done(Err(Failed::TooLong(max)));
            }
            if self.answer.body.len() > until {
                waiter.note_ready(Ready::Exchange(id));
                break;
            }
        }
        State::Reading(self)
    }

    /// The whole response, if it has the length that was declared.
    fn end(mut self, is_head: bool, waiter: &mut Waiter) -> Result<Answer, Failed> {
        let length = self.answer.body.len();
        let is_cut = self.length.is_some_and(|declared| declared != length) && !self.has_no_body(is_head);
        let failed = if !(200..=599).contains(&self.answer.status) {
            Some(Failed::Status(self.answer.status))
        } else {
            is_cut.then_some(Failed::Error(ErrorCode::HttpResponseIncomplete))
        };
        waiter.keep(self.taken.write(Ok(())));
        if let Some(failed) = failed {
            return Err(failed);
        }
        if is_head {
            self.answer.of_head = self.length;
        }
        Ok(self.answer)
    }

    fn has_no_body(&self, is_head: bool) -> bool {
        is_head || matches!(self.answer.status, 204 | 304)
    }
}

/// Whether a field of the component's is passed on to the client.
fn is_passed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !SERVERS.contains(&name.as_str()) && !name.starts_with("sec-websocket-")
}
