//! The results of [`Batched::spill`](crate::Batched::spill), in memory or on disk, and those of a
//! checkpoint, see [`Spilled::open`].

mod checkpoint;
mod directory;
mod file;
mod iter;
mod on_disk;
mod runs;

use std::fmt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::checkpoint::Place;
pub(crate) use self::checkpoint::{Checkpoint, Parts};
pub(crate) use self::directory::{directory, is_memory};
pub(crate) use self::file::SpillFile;
pub use self::iter::{IntoIter, Iter};
pub(crate) use self::on_disk::OnDisk;
use crate::durable::StoredResult;
use crate::error::{Error, ErrorKind};
use crate::memory::credit::Credit;
use crate::output::batch::{Batch, Indices};
use crate::sink::write_error::WriteError;
use crate::sink::{Pausing, Sink};
use crate::store::{FRAME, decode_whole, encode};
use crate::system::paths::absolute;
use crate::units::ByteSize;

/// All results of a run, in input order: in memory if they fit the run's budget, otherwise in
/// temporary files or in the directory of a checkpoint. Made by
/// [`Batched::spill`](crate::Batched::spill) and by [`open`](Self::open).
///
/// The temporary files have no name, and end with the process, however it ends. About a mebibyte of
/// results is in memory at a time while they are read.
///
/// Results in memory go on holding their part of the run's budget. If the run was started within a
/// call of another run, that one counts them until they are dropped.
///
/// # Examples
///
/// ```
/// use amorsize::{ByteSize, batched};
///
/// #[batched(max_memory = "4MiB")]
/// fn page(number: u32) -> String {
///     number.to_string().repeat(100_000)
/// }
///
/// let pages = page_batched(0..100).spill()?;
/// assert!(pages.len() == 100 && pages.on_disk() > ByteSize::ZERO);
/// // Again and again.
/// for _ in 0..2 {
///     let mut bytes = 0;
///     for page in &pages {
///         bytes += page?.len();
///     }
///     assert_eq!(bytes, 19_000_000);
/// }
/// assert!(pages.get(7).unwrap()?.starts_with("777"));
/// # Ok::<(), amorsize::Error>(())
/// ```
pub struct Spilled<R> {
    kept: Kept<R>,
}

enum Kept<R> {
    Memory {
        values: Vec<R>,
        /// The first item, and the places where items were left out: a result's place, and the
        /// index of its item.
        first: usize,
        jumps: Vec<(usize, usize)>,
        /// The credit of the run that made them.
        credit: Credit,
    },
    Disk(SpillFile),
    Checkpoint(Box<Checkpoint<R>>),
}

impl<R> Spilled<R> {
    pub(crate) fn in_memory(values: Vec<R>, first: usize, jumps: Vec<(usize, usize)>, credit: Credit) -> Self {
        Self { kept: Kept::Memory { values, first, jumps, credit } }
    }

    pub(crate) fn on_the_disk(file: SpillFile) -> Self {
        Self { kept: Kept::Disk(file) }
    }

    pub(crate) fn of_checkpoint(checkpoint: Checkpoint<R>) -> Self {
        Self { kept: Kept::Checkpoint(Box::new(checkpoint)) }
    }

    /// Opens the results of a [checkpoint](crate::Batched::checkpoint), in a later process or while
    /// the run goes on. It has the results that were on disk when this was called.
    ///
    /// It needs neither the function nor the input: it only reads, and changes nothing, so the
    /// directory may be one that can't be written to. A run may use the directory meanwhile.
    ///
    /// Damage hides no other results. What is found damaged here is passed over, and
    /// [`is_complete`](Self::is_complete) is false. Most bytes are read later: a result that is
    /// found damaged then is an error in its place, and `is_complete` is false from then on. The
    /// same call of the run computes damaged results anew.
    ///
    /// # Errors
    ///
    /// If the directory is not that of a checkpoint or can't be read, or if its results are of
    /// another type: see [`Error::is_changed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Spilled, batched};
    ///
    /// #[batched]
    /// fn words(text: &str) -> usize {
    ///     text.split_whitespace().count()
    /// }
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-open-{}", std::process::id()));
    /// words_batched(["to be", "or not to be"]).checkpoint(&runs).for_each_batch(|_| ())?;
    ///
    /// // In another process:
    /// let counts = Spilled::<usize>::open(&runs)?;
    /// assert!(counts.is_complete());
    /// assert_eq!(counts.iter().collect::<Result<Vec<_>, _>>()?, [2, 4]);
    /// # std::fs::remove_dir_all(runs).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, Error>
    where
        R: StoredResult,
    {
        Checkpoint::open(&absolute(directory.as_ref())).map(Self::of_checkpoint)
    }

