//! A relative path is taken from the directory that is current when it is given. Code of the user
//! may change the current directory at any later time, and no file elsewhere is touched.

#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use amorsize::array::Array;
use amorsize::sink::JsonLines;
use amorsize::{Error, Spilled, batched};
use folder::Folder;

#[batched]
fn cube(x: u64) -> u64 {
    x * x * x
}

/// Computes a square, and changes the current directory.
#[batched(ignore(to))]
fn square(x: u64, to: &Path) -> u64 {
    env::set_current_dir(to).unwrap();
    x * x
}

#[batched(checkpoint = "runs", ignore(to))]
fn square_kept(x: u64, to: &Path) -> u64 {
    env::set_current_dir(to).unwrap();
    x * x
}

/// Two folders, the first of which is current. The other one has a checkpoint `runs` of another
/// function, and other files with the names that the tests use.
struct Folders {
    folder: Folder,
    a: PathBuf,
    b: PathBuf,
    others: BTreeMap<PathBuf, Vec<u8>>,
    _alone: MutexGuard<'static, ()>,
}

impl Folders {
    fn new(test: &str) -> Self {
        // The current directory is that of all threads.
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Folder::new(test);
        let (a, b) = (folder.file("a"), folder.file("b"));
        for folder in [&a, &b] {
            fs::create_dir(folder).unwrap();
        }
        cube_batched(0..100).checkpoint(b.join("runs")).collect::<Vec<_>>().unwrap();
        fs::write(b.join("out.jsonl"), "finished long ago\n").unwrap();
        fs::write(b.join("out.jsonl.partial"), "half of that of another process\n").unwrap();
        env::set_current_dir(&a).unwrap();
        let others = files(&b);
        Self { folder, a, b, others, _alone: alone }
    }

    /// Fails if anything has changed in the other folder.
    fn check(&self) {
        assert!(files(&self.b) == self.others, "{:?}", files(&self.b).keys());
        assert_eq!(Spilled::<u64>::open(self.b.join("runs")).unwrap().get(3).unwrap().unwrap(), 27);
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        env::set_current_dir(self.folder.path().parent().unwrap()).unwrap();
    }
}

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn squares() -> Vec<u64> {
    (0..100).map(|x| x * x).collect()
}

#[test]
fn a_checkpoint_stays_where_it_began() {
    let folders = Folders::new("checkpoint_stays");
    let (a, b) = (&folders.a, &folders.b);
    let found: Vec<u64> = square_batched(0..100, b).checkpoint("runs").collect().unwrap();
    assert_eq!(found, squares());
    assert_eq!(Spilled::<u64>::open(a.join("runs")).unwrap().len(), 100);
    folders.check();
    // The same directory is found again, and its results are read from there.
    env::set_current_dir(a).unwrap();
    let mut found = Vec::new();
    let go_on = square_batched(0..200, b).checkpoint("runs").for_each_batch(|batch| {
        env::set_current_dir(b).unwrap();
        found.extend(batch);
    });
    assert_eq!(go_on.unwrap().restored(), 100);
    assert_eq!(found[..100], squares());
    folders.check();
    env::set_current_dir(a).unwrap();
    square_batched(0..200, b).checkpoint("runs").remove_when_done(true).collect::<Vec<_>>().unwrap();
    assert!(!a.join("runs").exists());
    folders.check();
}

#[test]
fn a_checkpoint_of_the_attribute_stays_where_the_run_was_made() {
    let folders = Folders::new("attribute_stays");
    let mut run = square_kept_batched(0..100, &folders.b);
    env::set_current_dir(&folders.b).unwrap();
    assert_eq!(run.collect::<Vec<_>>().unwrap(), squares());
    assert_eq!(Spilled::<u64>::open(folders.a.join("runs")).unwrap().len(), 100);
    folders.check();
}

