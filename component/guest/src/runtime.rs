//! What `no_std` leaves to us.

use alloc::alloc::Layout;

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

/// The canonical ABI's allocator. wasi-libc's would take its memory from another heap than Rust frees it to.
///
/// # Safety
/// `old` and `old_len` are those of an earlier call with the same `align`; the host alone calls this.
#[expect(unsafe_code, reason = "the canonical ABI's signature")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: `align` is a WIT type's, so a power of two; the rest is the caller's promise.
    let new = unsafe {
        if old_len == 0 {
            alloc::alloc::alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            alloc::alloc::realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len)
        }
    };
    if new.is_null() {
        core::arch::wasm32::unreachable();
    }
    new
}
