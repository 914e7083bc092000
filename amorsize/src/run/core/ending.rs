//! The end of a terminal: what it tells, and what it leaves to the next one.

use super::Core;
use crate::buffer::Results;
use crate::error::failure::{Ended, Failure};
use crate::log::trace;
use crate::options::choices::OnPanic;
use crate::output::batches::{HandedOver, Left};
use crate::output::collect::Found;
use crate::policy::Told;
use crate::report::Report;

/// The figures of a terminal that ended.
pub(in crate::run) struct Figures {
    pub(crate) handed_over: HandedOver,
    /// The handed over values: results that did not fail.
    pub(crate) values: usize,
    /// The repeated calls.
    pub(crate) retries: usize,
    /// True if the caller gets the collected panics.
    pub(crate) gathers: bool,
}

impl Core {
    /// Notes that a terminal has ended.
    pub(crate) fn end_part(&mut self) {
        self.part_ended = true;
    }

    /// Notes that everything was collected.
    pub(crate) fn end_collect(&mut self, items: usize, told: &mut Told, gathers: bool) {
        self.verbose.end(items);
        self.verbose.failed(told.failures.count());
        if gathers {
            told.panicked.extend(self.take_panics());
        }
        self.end_part();
    }

    /// The report of a terminal that ended whole.
    pub(crate) fn end(&mut self, figures: Figures, told: &mut Told) -> Report {
        let Figures { handed_over, values, retries, gathers } = figures;
        let items = handed_over.items;
        let mut report = self.report(handed_over, retries);
        report.is_whole = true;
        self.verbose.end(items);
        self.verbose.warn(&report);
        {
            let _entered = self.tools.span.enter();
            trace::finished(&report);
        }
        self.verbose.failed(told.failures.count());
        self.tell(&mut report, (values, gathers), told);
        self.end_part();
        report
    }

    /// Notes that a terminal has ended early, and what it did: nobody is told that the run is
    /// finished.
    #[cold]
    pub(crate) fn end_early(&mut self, figures: Figures, told: &mut Told) {
        let Figures { handed_over, values, retries, gathers } = figures;
        let mut report = self.report(handed_over, retries);
        self.tell(&mut report, (values, gathers), told);
        self.end_part();
        self.report = Some(Box::new(report));
    }

    fn report(&mut self, handed_over: HandedOver, retries: usize) -> Report {
        let (items, batches) = (handed_over.items, handed_over.batches);
        #[cfg(feature = "durable")]
        let restored = handed_over.restored;
        let totals = self.engine.totals(handed_over);
        let mut report = Report::new(totals, items, batches);
        report.stages = self.stages.iter().map(|stage| stage.report()).collect();
        report.retries = retries.saturating_sub(self.retries_before);
        #[cfg(feature = "durable")]
        if let Some(keeper) = self.tools.interrupts.keeper().get() {
            report.kept = keeper.told();
            report.kept.restored += restored;
        }
        report
    }

    /// Adds the failures of its part to a report. Takes out panics that are gathered.
    fn tell(&self, report: &mut Report, (values, gathers): (usize, bool), told: &mut Told) {
        report.set_values(values, std::mem::take(&mut told.failures));
        if gathers && self.options().on_panic == OnPanic::Collect {
            told.panicked.extend(report.take_panics());
        }
    }

    /// Takes out the panics that were noted so far, where the run keeps all.
    pub(crate) fn take_panics(&mut self) -> Vec<Failure> {
        self.engine.take_panics()
    }

    /// The number of results that came from a store.
    pub(crate) fn restored(&self, found: &Found) -> usize {
        let keeper = self.tools.interrupts.keeper().get();
        keeper.map_or(0, |keeper| found.count(|index| keeper.is_restored(index)))
    }

    /// Takes out the failure that ended the run, with its index, and puts back what comes after it.
    pub(crate) fn cut(&mut self, found: &mut Found, ended: &mut Option<Ended>) -> Option<(usize, Results)> {
        let (failed, behind) = found.cut()?;
        self.put_back(behind.into_parts());
        // It comes before anything else that ended the run.
        self.delay(ended.take());
        Some(failed)
    }

    /// Keeps what ended the run for when it goes on.
    pub(crate) fn delay(&mut self, ended: Option<Ended>) {
        // An error will be found again.
        if let Some(panic @ Ended::Panic(_)) = ended {
            self.engine.delay(panic);
        }
    }

    /// Notes that results belong to the caller now: they have given their credit back.
    pub(crate) fn give_away(&mut self) {
        self.engine.rebase();
    }

    /// Keeps the results that a terminal did not hand over, the last part first, before all others:
    /// the next terminal begins with them.
    pub(crate) fn put_back(&mut self, left: Vec<Left>) {
        for (mut results, start) in left {
            // No batch has results from a store and new ones.
            if let Some(keeper) = self.tools.interrupts.keeper().get() {
                while let Some(index) = keeper.last_change(start..start + results.len()) {
                    self.kept.put_back(results.split_share_off(index - start), index);
                }
            }
            self.kept.put_back(results, start);
        }
        // Last, as it calls code of the user.
        self.give_away();
    }
}
