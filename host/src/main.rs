//! The program `legacy-websocket`.

use std::process::ExitCode;

/// It returns memory to the system; glibc's does not if it is fragmented (docs/performance.md).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    legacy_websocket_host::cli::main()
}
