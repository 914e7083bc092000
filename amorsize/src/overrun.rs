//! How far resident memory went over a run's budget: by how much, why, and what to do about it.

use std::fmt::Write;

use crate::memory::Bytes;
use crate::memory::measure::MeasuredBy;
use crate::plan::Warning;
use crate::report::Report;

/// What explains at least this part of what resident memory grew by beyond what the run knew of is named as the cause.
const MOST: f64 = 0.5;

/// The lines that have every heap byte counted, as the README has them.
const CURE: [&str; 3] = [
    "use amorsize::Tracking;",
    "#[global_allocator]",
    "static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);",
];

/// The most likely cause, by the run's figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    /// Calls that run need more than what they return, and it is known how much.
    Working(Bytes),
    /// Results own more than resident memory told.
    Results,
    /// It was still there at the end: so much.
    Kept(Bytes),
    /// It was gone at the end: so much for each thread.
    Calls(Bytes),
    /// Every byte of the calls is known, and it is something else.
    Others,
}

/// Resident memory that grew by more than the budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overrun {
    peak: Bytes,
    budget: Bytes,
    threads: usize,
    result_bytes: Bytes,
    counted: Bytes,
    pub(crate) cause: Cause,
}

impl Overrun {
    /// `None` where resident memory stayed within the budget, or is not known.
    pub(crate) fn of(report: &Report) -> Option<Self> {
        let peak = report.peak_resident()?;
        let budget = report.budget();
        let (threads, counted) = (report.threads(), report.peak_bytes());
        let mut overrun =
            Self { peak, budget, threads, result_bytes: report.result_bytes(), counted, cause: Cause::Others };
        if peak <= budget {
            return None;
        }
        overrun.cause = overrun.find_cause(report);
        Some(overrun)
    }

    fn find_cause(&self, report: &Report) -> Cause {
        let unknown = self.peak - self.counted;
        let explains = |bytes: Bytes| bytes.as_f64() >= MOST * unknown.as_f64();
        let working = report.working_bytes();
        let kept = report.allocator_bytes().unwrap_or(Bytes::ZERO);
        match report.measured_by() {
            MeasuredBy::Tracking if explains(kept) => Cause::Kept(kept),
            MeasuredBy::Tracking => Cause::Others,
            _ if explains(working * self.threads as u64) => Cause::Working(working),
            _ if explains(kept) && explains(self.result_bytes) => Cause::Kept(kept),
            MeasuredBy::Resident => Cause::Results,
            _ if explains(kept) => Cause::Kept(kept),
            _ => Cause::Calls(Bytes::new(unknown.as_u64() / self.threads.max(1) as u64)),
        }
    }

    /// Bytes beyond the budget.
    pub(crate) fn bytes(&self) -> Bytes {
        self.peak - self.budget
    }

    /// Why, in a sentence.
    fn why(&self) -> String {
        let Self { threads, result_bytes, counted, .. } = *self;
        match self.cause {
            Cause::Working(working) => format!(
                "most likely it is what calls need while they run, {working} each beside its result, {} on {threads} threads",
                working * threads as u64
            ),
            Cause::Results => format!(
                "most likely calls need more while they run, or results own more, than the {counted} that resident memory told \
                 of them"
            ),
            Cause::Kept(kept) => format!(
                "{kept} of it were still there at the end: what the sink keeps of the {result_bytes} that it was given, what \
                 other threads of the program take, or pages that the allocator does not give back"
            ),
            Cause::Calls(each) => format!(
                "most of it was gone at the end, so most likely it is what calls need while they run, which was not measured: \
                 about {each} for each of {threads} threads"
            ),
            Cause::Others => format!(
                "calls and results took {counted} at most, counted to the byte, so it is what other threads of the program \
                 take, or pages that the allocator does not give back"
            ),
        }
    }

    /// By how much and why, for a list.
    fn told(&self) -> String {
        let Self { peak, budget, .. } = *self;
        let share = 100.0 * self.bytes().as_f64() / budget.as_f64().max(1.0);
        format!(
            "resident memory grew by {peak}, {} ({share:.0} %) more than the budget of {budget}: {}",
            self.bytes(),
            self.why()
        )
    }
}

/// The warnings of a report.
pub(crate) fn warnings(report: &Report) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(overrun) = Overrun::of(report) {
        let mut told = overrun.told();
        if report.measured_by() != MeasuredBy::Tracking {
            told += "; `Tracking` as the program's allocator has all of it counted";
        }
        warnings.push(Warning::new(Warning::RESIDENT_OVER_BUDGET, told));
    }
    warnings.extend(Warning::of_features(report.unasked()));
    warnings
}

/// The warnings with what to do about them, for [`Report::explain`].
pub(crate) fn explained(report: &Report) -> String {
    let mut text = String::new();
    for warning in report.warnings() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "warning: {warning}");
        if warning.code() == Warning::RESIDENT_OVER_BUDGET && report.measured_by() != MeasuredBy::Tracking {
            let _ = writeln!(text, "with these three lines in the program every heap byte of the calls is counted:");
            for line in CURE {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}
