//! The typed part of a durable run: where it keeps what is finished, how it tells items apart, and
//! how results go to a store and come back.

mod keeper;
mod resume;

use std::any::type_name;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

pub(crate) use self::keeper::{Handle, Keeper, KeptFigures};
pub(crate) use self::resume::Resume;
use crate::bounds::StoredResult;
use crate::code::{Code, HashOf, HashesOne, Listener, Parameters, Tell};
use crate::error::{Error, ErrorKind};
use crate::memory::{ByteSize, MOST_BYTES};
use crate::policy::Policy;
use crate::store::{Encoded, Identity, Kind, Restored, StableHasher, Store};

/// The settings of a durable run.
pub(crate) struct Durable<T, R> {
    /// Where results are kept, and how they are read and written.
    pub(crate) checkpoint: Option<(PathBuf, Codec<R>)>,
    /// Where it is kept which items' results a sink has.
    pub(crate) journal: Option<PathBuf>,
    pub(crate) version: Option<String>,
    /// Hashes items that are `Hash`.
    hash: Option<HashOf<T>>,
    /// Hashes what tells items apart; it goes before `hash`.
    key: Option<Key<T>>,
    /// The most bytes on disk; the text where it can't be read.
    max_disk: Option<Result<ByteSize, String>>,
    pub(crate) spill_dir: Option<PathBuf>,
    /// True if the directory goes when a terminal has given everything.
    pub(crate) remove_when_done: bool,
    /// The items at the beginning of the input that are dropped.
    pub(crate) skip_first: usize,
}

/// Hashes what tells items apart.
type Key<T> = Box<dyn Fn(&T, &mut StableHasher) -> u64 + Send + Sync>;

/// A value, and what hashes it.
struct Hashed<'t, T>(&'t T, HashOf<T>);

impl<T> Hash for Hashed<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.1)(self.0, state);
    }
}

/// The way of results to a store and back: functions for one type and one policy.
pub struct Codec<R> {
    /// The name of the type that is stored.
    result: &'static str,
    push: Push<R>,
    check: fn(&mut Store) -> Result<(), Error>,
    take: fn(&mut Restored, usize) -> Result<Vec<R>, Error>,
}

type Push<R> = fn(&mut Encoded, u64, &R) -> Option<Result<(), String>>;

impl<R> Clone for Codec<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Codec<R> {}

impl<R> fmt::Debug for Codec<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").field("result", &self.result).finish_non_exhaustive()
    }
}

impl<R> Codec<R> {
    /// Values are stored, as the policy finds them in results.
    pub(crate) fn of<P: Policy<R, Value: StoredResult>>() -> Self {
        Self {
            result: type_name::<P::Value>(),
            push: |encoded, item, result| Some(encoded.push(item, P::value(result)?)),
            check: Store::check_results::<P::Value>,
            take: |restored, most| Ok(P::unsplit(restored.take::<P::Value>(most)?)),
        }
    }

    /// The name of the type that is stored.
    pub(crate) fn result(&self) -> &'static str {
        self.result
    }

    /// Adds the result of the next item, with the item's hash; `None` where the policy takes it
    /// out.
    pub(crate) fn push(&self, encoded: &mut Encoded, item: u64, result: &R) -> Option<Result<(), String>> {
        (self.push)(encoded, item, result)
    }

    /// Refuses a directory with results of another type.
    pub(crate) fn check(&self, store: &mut Store) -> Result<(), Error> {
        (self.check)(store)
    }

    /// Takes the next results of items that are done: as many as `most` bytes have, and one at
    /// least.
    pub(crate) fn take(&self, restored: &mut Restored, most: usize) -> Result<Vec<R>, Error> {
        (self.take)(restored, most)
    }
}

