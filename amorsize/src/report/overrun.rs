//! Resident memory that went over a run's budget: the excess, its cause, and the way out.

use std::fmt::Write;

use super::Report;
use crate::plan::Warning;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

/// A cause is named if it explains at least this part of the excess, or of the growth beyond the
/// bytes that the run knew of: half, so that all others together explain no more.
const MOST: f64 = 0.5;

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

/// Resident memory that grew by more than the budget, with what the run knows of it.
#[derive(Clone, Copy, Debug)]
struct Overrun {
    peak: ByteSize,
    budget: ByteSize,
    threads: usize,
    measured_by: MeasuredBy,
    /// The most bytes that the run knew to hold.
    held: ByteSize,
    /// The most working memory of a call.
    working: ByteSize,
    /// Growth of resident memory that remained at the end.
    kept: ByteSize,
    /// Bytes of all results.
    result_bytes: ByteSize,
}

impl Overrun {
    /// `None` if resident memory stayed within the budget, or is unknown.
    fn of(report: &Report) -> Option<Self> {
        let overrun = Self {
            peak: report.peak_resident()?,
            budget: report.budget(),
            threads: report.threads(),
            measured_by: report.measured_by(),
            held: report.peak_bytes(),
            working: report.working_bytes(),
            kept: report.allocator_bytes().unwrap_or(ByteSize::ZERO),
            result_bytes: report.result_bytes(),
        };
        (overrun.peak > overrun.budget).then_some(overrun)
    }

    fn cause(&self) -> Cause {
        // Here nothing may be unknown, and nothing explains that.
        if (self.held - self.budget).as_f64() >= MOST * (self.peak - self.budget).as_f64() {
            return Cause::Held;
        }
        let unknown = self.peak - self.held;
        let explains = |bytes: ByteSize| bytes.as_f64() >= MOST * unknown.as_f64();
        let is_kept = explains(self.kept);
        match self.measured_by {
            MeasuredBy::Tracking if is_kept => Cause::Kept,
            MeasuredBy::Tracking => Cause::Others,
            _ if explains(self.working * self.threads as u64) => Cause::Working,
            _ if is_kept && explains(self.result_bytes) => Cause::Kept,
            MeasuredBy::Resident => Cause::Results,
            _ if is_kept => Cause::Kept,
            _ => Cause::Calls,
        }
    }

    /// True if more would be known with `Tracking`.
    fn is_unsure(&self) -> bool {
        self.measured_by != MeasuredBy::Tracking && self.cause() != Cause::Held
    }

    /// The cause, in a sentence.
    fn why(&self) -> String {
        let Self { peak, threads, held, working, kept, result_bytes, .. } = *self;
        let on_threads = if threads == 1 { "the one thread".to_owned() } else { format!("each of {threads} threads") };
        match self.cause() {
            Cause::Held => format!(
                "the run itself held {held} at most, since a call needed more than the budget, or more than was expected \
                 of it; a larger `max_memory` has room for that"
            ),
            Cause::Working => format!(
                "most likely that is what calls need while they run, {working} beside the result for each that is in flight"
            ),
            Cause::Results => format!(
                "most likely results own more, or calls need more while they run, than the {held} that resident memory told of them"
            ),
            Cause::Kept => format!(
                "{kept} were still there at the end: what the sink keeps of the {} that it was given, what other threads of the \
                 program take, or pages that the allocator does not give back",
                // An estimate for each result gives no sum.
                if self.measured_by == MeasuredBy::Resident { "results".to_owned() } else { result_bytes.to_string() }
            ),
            Cause::Calls => format!(
                "most of it was gone at the end, so most likely that is what calls need while they run, which was not \
                 measured: about {} for {on_threads}",
                ByteSize::new((peak - held).as_u64() / threads.max(1) as u64)
            ),
            Cause::Others => format!(
                "calls and results took {held} at most, counted to the byte, so that is what other threads of the program take, \
                 or pages that the allocator does not give back"
            ),
        }
    }

    /// The excess and its cause, for a list of warnings.
    fn told(&self) -> String {
        let Self { peak, budget, .. } = *self;
        let over = peak - budget;
        format!(
            "resident memory grew by {peak}, {over} ({:.0} %) more than the budget of {budget}: {}{}",
            100.0 * over.as_f64() / budget.as_f64().max(1.0),
            self.why(),
            if self.is_unsure() {
                "; with `Tracking` as its allocator the program has every heap byte of the calls counted"
            } else {
                ""
            }
        )
    }
}

