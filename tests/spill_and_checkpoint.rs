//! `spill` with a checkpoint makes no second copy, and `Spilled::open` reads a checkpoint in a
//! later process, or while a run uses it.

#[path = "common/folder.rs"]
mod folder;

use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use amorsize::on_error::{Collect, Each, Skip, Stop};
use amorsize::sink::Sink;
use amorsize::{Batch, Batched, CancelToken, Error, ErrorKind, Spilled, batched, process_in_batches};
use folder::Folder;
use serde::{Deserialize, Serialize};

const ITEMS: usize = 5_000;

fn line(item: usize) -> String {
    format!("{item}{}", "-".repeat(item % 500))
}

#[batched(max_memory = "256KiB")]
fn text(item: usize) -> String {
    line(item)
}

#[batched(max_memory = "256KiB")]
fn most(item: usize) -> Result<String, String> {
    if item % 7 == 3 { Err(item.to_string()) } else { Ok(line(item)) }
}

fn good() -> impl Iterator<Item = usize> {
    (0..ITEMS).filter(|item| item % 7 != 3)
}

/// Bytes of the files of a directory.
fn bytes(directory: &Path) -> u64 {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn with_a_checkpoint_it_reads_from_that_directory() {
    let folder = Folder::new("with_a_checkpoint_it_reads");
    let runs = folder.file("runs");
    for _ in 0..2 {
        let spilled = text_batched(0..ITEMS).checkpoint(&runs).spill_dir("/no/such/directory").spill().unwrap();
        assert!(spilled.is_complete() && spilled.len() == ITEMS);
        assert!(spilled.on_disk() > 0 && spilled.on_disk() <= bytes(&runs));
        assert!(spilled.indices().eq(0..ITEMS));
        for _ in 0..2 {
            assert!(spilled.iter().map(Result::unwrap).eq((0..ITEMS).map(line)));
        }
        assert_eq!(spilled.get(4_321).unwrap().unwrap(), line(4_321));
        assert!(spilled.get(ITEMS).is_none());
        assert!(spilled.into_iter().map(Result::unwrap).eq((0..ITEMS).map(line)));
    }
}

#[test]
fn the_same_by_all_policies() {
    let folder = Folder::new("the_same_by_all_policies");
    let skip = most_batched(0..ITEMS).on_error(Skip).checkpoint(folder.file("skip")).spill().unwrap();
    assert!(skip.indices().eq(good()) && skip.is_complete());
    assert!(good().step_by(11).all(|item| skip.get(item).unwrap().unwrap() == line(item)));
    assert!(skip.get(3).is_none());
    assert!(skip.into_iter().map(Result::unwrap).eq(good().map(line)));

    let collected = most_batched(0..ITEMS).on_error(Collect).checkpoint(folder.file("collect")).spill().unwrap();
    let (values, failures) = collected.into_parts();
    assert_eq!(failures.len() + values.len(), ITEMS);
    assert!(values.into_iter().map(Result::unwrap).eq(good().map(line)));

    let each: Spilled<Result<String, String>> = most_batched(0..ITEMS).checkpoint(folder.file("each")).spill().unwrap();
    assert_eq!(each.iter().filter(|result| result.as_ref().unwrap().is_err()).count(), ITEMS - good().count());

    // A spill that ended early has handed nothing over: all results go to another terminal, once.
    let mut run = most_batched(0..ITEMS).on_error(Stop).checkpoint(folder.file("stop"));
    assert_eq!(run.spill().unwrap_err().into_item_error().unwrap(), "3");
    let mut before = Vec::new();
    run.collect_into(&mut before).unwrap_err();
    assert!(before.len() > 3);
    assert_eq!(before, [0, 1, 2, 4, 5, 6, 7, 8, 9].map(line)[..before.len()]);
}

type Run<'a> = Batched<Range<usize>, String, Box<dyn Fn(usize) -> String + Sync + 'a>>;

fn run<'a>(call: impl Fn(usize) -> String + Sync + 'a, directory: &Path) -> Run<'a> {
    let call: Box<dyn Fn(usize) -> String + Sync> = Box::new(call);
    process_in_batches(call, 0..ITEMS).version(1).max_memory("256KiB").checkpoint(directory)
}