impl<T, R> Default for Durable<T, R> {
    fn default() -> Self {
        Self {
            checkpoint: None,
            journal: None,
            version: None,
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
    pub(crate) fn set_hash(&mut self, hash: Option<HashOf<T>>) {
        self.hash = hash.or(self.hash);
    }

    pub(crate) fn set_key<K: Hash, F: Fn(&T) -> K + Send + Sync + 'static>(&mut self, key: F) {
        self.key = Some(Box::new(move |item, hasher| hasher.of(&key(item))));
    }

    pub(crate) fn set_max_disk(&mut self, bytes: Result<ByteSize, String>) {
        self.max_disk = Some(bytes);
    }

    /// The most bytes on disk, if a bound was stated and found valid.
    pub(crate) fn max_disk(&self) -> Option<ByteSize> {
        self.max_disk.as_ref()?.as_ref().ok().copied()
    }

    /// The directory, and what it keeps; nothing where the run keeps nothing.
    pub(crate) fn place(&self) -> Option<(&Path, Kind)> {
        match (&self.checkpoint, &self.journal) {
            (Some((directory, _)), _) => Some((directory.as_path(), Kind::Checkpoint)),
            (None, Some(directory)) => Some((directory.as_path(), Kind::Journal)),
            (None, None) => None,
        }
    }

    /// The hash of an item: that of its key, if the run has one.
    ///
    /// # Panics
    ///
    /// If nothing hashes items, which [`identity`](Self::identity) refuses.
    pub(crate) fn hash_item(&self, item: &T, hasher: &mut StableHasher) -> u64 {
        match (&self.key, self.hash) {
            (Some(key), _) => key(item, hasher),
            (None, Some(hash)) => hasher.of(&Hashed(item, hash)),
            (None, None) => unreachable!("a run that can't tell items apart is refused"),
        }
    }

    /// The option that asks to keep what is finished.
    pub(crate) fn keeps(&self) -> Option<&'static str> {
        let (_, kind) = self.place()?;
        Some(name_of(kind))
    }

    /// To what the results belong that are kept, by the functions of the run; nothing where none
    /// are kept.
    ///
    /// # Errors
    ///
    /// When an option was given a value that it does not take, or is missing.
    pub(crate) fn identity(&self, tell: impl FnOnce(&mut Functions)) -> Result<Option<Identity>, Error> {
        self.check()?;
        let Some((_, kind)) = self.place() else { return Ok(None) };
        let option = name_of(kind);
        let refuse = |value, expected| Err(Error::new(ErrorKind::InvalidOption { option, value, expected }));
        if self.key.is_none() && self.hash.is_none() {
            return refuse("given with the `key` of a stage".into(), "`key` on the whole, before this");
        }
        let mut functions = Functions::default();
        tell(&mut functions);
        if let Some((function, parameter)) = functions.unhashed() {
            return refuse(
                format!("given with the shared parameter `{parameter}` of `{function}`, which is not `Hash`"),
                "a type that is `Hash`, or the attribute's `ignore(..)` where results don't depend on it",
            );
        }
        let Some((tokens, version)) = functions.code(self.version.as_ref()) else {
            return Err(Error::new(ErrorKind::InvalidOption {
                option: "version",
                value: format!("left out with `{option}` and a closure"),
                expected: NEW_VERSION,
            }));
        };
        let result = self.checkpoint.as_ref().map_or(type_name::<R>(), |(_, codec)| codec.result);
        Ok(Some(Identity {
            kind,
            function: functions.path(),
            tokens,
            version,
            item: type_name::<T>().to_owned(),
            result: result.to_owned(),
            shared: functions.shared(),
        }))
    }

    /// Refuses a journal for a terminal without a sink.
    pub(crate) fn refuse_journal(&self) -> Result<(), Error> {
        self.check()?;
        if self.journal.is_none() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::InvalidOption {
            option: "journal",
            value: "given to a terminal without a sink".into(),
            expected: "`for_each_batch` or another terminal with a sink, or `checkpoint` to have the results kept",
        }))
    }

    /// Takes out the settings of a pipeline: those of its input, and those of its files but for
    /// their directory, in which a later stage goes before this one. Versions stay with the stages.
    pub(crate) fn then<M, N, O>(&mut self, next: &mut Durable<M, N>) -> Durable<T, O> {
        Durable {
            hash: self.hash,
            key: self.key.take(),
            skip_first: self.skip_first,
            max_disk: next.max_disk.take().or(self.max_disk.take()),
            spill_dir: next.spill_dir.take().or(self.spill_dir.take()),
            remove_when_done: self.remove_when_done || next.remove_when_done,
            ..Durable::default()
        }
    }

    /// Refuses what can't be run with.
    fn check(&self) -> Result<(), Error> {
        let refuse = |option, value: &str, expected| {
            Err(Error::new(ErrorKind::InvalidOption { option, value: value.into(), expected }))
        };
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

/// The option that asks for it.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Checkpoint => "checkpoint",
        Kind::Journal => "journal",
    }
}

