//! The program that engines start: `tested WAY DIRECTORY TASKS ITEMS`. It prints results as lines.

use std::process::ExitCode;

fn main() -> ExitCode {
    amorsize::array::main(|| amorsize_array_tests::program(&std::env::args().skip(1).collect::<Vec<_>>()))
}
