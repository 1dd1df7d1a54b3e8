//! The `selfsame` command: all of it is in the library beside, which so is compiled while what it calls is still being optimized.

use std::process::ExitCode;

fn main() -> ExitCode {
    selfsame_cli::main()
}
