use super::*;
use crate::adapt::learned::{Learned, Sampled, Stretch};
use crate::adapt::situation::Situation;

pub(crate) fn sampled(seconds: f64) -> Sampled {
    Sampled { items: 1, seconds, handling: 1e-9, ..Sampled::default() }
}

pub(crate) fn learned(seconds: f64, bytes: u64) -> Learned {
    let mut learned = Learned::default();
    learned.add(Stretch { items: 5, seconds: 5.0 * seconds, bytes: 5 * bytes, largest: bytes, working: 0 });
    learned.handling = 1e-9;
    (0..5).for_each(|_| learned.spread.add(sampled(seconds)));
    learned
}

/// Four threads of a pool that runs, and this many items left.
pub(crate) fn situation(remaining: Option<usize>) -> Situation {
    Situation {
        threads: 4,
        most: 256,
        threads_asked: false,
        warm: true,
        taken: 0,
        panicked: 0,
        remaining,
        batch_items: None,
        in_flight: None,
        budget: ByteSize::mib(256),
        available: None,
        available_now: None,
        cores: None,
        measured_by: MeasuredBy::DeepSize,
        working_certainty: Certainty::Estimate,
        item_size: 8,
        result_size: 24,
        item_bytes: 8,
        items_are_opaque: false,
        items_own: false,
        hands_over: true,
    }
}

pub(crate) fn codes(plan: &Plan) -> Vec<&str> {
    plan.warnings().iter().map(Warning::code).collect()
}

#[test]
fn long_work_takes_all_threads() {
    let plan = Plan::explained(&learned(1e-3, 1000), &situation(Some(10_000)));
    assert_eq!(plan.threads(), 4);
    assert!((3.9..=4.0).contains(&plan.speedup()), "{}", plan.speedup());
    assert_eq!(plan.chunk_size(), 2);
    assert_eq!(plan.batch_size(), 80);
    assert!(codes(&plan).is_empty(), "{plan}");
}

#[test]
fn a_plan_without_a_sample_says_what_is_before_it() {
    for (taken, panicked, behind) in [
        (100, 0, "100 items that were done before"),
        (1, 0, "1 item that was done before"),
        (3, 3, "3 items that panicked"),
        (100, 3, "100 items that were done before or panicked"),
    ] {
        let plan = Plan::explained(&Learned::default(), &Situation { taken, panicked, ..situation(Some(0)) });
        assert_eq!(plan.reasons()[0], format!("nothing was sampled: no item is left behind {behind}"));
    }
}

pub(crate) fn used(seconds: f64, ran: f64, process_ran: f64) -> crate::system::thread_time::Use {
    crate::system::thread_time::Use { seconds, ran, queued: 0.0, process_ran }
}

#[test]
fn a_function_that_waits_gets_threads_that_keep_the_cores_busy() {
    let mut learned = learned(5e-3, 24);
    learned.waits.add(used(5e-3, 1e-3, 1e-3), true);
    let plan = Plan::explained(&learned, &situation(Some(10_000)));
    // 20 would be enough if calls took turns to wait.
    assert_eq!((plan.threads(), plan.waiting_share()), (29, Some(0.8)));
    assert!((15.0..=20.0).contains(&plan.speedup()), "{}", plan.speedup());
    let text = plan.to_string();
    assert!(text.contains("the function waits 80 % of its time: up to 29 threads on 4 cores"), "{text}");
    assert!(text.contains("bound by what the function waits for"), "{text}");
    // With little work, some threads have nothing to do.
    let few = Plan::explained(&learned, &situation(Some(10)));
    assert_eq!(few.threads(), 10);
    assert!(few.speedup() < 10.0);
    // The number that was asked for, and the plan says that more would pay.
    let asked = Situation { threads_asked: true, most: 4, ..situation(Some(10_000)) };
    let plan = Plan::explained(&learned, &asked);
    assert_eq!(plan.threads(), 4);
    assert!(plan.to_string().contains("without `threads` the run finds how many more pay"), "{plan}");
}

#[test]
fn one_core_is_enough_to_wait_on_many_threads() {
    let mut learned = learned(5e-3, 24);
    let alone = Situation { threads: 1, ..situation(Some(10_000)) };
    assert_eq!(Plan::explained(&learned, &alone).threads(), 1);
    learned.waits.add(used(5e-3, 5e-6, 5e-6), true);
    let plan = Plan::explained(&learned, &alone);
    assert_eq!(plan.threads(), 256);
    let says = "the function waits 100 % of its time: up to 256 threads on 1 core, as far as more of them pay";
    assert!(plan.reasons()[0].starts_with(says), "{plan}");
}

