//! For WASI 0.2.

mod bindings {
    #![allow(
        missing_docs,
        unsafe_code,
        unreachable_pub,
        unused_qualifications,
        clippy::allow_attributes_without_reason,
        clippy::manual_let_else,
        clippy::use_self,
        reason = "generated"
    )]
    wit_bindgen::generate!({ path: "wit/p2", world: "site", generate_all });

    use super::Component;
    export!(Component);
}

use self::bindings::exports::wasi::http::incoming_handler::Guest;
use self::bindings::wasi::clocks::monotonic_clock::subscribe_duration;
use self::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use self::bindings::wasi::io::streams::{OutputStream, StreamError};
use crate::answers::{Answer, CHUNK, answer, bytes};

/// What [`OutputStream::blocking_write_and_flush`] takes at once, in bytes.
const WRITE: usize = 4096;

struct Component;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_else(|| "/".into());
        match answer(&path, || describe(&request)) {
            Answer::Text(status, text) => {
                respond(out, status, "text/plain", Some(text.len()), |body| write(body, text.as_bytes()));
            }
            Answer::After(text) => {
                respond(out, 200, "text/plain", None, |body| write(body, b"before"));
                println!("{text}");
            }
            Answer::Echo => respond(out, 200, "application/octet-stream", None, |body| {
                let incoming = request.consume().expect("it has a body");
                let stream = incoming.stream().expect("nobody reads it");
                while let Ok(read) = stream.blocking_read(CHUNK as u64) {
                    write(body, &read)?;
                }
                Ok(())
            }),
            Answer::Bytes(count) => respond(out, 200, "application/octet-stream", Some(count), |body| {
                let mut places = (0..count).step_by(CHUNK);
                places.try_for_each(|from| write(body, &bytes(from, CHUNK.min(count - from))))
            }),
            Answer::Events => respond(out, 200, "text/event-stream", None, |body| {
                let mut numbers = 0..;
                numbers.try_for_each(|number: u64| {
                    write(body, format!("data: {number}\n\n").as_bytes())?;
                    subscribe_duration(1_000_000).block();
                    Ok(())
                })
            }),
            Answer::Cut => respond(out, 200, "text/plain", None, |body| {
                write(body, b"half")?;
                panic!("as told");
            }),
            Answer::Wait => subscribe_duration(u64::MAX / 2).block(),
            Answer::Error => {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("as told".into()))));
            }
        }
    }
}

fn describe(request: &IncomingRequest) -> String {
    let (scheme, authority) = (request.scheme(), request.authority());
    let mut text = format!("{:?} {scheme:?} {}\n", request.method(), authority.unwrap_or_default());
    for (name, value) in request.headers().entries() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

/// A response whose body `write` writes.
fn respond(
    out: ResponseOutparam,
    status: u16,
    kind: &str,
    length: Option<usize>,
    write: impl FnOnce(&OutputStream) -> Result<(), StreamError>,
) {
    let fields = Fields::new();
    let set = |name: &str, value: &str| fields.append(name, value.as_bytes()).expect("a valid field");
    set("content-type", kind);
    if let Some(length) = length {
        set("content-length", &length.to_string());
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("it has one");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("nobody writes it");
    let written = write(&stream);
    drop(stream);
    if written.is_ok() {
        // The client may be gone.
        let _ = OutgoingBody::finish(body, None);
    }
}

fn write(body: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    bytes.chunks(WRITE).try_for_each(|part| body.blocking_write_and_flush(part))
}
