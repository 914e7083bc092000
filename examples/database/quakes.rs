//! A week of the world's earthquakes in a database, for the examples `database` and `resume`.

use std::error::Error;
use std::fs;
use std::path::Path;

use rusqlite::{Connection, Transaction, params_from_iter};

/// The earthquakes that the U.S. Geological Survey recorded from 31 January to 7 February 2018.
const EARTHQUAKES: &str = include_str!("earthquakes.csv");

/// Opens a database, by default in the folder `examples/output`. If it lacks the tables, this makes
/// and fills `quake`, and makes one for results. It calls `after` after each row of the first, with
/// the row's number from 1 on.
pub(crate) fn open(
    path: impl AsRef<Path>,
    results: &str,
    after: impl Fn(&Transaction, usize) -> rusqlite::Result<()>,
) -> Result<Connection, Box<dyn Error>> {
    let output = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("output");
    fs::create_dir_all(&output)?;
    let mut database = Connection::open(output.join(path))?;
    // With a write-ahead log, rows can be read while results are written. If the system fails, the
    // last results may be lost.
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "normal")?;
    if database.table_exists(None, "quake")? {
        return Ok(database);
    }
    let all = database.transaction()?;
    all.execute_batch(&format!(
        "CREATE TABLE quake (id INTEGER PRIMARY KEY, event TEXT, time TEXT, latitude REAL, longitude REAL,
             depth REAL, magnitude REAL, place BLOB);
         CREATE TABLE {results};"
    ))?;
    let mut insert = all.prepare("INSERT INTO quake VALUES (NULL, ?, ?, ?, ?, ?, ?, CAST(? AS BLOB))")?;
    for (number, line) in (1..).zip(EARTHQUAKES.lines().skip(1)) {
        // The place comes last and may contain commas.
        insert.execute(params_from_iter(line.splitn(7, ',')))?;
        after(&all, number)?;
    }
    drop(insert);
    all.commit()?;
    Ok(database)
}
