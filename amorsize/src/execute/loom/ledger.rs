//! Models of the ledger and its credit.

use loom::thread;

use super::check;
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::units::ByteSize;

fn within(outer: &Ledger, budget: u64) -> Ledger {
    let _entered = outer.enter();
    let inner = Ledger::new(ByteSize::new(budget));
    inner.start();
    inner
}

#[test]
fn takers_never_take_more_than_there_is() {
    check(3, || {
        let ledger = Ledger::new(ByteSize::new(10));
        let takers = [4, 7].map(|bytes| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let taken = Credit::try_take(&ledger, bytes);
                assert!(ledger.held() <= 10);
                taken.is_some()
            })
        });
        let own = Credit::try_take(&ledger, 6);
        assert!(ledger.held() <= 10 && ledger.free() <= 10);
        let is_own = own.is_some();
        drop(own);
        let taken = takers.map(|taker| taker.join().unwrap());
        assert!(is_own || taken.contains(&true));
        assert_eq!(ledger.held(), 0);
        assert!((4..=10).contains(&ledger.peak().as_u64()), "{:?}", ledger.peak());
    });
}

#[test]
fn the_peak_is_the_most_that_was_held() {
    check(3, || {
        let ledger = Ledger::new(ByteSize::new(10));
        let takers = [3, 5].map(|bytes| {
            let ledger = ledger.clone();
            // Bytes that exist count even if they do not fit.
            thread::spawn(move || Credit::take(&ledger, bytes))
        });
        let fits = Credit::try_take(&ledger, 8);
        let _taken = takers.map(|taker| taker.join().unwrap());
        assert_eq!(ledger.peak(), if fits.is_some() { 16 } else { 8 });
        assert_eq!(ledger.held(), ledger.peak());
    });
}

#[test]
fn what_the_outer_run_refuses_is_not_held_by_the_inner_one() {
    check(3, || {
        let outer = Ledger::new(ByteSize::new(10));
        let inner = within(&outer, 8);
        let others = {
            let outer = outer.clone();
            thread::spawn(move || {
                let taken = Credit::try_take(&outer, 6);
                assert!(outer.held() <= 10);
                taken.is_some()
            })
        };
        let siblings = {
            let inner = inner.clone();
            thread::spawn(move || Credit::try_take(&inner, 3))
        };
        let own = Credit::try_take(&inner, 5);
        assert!(outer.held() <= 10 && inner.held() <= 8);
        let taken = siblings.join().unwrap();
        let other = others.join().unwrap();
        assert!(own.is_some() || taken.is_some() || other);
        let held = [&own, &taken].into_iter().flatten().map(Credit::bytes).sum::<u64>();
        assert_eq!((inner.held().as_u64(), outer.held().as_u64()), (held, held));
        assert!(outer.peak() <= 10 && inner.peak() <= 8 && inner.peak() >= held);
        // A run that is dropped half way gives back what it holds: its credit is dropped with it.
        drop((inner, own, taken));
        assert_eq!(outer.held(), 0);
    });
}

#[test]
fn credit_that_the_calling_thread_drops_is_there_for_workers() {
    check(3, || {
        let ledger = Ledger::new(ByteSize::new(10));
        // Results of two chunks, which the calling thread hands over in parts while workers take
        // credit and settle it.
        let mut results = Credit::of_results(&ledger, 2, 4, 0);
        results.join(Credit::of_results(&ledger, 1, 2, 0));
        let workers = [3, 5].map(|bytes| {
            let ledger = ledger.clone();
            thread::spawn(move || {
                let calls = Credit::try_take(&ledger, bytes)?;
                assert!(ledger.held() <= 10);
                Some(calls.settle(1, 2))
            })
        });
        let before = ledger.handed_over();
        drop(results.split(1, 3));
        drop(results);
        // The workers give no results back, so the calling thread gave these.
        let gone = ledger.handed_over().since(before);
        assert_eq!((gone.results, gone.bytes), (3, 6));
        let made = workers.map(|worker| worker.join().unwrap());
        let left = made.iter().flatten().count();
        assert_eq!(ledger.results().results, left);
        assert_eq!(ledger.held(), 2 * left as u64);
        assert!(ledger.peak() <= 10 && ledger.peak() >= 6);
        // What came back is there for all.
        let all = Credit::try_take(&ledger, 10 - 2 * left as u64);
        assert!(all.is_some() && ledger.free() == 0);
        drop((made, all));
        assert_eq!((ledger.held().as_u64(), ledger.results().results), (0, 0));
    });
}
