//! Rows of a SQLite database through a function that can fail: it reports broken rows, and Ctrl-C
//! loses nothing.
//!
//! `cargo run --release -p amorsize-database --example resume [-- [--slow] [FILE]]` puts a week of
//! the world's earthquakes into a database, by default `examples/output/resume.sqlite`, and stores
//! beside each a map of how strongly the ground shook. The data is real, but each hundredth row is
//! followed by a copy of it with one broken field. Ctrl-C ends it early, and so does a kill. The
//! next start goes on from there, since each transaction stores the number of rows that are done.
//! `--slow` adds 10 ms to each row, which leaves time to press Ctrl-C.

mod quakes;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use amorsize::{CancelToken, DeepSize, batched};
use rusqlite::{Row, Transaction};

/// Cells along one side of a map, and the kilometres of a cell.
const SIDE: usize = 96;
const CELL: f64 = 4.0;

/// A row of the table `quake`.
struct Quake {
    id: i64,
    depth: f64,
    magnitude: f64,
    place: Vec<u8>,
}

/// A row of the table `shaking`: 36 KiB of intensities around an epicentre, as the database stores
/// them.
#[derive(DeepSize)]
struct Shaking {
    id: i64,
    place: String,
    strongest: f64,
    map: Vec<u8>,
}

/// A row that has no map, and the reason.
#[derive(Debug, DeepSize)]
struct Broken {
    /// Unknown where the database itself can't be read.
    id: Option<i64>,
    cause: String,
}

impl Broken {
    fn new(id: i64, cause: impl ToString) -> Self {
        Self { id: Some(id), cause: cause.to_string() }
    }
}

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Self {
        Self { id: None, cause: error.to_string() }
    }
}

/// Works out how strongly an earthquake shook the ground around it, on the scale from 1 (not felt)
/// to 12. The formula is that of Allen, Wald and Worden (2012), by the distance to where the
/// earthquake began. Distances below 5 km count as 5 km.
#[batched(max_memory = 0.3, batch_size = 64, fallible_input)]
fn shaking(quake: Quake, pause: Duration) -> Result<Shaking, Broken> {
    thread::sleep(pause);
    let place = String::from_utf8(quake.place).map_err(|error| Broken::new(quake.id, format!("place: {error}")))?;
    let near = -0.209 + 2.042 * (quake.magnitude - 5.0).exp();
    let (mut strongest, mut map) = (1.0, Vec::with_capacity(SIDE * SIDE * size_of::<f32>()));
    for cell in 0..SIDE * SIDE {
        let [south, east] = [cell / SIDE, cell % SIDE].map(|cell| (cell as f64 - SIDE as f64 / 2.0) * CELL);
        let distance = south.hypot(east).hypot(quake.depth.max(5.0));
        let far = 0.078 * (distance / 50.0).max(1.0).ln();
        let intensity = 2.085 + 1.428 * quake.magnitude - 1.402 * distance.hypot(near).ln() + far;
        strongest = intensity.max(strongest);
        map.extend((intensity.max(1.0) as f32).to_le_bytes());
    }
    Ok(Shaking { id: quake.id, place, strongest, map })
}

/// Reads a row. In SQLite a column can hold anything, so the type of each field may be wrong.
fn read(row: &Row) -> Result<Quake, Broken> {
    let id = row.get("id")?;
    let number = |column| row.get(column).map_err(|error| Broken::new(id, error));
    let place = row.get("place").map_err(|error| Broken::new(id, error))?;
    Ok(Quake { id, depth: number("depth")?, magnitude: number("magnitude")?, place })
}

