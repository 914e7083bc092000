//! `sink::JsonLines` with a journal: whatever becomes of the journal's files, and whatever panics,
//! each result is in the file exactly once.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::cell::Cell;
use std::fs;
use std::path::Path;

use amorsize::sink::JsonLines;
use amorsize::{Error, process_in_batches};
use caught::caught;
use folder::Folder;
use serde::{Serialize, Serializer};

fn square(x: u64) -> u64 {
    x * x
}

/// One call of a program that goes on: the report of its run.
fn squares(folder: &Path, items: u64, remove: bool) -> Result<amorsize::Report, Error> {
    let run = process_in_batches(square, 0..items).version(1).journal(folder.join("runs"));
    run.remove_when_done(remove).write_to(JsonLines::new(folder.join("out.jsonl")))
}

fn lines(folder: &Path) -> Vec<u64> {
    fs::read_to_string(folder.join("out.jsonl")).unwrap().lines().map(|line| line.parse().unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let is_file = entry.file_type().unwrap().is_file();
        let to = to.join(entry.file_name());
        if is_file { fs::copy(entry.path(), to).map(drop).unwrap() } else { copy(&entry.path(), &to) }
    }
}

#[test]
fn segments_that_are_cut_emptied_or_removed_repeat_no_line() {
    let folder = Folder::new("lost_segments");
    let (whole, now) = (folder.file("whole"), folder.file("now"));
    fs::create_dir_all(&whole).unwrap();
    [5, 10, 15].into_iter().for_each(|items| drop(squares(&whole, items, false).unwrap()));
    let check = |what: &str| {
        squares(&now, 15, false).unwrap();
        assert!(lines(&now).into_iter().eq((0..15).map(|x| x * x)), "{what}");
    };
    for segment in ["000001.amz", "000002.amz", "000003.amz"] {
        let path = now.join("runs").join(segment);
        let bytes = fs::read(whole.join("runs").join(segment)).unwrap();
        // A frame ends at a multiple of four.
        for left in (0..bytes.len()).step_by(4) {
            copy(&whole, &now);
            fs::write(&path, &bytes[..left]).unwrap();
            check(&format!("{segment} is cut to {left} bytes"));
        }
        copy(&whole, &now);
        fs::remove_file(&path).unwrap();
        check(&format!("{segment} is removed"));
    }
}

thread_local! {
    /// True while a value panics: when it is written, and when it is dropped.
    static PANICS: [Cell<bool>; 2] = const { [Cell::new(false), Cell::new(false)] };
}

/// Panics if a code of its own is to. Sinks are called on the thread of the test.
struct Value(u64);

fn panics(at: usize) -> bool {
    PANICS.with(|panics| panics[at].get())
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != 50 || !panics(0), "as planned");
        serializer.serialize_u64(self.0)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(self.0 != 50 || !panics(1) || std::thread::panicking(), "as planned");
    }
}

#[test]
fn a_panic_of_a_result_leaves_no_hole_and_repeats_no_line() {
    for at in [0, 1] {
        for has_journal in [false, true] {
            let folder = Folder::new("a_panic_of_a_result");
            let (runs, out) = (folder.file("runs"), folder.file("out.jsonl"));
            let run = || {
                let run = process_in_batches(Value, 0..100).version(1).threads(1).batch_size(7);
                if has_journal { run.journal(&runs) } else { run }
            };
            let is_whole = || lines(folder.path()).into_iter().eq(0..100);
            let (mut sink, mut first) = (JsonLines::new(&out), run());
            PANICS.with(|panics| panics[at].set(true));
            assert!(caught(|| first.write_to(&mut sink)).is_err());
            PANICS.with(|panics| panics[at].set(false));
            match first.write_to(&mut sink) {
                // The batch was in the file when a result of it panicked.
                Ok(_) => assert!(at == 1 && !has_journal && is_whole()),
                Err(_) => assert!((at == 0 || has_journal) && !out.exists()),
            }
            drop((first, sink));
            let report = run().write_to(JsonLines::new(&out)).unwrap();
            assert_eq!((report.restored(), is_whole()), (if has_journal { 49 } else { 0 }, true), "{at} {has_journal}");
        }
    }
}
