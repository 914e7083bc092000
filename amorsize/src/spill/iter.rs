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
    cursor: Cursor<R>,
}

impl<'a, R> Iter<'a, R> {
    pub(super) fn new(spilled: &'a Spilled<R>) -> Self {
        Self { spilled, cursor: Cursor::new(Vec::new(), spilled.len()) }
    }
}

impl<R: Serialize + DeserializeOwned> Iterator for Iter<'_, R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let spilled = self.spilled;
        self.cursor.next(|place| spilled.part(place).map_err(|error| (error, spilled.kept.skip(place))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.cursor.size_hint()
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
        IntoIter { kept, cursor: Cursor::new(read, left), _credit: credit }
    }
}

/// How far an iterator has come.
struct Cursor<R> {
    read: std::vec::IntoIter<R>,
    /// The place of the results behind `read`.
    place: Place,
    /// The error of a part that can't be read, and how many of its results are left. Each is an
    /// error: so all others keep their places beside their [indices](Spilled::indices).
    unread: Option<(Error, usize)>,
    left: usize,
}

impl<R> Cursor<R> {
    fn new(read: Vec<R>, left: usize) -> Self {
        Self { read: read.into_iter(), place: Place::default(), unread: None, left }
    }

    /// The next result. `part` reads the next part of them, or tells how many it can't read.
    fn next(
        &mut self,
        mut part: impl FnMut(&mut Place) -> Result<Option<Vec<R>>, (Error, usize)>,
    ) -> Option<Result<R, Error>> {
        if self.left == 0 {
            return None;
        }
        while self.read.len() == 0 {
            if let Some((error, results)) = self.unread.as_mut().filter(|(_, results)| *results > 0) {
                (*results, self.left) = (*results - 1, self.left - 1);
                return Some(Err(Error::new(error.kind().clone())));
            }
            match part(&mut self.place) {
                Ok(values) => self.read = values?.into_iter(),
                Err(unread) => self.unread = Some(unread),
            }
        }
        self.left -= 1;
        self.read.next().map(Ok)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left > 0), Some(self.left))
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
    /// The results that are not read.
    kept: Option<Kept<R>>,
    cursor: Cursor<R>,
    /// The credit of results that were in memory.
    _credit: Credit,
}

impl<R: DeserializeOwned> Iterator for IntoIter<R> {
    type Item = Result<R, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { kept, cursor, .. } = self;
        cursor.next(|place| {
            let Some(kept) = kept else { return Ok(None) };
            let part = kept.part(place).map_err(|error| (error, kept.skip(place)));
            if let Kept::Disk(file) = kept {
                file.give_back(place.next);
            }
            part
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.cursor.size_hint()
    }
}

impl<R: DeserializeOwned> FusedIterator for IntoIter<R> {}

impl<R> fmt::Debug for Iter<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.cursor.left).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for IntoIter<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.cursor.left).finish_non_exhaustive()
    }
}
