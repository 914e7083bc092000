//! Opens a directory, finds the items that are done, and reads their results.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::done::Done;
use super::found::{Found, Reading, Restored, Unread, segments};
use super::frame::{Head, Spot, VOID};
use super::identity::{Identity, ItemsHash};
use super::lock::Lock;
use super::manifest;
use super::removal;
use super::segment::{Directory, Header, Segment, Supply};
use super::writer::{Settings, Writer};
use crate::error::stored::storage;
use crate::error::{Error, ErrorKind};

/// A directory that a run uses, locked as long as this or its writer lives.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) found: Found,
    supply: Directory,
    reading: Reading,
}

impl Store {
    /// Locks a directory and finds what is done in it. A missing directory is made.
    ///
    /// Reads the heads of frames. Reads all bytes of segments that no frame closes: their process
    /// was killed, and a power cut may have taken any part of them.
    pub(crate) fn open(directory: &Path, identity: &Identity) -> Result<Self, Error> {
        let lock = Lock::take(directory)?;
        removal::finish(directory)?;
        let segments = segments(directory)?;
        let begun = manifest::compare_or_write(directory, identity, !segments.is_empty())?;

        let next = segments.last().map_or(1, |last| last.saturating_add(1));
        let found = Found::scan(directory, &segments, begun)?;
        Ok(Self { found, supply: Directory::new(directory, next, lock), reading: Reading::default() })
    }

    /// Items that are done.
    #[cfg(test)]
    pub(crate) fn items(&self) -> u64 {
        self.found.done.iter().map(|done| u64::from(done.items)).sum()
    }

    /// True if a run has to write that it came to its end, although an earlier one did: what was
    /// damaged is then known to be computed anew.
    pub(crate) fn must_be_ended(&self) -> bool {
        self.found.damaged > 0 && !self.found.is_mended
    }

    /// Begins to write to new segments. The bytes that are there count for `max_disk`.
    pub(crate) fn writer(&self, settings: Settings) -> Result<Writer, Error> {
        Writer::start(Box::new(self.supply.clone()), settings, self.found.bytes, self.found.unnoted.clone())
    }

    /// Refuses an input if the hash of these items is not that of the done ones.
    pub(crate) fn check_items(&self, done: &Done, hash: ItemsHash) -> Result<(), Error> {
        if done.hash == hash.0 {
            return Ok(());
        }
        Err(self.input_changed(done.first, done.items.into(), false))
    }

    /// The error for an item that is done, and that the input now gives an error for.
    pub(crate) fn input_error(&self, item: u64) -> Error {
        let cause = format!("it gave an error for item {item}, which is done; run it again once the input can be read");
        storage(&self.found.directory, "compared with the input", &io::Error::other(cause), None, None)
    }

    /// Refuses an input that ended after `items` items, if more are done.
    pub(crate) fn check_end(&self, items: u64) -> Result<(), Error> {
        let known = self.found.done.last().map_or(0, Done::end).max(self.found.end.unwrap_or(0));
        if items >= known {
            return Ok(());
        }
        Err(self.input_changed(items, known - items, true))
    }

    fn input_changed(&self, item: u64, items: u64, ended: bool) -> Error {
        let [item, items] = [item, items].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        Error::new(ErrorKind::InputChanged { directory: self.found.directory.clone(), item, items, ended })
    }

    /// Refuses a type of results if the stored results are of another type. The first results of
    /// each segment are read as this type, and must have the shape that they had. Takes a few
    /// milliseconds for each segment.
    ///
    /// If a segment's header or its first frame is damaged, there is nothing to compare, and the
    /// other segments are checked in its place.
    pub(crate) fn check_results<R: Serialize + DeserializeOwned>(&mut self) -> Result<(), Error> {
        let checked = self.found.check_results::<R>(&mut self.reading);
        checked.or_else(|unread| self.void_damaged(unread))
    }

    /// The results of items that are done, not yet decoded.
    ///
    /// If their frame is damaged, this writes a frame that says so to later runs, which compute the
    /// items anew.
    pub(crate) fn read(&mut self, done: &Done) -> Result<Restored, Error> {
        let restored = self.found.read(done, &mut self.reading);
        restored.or_else(|unread| self.void_damaged(unread))
    }

    /// Tells later runs that a frame is damaged, if that is why it could not be read.
    fn void_damaged<V>(&mut self, unread: Unread) -> Result<V, Error> {
        if let Some(spot) = unread.damaged {
            self.void(spot)?;
        }
        Err(unread.error)
    }

    /// Lets later runs compute the items of a frame anew.
    fn void(&mut self, spot: Spot) -> Result<(), Error> {
        let failed = |(path, operation, error): (PathBuf, _, io::Error)| storage(&path, operation, &error, None, None);
        let mut segment = Segment::begin(&mut self.supply, &Header::new(String::new()))
            .map_err(|(path, error)| failed((path, "written", error)))?;
        let note = spot.to_bytes();
        let written = segment.write(&Head::new(VOID, Vec::new(), note.len() as u64, &[&note]), &[&note]);
        written.map_err(|error| failed((segment.path().to_owned(), "written", error)))?;
        segment.close().map_err(failed)?;
        self.supply.sync_names().map_err(|error| failed((self.found.directory.clone(), "synced", error)))
    }

    /// Removes the directory, except for files that are not a run's. An error says that nothing is
    /// removed. If files are left that no longer count, this gives the reason; the next run removes
    /// them.
    pub(crate) fn remove(self) -> Result<Option<Error>, Error> {
        let failed = |error| storage(&self.found.directory, "removed", &error, None, None);
        // Another directory may have taken its place.
        self.supply.check().map_err(failed)?;
        removal::begin(&self.found.directory)?;
        Ok(removal::of_directory(&self.found.directory).err())
    }

    /// Lowers the most bytes of contents that are kept for other items in the same frame. One
    /// content is kept however large it is.
    pub(crate) fn keep_contents(&mut self, bytes: usize) {
        let most = &mut self.reading.contents.most;
        *most = bytes.min(*most);
    }
}
