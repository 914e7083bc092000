//! The measurements of a report, and the conclusions that it draws. Tests with a clock
//! that they move, in `amorsize/src/execute/clocked.rs`, check what it says about time.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use amorsize::on_error::Skip;
use amorsize::{
    BatchTime, ByteSize, DeepSize, MemorySource, Report, Warning, batched, process_in_batches, with_memory_source,
};

fn milliseconds(count: u64) {
    thread::sleep(Duration::from_millis(count));
}

#[derive(DeepSize)]
struct Block(Vec<u8>);

/// A call that takes a stated time and returns a stated size.
#[batched]
fn make(kibibytes: usize, took: u64) -> Block {
    milliseconds(took);
    Block(vec![1; kibibytes << 10])
}

fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Checks that hold for every report.
fn check(report: &Report) {
    let time = report.time_use();
    let parts = [time.calls(), time.memory(), time.sink(), time.input(), time.ends(), time.handling()];
    assert!(parts.iter().all(|&seconds| seconds >= 0.0), "{time:?}");
    assert!((report.inline_seconds() + report.threads_seconds() - report.seconds()).abs() < 1e-6);
    assert!(report.sink_seconds() <= report.seconds() && report.input_seconds() <= report.threads_seconds());
    let seconds = report.seconds() * report.items_per_second();
    assert!((seconds - (report.items() + report.failed()) as f64).abs() < 1e-6 * seconds.max(1.0));
    assert!((report.bytes_per_second() * report.seconds() - report.result_bytes().as_u64() as f64).abs() < 1.0);
    assert!(report.peak_bytes() <= report.budget());
    assert!(report.chunks() >= usize::from(report.items() > 0));

    let timeline = report.timeline();
    assert!(timeline.moments().windows(2).all(|pair| pair[0].seconds() <= pair[1].seconds()));
    assert!(timeline.moments().windows(2).all(|pair| pair[0].items() <= pair[1].items()));
    for moment in timeline.moments() {
        assert!(moment.held() <= report.peak_bytes() && moment.running() <= report.threads());
        assert!(moment.resident() <= report.peak_resident());
    }
    let mut next = 0;
    for batch in timeline.batches() {
        assert_eq!(batch.first_index(), next);
        next += batch.items();
        assert!(batch.begun() <= batch.ended() && batch.sink_seconds() <= batch.ended() - batch.begun() + 1e-9);
    }
    if !timeline.batches().is_empty() {
        assert_eq!(next, report.items());
        assert_eq!(timeline.batches().iter().map(BatchTime::batches).sum::<usize>(), report.batches());
        assert_eq!(timeline.moments().last().unwrap().items(), report.items());
    }

    let text = report.explain();
    assert!(text.contains(&format!("bound by {}", report.bottleneck())), "{text}");
    assert!(
        text.starts_with(&format!(
            "{} in {}",
            counted(report.items(), "item", "items"),
            counted(report.batches(), "batch", "batches")
        )),
        "{text}"
    );
    assert_eq!(report.name(), Some("make"));
}

#[test]
fn what_a_report_says_fits_together() {
    let run = || make_batched([16; 60], 2).threads(2).max_memory("8MiB").batch_size(5);
    check(&run().for_each_batch(|_| milliseconds(2)).unwrap());
    let slow = [16; 60].into_iter().inspect(|_| milliseconds(1));
    check(&make_batched(slow, 2).threads(2).max_memory("8MiB").for_each_batch(|_| ()).unwrap());
    // One result at a time fits. On a busy machine a thread may come to its core only between two
    // calls of the other, and then never waits for room.
    let mut waits = (0..1000).map(|_| {
        let report = run().max_memory("24KiB").for_each_batch(|_| ()).unwrap();
        check(&report);
        assert!(report.peak_bytes() <= ByteSize::kib(24), "{}", report.explain());
        report.credit_waits()
    });
    assert!(waits.any(|waits| waits > 0), "no thread waited for room");

    let report = make_batched([1; 20], 1).threads(1).batch_size(4).for_each_batch(|_| ()).unwrap();
    check(&report);
    assert_eq!((report.threads(), report.threads_seconds()), (1, 0.0));
}

/// A process with the resident memory that a test states.
struct Process(AtomicU64);

impl MemorySource for Process {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(64))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::new(self.0.load(Ordering::Relaxed)))
    }
}

/// The report of 40 calls with a budget of 64 MiB, with resident memory grown by `bytes` at the
/// end.
fn grown_by(bytes: ByteSize) -> Report {
    let process = Arc::new(Process(AtomicU64::new(100 << 20)));
    with_memory_source(process.clone(), || {
        let grow = |item: u64| {
            milliseconds(2);
            if item == 39 {
                process.0.fetch_add(bytes.as_u64(), Ordering::Relaxed);
            }
        };
        process_in_batches(grow, 0..40).threads(1).max_memory("64MiB").for_each_batch(|_| ()).unwrap()
    })
}

