//! The slowest and the largest items of a run, for its page.

use crate::adapt::learned::Stretch;

/// Few enough to read at a glance. Each costs a run 24 bytes.
const KEPT: usize = 3;

/// Consecutive items that were measured together; a single one if its call is long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Extreme<V> {
    pub(crate) first: usize,
    pub(crate) items: usize,
    pub(crate) value: V,
}

/// The entries with the highest values, the highest first. An entry without items is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Highest<V>([Extreme<V>; KEPT]);

impl<V: Copy + PartialOrd> Highest<V> {
    /// The value that an entry must exceed.
    fn least(&self) -> V {
        self.0[KEPT - 1].value
    }

    /// Rare, because each entry takes the place of a lower one.
    #[cold]
    fn insert(&mut self, entry: Extreme<V>) {
        if entry.value > self.least() {
            self.0[KEPT - 1] = entry;
            for place in (1..KEPT).rev() {
                if self.0[place].value > self.0[place - 1].value {
                    self.0.swap(place - 1, place);
                }
            }
        }
    }

    #[cfg(any(test, feature = "picture"))]
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Extreme<V>> {
        self.0.iter().filter(|entry| entry.items > 0)
    }
}

/// The slowest items by their seconds, on average where several were timed together, and those with
/// the largest results by the bytes of the largest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extremes {
    pub(crate) slowest: Highest<f64>,
    pub(crate) largest: Highest<u64>,
}

impl Extremes {
    /// Notes consecutive items, the first of them by its index in the input.
    pub(crate) fn note(&mut self, first: usize, stretch: &Stretch) {
        let items = stretch.items;
        if items == 0 {
            return;
        }
        // Without a division, which would take longer than all else here.
        if stretch.seconds > self.slowest.least() * items as f64 {
            let value = stretch.seconds / items as f64;
            self.slowest.insert(Extreme { first, items, value });
        }
        if stretch.largest > self.largest.least() {
            self.largest.insert(Extreme { first, items, value: stretch.largest });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_are_kept_in_order() {
        let mut extremes = Extremes::default();
        let calls = [(1, 2.0, 10), (4, 4.0, 10), (1, 5.0, 30), (2, 2.0, 20), (0, 9.0, 0), (1, 3.0, 40), (1, 0.0, 0)];
        let mut first = 0;
        for (items, seconds, largest) in calls {
            extremes.note(first, &Stretch { items, seconds, bytes: 0, largest, working: 0 });
            first += items;
        }
        let slowest: Vec<_> = extremes.slowest.entries().map(|entry| (entry.first, entry.items, entry.value)).collect();
        assert_eq!(slowest, [(5, 1, 5.0), (8, 1, 3.0), (0, 1, 2.0)]);
        let largest: Vec<_> = extremes.largest.entries().map(|entry| (entry.first, entry.items, entry.value)).collect();
        assert_eq!(largest, [(8, 1, 40), (5, 1, 30), (6, 2, 20)]);
    }

    #[test]
    fn what_takes_nothing_is_not_kept() {
        let mut extremes = Extremes::default();
        extremes.note(0, &Stretch { items: 5, ..Stretch::default() });
        assert!(extremes.slowest.entries().next().is_none() && extremes.largest.entries().next().is_none());
    }
}
