//! Futures by the canonical ABI's own functions, as streams are in `abi`.
#![expect(
    unsafe_code,
    reason = "the canonical ABI reads and writes values that it is given the addresses of"
)]

#[cfg(feature = "http")]
use alloc::boxed::Box;
#[cfg(feature = "http")]
use core::marker::PhantomData;

use wit_bindgen::FutureReader;

#[cfg(feature = "http")]
use super::abi::leave;
use super::abi::{BLOCKED, COMPLETED};
use super::bindings::wasi::sockets::types::ErrorCode;
use super::bindings::wit_future::FuturePayload;

/// Room for every payload.
type Value = [u64; WORDS];
const WORDS: usize = 8;

/// The result of a stream that has ended. If the host does not know yet, it counts as a proper end.
pub(super) fn result(future: FutureReader<Result<(), ErrorCode>>) -> Result<(), ErrorCode> {
    type Ended = Result<(), ErrorCode>;
    const { assert_fits::<Ended>() };
    let handle = future.take_handle();
    let mut value: Value = [0; WORDS];
    let at: *mut u8 = value.as_mut_ptr().cast();
    // SAFETY: the future exists; the value is large enough and aligned, and nothing touches it until the read is over or
    // cancelled; if the host has written it, it is lifted once.
    unsafe {
        let mut read = (Ended::VTABLE.start_read)(handle, at);
        if read == BLOCKED {
            read = (Ended::VTABLE.cancel_read)(handle);
        }
        let ended = if read == COMPLETED { (Ended::VTABLE.lift)(at) } else { Ok(()) };
        (Ended::VTABLE.drop_readable)(handle);
        ended
    }
}

/// The end of a future that has to be written: otherwise the other end waits forever.
#[cfg(feature = "http")]
pub(super) struct FutureWriter<T: FuturePayload> {
    handle: u32,
    payload: PhantomData<T>,
}

/// A value on its way to a reader, which takes it when it wants.
#[cfg(feature = "http")]
pub(super) struct FutureWrite {
    pub(super) handle: u32,
    drop_writable: unsafe extern "C" fn(u32),
    _value: Box<Value>,
}

#[cfg(feature = "http")]
impl<T: FuturePayload> FutureWriter<T> {
    /// A future, as its two ends.
    pub(super) fn new() -> (Self, FutureReader<T>) {
        // SAFETY: it has no preconditions, and the reader's handle is of this type and ours.
        unsafe {
            let ends = (T::VTABLE.new)();
            let [reader, writer] = [ends, ends >> 32].map(|end| end as u32);
            let reader = FutureReader::new(reader, T::VTABLE);
            (Self { handle: writer, payload: PhantomData }, reader)
        }
    }

    /// Writes a value without lists. What is returned has to be kept until it is read.
    pub(super) fn write(self, value: T) -> Option<FutureWrite> {
        const { assert_fits::<T>() };
        let mut lowered = Box::new([0; WORDS]);
        let at: *mut u8 = lowered.as_mut_ptr().cast();
        // SAFETY: the value is large enough and aligned, and kept until it has been read.
        let result = unsafe {
            (T::VTABLE.lower)(value, at);
            (T::VTABLE.start_write)(self.handle, at)
        };
        let drop_writable = T::VTABLE.drop_writable;
        let write = FutureWrite { handle: self.handle, drop_writable, _value: lowered };
        if result == BLOCKED {
            return Some(write);
        }
        write.finish();
        None
    }
}

#[cfg(feature = "http")]
impl FutureWrite {
    /// It has been read, or never will be.
    pub(super) fn finish(self) {
        leave(self.handle);
        // SAFETY: it exists and has been written.
        unsafe { (self.drop_writable)(self.handle) };
    }
}

const fn assert_fits<T: FuturePayload>() {
    let layout = T::VTABLE.layout;
    assert!(layout.size() <= size_of::<Value>() && layout.align() <= align_of::<Value>());
}
