//! The program that engines start: `tested WAY DIRECTORY TASKS ITEMS`. It prints results as lines.
//! `tested serve` does so for each line of stdin.

use std::process::ExitCode;

fn main() -> ExitCode {
    amorsize::array::main(|| {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        if arguments == ["serve"] {
            amorsize_array_tests::serve()?;
            return Ok(());
        }
        amorsize_array_tests::program(&arguments)
    })
}
