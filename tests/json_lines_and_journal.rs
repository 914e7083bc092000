//! `sink::JsonLines` with a journal: whatever becomes of the journal's files, and whatever panics,
//! each result is in the file exactly once.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::cell::Cell;
use std::fs;
use std::path::Path;

use amorsize::sink::{JsonLines, Sink};
use amorsize::{Batch, Error, Warning, process_in_batches};
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

#[test]
fn a_removal_that_is_cut_short_repeats_no_line() {
    let folder = Folder::new("cut_short");
    let (whole, now) = (folder.file("whole"), folder.file("now"));
    fs::create_dir_all(&whole).unwrap();
    [5, 10, 15].into_iter().for_each(|items| drop(squares(&whole, items, false).unwrap()));
    let runs = now.join("runs");
    // Before the removal, behind its first step, and behind each segment.
    for step in 0..5 {
        copy(&whole, &now);
        if step > 0 {
            fs::rename(runs.join("manifest.json"), runs.join("manifest.json.removed")).unwrap();
        }
        (1..step).for_each(|segment| fs::remove_file(runs.join(format!("{segment:06}.amz"))).unwrap());
        let report = squares(&now, 15, true).unwrap();
        assert_eq!((report.restored(), report.damaged()), (if step == 0 { 15 } else { 0 }, 0), "{step}");
        assert!(lines(&now).into_iter().eq((0..15).map(|x| x * x)), "{step}");
        assert!(!runs.exists());
    }
}

#[test]
fn a_sink_that_could_not_go_back_goes_back_at_the_next_call() {
    /// Gets the file out of the sink's reach until the guard is dropped.
    type Hide = fn(&Path) -> Box<dyn FnOnce()>;

    let moved: Hide = |out| {
        let (out, away) = (out.to_owned(), out.with_extension("away"));
        fs::rename(&out, &away).unwrap();
        Box::new(move || fs::rename(away, out).unwrap())
    };
    let busy: Hide = |out| {
        let partial = out.with_extension("jsonl.partial");
        fs::rename(out, &partial).unwrap();
        let file = fs::File::options().write(true).open(partial).unwrap();
        file.lock().unwrap();
        Box::new(move || file.unlock().unwrap())
    };
    for (hide, is_new) in [(moved, false), (moved, true), (busy, false), (busy, true)] {
        let folder = Folder::new("could_not_go_back");
        let out = folder.file("out.jsonl");
        squares(folder.path(), 10, false).unwrap();
        let mut run = process_in_batches(square, 0..15).version(1).journal(folder.file("runs"));
        let mut sink = JsonLines::new(&out);
        let show = hide(&out);
        for _ in 0..2 {
            let error = run.write_to(&mut sink).unwrap_err();
            assert!(error.is_storage() || error.is_busy(), "{error}");
        }
        show();
        if is_new {
            sink = JsonLines::new(&out);
        }
        assert_eq!(run.write_to(&mut sink).unwrap().restored(), 10);
        assert!(lines(folder.path()).into_iter().eq((0..15).map(|x| x * x)));
    }
}

/// Puts directories in the way of a removal, once the run has its own open.
struct InTheWay<'a>(JsonLines, &'a Path);

impl Sink<u64> for InTheWay<'_> {
    type Error = Error;

    fn batch(&mut self, batch: Batch<u64>) -> Result<(), Error> {
        Ok(self.0.batch(batch)?)
    }

    fn begin(&mut self) -> Result<(), Error> {
        fs::create_dir(self.1).unwrap();
        Ok(Sink::<u64>::begin(&mut self.0)?)
    }

    fn go_back(&mut self, place: u64) -> Result<(), Error> {
        Ok(Sink::<u64>::go_back(&mut self.0, place)?)
    }

    fn place(&mut self) -> Option<u64> {
        Sink::<u64>::place(&mut self.0)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(Sink::<u64>::finish(&mut self.0)?)
    }
}

#[test]
fn a_removal_that_fails_is_told_and_the_next_call_is_right() {
    let folder = Folder::new("not_removed");
    let runs = folder.file("runs");
    let run = |in_the_way: &str| {
        let in_the_way = runs.join(in_the_way);
        let sink = InTheWay(JsonLines::new(folder.file("out.jsonl")), &in_the_way);
        let run = process_in_batches(square, 0..9).version(1).journal(&runs);
        let report = run.remove_when_done(true).write_to(sink);
        assert!(lines(folder.path()).into_iter().eq((0..9).map(|x| x * x)));
        assert!(runs.exists());
        fs::remove_dir(in_the_way).unwrap();
        report
    };
    // All of it is still there.
    let error = run("manifest.json.removed").unwrap_err();
    assert!(error.is_storage(), "{error}");
    assert_eq!(squares(folder.path(), 9, false).unwrap().restored(), 9);
    fs::remove_dir_all(&runs).unwrap();
    // Nothing of it counts.
    let warnings = run("000009.amz").unwrap().warnings();
    let left = warnings.iter().find(|warning| warning.code() == Warning::NOT_REMOVED).unwrap();
    assert!(left.to_string().contains("000009.amz` could not be removed: "), "{left}");
    assert_eq!(squares(folder.path(), 9, true).unwrap().restored(), 0);
    assert!(!runs.exists());
    assert!(lines(folder.path()).into_iter().eq((0..9).map(|x| x * x)));
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

#[test]
fn an_item_that_cant_be_hashed_leaves_no_hole_and_repeats_no_line() {
    for bad in [0, 50, 99] {
        let folder = Folder::new("an_item_that_cant_be_hashed");
        let (runs, out) = (folder.file("runs"), folder.file("out.jsonl"));
        let run = || {
            let key = move |x: &u64| {
                assert!(*x != bad || !panics(0), "as planned");
                *x
            };
            let run = process_in_batches(square, 0..100).version(1).key(key).threads(1).batch_size(7);
            run.journal(&runs)
        };
        let is_whole = || lines(folder.path()).into_iter().eq((0..100).map(|x| x * x));
        let (mut sink, mut first) = (JsonLines::new(&out), run());
        PANICS.with(|panics| panics[0].set(true));
        assert!(caught(|| first.write_to(&mut sink)).is_err());
        PANICS.with(|panics| panics[0].set(false));
        first.write_to(&mut sink).unwrap();
        assert!(is_whole());
        drop((first, sink));
        // The sink goes back to the last place before that item.
        let report = run().write_to(JsonLines::new(&out)).unwrap();
        assert!(is_whole() && report.restored() as u64 <= bad, "{bad}: {}", report.restored());
        assert_eq!(run().write_to(JsonLines::new(&out)).unwrap().restored(), 100);
        assert!(is_whole());
    }
}
