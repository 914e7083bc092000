//! A Parquet file on a full disk can be read, and goes on when there is room again.

#![cfg(unix)]

#[path = "../../common/child.rs"]
mod child;
#[path = "../../common/folder.rs"]
mod folder;
#[path = "../../common/full.rs"]
mod full;

use std::fs::File;
use std::io;
use std::path::Path;

use amorsize::sink::Parquet;
use amorsize::{ErrorKind, process_in_batches};
use child::{is_inside, run_inside};
use folder::Folder;
use full::limit_files;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    value: u64,
}

fn rows(path: &Path) -> Vec<u64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let batches = reader.build().unwrap();
    let rows = batches.flat_map(|batch| serde_arrow::from_record_batch::<Vec<Row>>(&batch.unwrap()).unwrap());
    rows.map(|row| row.value).collect()
}

/// Numbers that no compression makes smaller.
fn number(item: u64) -> u64 {
    (item + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[test]
fn it_goes_on_when_there_is_room_again() {
    run_inside("inside");
}

#[test]
#[ignore = "its limit is that of the whole process"]
fn inside() {
    if !is_inside() {
        return;
    }
    let folder = Folder::new("it_goes_on");
    let (path, partial) = (folder.file("numbers.parquet"), folder.file("numbers.parquet.partial"));
    let mut sink = Parquet::new(&path);
    let mut run = process_in_batches(number, 0..100_000).batch_size(2_000);
    let mut before = 0;
    for limit in [70_000, 70_000, 250_000] {
        limit_files(limit);
        let error = run.write_to(&mut sink).unwrap_err();
        let ErrorKind::Storage { path, operation: "written", kind, .. } = error.kind() else { panic!("{error:#?}") };
        assert_eq!((path, *kind), (&partial, io::ErrorKind::FileTooLarge));
        // The file has an end, after the last batch that there was room for.
        let written = rows(&partial);
        assert!(written.len() >= before && written.iter().copied().eq((0..written.len() as u64).map(number)));
        before = written.len();
    }
    assert!(before > 0);
    limit_files(u64::MAX);
    run.write_to(&mut sink).unwrap();
    assert!(rows(&path).into_iter().eq((0..100_000).map(number)));
}
