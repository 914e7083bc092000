//! The indices of items with results, in little memory.

/// Indices that count up, stored as runs of consecutive indices. Of each run the gap before it and
/// its length are kept, as numbers of as few bytes as they need: mostly two bytes for both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// All runs but the last one. The gap of the first run is its first index.
    closed: Vec<u8>,
    closed_end: usize,
    /// The last run.
    first: usize,
    end: usize,
    items: usize,
}

impl Runs {
    /// Adds an index above all others.
    #[inline]
    pub(crate) fn push(&mut self, index: usize) {
        debug_assert!(self.items == 0 || index >= self.end, "indices count up");
        if self.items > 0 && index != self.end {
            push_number(&mut self.closed, self.first - self.closed_end);
            push_number(&mut self.closed, self.end - self.first);
            self.closed_end = self.end;
        }
        if self.items == 0 || index != self.end {
            self.first = index;
        }
        self.end = index + 1;
        self.items += 1;
    }

    /// The number of indices.
    #[inline]
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// The index behind the last one.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The bytes that they take beside their own size.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.closed.len()
    }

    pub(crate) fn shrunk(mut self) -> Self {
        self.closed.shrink_to_fit();
        self
    }

    /// The runs: the first index, and the number of indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut bytes, mut end) = (self.closed.iter(), 0);
        let closed = std::iter::from_fn(move || {
            let first = end + pop_number(&mut bytes)?;
            let items = pop_number(&mut bytes)?;
            end = first + items;
            Some((first, items))
        });
        closed.chain((self.items > 0).then_some((self.first, self.end - self.first)))
    }
}

/// Seven bits in each byte; the eighth says that more follow.
fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn pop_number(bytes: &mut std::slice::Iter<'_, u8>) -> Option<usize> {
    let (mut number, mut shift) = (0, 0);
    for byte in bytes {
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_pushed_comes_back(gaps in prop::collection::vec(prop_oneof![Just(0), 0..3_usize, 0..1_usize << 40], 0..300)) {
            let mut next = 0;
            let indices: Vec<usize> = gaps.iter().map(|gap| {
                next += gap + 1;
                next - 1
            }).collect();
            let mut runs = Runs::default();
            indices.iter().for_each(|index| runs.push(*index));
            let back: Vec<usize> = runs.iter().flat_map(|(first, items)| first..first + items).collect();
            prop_assert_eq!(&back, &indices);
            prop_assert_eq!((runs.items(), runs.end()), (indices.len(), indices.last().map_or(0, |last| last + 1)));
            // Adjacent runs are joined.
            prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|((first, items), (next, _))| first + items < next));
        }
    }

    #[test]
    fn every_second_item_takes_two_bytes() {
        let mut runs = Runs::default();
        (0..1000).for_each(|index| runs.push(2 * index));
        assert_eq!(runs.bytes(), 2 * 999);
    }
}
