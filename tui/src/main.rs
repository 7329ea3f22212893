//! The program `swapmeet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tui::cli::main()
}
