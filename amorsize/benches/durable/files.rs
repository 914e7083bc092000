//! Results that go to files, against the same bytes written and read without any of this crate.

use std::fmt;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use amorsize::sink::JsonLines;
use amorsize::{ByteSize, process_in_batches};
use amorsize_bench::{median, processor_time};
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Folder, measured, noise, of};

/// The bytes of a row's spilled results, roughly: 16 times the budget of 64 MiB, which the first of
/// them fill before any is written. A virtual machine would give more back to its host before they
/// are measured, see [`warm`].
const BYTES: usize = 1 << 30;
/// The bytes of the results of which others read the file, roughly: its bytes all count.
const FOR_OTHERS: usize = 64 << 20;
/// Bytes of each plain write and read: as many as a frame has.
const AT_ONCE: usize = 1 << 20;

/// A row: its name, its description, and the least parts of the plain throughput that it may reach
/// when it is written and when it is read. Files that others read have no such bounds.
pub(crate) type Row = (&'static str, &'static str, Option<(f64, f64)>);

pub(crate) const ROWS: &[Row] = &[
    ("spill-text", "spilled strings of 1 KiB", Some((0.6, 0.15))),
    ("spill-f32", "spilled `Vec<f32>` of 1 MiB", Some((0.6, 0.15))),
    ("spill-bytes", "spilled bytes of 1 MiB, as by `serde_bytes`", Some((0.6, 0.15))),
    ("spill-structs", "spilled structs of 7 fields", Some((0.15, 0.08))),
    ("json-structs", "structs of 7 fields to `JsonLines`", None),
    #[cfg(feature = "parquet")]
    ("parquet-structs", "structs of 7 fields to `Parquet`", None),
];

#[derive(Clone, Serialize, Deserialize)]
struct Record {
    id: u64,
    time: i64,
    latitude: f64,
    longitude: f64,
    depth: f32,
    kind: u8,
    is_felt: bool,
}

fn record(item: u64) -> Record {
    let noise = item.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let part = |shift: u32| (noise >> shift) as u16;
    Record {
        id: noise,
        time: 1_700_000_000_000 + item as i64,
        latitude: f64::from(part(0)) / 182.05,
        longitude: f64::from(part(16)) / 182.05,
        depth: f32::from(part(32)) / 100.0,
        kind: part(48) as u8,
        is_felt: item.is_multiple_of(7),
    }
}

/// Bytes that are written in one piece.
#[derive(Clone)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// Nanoseconds of processor time for writing and for reading, and the bytes of the file.
type Times = [u64; 3];

/// Has the system fill memory for a file, and free it. A virtual machine gives free memory back to
/// its host, and gets it again at many times the price of filling it: with this each measurement
/// begins with memory that is there.
fn warm(bytes: usize, path: &Path) {
    write(bytes, path);
    fs::remove_file(path).expect("the file");
}

/// Writes `bytes` bytes, rounded up.
fn write(bytes: usize, path: &Path) {
    let content = noise(1, AT_ONCE);
    let mut file = File::create(path).expect("a file");
    (0..bytes.div_ceil(AT_ONCE)).for_each(|_| file.write_all(&content).expect("room"));
}

/// The times of plain writes and reads of `bytes` bytes.
fn plain(bytes: usize, path: &Path) -> Times {
    let begun = processor_time();
    write(bytes, path);
    let parts = bytes.div_ceil(AT_ONCE);
    let written = processor_time();
    let (mut file, mut read) = (File::open(path).expect("the file"), vec![0; AT_ONCE]);
    (0..parts).for_each(|_| file.read_exact(black_box(&mut read)).expect("what was written"));
    [written - begun, processor_time() - written, (parts * AT_ONCE) as u64]
}

/// The times of results that are spilled, or only made.
fn spilled<R, F>(make: F, items: usize, way: &str) -> Times
where
    R: Send + Serialize + DeserializeOwned,
    F: Fn(u64) -> R + Sync,
{
    let begun = processor_time();
    let mut run = process_in_batches(make, 0..items as u64).max_memory(super::BUDGET).threads(1);
    if way == "made" {
        run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
        return [processor_time() - begun, 0, 0];
    }
    let all = run.spill().expect("room");
    let (written, bytes) = (processor_time(), all.on_disk());
    assert!(bytes > ByteSize::ZERO, "they fitted the memory");
    all.iter().for_each(|result| drop(black_box(result.expect("what was written"))));
    [written - begun, processor_time() - written, bytes.as_u64()]
}