impl Report {
    /// The problems of the run: resident memory that grew by more than the budget, threads that the
    /// system refused, types that a feature would count, and files that could not be removed. Each
    /// call finds them anew.
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
        if let Some(overrun) = Overrun::of(self) {
            warnings.push(Warning::new(Warning::RESIDENT_OVER_BUDGET, overrun.told()));
        }
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
        let is_unsure = || Overrun::of(report).is_some_and(|overrun| overrun.is_unsure());
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

    /// Calls that touch 72 MiB and return 2 MiB, on 16 threads.
    const CALLS: Overrun = Overrun {
        peak: ByteSize::mib(988),
        budget: ByteSize::mib(256),
        threads: 16,
        measured_by: MeasuredBy::DeepSize,
        held: ByteSize::mib(80),
        working: ByteSize::ZERO,
        kept: ByteSize::mib(20),
        result_bytes: ByteSize::mib(800),
    };

    const TOLD: &str = "resident memory grew by 988 MiB, 732 MiB (286 %) more than the budget of 256 MiB: ";
    const CURED: &str = "; with `Tracking` as its allocator the program has every heap byte of the calls counted";

    #[test]
    fn the_cause_follows_from_the_figures() {
        let working = Overrun { working: ByteSize::mib(72), ..CALLS };
        let kept = Overrun { kept: ByteSize::mib(900), ..CALLS };
        let results = Overrun { measured_by: MeasuredBy::Resident, ..CALLS };
        let kept_results = Overrun { kept: ByteSize::mib(900), ..results };
        let tracked = Overrun { measured_by: MeasuredBy::Tracking, ..CALLS };
        for (overrun, cause, why) in [
            (
                CALLS,
                Cause::Calls,
                "most of it was gone at the end, so most likely that is what calls need while they run, which was not measured: \
                 about 56.8 MiB for each of 16 threads",
            ),
            (
                working,
                Cause::Working,
                "most likely that is what calls need while they run, 72.0 MiB beside the result for each that is in flight",
            ),
            (
                kept,
                Cause::Kept,
                "900 MiB were still there at the end: what the sink keeps of the 800 MiB that it was given, what other threads of \
                 the program take, or pages that the allocator does not give back",
            ),
            (
                results,
                Cause::Results,
                "most likely results own more, or calls need more while they run, than the 80.0 MiB that resident memory told of \
                 them",
            ),
            (kept_results, Cause::Kept, &kept.why().replace("800 MiB", "results")),
            (Overrun { result_bytes: ByteSize::mib(9), ..kept_results }, Cause::Results, &results.why()),
        ] {
            assert_eq!((overrun.cause(), overrun.told()), (cause, format!("{TOLD}{why}{CURED}")));
        }
        assert_eq!(tracked.cause(), Cause::Others);
        assert_eq!(
            tracked.told(),
            format!(
                "{TOLD}calls and results took 80.0 MiB at most, counted to the byte, so that is what other threads of the \
                 program take, or pages that the allocator does not give back"
            )
        );
        assert_eq!(Overrun { kept: ByteSize::mib(900), ..tracked }.told(), format!("{TOLD}{}", kept.why()));
        let alone = Overrun { threads: 1, ..CALLS };
        assert!(alone.why().ends_with("about 908 MiB for the one thread"), "{}", alone.why());
    }

    /// An item of 400 MiB that ran alone.
    #[test]
    fn what_the_run_held_itself_is_no_other_memory() {
        for measured_by in [MeasuredBy::DeepSize, MeasuredBy::Tracking] {
            for (peak, kept) in [(400, 0), (400, 400), (500, 0), (546, 546)] {
                let (peak, kept) = (ByteSize::mib(peak), ByteSize::mib(kept));
                let alone = Overrun { peak, kept, held: ByteSize::mib(401), measured_by, ..CALLS };
                assert_eq!(alone.cause(), Cause::Held, "{alone:?}");
                assert!(
                    alone.told().ends_with(
                        " more than the budget of 256 MiB: the run itself held 401 MiB at most, since a call needed more \
                         than the budget, or more than was expected of it; a larger `max_memory` has room for that"
                    ),
                    "{}",
                    alone.told()
                );
            }
        }
        // What the run knew of is the lesser part of the excess.
        let more = Overrun { peak: ByteSize::mib(547), held: ByteSize::mib(401), ..CALLS };
        assert_eq!(more.cause(), Cause::Calls);
    }

    /// The guide's example is run as a test.
    #[test]
    fn the_cure_is_that_of_the_guide() {
        let guide: Vec<_> = include_str!("../guide/allocators.md").lines().filter(|line| !line.is_empty()).collect();
        assert!(guide.windows(3).any(|lines| *lines == CURE));
    }
}
