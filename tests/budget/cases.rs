//! The budget holds, by each means of measuring results. Each program that tests a means has its
//! own global allocator, and these tests as a module.

use std::hint::{self, black_box};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use amorsize::{Batched, ByteSize, batched};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rayon::prelude::*;

use super::MEASURED_BY;
use super::counting::{alone, peak_of};

/// The chunks, queues and buffers of a run itself.
const OWN_BYTES: usize = 512 << 10;

/// The memory that a call needs, and the way in which it makes its result.
#[derive(Clone, Copy, Debug)]
struct Need {
    result: usize,
    /// Bytes that the call allocates, and frees before it returns.
    scratch: usize,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Alone,
    /// Makes the two halves of its result by `rayon::join`.
    Forks,
    /// Makes its result on another pool; while this one's worker waits, rayon lets it start other
    /// items.
    OnAnotherPool,
    /// Makes its result in a run of its own.
    ByAnInnerRun,
}

impl Need {
    fn plain(result: usize) -> Self {
        Self { result, scratch: 0, how: How::Alone }
    }

    /// The most bytes that a call with this need has at a time.
    fn most(self) -> usize {
        let of_inner = match self.how {
            // The inner run's buffers, and the result's parts, which are moved from there.
            How::ByAnInnerRun => OWN_BYTES + self.result,
            _ => 0,
        };
        self.result + self.scratch + of_inner
    }
}

static OTHER_POOL: LazyLock<rayon::ThreadPool> =
    LazyLock::new(|| rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());

#[batched(max_memory = "64KiB")]
fn part(index: usize, bytes: usize) -> Vec<u8> {
    vec![index as u8; bytes]
}

/// The result is always a `Vec` of parts, so that several threads can make it.
#[batched(max_memory = "4MiB")]
fn make(index: usize, needs: &[Need]) -> Vec<Vec<u8>> {
    let need = needs[index % needs.len()];
    let scratch = black_box(vec![1u8; need.scratch]);
    let result = match need.how {
        How::Alone => vec![vec![index as u8; need.result]],
        How::Forks => {
            let half = need.result / 2;
            let (first, second) = rayon::join(|| vec![1u8; half], || vec![2u8; need.result - half]);
            vec![first, second]
        }
        How::OnAnotherPool => {
            let (parts, bytes) = (8, need.result / 8);
            let mut all: Vec<_> =
                OTHER_POOL.install(|| (1..parts).into_par_iter().map(|i| vec![i as u8; bytes]).collect());
            all.push(vec![0; need.result - (parts - 1) * bytes]);
            all
        }
        How::ByAnInnerRun => {
            let mut all = Vec::with_capacity(16);
            part_batched(0..15, need.result / 16).for_each_batch(|batch| all.extend(batch)).unwrap();
            all.push(vec![0; need.result - 15 * (need.result / 16)]);
            all
        }
    };
    drop(scratch);
    result
}

type Run<'a> = Batched<std::ops::Range<usize>, Vec<Vec<u8>>, (&'a [Need],)>;

fn bytes(result: &[Vec<u8>]) -> usize {
    result.iter().map(Vec::len).sum()
}

fn check(items: usize, threads: usize, budget: usize, needs: &[Need]) {
    let _alone = alone();
    check_alone(items, threads, budget, needs);
}

