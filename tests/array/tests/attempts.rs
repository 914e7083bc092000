//! Attempts of a task that are killed: alone, and two or three at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use amorsize_array_tests::format::{Frame, frames};
use amorsize_array_tests::{BESIDE, BUDGET, BYTES, CALLS, Folder, MICROS, all, files, is_part, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");

/// The number of kills of attempts that run side by side.
const KILLS: usize = 1000;

/// Bytes of a result in most rounds: as many as may wait to be written, so that each is written at
/// once. Hashing them takes a debug build a millisecond.
const SIZE: u64 = BUDGET_BYTES / 8;
const BUDGET_BYTES: u64 = 512 << 10;
/// Bytes of a result in each tenth round: a kill may well part the frame of one.
const LARGE: u64 = 1_100_000;

/// Numbers that look random, and are the same in each run of the test.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, signal: libc::c_int) {
    // SAFETY: a system call on numbers. Nobody has waited for the child yet, so the id is still its
    // own.
    #[expect(unsafe_code, reason = "the standard library sends SIGKILL alone")]
    unsafe {
        libc::kill(child.id() as libc::pid_t, signal);
    }
}

/// An attempt, and the time of its next event.
struct Attempt {
    child: Child,
    stop_at: Option<Instant>,
    kill_at: Option<Instant>,
}

impl Attempt {
    /// Returns true once the attempt is over, and reports a failure. Counts a kill.
    fn look(&mut self, kills: &mut usize, succeeded: &mut bool) -> bool {
        if let Some(status) = self.child.try_wait().unwrap() {
            match status.code() {
                Some(0) => *succeeded = true,
                Some(code) => panic!("an attempt ended with {code}"),
                None => {}
            }
            return true;
        }
        let now = Instant::now();
        if self.stop_at.is_some_and(|at| at <= now) {
            self.stop_at = None;
            signal(&self.child, libc::SIGSTOP);
            thread::sleep(Duration::from_millis(5));
            signal(&self.child, libc::SIGCONT);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            self.child.kill().unwrap();
            // The process may have ended by itself before the kill.
            match self.child.wait().unwrap().code() {
                Some(0) => *succeeded = true,
                Some(code) => panic!("an attempt ended with {code}"),
                None => *kills += 1,
            }
            return true;
        }
        false
    }
}

#[test]
fn a_thousand_kills_of_attempts_at_once_leave_each_result_once() {
    let (mut numbers, mut kills, mut rounds, mut many_parts) = (Numbers(7), 0, 0, 0);
    while kills < KILLS {
        rounds += 1;
        let folder = Folder::in_memory();
        let out = folder.file("out");
        // Each result is a frame, written as soon as it is there.
        let items = 8 + numbers.below(8);
        let size = if rounds % 10 == 0 { LARGE } else { SIZE };
        let run = || {
            let mut command = tested(PROGRAM, "large", &out, 1, items);
            command.env(BYTES, size.to_string()).env(BUDGET, BUDGET_BYTES.to_string());
            command.env(MICROS, "8000").env("AMORSIZE_TASK", "0");
            command
        };
        if rounds == 1 {
            // Where processes are slow to start, the times below may all be too early to find a
            // result. This kill is between the first result and the second, a second later.
            let mut attempt = start(run().env(MICROS, "1000000"));
            while kept(&out).is_empty() {
                assert!(attempt.try_wait().unwrap().is_none(), "it ended before the test saw its first result");
                thread::sleep(Duration::from_millis(1));
            }
            attempt.kill().unwrap();
            attempt.wait().unwrap();
            kills += 1;
        }
        let mut succeeded = false;
        let most = kills + 6 + numbers.below(8) as usize;
        while !succeeded {
            let at_once = 2 + numbers.below(2);
            let mut attempts: Vec<Attempt> = (0..at_once)
                .map(|_| {
                    let child = start(&mut run());
                    let mut after = |most| Instant::now() + Duration::from_millis(3 + numbers.below(most));
                    let kill_at = (kills < most).then(|| after(60));
                    Attempt { child, stop_at: Some(after(200)), kill_at }
                })
                .collect();
            while !attempts.is_empty() {
                attempts.retain_mut(|attempt| !attempt.look(&mut kills, &mut succeeded));
                thread::sleep(Duration::from_micros(300));
            }
        }
        let done = fs::read_to_string(out.join("00000/done")).unwrap();
        many_parts += usize::from(done.matches(".part\"").count() > 1);
        check_large(&out, items, size);
    }
    println!("{rounds} rounds, {many_parts} of them with results of several attempts");
    assert!(many_parts > 0, "no attempt went on from another one's results in {rounds} rounds");
}

