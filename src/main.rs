//! argv -> one subcommand -> exit code.

use std::process::ExitCode;

/// A request allocates many small values; `docs/performance.md` has what this one gives over the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mcp_auth_broker::cli::main(std::env::args_os())
}
