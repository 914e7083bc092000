//! The iterators over spilled results.

use std::fmt;
use std::iter::FusedIterator;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::checkpoint::Place;
use super::{Kept, Spilled};
use crate::error::Error;
use crate::memory::credit::Credit;

/// Reads the results again and again; made by [`Spilled::iter`].
///
/// # Examples
///
/// ```
/// # use amorsize::process_in_batches;
/// let squares = process_in_batches(|x: u32| x * x, 0..3).spill()?;
/// let all: Result<Vec<_>, _> = squares.iter().collect();
/// assert_eq!(all?, [0, 1, 4]);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is asked for results"]
pub struct Iter<'a, R> {
    spilled: &'a Spilled<R>,
    /// That of the results behind `read`.
    place: Place,
    read: std::vec::IntoIter<R>,
    unread: Unread,
    left: usize,
}

impl<'a, R> Iter<'a, R> {
    pub(super) fn new(spilled: &'a Spilled<R>) -> Self {
        let (read, left) = (Vec::new().into_iter(), spilled.len());
        Self { spilled, place: Place::default(), read, unread: Unread::default(), left }
    }
}

impl<R: Serialize + DeserializeOwned> Iterator for Iter<'_, R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        while self.read.len() == 0 {
            if let Some(error) = self.unread.next() {
                self.left -= 1;
                return Some(Err(error));
            }
            match self.spilled.part(&mut self.place) {
                Ok(values) => self.read = values?.into_iter(),
                Err(error) => {
                    let results = self.spilled.kept.skip(&mut self.place);
                    self.unread = Unread { error: Some(error), results };
                }
            }
        }
        self.left -= 1;
        self.read.next().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left > 0), Some(self.left))
    }
}

impl<R: Serialize + DeserializeOwned> FusedIterator for Iter<'_, R> {}

impl<'a, R: Serialize + DeserializeOwned> IntoIterator for &'a Spilled<R> {
    type Item = Result<R, Error>;
    type IntoIter = Iter<'a, R>;

    fn into_iter(self) -> Iter<'a, R> {
        self.iter()
    }
}

impl<R: DeserializeOwned> IntoIterator for Spilled<R> {
    type Item = Result<R, Error>;
    type IntoIter = IntoIter<R>;

    /// Takes the results out, and frees disk space on the way; the directory of a checkpoint stays.
    fn into_iter(self) -> IntoIter<R> {
        let left = self.len();
        let (kept, read, credit) = match self.kept {
            Kept::Memory { values, credit, .. } => (None, values, credit),
            kept => (Some(kept), Vec::new(), Credit::NONE),
        };
        let (read, unread) = (read.into_iter(), Unread::default());
        IntoIter { kept, place: Place::default(), read, unread, left, _credit: credit }
    }
}

/// The results of a part that can't be read. Each is an error: so all others keep their places
/// beside their [indices](Spilled::indices).
#[derive(Default)]
struct Unread {
    error: Option<Error>,
    results: usize,
}

impl Unread {
    fn next(&mut self) -> Option<Error> {
        self.results = self.results.checked_sub(1)?;
        self.error.as_ref().map(|error| Error::new(error.kind().clone()))
    }
}

/// Takes the results out; made by [`Spilled::into_iter`].
///
/// # Examples
///
/// ```
/// # use amorsize::process_in_batches;
/// for square in process_in_batches(|x: u32| x * x, 0..3).spill()? {
///     assert!(square? < 9);
/// }
/// # Ok::<(), amorsize::Error>(())
/// ```
#[must_use = "an iterator does nothing until it is asked for results"]
pub struct IntoIter<R> {
    /// The results that are not in `read`.
    kept: Option<Kept<R>>,
    /// That of the results behind `read`.
    place: Place,
    read: std::vec::IntoIter<R>,
    unread: Unread,
    left: usize,
    /// The credit of results that were in memory.
    _credit: Credit,
}

impl<R: DeserializeOwned> Iterator for IntoIter<R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        while self.read.len() == 0 {
            if let Some(error) = self.unread.next() {
                self.left -= 1;
                return Some(Err(error));
            }
            let kept = self.kept.as_mut()?;
            match kept.part(&mut self.place) {
                Ok(values) => self.read = values?.into_iter(),
                Err(error) => self.unread = Unread { error: Some(error), results: kept.skip(&mut self.place) },
            }
            if let Kept::Disk(file) = kept {
                file.give_back(self.place.next);
            }
        }
        self.left -= 1;
        self.read.next().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left > 0), Some(self.left))
    }
}

impl<R: DeserializeOwned> FusedIterator for IntoIter<R> {}

impl<R> fmt::Debug for Iter<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for IntoIter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.left).finish_non_exhaustive()
    }
}
