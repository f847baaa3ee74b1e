//! Faults on demand, to see what a host does about them.

use alloc::vec::Vec;

/// Looks for the messages `fault:trap`, `fault:spin` and `fault:grow`, and does as they say.
pub(crate) fn commit(bytes: &[u8]) {
    match bytes.strip_prefix(b"\0fault:").and_then(|rest| rest.strip_suffix(b"\xff")) {
        Some(b"trap") => trap(),
        Some(b"spin") => spin(),
        Some(b"grow") => grow(),
        _ => {}
    }
}

fn trap() {
    core::arch::wasm32::unreachable()
}

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn grow() {
    let mut all = Vec::new();
    loop {
        all.push(core::hint::black_box(alloc::vec![1_u8; 1 << 20]));
    }
}
