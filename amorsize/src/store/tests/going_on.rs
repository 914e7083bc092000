//! A run that goes on: the items that are done, the facts that must match, and refusals.

use proptest::prelude::*;

use super::*;
use crate::error::Changed;

#[test]
fn what_was_done_in_any_order_is_there_by_index() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[20..30, 0..10, 10..12, 40..41]);
    store(&scratch.run(), &[30..40, 12..20]);
    let mut store = open(&scratch.run()).unwrap();
    assert_eq!(done(&store), [0..41]);
    // Neighbours in a frame are one run.
    assert_eq!(store.found.done.iter().map(|done| done.first).collect::<Vec<_>>(), [0, 12, 20, 30, 40]);
    assert_eq!((read_all(&mut store).unwrap(), store.found.damaged), (41, 0));
    assert_eq!(store.found.next_done(11).map(|done| done.first), Some(0));
    assert_eq!(store.found.next_done(12).map(|done| done.first), Some(12));
    assert_eq!(store.found.next_done(41), None);
    assert!(store.found.bytes > 0);
}

#[test]
fn a_run_that_has_nothing_to_write_makes_no_segment() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[]);
    assert_eq!(files(&scratch.run()), ["lock", "manifest.json"]);
    store(&scratch.run(), &[0..3]);
    store(&scratch.run(), &[]);
    assert_eq!(files(&scratch.run()), ["000001.amz", "lock", "manifest.json"]);
}

#[test]
fn gaps_stay_gaps() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[3..5, 9..10, 7..8]);
    let mut store = open(&scratch.run()).unwrap();
    assert_eq!(done(&store), [3..5, 7..8, 9..10]);
    assert_eq!(store.found.next_done(5).map(|done| done.first), Some(7));
    assert_eq!(read_all(&mut store).unwrap(), 4);
}

#[test]
fn results_that_take_no_bytes_are_done_too() {
    let scratch = Scratch::new();
    let mut nothing = Encoded::new(5);
    for item in 5..9 {
        nothing.push(hash(item), &()).unwrap();
    }
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.put(nothing);
    writer.put(Encoded::new(100));
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    let [done] = store.found.done[..] else { panic!("{:?}", store.found.done) };
    let restored = store.read(&done).unwrap();
    assert_eq!((restored.stored.bytes(), restored.results::<()>().unwrap().len()), (0, 4));
}

#[test]
fn a_result_that_cant_be_serialized_leaves_the_others() {
    #[derive(serde::Deserialize)]
    struct Odd(u64);
    impl serde::Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::Error;
            serializer.collect_seq([self.0]).and_then(|done| match self.0 % 2 {
                0 => Ok(done),
                _ => Err(S::Error::custom("an odd one")),
            })
        }
    }
    let mut encoded = Encoded::new(0);
    encoded.push(hash(0), &Odd(0)).unwrap();
    let cause = encoded.push(hash(1), &Odd(1)).unwrap_err();
    encoded.push(hash(1), &Odd(2)).unwrap();
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.put(encoded);
    let error = writer.not_serialized(1, cause);
    assert!(error.is_unwritable() && error.item() == Some(1), "{error}");
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    let [done] = store.found.done[..] else { panic!("{:?}", store.found.done) };
    store.check_items(&done, hash_of(0..2)).unwrap();
    assert_eq!(store.read(&done).unwrap().results::<Vec<u64>>().unwrap(), [[0], [2]]);
}

#[test]
fn the_end_of_the_input_is_kept() {
    let scratch = Scratch::new();
    let first = open(&scratch.run()).unwrap();
    assert_eq!(first.found.end, None);
    let writer = first.writer(Settings::new(1)).unwrap();
    // The end comes before the results, which then have a segment with their shape.
    writer.end_of_input(12);
    writer.put(encoded(0..10));
    writer.finish().unwrap();
    drop(first);
    let mut second = open(&scratch.run()).unwrap();
    assert_eq!((second.found.end, done(&second)), (Some(12), vec![0..10]));
    second.check_results::<String>().unwrap();
    assert!(second.check_results::<Vec<u8>>().unwrap_err().is_changed());
    second.check_end(12).unwrap();
    second.check_end(13).unwrap();
    let error = second.check_end(11).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InputChanged { item: 11, items: 1, ended: true, .. }), "{error}");
}