#[test]
fn memory_that_went_over_the_budget_is_told_with_the_way_out() {
    let report = grown_by(ByteSize::mib(64));
    assert_eq!((report.warnings(), report.peak_resident()), (Vec::new(), Some(ByteSize::mib(64))));
    assert!(!report.explain().contains("warning") && !report.to_string().contains("warning"));

    let report = grown_by(ByteSize::mib(80));
    let warnings = report.warnings();
    assert_eq!(warnings.iter().map(Warning::code).collect::<Vec<_>>(), [Warning::RESIDENT_OVER_BUDGET]);
    let told = "resident memory grew by 80.0 MiB, 16.0 MiB (25 %) more than the budget of 64.0 MiB: ";
    assert!(warnings[0].message().starts_with(told), "{}", warnings[0]);
    assert!(report.to_string().contains(&format!("\nwarning: {}", warnings[0])), "{report}");
    let cured = format!(
        "warning: {}\nthese three lines do that:\n    use amorsize::Tracking;\n    #[global_allocator]\n    static ALLOCATOR: \
         Tracking = Tracking::new(std::alloc::System);",
        warnings[0]
    );
    assert!(report.explain().ends_with(&cured), "{}", report.explain());
    assert!(report.to_svg().contains("80.0 MiB at most, 16.0 MiB more than the budget."), "{}", report.to_svg());
}

/// A call that lets the process grow by its result.
#[batched(threads = 1, max_memory = "1MiB")]
fn grow(kibibytes: usize, process: &Process) -> Block {
    process.0.fetch_add((kibibytes as u64) << 10, Ordering::Relaxed);
    make(kibibytes, 2)
}

#[test]
fn an_item_that_was_larger_than_the_budget_is_named_as_the_cause() {
    let process = Arc::new(Process(AtomicU64::new(100 << 20)));
    let items = (0..20).map(|item| if item == 15 { 4096 } else { 0 });
    let run = || grow_batched(items, &process).for_each_batch(|_| ()).unwrap();
    let report = with_memory_source(process.clone(), run);
    let warning = &report.warnings()[0];
    assert_eq!(warning.code(), Warning::RESIDENT_OVER_BUDGET);
    let told = format!(
        "resident memory grew by 4.00 MiB, 3.00 MiB (300 %) more than the budget of 1.00 MiB: the run itself held {} at most, ",
        report.peak_bytes()
    );
    assert!(warning.message().starts_with(&told), "{warning}");
    // The bytes were counted, which needs no other allocator.
    assert!(!report.explain().contains("Tracking"), "{}", report.explain());
}

#[test]
fn a_run_that_is_over_at_once_has_a_report_too() {
    for items in [0, 1, 3] {
        let report = make_batched(vec![1; items], 0).for_each_batch(|_| ()).unwrap();
        check(&report);
    }
}

/// A machine that has less memory left each time that it is asked.
struct Shrinking(AtomicU64);

impl MemorySource for Shrinking {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::new(self.0.fetch_sub(1 << 20, Ordering::Relaxed)))
    }
}

#[test]
fn a_report_tells_one_budget_however_often_it_is_asked() {
    with_memory_source(Shrinking(AtomicU64::new(1 << 30)), || {
        // Too short for the run itself to need a budget.
        let report = process_in_batches(|x: u64| x, 0..3).for_each_batch(|_| ()).unwrap();
        let budget = report.budget();
        assert_eq!((report.budget(), report.clone().budget()), (budget, budget));
        assert!(report.explain().contains(&format!("of the budget of {budget} (")), "{}", report.explain());
    });
}

/// A machine that tells what a report of an earlier run leaves.
struct Told;

static REPORT: OnceLock<Report> = OnceLock::new();
thread_local! {
    static ASKS: Cell<bool> = const { Cell::new(false) };
}

impl MemorySource for Told {
    fn available(&self) -> Option<ByteSize> {
        let all = ByteSize::gib(1);
        let report = REPORT.get().filter(|_| !ASKS.replace(true))?;
        Some(all - report.budget())
    }
}

#[test]
fn a_source_may_ask_for_the_budget_that_it_is_asked_for() {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // A run of nothing needs no budget itself.
        let report = with_memory_source(Told, || process_in_batches(|x: u64| x, 0..0).for_each_batch(|_| ()).unwrap());
        assert!(!ASKS.get());
        let budget = REPORT.get_or_init(|| report).budget();
        assert!(ASKS.get());
        send.send(budget).unwrap();
    });
    // The first answer counts: half of the GiB that is assumed for a source that does not know.
    assert_eq!(receive.recv_timeout(Duration::from_secs(600)), Ok(ByteSize::mib(512)));
}

#[test]
fn what_goes_on_after_an_error_is_reported_for_itself() {
    let token = amorsize::CancelToken::new();
    let mut run = make_batched([16; 60], 2).threads(2).max_memory("8MiB").batch_size(5).cancel_token(&token);
    let mut before = 0;
    let cancelled = run.for_each_batch(|batch| {
        before += batch.len();
        if batch.first_index() >= 20 {
            token.cancel();
        }
    });
    assert!(cancelled.unwrap_err().is_cancelled());
    let report = run.cancel_token(&amorsize::CancelToken::new()).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.items(), 60 - before);
}

#[test]
fn items_without_a_value_are_not_told_as_left() {
    let even = |x: u32| x.is_multiple_of(2).then_some(x);
    let report = process_in_batches(even, 0..7).flatten().for_each_batch(|_| ()).unwrap();
    assert_eq!(report.items(), 4);
    assert!(!report.to_string().contains("not handed over"), "{report}");
}

#[test]
fn texts_of_errors_are_kept_up_to_a_few_kibibytes() {
    let fail = |item: usize| if item == 1 { Err::<(), _>("\u{e4}".repeat(1 << 20)) } else { Err("short".into()) };
    let report = process_in_batches(fail, 0..2).on_error(Skip).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.failures()[0].to_string(), "item 0 failed: short");
    let text = report.failures()[1].to_string();
    assert!(text.len() < 5_000 && text.ends_with("\u{e4} ... (2097152 bytes)"), "{} bytes", text.len());
}
