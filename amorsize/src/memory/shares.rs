//! Allocations that several results of a run share: how much each result counts, so that all of
//! them together count an allocation once.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::sync::{Mutex, PoisonError};

use crate::system::page_faults::PAGE;

/// The smallest allocation, in bytes, that is noted: a page. Smaller ones are divided by their
/// number of owners.
pub(crate) const LEAST: usize = PAGE as usize;
/// The part of a budget, in bytes, for each of the latest notes. There can be as many earlier ones.
/// A note takes 200 bytes that no credit covers, or 700 if many results share the allocation. So
/// notes take a twentieth of the budget at most, or a sixth.
const PART: u64 = 2 * LEAST as u64;
/// The most of the latest notes, however large the budget. With the earlier ones they take 7 MB, or
/// 23 MB.
const MOST: u64 = 1 << 14;
/// The most entries for one allocation; above it they are joined in pairs. The first owners count
/// nearly all of an allocation, so it matters little which of the later ones is gone.
const MOST_ENTRIES: usize = 32;

/// The shared allocations that results of a run own.
#[derive(Debug, Default)]
pub(crate) struct Shares(Mutex<Notes>);

/// The notes of shared allocations, by address.
///
/// Nothing tells when an allocation is gone. So when there are too many notes, those are forgotten
/// that were not used for longest. Of an allocation that is still there, the results that counted
/// it pass for other owners from then on.
#[derive(Debug, Default)]
struct Notes {
    latest: HashMap<usize, Share>,
    /// Those that were not used since they were the latest.
    earlier: HashMap<usize, Share>,
}

/// One shared allocation.
#[derive(Debug, Default)]
struct Share {
    /// Owners that are not results of the run.
    others: usize,
    /// The number of looks, and the parts that they counted, from the oldest to the latest.
    counted: VecDeque<(usize, f64)>,
}

impl Shares {
    /// The part of an allocation, from 0 to 1, that the next result counts, given its present
    /// number of owners and the run's budget.
    ///
    /// `owners` is called under the lock. A number that was read before would be too small by the
    /// time that others looked meanwhile, and they would pass for results that are gone.
    ///
    /// The results that are alive count the run's share together, as if each counted its part among
    /// the present owners. A result that is gone took its part with it; results are handed over in
    /// order, so the oldest go first.
    pub(crate) fn part_of_next(&self, address: usize, budget: u64, owners: impl FnOnce() -> usize) -> f64 {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owners = owners();
        let known = notes.latest.remove(&address).or_else(|| notes.earlier.remove(&address));
        if owners <= 1 {
            // It has one owner only, so an earlier note is about another allocation at the same
            // address.
            return 1.0;
        }
        let mut share = known.unwrap_or_else(|| Share { others: owners - 1, ..Share::default() });
        let part = share.part_of_next(owners);
        if notes.latest.len() as u64 >= (budget / PART).min(MOST) {
            notes.earlier = take(&mut notes.latest);
        }
        notes.latest.insert(address, share);
        part
    }
}

impl Share {
    fn part_of_next(&mut self, owners: usize) -> f64 {
        self.others = self.others.min(owners - 1);
        let results = owners - self.others;
        self.keep(results - 1);
        let counted: f64 = self.counted.iter().map(|(_, part)| part).sum();
        let part = (results as f64 / owners as f64 - counted).max(0.0);
        if self.counted.len() == MOST_ENTRIES {
            let mut entries = take(&mut self.counted).into_iter();
            while let Some((looks, part)) = entries.next() {
                let (more_looks, more) = entries.next().unwrap_or_default();
                self.counted.push_back((looks + more_looks, part + more));
            }
        }
        self.counted.push_back((1, part));
        part
    }

    /// Forgets all looks but the latest `results`.
    fn keep(&mut self, results: usize) {
        let mut gone = self.counted.iter().map(|(looks, _)| looks).sum::<usize>().saturating_sub(results);
        while let Some((looks, part)) = self.counted.front_mut().filter(|_| gone > 0) {
            if *looks > gone {
                *part *= (*looks - gone) as f64 / *looks as f64;
                *looks -= gone;
                return;
            }
            gone -= *looks;
            self.counted.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: u64 = 1 << 20;

    /// Looks at an allocation with these numbers of owners, and returns the sum of the parts.
    fn sum(shares: &Shares, owners: impl IntoIterator<Item = usize>) -> f64 {
        owners.into_iter().map(|owners| shares.part_of_next(1, BUDGET, || owners)).sum()
    }

    #[test]
    fn what_results_keep_they_count_once() {
        // With one further owner. Parts of 1/2, 1/3, 1/4 .. would add up to 5.3 times the
        // allocation.
        assert!((sum(&Shares::default(), 2..302) - 300.0 / 301.0).abs() < 1e-9);
        assert!((sum(&Shares::default(), 2..100_002) - 1.0).abs() < 1e-4);
        assert!((sum(&Shares::default(), 1002..1012) - 10.0 / 1011.0).abs() < 1e-9);
    }

    #[test]
    fn those_that_come_take_over_what_those_that_go_counted() {
        let shares = Shares::default();
        sum(&shares, 2..12);
        // The oldest goes as each new one comes, so each ten count the same together as the first
        // ten.
        for _ in 0..50 {
            assert!((sum(&shares, [11; 10]) - 10.0 / 11.0).abs() < 1e-9);
        }
        // The first ones are all gone before the next ones come.
        assert!((sum(&shares, 2..12) - 10.0 / 11.0).abs() < 1e-9);
    }

    #[test]
    fn owners_are_counted_under_the_lock() {
        let shares = Shares::default();
        shares.part_of_next(1, BUDGET, || {
            assert!(shares.0.try_lock().is_err());
            2
        });
    }

    #[test]
    fn owners_within_one_result_count_it_together() {
        assert!((sum(&Shares::default(), [7; 7]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn another_one_at_the_same_place_is_counted_again() {
        let shares = Shares::default();
        sum(&shares, 2..12);
        assert_eq!(shares.part_of_next(1, BUDGET, || 1), 1.0);
        assert!((sum(&shares, 2..12) - 10.0 / 11.0).abs() < 1e-9);
        // The same without a look in between that found a single owner.
        assert!((sum(&shares, 2..12) - 10.0 / 11.0).abs() < 1e-9);
    }

    #[test]
    fn parts_are_sound_and_notes_stay_small_whatever_the_owners() {
        let (shares, mut state) = (Shares::default(), 1u64);
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let part = shares.part_of_next((state >> 60) as usize, BUDGET, || (state >> 33) as usize % 50);
            assert!((0.0..=1.0).contains(&part), "{part}");
        }
        assert!(shares.0.lock().unwrap().latest.values().all(|share| share.counted.len() <= MOST_ENTRIES));
    }

    #[test]
    fn allocations_that_come_and_go_leave_few_notes_and_one_that_stays_keeps_its_own() {
        let (shares, mut sum) = (Shares::default(), 0.0);
        for owners in 2..20_000 {
            sum += shares.part_of_next(0, BUDGET, || owners);
            shares.part_of_next(owners, BUDGET, || 2);
            let notes = shares.0.lock().unwrap();
            assert!((notes.latest.len() + notes.earlier.len()) * LEAST <= BUDGET as usize);
        }
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        // With no budget at all, the one that was looked at last is known.
        assert!(shares.part_of_next(0, 0, || 20_000) < 1e-3);
        assert!(shares.part_of_next(0, 0, || 20_001) < 1e-3);
    }
}
