//! A sink loses nothing on a full disk: written results stay, and the others wait.

#![cfg(unix)]

#[path = "common/child.rs"]
mod child;
#[path = "common/folder.rs"]
mod folder;
#[path = "common/full.rs"]
mod full;

use std::fs;
use std::io;

use amorsize::sink::JsonLines;
use amorsize::{ErrorKind, process_in_batches};
use child::{is_inside, run_inside};
use folder::Folder;
use full::limit_files;

#[test]
fn json_lines_go_on_when_there_is_room_again() {
    run_inside("inside");
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
        let ErrorKind::Storage { path, operation: "written", kind, needed: Some(needed), .. } = error.kind() else {
            panic!("{error:#?}")
        };
        assert_eq!((path, *kind), (&partial, io::ErrorKind::FileTooLarge));
        assert!(needed.as_u64() > 0 && error.to_string().contains("free space"), "{error}");
        // The file has whole lines from the first on.
        let written = fs::read_to_string(&partial).unwrap();
        assert!(written.len() as u64 <= limit);
        assert_eq!(written, (0..written.lines().count()).map(line).collect::<String>());
    }
    limit_files(u64::MAX);
    run.write_to(&mut sink).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), (0..10_000).map(line).collect::<String>());
}