#[test]
fn spilled_results_are_read_from_where_they_are() {
    let folders = Folders::new("spilled_stays");
    let (a, b) = (&folders.a, &folders.b);
    let run = square_batched(0..100, b).checkpoint("runs").remove_when_done(true).spill().unwrap();
    env::set_current_dir(b).unwrap();
    assert_eq!(run.get(3).unwrap().unwrap(), 9);
    assert_eq!(run.iter().collect::<Result<Vec<_>, _>>().unwrap(), squares());
    drop(run);
    assert!(!a.join("runs").exists());
    folders.check();

    env::set_current_dir(a).unwrap();
    square_batched(0..100, a).checkpoint("runs").for_each_batch(drop).unwrap();
    let opened = Spilled::<u64>::open("runs").unwrap();
    env::set_current_dir(b).unwrap();
    assert_eq!(opened.get(3).unwrap().unwrap(), 9);
}

#[test]
fn temporary_files_are_made_where_it_was_said() {
    let folders = Folders::new("spill_dir_stays");
    fs::create_dir("spilled").unwrap();
    let mut run = square_batched(0..100_000, &folders.b).max_memory("256KiB").spill_dir("spilled");
    env::set_current_dir(&folders.b).unwrap();
    let spilled = run.spill().unwrap();
    assert!(spilled.on_disk() > amorsize::ByteSize::ZERO);
    assert_eq!(spilled.get(300).unwrap().unwrap(), 90_000);
    folders.check();
}

#[test]
fn a_sink_writes_the_file_that_it_was_made_for() {
    let folders = Folders::new("sink_stays");
    let (a, b) = (&folders.a, &folders.b);
    let lines: String = squares().iter().map(|square| format!("{square}\n")).collect();
    square_batched(0..100, b).write_to(JsonLines::new("out.jsonl")).unwrap();
    assert_eq!(fs::read_to_string(a.join("out.jsonl")).unwrap(), lines);
    assert!(!a.join("out.jsonl.partial").exists());
    folders.check();
    // With a journal, which a later call goes on with.
    env::set_current_dir(a).unwrap();
    for items in [50, 100] {
        let sink = JsonLines::new("kept.jsonl");
        square_batched(0..items, b).journal("runs").batch_size(7).write_to(sink).unwrap();
        env::set_current_dir(a).unwrap();
    }
    assert_eq!(fs::read_to_string("kept.jsonl").unwrap(), lines);
    assert!(a.join("runs").exists());
    folders.check();
}

#[test]
fn the_results_of_an_array_stay_in_its_directory() -> Result<(), Box<dyn std::error::Error>> {
    const TASK: &str = "AMORSIZE_TEST_CURRENT_DIRECTORY_OF_TASK";
    let test = "the_results_of_an_array_stay_in_its_directory";
    if let Some(other) = env::var_os(TASK) {
        let array = square_batched((0..100).collect::<Vec<_>>(), Path::new(&other)).array("out", 2)?;
        if let Array::Results(all) = array {
            env::set_current_dir(other)?;
            assert_eq!(all.collect::<Result<Vec<u64>, _>>()?, squares());
        }
        return Ok(());
    }
    let folders = Folders::new("array_stays");
    // The engine's variables are those of a process.
    for task in ["all", ""] {
        let mut process = std::process::Command::new(env::current_exe()?);
        process.args(["--exact", test]).env(TASK, &folders.b).env("AMORSIZE_TASK", task);
        assert!(process.current_dir(&folders.a).status()?.success());
    }
    folders.check();
    Ok(())
}

#[test]
fn a_path_from_a_directory_that_is_gone_is_an_error() {
    let folders = Folders::new("directory_is_gone");
    let gone = folders.a.join("gone");
    fs::create_dir(&gone).unwrap();
    env::set_current_dir(&gone).unwrap();
    fs::remove_dir(&gone).unwrap();
    let refused: [Error; 3] = [
        square_batched(0..100, &folders.b).checkpoint("runs").collect::<Vec<_>>().unwrap_err(),
        square_batched(0..100, &folders.b).write_to(JsonLines::new("out.jsonl")).unwrap_err(),
        Spilled::<u64>::open("runs").unwrap_err(),
    ];
    assert!(refused.iter().all(Error::is_storage), "{refused:?}");
    folders.check();
}
