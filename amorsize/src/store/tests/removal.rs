//! A directory that is removed: it goes as a whole, even if the removal is cut short.

use super::super::manifest::REMOVED;
use super::*;
use crate::error::stored::MANIFEST;

#[test]
fn a_directory_that_is_removed_leaves_what_is_not_ours() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..2]);
    store(&scratch.run(), &[2..4]);
    assert!(open(&scratch.run()).unwrap().remove().unwrap().is_none());
    assert!(!scratch.run().exists());
    store(&scratch.run(), &[0..2]);
    std::fs::write(scratch.run().join("notes.txt"), "mine").unwrap();
    assert!(open(&scratch.run()).unwrap().remove().unwrap().is_none());
    assert_eq!(files(&scratch.run()), ["notes.txt"]);
}

#[test]
fn a_removal_that_was_cut_short_has_removed_everything() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.run().join(name);
    let segments = [1, 2, 3].map(segment::name);
    for removed in 0..=segments.len() {
        [0..2, 2..4, 4..6].into_iter().for_each(|items| store(&scratch.run(), &[items]));
        std::fs::rename(path(MANIFEST), path(REMOVED)).unwrap();
        segments.iter().take(removed).for_each(|name| std::fs::remove_file(path(name)).unwrap());
        let store = open(&scratch.run()).unwrap();
        assert_eq!((done(&store), store.found.damaged, store.found.bytes), (vec![], 0, 0), "{removed}");
        assert_eq!(files(&scratch.run()), ["lock", MANIFEST]);
        assert!(store.remove().unwrap().is_none() && !scratch.run().exists());
    }
    // The old name may come back by a power cut, when the directory has new results.
    store(&scratch.run(), &[0..2]);
    std::fs::copy(path(MANIFEST), path(REMOVED)).unwrap();
    assert_eq!(done(&open(&scratch.run()).unwrap()), [0..2]);
    assert!(!path(REMOVED).exists());
}

#[test]
fn a_removal_that_fails_leaves_everything_or_nothing() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.run().join(name);
    store(&scratch.run(), &[0..4]);
    store(&scratch.run(), &[4..6]);
    // No file is renamed to a directory, and none can be removed as a file.
    std::fs::create_dir(path(REMOVED)).unwrap();
    let error = open(&scratch.run()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Storage { operation: "removed", .. }), "{error}");
    std::fs::remove_dir(path(REMOVED)).unwrap();
    let store = open(&scratch.run()).unwrap();
    std::fs::create_dir(path(REMOVED)).unwrap();
    let error = store.remove().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Storage { operation: "removed", .. }), "{error}");
    std::fs::remove_dir(path(REMOVED)).unwrap();
    let store = open(&scratch.run()).unwrap();
    assert_eq!(done(&store), [0..6]);
    std::fs::create_dir(path("000003.amz")).unwrap();
    let left = store.remove().unwrap().unwrap();
    assert!(matches!(left.kind(), ErrorKind::Storage { path, .. } if path.ends_with("000003.amz")), "{left}");
    std::fs::remove_dir(path("000003.amz")).unwrap();
    assert_eq!(done(&open(&scratch.run()).unwrap()), []);
}