#[test]
fn a_budget_for_one_call_is_named_as_the_reason_for_one_thread() {
    let learned = learned(1.5, 70 << 20);
    let budget = ByteSize::mib(64);
    let plan = Plan::explained(&learned, &Situation { budget, ..situation(Some(1_000)) });
    let says = "runs on the calling thread: a call takes about 70.0 MiB, and the budget of 64.0 MiB has room for one at a time";
    assert_eq!((plan.threads(), &*plan.reasons()[0]), (1, says));
    assert!(!codes(&plan).contains(&Warning::TOO_LITTLE_WORK), "{plan}");
    let few = Plan::explained(&learned, &Situation { budget, ..situation(Some(0)) });
    assert!(codes(&few).contains(&Warning::TOO_LITTLE_WORK), "{few}");
}

#[test]
fn a_function_that_keeps_the_cores_busy_itself_is_not_multiplied() {
    let mut learned = learned(10e-3, 24);
    // Its thread waits for others, which keep three of the four cores busy.
    learned.waits.add(used(10e-3, 0.0, 30e-3), true);
    let plan = Plan::explained(&learned, &situation(Some(10_000)));
    assert_eq!(plan.threads(), 4);
    assert!((plan.speedup() - 4.0 / 3.0).abs() < 1e-9, "{}", plan.speedup());
    assert!(plan.to_string().contains("a call keeps 3.0 cores busy alone"), "{plan}");
    assert!(!plan.to_string().contains("the function waits"), "{plan}");
}

#[test]
fn a_function_that_waits_for_a_child_process_that_computes_gets_no_more_threads_than_cores() {
    let mut learned = learned(5e-3, 24);
    learned.waits.add(used(5e-3, 0.2e-3, 4.8e-3), true);
    let plan = Plan::explained(&learned, &situation(Some(10_000)));
    assert_eq!(plan.threads(), 4);
    let text = plan.to_string();
    let says = "the function waits 96 % of its time, while other threads of the program, or child processes, work";
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_fast_function_stays_on_the_calling_thread() {
    let mut learned = learned(0.3e-9, 24);
    learned.handling = 0.5e-9;
    let plan = Plan::explained(&learned, &situation(Some(1_000_000_000)));
    assert_eq!((plan.threads(), plan.speedup()), (1, 1.0));
    assert!(codes(&plan).contains(&Warning::TOO_FAST), "{plan}");
}

#[test]
fn little_work_stays_on_the_calling_thread() {
    let plan = Plan::explained(&learned(1e-6, 24), &situation(Some(20)));
    assert_eq!(plan.threads(), 1);
    assert_eq!(codes(&plan), [Warning::TOO_LITTLE_WORK], "{plan}");
}

#[test]
fn long_calls_that_all_were_sampled_are_not_called_too_little_work() {
    for (items, all) in [(1, "the only item is in the sample"), (5, "all 5 items are in the sample")] {
        let mut long = learned(0.3, 24);
        long.items = items;
        let text = Plan::explained(&long, &situation(Some(0))).to_string();
        let reason = format!("Reason: runs on the calling thread: {all}, so nothing is left for threads\n");
        assert!(text.contains(&reason) && !text.contains("too little work"), "{text}");
        let warning = format!("Warning: {all}, so nothing is left for threads: where calls take long, a smaller");
        assert!(text.contains(&warning), "{text}");
    }
}

#[test]
fn threads_that_were_asked_for_are_used() {
    let mut asked = situation(Some(20));
    (asked.threads, asked.threads_asked) = (2, true);
    assert_eq!(Plan::explained(&learned(1e-6, 24), &asked).threads(), 2);
}

#[test]
fn no_more_threads_than_items() {
    assert_eq!(Plan::explained(&learned(1.0, 24), &situation(Some(3))).threads(), 3);
}

#[test]
fn large_results_make_small_batches_and_a_warning() {
    let plan = Plan::explained(&learned(1e-5, 8 << 20), &situation(Some(1000)));
    assert_eq!(plan.batch_size(), 1);
    assert_eq!(plan.chunk_size(), 1);
    assert_eq!(codes(&plan), [Warning::RESULTS_EXCEED_BUDGET]);
    assert!(plan.result_bytes().unwrap() > ByteSize::gib(7));
}

#[test]
fn the_text_names_decisions_reasons_and_warnings() {
    let text = Plan::explained(&learned(1e-3, 64 << 20), &situation(Some(100))).to_string();
    assert!(text.starts_with(
        "Recommended: threads=4, chunk_size=1, batch_size=1\nBudget: 256 MiB, 64.0 MiB per item by deep size"
    ));
    assert!(text.contains("Reason: runs on 4 threads: at 1.00 ms per item"), "{text}");
    assert!(text.contains("[results-exceed-budget]"), "{text}");
}