/// Compares all large results with the truth.
fn check_large(out: &Path, items: u64, size: u64) {
    use amorsize::array::Array;

    let numbers = (0..items as usize).map(|x| x as u64);
    let Ok(Array::Results(all)) = amorsize_array_tests::large_batched(numbers).array(out, 1) else {
        panic!("the task is done")
    };
    let mut next = 0;
    for numbered in all.indexed() {
        let (index, result) = numbered.unwrap();
        assert_eq!(index as u64, next);
        assert!(result.is_of(next, size), "item {index}");
        next += 1;
    }
    assert_eq!(next, items);
}

/// The items with results in the files of the only task.
fn kept(out: &Path) -> BTreeSet<u64> {
    let parts = if out.exists() { files(out) } else { Vec::new() };
    let parts = parts.into_iter().filter(|path| is_part(path)).map(|path| frames(&fs::read(path).unwrap()));
    parts.flatten().filter(Frame::has_results).flat_map(|frame| frame.runs).flatten().collect()
}

/// An attempt writes what is done as the calls end. What it had not written when it was killed was
/// in flight, and it alone is called again.
#[test]
fn a_restart_calls_no_more_than_what_was_in_flight_again() {
    const ITEMS: u64 = 400;
    let (mut numbers, mut kills) = (Numbers(3), 0);
    for _ in 0..4 {
        let folder = Folder::new();
        let (out, calls) = (folder.file("out"), folder.file("calls"));
        let run = || {
            let mut command = tested(PROGRAM, "sleeping", &out, 1, ITEMS);
            command.env("AMORSIZE_TASK", "0").env(CALLS, &calls).env(MICROS, "2000");
            command
        };
        let called = || -> Vec<u64> {
            let lines = fs::read_to_string(&calls).unwrap_or_default();
            lines.lines().map(|line| line.parse().unwrap()).collect()
        };
        // After each kill: the number of calls, and the items that need no other one.
        let mut killed: Vec<(usize, BTreeSet<u64>)> = Vec::new();
        while killed.len() < 4 {
            let before = kept(&out).len();
            let mut child = start(&mut run());
            let until = called().len() + 100 + numbers.below(40) as usize;
            let ended = loop {
                if child.try_wait().unwrap().is_some() {
                    break true;
                }
                if called().len() >= until && kept(&out).len() > before {
                    child.kill().unwrap();
                    break child.wait().unwrap().code().is_some();
                }
                thread::sleep(Duration::from_millis(1));
            };
            if ended {
                break;
            }
            killed.push((called().len(), kept(&out)));
        }
        assert!(run().status().unwrap().success());
        let (code, stdout, stderr) = told(&tested(PROGRAM, "sleeping", &out, 1, ITEMS).output().unwrap());
        assert_eq!((code, stdout), (0, all(ITEMS)), "{stderr}");
        let called = called();
        for (calls, kept) in &killed {
            let again = called[*calls..].iter().find(|item| kept.contains(item));
            assert_eq!(again, None, "an item was called again although its result was written");
        }
        let in_flight: usize = killed
            .iter()
            .map(|(calls, kept)| called[..*calls].iter().collect::<BTreeSet<_>>().len() - kept.len())
            .sum();
        assert!(called.len() <= ITEMS as usize + in_flight, "{} calls, {in_flight} were in flight", called.len());
        kills += killed.len();
    }
    assert!(kills > 0, "each attempt ended before it was killed");
}

