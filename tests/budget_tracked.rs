//! The budget holds if `Tracking` measures each call, and it includes the memory that calls need
//! while they run.

#[path = "budget/cases.rs"]
mod cases;
#[path = "budget/counting.rs"]
mod counting;

use std::io;

use amorsize::on_error::Skip;
use amorsize::sink::Sink;
use amorsize::{Batch, ByteSize, MeasuredBy, Tracking, batched, process_in_batches};
use counting::{Counting, alone, peak_of};

#[global_allocator]
static ALLOCATOR: Tracking<Counting> = Tracking::new(Counting);

const MEASURED_BY: MeasuredBy = MeasuredBy::Tracking;

/// Nobody knows how to measure the type, so only `Tracking` can tell its bytes.
#[derive(Debug)]
struct Opaque(#[expect(dead_code, reason = "it is what the result owns")] Box<dyn std::any::Any + Send>);

#[batched(max_memory = "4MiB")]
fn opaque(index: usize) -> Opaque {
    let scratch = vec![1u8; 50_000];
    Opaque(Box::new((vec![index as u8; 10_000], scratch.len())))
}

const OPAQUE_BYTES: u64 = 10_000 + size_of::<(Vec<u8>, usize)>() as u64 + size_of::<Opaque>() as u64;

#[test]
fn results_of_unknown_types_are_counted_to_the_byte() {
    let _alone = alone();
    let report = opaque_batched(0..5_000).threads(2).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.measured_by(), report.bytes_per_item()), (MeasuredBy::Tracking, ByteSize::new(OPAQUE_BYTES)));
    assert_eq!(report.working_bytes(), ByteSize::new(50_000));
    let mut run = opaque_batched(0..5_000);
    let plan = run.plan().unwrap();
    assert_eq!((plan.bytes_per_item(), plan.working_bytes()), (ByteSize::new(OPAQUE_BYTES), ByteSize::new(50_000)));
}

#[test]
fn so_are_those_of_closures() {
    let _alone = alone();
    let report =
        process_in_batches(|i: usize| vec![i as u8; 5_000], 0..10_000).threads(2).for_each_batch(|_| ()).unwrap();
    assert_eq!((report.measured_by(), report.bytes_per_item()), (MeasuredBy::Tracking, ByteSize::new(5_024)));
}

#[test]
fn items_that_the_call_frees_or_keeps_do_not_count_for_the_result() {
    let _alone = alone();
    // Freed: the result is what is left.
    let items: Vec<Vec<u8>> = (0..2_000).map(|i| vec![i as u8; 7_000]).collect();
    let report = process_in_batches(|item: Vec<u8>| vec![item[0]; 3_000], items.iter().map(|item| item.to_vec()))
        .threads(2)
        .for_each_batch(|_| ())
        .unwrap();
    assert_eq!(report.bytes_per_item(), ByteSize::new(3_024));
    // Kept: the result is the item.
    let report = process_in_batches(|item: Vec<u8>| item, items.iter().map(|item| item.to_vec()))
        .threads(2)
        .for_each_batch(|_| ())
        .unwrap();
    assert_eq!(report.bytes_per_item(), ByteSize::new(7_024));
}

#[batched]
fn shorten(item: Vec<u8>, to: usize) -> Vec<u8> {
    item[..to].to_vec()
}

#[test]
fn items_that_were_there_before_the_run_are_known_by_their_type() {
    let _alone = alone();
    let items: Vec<Vec<u8>> = (0..2_000).map(|i| vec![i as u8; 7_000]).collect();
    let report = shorten_batched(items, 3_000).threads(2).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.bytes_per_item(), ByteSize::new(3_024));
}

/// Makes half of each result on another worker, if one is idle.
#[batched(max_memory = "8MiB")]
fn forked(index: usize) -> (Opaque, Opaque) {
    let make = |bytes| Opaque(Box::new(vec![index as u8; bytes]));
    rayon::join(|| make(20_000), || make(20_000))
}