fn check_alone(items: usize, threads: usize, budget: usize, needs: &[Need]) {
    // The pools' own memory does not count as the run's.
    make_batched(0..10_000, &[Need::plain(1)]).threads(threads).for_each_batch(|_| ()).unwrap();
    OTHER_POOL.broadcast(|_| ());
    let run = || -> Run<'_> { make_batched(0..items, needs).threads(threads).max_memory(ByteSize::new(budget as u64)) };
    let expected = (0..items).map(|i| needs[i % needs.len()].result).sum::<usize>();
    let call = needs.iter().map(|need| need.most()).max().unwrap_or(0);
    let most = budget + threads * call + OWN_BYTES;

    let mut handed_over = 0;
    let peak = peak_of(|| {
        let report =
            run().for_each_batch(|batch| handed_over += batch.iter().map(|r| bytes(r)).sum::<usize>()).unwrap();
        assert_eq!((report.measured_by(), report.items()), (MEASURED_BY, items));
    });
    assert_eq!(handed_over, expected);
    assert!(peak <= most, "for_each_batch: {peak} of {most}");

    let peak = peak_of(|| assert_eq!(run().into_iter().map(|result| bytes(&result)).sum::<usize>(), expected));
    assert!(peak <= most, "into_iter: {peak} of {most}");

    let sum = || run().iterate(|results| results.map(|result| bytes(&result)).sum::<usize>());
    let peak = peak_of(|| assert_eq!(sum().unwrap(), expected));
    assert!(peak <= most, "iterate: {peak} of {most}");

    let peak = peak_of(|| match run().collect::<Vec<_>>() {
        Ok(all) => assert_eq!(all.iter().map(|result| bytes(result)).sum::<usize>(), expected),
        Err(error) => assert!(error.is_over_budget(), "{error}"),
    });
    assert!(peak <= most, "collect: {peak} of {most}");
}

fn plain(count: usize, size: impl Fn(usize) -> usize) -> Vec<Need> {
    (0..count).map(|i| Need::plain(size(i))).collect()
}

#[test]
fn a_misleading_sample_does_not_break_it() {
    // Small at first, then a thousand times as large.
    check(600, 2, 4 << 20, &plain(600, |i| if i < 100 { 100 } else { 100_000 }));
    check(600, 4, 1 << 20, &plain(600, |i| if i < 50 { 10 } else { 50_000 }));
}

#[test]
fn growing_results_and_bursts_do_not_break_it() {
    check(2_000, 3, 2 << 20, &plain(2_000, |i| 50 * i));
    check(3_000, 2, 2 << 20, &plain(3_000, |i| if i % 500 > 480 { 200_000 } else { 500 }));
}

#[test]
fn a_heavy_tail_does_not_break_it() {
    check(1_000, 4, 2 << 20, &plain(1_000, |i| if i % 97 == 3 { 700_000 } else { 2_000 }));
}

#[test]
fn an_item_larger_than_the_budget_runs_alone() {
    check(50, 3, 100_000, &plain(50, |i| if i % 10 == 7 { 1_000_000 } else { 1_000 }));
}

#[test]
fn nor_do_calls_that_fork_or_wait_for_another_pool_or_run_a_wrapper() {
    for how in [How::Forks, How::OnAnotherPool, How::ByAnInnerRun] {
        for threads in 1..=4 {
            check(400, threads, 1 << 20, &[Need { result: 60_000, scratch: 20_000, how }]);
        }
    }
}

#[test]
fn a_collect_that_does_not_fit_stops_within_it() {
    let _alone = alone();
    let needs = [Need::plain(10_000)];
    let peak = peak_of(|| {
        let error = make_batched(0..10_000, &needs).threads(2).max_memory("2MiB").collect::<Vec<_>>().unwrap_err();
        assert!(error.is_over_budget(), "{error}");
        let text = error.to_string();
        assert!(text.contains("of 2.00 MiB") && text.contains("for_each_batch"), "{text}");
    });
    assert!(peak <= (2 << 20) + 2 * 10_000 + OWN_BYTES, "{peak}");
}

/// Takes some time, so that the run may go on threads.
#[batched]
fn capacity(item: Vec<u8>, time: Duration) -> usize {
    let begun = Instant::now();
    while begun.elapsed() < time {
        hint::spin_loop();
    }
    item.capacity()
}

