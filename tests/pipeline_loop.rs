//! A pipeline calls the same and returns the same as a plain loop over its stages, in every case,
//! and drops each value once.

#[path = "common/alive.rs"]
mod alive;

use std::sync::Mutex;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use alive::Alive;
use amorsize::{Cause, DeepSize, Retry, batched, process_in_batches};
use proptest::prelude::*;

/// The behaviour of a stage for an item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Value,
    Error,
    /// Fails once, and gives a value when it is called again.
    ErrorOnce,
    Panic,
}

/// A value that is counted while it lives.
#[derive(Clone, Debug, DeepSize)]
struct Value<'a>(usize, Vec<u8>, Alive<'a>);

impl<'a> Value<'a> {
    fn new(item: usize, stage: usize, alive: &'a AtomicIsize) -> Self {
        Self(item, vec![stage as u8; 100 * (item % 7)], Alive::new(alive))
    }
}

struct Script {
    stages: [Vec<Does>; 3],
    calls: Mutex<Vec<(usize, usize)>>,
    alive: AtomicIsize,
}

impl Script {
    fn call<'a>(&'a self, stage: usize, value: Value<'a>) -> Result<Value<'a>, (usize, usize, Value<'a>)> {
        let item = value.0;
        let again = {
            let mut calls = self.calls.lock().unwrap();
            calls.push((stage, item));
            calls.iter().filter(|&&call| call == (stage, item)).count() > 1
        };
        match self.stages[stage][item] {
            Does::Value => Ok(Value::new(item, stage, &self.alive)),
            Does::ErrorOnce if again => Ok(value),
            Does::Error | Does::ErrorOnce => Err((stage, item, value)),
            Does::Panic => panic!("{stage} {item}"),
        }
    }
}

#[batched(on_error = "collect", on_panic = "collect", max_memory = "50kB")]
fn first<'a>(item: usize, script: &'a Script) -> Result<Value<'a>, (usize, usize, Value<'a>)> {
    script.call(0, Value::new(item, 9, &script.alive))
}

#[batched(on_error = "collect")]
fn second<'a>(value: Value<'a>, script: &'a Script) -> Result<Value<'a>, (usize, usize, Value<'a>)> {
    script.call(1, value)
}

