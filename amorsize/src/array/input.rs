//! The input of an array: its shares, and the text or hash that identifies it.

use std::hash::Hasher;
use std::ops::Range;

use super::ArrayError;
use crate::store::{StableHasher, hex};

/// The items of a task: shares differ by one item at most.
pub(super) fn share(items: usize, tasks: usize, task: usize) -> Range<usize> {
    let bound = |task: usize| (items as u128 * task as u128 / tasks as u128) as usize;
    bound(task)..bound(task + 1)
}

/// The items of one task, as an input of a run.
pub(crate) enum Share<N: Iterator> {
    /// Items that were kept while the rest of the input was hashed.
    Kept(std::vec::IntoIter<N::Item>),
    /// The next items of an iterator, which goes on behind them.
    Streamed {
        iterator: N,
        /// The items that are not taken.
        left: usize,
        /// The index of the item behind the last one.
        end: usize,
        /// The number of items of the iterator, if it ended before that.
        ended_at: Option<usize>,
    },
}

impl<N: Iterator> Share<N> {
    /// No items.
    pub(crate) fn empty() -> Self {
        Self::Kept(Vec::new().into_iter())
    }
}

impl<N: Iterator> Iterator for Share<N> {
    type Item = N::Item;

    fn next(&mut self) -> Option<N::Item> {
        match self {
            Self::Kept(items) => items.next(),
            Self::Streamed { left: 0, .. } | Self::Streamed { ended_at: Some(_), .. } => None,
            Self::Streamed { iterator, left, end, ended_at } => {
                let item = iterator.next();
                match item {
                    Some(_) => *left -= 1,
                    None => *ended_at = Some(*end - *left),
                }
                item
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Kept(items) => items.size_hint(),
            Self::Streamed { ended_at: Some(_), .. } => (0, Some(0)),
            Self::Streamed { left, .. } => (*left, Some(*left)),
        }
    }
}

/// Appends the bytes that tell an item from others. The text of an error says why that fails.
pub(crate) type AddItem<'h, T> = &'h mut dyn FnMut(&T, &mut Vec<u8>) -> Result<(), String>;

/// The shares to run, taken one after another.
pub(crate) struct Shares<N: Iterator> {
    pub(crate) items: usize,
    tasks: usize,
    /// The text or hash that identifies the input.
    pub(crate) input: String,
    rest: Rest<N>,
}

enum Rest<N: Iterator> {
    /// The items of each share, with its range.
    Kept(std::vec::IntoIter<(Range<usize>, Vec<N::Item>)>),
    /// The iterator, and the index of its next item. It is away while a share is run.
    Streamed(Option<N>, usize),
}

impl<N: ExactSizeIterator> Shares<N> {
    /// An input with a name.
    pub(crate) fn named(iterator: N, tasks: usize, name: &str) -> Self {
        let items = iterator.len();
        Self { items, tasks, input: format!("id {name}"), rest: Rest::Streamed(Some(iterator), 0) }
    }

    /// An input without a name, which its items identify: all are hashed, and those of the wanted
    /// shares are kept.
    pub(crate) fn hashed(
        iterator: N,
        tasks: usize,
        wanted: &[usize],
        add: AddItem<'_, N::Item>,
    ) -> Result<Self, ArrayError> {
        let items = iterator.len();
        let mut hash = StableHasher::default();
        let mut kept: Vec<(Range<usize>, Vec<N::Item>)> =
            wanted.iter().map(|&task| (share(items, tasks, task), Vec::new())).collect();
        let (mut at, mut ended_at) = (0, 0);
        for (index, item) in iterator.enumerate() {
            ended_at = index + 1;
            hash.gather(|bytes| add(&item, bytes)).map_err(|cause| {
                ArrayError::refused(format!(
                    "item {index} can't be told from others, as it can't become bytes: {cause}; state by `input_id` what \
                     tells this input from others"
                ))
            })?;
            while kept.get(at).is_some_and(|(range, _)| range.end <= index) {
                at += 1;
            }
            if let Some((range, items)) = kept.get_mut(at).filter(|(range, _)| range.contains(&index)) {
                if items.is_empty() {
                    items.reserve_exact(range.len());
                }
                items.push(item);
            }
        }
        if ended_at != items {
            return Err(other_length(items, ended_at));
        }
        Ok(Self { items, tasks, input: hex(hash.finish()), rest: Rest::Kept(kept.into_iter()) })
    }

    /// Takes the items of a wanted task. Those of the tasks before it are dropped: other processes
    /// may have done them since.
    pub(crate) fn take(&mut self, task: usize) -> Share<N> {
        let range = share(self.items, self.tasks, task);
        match &mut self.rest {
            Rest::Kept(shares) => {
                let (_, items) = shares.find(|(known, _)| *known == range).unwrap_or_default();
                Share::Kept(items.into_iter())
            }
            Rest::Streamed(iterator, next) => {
                let Some(mut iterator) = iterator.take() else { return Share::empty() };
                let before = range.start - *next;
                let dropped = iterator.by_ref().take(before).count();
                let ended_at = (dropped < before).then_some(*next + dropped);
                *next = range.end;
                Share::Streamed { iterator, left: range.len(), end: range.end, ended_at }
            }
        }
    }

