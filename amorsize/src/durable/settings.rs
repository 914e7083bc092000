//! The settings of a durable run, and the checks that refuse some of them.

use std::any::type_name;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::codec::Codec;
use super::functions::{Functions, NEW_VERSION};
use crate::code::HashOf;
use crate::error::Error;
use crate::store::{Identity, Kind, StableHasher};
use crate::units::{ByteSize, MOST_BYTES};

/// The settings of a durable run.
pub(crate) struct Durable<T, R> {
    /// The directory of results, and the functions that read and write them.
    pub(crate) checkpoint: Option<(PathBuf, Codec<R>)>,
    /// True once a result was read back from its bytes.
    was_read_back: AtomicBool,
    /// The directory that notes the items that a sink has.
    pub(crate) journal: Option<PathBuf>,
    pub(crate) version: Option<String>,
    /// A name for the items of an array job.
    #[cfg(feature = "array")]
    pub(crate) input_id: Option<String>,
    /// Hashes items that are `Hash`.
    hash: Option<HashOf<T>>,
    /// Hashes an item's key; used instead of `hash`.
    key: Option<Key<T>>,
    /// The most bytes on disk; the text if it can't be parsed.
    pub(crate) max_disk: Option<Result<ByteSize, String>>,
    pub(crate) spill_dir: Option<PathBuf>,
    /// True if the directory is removed when a terminal has given everything.
    pub(crate) remove_when_done: bool,
    /// The number of items at the beginning of the input that are dropped.
    pub(crate) skip_first: usize,
}

/// Hashes an item's key.
type Key<T> = Box<dyn Fn(&T, &mut StableHasher) -> u64 + Send + Sync>;

impl<T, R> Default for Durable<T, R> {
    fn default() -> Self {
        Self {
            checkpoint: None,
            was_read_back: AtomicBool::new(false),
            journal: None,
            version: None,
            #[cfg(feature = "array")]
            input_id: None,
            hash: None,
            key: None,
            max_disk: None,
            spill_dir: None,
            remove_when_done: false,
            skip_first: 0,
        }
    }
}

impl<T, R> Durable<T, R> {
    /// Settings that only leave items out.
    pub(super) fn skipping_first(items: usize) -> Self {
        Self { skip_first: items, ..Self::default() }
    }

    pub(crate) fn set_hash(&mut self, hash: Option<HashOf<T>>) {
        self.hash = hash.or(self.hash);
    }

