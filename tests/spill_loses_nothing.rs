//! A spill that ends in any way, with any terminals after it: each item is run once, each result
//! comes once and in order, and all results are dropped.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};

use amorsize::{Batched, CancelToken, DeepSize, Spilled, process_in_batches};
use proptest::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

/// Results that are alive. One test at a time looks at them.
static ALIVE: AtomicIsize = AtomicIsize::new(0);
/// True while the result of item 77 panics as it is stored, or made from its stored bytes.
static PANICS: AtomicBool = AtomicBool::new(false);
static ALONE: Mutex<()> = Mutex::new(());

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    index: usize,
    text: String,
}

/// A result that counts itself.
#[derive(Debug, Deserialize, DeepSize)]
#[serde(from = "Stored")]
struct Page {
    index: usize,
    text: String,
}

fn panic_if_wanted(index: usize) {
    assert!(index != 77 || !PANICS.load(Ordering::Relaxed), "as it is wanted");
}

impl From<Stored> for Page {
    fn from(Stored { index, text }: Stored) -> Self {
        panic_if_wanted(index);
        Self::new(index, text)
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        panic_if_wanted(self.index);
        Stored { index: self.index, text: self.text.clone() }.serialize(serializer)
    }
}

impl Page {
    fn new(index: usize, text: String) -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self { index, text }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

fn text(index: usize) -> String {
    // Noise, which compression makes no smaller.
    let mut state = index as u64 + 1;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    (0..200 + index % 3_000).map(|_| letter()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Cancelled after that many items.
    Spill(usize),
    /// With a limit of that many bytes on disk.
    Full(u64),
    /// A result panics.
    Panics,
    Iterate(usize),
    CollectInto,
    /// The sink fails after that many results.
    Batches(usize),
    Plan,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..600_usize).prop_map(Step::Spill),
        2 => (1..300_000_u64).prop_map(Step::Full),
        2 => Just(Step::Panics),
        2 => (0..300_usize).prop_map(Step::Iterate),
        1 => Just(Step::CollectInto),
        2 => (0..300_usize).prop_map(Step::Batches),
        1 => Just(Step::Plan),
    ];
    prop::collection::vec(step, 0..6)
}

/// Takes the spilled results, by one way or the other.
fn take(spilled: Spilled<Page>, found: &mut Vec<usize>, by_iter: bool) {
    let mut add = |page: Page| {
        assert_eq!(page.text, text(page.index));
        found.push(page.index);
    };
    let indices: Vec<_> = spilled.indices().collect();
    assert_eq!(indices.len(), spilled.len());
    let from = indices.first().copied().unwrap_or_default();
    assert!(indices.into_iter().eq(from..from + spilled.len()));
    if by_iter {
        spilled.iter().for_each(|page| add(page.unwrap()));
    } else {
        spilled.into_iter().for_each(|page| add(page.unwrap()));
    }
}

fn check(items: usize, budget: u64, threads: usize, steps: &[Step], last_by_iter: bool) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (calls, cancel_at) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
    let token = Mutex::new(CancelToken::new());
    let call = |index: usize| {
        if calls.fetch_add(1, Ordering::Relaxed) >= cancel_at.load(Ordering::Relaxed) {
            token.lock().unwrap().cancel();
        }
        Page::new(index, text(index))
    };
    let mut run: Batched<_, Page, _> =
        process_in_batches(call, 0..items).threads(threads).max_memory(amorsize::ByteSize::kib(budget));
    let mut found = Vec::new();
    let mut ended = false;
    for step in steps {
        *token.lock().unwrap() = CancelToken::new();
        let fresh = token.lock().unwrap().clone();
        run = run.cancel_token(&fresh);
        match *step {
            _ if ended => {}
            Step::Spill(after) => {
                cancel_at.store(calls.load(Ordering::Relaxed) + after, Ordering::Relaxed);
                match run.spill() {
                    Ok(spilled) => {
                        take(spilled, &mut found, true);
                        ended = true;
                    }
                    Err(error) => assert!(error.is_cancelled(), "{error}"),
                }
                cancel_at.store(usize::MAX, Ordering::Relaxed);
            }
            Step::Full(bytes) => {
                run = run.max_disk(amorsize::ByteSize::new(bytes));
                match run.spill() {
                    Ok(spilled) => {
                        take(spilled, &mut found, false);
                        ended = true;
                    }
                    Err(error) => assert!(error.is_storage() && error.to_string().contains("`max_disk`"), "{error}"),
                }
                run = run.max_disk("1GiB");
            }
            Step::Panics => {
                PANICS.store(true, Ordering::Relaxed);
                let outcome = catch_unwind(AssertUnwindSafe(|| run.spill()));
                PANICS.store(false, Ordering::Relaxed);
                match outcome {
                    Ok(spilled) => {
                        take(spilled.unwrap(), &mut found, false);
                        ended = true;
                    }
                    Err(payload) => {
                        assert!(payload.downcast_ref::<&str>().is_some_and(|text| *text == "as it is wanted"));
                    }
                }
            }
            Step::Iterate(some) => {
                let mut iterator = run.into_iter();
                found.extend(iterator.by_ref().take(some).map(|page| page.index));
                run = iterator.into_run();
            }
            Step::Plan => drop(run.plan().unwrap().clone()),
            Step::CollectInto => {
                let mut pages = Vec::new();
                ended = run.collect_into(&mut pages).map_err(|error| assert!(error.is_over_budget())).is_ok();
                found.extend(pages.iter().map(|page| page.index));
            }
            Step::Batches(some) => {
                let mut count = 0;
                let outcome = run.try_for_each_batch(|batch| {
                    count += batch.len();
                    found.extend(batch.iter().map(|page| page.index));
                    if count > some { Err(Box::<dyn std::error::Error>::from("enough")) } else { Ok(()) }
                });
                ended = outcome.is_ok();
            }
        }
    }
    let mut run = run.cancel_token(&CancelToken::new());
    // After its end the run gives nothing more.
    let rest = run.spill().unwrap();
    assert!(!ended || rest.is_empty());
    take(rest, &mut found, last_by_iter);
    drop(run);
    assert!(found.iter().copied().eq(0..items), "{} of {items}: {:?}", found.len(), missing(&found, items));
    assert_eq!(calls.load(Ordering::Relaxed), items);
    assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
}

/// Items that are missing, for the message.
fn missing(found: &[usize], items: usize) -> Vec<usize> {
    let all: BTreeSet<_> = found.iter().copied().collect();
    (0..items).filter(|item| !all.contains(item)).take(5).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_result_comes_once(
        items in 0..900_usize,
        budget in 100..1_000_u64,
        threads in 1..4_usize,
        steps in steps(),
        by_iter in any::<bool>(),
    ) {
        check(items, budget, threads, &steps, by_iter);
    }
}
