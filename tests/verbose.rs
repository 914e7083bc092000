//! The output of a verbose run, seen by a second process that runs the same test with `RUN` set.

use std::process::Command;

use amorsize::{ByteSize, batched, process_in_batches};

const RUN: &str = "AMORSIZE_TEST_VERBOSE";

/// The output of `body` on stderr, in a process of its own; `None` in that process.
fn stderr_of(test: &str, body: impl FnOnce()) -> Option<String> {
    if std::env::var_os(RUN).is_some() {
        body();
        return None;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", test, "--nocapture"]).env(RUN, "1").output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn batches_are_named_with_their_items() {
    let printed = stderr_of("batches_are_named_with_their_items", || {
        let mut run = process_in_batches(|x: u32| x, 0..100).threads(1).batch_size(40).verbose(true);
        run.for_each_batch(|_| ()).unwrap();
    });
    let Some(printed) = printed else { return };
    let lines: Vec<_> = printed.lines().filter(|line| !line.is_empty() && !line.contains("Optimization")).collect();
    assert_eq!(
        lines,
        [
            "Processing 100 items in 3 batches",
            "Batch size: 40 items",
            "Batch 1/3: Processing 40 items (indices 0-39)...",
            "  Completed batch 1/3 (40/100 items processed)",
            "Batch 2/3: Processing 40 items (indices 40-79)...",
            "  Completed batch 2/3 (80/100 items processed)",
            "Batch 3/3: Processing 20 items (indices 80-99)...",
            "  Completed batch 3/3 (100/100 items processed)",
            "All batches complete. Processed 100 items total.",
        ]
    );
    assert!(printed.contains("  Optimization: threads=1, chunk_size="), "{printed}");
}

#[test]
fn one_item_is_no_items() {
    let printed = stderr_of("one_item_is_no_items", || {
        process_in_batches(|x: u32| x, [7]).threads(1).batch_size(1).verbose(true).for_each_batch(|_| ()).unwrap();
    });
    let Some(printed) = printed else { return };
    let lines: Vec<_> = printed.lines().filter(|line| !line.is_empty() && !line.contains("Optimization")).collect();
    assert_eq!(
        lines,
        [
            "Processing 1 item in 1 batch",
            "Batch size: 1 item",
            "Batch 1/1: Processing 1 item (index 0)...",
            "  Completed batch 1/1 (1/1 item processed)",
            "All batches complete. Processed 1 item total.",
        ]
    );
}

#[test]
fn a_size_that_was_found_is_told_with_what_it_is_based_on() {
    let printed = stderr_of("a_size_that_was_found_is_told_with_what_it_is_based_on", || {
        let mut run = process_in_batches(|x: u32| x, 0..9).max_memory("1MiB").verbose(true);
        assert_eq!(run.collect::<Vec<_>>().unwrap().len(), 9);
    });
    let Some(printed) = printed else { return };
    assert!(printed.starts_with("Auto-calculated batch_size: "), "{printed}");
    assert!(printed.contains("\n  (based on a budget of 1.00 MiB)\n"), "{printed}");
}

#[test]
fn a_spill_that_moves_to_the_disk_is_one_run() {
    let printed = stderr_of("a_spill_that_moves_to_the_disk_is_one_run", || {
        let mut run = process_in_batches(|x: u64| [x; 32], 0..20_000).max_memory("1MiB").verbose(true);
        assert!(run.spill().unwrap().on_disk() > ByteSize::ZERO);
    });
    let Some(printed) = printed else { return };
    assert_eq!(printed.matches("\nProcessing 20000 items in ").count(), 1, "{printed}");
    assert!(printed.contains("\nAll batches complete. Processed 20000 items total.\n"), "{printed}");
}

#[test]
fn an_empty_input_and_a_quiet_run_say_little() {
    let printed = stderr_of("an_empty_input_and_a_quiet_run_say_little", || {
        process_in_batches(|x: u32| x, []).verbose(true).for_each_batch(|_| ()).unwrap();
        process_in_batches(|x: u32| x, 0..9).for_each_batch(|_| ()).unwrap();
    });
    assert!(printed.is_none_or(|printed| printed == "No items to process\n"));
}

#[batched(verbose, batch_size = 9)]
fn loud(x: u32) -> u32 {
    x
}

#[test]
fn a_pipeline_is_verbose_if_a_stage_is() {
    let printed = stderr_of("a_pipeline_is_verbose_if_a_stage_is", || {
        loud_batched(0..9).verbose(false).for_each_batch(|_| ()).unwrap();
        loud_batched(0..9).then(|xs| process_in_batches(|x| x, xs)).for_each_batch(|_| ()).unwrap();
        process_in_batches(|x| x, 0..9).then(loud_batched).for_each_batch(|_| ()).unwrap();
    });
    assert!(printed.is_none_or(|printed| printed.matches("Processing 9 items in 1 batch\n").count() == 2));
}

#[test]
#[cfg(unix)]
fn a_reader_that_went_away_does_not_end_the_run() {
    const TEST: &str = "a_reader_that_went_away_does_not_end_the_run";
    if std::env::var_os(RUN).is_some() {
        let mut run = process_in_batches(|x: u32| x, 0..100).threads(1).batch_size(40).verbose(true);
        let mut items = 0;
        run.for_each_batch(|batch| items += batch.len()).unwrap();
        assert_eq!(items, 100);
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut again = Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", TEST, "--nocapture"]).env(RUN, "1").stderr(writer).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
