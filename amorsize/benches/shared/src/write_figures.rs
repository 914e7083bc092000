//! Writes its input into `FIGURES.md`, between the markers of a name: for figures that a script
//! measures.
//!
//! `write-figures NAME COMMAND < TEXT`; it adds machine, date and the command, in brackets, at the
//! end of the text.

use std::io::Read;
use std::path::Path;
use std::{env, io, process};

use amorsize_bench::{machine, today, wrap, write_figures};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, command] = arguments.as_slice() else {
        eprintln!("usage: write-figures NAME COMMAND < TEXT");
        process::exit(2);
    };
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let text = wrap(&format!("{} (`{command}`, {}, {}).", text.trim().trim_end_matches('.'), machine(), today()));
    write_figures(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../..")), name, &text).map_err(io::Error::other)
}