    pub(crate) fn set_key<K: Hash, F: Fn(&T) -> K + Send + Sync + 'static>(&mut self, key: F) {
        self.key = Some(Box::new(move |item, hasher| hasher.of(&key(item))));
    }

    /// The most bytes on disk, if a bound was stated and found valid.
    pub(crate) fn max_disk(&self) -> Option<ByteSize> {
        self.max_disk.as_ref()?.as_ref().ok().copied()
    }

    /// Reads one of the run's first results back from its bytes. Otherwise a type that can't be
    /// read back would show only after all results are computed.
    #[inline]
    pub(crate) fn read_back(&self, codec: &Codec<R>, result: &R) -> Result<(), String> {
        if self.was_read_back.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(outcome) = (codec.read_back)(result) else { return Ok(()) };
        self.was_read_back.store(true, Ordering::Relaxed);
        outcome
    }

    /// The directory, and the kind of its contents; `None` if the run keeps nothing.
    pub(crate) fn place(&self) -> Option<(&Path, Kind)> {
        match (&self.checkpoint, &self.journal) {
            (Some((directory, _)), _) => Some((directory.as_path(), Kind::Checkpoint)),
            (None, Some(directory)) => Some((directory.as_path(), Kind::Journal)),
            (None, None) => None,
        }
    }

    /// The hash of an item, or of its key if the run has keys.
    ///
    /// # Panics
    ///
    /// If there is neither a hash nor a key. [`identity`](Self::identity) refuses that.
    pub(crate) fn hash_item(&self, item: &T, hasher: &mut StableHasher) -> u64 {
        match (&self.key, self.hash) {
            (Some(key), _) => key(item, hasher),
            (None, Some(hash)) => hasher.with(|hasher| hash(item, hasher)),
            (None, None) => unreachable!("a run that can't tell items apart is refused"),
        }
    }

    /// The option that makes the run keep what is finished.
    pub(crate) fn keeps(&self) -> Option<&'static str> {
        let (_, kind) = self.place()?;
        Some(name_of(kind))
    }

    /// The identity of the results that are kept, by the functions of the run; `None` if none are
    /// kept.
    ///
    /// # Errors
    ///
    /// If an option has a value that it does not take, or is missing.
    pub(crate) fn identity(&self, tell: impl FnOnce(&mut Functions)) -> Result<Option<Identity>, Error> {
        self.check()?;
        let Some((_, kind)) = self.place() else { return Ok(None) };
        let option = name_of(kind);
        if self.key.is_none() && self.hash.is_none() {
            return Err(Error::invalid_option(
                option,
                "given with the `key` of a stage",
                "`key` on the whole, before this",
            ));
        }
        let mut functions = Functions::default();
        tell(&mut functions);
        let result = self.checkpoint.as_ref().map_or(type_name::<R>(), |(_, codec)| codec.result);
        functions.identity::<T>(option, kind, self.version.as_ref(), result).map(Some)
    }

    /// Refuses a journal for a terminal without a sink.
    pub(crate) fn refuse_journal(&self) -> Result<(), Error> {
        self.check()?;
        if self.journal.is_none() {
            return Ok(());
        }
        Err(Error::invalid_option(
            "journal",
            "given to a terminal without a sink",
            "`for_each_batch` or another terminal with a sink, or `checkpoint` to have the results kept",
        ))
    }

    /// Takes the settings of a pipeline: those of its input, and those of its files without their
    /// directory. A later stage's settings for files take precedence. Versions stay with the
    /// stages, unless they are refused.
    pub(crate) fn then<M, N, O>(&mut self, next: &mut Durable<M, N>) -> Durable<T, O> {
        let mut versions = [&self.version, &next.version].into_iter().flatten();
        Durable {
            version: versions.find(|version| version.is_empty()).cloned(),
            #[cfg(feature = "array")]
            input_id: self.input_id.take(),
            hash: self.hash,
            key: self.key.take(),
            skip_first: self.skip_first,
            // A value that was refused stays refused.
            max_disk: match self.max_disk.take() {
                Some(Err(refused)) => Some(Err(refused)),
                known => next.max_disk.take().or(known),
            },
            spill_dir: next.spill_dir.take().or(self.spill_dir.take()),
            remove_when_done: self.remove_when_done || next.remove_when_done,
            ..Durable::default()
        }
    }

    /// The settings of a run that keeps the results of a task in this directory, and does not
    /// compare items.
    #[cfg(feature = "array")]
    pub(crate) fn of_task(&self, directory: PathBuf, codec: Codec<R>) -> Self {
        let max_disk = self.max_disk.clone();
        Self { checkpoint: Some((directory, codec)), hash: Some(|_, _| ()), max_disk, ..Self::default() }
    }

    /// The option that does not apply to an array job, if there is one.
    #[cfg(feature = "array")]
    pub(crate) fn not_for_arrays(&self) -> Option<&'static str> {
        (self.skip_first > 0).then_some("skip_first").or(self.remove_when_done.then_some("remove_when_done"))
    }

    /// The hash of an item's key, if the run has keys.
    #[cfg(feature = "array")]
    pub(crate) fn key_of(&self, item: &T, hasher: &mut StableHasher) -> Option<u64> {
        self.key.as_ref().map(|key| key(item, hasher))
    }

    /// Refuses invalid settings.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |option, value: &str, expected| Err(Error::invalid_option(option, value, expected));
        if self.checkpoint.is_some() && self.journal.is_some() {
            return refuse("journal", "given beside `checkpoint`", "one of the two");
        }
        let directory = self.checkpoint.as_ref().map(|(directory, _)| directory);
        let directories =
            [("checkpoint", directory), ("journal", self.journal.as_ref()), ("spill_dir", self.spill_dir.as_ref())];
        let is_empty = |path: Option<&PathBuf>| path.is_some_and(|path| path.as_os_str().is_empty());
        if let Some((option, _)) = directories.into_iter().find(|(_, path)| is_empty(*path)) {
            return refuse(option, "\"\"", "the path of a directory");
        }
        if self.version.as_ref().is_some_and(String::is_empty) {
            return refuse("version", "\"\"", NEW_VERSION);
        }
        match &self.max_disk {
            Some(Ok(ByteSize::ZERO)) => refuse("max_disk", "0 B", DISK),
            Some(Err(text)) if ByteSize::is_too_many(text) => refuse("max_disk", &format!("{text:?}"), MOST_BYTES),
            Some(Err(text)) => refuse("max_disk", &format!("{text:?}"), DISK),
            _ => Ok(()),
        }
    }
}

/// The option for this kind of directory.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Checkpoint => "checkpoint",
        Kind::Journal => "journal",
    }
}

const DISK: &str = "bytes with a unit, such as \"20GiB\", or leave it out to use what the file system has";
