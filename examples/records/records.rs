//! Records with large results into a Parquet file, and back by SQL: the distances of 1707
//! earthquakes in space and time.
//!
//! `cargo run --release -p amorsize-records --example records` writes
//! `examples/output/quakes.parquet`, 45 MiB of results through a budget of 16 MiB, and has DuckDB
//! run `query.sql`: the program `duckdb`, or the module of the Python in `AMORSIZE_READERS`.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use amorsize::sink::Parquet;
use amorsize::{DeepSize, batched};
use serde::{Deserialize, Serialize};

/// The earthquakes that the U.S. Geological Survey recorded from 31 January to 7 February 2018.
const EARTHQUAKES: &str = include_str!("../database/earthquakes.csv");

/// A row of the file: its fields are the columns.
#[derive(DeepSize, Serialize, Deserialize)]
struct Record {
    event: String,
    time: String,
    place: String,
    magnitude: f64,
    /// The distance to each earthquake, itself included.
    kilometres: Vec<f64>,
    days: Vec<f64>,
}

/// The fields of a line of the survey: event, time, latitude and longitude in degrees, depth,
/// magnitude, place.
fn fields(line: &str) -> Option<[&str; 7]> {
    // The place comes last and may contain commas.
    line.splitn(7, ',').collect::<Vec<_>>().try_into().ok()
}

/// The place on a ball, as a vector of length 1, and the days since the end of January.
fn position(line: &str) -> Option<([f64; 3], f64)> {
    let [_, time, latitude, longitude, ..] = fields(line)?;
    let (north, east) = (latitude.parse::<f64>().ok()?.to_radians(), longitude.parse::<f64>().ok()?.to_radians());
    let number = |from: usize| time.get(from..from + 2)?.parse::<f64>().ok();
    let day = if number(5)? < 2.0 { 0.0 } else { number(8)? };
    let days = day + (number(11)? + (number(14)? + number(17)? / 60.0) / 60.0) / 24.0;
    Some(([north.cos() * east.cos(), north.cos() * east.sin(), north.sin()], days))
}

#[batched(max_memory = "16MiB", on_error = "stop")]
fn describe(line: &str, all: &[([f64; 3], f64)]) -> Result<Record, String> {
    let broken = || format!("no record of an earthquake: {line}");
    let [event, time, _, _, _, magnitude, place] = fields(line).ok_or_else(broken)?;
    let ([x, y, z], day) = position(line).ok_or_else(broken)?;
    let angle = |[a, b, c]: [f64; 3]| (x * a + y * b + z * c).clamp(-1.0, 1.0).acos();
    Ok(Record {
        event: event.into(),
        time: time.into(),
        place: place.into(),
        magnitude: magnitude.parse().map_err(|_| broken())?,
        kilometres: all.iter().map(|(there, _)| 6371.0 * angle(*there)).collect(),
        days: all.iter().map(|(_, then)| then - day).collect(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = here.with_file_name("output");
    std::fs::create_dir_all(&output)?;
    let file = output.join("quakes.parquet");

    let all: Vec<_> = EARTHQUAKES.lines().skip(1).filter_map(position).collect();
    let report = describe_batched(EARTHQUAKES.lines().skip(1), &all).write_to(Parquet::new(&file))?;
    println!("{report}\n");

    let query = std::fs::read_to_string(here.join("query.sql"))?;
    let mut duckdb = match std::env::var_os("AMORSIZE_READERS") {
        Some(python) => {
            let mut python = Command::new(python);
            python.args(["-c", "import duckdb, sys; duckdb.sql(sys.argv[1]).show()", &query]);
            python
        }
        None => {
            let mut program = Command::new("duckdb");
            program.args(["-c", &query]);
            program
        }
    };
    match duckdb.current_dir(&output).output() {
        Ok(shown) if shown.status.success() => print!("{}", String::from_utf8(shown.stdout)?),
        Ok(failed) => return Err(String::from_utf8_lossy(&failed.stderr).into()),
        Err(_) => println!("DuckDB is not there; to ask it for {}:\n{query}", file.display()),
    }
    Ok(())
}
