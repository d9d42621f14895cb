//! `sluis`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluis::cli::main()
}
