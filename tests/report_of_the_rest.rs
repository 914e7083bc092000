//! The report of the rest of a run is about the rest, not about earlier parts: every figure of it.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/silent.rs"]
mod silent;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip};
use amorsize::{
    ByteSize, CancelToken, ErrorKind, MemorySource, OnPanic, Report, batched, process_in_batches, with_memory_source,
};
use caught::caught;
use silent::Silent;

const ITEMS: usize = 600;
/// The item with a call that ends the first part of a run. Batches of 7 make some sixty stretches of
/// the items before it, and each takes an eighth off what the large result lets the run expect.
const ENDS: usize = 420;
/// The result of the first item, and those of the others.
const LARGE: usize = 8 << 20;
const SMALL: usize = 1000;

fn slow() {
    thread::sleep(Duration::from_micros(200));
}

/// Counts calls that returned a result.
#[batched]
fn text(x: usize, calls: &AtomicUsize) -> Vec<u8> {
    slow();
    if x == ENDS {
        std::panic::resume_unwind(Box::new("as planned"));
    }
    calls.fetch_add(1, Ordering::Relaxed);
    vec![1; if x == 0 { LARGE } else { SMALL }]
}

/// The facts that were seen from outside while the rest ran.
struct Seen {
    begun: Instant,
    calls_before: usize,
    items: usize,
    batches: usize,
}

/// Compares a report with these facts. The clock bounds every figure in seconds, for as many
/// threads as there are.
fn is_of(report: &Report, seen: &Seen, calls: &AtomicUsize) {
    let elapsed = seen.begun.elapsed().as_secs_f64();
    let calls = calls.load(Ordering::Relaxed) - seen.calls_before;
    assert_eq!((report.items(), report.batches()), (seen.items, seen.batches), "{report}");
    assert_eq!(report.batch_size(), seen.items / seen.batches.max(1));
    assert!(report.seconds() <= elapsed, "{} s of {elapsed}", report.seconds());
    for seconds in [report.inline_seconds(), report.threads_seconds(), report.sink_seconds(), report.input_seconds()] {
        assert!((0.0..=elapsed).contains(&seconds), "{seconds} s of {elapsed}");
    }
    let use_of_time = report.time_use();
    let all_threads = elapsed * report.threads() as f64;
    for seconds in [use_of_time.total(), use_of_time.calls(), use_of_time.sink(), use_of_time.memory()] {
        assert!((0.0..=all_threads).contains(&seconds), "{seconds} s of {all_threads}");
    }
    assert_eq!(report.result_bytes(), ByteSize::new((calls * (SMALL + size_of::<Vec<u8>>())) as u64));
    assert!(report.bytes_per_item() <= ByteSize::kib(2) && report.peak_bytes() < ByteSize::mib(4), "{report}");
    assert!(report.chunks() <= calls && report.chunk_size() <= calls, "{} chunks of {calls}", report.chunks());
    assert!(report.seconds_per_item() * calls as f64 <= all_threads);
    assert!(report.items_per_second() * report.seconds() <= calls as f64 + 0.5);
    assert!(report.bytes_per_second() * report.seconds() <= report.result_bytes().as_u64() as f64 + 0.5);
    let timeline = report.timeline();
    for moment in timeline.moments() {
        assert!(moment.items() <= calls && moment.seconds() <= elapsed && moment.held() <= report.peak_bytes());
    }
    let batches = timeline.batches();
    assert!(batches.iter().all(|batch| batch.ended() <= elapsed && batch.first_index() >= ITEMS - seen.items - 1));
    assert!(batches.iter().map(amorsize::BatchTime::items).sum::<usize>() <= seen.items);
    assert!(!report.explain().is_empty() && !report.to_svg().is_empty() && !report.to_html().is_empty());
}

#[test]
fn what_was_handed_over_and_measured_before_is_left_out() {
    with_memory_source(Silent, || {
        for threads in 1..=3 {
            let calls = AtomicUsize::new(0);
            let mut run = text_batched(0..ITEMS, &calls).threads(threads).batch_size(7);
            let mut before = 0;
            let panicked = caught(|| {
                run.for_each_batch(|batch| {
                    thread::sleep(Duration::from_millis(3));
                    before += batch.len();
                })
            });
            assert!(panicked.is_err());
            assert_eq!(before, ENDS);
            let mut seen =
                Seen { begun: Instant::now(), calls_before: calls.load(Ordering::Relaxed), items: 0, batches: 0 };
            let report = run.for_each_batch(|batch| {
                seen.items += batch.len();
                seen.batches += 1;
            });
            assert_eq!(seen.items, ITEMS - ENDS - 1);
            is_of(&report.unwrap(), &seen, &calls);
        }
    });
}

