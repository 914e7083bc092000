//! A panic in the user's code that a durable run calls beside the function: the `Hash` of an item,
//! its `key`, the `Serialize` of a result. The caller gets it, no result is lost, nothing hangs,
//! and the next call runs the items that could not be kept.

#[path = "common/caught.rs"]
mod caught;
#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::panic::panic_any;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use amorsize::{Batched, ErrorKind, Spilled, process_in_batches};
use caught::caught;
use folder::Folder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ITEMS: u64 = 2_000;
const NONE: u64 = u64::MAX;

#[derive(Debug, PartialEq)]
struct MyPayload(u64);

/// An item that can't be hashed if `bad` is its number.
struct Item<'a> {
    number: u64,
    bad: &'a AtomicU64,
}

impl Hash for Item<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.number == self.bad.load(Relaxed) {
            panic_any(MyPayload(self.number));
        }
        self.number.hash(state);
    }
}

/// The ways in which a result refuses to become bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Refuses {
    Never,
    ByPanic,
    ByError,
    /// It panics when the bytes are read back.
    Back,
}

/// A result that can't become bytes, or be read from them, if `refuses` says so.
#[derive(Debug, PartialEq)]
struct Value {
    number: u64,
    refuses: Refuses,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.refuses {
            Refuses::ByPanic => panic_any(MyPayload(self.number)),
            Refuses::ByError => Err(serde::ser::Error::custom("not as bytes")),
            Refuses::Back => (self.number, true).serialize(to),
            Refuses::Never => (self.number, false).serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (number, back) = Deserialize::deserialize(from)?;
        if back {
            panic_any(MyPayload(number));
        }
        Ok(Self { number, refuses: Refuses::Never })
    }
}

#[derive(Default)]
struct Calls(Mutex<BTreeMap<u64, usize>>);

impl Calls {
    fn note(&self, item: u64) {
        *self.0.lock().unwrap().entry(item).or_default() += 1;
    }

    /// Returns the items called since the last call of this, each of them once.
    fn take(&self) -> Vec<u64> {
        let calls = std::mem::take(&mut *self.0.lock().unwrap());
        assert!(calls.values().all(|&calls| calls == 1), "called twice");
        calls.into_keys().collect()
    }
}

static NO_ITEM: AtomicU64 = AtomicU64::new(NONE);

type Call<'a> = Box<dyn Fn(Item) -> Value + Sync + 'a>;
type Run<'a> = Batched<Vec<Item<'a>>, Value, Call<'a>>;

/// A run over items; the one with the number `bad` can't be hashed. The result of the item `at`
/// refuses as `how` says.
fn run<'a>(directory: &Path, bad: &'a AtomicU64, (at, how): (u64, Refuses), calls: &'a Calls) -> Run<'a> {
    let call: Call = Box::new(move |item| {
        calls.note(item.number);
        Value { number: item.number, refuses: if item.number == at { how } else { Refuses::Never } }
    });
    let items: Vec<_> = (0..ITEMS).map(|number| Item { number, bad }).collect();
    process_in_batches(call, items).version(1).checkpoint(directory)
}

/// Returns the items that the same call runs in a later process, and checks that all results are
/// right.
fn next_call(directory: &Path, threads: usize, calls: &Calls) -> Vec<u64> {
    let mut run = run(directory, &NO_ITEM, (NONE, Refuses::Never), calls).threads(threads);
    assert!(run.collect::<Vec<_>>().unwrap().iter().map(|value| value.number).eq(0..ITEMS));
    calls.take()
}

/// True if the directory says that it has the results of all items.
fn is_complete<R: Serialize + DeserializeOwned>(directory: &Path) -> bool {
    let spilled = Spilled::<R>::open(directory).unwrap();
    assert!(!spilled.is_complete() || spilled.len() as u64 == ITEMS);
    spilled.is_complete()
}

#[test]
fn an_item_that_cant_be_hashed_is_run_and_not_kept() {
    for (threads, bad) in [(1, 0), (1, 777), (2, 0), (2, 1_500), (4, ITEMS - 1)] {
        let (folder, calls) = (Folder::new("hash"), Calls::default());
        let directory = folder.file("run");
        let is_bad = AtomicU64::new(bad);
        let mut run = run(&directory, &is_bad, (NONE, Refuses::Never), &calls).threads(threads);
        let mut seen = Vec::new();
        let panic = caught(|| run.for_each_batch(|batch| seen.extend(batch.into_iter().map(|value| value.number))));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&MyPayload(bad)));
        // The run goes on with its rest.
        run.for_each_batch(|batch| seen.extend(batch.into_iter().map(|value| value.number))).unwrap();
        drop(run);
        assert!(seen.into_iter().eq(0..ITEMS), "{threads} threads, {bad}");
        assert!(calls.take().into_iter().eq(0..ITEMS));
        assert!(!is_complete::<Value>(&directory));
        assert_eq!(next_call(&directory, threads, &calls), [bad]);
        assert!(is_complete::<Value>(&directory));
        assert!(next_call(&directory, threads, &calls).is_empty());
    }
}