/// A terminal with the values that it gives.
type Terminal = fn(Run<'_>) -> Result<Vec<String>, Error>;

/// Terminals that may follow.
const TERMINALS: [Terminal; 4] = [
    |mut run| run.spill().map(|spilled| spilled.into_iter().map(Result::unwrap).collect()),
    |run| run.max_memory("1GiB").collect(),
    |mut run| {
        let mut all = Vec::new();
        run.for_each_batch(|batch| all.extend(batch)).map(|_| all)
    },
    |run| Ok(run.into_iter().collect()),
];

#[test]
fn all_results_go_to_the_next_terminal_after_a_cancel() {
    let folder = Folder::new("spill_after_a_cancel");
    for (number, terminal) in TERMINALS.iter().enumerate() {
        for threads in [1, 2] {
            let token = CancelToken::new();
            let call = |item| {
                if item == ITEMS / 2 {
                    token.cancel();
                }
                line(item)
            };
            let run = run(call, &folder.file(&format!("{number}-{threads}")));
            let mut run = run.threads(threads).cancel_token(&token);
            assert!(run.spill().unwrap_err().is_cancelled());
            let all = terminal(run.cancel_token(&CancelToken::new())).unwrap();
            assert!(all.into_iter().eq((0..ITEMS).map(line)), "{number}, {threads}");
        }
    }
}

#[test]
fn all_results_go_to_the_next_terminal_after_a_panic() {
    let folder = Folder::new("spill_after_a_panic");
    let bad = ITEMS / 2;
    for (number, terminal) in TERMINALS.iter().enumerate() {
        let call = |item| if item == bad { panic!("bad item") } else { line(item) };
        let mut run = run(call, &folder.file(&number.to_string()));
        catch_unwind(AssertUnwindSafe(|| run.spill())).unwrap_err();
        let outcome = terminal(run);
        // A result that panicked is not stored, so the checkpoint lacks it.
        let all = outcome.unwrap();
        assert!(all.into_iter().eq((0..ITEMS).filter(|&item| item != bad).map(line)), "{number}");
    }
}

#[test]
fn no_terminal_ends_well_with_the_results_that_could_be_stored_alone() {
    let folder = Folder::new("spill_without_room");
    for (number, terminal) in TERMINALS[..3].iter().enumerate() {
        let directory = folder.file(&number.to_string());
        let mut first = run(line, &directory).max_disk("20KiB");
        assert!(first.spill().unwrap_err().is_storage());
        match terminal(first) {
            Ok(all) => assert!(all.into_iter().eq((0..ITEMS).map(line)), "{number}"),
            Err(error) => assert!(error.is_storage(), "{number}: {error}"),
        }
        // The next run computes what is missing.
        let all = run(line, &directory).spill().unwrap();
        assert!(all.into_iter().map(Result::unwrap).eq((0..ITEMS).map(line)), "{number}");
    }
}

#[test]
fn what_an_earlier_terminal_gave_is_not_given_again() {
    let folder = Folder::new("what_an_earlier_terminal_gave");
    let mut iterator = text_batched(0..ITEMS).checkpoint(folder.file("runs")).into_iter();
    assert!(iterator.by_ref().take(1234).eq((0..1234).map(line)));
    let rest = iterator.into_run().spill().unwrap();
    assert!(rest.indices().eq(1234..ITEMS) && rest.len() == ITEMS - 1234);
    assert!(rest.get(1233).is_none() && rest.get(1234).unwrap().unwrap() == line(1234));
    assert!(rest.into_iter().map(Result::unwrap).eq((1234..ITEMS).map(line)));
}

#[test]
fn with_remove_when_done_the_directory_goes_with_the_results() {
    let folder = Folder::new("with_remove_when_done");
    let runs = folder.file("runs");
    let spilled = text_batched(0..ITEMS).checkpoint(&runs).remove_when_done(true).spill().unwrap();
    assert!(spilled.iter().map(Result::unwrap).eq((0..ITEMS).map(line)) && runs.exists());
    let mut all = spilled.into_iter();
    assert_eq!(all.next().unwrap().unwrap(), line(0));
    assert!(runs.exists());
    drop(all);
    assert!(!runs.exists());
}

#[test]
fn a_policy_behind_the_checkpoint_is_refused() {
    let folder = Folder::new("a_policy_behind_the_checkpoint");
    let mut run = most_batched(0..ITEMS).checkpoint(folder.file("runs")).on_error(Skip);
    let error = run.spill().unwrap_err();
    assert!(error.is_invalid_option() && error.to_string().starts_with("`on_error` can't be given behind"), "{error}");
}

#[test]
fn a_journal_is_refused() {
    let folder = Folder::new("spill_a_journal");
    let error = text_batched(0..9).journal(folder.file("runs")).spill().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidOption { option: "journal", .. }));
}

