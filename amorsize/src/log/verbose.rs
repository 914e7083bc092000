//! The output of a verbose run on stderr, in Amorsize's words.

use std::io::{self, Write};

use crate::plan::{Plan, Warning};
use crate::report::Report;
use crate::units::ByteSize;
use crate::units::counted::Counted;

/// Prints a line. A reader that went away, as `head` does, must not end the run.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = writeln!(io::stderr(), $($text)*);
    }};
}

/// Prints the output, if it is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verbose {
    on: bool,
    total: Option<usize>,
    batches: Option<usize>,
}

impl Verbose {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, total: None, batches: None }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// Prints the plan's decisions, before the run.
    pub(crate) fn plan(
        &mut self,
        plan: &Plan,
        total: Option<usize>,
        asked: Option<usize>,
        share: &str,
        available: Option<ByteSize>,
    ) {
        (self.total, self.batches) = (total, total.map(|total| total.div_ceil(plan.batch_size())));
        if total == Some(0) {
            say!("No items to process");
            return;
        }
        // The plan's other warnings are for callers that ask for a plan.
        for warning in plan.warnings().iter().filter(|warning| warning.code() == Warning::FEATURE_MISSING) {
            say!("Warning: {warning}");
        }
        if asked.is_none() {
            say!("Auto-calculated batch_size: {}", Counted::items(plan.batch_size()));
            match available {
                Some(available) => say!("  (based on {share}, {available})"),
                None => say!("  (based on a budget of {share})"),
            }
        }
        match (total, self.batches) {
            (Some(total), Some(batches)) => {
                say!("\nProcessing {} in {}", Counted::items(total), Counted::batches(batches));
            }
            _ => say!("\nProcessing items until the input ends"),
        }
        say!("Batch size: {}", Counted::items(plan.batch_size()));
        say!(
            "  Optimization: threads={}, chunk_size={}, speedup={:.2}x\n",
            plan.threads(),
            plan.chunk_size(),
            plan.speedup()
        );
    }

    pub(crate) fn batch(self, number: usize, first_index: usize, items: usize) {
        if self.on {
            let indices = match first_index + items - 1 {
                last if last == first_index => format!("index {first_index}"),
                last => format!("indices {first_index}-{last}"),
            };
            say!("Batch {}: Processing {} ({indices})...", self.of(number), Counted::items(items));
        }
    }

    pub(crate) fn batch_done(self, number: usize, done: usize) {
        if self.on {
            let done = match self.total {
                Some(total) => format!("{done}/{}", Counted::items(total)),
                None => Counted::items(done).to_string(),
            };
            say!("  Completed batch {} ({done} processed)\n", self.of(number));
        }
    }

    pub(crate) fn end(self, items: usize) {
        if self.on && self.total != Some(0) {
            say!("All batches complete. Processed {} total.", Counted::items(items));
        }
    }

    /// Prints the warnings about the run.
    pub(crate) fn warn(self, report: &Report) {
        if self.on {
            // A missing feature was named before the run.
            let is_new =
                |warning: &Warning| [Warning::RESIDENT_OVER_BUDGET, Warning::THREADS_REFUSED].contains(&warning.code());
            report.warnings().iter().filter(|&warning| is_new(warning)).for_each(|warning| self.warning(warning));
        }
    }

    /// Prints a warning about the run.
    pub(crate) fn warning(self, warning: &Warning) {
        if self.on {
            say!("Warning: {warning}");
        }
    }

    /// Prints the number of items with errors that did not end the run.
    pub(crate) fn failed(self, items: usize) {
        if self.on && items > 0 {
            say!("{items} of them failed.");
        }
    }

    /// A batch's number, and the expected number of batches if memory closes none early.
    fn of(self, number: usize) -> String {
        match self.batches {
            Some(batches) => format!("{number}/{}", batches.max(number)),
            None => number.to_string(),
        }
    }
}
