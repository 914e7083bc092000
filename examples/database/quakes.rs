//! The data of the examples `database` and `resume`, as a table of a database.

use rusqlite::{Connection, Transaction, params_from_iter};

/// What the U.S. Geological Survey recorded from 31 January to 7 February 2018.
const EARTHQUAKES: &str = include_str!("earthquakes.csv");

/// Makes the table `quake` and fills it, unless it is there already. `after` is called after each row, with its number from 1 on.
pub(crate) fn prepare(
    database: &mut Connection,
    mut after: impl FnMut(&Transaction, usize) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    if database.table_exists(None, "quake")? {
        return Ok(());
    }
    let all = database.transaction()?;
    all.execute_batch(
        "CREATE TABLE quake (id INTEGER PRIMARY KEY, event TEXT, time TEXT, latitude REAL, longitude REAL,
             depth REAL, magnitude REAL, place BLOB)",
    )?;
    let mut insert = all.prepare("INSERT INTO quake VALUES (NULL, ?, ?, ?, ?, ?, ?, CAST(? AS BLOB))")?;
    for (number, line) in (1..).zip(EARTHQUAKES.lines().skip(1)) {
        // The place comes last and may have commas.
        insert.execute(params_from_iter(line.splitn(7, ',')))?;
        after(&all, number)?;
    }
    drop(insert);
    all.commit()
}
