//! One item that takes long holds nothing back. Finished results of other items are written
//! meanwhile, and a kill costs only the calls in flight.

#![cfg(unix)]

#[path = "common/folder.rs"]
mod folder;

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Batched, process_in_batches};
use folder::Folder;

const ITEMS: u64 = 100_000;
/// The item that takes long.
const SLOW: u64 = 5_000;
const FOLDER: &str = "AMORSIZE_TEST_SLOW_FOLDER";
const THREADS: &str = "AMORSIZE_TEST_SLOW_THREADS";
/// More than any of these runs takes on the busiest machine.
const HANGS: Duration = Duration::from_secs(600);

/// Other calls that may be in the slow one's chunk, which has the length of about five hundred
/// others. Their results stay with the chunk until it ends.
const BESIDE: u64 = 100;
const BYTES: usize = 128;
/// The bytes that a result has in the file: its number and its length come before it, with two
/// bytes each. (The first and the last ones have one less or more.)
const STORED: u64 = BYTES as u64 + 4;

/// A result of `BYTES` bytes, which compression makes no smaller.
fn result(x: u64) -> (u64, Vec<u8>) {
    let mut seed = x + 1;
    let mut next = || {
        seed = (seed ^ (seed >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (seed >> 56) as u8
    };
    (x, (0..BYTES).map(|_| next()).collect())
}

type Call<'a> = Box<dyn Fn(u64) -> (u64, Vec<u8>) + Sync + 'a>;

fn run<'a>(folder: &Path, slow: impl Fn() + Sync + 'a) -> Batched<std::ops::Range<u64>, (u64, Vec<u8>), Call<'a>> {
    let calls = OpenOptions::new().append(true).create(true).open(folder.join("calls")).unwrap();
    let call: Call<'a> = Box::new(move |x| {
        // A byte for each call.
        (&calls).write_all(b"x").unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(20) {
            std::hint::spin_loop();
        }
        if x == SLOW {
            slow();
        }
        result(x)
    });
    process_in_batches(call, 0..ITEMS).version(1).checkpoint(folder.join("run"))
}

/// Runs in the process that is killed, and so ends its slow item.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn inside() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let threads = env::var(THREADS).unwrap().parse().unwrap();
    run(Path::new(&folder), || thread::sleep(HANGS)).threads(threads).for_each_batch(drop).unwrap();
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// Kills a process when all results but the slow item's are written, and returns the number of
/// calls that are made again.
fn repeated(threads: usize) -> u64 {
    let folder = Folder::new(&format!("slow-{threads}"));
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["inside", "--exact", "--ignored", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env(THREADS, threads.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let (mut called, mut since) = (0, begun);
    loop {
        let now = bytes(&folder.file("calls"));
        if now != called {
            (called, since) = (now, Instant::now());
        }
        let stored = bytes(&folder.file("run").join("000001.amz")) / STORED;
        // The other threads go on until they may go no further, and their results do not wait for
        // the slow item. If they are only slow, this shows less.
        let have_come_far = called > SLOW && since.elapsed() > Duration::from_millis(500);
        if have_come_far && stored + BESIDE > called {
            break;
        }
        assert!(begun.elapsed() < HANGS, "{called} are called and only {stored} are written");
        assert_eq!(child.try_wait().unwrap(), None);
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let called = bytes(&folder.file("calls"));
    let slow = AtomicU64::new(0);
    let mut next = 0;
    let report = run(folder.path(), || _ = slow.fetch_add(1, Relaxed))
        .for_each(|value| {
            assert_eq!(value, result(next));
            next += 1;
        })
        .unwrap();
    assert_eq!((next, slow.into_inner()), (ITEMS, 1));
    let again = bytes(&folder.file("calls")) - ITEMS;
    assert_eq!(again, called - report.restored() as u64);
    println!("{threads} threads: {called} called, {again} called again");
    again
}

#[test]
fn all_that_is_finished_beside_a_slow_item_is_written() {
    // The slow one itself, and its neighbours in the chunk.
    assert!(repeated(2) <= 1 + BESIDE);
}
