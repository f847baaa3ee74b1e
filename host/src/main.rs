//! The program `legacy-websocket`.

use std::process::ExitCode;

/// It gives memory back to the system, which glibc's does not where it is in pieces (docs/performance.md).
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    legacy_websocket_host::cli::main()
}