/// The inputs alone would fill the budget. Nothing writes to what they own, so that they come
/// quickly, and many could be taken at a time.
fn check_inputs(budget: usize, sizes: &[usize]) {
    let _alone = alone();
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let most = budget + largest + OWN_BYTES;
    let expected = sizes.iter().sum::<usize>();
    for (threads, micros) in [(1, 0), (1, 20), (3, 5)] {
        let run = |sizes: &[usize]| {
            let items = Vec::from(sizes).into_iter().map(Vec::with_capacity);
            let run = capacity_batched(items, Duration::from_micros(micros)).threads(threads);
            run.max_memory(ByteSize::new(budget as u64))
        };
        // The pool's own memory does not count as the run's.
        run(&[1; 5_000]).for_each_batch(|_| ()).unwrap();

        let mut handed_over = 0;
        let peak = peak_of(|| {
            let report = run(sizes).for_each_batch(|batch| handed_over += batch.iter().sum::<usize>()).unwrap();
            let reported = report.peak_bytes().as_u64() as usize;
            assert!((largest..most).contains(&reported), "{threads} threads: {report}");
        });
        assert_eq!(handed_over, expected);
        assert!(peak <= most, "for_each_batch, {threads} threads: {peak} of {most}");

        let peak = peak_of(|| assert_eq!(run(sizes).collect::<Vec<_>>().unwrap().iter().sum::<usize>(), expected));
        assert!(peak <= most, "collect, {threads} threads: {peak} of {most}");
    }
}

#[test]
fn bursts_of_large_inputs_do_not_break_it() {
    for (budget, large) in [(256 << 20, 20 << 20), (4 << 20, 1 << 20), (1 << 20, 1 << 20)] {
        check_inputs(budget, &(0..7_500).map(|i| if i % 500 < 450 { 100 } else { large }).collect::<Vec<_>>());
    }
}

#[test]
fn nor_do_inputs_that_are_small_at_first() {
    for budget in [64 << 20, 256 << 20] {
        check_inputs(budget, &(0..160).map(|i| if i < 100 { 1 << 10 } else { 10 << 20 }).collect::<Vec<_>>());
    }
}

type Frame = [u8; 64 << 10];

/// A result that owns nothing.
#[batched(max_memory = "8MiB")]
fn frame(index: usize) -> Frame {
    [index as u8; 64 << 10]
}

#[batched(max_memory = "8MiB")]
fn frame_or_error(index: usize) -> Result<Frame, usize> {
    if index == 90 { Err(index) } else { Ok(frame(index)) }
}

/// The number of frames, which begin with the one of item `first`.
fn count_frames(frames: &[Frame], first: usize) -> usize {
    assert!(frames.iter().zip(first..).all(|(found, index)| *found == frame(index)));
    frames.len()
}

#[test]
fn a_collection_grows_within_it() {
    let _alone = alone();
    let most = (8 << 20) + OWN_BYTES;
    for threads in 1..=3 {
        let run = |items: usize| frame_batched((0..items).filter(|_| true)).threads(threads);
        // Not quite half of the budget has room for a second allocation.
        let peak = peak_of(|| assert_eq!(count_frames(&run(56).collect::<Vec<_>>().unwrap(), 0), 56));
        assert!(peak <= most, "{threads}: {peak} of {most}");
        // More has none at the end, or fills the budget before.
        for items in [100, 1_000] {
            let (mut large, mut finished) = (run(items), Vec::new());
            let peak = peak_of(|| {
                assert!(large.collect::<Vec<_>>().is_err_and(|error| error.is_over_budget()));
                assert!(large.collect_into(&mut finished).is_err_and(|error| error.is_over_budget()));
            });
            assert!(peak <= most, "{threads}: {peak} of {most}");
            let mut next = count_frames(&finished, 0);
            assert!(next > 0);
            drop(finished);
            large.for_each_batch(|batch| next += count_frames(&batch, next)).unwrap();
            assert_eq!(next, items);
        }
        let mut failing = frame_or_error_batched((0..200).filter(|_| true)).threads(threads);
        let peak = peak_of(|| assert!(failing.try_collect::<Vec<_>>().is_err()));
        assert!(peak <= most, "{threads}: {peak} of {most}");
        let mut next = 0;
        let each = |frame: Result<Frame, usize>| {
            frame.map_or_else(|index| assert_eq!(index, 90), |frame| assert_eq!(frame[0], next as u8));
            next += 1;
        };
        failing.for_each(each).unwrap();
        assert_eq!(next, 200);
    }
}

#[batched(max_memory = "4MiB")]
fn decode(index: usize, sizes: &[usize]) -> Vec<u8> {
    std::thread::sleep(std::time::Duration::from_micros(200));
    vec![index as u8; sizes[index % sizes.len()]]
}

