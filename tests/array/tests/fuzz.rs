//! Directories of results with any damage: files that are cut, mixed up, removed or changed in any
//! place. The outcome is an error, perhaps after right results: never a wrong result, never a
//! panic. With checksums that agree with the damage, results may be any, but still nothing panics.
//!
//! Each test makes some hundred directories from those in `tests/array/corpus`. For as many as you
//! like: `PROPTEST_CASES=100000 cargo test --release -p amorsize-array-tests --test fuzz`.
//! `AMORSIZE_CORPUS=overwrite` makes the corpus anew.

#![cfg(all(unix, target_pointer_width = "64", target_endian = "little"))]

#[path = "fuzz/changes.rs"]
mod changes;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use amorsize::Spilled;
use amorsize::array::{Array, ArrayError};
use amorsize::sink::JsonLines;
use amorsize_array_tests::format::frames;
use amorsize_array_tests::{Folder, MICROS, expected, files, is_part, tested, text_batched};
use changes::{Change, Files, apply, changes, has_frames, read, seal_changed, write};
use proptest::prelude::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");
const ITEMS: u64 = 24;
const TASKS: usize = 3;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name)
}

static ARRAY: LazyLock<Files> = LazyLock::new(|| read(&corpus("array")));
static CHECKPOINT: LazyLock<Files> = LazyLock::new(|| read(&corpus("checkpoint")));
static JOURNAL: LazyLock<Files> = LazyLock::new(|| read(&corpus("journal")));

/// A directory with these files.
fn folder(files: &Files) -> Folder {
    let folder = Folder::in_memory();
    write(files, folder.path());
    folder
}

fn damaged(files: &Files, changes: &[Change]) -> Files {
    let mut changed = files.clone();
    apply(changes, &mut changed, "");
    changed
}

fn numbers() -> impl ExactSizeIterator<Item = u64> {
    (0..ITEMS as usize).map(|x| x as u64)
}

/// True if the results are right, or may be any.
fn check(results: impl IntoIterator<Item = (u64, String)>, is_sealed: bool) {
    for (index, result) in results {
        assert!(is_sealed || result == expected(index), "item {index} is {result:?}");
    }
}

/// Gathers the results of an array. Gives the error after the last right one.
fn gather(out: &Path, is_sealed: bool) -> Result<(), ArrayError> {
    let Array::Results(all) = text_batched(numbers()).array(out, TASKS)? else { panic!("this is no task") };
    let mut next = 0;
    for result in all {
        check([(next, result?)], is_sealed);
        next += 1;
    }
    assert!(is_sealed || next == ITEMS, "{next} results");
    Ok(())
}

/// Runs what is missing, and does what the errors say, until all results are there. A directory
/// that has lost its description can't be mended.
fn go_on_with_array(files: &Files, is_sealed: bool) {
    let folder = folder(files);
    let out = folder.path();
    for _ in 0..=TASKS {
        let (code, told) = ask(&format!("text {} {TASKS} {ITEMS}", out.display()));
        assert!(code != 101, "{told}");
        if code != 0 {
            break;
        }
        match gather(out, is_sealed) {
            Ok(()) => return,
            Err(ArrayError::Damaged { task: Some(task), .. }) => {
                fs::remove_file(out.join(format!("{task:05}/done"))).unwrap();
            }
            Err(_) => break,
        }
    }
    let description = Path::new("array.json");
    assert!(is_sealed || files.get(description) != ARRAY.get(description), "the directory can't be mended");
}

/// A process that runs tasks, so that not each of them takes a start.
struct Server(Child, ChildStdin, BufReader<ChildStdout>);

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Has another process run a task, and gives its code and its error.
fn ask(line: &str) -> (u32, String) {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);

    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let Server(_, stdin, stdout) = server.get_or_insert_with(|| {
        let mut command = Command::new(PROGRAM);
        command.env_clear().arg("serve").env("AMORSIZE_TASK", "all");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Server(child, stdin, BufReader::new(stdout))
    });
    writeln!(stdin, "{line}").unwrap();
    let mut answer = String::new();
    stdout.read_line(&mut answer).unwrap();
    let (code, told) = answer.trim_end().split_once(' ').unwrap_or((answer.trim_end(), ""));
    let Ok(code) = code.parse() else {
        // The next case starts another one.
        *server = None;
        panic!("the process ended");
    };
    (code, told.to_owned())
}

/// Reads the results of a checkpoint in each way.
fn open(directory: &Path, is_sealed: bool) {
    let Ok(spilled) = Spilled::<String>::open(directory) else { return };
    let results = spilled.iter().map_while(Result::ok);
    check(spilled.indices().map(|index| index as u64).zip(results), is_sealed);
    for index in 0..ITEMS + 2 {
        let result = spilled.get(index as usize).and_then(Result::ok);
        check(result.map(|result| (index, result)), is_sealed);
    }
}

/// Runs again until all results are there, as often as there are frames that can be damaged. A
/// directory that has lost its manifest can't be mended.
fn run_again(
    files: &Files,
    before: &Files,
    manifest: &str,
    is_sealed: bool,
    mut run: impl FnMut() -> Result<(), amorsize::Error>,
) {
    let most = files.values().map(|bytes| frames(bytes).len()).sum::<usize>() + 1;
    let mut told = String::new();
    for _ in 0..most {
        match run() {
            Ok(()) => return,
            Err(error) => told = error.to_string(),
        }
    }
    let manifest = Path::new(manifest);
    assert!(is_sealed || files.get(manifest) != before.get(manifest), "it can't be mended: {told}");
}

