//! The methods that make a run durable.

use std::path::PathBuf;
use std::sync::Arc;

use super::Batched;
use super::bounds::{DiskOption, HashedKey, KnowsItems, VersionOption};
use super::keyed::Keyed;
#[cfg(test)]
use crate::call::Shared;
use crate::code::{Code, HashOf, Tell};
use crate::durable::{Codec, Durable, StoredResult};
use crate::error::Error;
use crate::policy::Policy;
use crate::system::paths::absolute;

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// The same run with the code of its function.
    pub(crate) fn coded(mut self, code: &'static Code, tell: Tell<C>) -> Self {
        self.shared.code = Some((code, tell));
        self
    }

    /// Keeps results in a directory. `hash` hashes items, unless there is a key.
    pub(crate) fn keep_results(mut self, directory: PathBuf, codec: Codec<R>, hash: Option<HashOf<I::Item>>) -> Self {
        self.set_durable("checkpoint", |durable| {
            durable.set_hash(hash);
            durable.checkpoint = Some((absolute(directory), codec));
        });
        self
    }

    /// Records in a directory which items' results a sink has.
    pub(crate) fn keep_places(mut self, directory: PathBuf, hash: Option<HashOf<I::Item>>) -> Self {
        self.set_durable("journal", |durable| {
            durable.set_hash(hash);
            durable.journal = Some(absolute(directory));
        });
        self
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared<I::Item, R, C> {
        &self.shared
    }

    /// Sets an option of a durable run, or has the terminal refuse it for a run that has begun.
    pub(super) fn set_durable(&mut self, option: &'static str, set: impl FnOnce(&mut Durable<I::Item, R>)) {
        // Where a spill goes may change, unless a store writes by these settings.
        let may_change = matches!(option, "max_disk" | "spill_dir") || self.source.resume().is_none();
        match Arc::get_mut(self.shared.durable.get_or_insert_default()).filter(|_| may_change) {
            Some(durable) => set(durable),
            None => self.core.change_options(|mut options| {
                options.refuse(&Error::invalid_option(
                    option,
                    "set for a run that has begun",
                    "it before the first terminal",
                ));
                options
            }),
        }
    }

    /// Keeps results in a directory, which is made if it is missing: the same call, in a later
    /// process too, goes on where this one ended, and does not call the function for an item with a
    /// stored result. A relative path starts at the directory that is current when this is called.
    ///
    /// A result is written within about 100 ms of its call. Younger results are lost with the
    /// process, and so are calls in flight: the next run repeats them, with their side effects. A
    /// power cut may also lose what was written in the last second. Errors that a policy takes out,
    /// and panics, are not kept: their items are run again.
    ///
    /// The directory belongs to one function, its [`version`](Self::version) or code, the values of
    /// its shared parameters, and one input. Any other is refused, with an error that [is
    /// changed](crate::Error::is_changed). Items are told apart by their `Hash`, or by
    /// [`key`](Self::key): so a path that is an item stands for its name, not for what the file
    /// holds. The input must come in the same order; a directory or a hash map must be sorted
    /// first. Closures are told apart by the function that they are in and by their version: give
    /// two closures in one function directories of their own.
    ///
    /// Results must be `Serialize` and `DeserializeOwned`; with [`on_error`](Self::on_error),
    /// called before this, only the values in them, so an `io::Error` need not be. They are stored
    /// as bytes without names. So types with serde's `tag`, `untagged` or `flatten`, or with a
    /// `serde_json::Value` in them, can't be stored: the first result is read back to find that
    /// out. Nor can a result that leaves a field out by `skip_serializing_if`. Serde reads a
    /// `Vec<u8>` byte by byte: use `serde_bytes` for large ones.
    ///
    /// See the guide's page [`runs_that_survive`](crate::guide::runs_that_survive).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn words(text: &str) -> usize {
    ///     text.split_whitespace().count()
    /// }
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-checkpoint-{}", std::process::id()));
    /// let texts = ["to be", "or not to be"];
    /// let counts: Vec<usize> = words_batched(texts).checkpoint(&runs).collect()?;
    /// assert_eq!(counts, [2, 4]);
    ///
    /// // In another process: nothing is called.
    /// let again: Vec<usize> = words_batched(texts).checkpoint(&runs).collect()?;
    /// assert_eq!(again, counts);
    /// # std::fs::remove_dir_all(runs).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn checkpoint(self, directory: impl Into<PathBuf>) -> Self
    where
        P: Policy<R> + KnowsItems<I::Item>,
        P::Value: StoredResult,
    {
        self.keep_results(directory.into(), Codec::of::<P>(), P::hash())
    }

    /// Records in a directory which items' results a sink has: the same call, in a later process
    /// too, goes on after them. A relative path starts at the directory that is current when this
    /// is called.
    ///
    /// It is for sinks that store results themselves, so nothing is asked of the results' type. An
    /// item is done when the sink has returned from its batch, which is written within about 100
    /// ms. After a kill the sink gets two things again: the batch that it had, and those from which
    /// it returned in that time; after a power cut, those of the last second. A
    /// [`Sink`](crate::sink::Sink) with places first goes back before them. Terminals without a
    /// sink refuse a journal.
    ///
    /// The directory belongs to one run, and items are told apart, as with
    /// [`checkpoint`](Self::checkpoint).
    ///
    /// See the guide's page [`runs_that_survive`](crate::guide::runs_that_survive).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn upper(word: &str) -> String {
    ///     word.to_uppercase()
    /// }
    ///
    /// # let folder = std::env::temp_dir().join(format!("amorsize-journal-{}", std::process::id()));
    /// # let (runs, path) = (folder.join("runs"), folder.join("words"));
    /// # std::fs::create_dir_all(&folder)?;
    /// // The sink goes on in its file as the run does in its directory.
    /// let mut out = std::fs::OpenOptions::new().create(true).append(true).open(&path)?;
    /// for _ in 0..2 {
    ///     upper_batched(["to", "be"]).journal(&runs).try_for_each_batch(|batch| -> std::io::Result<()> {
    ///         batch.iter().try_for_each(|word| writeln!(out, "{word}"))
    ///     })?;
    /// }
    /// // The second time nothing was left to do.
    /// assert_eq!(std::fs::read_to_string(&path)?, "TO\nBE\n");
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn journal(self, directory: impl Into<PathBuf>) -> Self
    where
        P: KnowsItems<I::Item>,
    {
        self.keep_places(directory.into(), P::hash())
    }

    /// States the version of what the function computes, as a number or a text: kept results stay
    /// valid until you state another one.
    ///
    /// Without it they stay valid while the tokens of the function's signature and body are the
    /// same. Tokens don't show a change in what the body calls or in a dependency, and do show a
    /// renamed variable. A closure has none, and so needs a version, which covers what it captures
    /// too. `env!("CARGO_PKG_VERSION")` is one. Two closures in one function have the same name:
    /// with the same version and directory, one takes the results of the other.
    ///
    /// If the tokens have changed and results are still the same, state the hash in the error as
    /// the first version.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-version-{}", std::process::id()));
    /// let double = |x: u64| 2 * x;
    /// let error = process_in_batches(double, 0..9).checkpoint(&runs).collect::<Vec<_>>().unwrap_err();
    /// assert!(error.to_string().starts_with("`version` can't be left out"));
    ///
    /// let all: Vec<u64> = process_in_batches(double, 0..9).version(1).checkpoint(&runs).collect()?;
    /// assert_eq!(all[8], 16);
    /// # std::fs::remove_dir_all(runs).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn version(mut self, version: impl VersionOption) -> Self {
        self.set_durable("version", |durable| durable.version = Some(version.version()));
        self
    }

    /// States what tells items apart: an identifier, a path, a part of the item. Without it that is
    /// the item's own `Hash`.
    ///
    /// `key` is called once for each item, on the thread that takes it from the input. The value
    /// that it returns is hashed, and owns its parts: a text is cloned. With a key that leaves out
    /// something that results depend on, old results are taken for new ones.
    ///
    /// For items that are not `Hash`, call this before [`checkpoint`](Self::checkpoint) or
    /// [`journal`](Self::journal), and after [`on_error`](Self::on_error).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// // `f64` is not `Hash`.
    /// struct Photo {
    ///     id: u64,
    ///     exposure: f64,
    /// }
    ///
    /// #[batched]
    /// fn stops(photo: Photo) -> f64 {
    ///     photo.exposure.log2()
    /// }
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-key-{}", std::process::id()));
    /// let photos = || [4.0, 0.5].into_iter().zip(1..).map(|(exposure, id)| Photo { id, exposure });
    /// let all: Vec<f64> = stops_batched(photos()).key(|photo: &Photo| photo.id).checkpoint(&runs).collect()?;
    /// assert_eq!(all, [2.0, -1.0]);
    /// # std::fs::remove_dir_all(runs).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn key<K, F>(mut self, key: F) -> Batched<I, R, C, Keyed<P>>
    where
        P: Policy<R>,
        K: HashedKey,
        F: Fn(&I::Item) -> K + Send + Sync + 'static,
    {
        self.set_durable("key", |durable| durable.set_key(key));
        self.with_policy(P::fails)
    }

    /// Sets the maximum number of bytes that the run may have on disk, as
    /// [`ByteSize`](crate::ByteSize) or as a text such as `"20GiB"`. By default the file system is
    /// the only limit.
    ///
    /// A run that would have more ends, with an error that [is about
    /// storage](crate::Error::is_storage).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn page(seed: u32) -> Vec<u32> {
    ///     (0..1000).map(|x| x ^ seed).collect()
    /// }
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-max-disk-{}", std::process::id()));
    /// let error = page_batched(0..1000).checkpoint(&runs).max_disk("64KiB").for_each_batch(|_| ()).unwrap_err();
    /// assert!(error.is_storage());
    /// # std::fs::remove_dir_all(runs).unwrap();
    /// ```
    pub fn max_disk(mut self, bytes: impl DiskOption) -> Self {
        self.set_durable("max_disk", |durable| durable.max_disk = Some(bytes.bytes()));
        self
    }

    /// Sets the directory for results that don't fit the memory. By default it is that of `TMPDIR`;
    /// else `/var/tmp` on Unix, and elsewhere the system's directory for temporary files.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut run = process_in_batches(|x: u64| x + 1, 0..9).spill_dir(std::env::temp_dir());
    /// assert_eq!(run.collect::<Vec<_>>()?.len(), 9);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn spill_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.set_durable("spill_dir", |durable| durable.spill_dir = Some(absolute(directory)));
        self
    }

    /// Sets whether the directory of [`checkpoint`](Self::checkpoint) or [`journal`](Self::journal)
    /// is removed when a terminal has given everything. By default it stays, and the next call
    /// calls nothing.
    ///
    /// A process that is killed meanwhile leaves a directory in which everything is done, or
    /// nothing: then the next call begins anew. If the directory can't be removed, the terminal
    /// returns an error that [`is_storage`](crate::Error::is_storage), and the next call finds
    /// everything done. If only some of its files can't be removed, they no longer count, and the
    /// report has [`Warning::NOT_REMOVED`](crate::Warning::NOT_REMOVED).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::batched;
    ///
    /// #[batched]
    /// fn square(x: u64) -> u64 {
    ///     x * x
    /// }
    ///
    /// # let runs = std::env::temp_dir().join(format!("amorsize-remove-when-done-{}", std::process::id()));
    /// let squares: Vec<u64> = square_batched(0..4).checkpoint(&runs).remove_when_done(true).collect()?;
    /// assert_eq!(squares, [0, 1, 4, 9]);
    /// assert!(!runs.exists());
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn remove_when_done(mut self, remove: bool) -> Self {
        self.set_durable("remove_when_done", |durable| durable.remove_when_done = remove);
        self
    }

    /// Takes the first `items` items from the input and drops them, without a call. Results have
    /// the same indices as with all items.
    ///
    /// It is for a sink that keeps its place itself, such as in the transaction that stores a
    /// batch: then each result is stored exactly once.
    ///
    /// See the guide's page [`runs_that_survive`](crate::guide::runs_that_survive).
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// // Stands for a table, whose number of rows says how far an earlier process got.
    /// let mut rows = vec![0, 1, 4];
    /// let done = rows.len();
    /// let mut run = process_in_batches(|x: u64| x * x, 0..6).skip_first(done);
    /// run.for_each_batch(|batch| {
    ///     assert_eq!(batch.indices().next(), Some(rows.len()));
    ///     rows.extend(batch);
    /// })?;
    /// assert_eq!(rows, [0, 1, 4, 9, 16, 25]);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn skip_first(mut self, items: usize) -> Self {
        self.set_durable("skip_first", |durable| durable.skip_first = items);
        self
    }
}
