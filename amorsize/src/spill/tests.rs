//! Results come back from files as they were written, whatever they are; or an error comes.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use proptest::prelude::*;

use super::file::SpillFile;
use super::{Spilled, directory};
use crate::error::failure::Ended;
use crate::error::{Error, ErrorKind};
use crate::memory::budget::Ledger;
use crate::store::Buffers;
use crate::units::ByteSize;

fn file(budget: ByteSize) -> SpillFile {
    SpillFile::new(directory(Some(&std::env::temp_dir())).unwrap(), budget, &Ledger::new(budget))
}

/// The results of these items.
fn spilled(items: &[(usize, Vec<u16>)]) -> Spilled<Vec<u16>> {
    // Frames of 16 KiB.
    let mut file = file(ByteSize::mib(1));
    for (item, result) in items {
        assert!(file.add(*item, result).is_ok());
        file.write_if_full(size_of::<Vec<u16>>()).unwrap();
    }
    file.finish().unwrap();
    Spilled::on_the_disk(file)
}

/// Items with gaps between some of them, and results of all sizes up to several frames.
fn items() -> impl Strategy<Value = Vec<(usize, Vec<u16>)>> {
    let result = prop_oneof![
        4 => (0..4_usize, any::<u16>()).prop_map(|(len, seed)| vec![seed; len]),
        2 => (0..9_000_usize, any::<u16>()).prop_map(|(len, seed)| (0..len).map(|at| seed.wrapping_mul(at as u16)).collect()),
        1 => (20_000..30_000_usize, any::<u16>()).prop_map(|(len, seed)| vec![seed; len]),
    ];
    let gap = prop_oneof![5 => Just(0), 1 => 1..200_usize];
    prop::collection::vec((gap, result), 0..60).prop_map(|items| {
        let mut next = 0;
        let placed = items.into_iter().map(|(gap, result)| {
            next += gap + 1;
            (next - 1, result)
        });
        placed.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_added_comes_back_by_each_way(items in items()) {
        let spilled = spilled(&items);
        prop_assert_eq!(spilled.len(), items.len());
        prop_assert!(spilled.indices().eq(items.iter().map(|(item, _)| *item)));
        prop_assert!(spilled.iter().map(Result::unwrap).eq(items.iter().map(|(_, result)| result.clone())));
        for at in 0..items.last().map_or(3, |(last, _)| last + 3) {
            let expected = items.binary_search_by_key(&at, |(item, _)| *item).ok().map(|place| &items[place].1);
            let found = spilled.get(at).map(Result::unwrap);
            prop_assert_eq!(found.as_ref(), expected);
        }
        prop_assert!(spilled.into_iter().map(Result::unwrap).eq(items.into_iter().map(|(_, result)| result)));
    }
}

/// The results that can be read, and the last error.
fn read(spilled: &Spilled<Vec<u16>>) -> (Vec<Vec<u16>>, Option<Error>) {
    let (mut results, mut error) = (Vec::new(), None);
    for result in spilled {
        match result {
            Ok(result) => results.push(result),
            Err(found) => error = Some(found),
        }
    }
    (results, error)
}

/// Results in several frames, with their one file and its bytes.
struct Sample {
    all: Vec<Vec<u16>>,
    spilled: Spilled<Vec<u16>>,
    file: File,
    bytes: u64,
}

fn sample() -> Sample {
    let noise = |item: usize| (0..item).map(|at| (at * 40_503 + item * 25_717) as u16 >> 3).collect();
    let items: Vec<_> = (0..300).map(|item| (item, if item < 150 { vec![7; 300] } else { noise(item) })).collect();
    let spilled = spilled(&items);
    let super::Kept::Disk(disk) = &spilled.kept else { panic!("it is on disk") };
    let file = disk.files()[0].try_clone().unwrap();
    let bytes = disk.bytes();
    assert!(disk.frames() > 5 && disk.files().len() == 1);
    Sample { all: items.into_iter().map(|(_, result)| result).collect(), spilled, file, bytes }
}

#[test]
fn damage_is_an_error_and_costs_its_frame_alone() {
    let Sample { all, spilled, mut file, bytes } = sample();
    let mut put = |at: u64, byte: u8| {
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&[byte]).unwrap();
    };
    let mut content = vec![0; bytes as usize];
    let mut reader = spilled_file(&spilled);
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_exact(&mut content).unwrap();
    let super::Kept::Disk(disk) = &spilled.kept else { panic!("it is on disk") };
    for at in (0..bytes).step_by(1_499) {
        let byte = content[at as usize];
        for damaged in [byte ^ 1, byte ^ 0x80, !byte] {
            put(at, damaged);
            let read: Vec<_> = spilled.iter().collect();
            let error = read.iter().find_map(|result| result.as_ref().err()).expect("a checksum differs");
            assert!(matches!(error.kind(), ErrorKind::Damaged { .. }) && error.is_storage(), "{error}");
            // All other frames can be read, and each of their results is in its place.
            let is_whole = |frame: &usize| disk.read::<Vec<u16>>(*frame, &mut Buffers::default()).is_ok();
            let whole: Vec<_> = (0..disk.frames()).filter(is_whole).collect();
            assert_eq!(whole.len(), disk.frames() - 1);
            let mut items =
                whole.into_iter().flat_map(|frame| disk.runs(frame)).flat_map(|(first, items)| first..first + items);
            assert_eq!(read.len(), all.len());
            for (item, result) in read.into_iter().enumerate() {
                let Ok(result) = result else { continue };
                assert_eq!((items.next(), &result), (Some(item), &all[item]));
            }
            assert_eq!(items.next(), None);
        }
        put(at, byte);
    }
    assert_eq!(read(&spilled).0, all);
}

fn spilled_file(spilled: &Spilled<Vec<u16>>) -> File {
    let super::Kept::Disk(disk) = &spilled.kept else { panic!("it is on disk") };
    disk.files()[0].try_clone().unwrap()
}

#[test]
fn a_file_that_was_cut_is_an_error() {
    let Sample { all, spilled, file, bytes } = sample();
    for len in (0..bytes).rev().step_by(1_777) {
        file.set_len(len).unwrap();
        let (results, error) = read(&spilled);
        assert!(all.starts_with(&results) && results.len() < all.len());
        assert!(matches!(error.expect("it ends too early").kind(), ErrorKind::Damaged { .. }));
    }
}

#[test]
fn results_without_bytes_are_counted_and_frames_of_them_end() {
    let mut file = file(ByteSize::mib(1));
    for item in 0..100_000 {
        assert!(file.add(item, &()).is_ok());
        file.write_if_full(0).unwrap();
    }
    file.finish().unwrap();
    assert!(file.frames() > 5 && file.bytes() == 0);
    let spilled: Spilled<()> = Spilled::on_the_disk(file);
    assert_eq!(spilled.iter().map(Result::unwrap).count(), 100_000);
    assert!(spilled.get(99_999).unwrap().is_ok() && spilled.get(100_000).is_none());
}

/// In memory a result may be much larger than its bytes.
#[test]
fn a_frame_ends_when_its_results_take_as_much_in_memory() {
    let mut file = file(ByteSize::mib(1));
    (0..1000).for_each(|item| {
        assert!(file.add(item, &[0_u64; 32]).is_ok());
        file.write_if_full(size_of::<[u64; 32]>()).unwrap();
    });
    assert_eq!(file.frames(), 1000 * 256 / (16 << 10) + 1);
}

#[derive(serde::Deserialize)]
struct Panics;

impl serde::Serialize for Panics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&7_u8)?;
        panic!("in the middle")
    }
}

