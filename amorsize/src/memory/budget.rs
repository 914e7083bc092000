//! The budget of a run, and the credit that its items hold of it.

use super::Bytes;
use super::source;
use crate::error::Error;
use crate::options::{Limit, MaxMemory};

/// A budget in bytes, and what it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub(crate) bytes: Bytes,
    /// What was available when a fraction of it was asked for.
    pub(crate) available: Option<Bytes>,
}

impl Budget {
    pub(crate) fn resolve(max_memory: &MaxMemory) -> Result<Self, Error> {
        Ok(match max_memory.limit()? {
            Limit::Fraction(fraction) => {
                let available = source::current().available();
                // A budget of nothing could not even hold one item's credit.
                let bytes = Bytes::from_f64(available.as_f64() * fraction).max(Bytes::new(1));
                Self { bytes, available: Some(available) }
            }
            Limit::Bytes(bytes) => Self { bytes: *bytes, available: None },
            Limit::Unreadable(_) => unreachable!("refused by `limit`"),
        })
    }
}

/// What of the budget is taken: by inputs held, by calls in flight, by results not handed over.
#[derive(Debug)]
pub(crate) struct Ledger {
    budget: u64,
    held: u64,
    peak: u64,
}

impl Ledger {
    pub(crate) fn new(budget: Bytes) -> Self {
        Self { budget: budget.as_u64(), held: 0, peak: 0 }
    }

    pub(crate) fn budget(&self) -> Bytes {
        Bytes::new(self.budget)
    }

    pub(crate) fn set_budget(&mut self, budget: Bytes) {
        self.budget = budget.as_u64();
    }

    pub(crate) fn held(&self) -> Bytes {
        Bytes::new(self.held)
    }

    pub(crate) fn peak(&self) -> Bytes {
        Bytes::new(self.peak)
    }

    /// What can still be taken.
    pub(crate) fn free(&self) -> u64 {
        self.budget.saturating_sub(self.held)
    }

    /// Takes `bytes` if they are free.
    #[must_use]
    pub(crate) fn try_take(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.free();
        if fits {
            self.take(bytes);
        }
        fits
    }

    /// Takes `bytes` that are there already, whether they fit or not.
    pub(crate) fn take(&mut self, bytes: u64) {
        self.held = self.held.saturating_add(bytes);
        self.peak = self.peak.max(self.held);
    }

    /// Gives `bytes` back.
    pub(crate) fn give(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.held, "gives {bytes} of {}", self.held);
        self.held = self.held.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fraction_is_of_what_is_available() {
        let budget = Budget::resolve(&MaxMemory::fraction(0.25)).unwrap();
        assert_eq!(budget.bytes, Bytes::from_f64(budget.available.unwrap().as_f64() * 0.25));
    }

    proptest! {
        #[test]
        fn taken_less_given_is_held_and_never_above_the_budget(steps in prop::collection::vec((any::<bool>(), 0u64..100), 0..200)) {
            let mut ledger = Ledger::new(Bytes::new(1000));
            let mut taken = Vec::new();
            let mut peak = 0;
            for (take, bytes) in steps {
                if take {
                    let fits = taken.iter().sum::<u64>() + bytes <= 1000;
                    prop_assert_eq!(ledger.try_take(bytes), fits);
                    if fits { taken.push(bytes); }
                } else if let Some(bytes) = taken.pop() {
                    ledger.give(bytes);
                }
                peak = peak.max(taken.iter().sum());
                prop_assert_eq!(ledger.held(), taken.iter().sum::<u64>());
                prop_assert!(ledger.held() <= 1000);
                prop_assert_eq!(ledger.peak(), peak);
            }
        }
    }
}
