//! Resident memory that went over a run's budget: the excess, its cause, and the way out.

use std::fmt::Write;

use super::{MOST, Report};
use crate::plan::Warning;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

/// The lines that make every heap byte count, as in the guide.
const CURE: [&str; 3] = [
    "use amorsize::Tracking;",
    "#[global_allocator]",
    "static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);",
];

/// The most likely cause, by the run's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cause {
    /// The run knew that it held more than its budget.
    Held,
    /// The known working memory of calls in flight.
    Working,
    /// Results or calls need more than resident memory told.
    Results,
    /// The memory was still there at the end.
    Kept,
    /// The memory was gone at the end.
    Calls,
    /// Every byte of the calls is known, so something else took the memory.
    Others,
}

impl Report {
    /// The bytes by which resident memory went over the budget.
    #[inline]
    pub(crate) fn over_budget(&self) -> Option<ByteSize> {
        self.peak_resident().map(|peak| peak - self.budget()).filter(|&over| over > ByteSize::ZERO)
    }

    /// The most likely cause for which resident memory went over the budget; `None` if it did not.
    /// It explains most of the excess, or of the growth beyond the bytes that the run knew of.
    fn cause(&self) -> Option<Cause> {
        let (peak, over) = self.peak_resident().zip(self.over_budget())?;
        // Here nothing may be unknown, and nothing explains that.
        if (self.peak_bytes() - self.budget()).as_f64() >= MOST * over.as_f64() {
            return Some(Cause::Held);
        }
        let unknown = peak - self.peak_bytes();
        let explains = |bytes: ByteSize| bytes.as_f64() >= MOST * unknown.as_f64();
        let is_kept = explains(self.allocator_bytes().unwrap_or_default());
        Some(match self.measured_by() {
            MeasuredBy::Tracking if is_kept => Cause::Kept,
            MeasuredBy::Tracking => Cause::Others,
            _ if explains(self.working_bytes() * self.threads() as u64) => Cause::Working,
            _ if is_kept && explains(self.result_bytes()) => Cause::Kept,
            MeasuredBy::Resident => Cause::Results,
            _ if is_kept => Cause::Kept,
            _ => Cause::Calls,
        })
    }

    /// True if more would be known of the cause with `Tracking`.
    fn is_unsure(&self, cause: Cause) -> bool {
        self.measured_by() != MeasuredBy::Tracking && cause != Cause::Held
    }

    /// The cause, in a sentence.
    fn why(&self, cause: Cause) -> String {
        let (held, threads) = (self.peak_bytes(), self.threads());
        let on_threads = if threads == 1 { "the one thread".to_owned() } else { format!("each of {threads} threads") };
        match cause {
            Cause::Held => format!(
                "the run itself held {held} at most, since a call needed more than the budget, or more than was expected \
                 of it; a larger `max_memory` has room for that"
            ),
            Cause::Working => format!(
                "most likely that is what calls need while they run, {} beside the result for each that is in flight",
                self.working_bytes()
            ),
            Cause::Results => format!(
                "most likely results own more, or calls need more while they run, than the {held} that resident memory told of them"
            ),
            Cause::Kept => format!(
                "{} were still there at the end: what the sink keeps of the {} that it was given, what other threads of the \
                 program take, or pages that the allocator does not give back",
                self.allocator_bytes().unwrap_or_default(),
                // An estimate for each result gives no sum.
                if self.measured_by() == MeasuredBy::Resident {
                    "results".to_owned()
                } else {
                    self.result_bytes().to_string()
                }
            ),
            Cause::Calls => format!(
                "most of it was gone at the end, so most likely that is what calls need while they run, which was not \
                 measured: about {} for {on_threads}",
                ByteSize::new((self.peak_resident().unwrap_or_default() - held).as_u64() / threads.max(1) as u64)
            ),
            Cause::Others => format!(
                "calls and results took {held} at most, counted to the byte, so that is what other threads of the program take, \
                 or pages that the allocator does not give back"
            ),
        }
    }

    /// The excess and its cause, for a list of warnings.
    fn overrun(&self) -> Option<String> {
        let ((peak, over), cause) = self.peak_resident().zip(self.over_budget()).zip(self.cause())?;
        Some(format!(
            "resident memory grew by {peak}, {over} ({:.0} %) more than the budget of {}: {}{}",
            100.0 * over.as_f64() / self.budget().as_f64().max(1.0),
            self.budget(),
            self.why(cause),
            if self.is_unsure(cause) {
                "; with `Tracking` as its allocator the program has every heap byte of the calls counted"
            } else {
                ""
            }
        ))
    }

    /// The problems of the run: resident memory that grew by more than the budget, threads that the
    /// system refused, types that a feature would count, results that nothing measures, and files
    /// that could not be removed. Each call finds them anew.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let report = process_in_batches(|x: u64| x.pow(3), 0..1000).for_each_batch(|_| ())?;
    /// for warning in report.warnings() {
    ///     eprintln!("{warning}");
    /// }
    /// # assert!(report.warnings().is_empty());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.measured_by() == MeasuredBy::Unmeasured {
            warnings.push(Warning::unmeasured());
        }
        warnings.extend(self.overrun().map(|told| Warning::new(Warning::RESIDENT_OVER_BUDGET, told)));
        warnings.extend(self.totals.refused.map(Warning::of_refused));
        warnings.extend(Warning::of_features(self.totals.unasked));
        warnings.extend(self.not_removed.clone());
        warnings
    }
}