#[test]
fn a_result_that_panics_leaves_nothing() {
    let mut file = file(ByteSize::mib(1));
    assert!(file.add(0, &1_u16).is_ok());
    assert!(matches!(file.add(1, &Panics), Err(Ended::Panic(_))));
    assert!(file.add(2, &3_u16).is_ok());
    file.finish().unwrap();
    let spilled: Spilled<u16> = Spilled::on_the_disk(file);
    assert!(spilled.indices().eq([0, 2]));
    assert!(spilled.into_iter().map(Result::unwrap).eq([1, 3]));
}

#[test]
fn what_is_not_written_holds_credit() {
    let ledger = Ledger::new(ByteSize::mib(64));
    let mut file = SpillFile::new(directory(Some(&std::env::temp_dir())).unwrap(), ledger.budget(), &ledger);
    assert!(file.add(0, &vec![1_u8; 100_000]).is_ok());
    assert!(ledger.held() >= ByteSize::new(100_000));
    file.finish().unwrap();
    assert!(ledger.held() < ByteSize::new(1000));
    drop(file);
    assert_eq!(ledger.held(), ByteSize::ZERO);
}

#[test]
fn the_number_of_files_grows_more_slowly_than_their_bytes() {
    // Results that are not written: only the end of the last file counts.
    let (mut used, mut files) = (0_u64, 0);
    while used < 1 << 40 {
        used += super::file::segment_bytes(used);
        files += 1;
    }
    assert!(files < 300, "{files}");
}
