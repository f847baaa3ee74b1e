//! A backend's response on its way to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Response, Version};

use super::backend::Backend;
use super::exchange::{in_words, warn_of};
use super::fields;

/// Makes a backend's response the client's.
pub(super) fn download(response: Response<Incoming>, backend: Option<Arc<Backend>>) -> Response<Download> {
    let mut response = response.map(|body| Download { body, backend });
    fields::remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    response
}

/// The body of a backend's response.
#[derive(Debug)]
pub(super) struct Download {
    body: Incoming,
    backend: Option<Arc<Backend>>,
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Err(error))), Some(backend)) = (&frame, &self.backend) {
            backend.count_failure("response");
            warn_of(backend, "", &format!("breaks off its response: {}", in_words(error)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