#[test]
fn an_input_with_another_item_is_refused_by_its_items() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[10..20]);
    let store = open(&scratch.run()).unwrap();
    let [done] = store.found.done[..] else { panic!("{:?}", store.found.done) };
    store.check_items(&done, hash_of(10..20)).unwrap();
    let swapped = [10, 11, 13, 12, 14, 15, 16, 17, 18, 19];
    let mut other = ItemsHash::default();
    swapped.iter().for_each(|&item| other.push(hash(item)));
    for other in [other, hash_of(11..21), hash_of(10..19)] {
        let error = store.check_items(&done, other).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InputChanged { item: 10, items: 10, ended: false, .. }), "{error}");
    }
    let error = store.check_end(4).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InputChanged { item: 4, items: 16, ended: true, .. }), "{error}");
}

/// The fact that is refused, with its old and new value.
fn changed(directory: &Path, identity: &Identity) -> (Changed, String, String) {
    let error = Store::open(directory, identity).unwrap_err();
    match error.kind() {
        ErrorKind::CheckpointChanged { what, was, is, begun, .. } => {
            let versions = [env!("CARGO_PKG_VERSION"), env!("AMORSIZE_RUSTC")];
            let end = format!(" UTC with amorsize {} and rustc {}", versions[0], versions[1]);
            let begun = begun.strip_suffix(&end).unwrap_or_else(|| panic!("{begun}"));
            assert_eq!(begun.len(), "2026-11-28 17:30".len(), "{begun}");
            (what.clone(), was.clone(), is.clone())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_difference_is_refused_by_its_name() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..1]);
    let ours = || identity(Kind::Checkpoint);
    for (other, what, was, is) in [
        (
            Identity { function: "photos::crop".into(), ..ours() },
            Changed::Function,
            "`photos::resize`",
            "`photos::crop`",
        ),
        (Identity { tokens: 0x1235, ..ours() }, Changed::Function, "code 0000000000001234", "code 0000000000001235"),
        (Identity { version: Some("2".into()), ..ours() }, Changed::Version, "not stated", "`2`"),
        (Identity { item: "u32".into(), ..ours() }, Changed::Item, "`std::path::PathBuf`", "`u32`"),
        (Identity { result: "u32".into(), ..ours() }, Changed::Result, "`photos::Thumb`", "`u32`"),
        (
            Identity { shared: vec![("width".into(), 8)], ..ours() },
            Changed::Shared("width".into()),
            "hash 0000000000000007",
            "hash 0000000000000008",
        ),
        (Identity { shared: vec![], ..ours() }, Changed::Shared("width".into()), "hash 0000000000000007", "none"),
        (
            Identity { shared: vec![("width".into(), 7), ("height".into(), 0)], ..ours() },
            Changed::Shared("height".into()),
            "none",
            "hash 0000000000000000",
        ),
        (
            Identity { kind: Kind::Journal, ..ours() },
            Changed::Format,
            "that of a checkpoint (it keeps results)",
            "that of a journal (it keeps which items are done)",
        ),
    ] {
        assert_eq!(changed(&scratch.run(), &other), (what, was.to_owned(), is.to_owned()));
    }
    // None of these runs has written anything.
    assert_eq!(files(&scratch.run()), ["000001.amz", "lock", "manifest.json"]);
    assert_eq!(read_all(&mut open(&scratch.run()).unwrap()).unwrap(), 1);
}

#[test]
fn a_version_stands_for_code_and_types() {
    let scratch = Scratch::new();
    let stated = |version: &str, tokens| Identity {
        version: Some(version.into()),
        tokens,
        result: tokens.to_string(),
        ..identity(Kind::Checkpoint)
    };
    drop(Store::open(&scratch.run(), &stated("1", 1)).unwrap());
    drop(Store::open(&scratch.run(), &stated("1", 2)).unwrap());
    assert_eq!(changed(&scratch.run(), &stated("2", 1)), (Changed::Version, "`1`".into(), "`2`".into()));
    let none = identity(Kind::Checkpoint);
    assert_eq!(changed(&scratch.run(), &none), (Changed::Version, "`1`".into(), "not stated".into()));
    let shared = Identity { shared: vec![("width".into(), 8)], ..stated("1", 1) };
    assert_eq!(changed(&scratch.run(), &shared).0, Changed::Shared("width".into()));
}

