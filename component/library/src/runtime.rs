//! What `no_std` leaves to us.

/// Rust's own dlmalloc: small, and asks for nothing but memory.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[expect(unsafe_code, reason = "how a library is linked: memcpy, memcmp and memset come from wasi-libc")]
#[link(name = "c")]
unsafe extern "C" {}

/// A panic cannot be caused by a peer; should one happen, the host sees a trap.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The canonical ABI's allocator; a library without `std` has to export it itself.
///
/// # Safety
/// Called by the host alone, with what it was given here before.
#[expect(unsafe_code, reason = "the canonical ABI's signature, passed on unchanged")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    // SAFETY: the caller's promise is the callee's requirement.
    unsafe { wit_bindgen::rt::cabi_realloc(old, old_len, align, new_len) }
}