const NEW_VERSION: &str = "a number or a text, and another one when the results change";
const DISK: &str = "bytes with a unit, such as \"20GiB\", or leave it out to use what the file system has";

/// The code of a run's function, and what tells the values that its calls share.
pub(crate) struct CodeOf<C> {
    code: &'static Code,
    tell: Tell<C>,
}

impl<C> CodeOf<C> {
    pub(crate) fn new(code: &'static Code, tell: Tell<C>) -> Self {
        Self { code, tell }
    }
}

/// The functions of a run: one, or the stages of a pipeline.
#[derive(Default)]
pub(crate) struct Functions(Vec<Told>);

/// A function, as far as it was told.
struct Told {
    path: String,
    /// `None` for a closure.
    tokens: Option<u64>,
    version: Option<String>,
    /// The name and the hash of each shared parameter; no hash where its type is not `Hash`.
    shared: Vec<(&'static str, Option<u64>)>,
}

impl Told {
    fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or_default()
    }
}

impl Listener for Told {
    fn method_of(&mut self, name: &'static str) {
        self.path = format!("{name}::{}", self.name());
    }

    fn shared(&mut self, name: &'static str, hash: Option<HashesOne<'_>>) {
        let hash = hash.map(|hash| {
            let mut hasher = StableHasher::default();
            hash(&mut hasher);
            hasher.finish()
        });
        self.shared.push((name, hash));
    }
}

impl Functions {
    /// Adds a function that an attribute tells of. `version` goes before its own.
    pub(crate) fn add<C>(&mut self, code: &CodeOf<C>, context: &C, version: Option<&String>) {
        let CodeOf { code, tell } = code;
        let (path, version) =
            (code.path.to_owned(), version.cloned().or(code.version.map(|version| version.to_string())));
        let mut told = Told { path, tokens: Some(code.tokens), version, shared: Vec::new() };
        tell(context, &mut Parameters::new(&mut told));
        self.0.push(told);
    }

    /// Adds a closure. Its type has the path of the function that it stands in.
    pub(crate) fn add_closure<F>(&mut self, version: Option<&String>) {
        self.0.push(Told {
            path: type_name::<F>().to_owned(),
            tokens: None,
            version: version.cloned(),
            shared: Vec::new(),
        });
    }

    /// The first shared parameter without a hash, behind the name of its function.
    fn unhashed(&self) -> Option<(&str, &'static str)> {
        self.0.iter().find_map(|told| {
            let (name, _) = told.shared.iter().find(|(_, hash)| hash.is_none())?;
            Some((told.name(), *name))
        })
    }

    fn path(&self) -> String {
        let paths: Vec<_> = self.0.iter().map(|told| told.path.as_str()).collect();
        paths.join(" then ")
    }

    /// The hash of the tokens, and the version: that of the run, or those of all functions. `None`
    /// where one has neither.
    fn code(&self, version: Option<&String>) -> Option<(u64, Option<String>)> {
        let versions: Option<Vec<_>> = self.0.iter().map(|told| told.version.clone()).collect();
        let version = version.cloned().or(versions.map(|versions| versions.join(", ")));
        if version.is_none() && self.0.iter().any(|told| told.tokens.is_none() && told.version.is_none()) {
            return None;
        }
        let tokens = match self.0.as_slice() {
            [one] => one.tokens.unwrap_or(0),
            // A version stands for the tokens of its stage.
            all => {
                let codes: Vec<_> =
                    all.iter().map(|told| (&told.version, told.tokens.filter(|_| told.version.is_none()))).collect();
                StableHasher::default().of(&codes)
            }
        };
        Some((tokens, version))
    }

    /// The shared parameters with their hashes; in a pipeline each behind the name of its function.
    fn shared(&self) -> Vec<(String, u64)> {
        let mut all = Vec::new();
        for told in &self.0 {
            let named = |name| match self.0.len() {
                1 => String::from(name),
                _ => format!("{}::{name}", told.name()),
            };
            all.extend(told.shared.iter().filter_map(|&(name, hash)| Some((named(name), hash?))));
        }
        all
    }
}

#[cfg(test)]
mod tests;
