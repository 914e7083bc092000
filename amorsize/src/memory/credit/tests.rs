use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;
use crate::memory::budget::Counted;
use crate::policy::on_error::{Skip, Stop};
use crate::process_in_batches;
use crate::units::ByteSize;

fn ledger() -> Ledger {
    Ledger::new(ByteSize::new(100))
}

fn held(ledger: &Ledger) -> u64 {
    ledger.held().as_u64()
}

const fn counted(results: usize, bytes: u64) -> Counted {
    Counted { results, bytes }
}

#[test]
fn credit_that_is_dropped_is_given_back() {
    let ledger = ledger();
    let first = Credit::take(&ledger, 70);
    assert!(Credit::try_take(&ledger, 31).is_none());
    let second = Credit::try_take(&ledger, 30).expect("it fits");
    assert_eq!((held(&ledger), ledger.free()), (100, 0));
    drop(first);
    assert_eq!((held(&ledger), second.bytes()), (30, 30));
    drop(second);
    assert_eq!((held(&ledger), ledger.peak()), (0, ByteSize::new(100)));
    assert_eq!(ledger.handed_over(), counted(0, 0));
}

#[test]
fn calls_that_exceed_their_credit_take_more() {
    let ledger = ledger();
    let mut credit = Credit::take(&ledger, 40);
    assert!(!credit.try_grow(61) && credit.try_grow(10));
    // Bytes that exist are taken even if they don't fit.
    credit.grow(80);
    assert_eq!((credit.bytes(), held(&ledger)), (130, 130));
    credit.resize(20);
    assert_eq!((credit.bytes(), held(&ledger)), (20, 20));
    credit.resize(25);
    drop(credit);
    assert_eq!((held(&ledger), ledger.peak()), (0, ByteSize::new(130)));
}

#[test]
fn credit_of_calls_settles_to_the_bytes_of_their_results() {
    let ledger = ledger();
    for (expected, measured) in [(40, 60), (60, 40), (40, 40)] {
        let before = ledger.handed_over();
        let credit = Credit::take(&ledger, expected).settle(3, measured);
        assert_eq!((credit.results(), credit.bytes(), held(&ledger)), (3, measured, measured));
        assert_eq!(ledger.results(), counted(3, measured));
        assert_eq!(ledger.handed_over(), before);
        drop(credit);
        assert_eq!((held(&ledger), ledger.results()), (0, counted(0, 0)));
        assert_eq!(ledger.handed_over().since(before), counted(3, measured));
    }
    // Calls that panicked have no results.
    let none = Credit::take(&ledger, 40).settle(0, 0);
    assert_eq!((none.bytes(), held(&ledger)), (0, 0));
}

#[test]
fn results_of_the_calling_thread_take_credit_when_they_are_there() {
    let ledger = ledger();
    let credit = Credit::of_results(&ledger, 2, 90, 30);
    assert_eq!((held(&ledger), ledger.peak()), (90, ByteSize::new(120)));
    assert_eq!(ledger.results(), counted(2, 90));
    drop(credit);
    // A call that panicked has no result, but it had its working memory.
    let none = Credit::of_results(&ledger, 0, 10, 150);
    assert_eq!((none.bytes(), held(&ledger), ledger.peak()), (0, 0, ByteSize::new(150)));
}

#[test]
fn a_part_of_results_has_part_of_the_credit_and_the_last_one_the_rest() {
    let ledger = ledger();
    let mut credit = Credit::of_results(&ledger, 5, 90, 0);
    let (first, second) = (credit.split(2, 0), credit.split(2, 10));
    assert_eq!((first.results(), first.bytes(), second.results(), second.bytes()), (2, 0, 2, 10));
    drop(first);
    assert_eq!((held(&ledger), ledger.results()), (90, counted(3, 90)));
    drop(second);
    assert_eq!((held(&ledger), ledger.results()), (80, counted(1, 80)));
    // The last result has all bytes, whatever was asked for.
    let last = credit.split(1, 0);
    assert_eq!((last.results(), last.bytes(), credit.results(), credit.bytes()), (1, 80, 0, 0));
    drop(credit);
    assert_eq!(held(&ledger), 80);
    drop(last);
    assert_eq!((held(&ledger), ledger.results()), (0, counted(0, 0)));
}

#[test]
fn credit_joins_what_belongs_together() {
    let ledger = ledger();
    let mut all = Credit::NONE;
    all.join(Credit::of_results(&ledger, 1, 10, 0));
    all.join(Credit::of_results(&ledger, 2, 20, 0));
    all.join(Credit::NONE);
    let mut other = Credit::of_results(&ledger, 4, 40, 0);
    all.join_part(&mut other, 3, 5);
    assert_eq!((all.results(), all.bytes(), other.results(), other.bytes()), (6, 35, 1, 35));
    drop(all);
    assert_eq!((held(&ledger), ledger.results()), (35, counted(1, 35)));
    drop(other.take_all());
    assert_eq!((held(&ledger), other.bytes()), (0, 0));
}

