//! Credit: bytes that a run took from its budget, as a guard that gives them back.
//!
//! Credit belongs to the values that need the bytes, and travels with them:
//!
//! | of | is taken by | lies in | ends when |
//! | --- | --- | --- | --- |
//! | items that wait for a worker | `Control::enqueue` | `RawChunk` | their chunk ended |
//! | the calls of a chunk | `Control::start_next`, by expectation | `Started` | it is settled |
//! | results | settled, by measurement | `Results` | they are handed over |
//! | what idle workers allocated | `State::look_at_stray` | `State` | chunks answer for it |
//!
//! A stretch on the calling thread takes credit for its items while they run, if they can be
//! measured, and for its results when it has made them.
//!
//! No code gives credit back by hand: code that drops results, by an error or a panic too, drops
//! their credit with them.

use super::budget::Ledger;

/// Bytes of a ledger, and the number of results that hold them, if results do. A drop gives all of
/// it back.
#[derive(Debug, Default)]
#[must_use = "credit that is dropped is given back"]
pub(crate) struct Credit {
    /// `None` for no credit.
    ledger: Option<Ledger>,
    /// 0 if no results hold it. Credit for items and calls does not count their number, because a
    /// run counts other things of them.
    results: usize,
    bytes: u64,
}

impl Credit {
    /// No credit.
    pub(crate) const NONE: Self = Self { ledger: None, results: 0, bytes: 0 };

    /// Takes `bytes`, even if they exceed the limit.
    pub(crate) fn take(ledger: &Ledger, bytes: u64) -> Self {
        ledger.take(bytes);
        Self { ledger: Some(ledger.clone()), results: 0, bytes }
    }

    /// Takes `bytes`, if they are free.
    pub(crate) fn try_take(ledger: &Ledger, bytes: u64) -> Option<Self> {
        ledger.try_take(bytes).then(|| Self { ledger: Some(ledger.clone()), results: 0, bytes })
    }

    /// The free bytes of its ledger.
    pub(crate) fn free(&self) -> u64 {
        self.ledger.as_ref().map_or(u64::MAX, Ledger::free)
    }

    /// Takes the `bytes` of results that are there. Their calls needed up to `working` bytes beside
    /// them.
    pub(crate) fn of_results(ledger: &Ledger, results: usize, bytes: u64, working: u64) -> Self {
        if results == 0 {
            ledger.touch(working);
            return Self::NONE;
        }
        ledger.take_after(bytes, working);
        ledger.note_made(results, bytes);
        Self { ledger: Some(ledger.clone()), results, bytes }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The number of results that hold it.
    pub(crate) fn results(&self) -> usize {
        self.results
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("no credit belongs to no ledger")
    }

    /// Takes more bytes, even if they exceed the limit.
    pub(crate) fn grow(&mut self, bytes: u64) {
        self.ledger().take(bytes);
        self.bytes += bytes;
    }

    /// Takes more bytes, if they are free.
    pub(crate) fn try_grow(&mut self, bytes: u64) -> bool {
        let grows = self.ledger().try_take(bytes);
        self.bytes += if grows { bytes } else { 0 };
        grows
    }

    /// Changes the credit to `bytes`: takes more, or gives the rest back.
    pub(crate) fn resize(&mut self, bytes: u64) {
        let ledger = self.ledger();
        ledger.take(bytes.saturating_sub(self.bytes));
        ledger.give(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
    }

    /// Turns the credit of calls into that of their results, by the measured bytes of these.
    pub(crate) fn settle(mut self, results: usize, bytes: u64) -> Self {
        debug_assert_eq!(self.results, 0, "results were made already");
        if results == 0 {
            return Self::NONE;
        }
        self.resize(bytes);
        self.ledger().note_made(results, bytes);
        self.results = results;
        self
    }

    /// Takes in all of `other`.
    #[inline]
    pub(crate) fn join(&mut self, mut other: Self) {
        if self.ledger.is_none() {
            std::mem::swap(self, &mut other);
        } else {
            self.join_part(&mut other, usize::MAX, u64::MAX);
        }
    }

    /// Takes in the part of `other` for this many results, with `bytes` of its bytes. The last
    /// results have all bytes that are left.
    pub(crate) fn join_part(&mut self, other: &mut Self, results: usize, bytes: u64) {
        if other.ledger.is_none() || (results == 0 && bytes == 0) {
            return;
        }
        let results = results.min(other.results);
        let are_last = results > 0 && results == other.results;
        let bytes = if are_last { other.bytes } else { bytes.min(other.bytes) };
        debug_assert!(results > 0 || other.results == 0 || bytes == 0, "results have these bytes");
        debug_assert!(self.bytes == 0 || bytes == 0 || (self.results > 0) == (results > 0), "two kinds");
        if self.ledger.is_none() {
            self.ledger = other.ledger.clone();
        }
        other.results -= results;
        other.bytes -= bytes;
        self.results += results;
        self.bytes += bytes;
    }

    /// Splits off the part for this many results, with `bytes` of the bytes. The last results have
    /// all bytes that are left.
    pub(crate) fn split(&mut self, results: usize, bytes: u64) -> Self {
        let mut part = Self::NONE;
        part.join_part(self, results, bytes);
        part
    }

    /// Splits all of it off.
    #[inline]
    pub(crate) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }
}

impl Drop for Credit {
    #[inline]
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            give_back(ledger, self.results, self.bytes);
        }
    }
}

fn give_back(ledger: &Ledger, results: usize, bytes: u64) {
    if results > 0 {
        ledger.note_gone(results, bytes);
    }
    ledger.give(bytes);
}

/// Bytes that a ledger counts beside all credit: more if they are positive, fewer if they are
/// negative. After a drop the ledger counts credit alone again.
///
/// They may be negative only while there is as much credit to subtract them from.
#[derive(Debug)]
pub(crate) struct Correction {
    ledger: Ledger,
    bytes: i64,
}

impl Correction {
    /// No bytes.
    pub(crate) fn new(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: i64) {
        let more = bytes - std::mem::replace(&mut self.bytes, bytes);
        self.ledger.take(u64::try_from(more).unwrap_or(0));
        self.ledger.give(u64::try_from(-more).unwrap_or(0));
    }
}

impl Drop for Correction {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
