//! The program `legacy-websocket`.

use std::process::ExitCode;

/// It returns memory to the system; glibc's does not if it is fragmented (docs/performance.md).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is free for a second goes back to the system, by a thread that sees to it. `.cargo/config.toml` says the same to
/// builds in the repository; the package has only this.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "jemalloc looks for a symbol of this name and type: a pointer to a C string")]
// SAFETY: jemalloc declares the symbol weak, for programs to define.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 60] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    legacy_websocket_host::cli::main()
}
