//! Runs the example `resume` as its user does: to the end, and ended by Ctrl-C in the middle.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

/// The rows that are made of the data, and those of them that are broken: a copy of each hundredth.
const ROWS: usize = 1707 + 17;
const BROKEN: usize = 17;

/// A database file in a folder of its own, which is removed at the end.
struct Database(PathBuf);

impl Database {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("amorsize-resume-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder.join("records.sqlite"))
    }

    /// Starts the example on it.
    fn example(&self) -> Command {
        // Cargo builds a package's examples with its tests, beside the folder of the tests.
        let folder = env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join("examples");
        let program = folder.join("resume").with_extension(env::consts::EXE_EXTENSION);
        assert!(program.exists(), "`cargo build --example resume` builds {}", program.display());
        let mut command = Command::new(program);
        command.arg(&self.0);
        command
    }

    /// The rows that have a map, in the order in which they were stored.
    fn rows_with_a_map(&self) -> Vec<i64> {
        let database = Connection::open(&self.0).unwrap();
        let lengths = database
            .query_row("SELECT min(length(map)), max(length(map)) FROM shaking", [], |row| <(i64, i64)>::try_from(row));
        assert_eq!(lengths.unwrap(), (96 * 96 * 4, 96 * 96 * 4));
        let mut rows = database.prepare("SELECT id FROM shaking ORDER BY rowid").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn sound_rows(&self) -> Vec<i64> {
        let database = Connection::open(&self.0).unwrap();
        // Each broken row is a copy of the row before it.
        let mut rows = database.prepare("SELECT id FROM quake WHERE id % 101 != 0 ORDER BY id").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// The figures that a run printed: rows done, maps stored, broken rows.
fn figures(printed: &str) -> [usize; 3] {
    let line = printed.lines().find(|line| line.contains(" rows done, ")).unwrap_or_else(|| panic!("{printed}"));
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{line}"))
}

fn assert_lists_broken_rows(printed: &str) {
    let listed: Vec<(&str, &str)> =
        printed.lines().filter_map(|line| line.strip_prefix("  row ")?.split_once(": ")).collect();
    let rows: Vec<usize> = listed.iter().map(|(row, _)| row.parse().unwrap()).collect();
    assert_eq!(rows, (1..=BROKEN).map(|copy| copy * 101).collect::<Vec<_>>(), "{printed}");
    let mut causes = HashMap::new();
    for (_, cause) in &listed {
        let kinds = ["name: magnitude", "name: depth", "invalid utf-8"];
        *causes.entry(kinds.into_iter().find(|kind| cause.contains(kind)).unwrap_or(cause)).or_insert(0) += 1;
    }
    assert_eq!(causes, HashMap::from([("name: magnitude", 5), ("name: depth", 6), ("invalid utf-8", 6)]), "{printed}");
}

#[test]
fn every_sound_row_gets_a_map_and_every_broken_one_is_told() {
    let database = Database::new("whole");
    let output = database.example().output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    assert_eq!(figures(&printed), [ROWS, ROWS - BROKEN, BROKEN]);
    assert_lists_broken_rows(&printed);
    assert!(printed.contains("finished: 1707 of 1724 rows have a map"), "{printed}");
    // The Hualien earthquake of 6 February 2018, magnitude 6.4, 10.64 km deep.
    assert!(printed.contains("the strongest shaking was 7.6, 22km NNE of Hualian, Taiwan"), "{printed}");
    assert_eq!(database.rows_with_a_map(), database.sound_rows());
}

/// Starts the example slowly, waits until it has stored something, and sends it a signal. Returns
/// its output, unless it ended by itself.
#[cfg(unix)]
fn interrupted(name: &str, signal: &str) -> Option<(Database, String)> {
    use std::io::{BufRead, BufReader, Read};
    use std::process::Stdio;

    let database = Database::new(name);
    let mut child = database.example().arg("--slow").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains(" maps stored") {
        assert_ne!(lines.read_line(&mut printed).unwrap(), 0, "{printed}");
    }
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    lines.read_to_string(&mut printed).unwrap();
    let code = child.wait().unwrap().code();
    // A signal that comes after the end tests nothing. With 10 ms for each row this is rare, but a
    // busy machine may delay this process that long.
    let is_late =
        (code == Some(0) && printed.contains("finished: ")) || database.rows_with_a_map() == database.sound_rows();
    let is_ended = code == if signal == "-INT" { Some(130) } else { None };
    assert!(is_late || (kill.success() && is_ended), "{printed}");
    (!is_late).then_some((database, printed))
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_is_finished_and_the_next_start_goes_on() {
    let ended = (0..100).find_map(|_| interrupted("interrupted", "-INT"));
    let (database, printed) = ended.expect("no signal came in time");
    assert!(printed.contains("stopped by Ctrl-C"), "{printed}");

    // Each row that is done has a map or was reported, in the rows' order and without gaps.
    let [done, stored, broken] = figures(&printed);
    assert_eq!((done, broken), (stored + broken, done / 101), "{printed}");
    assert!((1..ROWS - BROKEN).contains(&stored), "{printed}");
    let sound = database.sound_rows();
    assert_eq!(database.rows_with_a_map(), sound[..stored]);

    let output = database.example().output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    // No row is done again. The next start reports the broken rows of before once more.
    assert_eq!(figures(&printed), [ROWS - done, ROWS - BROKEN - stored, BROKEN - broken]);
    assert_lists_broken_rows(&printed);
    assert_eq!(database.rows_with_a_map(), sound);
}

#[cfg(unix)]
#[test]
fn a_kill_costs_no_row_and_stores_none_twice() {
    let ended = (0..100).find_map(|_| interrupted("killed", "-KILL"));
    let (database, printed) = ended.expect("no signal came in time");
    assert!(!printed.contains("rows done"), "{printed}");
    let stored = database.rows_with_a_map();
    assert_eq!(stored, database.sound_rows()[..stored.len()]);

    let output = database.example().output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    assert_eq!(figures(&printed)[1], ROWS - BROKEN - stored.len());
    assert_lists_broken_rows(&printed);
    // SQLite would refuse a second map of a row.
    assert_eq!(database.rows_with_a_map(), database.sound_rows());
}