/// Takes results, and records their items and whether all of them are restored.
#[derive(Default)]
struct Seen(Vec<usize>, bool);

impl Sink<String> for Seen {
    type Error = amorsize::Error;

    fn batch(&mut self, batch: Batch<String>) -> Result<(), Self::Error> {
        assert!(batch.indices().zip(batch.iter()).all(|(item, text)| *text == line(item)));
        self.1 |= batch.is_restored();
        self.0.extend(batch.indices());
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_checkpoint_is_opened_finished_or_not_and_while_it_is_used() {
    let folder = Folder::new("a_checkpoint_is_opened");
    let runs = folder.file("runs");
    let mut run = text_batched(0..ITEMS).checkpoint(&runs);
    let mut halves = 0;
    let stopped = run.try_for_each_batch(|batch| {
        halves += batch.len();
        if halves > ITEMS / 2 { Err(Box::<dyn std::error::Error>::from("half")) } else { Ok(()) }
    });
    stopped.unwrap_err();
    // The run still has the directory, which lacks the results that it has not written yet.
    let some = Spilled::<String>::open(&runs).unwrap();
    assert!(!some.is_complete() && some.len() < ITEMS);
    assert!(some.indices().zip(&some).all(|(item, text)| text.unwrap() == line(item)));
    run.for_each_batch(|_| ()).unwrap();
    drop(run);

    let all = Spilled::<String>::open(&runs).unwrap();
    assert!(
        all.is_complete()
            && all.len() == ITEMS
            && all.on_disk()
                == amorsize::ByteSize::new(bytes(&runs) - fs::metadata(runs.join("manifest.json")).unwrap().len())
    );
    let mut seen = Seen::default();
    all.write_to(&mut seen).unwrap();
    assert!(seen.0.into_iter().eq(0..ITEMS) && seen.1);

    // With a longer input the directory is not complete until its run has come to its end.
    let mut longer = text_batched(0..2 * ITEMS).checkpoint(&runs).into_iter();
    assert!(longer.by_ref().take(ITEMS + 500).eq((0..ITEMS + 500).map(line)));
    drop(longer);
    let some = Spilled::<String>::open(&runs).unwrap();
    assert!(some.len() > ITEMS && !some.is_complete());
}

/// The bytes of such results don't tell one from the next.
#[test]
fn results_without_bytes_are_found_by_index() {
    let folder = Folder::new("results_without_bytes");
    let runs = folder.file("runs");
    let run = || process_in_batches(|_: usize| (), 0..ITEMS).version(1);
    run().checkpoint(&runs).for_each(drop).unwrap();
    let spilled = Spilled::<()>::open(&runs).unwrap();
    assert_eq!(spilled.iter().filter(Result::is_ok).count(), ITEMS);
    assert!((0..ITEMS).all(|item| spilled.get(item).is_some_and(|result| result.is_ok())));
    assert!(spilled.get(ITEMS).is_none());
}

#[test]
fn what_is_no_checkpoint_of_these_results_is_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Named {
        length: usize,
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        width: usize,
    }

    let folder = Folder::new("what_is_no_checkpoint");
    let runs = folder.file("runs");
    let named: fn(usize) -> Named = |length| Named { length };
    process_in_batches(named, 0..9).version(1).checkpoint(&runs).for_each_batch(|_| ()).unwrap();
    assert_eq!(Spilled::<Named>::open(&runs).unwrap().get(8).unwrap().unwrap().length, 8);
    let error = Spilled::<Other>::open(&runs).unwrap_err();
    assert!(error.is_changed() && error.to_string().contains("width"), "{error}");
    assert!(Spilled::<String>::open(&runs).unwrap_err().is_changed());

    let error = Spilled::<Named>::open(folder.file("missing")).unwrap_err();
    assert!(error.is_storage() && error.to_string().ends_with("; open that of a checkpoint"), "{error}");
    fs::create_dir(folder.file("empty")).unwrap();
    let error = Spilled::<Named>::open(folder.file("empty")).unwrap_err();
    assert!(error.is_storage() && error.to_string().ends_with("; open the directory of a checkpoint"), "{error}");
    process_in_batches(named, 0..9).version(1).journal(folder.file("journal")).for_each_batch(|_| ()).unwrap();
    let error = Spilled::<Named>::open(folder.file("journal")).unwrap_err();
    assert!(error.is_changed() && error.to_string().contains("which items are done"), "{error}");
}

#[test]
fn a_checkpoint_is_complete_again_once_its_damage_is_computed_anew() {
    let folder = Folder::new("complete_again");
    let runs = folder.file("runs");
    // Items that fail leave gaps, which are no damage.
    let odd = |x: usize| if x.is_multiple_of(2) { Ok(line(x)) } else { Err(x) };
    let run = |items: usize| {
        process_in_batches(odd, 0..items).on_error(Skip).version(1).checkpoint(&runs).for_each_batch(|_| ())
    };
    let is_complete = || Spilled::<String>::open(&runs).unwrap().is_complete();
    run(ITEMS).unwrap();
    assert!(is_complete());
    let segment = runs.join("000001.amz");
    let whole = fs::read(&segment).unwrap();
    let head = whole.windows(4).position(|bytes| bytes == b"amf\x01").unwrap();
    // In the head of the first frame, which is found when the directory is opened, and in its
    // content, which is found when its results are read.
    for at in [head + 5, whole.len() / 2] {
        let mut damaged = fs::read(&segment).unwrap();
        damaged[at] ^= 0x55;
        fs::write(&segment, &damaged).unwrap();
        let mut calls = 0;
        while let Err(error) = run(ITEMS) {
            assert!(error.is_storage() && calls < 2, "{error}");
            calls += 1;
        }
        let all = Spilled::<String>::open(&runs).unwrap();
        assert!(all.is_complete());
        assert!(all.iter().map(Result::unwrap).eq((0..ITEMS).step_by(2).map(line)));
    }
    // Damage that nobody has seen yet.
    let mut damaged = fs::read(&segment).unwrap();
    damaged[..20].fill(0);
    fs::write(&segment, &damaged).unwrap();
    assert!(!is_complete());
    run(ITEMS).unwrap();
    assert!(is_complete());
}

#[test]
fn a_checkpoint_is_complete_once_a_run_came_to_its_end_with_nothing_to_compute() {
    let folder = Folder::new("complete_with_nothing_to_compute");
    let runs = folder.file("runs");
    text_batched(0..ITEMS).checkpoint(&runs).for_each_batch(|_| ()).unwrap();
    // Cuts off the end of the input and the segment's, as a kill does.
    let segment = runs.join("000001.amz");
    let file = fs::File::options().write(true).open(&segment).unwrap();
    let whole = file.metadata().unwrap().len();
    file.set_len(whole - 44 - 44 - 8).unwrap();
    assert!(!Spilled::<String>::open(&runs).unwrap().is_complete());
    let report = text_batched(0..ITEMS).checkpoint(&runs).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.restored(), ITEMS);
    assert!(Spilled::<String>::open(&runs).unwrap().is_complete());
}