#[test]
fn so_is_what_was_collected() {
    with_memory_source(Silent, || {
        for threads in 1..=3 {
            let calls = AtomicUsize::new(0);
            let mut run = text_batched(0..ITEMS, &calls).threads(threads).batch_size(7);
            // A plan that was made before belongs to the first part.
            run.plan().unwrap();
            let mut finished = Vec::new();
            assert!(caught(|| run.collect_into(&mut finished)).is_err());
            assert_eq!(finished.len(), ENDS);
            drop(finished);
            let mut seen =
                Seen { begun: Instant::now(), calls_before: calls.load(Ordering::Relaxed), items: 0, batches: 0 };
            run.plan().unwrap();
            let report = run.for_each_batch(|batch| {
                seen.items += batch.len();
                seen.batches += 1;
            });
            is_of(&report.unwrap(), &seen, &calls);
        }
    });
}

#[test]
fn each_rest_of_a_rest_is_reported_for_itself() {
    let token = CancelToken::new();
    token.cancel();
    let call = |x: usize| {
        slow();
        x
    };
    let mut run = process_in_batches(call, 0..ITEMS).threads(2).batch_size(10);
    let mut taken = 0;
    for _ in 0..3 {
        let token = CancelToken::new();
        run = run.cancel_token(&token);
        let cancelled = run.for_each_batch(|batch| {
            taken += batch.len();
            token.cancel();
        });
        assert!(cancelled.unwrap_err().is_cancelled());
        // A part that ends before it begins.
        run = run.cancel_token(&CancelToken::new());
    }
    let begun = Instant::now();
    let mut batches = 0;
    let report = run.for_each_batch(|_| batches += 1).unwrap();
    assert_eq!((report.items(), report.batches()), (ITEMS - taken, batches));
    assert!(report.seconds() <= begun.elapsed().as_secs_f64());
}

#[test]
fn failures_panics_and_calls_that_were_made_again_count_where_they_were() {
    // Odd items fail, and are called again each time; every tenth panics.
    let call = |x: usize| {
        slow();
        match x {
            _ if x.is_multiple_of(10) => std::panic::resume_unwind(Box::new("as planned")),
            _ if x.is_multiple_of(2) => Ok(x),
            _ => Err("odd"),
        }
    };
    let token = CancelToken::new();
    let run = || {
        let retry = amorsize::Retry::new(1).backoff(Duration::ZERO);
        process_in_batches(call, 0..ITEMS)
            .threads(2)
            .batch_size(5)
            .retry(retry)
            .on_panic(OnPanic::Skip)
            .cancel_token(&token)
    };
    let next = AtomicUsize::new(0);
    let sink = |batch: amorsize::Batch<usize>| {
        next.store(batch.indices().last().unwrap() + 1, Ordering::Relaxed);
        if batch.first_index() > 100 {
            token.cancel();
        }
    };
    let mut skipping = run().on_error(Skip);
    assert!(skipping.for_each_batch(sink).unwrap_err().is_cancelled());
    let (before, mut rest) = (next.load(Ordering::Relaxed), skipping.cancel_token(&CancelToken::new()));
    assert!((100..ITEMS).contains(&before));
    let mut values = 0;
    let report = rest.for_each_batch(|batch| values += batch.len()).unwrap();
    // A failure after the last value was reported in the first part, or is in this one.
    let after = |kind: fn(usize) -> bool| (before..ITEMS).filter(|&x| kind(x)).count();
    assert_eq!(report.items(), values);
    assert_eq!(values, after(|x| x.is_multiple_of(2) && !x.is_multiple_of(10)));
    assert!(report.failed() <= after(|x| !x.is_multiple_of(2)), "{report}");
    assert!(report.failures().iter().all(|failure| failure.index() >= before), "{report}");
    assert!(report.retries() <= after(|x| !x.is_multiple_of(2)), "{report}");
    assert!(report.panicked() <= after(|x| x.is_multiple_of(10)), "{report}");
    assert_eq!(report.panics().len(), report.panicked().min(16));
    assert!(report.panics().iter().all(|panic| panic.index() >= before), "{report}");

    // Gathered failures are in the outcome of the part that met them.
    let token = CancelToken::new();
    token.cancel();
    let mut run = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Collect).cancel_token(&token);
    assert!(run.for_each_batch(drop).unwrap_err().is_cancelled());
    let outcome = run.cancel_token(&CancelToken::new()).for_each_batch(drop).unwrap();
    assert_eq!((outcome.value().items(), outcome.value().failed(), outcome.failures().len()), (2, 1, 1));
}