#[test]
fn the_bytes_of_calls_that_fork_add_up() {
    let _alone = alone();
    let bytes = 2 * (20_000 + 24) + 32;
    let items = 3_000u64;
    let mut report = None;
    let peak = peak_of(|| report = Some(forked_batched(0..items as usize).threads(4).for_each_batch(|_| ()).unwrap()));
    let report = report.unwrap();
    let (counted, expected) = (report.result_bytes().as_u64(), items * bytes);
    // The difference is parts that idle workers still made, or had not yet freed, at the end. A
    // worker that waits for a part takes up another call, and so may have several.
    assert!(counted.abs_diff(expected) <= 4 * 4 * 20_024, "{counted} of {expected}");
    assert!(
        peak <= (8 << 20) + 2 * 4 * 40_080 + (512 << 10),
        "{peak} where {} were held",
        report.peak_bytes().as_u64()
    );
}

#[batched(max_memory = "1MiB")]
fn inner(index: usize) -> Opaque {
    Opaque(Box::new(vec![index as u8; 4_000]))
}

#[batched(max_memory = "4MiB")]
fn outer(index: usize) -> Vec<Opaque> {
    inner_batched(0..10 + index % 2).collect().unwrap()
}

#[test]
fn a_call_that_runs_a_wrapper_keeps_what_that_one_made() {
    let _alone = alone();
    let items = 1_000;
    let report = outer_batched(0..items).threads(2).for_each_batch(|_| ()).unwrap();
    let each = (4_000 + 24 + size_of::<Opaque>()) as f64;
    let expected = (10.5 * each + 24.0) * items as f64;
    let counted = report.result_bytes().as_u64() as f64;
    assert!((0.99..1.03).contains(&(counted / expected)), "{counted} of {expected}");
}

#[test]
fn working_memory_takes_credit() {
    let _alone = alone();
    // Twenty calls at a time would need 20 MiB beside the results.
    let call = |i: usize| {
        let scratch = vec![i as u8; 1 << 20];
        std::thread::sleep(std::time::Duration::from_micros(200));
        scratch[..1_000].to_vec()
    };
    let peak = peak_of(|| {
        let report = process_in_batches(call, 0..500).threads(20).max_memory("3MiB").for_each_batch(|_| ()).unwrap();
        assert_eq!(report.working_bytes(), ByteSize::mib(1));
        assert!(report.peak_bytes() <= ByteSize::mib(4), "{report}");
    });
    assert!(peak <= (4 << 20) + (512 << 10), "{peak}");
}

#[test]
fn the_results_of_a_pipeline_are_counted_to_the_byte() {
    let _alone = alone();
    let first = |i: usize| vec![i as u8; 1_000];
    let second = |bytes: Vec<u8>| bytes[..100].to_vec();
    let run = process_in_batches(first, 0..300).then(|all| process_in_batches(second, all));
    let report = run.then(|all| process_in_batches(|bytes: Vec<u8>| bytes, all)).for_each_batch(|_| ()).unwrap();
    // A `Vec` of 24 bytes with 100. The first stage's value was there until the second stage ended.
    assert_eq!((report.result_bytes(), report.working_bytes()), (ByteSize::new(300 * 124), ByteSize::new(1_000)));
}

/// Expects all odd numbers in order.
struct Odd(u64);

impl Sink<u64> for Odd {
    type Error = io::Error;

    fn batch(&mut self, batch: Batch<u64>) -> io::Result<()> {
        for (index, number) in batch.indices().zip(batch) {
            assert_eq!((index as u64, number), (self.0, self.0));
            self.0 += 2;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn spilled_results_with_gaps_go_to_a_sink_in_little_memory() {
    const ITEMS: u64 = 400_000;

    let _alone = alone();
    let odd = |item: u64| if item.is_multiple_of(2) { Err(item) } else { Ok(item) };
    let spilled = process_in_batches(odd, 0..ITEMS).max_memory("1MiB").on_error(Skip).spill().unwrap();
    assert!(spilled.on_disk() > 0 && spilled.len() as u64 == ITEMS / 2);
    let mut sink = Odd(1);
    let peak = peak_of(|| spilled.write_to(&mut sink).unwrap());
    assert_eq!(sink.0, ITEMS + 1);
    // The places of all gaps at once would take 3 MiB.
    assert!(peak < 1 << 20, "{peak} bytes");
}
