//! Changes of a directory's files: of their bytes, of whole frames, and of their names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amorsize_array_tests::files;
use amorsize_array_tests::format::{frames, number_of, seal};
use proptest::prelude::*;
use proptest::sample::Index;

/// The bytes of files, by their paths in a directory.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Reads all files of a directory.
pub(crate) fn read(directory: &Path) -> Files {
    let file = |path: PathBuf| (path.strip_prefix(directory).unwrap().to_owned(), fs::read(&path).unwrap());
    files(directory).into_iter().map(file).collect()
}

/// Writes these files into a directory.
pub(crate) fn write(files: &Files, directory: &Path) {
    for (path, bytes) in files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A file, and a place in it.
type Place = (Index, Index);

#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Some bits of a byte differ.
    Flip(Place, u8),
    /// A file ends here.
    Cut(Place),
    /// Bytes are zero from here on, up to this number of them.
    Zero(Place, usize),
    Insert(Place, Vec<u8>),
    /// Bytes are missing from here on, up to this number of them.
    Take(Place, usize),
    /// Bytes from the first place are also at the second one, in place of others.
    Copy(Place, usize, Place),
    /// A file goes on with the bytes of another one.
    Append(Index, Index),
    Remove(Index),
    Swap(Index, Index),
    /// A file has the bytes of another one.
    Replace(Index, Index),
    /// A file of results is there once more, under the name of this number.
    Again(Index, u32),
    /// A frame is missing.
    TakeFrame(Place),
    /// A frame is there once more, in front of another one.
    CopyFrame(Place, Place),
    /// A number in the head of a frame is another one.
    Number(Place, Index, u64),
}

/// Some changes of a directory.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let file = any::<Index>;
    let place = || (file(), any::<Index>());
    let bytes = || prop_oneof![1usize..60, 1usize..3000];
    let number = prop_oneof![0u64..40, any::<u64>(), Just(u64::MAX), Just(1 << 31), Just(1 << 63)];
    let change = prop_oneof![
        4 => (place(), 1u8..).prop_map(|(place, bits)| Change::Flip(place, bits)),
        2 => place().prop_map(Change::Cut),
        1 => (place(), bytes()).prop_map(|(place, bytes)| Change::Zero(place, bytes)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..60)).prop_map(|(place, bytes)| Change::Insert(place, bytes)),
        1 => (place(), bytes()).prop_map(|(place, bytes)| Change::Take(place, bytes)),
        2 => (place(), bytes(), place()).prop_map(|(from, bytes, to)| Change::Copy(from, bytes, to)),
        1 => (file(), file()).prop_map(|(file, other)| Change::Append(file, other)),
        1 => file().prop_map(Change::Remove),
        1 => (file(), file()).prop_map(|(file, other)| Change::Swap(file, other)),
        1 => (file(), file()).prop_map(|(file, other)| Change::Replace(file, other)),
        1 => (file(), 0u32..12).prop_map(|(file, number)| Change::Again(file, number)),
        2 => place().prop_map(Change::TakeFrame),
        2 => (place(), place()).prop_map(|(from, to)| Change::CopyFrame(from, to)),
        4 => (place(), any::<Index>(), number).prop_map(|(place, field, number)| Change::Number(place, field, number)),
    ];
    prop::collection::vec(change, 1..5)
}

/// Makes changes to files that are below `folder`.
pub(crate) fn apply(changes: &[Change], files: &mut Files, folder: &str) {
    for change in changes {
        let paths: Vec<PathBuf> = files.keys().filter(|path| path.starts_with(folder)).cloned().collect();
        if paths.is_empty() {
            return;
        }
        let path = |file: &Index| file.get(&paths);
        let place = |(file, at): &Place| {
            let length = files[path(file)].len();
            (path(file), at.index(length + 1), length)
        };
        match change {
            Change::Flip(at, bits) => {
                let (path, at, _) = place(at);
                files.get_mut(path).unwrap().get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
            }
            Change::Cut(at) => {
                let (path, at, _) = place(at);
                files.get_mut(path).unwrap().truncate(at);
            }
            Change::Zero(at, bytes) => {
                let (path, at, length) = place(at);
                files.get_mut(path).unwrap()[at..length.min(at + bytes)].fill(0);
            }
            Change::Insert(at, bytes) => {
                let (path, at, _) = place(at);
                files.get_mut(path).unwrap().splice(at..at, bytes.iter().copied());
            }
            Change::Take(at, bytes) => {
                let (path, at, length) = place(at);
                files.get_mut(path).unwrap().drain(at..length.min(at + bytes));
            }
            Change::Copy(from, bytes, to) => {
                let ((path, at, length), (other, to, end)) = (place(from), place(to));
                let bytes = files[path][at..length.min(at + bytes)].to_vec();
                files.get_mut(other).unwrap().splice(to..end.min(to + bytes.len()), bytes);
            }
            Change::Append(file, other) => {
                let bytes = files[path(other)].clone();
                files.get_mut(path(file)).unwrap().extend(bytes);
            }
            Change::Remove(file) => drop(files.remove(path(file))),
            Change::Swap(file, other) => {
                let bytes = files[path(file)].clone();
                let before = files.insert(path(other).clone(), bytes).unwrap();
                files.insert(path(file).clone(), before);
            }
            Change::Replace(file, other) => drop(files.insert(path(file).clone(), files[path(other)].clone())),
            Change::Again(file, number) => {
                let path = path(file);
                let name = match path.extension().and_then(|end| end.to_str()) {
                    Some("amz") => format!("{number:06}.amz"),
                    Some("part") => format!("{number:032x}.part"),
                    _ => continue,
                };
                files.insert(path.with_file_name(name), files[path].clone());
            }
            Change::TakeFrame((file, frame)) => {
                let bytes = files.get_mut(path(file)).unwrap();
                let frames = frames(bytes);
                if !frames.is_empty() {
                    bytes.drain(frame.get(&frames).bytes.clone());
                }
            }
            Change::CopyFrame((file, frame), (other, to)) => {
                let (from, places) = (frames(&files[path(file)]), frames(&files[path(other)]));
                if !from.is_empty() && !places.is_empty() {
                    let bytes = files[path(file)][frame.get(&from).bytes.clone()].to_vec();
                    let at = to.get(&places).bytes.start;
                    files.get_mut(path(other)).unwrap().splice(at..at, bytes);
                }
            }
            Change::Number((file, frame), field, number) => {
                let bytes = files.get_mut(path(file)).unwrap();
                let frames = frames(bytes);
                if !frames.is_empty() {
                    let frame = frame.get(&frames);
                    // Runs, flags, both lengths; and of each run its first item, its items and its
                    // bytes.
                    let mut fields = vec![(4, 4), (8, 4), (12, 8), (20, 8)];
                    fields.extend((0..frame.runs.len()).flat_map(|run| {
                        let run = 44 + 28 * run;
                        [(run, 8), (run + 8, 4), (run + 12, 8)]
                    }));
                    let (at, length) = *field.get(&fields);
                    bytes[frame.bytes.start + at..][..length].copy_from_slice(&number.to_le_bytes()[..length]);
                }
            }
        }
    }
}

/// Makes the checksums of all changed files agree with their bytes.
pub(crate) fn seal_changed(files: &mut Files, before: &Files) {
    for (path, bytes) in files.iter_mut().filter(|(path, bytes)| before.get(*path) != Some(*bytes)) {
        seal(path, bytes);
    }
}

/// True for a file of results.
pub(crate) fn has_frames(path: &Path) -> bool {
    number_of(path).is_some()
}
