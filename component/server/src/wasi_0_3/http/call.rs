//! Calls of `wasi:http/handler`, by the canonical ABI's own functions.
#![expect(
    unsafe_code,
    reason = "the canonical ABI writes results to buffers that it is given the addresses of"
)]

use alloc::boxed::Box;

use crate::wasi_0_3::abi::{Event, RETURNED, STATE_MASK, SUBTASK_SHIFT, leave, subtask_drop};
use crate::wasi_0_3::bindings::wasi::http::types::{ErrorCode, Request, Response};
use crate::wasi_0_3::bindings::wit_future::FuturePayload;
use crate::wasi_0_3::waiter::{Part, Source, Waiter};

/// A call that goes on. It cannot be cancelled: that would block all others until the callee has agreed, unless the host
/// has the asynchronous built-ins that WASI 0.3 does not ask for.
pub(super) struct Call {
    handle: u32,
    result: Box<CallResult>,
}

/// `result<response, error-code>` in memory: as `result<_, error-code>`, with a handle in place of nothing.
type CallResult = [u64; CALL_WORDS];
const CALL_WORDS: usize = 8;
const _: () = {
    let layout = <Result<(), ErrorCode>>::VTABLE.layout;
    assert!(layout.align() == size_of::<u64>() && layout.size() <= size_of::<CallResult>());
};

/// How a call stands.
pub(super) enum CallState {
    GoesOn(Call),
    Returned(Result<Response, ErrorCode>),
}

impl Call {
    pub(super) fn start(request: &Request, id: u64, waiter: &mut Waiter) -> CallState {
        let mut result = Box::new([0; CALL_WORDS]);
        // SAFETY: the request is passed on, and the result is kept until the call has returned.
        let started = unsafe { handle(request.take_handle(), result.as_mut_ptr().cast()) };
        let call = Self { handle: started >> SUBTASK_SHIFT, result };
        if started & STATE_MASK == RETURNED {
            return CallState::Returned(call.lift());
        }
        waiter.join(call.handle, Source::Exchange(id, Part::Call));
        CallState::GoesOn(call)
    }

    /// An event has told its state.
    pub(super) fn complete(self, event: &Event) -> CallState {
        if !event.has_returned() {
            return CallState::GoesOn(self);
        }
        leave(self.handle);
        // SAFETY: it exists and has returned.
        unsafe { subtask_drop(self.handle) };
        CallState::Returned(self.lift())
    }

    fn lift(mut self) -> Result<Response, ErrorCode> {
        let [discriminant, payload, ..] = *self.result;
        if discriminant as u8 == 0 {
            // SAFETY: the callee has put the handle of a response there, which is ours.
            return Ok(unsafe { Response::from_handle(payload as u32) });
        }
        // SAFETY: in this case the two types are the same in memory.
        let failed = unsafe { (<Result<(), ErrorCode>>::VTABLE.lift)(self.result.as_mut_ptr().cast()) };
        Err(failed.err().unwrap_or(ErrorCode::InternalError(None)))
    }
}

#[link(wasm_import_module = "wasi:http/handler@0.3.0")]
unsafe extern "C" {
    #[link_name = "[async-lower]handle"]
    fn handle(request: u32, result: *mut u8) -> u32;
}