#[test]
fn damage_is_passed_over_when_it_is_opened_and_told_when_it_is_read() {
    let folder = Folder::new("damage_is_passed_over");
    let runs = folder.file("runs");
    let mut run: Batched<_, _, _, Each> = text_batched(0..ITEMS).checkpoint(&runs);
    run.for_each_batch(|_| ()).unwrap();
    drop(run);
    let segment = runs.join("000001.amz");
    let whole = fs::read(&segment).unwrap();
    let all: Vec<_> = (0..ITEMS).map(line).collect();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        fs::write(&segment, &damaged).unwrap();
        let spilled = Spilled::<String>::open(&runs).unwrap();
        let mut passed = 0;
        for (item, result) in spilled.indices().zip(&spilled) {
            match result {
                Ok(text) => assert_eq!(text, all[item]),
                Err(error) => assert!(error.is_storage(), "{error}"),
            }
            passed += 1;
        }
        assert_eq!(passed, spilled.len());
        assert!(!spilled.is_complete() || spilled.iter().filter(Result::is_ok).count() == ITEMS);
    }
    fs::write(&segment, &whole).unwrap();
    assert!(Spilled::<String>::open(&runs).unwrap().into_iter().map(Result::unwrap).eq(all));
}

#[test]
fn a_damaged_frame_costs_no_other_result() {
    /// The frames of a segment. Each has one result, which is as large as a frame.
    const FRAMES: usize = 3;
    let page = |item: usize| -> Vec<u64> {
        (0..150_000_u64).map(|at| (at + item as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 << 63).collect()
    };
    let folder = Folder::new("a_damaged_frame");
    let runs = folder.file("runs");
    for items in [FRAMES, 2 * FRAMES] {
        let run = process_in_batches(page, 0..items).version(1).threads(1).checkpoint(&runs);
        { run }.for_each_batch(drop).unwrap();
    }
    let open = || Spilled::<Vec<u64>>::open(&runs).unwrap();
    for item in 0..2 * FRAMES {
        let segment = runs.join(format!("{:06}.amz", 1 + item / FRAMES));
        let whole = fs::read(&segment).unwrap();
        let mut damaged = whole.clone();
        damaged[500_000 + item % FRAMES * (whole.len() / FRAMES)] ^= 1;
        fs::write(&segment, &damaged).unwrap();
        // The first frame of a segment is looked at when the directory is opened.
        let is_first = item % FRAMES == 0;
        let spilled = open();
        assert_eq!((spilled.len(), spilled.is_complete()), (2 * FRAMES - usize::from(is_first), !is_first), "{item}");
        let check = |results: Vec<Result<Vec<u64>, amorsize::Error>>| {
            assert_eq!(results.len(), spilled.len());
            for (index, result) in spilled.indices().zip(results) {
                match result {
                    Ok(found) => assert!(index != item && found == page(index)),
                    Err(error) => {
                        assert!(index == item && matches!(error.kind(), ErrorKind::Damaged { .. }), "{error}");
                    }
                }
            }
        };
        check(spilled.iter().collect());
        // Now the others are known as well.
        assert!(!spilled.is_complete());
        check(open().into_iter().collect());
        let again = open();
        match again.get(item) {
            None => assert!(is_first),
            Some(result) => assert!(!is_first && result.unwrap_err().is_storage()),
        }
        assert!(!again.is_complete());
        assert_eq!(again.get((item + 1) % (2 * FRAMES)).unwrap().unwrap(), page((item + 1) % (2 * FRAMES)));
        fs::write(&segment, &whole).unwrap();
    }
    assert!(open().is_complete());
    // With nothing left of what tells the type, another one is refused all the same.
    for segment in ["000001.amz", "000002.amz"] {
        let mut damaged = fs::read(runs.join(segment)).unwrap();
        damaged[500_000] ^= 1;
        fs::write(runs.join(segment), &damaged).unwrap();
    }
    assert!(Spilled::<Vec<i64>>::open(&runs).unwrap_err().is_changed());
    assert!(open().indices().eq([1, 2, 4, 5]) && open().iter().all(|page| page.is_ok()));
}

/// Notes the indices of each batch.
struct Batches(Vec<Vec<usize>>);

impl<R> Sink<R> for Batches {
    type Error = amorsize::Error;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), amorsize::Error> {
        self.0.push(batch.indices().collect());
        Ok(())
    }

    fn finish(&mut self) -> Result<(), amorsize::Error> {
        Ok(())
    }
}