/// The warnings, each with its way out, for [`Report::explain`].
#[inline]
pub(crate) fn explained(report: &Report) -> String {
    let mut text = String::new();
    for warning in report.warnings() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "warning: {warning}");
        let is_unsure = || report.cause().is_some_and(|cause| report.is_unsure(cause));
        if warning.code() == Warning::RESIDENT_OVER_BUDGET && is_unsure() {
            let _ = writeln!(text, "these three lines do that:");
            for line in CURE {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::learned::Stretch;
    use crate::report::timeline::Moment;
    use crate::report::totals::Totals;

    /// Calls that touch 72 MiB and return 2 MiB, on 16 threads.
    fn calls() -> Totals {
        let mut totals = Totals {
            peak: ByteSize::mib(80),
            budget: ByteSize::mib(256).into(),
            threads: 16,
            peak_resident: Some(ByteSize::mib(988)),
            last: last(20),
            ..Totals::example()
        };
        totals.learned.bytes = 800 << 20;
        totals
    }

    /// A last moment, with this growth of resident memory in MiB.
    fn last(mebibytes: u64) -> Option<Moment> {
        Some(Moment { resident: Some(mebibytes << 20), ..Moment::default() })
    }

    /// The cause that a report names, and the text of its warning.
    fn told(totals: Totals) -> (Cause, String) {
        let report = Report::new(totals, 400, 1);
        let warnings = report.warnings();
        assert_eq!(warnings.iter().map(Warning::code).collect::<Vec<_>>(), [Warning::RESIDENT_OVER_BUDGET]);
        (report.cause().unwrap(), warnings[0].message().to_owned())
    }

    const TOLD: &str = "resident memory grew by 988 MiB, 732 MiB (286 %) more than the budget of 256 MiB: ";
    const CURED: &str = "; with `Tracking` as its allocator the program has every heap byte of the calls counted";
    const KEPT: &str = "900 MiB were still there at the end: what the sink keeps of the 800 MiB that it was given, what other \
                        threads of the program take, or pages that the allocator does not give back";
    const RESULTS: &str = "most likely results own more, or calls need more while they run, than the 80.0 MiB that resident \
                           memory told of them";

    #[test]
    fn the_cause_follows_from_the_figures() {
        let mut working = calls();
        working.learned.add(Stretch { items: 1, working: 72 << 20, ..Stretch::default() });
        let kept = Totals { last: last(900), ..calls() };
        let results = Totals { measured_by: MeasuredBy::Resident, ..calls() };
        let kept_results = Totals { last: last(900), ..results.clone() };
        let mut few_results = kept_results.clone();
        few_results.learned.bytes = 9 << 20;
        for (totals, cause, why) in [
            (
                calls(),
                Cause::Calls,
                "most of it was gone at the end, so most likely that is what calls need while they run, which was not measured: \
                 about 56.8 MiB for each of 16 threads",
            ),
            (
                working,
                Cause::Working,
                "most likely that is what calls need while they run, 72.0 MiB beside the result for each that is in flight",
            ),
            (kept.clone(), Cause::Kept, KEPT),
            (results, Cause::Results, RESULTS),
            (kept_results, Cause::Kept, &KEPT.replace("800 MiB", "results")),
            (few_results, Cause::Results, RESULTS),
        ] {
            assert_eq!(told(totals), (cause, format!("{TOLD}{why}{CURED}")));
        }
        let tracked = |totals| told(Totals { measured_by: MeasuredBy::Tracking, ..totals });
        let others = "calls and results took 80.0 MiB at most, counted to the byte, so that is what other threads of the \
                      program take, or pages that the allocator does not give back";
        assert_eq!(tracked(calls()), (Cause::Others, format!("{TOLD}{others}")));
        assert_eq!(tracked(kept), (Cause::Kept, format!("{TOLD}{KEPT}")));
        let (_, alone) = told(Totals { threads: 1, ..calls() });
        assert!(alone.contains("about 908 MiB for the one thread;"), "{alone}");
    }

    /// An item of 400 MiB that ran alone.
    #[test]
    fn what_the_run_held_itself_is_no_other_memory() {
        let held = |peak, kept| {
            let peak_resident = Some(ByteSize::mib(peak));
            Totals { peak: ByteSize::mib(401), peak_resident, last: last(kept), ..calls() }
        };
        for measured_by in [MeasuredBy::DeepSize, MeasuredBy::Tracking] {
            for (peak, kept) in [(400, 0), (400, 400), (500, 0), (546, 546)] {
                let (cause, told) = told(Totals { measured_by, ..held(peak, kept) });
                let why = ": the run itself held 401 MiB at most, since a call needed more than the budget, or more than \
                           was expected of it; a larger `max_memory` has room for that";
                assert!(cause == Cause::Held && told.ends_with(why), "{told}");
            }
        }
        // The run knew of less than half of the excess.
        assert_eq!(told(held(547, 20)).0, Cause::Calls);
    }

    /// The guide's example is run as a test.
    #[test]
    fn the_cure_is_that_of_the_guide() {
        let guide: Vec<_> = include_str!("../guide/allocators.md").lines().filter(|line| !line.is_empty()).collect();
        assert!(guide.windows(3).any(|lines| *lines == CURE));
    }
}
