//! An outlet that puts results in one collection.

use super::batch::{Indices, Places};
use super::batches::{Left, parts};
use super::outlet::{Flow, Outlet};
use crate::buffer::{Collection, Collector, Results};

/// Finds the first result that ends the run.
pub(crate) type FindEnd<'a> = &'a dyn Fn(&Results) -> Option<usize>;

/// Takes all results into one collection.
pub(crate) struct Collecting<'a> {
    pub(crate) all: Collection,
    /// After this many results, the outlet is asked if more can be collected.
    pub(crate) enough: usize,
    pub(crate) places: Places,
    /// Finds the result that ends the run; `None` if none can.
    pub(crate) find_end: Option<FindEnd<'a>>,
    /// The place of the result that ended the run.
    pub(crate) ended_at: Option<usize>,
    /// The next results, while the budget has no room for a larger allocation beside the one that
    /// all results lie in. Calls in flight give memory back.
    pub(crate) waiting: Vec<Left>,
    /// The number of results that wait.
    pub(crate) wait: usize,
}

/// Results that were collected, in input order.
pub(crate) struct Found {
    pub(crate) results: Results,
    pub(crate) places: Places,
    /// The place of the failure that ended the run.
    ended_at: Option<usize>,
}

impl Found {
    /// The results of a run that did not begin.
    pub(crate) fn nothing(collector: Collector) -> Self {
        Self { results: collector.nothing(), places: Places::default(), ended_at: None }
    }

    /// Takes out the failure that ended the run, with its index, and what comes after it.
    pub(crate) fn cut(&mut self) -> Option<((usize, Results), Self)> {
        let place = self.ended_at.take()?;
        let behind = self.split_off(place + 1);
        let failed = self.split_off(place);
        Some(((failed.places.first, failed.results), behind))
    }

    /// Leaves the first `keep` results here and returns the others.
    pub(crate) fn split_off(&mut self, keep: usize) -> Self {
        let results = self.results.split_share_off(keep);
        Self { results, places: self.places.split_off(keep), ended_at: None }
    }

    /// The parts with consecutive items, the last part first.
    pub(crate) fn into_parts(self) -> Vec<Left> {
        let (results, indices) = self.with_indices();
        parts(results, indices)
    }

    /// The number of results whose items are some of these.
    pub(crate) fn count(&self, is_one: impl Fn(usize) -> bool) -> usize {
        self.places.clone().into_indices(self.results.len()).filter(|&index| is_one(index)).count()
    }

    /// The results with their indices.
    pub(crate) fn with_indices(self) -> (Results, Indices) {
        let indices = self.places.into_indices(self.results.len());
        (self.results, indices)
    }
}

impl<'a> Collecting<'a> {
    pub(crate) fn new(all: Collection, enough: usize, find_end: Option<FindEnd<'a>>) -> Self {
        let (places, waiting) = (Places::default(), Vec::new());
        Self { all, enough, places, find_end, ended_at: None, waiting, wait: 0 }
    }

    pub(crate) fn found(self) -> Found {
        Found { results: self.all.into_results(), places: self.places, ended_at: self.ended_at }
    }

    /// Adds what waits, if there is room for all of it.
    pub(crate) fn add_waiting(&mut self) {
        if let Some((next, _)) = self.waiting.first()
            && self.all.make_room(next, self.wait - next.len())
        {
            self.wait = 0;
            std::mem::take(&mut self.waiting).into_iter().for_each(|(results, start)| self.add(results, start));
        }
    }

    fn add(&mut self, results: Results, start: usize) {
        let place = self.all.len();
        if results.len() > 0 {
            self.places.note(place, start, results.len());
        }
        self.ended_at = self.end_in(&results).map(|at| place + at);
        self.all.add(results);
    }

    fn end_in(&self, results: &Results) -> Option<usize> {
        self.find_end.and_then(|find| find(results))
    }
}

impl Outlet for Collecting<'_> {
    fn place(&mut self, count: usize) -> Option<Results> {
        Some(self.all.place(count))
    }

    fn reclaim(&mut self) {
        self.all.reclaim();
    }

    fn accept(&mut self, mut results: Results, start: usize) -> Flow {
        let ends = if self.waiting.is_empty() && self.all.make_room(&results, 0) {
            self.add(results, start);
            self.ended_at.is_some()
        } else {
            let ends = self.end_in(&results).is_some();
            if results.len() > 0 {
                results.credit.grow(size_of::<Left>() as u64);
                self.wait += results.len();
                self.waiting.push((results, start));
            }
            self.add_waiting();
            ends
        };
        if ends {
            Flow::Stop
        } else if self.all.len() + self.wait >= self.enough {
            Flow::Enough
        } else {
            Flow::Continue
        }
    }

    fn wanted(&self) -> usize {
        if self.find_end.is_some() { 1 } else { usize::MAX }
    }

    fn collected(&self) -> Option<usize> {
        Some(self.all.len() + self.wait)
    }
}