#[test]
fn results_with_few_bytes_on_disk_are_read_a_mebibyte_of_memory_at_a_time() {
    // 1 byte on disk and 264 in memory, but for every thousandth.
    type Wide = Option<[u64; 32]>;
    const MOST: usize = (1 << 20) / size_of::<Wide>() + 1;
    let wide = |item: usize| item.is_multiple_of(1_000).then_some([item as u64; 32]);
    let folder = Folder::new("few_bytes_on_disk");
    for skip in [0, 1, MOST, 30_001] {
        let runs = folder.file("runs");
        let run = || process_in_batches(wide, 0..40_000).version(1).checkpoint(&runs);
        if skip == 0 {
            run().for_each_batch(|_| ()).unwrap();
        }
        let spilled = run().skip_first(skip).spill().unwrap();
        let mut batches = Batches(Vec::new());
        spilled.write_to(&mut batches).unwrap();
        assert!(batches.0.iter().all(|batch| (1..=MOST).contains(&batch.len())), "{skip}");
        assert!(batches.0.concat().into_iter().eq(skip..40_000), "{skip}");
        assert!(spilled.iter().map(Result::unwrap).eq((skip..40_000).map(wide)), "{skip}");
        assert!(spilled.into_iter().map(Result::unwrap).eq((skip..40_000).map(wide)), "{skip}");
    }
}
