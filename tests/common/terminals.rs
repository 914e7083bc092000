//! The same run by several terminals.

use amorsize::{Report, process_in_batches};

/// Runs `call`, which adds one, over `0..items`, each item once by each of five terminals, on
/// `threads` threads if that is stated. Returns the report of the terminal that has one.
pub(crate) fn add_one_by_each(call: fn(usize) -> usize, items: usize, threads: Option<usize>) -> Report {
    let expected: Vec<_> = (1..=items).collect();
    let run = || {
        let run = process_in_batches(call, 0..items);
        if let Some(threads) = threads { run.threads(threads) } else { run }
    };
    assert_eq!(run().collect::<Vec<_>>().unwrap(), expected);
    assert_eq!(run().into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(run().unordered().count(), items);
    assert_eq!(run().iterate(Iterator::collect::<Vec<_>>).unwrap(), expected);
    let report = run().for_each_batch(drop).unwrap();
    assert_eq!(report.items(), items);
    report
}
