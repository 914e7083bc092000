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

    /// The results with their indices.
    pub(crate) fn with_indices(self) -> (Results, Indices) {
        let indices = self.places.into_indices(self.results.len());
        (self.results, indices)
    }
}

impl Collecting<'_> {
    pub(crate) fn found(self) -> Found {
        Found { results: self.all.into_results(), places: self.places, ended_at: self.ended_at }
    }
}

impl Outlet for Collecting<'_> {
    fn place(&mut self, count: usize) -> Option<Results> {
        Some(self.all.place(count))
    }

    fn reclaim(&mut self) {
        self.all.reclaim();
    }

    fn accept(&mut self, results: Results, start: usize) -> Flow {
        let place = self.all.len();
        if results.len() > 0 {
            self.places.note(place, start, results.len());
        }
        self.ended_at = self.find_end.and_then(|find| find(&results)).map(|at| place + at);
        self.all.add(results);
        if self.ended_at.is_some() {
            Flow::Stop
        } else if self.all.len() >= self.enough {
            Flow::Enough
        } else {
            Flow::Continue
        }
    }

    fn wanted(&self) -> usize {
        if self.find_end.is_some() { 1 } else { usize::MAX }
    }

    fn collected(&self) -> Option<usize> {
        Some(self.all.len())
    }
}
