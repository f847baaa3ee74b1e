//! For WASI 0.3.

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
    wit_bindgen::generate!({ path: "wit/p3", world: "site", generate_all });

    use super::Component;
    export!(Component);
}

use wit_bindgen::{StreamWriter, spawn_local};

use self::bindings::exports::wasi::http::handler::Guest;
use self::bindings::wasi::clocks::monotonic_clock::wait_for;
use self::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
use self::bindings::{wit_future, wit_stream};
use crate::answers::{Answer, CHUNK, answer, bytes};

struct Component;

impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_else(|| "/".into());
        match answer(&path, || describe(&request)) {
            Answer::Text(status, text) => Ok(respond(status, "text/plain", Some(text.len()), {
                async move |body| send(body, text.into_bytes()).await
            })),
            Answer::After(text) => Ok(respond(200, "text/plain", None, async move |body| {
                send(body, b"before".into()).await;
                wait_for(1_000_000).await;
                println!("{text}");
            })),
            Answer::Echo => Ok(echo(request)),
            Answer::Bytes(count) => Ok(respond(200, "application/octet-stream", Some(count), {
                async move |mut body| {
                    for from in (0..count).step_by(CHUNK) {
                        if !body.write_all(bytes(from, CHUNK.min(count - from))).await.is_empty() {
                            return;
                        }
                    }
                }
            })),
            Answer::Events => Ok(respond(200, "text/event-stream", None, async |mut body| {
                for number in 0.. {
                    let event = format!("data: {number}\n\n");
                    if !body.write_all(event.into_bytes()).await.is_empty() {
                        return println!("nobody listens any more");
                    }
                    wait_for(1_000_000).await;
                }
            })),
            Answer::Cut => Ok(respond(200, "text/plain", None, async |mut body| {
                body.write_all(b"half".into()).await;
                wait_for(1_000_000).await;
                panic!("as told");
            })),
            Answer::Wait => {
                wait_for(u64::MAX / 2).await;
                Err(ErrorCode::HttpResponseTimeout)
            }
            Answer::Error => Err(ErrorCode::InternalError(Some("as told".into()))),
        }
    }
}

fn describe(request: &Request) -> String {
    let (scheme, authority) = (request.get_scheme(), request.get_authority());
    let mut text = format!("{:?} {scheme:?} {}\n", request.get_method(), authority.unwrap_or_default());
    for (name, value) in request.get_headers().copy_all() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(&value));
    }
    text
}

async fn send(mut body: StreamWriter<u8>, bytes: Vec<u8>) {
    body.write_all(bytes).await;
}

/// A response whose body `write` writes.
fn respond<F: Future<Output = ()> + 'static>(
    status: u16,
    kind: &str,
    length: Option<usize>,
    write: impl FnOnce(StreamWriter<u8>) -> F + 'static,
) -> Response {
    let fields = Fields::new();
    let set = |name: &str, value: &str| fields.append(name, value.as_bytes()).expect("a valid field");
    set("content-type", kind);
    if let Some(length) = length {
        set("content-length", &length.to_string());
    }
    let (body, contents) = wit_stream::new();
    let (ended, trailers) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(fields, Some(contents), trailers);
    response.set_status_code(status).expect("a valid status");
    spawn_local(async move {
        write(body).await;
        // The client may be gone.
        let _ = ended.write(Ok(None)).await;
    });
    response
}

fn echo(request: Request) -> Response {
    let (_, result) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, result);
    let (response, _) = Response::new(Fields::new(), Some(body), trailers);
    response
}