#[test]
fn a_panic_gives_credit_back() {
    let ledger = ledger();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _calls = Credit::take(&ledger, 10);
        let _results = [Credit::of_results(&ledger, 1, 20, 0), Credit::of_results(&ledger, 2, 30, 0)];
        assert_eq!(held(&ledger), 60);
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(panicked.is_err());
    assert_eq!((held(&ledger), ledger.results()), (0, counted(0, 0)));
}

#[test]
fn credit_outlives_its_run_and_is_given_back_to_the_outer_one() {
    let outer = ledger();
    let (calls, results) = {
        let _entered = outer.enter();
        let inner = Ledger::new(ByteSize::new(60));
        inner.start();
        assert!(Credit::try_take(&inner, 61).is_none());
        (Credit::take(&inner, 40), Credit::of_results(&inner, 1, 5, 0))
    };
    assert_eq!(held(&outer), 45);
    // They are results of the inner run, not of the outer one.
    assert_eq!(outer.results(), counted(0, 0));
    drop(calls);
    assert_eq!(held(&outer), 5);
    drop(results);
    assert_eq!((held(&outer), outer.handed_over()), (0, counted(0, 0)));
}

#[test]
fn a_correction_ends_with_itself() {
    let ledger = ledger();
    let credit = Credit::of_results(&ledger, 1, 50, 0);
    let mut correction = Correction::new(&ledger);
    for (bytes, all) in [(20, 70), (-30, 20), (-50, 0), (10, 60), (0, 50), (-5, 45)] {
        correction.set(bytes);
        assert_eq!(held(&ledger), all);
    }
    drop(correction);
    assert_eq!(held(&ledger), 50);
    drop(credit);
    assert_eq!(held(&ledger), 0);
}