#[test]
fn a_done_item_that_cant_be_hashed_ends_the_run() {
    for threads in [1, 2] {
        let (folder, calls) = (Folder::new("hash-of-done"), Calls::default());
        let directory = folder.file("run");
        next_call(&directory, threads, &calls);
        calls.take();
        let is_bad = AtomicU64::new(777);
        let mut run = run(&directory, &is_bad, (NONE, Refuses::Never), &calls).threads(threads);
        let panic = caught(|| run.collect::<Vec<_>>());
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&MyPayload(777)));
        // Nobody knows any longer whether the items are those of the stored results.
        let error = run.collect::<Vec<_>>().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InputChanged { .. }), "{error}");
        drop(run);
        assert!(next_call(&directory, threads, &calls).is_empty());
    }
}

#[test]
fn a_key_that_panics_has_its_item_run_and_not_kept() {
    static BAD: AtomicU64 = AtomicU64::new(NONE);
    let key = |item: &u64| {
        if *item == BAD.load(Relaxed) {
            panic_any(MyPayload(*item));
        }
        *item
    };
    for threads in [1, 2, 3] {
        let (folder, calls) = (Folder::new("key"), Calls::default());
        let run = || {
            let call = |item: u64| {
                calls.note(item);
                item
            };
            process_in_batches(call, 0..ITEMS).version(1).key(key).checkpoint(folder.file("run")).threads(threads)
        };
        BAD.store(1_234, Relaxed);
        let mut first = run();
        let mut seen = Vec::new();
        let panic = caught(|| first.for_each(|value| seen.push(value)));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&MyPayload(1_234)));
        first.for_each(|value| seen.push(value)).unwrap();
        drop(first);
        assert!(seen.into_iter().eq(0..ITEMS));
        assert!(calls.take().into_iter().eq(0..ITEMS));
        BAD.store(NONE, Relaxed);
        assert!(!is_complete::<u64>(&folder.file("run")));
        assert!(run().collect::<Vec<_>>().unwrap().into_iter().eq(0..ITEMS));
        assert_eq!(calls.take(), [1_234]);
        assert!(is_complete::<u64>(&folder.file("run")));
    }
}

#[test]
fn a_result_that_panics_as_it_becomes_bytes_is_not_lost() {
    for (threads, bad) in [(1, 0), (1, 777), (2, 0), (2, 1_500), (4, ITEMS - 1)] {
        let (folder, calls) = (Folder::new("serialize"), Calls::default());
        let directory = folder.file("run");
        let mut run = run(&directory, &NO_ITEM, (bad, Refuses::ByPanic), &calls).threads(threads);
        let mut seen = Vec::new();
        let panic = caught(|| run.for_each_batch(|batch| seen.extend(batch.into_iter().map(|value| value.number))));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&MyPayload(bad)));
        run.for_each_batch(|batch| seen.extend(batch.into_iter().map(|value| value.number))).unwrap();
        drop(run);
        assert!(seen.into_iter().eq(0..ITEMS), "{threads} threads, {bad}");
        assert!(calls.take().into_iter().eq(0..ITEMS));
        assert!(!is_complete::<Value>(&directory));
        let again = next_call(&directory, threads, &calls);
        assert_eq!(again, [bad]);
        assert!(is_complete::<Value>(&directory));
        assert!(next_call(&directory, threads, &calls).is_empty());
    }
}

#[test]
fn a_result_that_cant_become_bytes_is_an_error_that_names_its_item() {
    for (threads, bad) in [(1, 777), (2, 0), (3, ITEMS - 1)] {
        let (folder, calls) = (Folder::new("serialize-error"), Calls::default());
        let directory = folder.file("run");
        let mut run = run(&directory, &NO_ITEM, (bad, Refuses::ByError), &calls).threads(threads);
        let error = run.collect::<Vec<_>>().unwrap_err();
        assert!(error.is_unwritable(), "{error}");
        assert!(error.to_string().starts_with(&format!("item {bad} can't be written to ")), "{error}");
        drop(run);
        let called = calls.take();
        let again = next_call(&directory, threads, &calls);
        assert!(again.contains(&bad) && (0..ITEMS).all(|x| called.contains(&x) || again.contains(&x)));
    }
}

#[test]
fn a_result_that_panics_as_it_is_read_back_is_told_each_time() {
    for threads in [1, 2] {
        let (folder, calls) = (Folder::new("deserialize"), Calls::default());
        let directory = folder.file("run");
        let run = || run(&directory, &NO_ITEM, (777, Refuses::Back), &calls).threads(threads);
        run().for_each_batch(drop).unwrap();
        for _ in 0..2 {
            let panic = caught(|| run().for_each_batch(drop));
            assert_eq!(panic.unwrap_err().downcast_ref(), Some(&MyPayload(777)));
        }
        assert!(calls.take().into_iter().eq(0..ITEMS));
    }
}

#[test]
fn a_type_that_cant_be_read_back_is_refused_at_its_first_result() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(u64),
    }

    let folder = Folder::new("read-back");
    let calls = AtomicU64::new(0);
    let any = |x: u64| {
        calls.fetch_add(1, Relaxed);
        Any::Number(x)
    };
    let mut run = process_in_batches(any, 0..1_000_000).version(1).checkpoint(folder.file("run")).threads(1);
    let error = run.for_each_batch(drop).unwrap_err();
    assert!(error.is_unwritable() && error.item() == Some(0), "{error}");
    assert!(error.to_string().contains("its bytes can't be read back (") && error.to_string().contains("`untagged`"));
    drop(run);
    assert!(calls.into_inner() < 500_000);
}