    /// Takes back the rest of a share, so that the next one can be taken.
    ///
    /// # Errors
    ///
    /// If the input has fewer or more items than it said: some would have no result.
    pub(crate) fn give_back(&mut self, mut share: Share<N>) -> Result<(), ArrayError> {
        let Rest::Streamed(rest, _) = &mut self.rest else { return Ok(()) };
        share.by_ref().for_each(drop);
        let Share::Streamed { mut iterator, end, ended_at, .. } = share else { return Ok(()) };
        if let Some(items) = ended_at {
            return Err(other_length(self.items, items));
        }
        if end == self.items && iterator.next().is_some() {
            return Err(other_length(self.items, "more"));
        }
        *rest = Some(iterator);
        Ok(())
    }
}

/// Refuses an input with another number of items than it said.
fn other_length(said: usize, has: impl std::fmt::Display) -> ArrayError {
    ArrayError::refused(format!(
        "the input said that it has {said} items, and has {has}: collect it into a `Vec` first"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::encode;

    #[test]
    fn shares_cover_the_input_and_differ_by_one_item() {
        for (items, tasks) in [(0, 1), (10, 1), (10, 3), (3, 10), (20_000, 16), (usize::MAX, 7)] {
            let mut end = 0;
            for task in 0..tasks {
                let range = share(items, tasks, task);
                assert!(range.start == end && range.len() - items / tasks <= 1, "{items} {tasks} {task}");
                end = range.end;
            }
            assert_eq!(end, items);
        }
    }

    #[test]
    fn wanted_shares_are_given_whether_kept_or_streamed() {
        let wanted = [0, 2, 3, 6];
        let add: AddItem<'_, usize> = &mut encode;
        let hashed = Shares::hashed(0..23_usize, 7, &wanted, add).map_err(drop).unwrap();
        let named = Shares::named(0..23_usize, 7, "it");
        assert_eq!((named.input.as_str(), named.items), ("id it", 23));
        for mut shares in [hashed, named] {
            for task in wanted {
                let mut given = shares.take(task);
                let expected: Vec<_> = share(23, 7, task).collect();
                assert_eq!(given.size_hint().0, expected.len());
                // A run may leave some items.
                let taken: Vec<_> = given.by_ref().take(2).collect();
                assert_eq!(taken, expected[..2]);
                assert_eq!(given.next(), expected.get(2).copied());
                shares.give_back(given).map_err(drop).unwrap();
            }
        }
    }

    #[test]
    fn a_share_that_is_not_taken_leaves_the_others_as_they_are() {
        let add: AddItem<'_, usize> = &mut encode;
        let hashed = Shares::hashed(0..23_usize, 7, &[0, 2, 3, 6], add).map_err(drop).unwrap();
        for mut shares in [hashed, Shares::named(0..23_usize, 7, "it")] {
            for task in [2, 6] {
                let mut given = shares.take(task);
                assert!(given.by_ref().eq(share(23, 7, task)), "{task}");
                shares.give_back(given).map_err(drop).unwrap();
            }
        }
    }

    #[test]
    fn empty_shares_have_no_items() {
        let mut shares = Shares::hashed(0..2_usize, 5, &[0, 1, 2, 4], &mut encode).map_err(drop).unwrap();
        let all: Vec<Vec<_>> = [0, 1, 2, 4].map(|task| shares.take(task).collect()).into();
        assert_eq!(all, [vec![], vec![], vec![0], vec![1]]);
    }

    #[test]
    fn an_input_of_another_length_than_it_said_is_refused() {
        struct Says(usize, std::ops::Range<u64>);

        impl Iterator for Says {
            type Item = u64;

            fn next(&mut self) -> Option<u64> {
                self.1.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.0, Some(self.0))
            }
        }

        impl ExactSizeIterator for Says {}

        for (says, has) in [(3, 2), (2, 3)] {
            let refused = Shares::hashed(Says(says, 0..has), 2, &[0], &mut encode).err().unwrap();
            assert_eq!(
                refused.to_string(),
                format!("the input said that it has {says} items, and has {has}: collect it into a `Vec` first")
            );
        }
    }

    #[test]
    fn an_input_is_known_by_its_items_and_their_order() {
        let of =
            |items: &[u64]| Shares::hashed(items.iter().copied(), 2, &[], &mut encode).map_err(drop).unwrap().input;
        assert_eq!(of(&[1, 2, 3]), of(&[1, 2, 3]));
        assert_ne!(of(&[1, 2, 3]), of(&[1, 3, 2]));
        assert_ne!(of(&[1, 2, 3]), of(&[1, 2, 4]));
        let refused = Shares::hashed([1_u64].into_iter(), 2, &[], &mut |_, _| Err("no".into())).err().unwrap();
        assert_eq!(
            refused.to_string(),
            "item 0 can't be told from others, as it can't become bytes: no; state by `input_id` what tells this input from \
             others"
        );
    }
}
