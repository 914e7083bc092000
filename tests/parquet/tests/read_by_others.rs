//! pyarrow, DuckDB and Polars read from Parquet and JSON Lines the values that were written.
//!
//! They are in a Python environment. `AMORSIZE_READERS` names its interpreter, and `.ci/run` makes
//! it. Without it this test says that it was left out.

#[path = "../../common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use amorsize::on_error::Stop;
use amorsize::process_in_batches;
use amorsize::sink::{JsonLines, Parquet};
use folder::Folder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
enum Kind {
    Portrait,
    Landscape,
}

#[derive(Serialize, Deserialize)]
struct Camera {
    maker: String,
    lens: Option<f32>,
}

#[derive(Serialize, Deserialize)]
struct Photo {
    name: String,
    number: u64,
    below: i8,
    bright: f64,
    sharp: bool,
    taken: Option<i64>,
    kind: Kind,
    camera: Camera,
    thumb: Vec<u8>,
    tags: Vec<String>,
    size: (u32, u32),
    counts: BTreeMap<String, u32>,
}

fn photo(item: u32) -> Photo {
    Photo {
        name: format!("\"{item}\"\n\u{1F4F7}.jpg"),
        // Other readers take no larger numbers from JSON.
        number: (1 << 53) - u64::from(item),
        below: -(item as i8),
        bright: f64::from(item) / 8.0,
        sharp: item > 30,
        taken: (!item.is_multiple_of(3)).then_some(-i64::from(item)),
        kind: if item.is_multiple_of(2) { Kind::Portrait } else { Kind::Landscape },
        camera: Camera { maker: "Rollei".into(), lens: (item > 10).then_some(2.5) },
        thumb: vec![item as u8; item as usize % 5],
        tags: vec!["tag".to_owned(); item as usize % 4],
        size: (item, 2),
        counts: (0..item % 3).map(|key| (key.to_string(), key)).collect(),
    }
}

const ITEMS: u32 = 100;

#[test]
fn by_pyarrow_duckdb_and_polars() {
    let Some(python) = std::env::var_os("AMORSIZE_READERS") else {
        // Written past the test harness, which shows the output of failed tests only.
        let _ = io::stderr().write_all(b"left out: reading by pyarrow, DuckDB and Polars, without AMORSIZE_READERS\n");
        return;
    };
    let folder = Folder::new("by_pyarrow_duckdb_and_polars");
    let run = || process_in_batches(photo, 0..ITEMS).batch_size(30);
    run().write_to(JsonLines::new(folder.file("photos.jsonl"))).unwrap();
    // A run that ended early leaves the partial file, and a whole one of the same name may be
    // beside it.
    run().write_to(Parquet::new(folder.file("photos.parquet"))).unwrap();
    let ends = process_in_batches(|item| if item == 70 { Err(item) } else { Ok(photo(item)) }, 0..ITEMS);
    let early = ends.on_error(Stop).batch_size(30).write_to(Parquet::new(folder.file("photos.parquet"))).unwrap_err();
    assert_eq!(early.item(), Some(70));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("read.py");
    let output = Command::new(python).arg(script).arg(folder.file("")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<(String, String, Vec<Value>)> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let readers: Vec<_> = told.iter().map(|(reader, file, _)| format!("{reader} {file}")).collect();
    let all = ["photos.parquet", "photos.parquet.partial", "photos.jsonl"]
        .map(|file| ["pyarrow", "duckdb", "polars"].map(|reader| format!("{reader} {file}")));
    assert_eq!(readers, all.concat());
    for (reader, file, rows) in told {
        let expected = if file.ends_with("partial") { 70 } else { ITEMS };
        assert_eq!(rows.len(), expected as usize, "{reader}, {file}");
        for (item, row) in (0..).zip(rows) {
            assert_eq!(row, serde_json::to_value(photo(item)).unwrap(), "{reader}, {file}, row {item}");
        }
    }
}