/// The missing item prevents later results from being handed over.
#[test]
fn what_was_computed_and_what_was_handed_over_are_told_apart() {
    // Two threads begin with this few items at once. The first call ends when another has a result.
    const FEW: usize = 8;
    let computed = AtomicUsize::new(0);
    let call = |x: usize| {
        if x == 0 {
            while computed.load(Ordering::Relaxed) == 0 {
                thread::yield_now();
            }
            std::panic::resume_unwind(Box::new("as planned"));
        }
        computed.fetch_add(1, Ordering::Relaxed);
    };
    let mut run = process_in_batches(call, 0..FEW).threads(2).batch_size(5);
    caught(|| run.for_each_batch(|_| ())).unwrap_err();
    let computed = computed.load(Ordering::Relaxed);
    let part = run.report().expect("a part has ended");
    let told = part.to_string();
    let first = format!("0 items in 0 batches, {computed} more computed and not handed over, ");
    assert!(told.starts_with(&first), "{told}");
    assert!(part.explain().starts_with(&first), "{}", part.explain());

    // The rest hands them over, and nothing is left.
    let report = run.for_each_batch(|_| ()).unwrap();
    assert!(report.to_string().starts_with(&format!("{} items in ", FEW - 1)), "{report}");
    assert!(!report.to_string().contains("not handed over"), "{report}");
}

/// Each part of a run that does not fit reports the bytes that it held itself.
#[test]
fn results_that_an_earlier_part_gave_back_hold_nothing() {
    #[batched(max_memory = "8MiB")]
    fn page(_: usize) -> Vec<u8> {
        vec![1; 1 << 20]
    }

    for threads in 1..=2 {
        let mut run = page_batched(0..60).threads(threads);
        let mut given = 0;
        for _ in 0..3 {
            let mut part = Vec::new();
            let error = run.collect_into(&mut part).unwrap_err();
            let ErrorKind::OverBudget { item, items_done, held, .. } = error.kind() else { panic!("{error}") };
            assert!(
                *items_done <= 8 && *held <= ByteSize::mib(8) && *held >= ByteSize::mib(*items_done as u64),
                "{error}"
            );
            given += part.len();
            assert!(*item >= given && part.len() <= *items_done, "{error}");
        }
    }
}

#[batched]
fn grow(x: usize) -> Vec<u8> {
    slow();
    vec![1; if x == 0 { LARGE } else { SMALL }]
}

#[batched]
fn shrink(text: Vec<u8>) -> usize {
    if text.len() == LARGE { SMALL } else { text.len() }
}

#[test]
fn stages_say_what_they_did_for_the_rest() {
    for threads in 1..=2 {
        let token = CancelToken::new();
        let mut run = grow_batched(0..ITEMS).then(shrink_batched).threads(threads).batch_size(5).cancel_token(&token);
        let mut taken = 0;
        let cancelled = run.for_each_batch(|batch| {
            taken += batch.len();
            if taken >= 100 {
                token.cancel();
            }
        });
        assert!(cancelled.unwrap_err().is_cancelled());
        let mut rest = run.cancel_token(&CancelToken::new());
        let begun = Instant::now();
        let report = rest.for_each_batch(|_| ()).unwrap();
        let most = begun.elapsed().as_secs_f64() * threads as f64;
        assert_eq!(report.items(), ITEMS - taken);
        for stage in report.stages() {
            assert!(stage.items() <= ITEMS - taken && stage.failed() == 0, "{stage}");
            assert!(stage.largest() < ByteSize::kib(2) && stage.bytes_per_item() < ByteSize::kib(2), "{stage}");
            assert!(stage.seconds() <= most, "{stage} of {most} s");
        }
    }
}

/// A process with the resident memory that a test states, in mebibytes.
struct Told(AtomicUsize);

impl MemorySource for Told {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(4))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::mib(self.0.load(Ordering::SeqCst) as u64))
    }
}

#[test]
fn resident_memory_grows_from_what_it_was_when_the_rest_began() {
    for threads in 1..=3 {
        let process = Arc::new(Told(AtomicUsize::new(20)));
        with_memory_source(Arc::clone(&process), || {
            let call = |x: usize| {
                slow();
                process.0.store(if x <= ENDS { 100 } else { 40 }, Ordering::SeqCst);
                if x == ENDS {
                    std::panic::resume_unwind(Box::new("as planned"));
                }
                x
            };
            let mut run = process_in_batches(call, 0..ITEMS).threads(threads).batch_size(7);
            assert!(caught(|| run.for_each_batch(drop)).is_err());
            process.0.store(30, Ordering::SeqCst);
            let report = run.for_each_batch(drop).unwrap();
            // A run takes what it holds off the memory from which it counts.
            let peak = report.peak_resident().unwrap();
            assert!(peak <= ByteSize::mib(11), "{threads}: {peak}");
            let moments = report.timeline().moments();
            assert!(moments.iter().all(|moment| moment.resident().unwrap() <= ByteSize::mib(11)), "{moments:?}");
        });
    }
}