    /// True if these are all results. Only for a checkpoint it can be false: if its run did not
    /// come to its end, if it left out its first items or went on without a result that could not
    /// be stored, or if a part of it is known to be damaged. Reading a damaged result makes it
    /// known.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// assert!(process_in_batches(|x: u32| x * x, 0..10).spill()?.is_complete());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.kept {
            Kept::Memory { .. } | Kept::Disk(_) => true,
            Kept::Checkpoint(checkpoint) => checkpoint.is_complete(),
        }
    }

    /// The number of results.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// assert_eq!(process_in_batches(|x: u32| x * x, 0..10).spill()?.len(), 10);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.kept {
            Kept::Memory { values, .. } => values.len(),
            Kept::Disk(file) => file.len(),
            Kept::Checkpoint(checkpoint) => checkpoint.len(),
        }
    }

    /// True if there are no results.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// assert!(process_in_batches(|x: u32| x * x, 0..0).spill()?.is_empty());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes on disk; 0 if the results fit the budget.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, process_in_batches};
    /// assert_eq!(process_in_batches(|x: u32| x * x, 0..10).spill()?.on_disk(), ByteSize::ZERO);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub fn on_disk(&self) -> ByteSize {
        match &self.kept {
            Kept::Memory { .. } => ByteSize::ZERO,
            Kept::Disk(file) => ByteSize::new(file.bytes()),
            Kept::Checkpoint(checkpoint) => ByteSize::new(checkpoint.bytes()),
        }
    }

    /// The index in the input of each result's item, in the order of the results. The iterator has
    /// 16 bytes for each place where items were left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{on_error::Skip, process_in_batches};
    ///
    /// let numbers = process_in_batches(str::parse::<u32>, ["1", "two", "3"]).on_error(Skip).spill()?;
    /// assert!(numbers.indices().eq([0, 2]));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn indices(&self) -> Indices {
        let (mut place, mut next, mut jumps) = (0, 0, Vec::new());
        for (first, items) in self.kept.all_runs() {
            if first != next {
                jumps.push((place, first));
            }
            (place, next) = (place + items, first + items);
        }
        Indices::new(0, place, jumps)
    }
}

impl<R> Kept<R> {
    /// Consecutive items of all parts, see [`runs`](Self::runs).
    fn all_runs(&self) -> impl Iterator<Item = (usize, usize)> {
        let parts = match self {
            Self::Memory { .. } => 1,
            Self::Disk(file) => file.frames(),
            Self::Checkpoint(checkpoint) => checkpoint.parts().count(),
        };
        (0..parts).flat_map(move |part| self.runs(part))
    }

    /// Consecutive items of a part: the first item, and the number of items.
    fn runs(&self, part: usize) -> impl Iterator<Item = (usize, usize)> {
        let (memory, file, checkpoint) = match self {
            Self::Memory { values, first, jumps, .. } => {
                let begins = [(0, *first)].into_iter().chain(jumps.iter().copied());
                let ends = jumps.iter().map(|(place, _)| *place).chain([values.len()]);
                (Some(begins.zip(ends).map(|((place, item), end)| (item, end - place))), None, None)
            }
            Self::Disk(file) => (None, Some(file.runs(part)), None),
            Self::Checkpoint(checkpoint) => (None, None, Some(checkpoint.parts().run(part))),
        };
        memory.into_iter().flatten().chain(file.into_iter().flatten()).chain(checkpoint)
    }

    /// Leaves out the rest of a part on the disk, or a result in memory, and gives the number of
    /// these results.
    fn skip(&self, place: &mut Place) -> usize {
        if let Self::Checkpoint(checkpoint) = self {
            return checkpoint.skip(place);
        }
        let runs = self.runs(place.next);
        place.next += 1;
        if let Self::Memory { .. } = self { 1 } else { runs.map(|(_, items)| items).sum() }
    }
}