fn json(items: usize, way: &str, path: &Path) -> Times {
    let begun = processor_time();
    let mut run = process_in_batches(record, 0..items as u64).max_memory(super::BUDGET).threads(1);
    if way == "made" {
        run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
        return [processor_time() - begun, 0, 0];
    }
    run.write_to(JsonLines::new(path)).expect("room");
    let written = processor_time();
    let lines = BufReader::new(File::open(path).expect("the file")).lines();
    for line in lines {
        let line = line.expect("what was written");
        black_box(serde_json::from_str::<Record>(&line).expect("a record"));
    }
    [written - begun, processor_time() - written, path.metadata().expect("the file").len()]
}

#[cfg(feature = "parquet")]
fn parquet(items: usize, way: &str, path: &Path) -> Times {
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let begun = processor_time();
    let mut run = process_in_batches(record, 0..items as u64).max_memory(super::BUDGET).threads(1);
    if way == "made" {
        run.for_each_batch(|batch| drop(black_box(batch))).expect("nothing fails");
        return [processor_time() - begun, 0, 0];
    }
    run.write_to(amorsize::sink::Parquet::new(path)).expect("room");
    let written = processor_time();
    let file = File::open(path).expect("the file");
    let table = ParquetRecordBatchReaderBuilder::try_new(file).expect("a table");
    table.build().expect("its batches").for_each(|batch| drop(black_box(batch.expect("what was written"))));
    [written - begun, processor_time() - written, path.metadata().expect("the file").len()]
}

/// Makes one measurement, in a process of its own.
pub(crate) fn child(row: &str, way: &str, bytes: u64, directory: &Path) {
    let path = directory.join("results");
    if way != "made" {
        warm(if row.starts_with("spill") { BYTES } else { FOR_OTHERS }, &path);
    }
    let times = match (way, row) {
        ("plain", _) => plain(bytes as usize, &path),
        (_, "spill-text") => {
            let text: String = noise(1, 3 << 20).iter().map(|byte| char::from(b'0' + (byte >> 2))).collect();
            let make = |item: u64| text[(item as usize % (3 << 10)) << 10..][..1024].to_owned();
            spilled(make, BYTES / 1024, way)
        }
        (_, "spill-f32") => {
            let numbers: Vec<f32> = noise(1, 1 << 20)
                .chunks_exact(4)
                .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as f32)
                .collect();
            spilled(|_| numbers.clone(), BYTES >> 20, way)
        }
        (_, "spill-bytes") => {
            let bytes = Blob(noise(1, 1 << 20));
            spilled(|_| bytes.clone(), BYTES >> 20, way)
        }
        (_, "spill-structs") => spilled(record, BYTES / size_of::<Record>(), way),
        (_, "json-structs") => json(FOR_OTHERS / size_of::<Record>(), way, &path),
        #[cfg(feature = "parquet")]
        (_, "parquet-structs") => parquet(FOR_OTHERS / size_of::<Record>(), way, &path),
        (_, row) => panic!("there is no row {row}"),
    };
    println!("{} {} {}", times[0], times[1], times[2]);
}

/// Prints the medians of a row. They leave out the time that making the results takes. Plain writes
/// and reads have as many bytes as the file.
pub(crate) fn throughput((name, told, least): &Row, rounds: usize) {
    let mut ratios = [Vec::new(), Vec::new()];
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let scratch = Folder::new(name);
        let measure = |way, bytes| measured(of(name, way, bytes, scratch.path()).env("TMPDIR", scratch.path()));
        let [made, ..] = measure("made", 0);
        let [written, read, bytes] = measure("filed", 0);
        let [plain_written, plain_read, plain_bytes] = measure("plain", bytes as u64);
        let filed = [written - made, read].map(|nanos| bytes * 1e3 / nanos.max(1.0));
        let plain = [plain_written, plain_read].map(|nanos| plain_bytes * 1e3 / nanos);
        for at in 0..2 {
            ratios[at].push(filed[at] / plain[at]);
            rates[at].push(filed[at]);
        }
    }
    let [written, read] = ratios.map(|mut ratios| median(&mut ratios));
    let [written_rate, read_rate] = rates.map(|mut rates| median(&mut rates));
    let [least_written, least_read] = match least {
        Some((written, read)) => [written.to_string(), read.to_string()],
        None => ["-".into(), "-".into()],
    };
    println!(
        "| {told} | {written_rate:.0} | {written:.2} | {least_written} | {read_rate:.0} | {read:.2} | {least_read} |"
    );
}