fn go_on_with_checkpoint(files: &Files, is_sealed: bool) {
    let folder = folder(files);
    run_again(files, &CHECKPOINT, "manifest.json", is_sealed, || {
        let all: Vec<String> = text_batched(numbers()).checkpoint(folder.path()).collect()?;
        check((0..).zip(all), is_sealed);
        let spilled = Spilled::<String>::open(folder.path())?;
        assert!(is_sealed || spilled.len() as u64 == ITEMS && spilled.is_complete());
        Ok(())
    });
}

fn go_on_with_journal(files: &Files, is_sealed: bool) {
    let folder = folder(files);
    let path = folder.file("lines");
    run_again(files, &JOURNAL, "journal/manifest.json", is_sealed, || {
        let mut run = text_batched(numbers()).journal(folder.file("journal"));
        run.write_to(JsonLines::new(&path))?;
        let lines: String = numbers().map(|x| format!("\"{}\"\n", expected(x))).collect();
        assert!(is_sealed || fs::read_to_string(&path).unwrap() == lines);
        Ok(())
    });
}

proptest! {
    #[test]
    fn a_damaged_array_gives_an_error_or_the_results_before_it(changes in changes()) {
        _ = gather(folder(&damaged(&ARRAY, &changes)).path(), false);
    }

    #[test]
    fn a_damaged_array_is_mended_by_what_the_errors_say(changes in changes()) {
        go_on_with_array(&damaged(&ARRAY, &changes), false);
    }

    #[test]
    fn a_damaged_checkpoint_gives_an_error_or_right_results(changes in changes()) {
        open(folder(&damaged(&CHECKPOINT, &changes)).path(), false);
    }

    #[test]
    fn a_run_goes_on_from_a_damaged_checkpoint(changes in changes()) {
        go_on_with_checkpoint(&damaged(&CHECKPOINT, &changes), false);
    }

    #[test]
    fn a_run_goes_on_from_a_damaged_journal(changes in changes()) {
        let mut files = JOURNAL.clone();
        apply(&changes, &mut files, "journal");
        go_on_with_journal(&files, false);
    }

    #[test]
    fn nothing_panics_where_checksums_agree_with_the_damage(changes in changes()) {
        let sealed = |before: &Files, below: &str| {
            let mut files = before.clone();
            apply(&changes, &mut files, below);
            seal_changed(&mut files, before);
            files
        };
        let array = sealed(&ARRAY, "");
        _ = gather(folder(&array).path(), true);
        go_on_with_array(&array, true);
        let checkpoint = sealed(&CHECKPOINT, "");
        open(folder(&checkpoint).path(), true);
        go_on_with_checkpoint(&checkpoint, true);
        go_on_with_journal(&sealed(&JOURNAL, "journal"), true);
    }
}

#[test]
fn the_corpus_is_read_as_it_was_written() {
    if std::env::var_os("AMORSIZE_CORPUS").is_some_and(|wanted| wanted == "overwrite") {
        make_corpus();
    }
    for (name, files) in [("array", &ARRAY), ("checkpoint", &CHECKPOINT), ("journal", &JOURNAL)] {
        let frames: usize = files.values().map(|bytes| frames(bytes).len()).sum();
        assert!(frames > 4 && files.keys().filter(|path| has_frames(path)).count() > 1, "{name}: {frames} frames");
        // The files of a real process have the checksums that the page `format` names.
        let mut sealed = read(&corpus(name));
        sealed.iter_mut().for_each(|(path, bytes)| amorsize_array_tests::format::seal(path, bytes));
        assert!(sealed == **files, "{name} has other checksums");
    }
    gather(folder(&ARRAY).path(), false).unwrap();
    let checkpoint = folder(&CHECKPOINT);
    assert_eq!(Spilled::<String>::open(checkpoint.path()).unwrap().len() as u64, ITEMS);
    open(checkpoint.path(), false);
    go_on_with_checkpoint(&CHECKPOINT, false);
    go_on_with_journal(&JOURNAL, false);
}

/// Makes the directories that damage is done to: of an array in which two attempts share a task, of
/// a checkpoint after a kill, and of a journal that is half done.
fn make_corpus() {
    for name in ["array", "checkpoint", "journal"] {
        _ = fs::remove_dir_all(corpus(name));
        fs::create_dir_all(corpus(name)).unwrap();
    }
    let run = |way: &str, name: &str, items: u64, task: &str| {
        let mut command = tested(PROGRAM, way, &corpus(name), TASKS, items);
        // A frame closes after 100 ms.
        command.env(MICROS, "40000").env("AMORSIZE_TASK", task);
        assert!(command.status().unwrap().success());
    };
    run("sleeping", "array", ITEMS, "all");
    fs::remove_file(corpus("array").join("00001/done")).unwrap();
    let part = files(&corpus("array").join("00001")).into_iter().find(|path| is_part(path)).unwrap();
    let bytes = fs::read(&part).unwrap();
    fs::write(&part, &bytes[..frames(&bytes)[0].bytes.end + 7]).unwrap();
    run("sleeping", "array", ITEMS, "1");

    run("kept", "checkpoint", ITEMS / 2, "");
    run("kept", "checkpoint", ITEMS, "");
    let last = corpus("checkpoint").join("000002.amz");
    let bytes = fs::read(&last).unwrap();
    // Without the frame that closes the segment.
    fs::write(&last, &bytes[..frames(&bytes).last().unwrap().bytes.start]).unwrap();

    run("written", "journal", ITEMS / 3, "");
    run("written", "journal", ITEMS / 2, "");
}
