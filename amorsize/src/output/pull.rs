//! An outlet for a caller that pulls results one by one.

use std::collections::VecDeque;

use super::batches::Left;
use super::outlet::{Flow, Outlet};
use crate::buffer::{Results, Types};
use crate::memory::credit::Credit;

/// The results that an iterator gives next.
pub(crate) struct Buffer<T, R> {
    types: Types<T, R>,
    /// The part that results are taken from.
    current: Option<Part<R>>,
    /// The parts after it.
    parts: VecDeque<Part<R>>,
    items: usize,
    batch_size: usize,
    /// True for results that are wanted before they fill a batch.
    at_once: Option<fn(&[R]) -> bool>,
}

/// Results of consecutive items.
struct Part<R> {
    /// The index of the next one.
    index: usize,
    results: std::vec::IntoIter<R>,
    /// Held until all of them were taken out.
    credit: Credit,
}

impl<T, R> Buffer<T, R> {
    pub(crate) fn new(types: Types<T, R>) -> Self {
        Self { types, current: None, parts: VecDeque::new(), items: 0, batch_size: 1, at_once: None }
    }

    /// Pauses the run as soon as there are results that `wanted` accepts.
    pub(crate) fn give_at_once(&mut self, wanted: fn(&[R]) -> bool) {
        self.at_once = Some(wanted);
    }

    /// Takes out the results that were not given, in parts, the last part first.
    pub(crate) fn into_left(self) -> Vec<Left> {
        let Self { types, current, parts, .. } = self;
        let parts = parts.into_iter().rev().chain(current).filter(|part| part.results.len() > 0);
        let left = parts.map(|Part { index, results, mut credit }| {
            // The results that are left hold all bytes of their part: the bytes of the given ones
            // are unknown.
            let credit = credit.split(results.len(), credit.bytes());
            (types.results_of(results.collect(), credit), index)
        });
        left.collect()
    }

    /// The index of the next result.
    pub(crate) fn next_index(&mut self) -> Option<usize> {
        while self.current.as_ref().is_none_or(|part| part.results.len() == 0) {
            self.go_on()?;
        }
        self.current.as_ref().map(|part| part.index)
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<(usize, R)> {
        loop {
            if let Some(part) = &mut self.current
                && let Some(result) = part.results.next()
            {
                self.items -= 1;
                part.index += 1;
                return Some((part.index - 1, result));
            }
            self.go_on()?;
        }
    }

    /// Takes the next part. This gives back the credit of the one before.
    fn go_on(&mut self) -> Option<()> {
        self.current = self.parts.pop_front();
        self.current.as_ref().map(|_| ())
    }

    pub(crate) fn len(&self) -> usize {
        self.items
    }
}

impl<T, R> Outlet for Buffer<T, R> {
    fn accept(&mut self, mut results: Results, start: usize) -> Flow {
        let credit = results.credit.take_all();
        let results = self.types.into_vec(results);
        self.items += results.len();
        let at_once = self.at_once.is_some_and(|wanted| wanted(&results));
        self.parts.push_back(Part { index: start, results: results.into_iter(), credit });
        if at_once || self.items >= self.batch_size { Flow::Enough } else { Flow::Continue }
    }

    fn flush(&mut self) -> Flow {
        // The results can only be taken out while the run pauses.
        if self.items > 0 { Flow::Enough } else { Flow::Continue }
    }

    fn wanted(&self) -> usize {
        if self.at_once.is_some() { 1 } else { self.batch_size.saturating_sub(self.items) }
    }

    fn holds(&self) -> bool {
        self.items > 0
    }

    fn set_batch_size(&mut self, items: usize) {
        self.batch_size = items;
    }
}
