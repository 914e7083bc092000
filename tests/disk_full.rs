//! A full disk loses nothing: what is written stays, and the same run goes on once there is room.

#![cfg(unix)]

#[path = "common/child.rs"]
mod child;
#[path = "common/folder.rs"]
mod folder;
#[path = "common/full.rs"]
mod full;

use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use amorsize::sink::JsonLines;
use amorsize::{ErrorKind, Spilled, process_in_batches};
use child::{is_inside, run_inside};
use folder::Folder;
use full::limit_files;

#[test]
fn json_lines_go_on_when_there_is_room_again() {
    run_inside("inside");
}

#[test]
fn a_checkpoint_goes_on_when_there_is_room_again() {
    run_inside("a_checkpoint_inside");
}

#[test]
#[ignore = "its limit is that of the whole process"]
fn inside() {
    if !is_inside() {
        return;
    }
    let folder = Folder::new("json_lines_go_on");
    let (path, partial) = (folder.file("texts.jsonl"), folder.file("texts.jsonl.partial"));
    let text = |item: usize| format!("{item}{}", ".".repeat(item % 101));
    let line = |item| format!("{:?}\n", text(item));
    let mut sink = JsonLines::new(&path);
    let mut run = process_in_batches(text, 0..10_000).batch_size(700);
    for limit in [1_000, 1_000, 200_000] {
        limit_files(limit);
        let error = run.write_to(&mut sink).unwrap_err();
        let ErrorKind::Storage { path, operation: "written", kind, cause, needed: Some(needed), free, .. } =
            error.kind()
        else {
            panic!("{error:#?}")
        };
        assert_eq!((path, *kind), (&partial, io::ErrorKind::FileTooLarge));
        assert!(needed.as_u64() > 0 && error.to_string().contains("free space, and the same sink goes on"), "{error}");
        // The cause is the system's words alone.
        assert!(cause.starts_with("File too large (os error ") && cause.ends_with(')'), "{error}");
        assert_eq!(free.is_some(), cfg!(any(target_os = "linux", target_vendor = "apple")), "{error}");
        // The file has whole lines from the first on.
        let written = fs::read_to_string(&partial).unwrap();
        assert!(written.len() as u64 <= limit);
        assert_eq!(written, (0..written.lines().count()).map(line).collect::<String>());
    }
    limit_files(u64::MAX);
    run.write_to(&mut sink).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), (0..10_000).map(line).collect::<String>());
}

#[test]
#[ignore = "its limit is that of the whole process"]
fn a_checkpoint_inside() {
    if !is_inside() {
        return;
    }
    let text = |item: usize| {
        let mut seed = item as u64 + 1;
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_string()
        };
        (0..60).map(|_| next()).collect::<String>()
    };
    for threads in [1, 2] {
        let folder = Folder::new(&format!("a_checkpoint_goes_on_{threads}"));
        let calls = AtomicUsize::new(0);
        let call = |item: usize| {
            calls.fetch_add(1, Relaxed);
            text(item)
        };
        let run = || {
            let run = process_in_batches(call, 0..4_000).version(1).max_memory("1MiB");
            run.threads(threads).checkpoint(folder.file("run"))
        };
        let mut all = Vec::new();
        let mut first = run();
        for limit in [100_000, 100_000, 300_000] {
            // Each terminal begins a file, which may grow up to the limit.
            limit_files(limit);
            let Err(error) = first.for_each_batch(|batch| all.extend(batch)) else { break };
            let ErrorKind::Storage { kind: io::ErrorKind::FileTooLarge, .. } = error.kind() else {
                panic!("{error:#?}")
            };
            assert!(all.len() < 4_000, "the limit is too high to be met");
        }
        limit_files(u64::MAX);
        first.for_each_batch(|batch| all.extend(batch)).unwrap();
        assert!(all.iter().map(String::as_str).eq((0..4_000).map(text).collect::<Vec<_>>()));
        drop(first);
        let is_complete = || Spilled::<String>::open(folder.file("run")).unwrap().is_complete();
        assert!(!is_complete());
        // Results that could not be written are computed again. The others come from the files.
        calls.store(0, Relaxed);
        let spilled = run().spill().unwrap();
        assert!(spilled.iter().map(Result::unwrap).eq((0..4_000).map(text)));
        assert!((1..4_000).contains(&calls.load(Relaxed)), "{calls:?}");
        assert!(is_complete());
    }
}
