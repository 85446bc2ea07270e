//! The program that the jail starts for a file in Starlark.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