/// Adds a copy of each hundredth row, right after it, with one broken field.
fn break_a_copy(all: &Transaction, number: usize) -> rusqlite::Result<()> {
    if number.is_multiple_of(100) {
        let columns = "event, time, latitude, longitude, depth, magnitude, place";
        all.execute(
            &format!("INSERT INTO quake SELECT NULL, {columns} FROM quake WHERE id = last_insert_rowid()"),
            [],
        )?;
        let breaks = ["magnitude = NULL", "depth = 'unknown'", "place = CAST(place || x'ff' AS BLOB)"];
        let field = breaks[number / 100 % breaks.len()];
        all.execute(&format!("UPDATE quake SET {field} WHERE id = last_insert_rowid()"), [])?;
    }
    Ok(())
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (options, files): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    if options.iter().any(|option| option != "--slow") || files.len() > 1 {
        return Err("usage: resume [--slow] [FILE]".into());
    }
    let pause = Duration::from_millis(if options.is_empty() { 0 } else { 10 });
    let file = files.first().map_or_else(|| Ok("resume.sqlite".into()), std::path::absolute)?;

    let table = "shaking (id INTEGER PRIMARY KEY REFERENCES quake, place TEXT, strongest REAL, map BLOB)";
    let mut results = quakes::open(&file, table, break_a_copy)?;
    results.execute_batch(
        "CREATE TABLE IF NOT EXISTS broken (id INTEGER PRIMARY KEY REFERENCES quake, cause TEXT);
         CREATE TABLE IF NOT EXISTS place (rows INTEGER);",
    )?;
    let counts = "SELECT (SELECT count(*) FROM quake), (SELECT coalesce(max(rows), 0) FROM place)";
    let (rows, before) = results.query_row(counts, [], |row| <(u32, u32)>::try_from(row))?;
    println!("{rows} rows, {before} of them done");

    let token = CancelToken::new();
    let on_ctrl_c = token.clone();
    ctrlc::set_handler(move || on_ctrl_c.cancel())?;

    // The run asks for rows, and this thread reads them: neither a connection nor a statement has
    // to be `Send`. With `fallible_input` a row that can't be read is a failed item, and the
    // function never sees it.
    let records = quakes::open(&file, table, break_a_copy)?;
    let mut query = records.prepare("SELECT * FROM quake ORDER BY id")?;
    // The run passes over the rows that are done.
    let mut run =
        shaking_batched(query.query_and_then([], read)?, pause).skip_first(before as usize).cancel_token(&token);

    let (mut stored, mut broken) = (0, 0);
    let outcome = run.try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
        let whole = results.transaction()?;
        let mut insert = whole.prepare("INSERT INTO shaking VALUES (?, ?, ?, ?)")?;
        let done = (batch.first_index() + batch.len()) as u32;
        for result in batch {
            match result {
                Ok(Shaking { id, place, strongest, map }) => stored += insert.execute((id, place, strongest, map))?,
                Err(Broken { id: Some(id), cause }) => {
                    broken += whole.execute("INSERT INTO broken VALUES (?, ?)", (id, cause))?;
                }
                Err(Broken { id: None, cause }) => return Err(cause.into()),
            }
        }
        drop(insert);
        // In the same transaction, so that each row is stored exactly once, whatever ends this
        // process.
        whole.execute("DELETE FROM place", [])?;
        whole.execute("INSERT INTO place VALUES (?)", [done])?;
        whole.commit()?;
        println!("{stored} maps stored");
        Ok(())
    });
    let report = match outcome {
        Ok(report) => Some(report),
        Err(error) if error.downcast_ref().is_some_and(amorsize::Error::is_cancelled) => None,
        Err(error) => return Err(error),
    };

    println!("\n{} rows done, {stored} maps stored, {broken} broken rows", stored + broken);
    let mut all_broken = results.prepare("SELECT id, cause FROM broken ORDER BY id")?;
    for row in all_broken.query_map([], |row| <(i64, String)>::try_from(row))? {
        let (id, cause) = row?;
        println!("  row {id}: {cause}");
    }
    let Some(report) = report else {
        println!("stopped by Ctrl-C; what is finished is stored, and the next start goes on after it");
        return Ok(ExitCode::from(130));
    };
    println!("{report}");
    let strongest = "SELECT max(strongest), place, count(*) FROM shaking";
    let (strongest, place, maps) = results.query_row(strongest, [], |row| <(f64, String, u32)>::try_from(row))?;
    println!("finished: {maps} of {rows} rows have a map; the strongest shaking was {strongest:.1}, {place}");
    Ok(ExitCode::SUCCESS)
}