#[test]
fn the_version_that_a_refusal_offers_goes_on() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..4]);
    // A first version says nothing of results that exist already.
    for (version, changed) in [(None, Changed::Function), (Some("1".into()), Changed::Version)] {
        let other = Identity { tokens: 0x1235, version, ..identity(Kind::Checkpoint) };
        let error = Store::open(&scratch.run(), &other).unwrap_err();
        let ErrorKind::CheckpointChanged { what, same_version, .. } = error.kind() else { panic!("{error}") };
        assert!(*what == changed && same_version.is_some(), "{error}");
        let stated = Identity { version: same_version.clone(), ..other };
        assert_eq!(Store::open(&scratch.run(), &stated).unwrap().items(), 4);
    }
}

#[test]
fn a_manifest_of_another_platform_or_format_is_refused() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..1]);
    let path = scratch.run().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (ours, theirs, what) in [
        ("bits, ", "bits, middle-", Changed::Platform),
        ("\"format\": 1", "\"format\": 2", Changed::Format),
        ("keeps\": \"", "keeps\": \"some ", Changed::Format),
    ] {
        assert!(text.contains(ours), "{text}");
        std::fs::write(&path, text.replace(ours, theirs)).unwrap();
        assert_eq!(changed(&scratch.run(), &identity(Kind::Checkpoint)).0, what);
    }
}

#[test]
fn a_manifest_that_is_gone_or_no_manifest_is_damage() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..1]);
    let path = scratch.run().join("manifest.json");
    let damaged = || {
        let error = open(&scratch.run()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Damaged { path: found, .. } if *found == path), "{error}");
        error.to_string()
    };
    for (text, cause) in [("", "EOF while parsing"), ("{}", "it has no `keeps`"), ("[1]", "it has no `format`")] {
        std::fs::write(&path, text).unwrap();
        let told = damaged();
        assert!(told.contains(cause) || text == "{}" && told.contains("`format`"), "{told}");
    }
    std::fs::write(&path, [0xFF]).unwrap();
    assert!(damaged().contains("it is no text"));
    std::fs::remove_file(&path).unwrap();
    assert!(damaged().contains("it is missing, and there are results"));
    // Without results nothing is lost.
    std::fs::remove_file(scratch.run().join("000001.amz")).unwrap();
    assert_eq!(open(&scratch.run()).unwrap().items(), 0);
}

#[test]
fn a_second_run_is_refused_while_the_first_lives() {
    let scratch = Scratch::new();
    let first = open(&scratch.run()).unwrap();
    let error = open(&scratch.run()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::CheckpointBusy { directory } if *directory == scratch.run()), "{error}");
    // Its writer still writes.
    let writer = first.writer(Settings::new(1)).unwrap();
    writer.put(encoded(0..3));
    drop(first);
    assert!(open(&scratch.run()).unwrap_err().is_busy());
    writer.finish().unwrap();
    assert_eq!(read_all(&mut open(&scratch.run()).unwrap()).unwrap(), 3);
}

#[test]
#[cfg(target_os = "linux")]
fn a_second_process_is_refused_and_its_death_unlocks() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let scratch = Scratch::new();
    store(&scratch.run(), &[]);
    let mut holder = Command::new("flock")
        .arg(scratch.run().join("lock"))
        .args(["sh", "-c", "echo held; exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    assert!(open(&scratch.run()).unwrap_err().is_busy());
    // `cat` ends, which is the last process that has the file.
    drop(holder.stdin.take());
    holder.wait().unwrap();
    open(&scratch.run()).unwrap();
}

#[test]
#[cfg(unix)]
fn a_directory_that_is_replaced_is_locked_where_it_is_now() {
    let scratch = Scratch::new();
    let (directory, old) = (scratch.run(), scratch.0.join("old"));
    std::fs::create_dir(&directory).unwrap();
    let mut opened = 0;
    let lock = super::super::lock::Lock::take_with(&directory, || {
        opened += 1;
        if opened == 1 {
            std::fs::rename(&directory, &old).unwrap();
            std::fs::create_dir(&directory).unwrap();
        }
    });
    let lock = lock.unwrap();
    assert_eq!(opened, 2);
    assert!(open(&directory).unwrap_err().is_busy());
    assert_eq!(open(&old).unwrap().items(), 0);
    drop(lock);
    open(&directory).unwrap();
}

#[test]
#[cfg(unix)]
fn a_directory_that_is_removed_before_it_is_locked_is_made_again() {
    let scratch = Scratch::new();
    let directory = scratch.run();
    let mut opened = 0;
    let lock = super::super::lock::Lock::take_with(&directory, || {
        opened += 1;
        if opened < 4 {
            std::fs::remove_dir_all(&directory).unwrap();
        }
    });
    let lock = lock.unwrap();
    assert_eq!(opened, 4);
    assert!(open(&directory).unwrap_err().is_busy());
    drop(lock);
    // A link to nowhere does not make it try for ever.
    std::fs::remove_file(directory.join("lock")).unwrap();
    std::os::unix::fs::symlink("no/such/directory", directory.join("lock")).unwrap();
    assert!(open(&directory).unwrap_err().is_storage());
}

#[test]
fn a_directory_that_a_file_stands_for_is_refused() {
    let scratch = Scratch::new();
    std::fs::write(scratch.run(), "").unwrap();
    let error = open(&scratch.run()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Storage { operation: "made", .. }), "{error}");
}