#[test]
fn leftovers_are_removed_and_results_stay() {
    let folder = Folder::new();
    let out = folder.file("out");
    let task = |task: Option<&str>, way| {
        told(&tested(PROGRAM, way, &out, 2, 50).envs(task.map(|task| ("AMORSIZE_TASK", task))).output().unwrap())
    };
    assert_eq!(task(Some("0"), "text").0, 0);
    // The same as the leftovers of an attempt that came second.
    let mine = files(&out).into_iter().find(|path| is_part(path)).unwrap();
    let other = mine.with_file_name(format!("{}.part", "5".repeat(32)));
    fs::copy(&mine, &other).unwrap();
    fs::write(mine.with_file_name(format!("{}.new", "6".repeat(32))), "half").unwrap();
    fs::write(out.join(format!("{}.new", "7".repeat(32))), "half").unwrap();
    assert_eq!(task(Some("1"), "text").0, 0);
    assert_eq!(task(None, "clean"), (0, "3 removed\n".to_owned(), String::new()));
    assert_eq!(files(&out).len(), 5);
    assert_eq!(task(None, "clean").1, "0 removed\n");
    // The part of an attempt that wrote the same, before there was a list of results.
    let name = mine.file_name().unwrap().to_str().unwrap();
    fs::copy(&mine, mine.with_file_name(format!("{}{}.part", &name[..8], "5".repeat(24)))).unwrap();
    fs::remove_file(mine.with_file_name("done")).unwrap();
    assert_eq!(task(Some("0"), "text").0, 0);
    assert_eq!(task(None, "clean").1, "1 removed\n");
    assert_eq!(task(None, "text").1, all(50));
}

#[test]
fn an_attempt_that_fails_after_another_one_has_finished_ends_well() {
    let folder = Folder::new();
    let out = folder.file("out");
    for task in ["0", "all"] {
        // Within its first call another process runs the whole of the task.
        let mut command = tested(PROGRAM, "late", &out, 2, 50);
        let (code, _, stderr) = told(&command.env("AMORSIZE_TASK", task).env(BESIDE, "0,late 0").output().unwrap());
        assert_eq!(code, 0, "{stderr}");
    }
    assert_eq!(told(&tested(PROGRAM, "late", &out, 2, 50).output().unwrap()).1, all(50));
}

#[test]
fn what_others_keep_beside_the_results_is_no_leftover() {
    let folder = Folder::new();
    let out = folder.file("out");
    let run = |task: &str, way| told(&tested(PROGRAM, way, &out, 2, 50).env("AMORSIZE_TASK", task).output().unwrap());
    assert_eq!(run("all", "text").0, 0);
    let name = |digit: &str, end: &str| format!("{}.{end}", digit.repeat(32));
    let mut others = Vec::new();
    for folder in [out.clone(), out.join("00001")] {
        for other in ["config.new", "video.part", ".new", &format!("{}z.new", "1".repeat(31)), &name("1", "new.new")] {
            others.push(folder.join(other));
            fs::write(folder.join(other), "theirs").unwrap();
        }
        for other in ["folder.new", &name("2", "new"), &name("2", "part")] {
            others.push(folder.join(other));
            fs::create_dir(folder.join(other)).unwrap();
        }
        fs::write(folder.join(name("3", "new")), "half").unwrap();
    }
    // Only a task has parts.
    others.push(out.join(name("4", "part")));
    fs::write(out.join(name("4", "part")), "theirs").unwrap();
    assert_eq!(run("", "clean"), (0, "2 removed\n".to_owned(), String::new()));
    assert!(others.iter().all(|path| path.exists()));
    assert_eq!(run("", "text").1, all(50));
}

#[test]
fn an_attempt_ends_well_of_which_others_finished_the_task_and_removed_the_files() {
    let folder = Folder::new();
    let out = folder.file("out");
    // The other one finishes the task before this one has written anything.
    let mut command = tested(PROGRAM, "sleeping", &out, 1, 50);
    command.env("AMORSIZE_TASK", "0").env(BESIDE, "0,text 0;49,parts 2,clean");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(told(&tested(PROGRAM, "text", &out, 1, 50).output().unwrap()).1, all(50));
}
