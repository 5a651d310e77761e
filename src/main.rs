//! argv -> one subcommand -> exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_auth_broker::cli::main(std::env::args_os())
}
