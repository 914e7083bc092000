//! The budget holds. An allocator of this program counts live bytes, which never exceed the budget
//! by more than a call in flight on each thread. Here results are measured by their deep size.

#[path = "budget/cases.rs"]
mod cases;
#[path = "budget/counting.rs"]
mod counting;

use std::sync::Arc;

use amorsize::{MeasuredBy, batched};

use counting::{alone, peak_of};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const MEASURED_BY: MeasuredBy = MeasuredBy::DeepSize;

/// A run notes what its results share with others.
#[test]
fn notes_of_what_results_share_do_not_add_up() {
    #[batched(max_memory = "1MiB", threads = 2)]
    fn page(index: usize, pages: &[Arc<[u8]>]) -> Arc<[u8]> {
        Arc::clone(&pages[index])
    }

    let _alone = alone();
    let pages: Vec<Arc<[u8]>> = (0..30_000).map(|_| Arc::from([0; 4096])).collect();
    // The pool's own memory does not count.
    page_batched(0..1000, &pages).for_each_batch(|_| ()).unwrap();
    let peak = peak_of(|| drop(page_batched(0..pages.len(), &pages).for_each_batch(|_| ()).unwrap()));
    assert!(peak < 3 << 19, "{peak}");
}
