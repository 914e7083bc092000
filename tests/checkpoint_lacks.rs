//! A directory that lacks results which the run has: it never says that it is complete, `spill`
//! tells why, and the results of other shared values are never taken for this run's.

#[path = "common/folder.rs"]
mod folder;

use std::path::Path;
use std::time::Duration;

use amorsize::on_error::Skip;
use amorsize::{Changed, Error, ErrorKind, Spilled, batched, process_fallible_in_batches, process_in_batches};
use folder::Folder;

#[batched]
fn add(x: u64, plus: u64) -> u64 {
    x + plus
}

mod other {
    use amorsize::batched;

    #[batched]
    pub(crate) fn add(x: u64, plus: u64) -> u64 {
        x + 100 * plus
    }
}

#[batched]
fn pairs(x: u64, (a, b): (u64, u64), (c, d): (u64, u64)) -> u64 {
    x + a * b + c * d
}

#[test]
fn each_stage_of_one_name_has_its_own_shared_values() {
    let folder = Folder::new("lacks-stages");
    let twice = |a, b, name: &str| -> Result<Vec<u64>, Error> {
        add_batched(0..3, a).then(move |sums| add_batched(sums, b)).checkpoint(folder.file(name)).collect()
    };
    assert_eq!(twice(3, 3, "equal").unwrap(), [6, 7, 8]);
    for (a, b, changed) in [(3, 5, "add::plus (2)"), (4, 3, "add::plus"), (5, 3, "add::plus")] {
        let refused = twice(a, b, "equal").unwrap_err();
        let ErrorKind::CheckpointChanged { what, .. } = refused.kind() else { panic!("{refused}") };
        assert_eq!(*what, Changed::Shared(changed.to_owned()));
    }
    for _ in 0..2 {
        assert_eq!(twice(3, 5, "unequal").unwrap(), [8, 9, 10]);
    }
    let both = |a, b| -> Result<Vec<u64>, Error> {
        let stage = move |sums| other::add_batched(sums, b);
        add_batched(0..3, a).then(stage).checkpoint(folder.file("paths")).collect()
    };
    assert_eq!(both(3, 5).unwrap(), [503, 504, 505]);
    assert_eq!(both(3, 5).unwrap(), [503, 504, 505]);
    assert!(both(5, 5).unwrap_err().is_changed());
    // Parameters without a name.
    let unnamed = |first, second| pairs_batched(0..3, first, second).checkpoint(folder.file("pairs")).collect();
    let all: Vec<u64> = unnamed((1, 2), (3, 4)).unwrap();
    assert_eq!(all, [14, 15, 16]);
    assert_eq!(unnamed((1, 2), (3, 4)).unwrap(), all);
    assert!(unnamed((1, 3), (3, 4)).unwrap_err().is_changed());
}

fn numbers() -> [Result<u32, String>; 3] {
    [Ok(1), Err("unread".to_owned()), Ok(3)]
}

#[test]
fn a_spill_names_the_result_that_its_checkpoint_lacks() {
    let folder = Folder::new("lacks-spill");
    let run = || process_fallible_in_batches(|x: u32| Ok::<_, String>(2 * x), numbers()).version(1);
    let refused = run().checkpoint(folder.file("each")).spill().unwrap_err();
    assert_eq!((refused.item(), refused.is_storage()), (Some(1), false));
    let told = refused.to_string();
    assert!(told.contains("the checkpoint has 2 of 3 results: errors of the input"), "{told}");
    assert!(!told.contains("`key` can't be"), "{told}");
    // The way out that it tells.
    let all = run().on_error(Skip).checkpoint(folder.file("skip")).spill().unwrap();
    assert_eq!(all.iter().collect::<Result<Vec<_>, _>>().unwrap(), [2, 6]);
}

fn odd_ones_fail(x: u32) -> Result<u32, String> {
    if x % 2 == 1 { Err(x.to_string()) } else { Ok(x) }
}

fn is_whole<R: serde::Serialize + serde::de::DeserializeOwned>(directory: &Path, items: usize) -> bool {
    let all = Spilled::<R>::open(directory).unwrap();
    assert!(!all.is_complete() || all.len() == items, "complete with {} of {items}", all.len());
    all.is_complete()
}

#[test]
fn a_directory_is_not_complete_without_errors_that_a_terminal_gave_as_results() {
    type Kept = Result<u32, String>;
    for threads in [1, 2] {
        let folder = Folder::new(&format!("lacks-errors-{threads}"));
        let run = || process_in_batches(odd_ones_fail, 0..6).version(1).threads(threads).checkpoint(folder.file("run"));
        let mut once = run();
        assert_eq!(once.try_collect::<Vec<u32>>().unwrap_err().item(), Some(1));
        let mut rest = 0;
        once.for_each_batch(|batch| rest += batch.len()).unwrap();
        assert_eq!(rest, 5);
        drop(once);
        is_whole::<Kept>(&folder.file("run"), 6);
        // The next run makes it complete.
        assert_eq!(run().collect::<Vec<_>>().unwrap().len(), 6);
        assert!(is_whole::<Kept>(&folder.file("run"), 6));
    }
}

#[test]
fn a_directory_is_not_complete_without_the_items_that_were_skipped() {
    let folder = Folder::new("lacks-skipped");
    let run = || process_in_batches(|x: u64| x, 0..10_u64).version(1).checkpoint(folder.file("run"));
    assert_eq!(run().skip_first(5).collect::<Vec<_>>().unwrap(), [5, 6, 7, 8, 9]);
    assert!(!is_whole::<u64>(&folder.file("run"), 10));
    assert!(run().collect::<Vec<_>>().unwrap().into_iter().eq(0..10));
    assert!(is_whole::<u64>(&folder.file("run"), 10));
}

#[test]
fn skipped_items_need_no_room_in_a_collection() {
    let run = || process_in_batches(|x: u64| x, 0..1_000_000_u64).skip_first(999_990).max_memory("1MiB");
    assert!(run().collect::<Vec<_>>().unwrap().into_iter().eq(999_990..1_000_000));
    assert_eq!(run().spill().unwrap().on_disk(), amorsize::ByteSize::ZERO);
}

#[test]
fn a_full_spill_that_skips_items_takes_another_bound() {
    let mut run = process_in_batches(|x: usize| vec![x; 1000], 0..2_000).skip_first(1).max_memory("1MiB");
    run = run.max_disk("1MiB");
    assert!(run.spill().unwrap_err().is_storage());
    run = run.max_disk("1GiB");
    let all = run.spill().unwrap();
    assert_eq!((all.len(), all.get(1_999).unwrap().unwrap()[0]), (1_999, 1_999));
    // After the first terminal, options about the items are refused.
    let mut run = process_in_batches(|x: usize| x, 0..10).skip_first(1).deadline(std::time::Instant::now());
    assert!(run.collect::<Vec<_>>().is_err());
    let mut run = run.timeout(Duration::from_secs(600)).skip_first(5);
    assert!(run.collect::<Vec<_>>().unwrap_err().to_string().contains("set for a run that has begun"));
}

#[test]
fn a_directory_whose_removal_was_cut_short_is_not_called_damaged() {
    let folder = Folder::new("lacks-removed");
    process_in_batches(|x: u64| x, 0..9).version(1).checkpoint(folder.path()).collect::<Vec<_>>().unwrap();
    std::fs::rename(folder.file("manifest.json"), folder.file("manifest.json.removed")).unwrap();
    let refused = Spilled::<u64>::open(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("no run has begun there"), "{refused}");
}
