//! The common parts of terminals: how they run, and what they leave when they end early.

use super::Batched;
use super::core::{Collect, Figures};
use crate::buffer::Results;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::output::batch::Batch;
use crate::output::batches::{Batches, Ending, HandedOver, Taken};
use crate::output::collect::{FindEnd, Found};
use crate::policy::Policy;
use crate::report::Report;

/// The reason why a terminal ended early. A panic is resumed here.
pub(super) fn why<F: From<Error>>(failed: Option<F>, ended: Option<Ended>) -> F {
    match (failed, ended) {
        (Some(failed), _) => failed,
        (None, Some(ended)) => ended.error_or_panic().into(),
        (None, None) => unreachable!("something ended the run"),
    }
}

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    pub(super) fn collect_by<Q: Policy<R>, V: FromIterator<Q::Value>>(&mut self) -> Result<Q::Given<V>, Q::Failed> {
        let (mut found, mut ended) = self.find_all::<Q>();
        let failed = self.cut::<Q>(&mut found, &mut ended);
        if failed.is_some() || ended.is_some() {
            self.keep::<Q>(found);
            return Err(why(failed, ended));
        }
        let items = found.results.len();
        let values = self.values::<Q>(found);
        self.core.end_collect(items, &mut self.seen.told, Q::GATHERS);
        // A `Vec` takes over the allocation of the `Vec` that it is collected from.
        let values = V::from_iter(values);
        // A collection may panic. Then the values are only in what the run keeps.
        #[cfg(feature = "durable")]
        self.remove_kept()?;
        Ok(Q::given(values, &mut self.seen))
    }

    /// Keeps what was collected before an early end.
    pub(super) fn keep<Q: Policy<R>>(&mut self, found: Found) {
        self.core.put_back(found.into_parts());
        self.end_early::<Q>(HandedOver::default(), 0);
    }

    /// Runs into one collection. After an early end it has the results before that.
    pub(super) fn find_all<Q: Policy<R>>(&mut self) -> (Found, Option<Ended>) {
        let started = self.start_without_sink();
        let types = self.shared.types;
        let find_end = |results: &Results| types.last_of(results, results.len()).iter().position(Q::fails);
        let find_end: Option<FindEnd<'_>> = if Q::STOPS { Some(&find_end) } else { None };
        let keeps_all = Q::GIVES_ALL;
        #[cfg(feature = "durable")]
        let keeps_all = keeps_all && !self.shared.skips();
        let collect = Collect { collector: types.collector(), find_end, keeps_all };
        self.core.collect(started, &mut self.source, (self.as_function)(&self.shared), collect)
    }

    /// Takes out the failure that ended the run, and puts back what comes after it.
    pub(super) fn cut<Q: Policy<R>>(&mut self, found: &mut Found, ended: &mut Option<Ended>) -> Option<Q::Failed> {
        // In this form the compiler makes no code for a policy that does not stop.
        if Q::STOPS {
            let (index, mut failed) = self.core.cut(found, ended)?;
            let error = Q::split(self.shared.types.take_last(&mut failed)).err()?;
            return Q::fail(&mut self.seen, index, error).err();
        }
        None
    }

    /// The values of results that are the caller's from now on.
    pub(super) fn values<Q: Policy<R>>(&mut self, found: Found) -> Vec<Q::Value> {
        let (results, indices) = found.with_indices();
        Q::values(self.shared.types.into_vec(results), indices, &mut self.seen)
    }

    /// Hands all batches to `sink`.
    pub(super) fn hand_over_all<Q: Policy<R>>(
        &mut self,
        sink: &mut dyn FnMut(Batch<Q::Value>),
    ) -> Result<Report, Q::Failed> {
        let outcome = self.hand_over::<Q>(&mut |batch| {
            sink(batch);
            Taken::Whole
        });
        outcome.map_err(|failed| failed.unwrap_or_else(|| unreachable!("this sink does not end the run")))
    }

    /// Hands batches to `sink` until it takes no more, which is an error without a text.
    pub(super) fn hand_over<Q: Policy<R>>(
        &mut self,
        sink: &mut dyn FnMut(Batch<Q::Value>) -> Taken<Q::Value>,
    ) -> Result<Report, Option<Q::Failed>> {
        if let Err(error) = self.start() {
            self.end_early::<Q>(HandedOver::default(), 0);
            return Err(Some(error.into()));
        }
        self.hand_over_rest::<Q>(0, sink)
    }

    /// Does the same for a terminal that has begun, and has taken values from the run `before`.
    pub(super) fn hand_over_rest<Q: Policy<R>>(
        &mut self,
        before: usize,
        sink: &mut dyn FnMut(Batch<Q::Value>) -> Taken<Q::Value>,
    ) -> Result<Report, Option<Q::Failed>> {
        let types = self.shared.types;
        let mut outlet = Batches::<_, _, Q>::new(types, self.core.handover(), &mut self.seen, sink);
        let mut ended = self.core.drive(&mut self.source, (self.as_function)(&self.shared), &mut outlet).err();
        let Ending { handed_over, stopped, failed, panic, left } = outlet.finish();
        let values = before + handed_over.items;
        let items = values + self.seen.told.failures.count();
        let handed_over = HandedOver { items, ..handed_over };
        if !stopped && ended.is_none() {
            return Ok(self.end::<Q>(handed_over, values));
        }
        self.core.put_back(left);
        self.end_early::<Q>(handed_over, values);
        if stopped {
            self.core.delay(ended.take());
        }
        if let Some(payload) = panic {
            std::panic::resume_unwind(payload);
        }
        if stopped && failed.is_none() { Err(None) } else { Err(Some(why(failed, ended))) }
    }

    /// The report of a terminal that ended whole.
    pub(super) fn end<Q: Policy<R>>(&mut self, handed_over: HandedOver, values: usize) -> Report {
        let figures = Figures { handed_over, values, retries: self.shared.retries(), gathers: Q::GATHERS };
        self.core.end(figures, &mut self.seen.told)
    }

    /// Notes what a terminal did before its early end.
    #[cold]
    pub(super) fn end_early<Q: Policy<R>>(&mut self, handed_over: HandedOver, values: usize) {
        let figures = Figures { handed_over, values, retries: self.shared.retries(), gathers: Q::GATHERS };
        self.core.end_early(figures, &mut self.seen.told);
    }
}
