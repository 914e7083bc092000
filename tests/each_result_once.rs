//! A sink that goes back to its place has each result exactly once, even if its process is killed
//! many times.

#[path = "common/folder.rs"]
mod folder;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use amorsize::sink::{JsonLines, Sink};
use amorsize::{Batch, Error, process_in_batches};
use folder::Folder;

const ITEMS: usize = 80;

/// Tells the child where to write.
const INSIDE: &str = "AMORSIZE_TEST_FOLDER";

fn text(item: usize) -> String {
    format!("{item}{}", ".".repeat(item * 37 % 11))
}

/// Writes to another file, `beside`, its place and the item up to which it has all results.
struct Remembering {
    lines: JsonLines,
    beside: PathBuf,
    /// The item with which this process begins.
    start: usize,
}

/// Reads the place and the next item.
fn remembered(beside: &Path) -> Option<(u64, usize)> {
    let text = fs::read_to_string(beside).ok()?;
    let (place, next) = text.split_once(' ').unwrap();
    Some((place.parse().unwrap(), next.parse().unwrap()))
}

/// Waits until the parent wants more; the parent may kill this process instead.
fn ask(what: &str) {
    println!("asks: {what}");
    io::stdout().flush().unwrap();
    io::stdin().lines().next().unwrap().unwrap();
}

impl Sink<String> for Remembering {
    type Error = Error;

    fn batch(&mut self, batch: Batch<String>) -> Result<(), Error> {
        ask("batch");
        let next = self.start + batch.indices().last().unwrap() + 1;
        self.lines.batch(batch)?;
        let place = Sink::<String>::place(&mut self.lines).unwrap();
        // Replaces the file as a whole or not at all.
        let new = self.beside.with_extension("new");
        fs::write(&new, format!("{place} {next}")).unwrap();
        fs::rename(new, &self.beside).unwrap();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        ask("finish");
        Ok(Sink::<String>::finish(&mut self.lines)?)
    }

    fn begin(&mut self) -> Result<(), Error> {
        match remembered(&self.beside) {
            Some((place, _)) => Ok(Sink::<String>::go_back(&mut self.lines, place)?),
            None => Ok(Sink::<String>::begin(&mut self.lines)?),
        }
    }
}

#[test]
#[ignore = "runs in a process of its own"]
fn inside() {
    let Some(folder) = std::env::var_os(INSIDE) else { return };
    let folder = Path::new(&folder);
    let (lines, beside) = (JsonLines::new(folder.join("texts.jsonl")), folder.join("remembered"));
    let start = remembered(&beside).map_or(0, |(_, next)| next);
    let sink = Remembering { lines, beside, start };
    process_in_batches(text, start..ITEMS).batch_size(10).write_to(sink).unwrap();
}

/// Runs the child, and kills it after it has been answered `answers` times. Returns true if it
/// ended by itself.
fn run(folder: &Folder, answers: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["inside", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, folder.file(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut left = answers;
    for line in lines {
        // The line may begin with words of the test harness.
        if !line.unwrap().contains("asks: ") {
            continue;
        }
        if left == 0 {
            break;
        }
        left -= 1;
        stdin.write_all(b"\n").unwrap();
        if left == 0 {
            // Kills it while it does what it asked for.
            break;
        }
    }
    let _ = child.kill();
    child.wait().unwrap().success()
}

#[test]
fn after_any_number_of_kills() {
    let expected: Vec<_> = (0..ITEMS).map(|item| serde_json::to_string(&text(item)).unwrap()).collect();
    // The answers in each round: the child gets no further than some batches, or to the end.
    for rounds in [[1, 2, 3], [0, 1, 1], [2, 0, 2], [4, 3, 1]] {
        let folder = Folder::new("after_any_number_of_kills");
        for answers in rounds.into_iter().cycle().take(9) {
            run(&folder, answers);
        }
        assert!(run(&folder, usize::MAX));
        let written = || fs::read_to_string(folder.file("texts.jsonl")).unwrap();
        assert_eq!(written().lines().collect::<Vec<_>>(), expected);
        assert!(!folder.names().contains(&"texts.jsonl.partial".to_owned()));
        // A process that finds nothing left to do changes nothing.
        for answers in [0, 1, usize::MAX] {
            run(&folder, answers);
        }
        assert_eq!(written().lines().collect::<Vec<_>>(), expected);
    }
}