/// A step with some pieces of credit: one or two of them, and some numbers.
#[derive(Clone, Debug)]
enum Step {
    Results(usize, u64),
    Calls(u64),
    Settle(usize, usize, u64),
    Split(usize, usize, u64),
    Join(usize, usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (piece, count, bytes) = (0..8usize, 0..6usize, 0..50u64);
    prop_oneof![
        (count.clone(), bytes.clone()).prop_map(|(count, bytes)| Step::Results(count, bytes)),
        bytes.clone().prop_map(Step::Calls),
        (piece.clone(), count.clone(), bytes.clone())
            .prop_map(|(piece, count, bytes)| Step::Settle(piece, count, bytes)),
        (piece.clone(), 1..6usize, bytes).prop_map(|(piece, count, bytes)| Step::Split(piece, count, bytes)),
        (piece.clone(), piece.clone()).prop_map(|(piece, other)| Step::Join(piece, other)),
        piece.prop_map(Step::Drop),
    ]
}

proptest! {
    #[test]
    fn the_ledger_holds_the_sum_of_all_credit(steps in proptest::collection::vec(step(), 0..60)) {
        let outer = ledger();
        let inner = {
            let _entered = outer.enter();
            let inner = Ledger::new(ByteSize::new(1000));
            inner.start();
            inner
        };
        let mut pieces: Vec<Credit> = Vec::new();
        let mut made = 0;
        for step in steps {
            let is = |pieces: &[Credit], piece: usize| piece < pieces.len();
            match step {
                Step::Results(count, bytes) => {
                    made += count;
                    pieces.push(Credit::of_results(&inner, count, bytes, 0));
                }
                Step::Calls(bytes) => pieces.push(Credit::take(&inner, bytes)),
                Step::Settle(piece, count, bytes) if is(&pieces, piece) && pieces[piece].results() == 0 => {
                    let calls = pieces[piece].take_all();
                    if calls.ledger.is_some() {
                        made += count;
                        pieces[piece] = calls.settle(count, bytes);
                    }
                }
                Step::Split(piece, count, bytes) if is(&pieces, piece) => {
                    let part = pieces[piece].split(count, bytes);
                    pieces.push(part);
                }
                Step::Join(piece, other) if is(&pieces, piece) && is(&pieces, other) && piece != other => {
                    let are_alike = |one: &Credit, other: &Credit| (one.results() > 0) == (other.results() > 0);
                    if are_alike(&pieces[piece], &pieces[other]) {
                        let other = pieces[other].take_all();
                        pieces[piece].join(other);
                    }
                }
                Step::Drop(piece) if is(&pieces, piece) => drop(pieces.swap_remove(piece)),
                _ => {}
            }
            let sum = pieces.iter().map(Credit::bytes).sum::<u64>();
            prop_assert_eq!((held(&inner), held(&outer)), (sum, sum));
            let results = pieces.iter().filter(|piece| piece.results() > 0);
            let found = results.fold(counted(0, 0), |sum, piece| {
                counted(sum.results + piece.results(), sum.bytes + piece.bytes())
            });
            prop_assert_eq!(inner.results(), found);
            prop_assert_eq!(inner.handed_over().results, made - found.results);
        }
        drop(pieces);
        prop_assert_eq!((held(&inner), held(&outer)), (0, 0));
        prop_assert_eq!(inner.results(), counted(0, 0));
    }
}

/// Has a run that is part of a call end in some way, on one thread and on two. While it is there it
/// holds bytes of the outer run, and none after that.
fn gives_all_back(end: impl Fn(Run, &dyn Fn() -> bool)) {
    for threads in [1, 2] {
        let outer = Ledger::new(ByteSize::mib(64));
        let _entered = outer.enter();
        let size = |made: &Made| made.as_ref().map_or(0, Vec::len);
        let run = process_in_batches(call as fn(usize) -> Made, 0..ITEMS).weigh(size);
        let run = run.threads(threads).max_memory("1MiB");
        end(run, &|| outer.held() > 0);
        assert_eq!((held(&outer), outer.results()), (0, counted(0, 0)), "on {threads} threads");
    }
}

type Made = Result<Vec<u8>, usize>;
type Run = crate::Batched<std::ops::Range<usize>, Made, fn(usize) -> Made>;

/// Few enough that the first calls run on two threads, if there are two.
const ITEMS: usize = 8;

/// Results of 200 KiB, which don't all fit the budget. One of them is an error.
fn call(item: usize) -> Made {
    if item == 3 { Err(item) } else { Ok(vec![0; 200 << 10]) }
}

#[test]
fn a_run_gives_all_its_credit_back_however_it_ends() {
    gives_all_back(|mut run, _| _ = run.for_each_batch(|batch| assert!(!batch.is_empty())).unwrap());
    // Results that don't fit, results that were put back, and a rest that goes on.
    gives_all_back(|mut run, holds| {
        assert!(run.collect::<Vec<_>>().unwrap_err().is_over_budget() && holds());
    });
    gives_all_back(|mut run, holds| {
        assert!(run.collect_into(&mut Vec::new()).is_err());
        _ = run.for_each_batch(|_| ()).unwrap();
        assert!(!holds());
    });
    // An error of the function, with results behind it.
    gives_all_back(|run, _| {
        let mut run = run.on_error(Stop);
        assert_eq!(run.collect::<Vec<_>>().unwrap_err().item(), Some(3));
    });
    gives_all_back(|run, _| {
        let mut run = run.on_error(Stop).batch_size(3);
        assert_eq!(run.for_each_batch(|_| ()).unwrap_err().item(), Some(3));
    });
    gives_all_back(|run, _| _ = run.on_error(Skip).batch_size(3).for_each_batch(|_| ()).unwrap());
    // Iterators that are dropped half way, and one that is not.
    gives_all_back(|run, _| assert!(run.into_iter().nth(4).is_some()));
    gives_all_back(|run, holds| {
        let mut results = run.batch_size(2).into_iter();
        assert!(results.next().is_some() && holds());
    });
    gives_all_back(|run, _| assert!(run.unordered().nth(4).is_some()));
    gives_all_back(|run, _| assert_eq!(run.into_iter().count(), ITEMS));
    gives_all_back(|run, holds| {
        let mut results = run.batch_size(2).into_iter();
        assert!(results.nth(3).is_some());
        let mut rest = results.into_run();
        _ = rest.for_each_batch(|_| ()).unwrap();
        assert!(!holds());
    });
    // A sample that nobody took.
    gives_all_back(|mut run, holds| assert!(run.plan().is_ok() && holds()));
    // A sink that wants no more, and panics.
    gives_all_back(|run, _| {
        let mut batches = 0;
        let stopped = run.batch_size(1).try_for_each_batch(|_| {
            batches += 1;
            if batches == 4 { Err(std::io::Error::other("enough")) } else { Ok(()) }
        });
        assert!(stopped.is_err());
    });
    gives_all_back(|run, _| {
        let mut run = run.batch_size(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            run.for_each_batch(|batch| assert!(batch.first_index() < 4, "the sink panics"))
        }));
        assert!(panicked.is_err());
        _ = run.for_each_batch(|_| ()).unwrap();
    });
}