#[batched]
fn halve(bytes: Vec<u8>) -> Vec<u8> {
    std::thread::sleep(std::time::Duration::from_micros(200));
    bytes[..bytes.len() / 2].to_vec()
}

#[batched]
fn check_sum(bytes: Vec<u8>) -> u64 {
    std::thread::sleep(std::time::Duration::from_micros(100));
    bytes.iter().copied().map(u64::from).sum()
}

#[test]
fn what_stages_hand_to_each_other_counts() {
    let _alone = alone();
    let run = |sizes| decode_batched(0..300, sizes).then(halve_batched).then(check_sum_batched).threads(20);
    // The pool's own memory does not count as the run's.
    run(&[1]).for_each_batch(|_| ()).unwrap();
    // Beside the stages' values the results are nothing. Without a budget twenty threads would have
    // 30 MiB.
    let sizes = [1 << 20];
    let alive = (1 << 20) + (1 << 19);
    let peak = peak_of(|| {
        let report = run(&sizes).for_each_batch(|_| ()).unwrap();
        let working = report.working_bytes().as_u64();
        // Their deep sizes add up to this and three small values; a call may count a few more.
        assert!((alive as u64..alive as u64 + 1024).contains(&working), "{report}");
        assert!(report.peak_bytes() <= report.budget(), "{report}");
        assert!(report.stages()[0].largest() >= ByteSize::mib(1), "{report}");
    });
    assert!(peak <= (4 << 20) + OWN_BYTES, "{peak}");
}

#[test]
fn nor_do_stages_that_hand_over_much_after_a_sample_of_little() {
    let _alone = alone();
    let run = |sizes| decode_batched(0..300, sizes).then(halve_batched).then(check_sum_batched).threads(4);
    run(&[1]).for_each_batch(|_| ()).unwrap();
    let sizes: Vec<usize> = (0..300).map(|i| if i < 100 { 100 } else { 700_000 }).collect();
    let peak = peak_of(|| {
        run(&sizes).max_memory("2MiB").for_each_batch(|_| ()).unwrap();
    });
    // Beside the budget each thread has a call in flight before the size of the first is known.
    assert!(peak <= (2 << 20) + 4 * 1_050_000 + OWN_BYTES, "{peak}");
}

#[test]
fn of_a_pipeline_only_the_results_are_kept() {
    let _alone = alone();
    let run = |sizes| decode_batched(0..300, sizes).then(halve_batched).then(check_sum_batched).threads(4);
    run(&[1]).for_each_batch(|_| ()).unwrap();
    // 150 MiB of intermediate values in all; each thread has one of them at a time.
    let sizes = [1 << 19];
    let peak = peak_of(|| {
        let all = run(&sizes).max_memory("64MiB").collect::<Vec<_>>().unwrap();
        assert!(all.iter().enumerate().all(|(i, &sum)| sum == (i as u8 as u64) << 18));
    });
    assert!(peak <= 4 * ((1 << 19) + (1 << 18)) + OWN_BYTES, "{peak}");
}

fn need() -> impl Strategy<Value = Need> {
    let result = prop_oneof![9 => 0usize..2_000, 1 => 0usize..300_000];
    let scratch = prop_oneof![8 => Just(0usize), 2 => 0usize..100_000];
    let how = prop_oneof![
        6 => Just(How::Alone),
        1 => Just(How::Forks),
        1 => Just(How::OnAnotherPool),
        1 => Just(How::ByAnInnerRun),
    ];
    (result, scratch, how).prop_map(|(result, scratch, how)| Need { result, scratch, how })
}

#[test]
fn whatever_the_calls_need() {
    // The values that proptest draws take megabytes too.
    let _alone = alone();
    let mut runner = TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let budget = prop_oneof![Just(200_000usize), Just(2 << 20)];
    let drawn = (prop::collection::vec(need(), 1..600), 1usize..=4, budget);
    let outcome = runner.run(&drawn, |(needs, threads, budget)| {
        check_alone(needs.len(), threads, budget, &needs);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}