#[batched(on_error = "collect", retry = Retry::new(1).backoff(Duration::ZERO))]
fn third<'a>(value: Value<'a>, script: &'a Script) -> Result<Value<'a>, (usize, usize, Value<'a>)> {
    script.call(2, value)
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![20 => Just(Does::Value), 2 => Just(Does::Error), 2 => Just(Does::ErrorOnce), 2 => Just(Does::Panic)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn it_is_a_plain_loop(
        does in prop::collection::vec((does(), does(), does()), 0..150),
        threads in 1usize..=4,
        retries in any::<bool>(),
        how in 0..3,
    ) {
        let stage = |of: fn(&(Does, Does, Does)) -> Does| does.iter().map(of).collect();
        let script = Script {
            stages: [stage(|does| does.0), stage(|does| does.1), stage(|does| does.2)],
            calls: Mutex::default(),
            alive: AtomicIsize::new(0),
        };

        // The plain loop.
        let (mut values, mut errors, mut panics) = (Vec::new(), Vec::new(), Vec::new());
        let mut reached = [(0, 0); 3];
        let mut expected_calls = Vec::new();
        for (item, _) in does.iter().enumerate() {
            let end = (0..3).find_map(|stage| {
                let does = script.stages[stage][item];
                let retried = stage == 2 || (stage == 1 && retries);
                let fails = matches!(does, Does::Error | Does::ErrorOnce);
                let calls = if fails && retried { 2 } else { 1 };
                expected_calls.extend(std::iter::repeat_n((stage, item), calls));
                let ends = match does {
                    Does::Value => None,
                    Does::ErrorOnce if retried => None,
                    does => Some((stage, does)),
                };
                if ends.is_some() { reached[stage].1 += 1 } else { reached[stage].0 += 1 }
                ends
            });
            match end {
                None => values.push(item),
                Some((_, Does::Panic)) => panics.push(item),
                Some((stage, _)) => errors.push((stage, item)),
            }
        }

        // Errors and panics, in the order of their items.
        let mut all_failed: Vec<_> = errors.iter().map(|error| error.1).chain(panics.iter().copied()).collect();
        all_failed.sort_unstable();
        let mut run = first_batched(0..does.len(), &script)
            .then(|values| {
                let stage = second_batched(values, &script);
                if retries { stage.retry(Retry::new(1).backoff(Duration::ZERO)) } else { stage }
            })
            .then(|values| third_batched(values, &script))
            .threads(threads);
        match how {
            0 => {
                let mut seen = Vec::new();
                let outcome = run.for_each_batch(|batch| seen.extend(batch.iter().map(|value| value.0))).unwrap();
                let (report, failures) = outcome.into_parts();
                prop_assert_eq!(&seen, &values);
                prop_assert!(failures.iter().map(amorsize::Failure::index).eq(all_failed.iter().copied()));
                let mut expected = errors.iter();
                for failure in failures {
                    match failure.into_parts() {
                        (_, Cause::Error((stage, item, _))) => {
                            prop_assert_eq!(Some(&(stage, item)), expected.next());
                        }
                        (item, Cause::Panic(_)) => prop_assert!(panics.contains(&item)),
                    }
                }
                prop_assert!(report.panics().iter().map(amorsize::Failure::index).eq(panics.iter().copied()));
                let counted: Vec<_> =
                    report.stages().iter().map(|stage| (stage.items(), stage.failed())).collect();
                prop_assert_eq!(&counted[..], &reached[..]);
            }
            1 => {
                let outcome = run.max_memory("1GiB").collect::<Vec<_>>().unwrap();
                prop_assert!(outcome.value().iter().map(|value| value.0).eq(values.iter().copied()));
            }
            _ => {
                let (mut seen, mut failed) = (Vec::new(), Vec::new());
                for next in run {
                    match next {
                        Ok(value) => seen.push(value.0),
                        Err(failure) => failed.push(failure.index()),
                    }
                }
                prop_assert_eq!(&seen, &values);
                prop_assert_eq!(&failed, &all_failed);
            }
        }
        let mut calls = std::mem::take(&mut *script.calls.lock().unwrap());
        calls.sort_unstable();
        expected_calls.sort_unstable();
        prop_assert_eq!(calls, expected_calls);
        prop_assert_eq!(script.alive.load(Ordering::Relaxed), 0, "every value is dropped once");
    }
}

#[test]
fn a_run_that_is_dropped_half_way_drops_what_it_has() {
    let alive = AtomicIsize::new(0);
    fn stage(value: Value<'_>) -> Value<'_> {
        value.clone()
    }
    let run = process_in_batches(|item: usize| Value::new(item, 0, &alive), 0..10_000);
    let mut iterator = run.then(|x| process_in_batches(stage, x)).then(|x| process_in_batches(stage, x)).into_iter();
    assert!(iterator.by_ref().take(1_234).map(|value| value.0).eq(0..1_234));
    drop(iterator);
    assert_eq!(alive.into_inner(), 0);
}

#[test]
fn a_measure_that_panics_drops_what_it_measured() {
    struct Odd<'a>(Value<'a>);
    impl DeepSize for Odd<'_> {
        fn heap_size(&self) -> usize {
            assert!(self.0.0 % 10 != 3);
            8
        }
    }
    #[batched(on_panic = "skip")]
    fn make<'a>(item: usize, alive: &'a AtomicIsize) -> Odd<'a> {
        Odd(Value::new(item, 0, alive))
    }
    #[batched]
    fn unwrap<'a>(odd: Odd<'a>) -> Value<'a> {
        odd.0
    }
    let alive = AtomicIsize::new(0);
    let run = || make_batched(0..100, &alive).then(unwrap_batched).then(|x| process_in_batches(|x| x, x));
    let values: Vec<Value<'_>> = run().collect().unwrap();
    assert!(values.iter().map(|value| value.0).eq((0..100).filter(|item| item % 10 != 3)));
    drop(values);
    assert_eq!(alive.into_inner(), 0);
}
