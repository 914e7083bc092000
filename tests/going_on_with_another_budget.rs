//! Options that change between two terminals: a budget that stays is kept, and another one holds
//! from the next terminal on.

use amorsize::{Batched, ByteSize, MemorySource, Oversize, batched, with_memory_source};

/// A system that always tells the same.
struct Constant;

impl MemorySource for Constant {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(1))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::mib(100))
    }
}

const PAGE: usize = 1 << 20;

#[batched]
fn page(index: usize) -> Vec<u8> {
    // Long enough for threads to pay.
    std::thread::sleep(std::time::Duration::from_micros(200));
    vec![index as u8; PAGE]
}

/// Takes two batches, and leaves the rest.
fn begin<R, C>(run: &mut Batched<impl IntoIterator<Item = usize>, R, C>) -> usize
where
    R: Send,
{
    let (mut batches, mut items) = (0, 0);
    let outcome = run.try_for_each_batch(|batch| {
        (batches, items) = (batches + 1, items + batch.len());
        if batches < 2 { Ok(()) } else { Err(Box::<dyn std::error::Error>::from("enough")) }
    });
    assert!(outcome.is_err());
    items
}

/// Checks that at most two batches are smaller than stated. A machine that stops for a moment looks
/// like an input that waits, and then a batch is handed over before it is full.
fn assert_mostly(items: usize, sizes: &[usize]) {
    let smaller = sizes.iter().filter(|&&size| size != items).count();
    assert!(smaller <= 2 && sizes.iter().all(|&size| size <= items), "{items}: {sizes:?}");
}

#[test]
fn a_part_of_the_memory_stays_the_budget_when_other_options_change() {
    with_memory_source(Constant, || {
        for threads in [1, 2, 4] {
            let mut run = page_batched(0..200).threads(threads).batch_size(4);
            let mut items = begin(&mut run);
            // With less than four results of room, batches would be smaller.
            let mut run = run.batch_size(16).oversize(Oversize::Error);
            let mut sizes = Vec::new();
            let report = run.for_each_batch(|batch| sizes.push(batch.len())).unwrap();
            items += report.items();
            assert_eq!((items, report.budget()), (200, ByteSize::mib(512)), "{threads}");
            assert_mostly(16, &sizes);
        }
    });
}

#[test]
fn a_larger_budget_holds_from_the_next_terminal_on() {
    with_memory_source(Constant, || {
        for (threads, before) in [(1, "4MiB"), (2, "4MiB"), (2, "40MiB"), (4, "4MiB")] {
            let mut run = page_batched(0..300).threads(threads).max_memory(before).batch_size(2);
            let mut items = begin(&mut run);
            let mut run = run.max_memory("256MiB").batch_size(64);
            let mut sizes = Vec::new();
            items += run.for_each_batch(|batch| sizes.push(batch.len())).unwrap().items();
            assert_eq!(items, 300);
            assert_mostly(64, &sizes);
        }
    });
}

#[test]
fn a_smaller_budget_holds_from_the_next_terminal_on() {
    with_memory_source(Constant, || {
        for threads in [1, 2, 4] {
            let mut run = page_batched(0..2_000).threads(threads).max_memory("256MiB").batch_size(2);
            let mut items = begin(&mut run);
            let mut run = run.max_memory("8MiB").batch_size(64);
            let mut largest = 0;
            let report = run.for_each_batch(|batch| {
                // Up to 256 results may be there already.
                if batch.first_index() > 400 {
                    largest = largest.max(batch.len());
                }
            });
            let report = report.unwrap();
            items += report.items();
            assert_eq!((items, report.budget()), (2_000, ByteSize::mib(8)));
            assert!(largest <= 8 + 2 * threads, "{threads}: {largest}");
        }
    });
}