#[test]
fn other_files_are_left_alone_and_numbers_go_on() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..2]);
    for name in ["1.amz", "0000002.amz", "notes.txt", "-00001.amz", "+00003.amz"] {
        std::fs::write(scratch.run().join(name), "not ours").unwrap();
    }
    std::fs::copy(scratch.run().join("000001.amz"), scratch.run().join("000007.amz")).unwrap();
    store(&scratch.run(), &[2..3]);
    assert!(files(&scratch.run()).contains(&"000008.amz".to_owned()));
    let mut store = open(&scratch.run()).unwrap();
    // A copy under another name does not belong to the directory. The numbers before it count as
    // one loss.
    assert_eq!((done(&store), store.found.damaged), (vec![0..3], 1));
    read_all(&mut store).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Sessions of runs in any order, through segments of any size: everything is there, once and
    /// right.
    #[test]
    fn what_is_written_is_read(
        sessions in proptest::collection::vec(proptest::collection::vec((0u64..400, 1u64..40), 0..12), 1..4),
        segment_bytes in 200u64..5000,
        drops: bool,
    ) {
        let scratch = Scratch::new();
        let mut all = std::collections::BTreeSet::new();
        for runs in sessions {
            let mut store = open(&scratch.run()).unwrap();
            prop_assert_eq!(read_all(&mut store).unwrap(), all.len() as u64);
            let writer = store.writer(Settings { segment_bytes, ..Settings::new(100) }).unwrap();
            for (first, items) in runs {
                // Like the engine, only items that are not done.
                let free = (first..first + items).take_while(|item| !all.contains(item)).count() as u64;
                all.extend(first..first + free);
                writer.wait_for_room();
                writer.put(encoded(first..first + free));
            }
            if drops {
                drop(writer);
            } else {
                let written = writer.finish().unwrap();
                prop_assert_eq!(written, open_bytes(&scratch.run()));
            }
        }
        let mut store = open(&scratch.run()).unwrap();
        let read: Vec<u64> = done(&store).into_iter().flatten().collect();
        prop_assert_eq!(read, all.into_iter().collect::<Vec<_>>());
        read_all(&mut store).unwrap();
        prop_assert_eq!(store.found.damaged, 0);
    }
}

/// Bytes of all segments.
fn open_bytes(directory: &Path) -> u64 {
    let segments = files(directory).into_iter().filter(|name| name.ends_with(".amz"));
    segments.map(|name| std::fs::metadata(directory.join(name)).unwrap().len()).sum()
}

#[test]
fn results_are_taken_by_so_many_bytes() {
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(u64::MAX)).unwrap();
    let mut all = Encoded::new(0);
    (0..10).for_each(|item| all.push(item, &vec![item as u8; 100]).unwrap());
    writer.put(all);
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    let done = store.found.done[0];
    let mut restored = store.read(&done).unwrap();
    let mut taken = Vec::new();
    while !restored.stored.is_empty() {
        let before = restored.stored.bytes();
        let results: Vec<Vec<u8>> = restored.take(250).unwrap();
        assert!(before - restored.stored.bytes() <= 250 + 101, "{}", restored.stored.bytes());
        taken.push(results.len());
    }
    assert_eq!(taken, [3, 3, 3, 1]);
    // At least one.
    assert_eq!(store.read(&done).unwrap().take::<Vec<u8>>(1).unwrap().len(), 1);
}
