//! The common parts of terminals: how they run, and what they leave when they end early.

use super::Batched;
use super::core::Collect;
use crate::buffer::Results;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::memory::credit::Credit;
use crate::options::choices::OnPanic;
use crate::output::batch::{Batch, Indices};
use crate::output::batches::{Batches, Ending, parts};
use crate::output::collect::{Collecting, FindEnd, Places};
use crate::output::handover::HandedOver;
use crate::policy::Policy;
use crate::report::Report;

/// Results that were collected, in input order.
pub(super) struct Found<R> {
    pub(super) results: Vec<R>,
    places: Places,
    credit: Credit,
    /// The place of the failure that ended the run.
    ended_at: Option<usize>,
}

impl<R> Found<R> {
    #[cfg(feature = "durable")]
    pub(super) fn into_parts(self) -> (Vec<R>, Places, Credit) {
        (self.results, self.places, self.credit)
    }

    fn indices(&mut self) -> Indices {
        Indices::new(self.places.first, self.results.len(), std::mem::take(&mut self.places.jumps))
    }
}

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
            return Err(self.keep::<Q>(found, failed, ended));
        }
        let items = found.results.len();
        let values = self.values::<Q>(found);
        let verbose = self.core.verbose();
        verbose.end(items);
        verbose.failed(self.seen.failures.count());
        if Q::GATHERS {
            let panics = self.core.take_panics();
            self.seen.panicked.extend(panics);
        }
        self.end_part();
        self.remove_kept()?;
        // A `Vec` takes over the allocation of the `Vec` that it is collected from.
        Ok(Q::given(V::from_iter(values), &mut self.seen))
    }

    /// Keeps what was collected before an early end, and gives the reason for that.
    pub(super) fn keep<Q: Policy<R>>(
        &mut self,
        mut found: Found<R>,
        failed: Option<Q::Failed>,
        ended: Option<Ended>,
    ) -> Q::Failed {
        let indices = found.indices();
        self.put_back(parts(self.shared.types, found.results, indices, found.credit));
        self.end_early::<Q>(HandedOver::default(), 0);
        why(failed, ended)
    }

    /// Runs into one collection. After an early end it has the results before that.
    pub(super) fn find_all<Q: Policy<R>>(&mut self) -> (Found<R>, Option<Ended>) {
        let nothing = Found { results: Vec::new(), places: Places::default(), credit: Credit::NONE, ended_at: None };
        if let Err(error) = self.refuse_journal().and_then(|()| self.start()) {
            return (nothing, Some(error.into()));
        }
        let types = self.shared.types;
        let find_end = |results: &Results| types.last_of(results, results.len()).iter().position(Q::fails);
        let find_end: Option<FindEnd<'_>> = if Q::STOPS { Some(&find_end) } else { None };
        let collect = Collect { collector: types.collector(), find_end, keeps_all: Q::GIVES_ALL };
        let (all, ended) = self.core.collect(&mut self.source, (self.as_function)(&self.shared), collect);
        let Some(Collecting { all, places, ended_at, .. }) = all else { return (nothing, ended) };
        let (results, credit) = types.collected(all);
        (Found { results, places, credit, ended_at }, ended)
    }

    /// Takes out the failure that ended the run, and puts back what comes after it.
    pub(super) fn cut<Q: Policy<R>>(&mut self, found: &mut Found<R>, ended: &mut Option<Ended>) -> Option<Q::Failed> {
        let place = found.ended_at?;
        let (behind, places) = (found.results.split_off(place + 1), found.places.split_off(place + 1));
        let indices = Indices::new(places.first, behind.len(), places.jumps);
        let failed = found.results.pop()?;
        // The bytes of the parts are unknown: each has its share.
        let all = &mut found.credit;
        let mut share = |part: usize| {
            let bytes = u128::from(all.bytes()) * part as u128 / all.results().max(1) as u128;
            all.split(part, bytes as u64)
        };
        let credit = share(behind.len());
        drop(share(1));
        self.put_back(parts(self.shared.types, behind, indices, credit));
        // It comes before anything else that ended the run.
        self.delay(ended.take());
        Q::fail(&mut self.seen, found.places.index(place), failed).err()
    }

    /// Keeps what ended the run for when it goes on.
    fn delay(&mut self, ended: Option<Ended>) {
        match ended {
            Some(Ended::Panic(item, payload)) => self.put_panic_back(item, payload),
            Some(ended @ Ended::Unwound(_)) => drop(ended.error_or_panic()),
            // The same will be found again.
            Some(Ended::Error(_)) | None => {}
        }
    }

    /// The values of results that are the caller's from now on.
    pub(super) fn values<Q: Policy<R>>(&mut self, mut found: Found<R>) -> Vec<Q::Value> {
        drop(found.credit.take_all());
        let indices = found.indices();
        let seen = &mut self.seen;
        match Q::whole(found.results) {
            Ok(values) => values,
            Err(results) => {
                let value = |(result, index)| {
                    if Q::fails(&result) {
                        // A failure that ends the run was taken out before.
                        let _ = Q::fail(seen, index, result);
                        return None;
                    }
                    Q::split(result).ok()
                };
                results.into_iter().zip(indices).filter_map(value).collect()
            }
        }
    }

    /// Hands all batches to `sink`.
    pub(super) fn hand_over_all<Q: Policy<R>>(
        &mut self,
        sink: &mut dyn FnMut(Batch<Q::Value>),
    ) -> Result<Report, Q::Failed> {
        let outcome = self.hand_over::<Q>(&mut |batch| {
            sink(batch);
            true
        });
        outcome.map_err(|failed| failed.unwrap_or_else(|| unreachable!("this sink does not end the run")))
    }

    /// Hands batches to `sink` until it returns `false`, which is an error without a text.
    pub(super) fn hand_over<Q: Policy<R>>(
        &mut self,
        sink: &mut dyn FnMut(Batch<Q::Value>) -> bool,
    ) -> Result<Report, Option<Q::Failed>> {
        if let Err(error) = self.start() {
            self.end_early::<Q>(HandedOver::default(), 0);
            return Err(Some(error.into()));
        }
        let types = self.shared.types;
        let mut outlet = Batches::<_, _, Q>::new(types, self.core.handover(), &mut self.seen, sink);
        let mut ended = self.core.drive(&mut self.source, (self.as_function)(&self.shared), &mut outlet).err();
        let Ending { handed_over, stopped, failed, panic, left } = outlet.finish();
        let values = handed_over.items;
        let items = values + self.seen.failures.count();
        let handed_over = HandedOver { items, ..handed_over };
        if !stopped && ended.is_none() {
            return Ok(self.end::<Q>(handed_over, values));
        }
        self.put_back(left);
        self.end_early::<Q>(handed_over, values);
        if stopped {
            self.delay(ended.take());
        }
        if let Some(payload) = panic {
            std::panic::resume_unwind(payload);
        }
        if stopped && failed.is_none() { Err(None) } else { Err(Some(why(failed, ended))) }
    }

    /// The report of a terminal that ended whole.
    pub(super) fn end<Q: Policy<R>>(&mut self, handed_over: HandedOver, values: usize) -> Report {
        let items = handed_over.items;
        let mut report = self.core.report(handed_over, self.shared.retries());
        self.core.verbose().failed(items - values);
        self.end_part();
        self.tell::<Q>(&mut report, values);
        report
    }

    /// Notes what a terminal did before its early end.
    #[cold]
    pub(super) fn end_early<Q: Policy<R>>(&mut self, handed_over: HandedOver, values: usize) {
        let mut report = self.core.report_of_part(handed_over, self.shared.retries());
        self.tell::<Q>(&mut report, values);
        self.core.end_part_early(report);
    }

    /// Adds the failures of its part to a report. Takes out panics that are gathered.
    fn tell<Q: Policy<R>>(&mut self, report: &mut Report, values: usize) {
        report.set_values(values, std::mem::take(&mut self.seen.failures));
        if Q::GATHERS && self.core.options().panics() == OnPanic::Collect {
            self.seen.panicked.extend(report.take_panics());
        }
    }
}