impl<R: Serialize + DeserializeOwned> Spilled<R> {
    /// Reads the results in input order, from the disk as they are asked for. It can be called
    /// again and again, also while other iterators read.
    ///
    /// Each result is made anew from its bytes, even if the results are in memory. Where damage, or
    /// a result's own code, prevents reading it, each result of the same part is an error in its
    /// place, and the results of other parts come all the same. In memory each result is a part of
    /// its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let squares = process_in_batches(|x: u32| x * x, 0..10).spill()?;
    /// let sum: Result<u32, _> = squares.iter().sum();
    /// assert_eq!(sum?, 285);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, R> {
        Iter::new(self)
    }

    /// The result of the item with this index in the input; `None` if the item has none.
    ///
    /// From the disk this takes about as long as reading a mebibyte.
    ///
    /// # Errors
    ///
    /// If the result can't be read.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::process_in_batches;
    /// let squares = process_in_batches(|x: u32| x * x, 0..10).spill()?;
    /// assert_eq!(squares.get(9).unwrap()?, 81);
    /// assert!(squares.get(10).is_none());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn get(&self, index: usize) -> Option<Result<R, Error>> {
        match &self.kept {
            Kept::Memory { values, first, jumps, .. } => {
                let at = jumps.partition_point(|(_, item)| *item <= index);
                let (place, item) = at.checked_sub(1).map_or((0, *first), |at| jumps[at]);
                let place = place + index.checked_sub(item)?;
                let end = jumps.get(at).map_or(values.len(), |(place, _)| *place);
                (place < end).then(|| copy(&values[place], &mut 0))
            }
            Kept::Disk(file) => file.get(index),
            Kept::Checkpoint(checkpoint) => checkpoint.get(index),
        }
    }

    /// Hands all results to a sink, in input order and batches of about a mebibyte.
    ///
    /// Each call begins with the first result. After an error give it a new sink: one that was lent
    /// as `&mut sink` may have some of the results already.
    ///
    /// # Errors
    ///
    /// The sink's first error, or an error of reading the results.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    /// use amorsize::sink::JsonLines;
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-spilled-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("squares.jsonl");
    /// process_in_batches(|x: u32| x * x, 0..3).spill()?.write_to(JsonLines::new(&path))?;
    /// assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n4\n");
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn write_to<S: Sink<R, Error: WriteError<Error>>>(
        &self,
        sink: S,
    ) -> Result<(), <S::Error as WriteError<Error>>::Failed> {
        let of_run = <S::Error as WriteError<Error>>::of_run;
        let mut sink = Pausing::begin(sink).map_err(WriteError::of_sink)?;
        let is_restored = matches!(self.kept, Kept::Checkpoint(_));
        // As they are needed: all gaps at once may take more memory than there is.
        let mut indices = self.kept.all_runs().flat_map(|(first, items)| first..first + items);
        let mut place = Place::default();
        while let Some(values) = self.part(&mut place).map_err(of_run)? {
            sink.batch(Batch::of(values, &mut indices, is_restored)).map_err(WriteError::of_sink)?;
        }
        sink.finish().map_err(WriteError::of_sink)
    }

    /// The next results, about a mebibyte of them; there is at least one.
    fn part(&self, place: &mut Place) -> Result<Option<Vec<R>>, Error> {
        let Kept::Memory { values, .. } = &self.kept else { return self.kept.part(place) };
        let (mut copies, mut bytes) = (Vec::new(), 0);
        for value in values.get(place.next..).unwrap_or_default() {
            match copy(value, &mut bytes) {
                Ok(copied) => copies.push(copied),
                // Those before it first. The next call comes to it again.
                Err(_) if !copies.is_empty() => break,
                Err(error) => return Err(error),
            }
            if bytes.max(copies.len() * size_of::<R>()) >= FRAME {
                break;
            }
        }
        place.next += copies.len();
        Ok((!copies.is_empty()).then_some(copies))
    }
}

impl<R: DeserializeOwned> Kept<R> {
    /// The next results of those on disk; there is at least one.
    fn part(&self, place: &mut Place) -> Result<Option<Vec<R>>, Error> {
        loop {
            let results = match self {
                Self::Disk(file) if place.next < file.frames() => {
                    let results = file.read(place.next, place.reading.buffers())?;
                    // Not before: if the results' own code panics, the next call still finds them.
                    place.next += 1;
                    results
                }
                Self::Checkpoint(checkpoint) if place.next < checkpoint.parts().count() => {
                    checkpoint.read(place, FRAME)?
                }
                _ => return Ok(None),
            };
            // All of them may be before the first item that is asked for.
            if !results.is_empty() {
                return Ok(Some(results));
            }
        }
    }
}

/// A result made from its bytes, like one from the disk; adds their number.
fn copy<R: Serialize + DeserializeOwned>(result: &R, bytes: &mut usize) -> Result<R, Error> {
    let mut encoded = Vec::new();
    let copied = encode(result, &mut encoded).and_then(|()| decode_whole(&encoded));
    *bytes += encoded.len();
    copied.map_err(|cause| Error::new(ErrorKind::Unwritable { path: "memory".into(), item: None, column: None, cause }))
}

impl<R> fmt::Debug for Spilled<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spilled").field("len", &self.len()).field("on_disk", &self.on_disk()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
