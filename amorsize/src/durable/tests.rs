mod codec;

use crate::policy::Policy;
use crate::store::{Encoded, Identity, Kind, StableHasher, Store};
use crate::system::paths::absolute;
use crate::units::ByteSize;
use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::*;
use crate::policy::on_error::{Collect, Each, Flatten, Skip, Stop};
use crate::store::Settings;
use crate::{Batched, batched, process_in_batches};

/// The identity of a run that keeps results somewhere.
fn identity<I: IntoIterator, R, C, P>(run: &Batched<I, R, C, P>) -> Identity {
    run.shared().identity().unwrap().expect("the run keeps something")
}

fn refusal<I: IntoIterator, R, C, P>(run: &Batched<I, R, C, P>) -> String {
    let error = run.shared().identity().unwrap_err();
    assert!(error.is_invalid_option());
    error.to_string()
}

#[batched]
fn scale(x: u32, by: &[u32], _name: String) -> u32 {
    x * by[0]
}

#[batched(ignore(by))]
fn scale_ignoring(x: u32, by: &[u32], name: String) -> u32 {
    let _ = name;
    x * by[0]
}

#[batched(version = 3)]
fn halve(x: u32) -> u32 {
    x / 2
}

/// A type without any trait.
#[derive(Clone)]
struct Opaque;

#[batched]
fn with_opaque(x: u32, (_, _): (u8, u8), opaque: Opaque) -> u32 {
    let _ = opaque;
    x
}

struct Model<T> {
    weight: T,
}

impl Hash for Model<u32> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.weight.hash(state);
    }
}

impl Model<u32> {
    #[batched]
    fn predict(&self, x: u32) -> u32 {
        self.weight * x
    }
}

impl Model<u64> {
    #[batched(ignore(self), checkpoint = "/no/such/directory")]
    fn predict(&self, x: u32) -> u64 {
        self.weight * u64::from(x)
    }
}

#[test]
fn a_run_that_keeps_nothing_has_no_identity() {
    let run = || process_in_batches(|x: u32| x, 0..3);
    for run in [run(), run().version(1).max_disk("1GiB")] {
        assert!(run.shared().identity().unwrap().is_none());
    }
}

#[test]
fn an_identity_has_the_function_its_types_and_what_it_shares() {
    let by = vec![2, 3];
    let run = |by, name: &str| scale_batched(0..3, by, name.into()).checkpoint("runs");
    let one = identity(&run(&by, "a"));
    assert_eq!(one.kind, Kind::Checkpoint);
    assert_eq!(one.function, "amorsize::durable::tests::scale");
    assert_eq!((one.item.as_str(), one.result.as_str(), &one.version), ("u32", "u32", &None));
    let names: Vec<_> = one.shared.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["by", "_name"]);
    // The hash is that of the value, at any address.
    let expected = [StableHasher::default().of(&[2_u32, 3][..]), StableHasher::default().of("a")];
    assert_eq!(one.shared.iter().map(|(_, hash)| *hash).collect::<Vec<_>>(), expected);
    let same = identity(&run(&[2, 3], "a"));
    assert_eq!((same.tokens, same.shared), (one.tokens, one.shared.clone()));
    let other = identity(&run(&[2, 4], "a"));
    assert_eq!((other.shared[0] == one.shared[0], other.shared[1] == one.shared[1]), (false, true));

    let ignoring = identity(&scale_ignoring_batched(0..3, &by, "a".into()).journal("runs"));
    assert_eq!(ignoring.kind, Kind::Journal);
    assert_eq!(ignoring.shared.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["name"]);
    assert_ne!(ignoring.tokens, one.tokens);
}

/// The same function in four forms, as the compiler gives it to the attribute: plain, laid out in
/// another way, inserted by a macro, and with another body.
#[rustfmt::skip]
mod layouts {
    use crate::batched;

    fn g(x: u32, by: &[u8]) -> Vec<u8> {
        [x.to_le_bytes().as_slice(), by].concat()
    }

    pub(super) mod plain {
        use super::*;
        #[batched]
        pub(crate) fn f(x: u32, by: &[u8]) -> Vec<u8> { let y = x + 1; match y { 1 => vec![0], _ => g(x, by) } }
    }

    pub(super) mod other_layout {
        use super::*;
        /// Docs.
        #[batched(version = 1)]
        #[must_use]
        pub(in crate::durable) fn f(
            #[allow(unused, reason = "a lint doesn't count")]
            x: u32,
            by: &[u8],
        ) -> Vec<u8> {
            // A comment.
            let y=x+1;
            #[allow(clippy::match_single_binding, reason = "a lint doesn't count")]
            match y {
                1 => vec![0,],
                _ => g(x, by,),
            }
        }
    }

    macro_rules! function {
        ($vis:vis $name:ident, $item:ty, $one:expr) => {
            #[batched]
            $vis fn $name(x: $item, by: &[u8]) -> Vec<u8> { let y = x + $one; match y { 1 => vec![0], _ => g(x, by) } }
        };
    }

    pub(super) mod inserted {
        use super::*;
        function!(pub(crate) f, u32, 1);
    }

    pub(super) mod changed {
        use super::*;
        function!(pub(crate) f, u32, 2);
    }
}

#[test]
fn the_compiler_s_tokens_have_the_hash_of_those_in_the_macros_own_tests() {
    let tokens = |run: Batched<_, _, _>| identity(&run.checkpoint("runs")).tokens;
    let plain = tokens(layouts::plain::f_batched([1], b"a"));
    // As in amorsize-macros/src/code/tests.rs.
    assert_eq!(plain, 0x345F_3CEC_8E3F_43A7);
    assert_eq!(tokens(layouts::other_layout::f_batched([1], b"a")), plain);
    assert_eq!(tokens(layouts::inserted::f_batched([1], b"a")), plain);
    assert_ne!(tokens(layouts::changed::f_batched([1], b"a")), plain);
}

#[test]
fn a_method_has_the_path_of_its_type() {
    let one = identity(&Model { weight: 3_u32 }.predict_batched(0..3).checkpoint("runs"));
    assert_eq!(one.function, "amorsize::durable::tests::Model<u32>::predict");
    assert_eq!(one.shared, [("self".to_owned(), StableHasher::default().of(&3_u32))]);
    // The attribute gives this one.
    let other = identity(&Model { weight: 3_u64 }.predict_batched(0..3));
    assert_eq!(other.function, "amorsize::durable::tests::Model<u64>::predict");
    assert_eq!((other.result.as_str(), other.shared.len()), ("u64", 0));
}

#[test]
fn a_version_is_that_of_the_run_else_that_of_the_attribute() {
    assert_eq!(identity(&halve_batched(0..3).checkpoint("runs")).version.as_deref(), Some("3"));
    assert_eq!(identity(&halve_batched(0..3).version("new").checkpoint("runs")).version.as_deref(), Some("new"));
    let run = scale_batched(0..3, &[1], String::new()).checkpoint("runs").version(7_u64);
    assert_eq!(identity(&run).version.as_deref(), Some("7"));
}

#[test]
fn a_closure_needs_a_version() {
    let run = || process_in_batches(|x: u32| x, 0..3);
    assert_eq!(
        refusal(&run().checkpoint("runs")),
        "`version` can't be left out with `checkpoint` and a closure: use a number or a text, and another one when the results \
         change"
    );
    let one = identity(&run().checkpoint("runs").version(1));
    assert!(one.function.starts_with("amorsize::durable::tests::a_closure_needs_a_version::"), "{}", one.function);
    assert_eq!((one.tokens, one.version.as_deref()), (0, Some("1")));
}

#[test]
fn what_a_run_does_not_take_is_refused_before_any_call() {
    let run = || process_in_batches(|_: u32| -> u32 { panic!("called") }, 0..3).version(1);
    for (mut run, says) in [
        (run().checkpoint("a").journal("b"), "`journal` can't be given beside `checkpoint`: use one of the two"),
        (run().checkpoint(""), "`checkpoint` can't be \"\": use the path of a directory"),
        (run().journal(""), "`journal` can't be \"\": use the path of a directory"),
        (run().spill_dir(""), "`spill_dir` can't be \"\": use the path of a directory"),
        (
            run().checkpoint("a").version(""),
            "`version` can't be \"\": use a number or a text, and another one when the results change",
        ),
        (
            run().max_disk("0B"),
            "`max_disk` can't be 0 B: use bytes with a unit, such as \"20GiB\", or leave it out to use what the file system has",
        ),
        (
            run().max_disk("much"),
            "`max_disk` can't be \"much\": use bytes with a unit, such as \"20GiB\", or leave it out to use what the file system \
             has",
        ),
    ] {
        assert_eq!(refusal(&run), says);
        // Terminals do the same, and so does the plan.
        assert_eq!(run.plan().unwrap_err().to_string(), says);
        assert_eq!(run.collect::<Vec<_>>().unwrap_err().to_string(), says);
        assert_eq!(run.for_each_batch(|_| ()).unwrap_err().to_string(), says);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.unordered()));
        assert_eq!(caught.unwrap_err().downcast_ref::<String>().map(String::as_str), Some(says));
    }
}

#[test]
fn a_terminal_without_a_sink_refuses_a_journal() {
    let says = "`journal` can't be given to a terminal without a sink: use `for_each_batch` or another terminal with a sink, or \
                `checkpoint` to have the results kept";
    let run = || process_in_batches(|_: u32| -> Result<u32, u32> { panic!("called") }, 0..3).version(1).journal("runs");
    assert_eq!(run().collect::<Vec<_>>().unwrap_err().to_string(), says);
    assert_eq!(run().try_collect::<Vec<_>>().unwrap_err().to_string(), says);
    assert_eq!(run().collect_into(&mut Vec::new()).unwrap_err().to_string(), says);
    assert_eq!(run().fold(0, |all, _| all).unwrap_err().to_string(), says);
    assert_eq!(run().reduce(|one, _| one).unwrap_err().to_string(), says);
    let stops = || run().on_error(Stop);
    assert_eq!(stops().into_iter().next().unwrap().unwrap_err().to_string(), says);
    assert_eq!(stops().unordered().next().unwrap().unwrap_err().to_string(), says);
}

#[test]
fn a_shared_parameter_that_is_not_hash_is_refused_by_its_name() {
    let run = with_opaque_batched(0..3, (1, 2), Opaque);
    assert_eq!(
        refusal(&run.checkpoint("runs")),
        "`checkpoint` can't be given with the shared parameter `opaque` of `with_opaque`, which is not `Hash`: use a type that is \
         `Hash` (a trait object by `impl Hash for dyn Trait + '_`), or the attribute's `ignore(..)` where results don't depend on it"
    );
}

#[test]
fn a_pipeline_has_the_functions_of_all_stages() {
    let by = [2];
    let run = || scale_batched(0..3, &by, "a".into()).then(halve_batched);
    let whole = identity(&run().checkpoint("runs"));
    assert_eq!(whole.function, "amorsize::durable::tests::scale then amorsize::durable::tests::halve");
    assert_eq!(whole.shared.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["scale::by", "scale::_name"]);
    // One of the two has no version, so its tokens count.
    assert_eq!(whole.version, None);
    let scale = identity(&scale_batched(0..3, &by, "a".into()).checkpoint("runs"));
    assert_ne!(whole.tokens, scale.tokens);
    assert_eq!(identity(&run().version(9).checkpoint("runs")).version.as_deref(), Some("9"));

    let halves = identity(&halve_batched(0..3).then(halve_batched).then(halve_batched).checkpoint("runs"));
    assert_eq!((halves.version.as_deref(), halves.function.matches(" then ").count()), (Some("3, 3, 3"), 2));

    let closure = halve_batched(0..3).then(|x| process_in_batches(|x: u32| x, x)).checkpoint("runs");
    assert!(refusal(&closure).starts_with("`version` can't be left out"));
    // A stage may have its own.
    let closure = halve_batched(0..3).version(8).then(|x| process_in_batches(|x: u32| x, x).version(1));
    assert_eq!(identity(&closure.checkpoint("runs")).version.as_deref(), Some("8, 1"));

    // It is refused as that of a run is, with a directory or without one.
    let says = "`version` can't be \"\": use a number or a text, and another one when the results change";
    let mut first = halve_batched(0..3).version("").then(halve_batched).then(halve_batched);
    assert_eq!(first.collect::<Vec<_>>().unwrap_err().to_string(), says);
    let last = halve_batched(0..3).then(|x| halve_batched(x).version("")).checkpoint("runs");
    assert_eq!(refusal(&last), says);
}

#[test]
fn a_stage_keeps_nothing_by_itself() {
    let says = "`checkpoint` can't be given to a stage of a pipeline: use it on the whole, behind the last `then`";
    let mut first = halve_batched(0..3).checkpoint("runs").then(halve_batched);
    assert_eq!(first.collect::<Vec<_>>().unwrap_err().to_string(), says);
    let mut last = halve_batched(0..3).then(|x| halve_batched(x).checkpoint("runs"));
    assert_eq!(last.collect::<Vec<_>>().unwrap_err().to_string(), says);
    let mut journal = halve_batched(0..3).journal("runs").then(halve_batched).version(2).checkpoint("more");
    assert_eq!(journal.collect::<Vec<_>>().unwrap_err().to_string(), says.replace("checkpoint", "journal"));
}

#[test]
fn a_pipeline_takes_over_what_is_about_its_input_and_its_files() {
    let run = process_in_batches(|x: f64| x as u32, [1.5, 2.5])
        .key(|x: &f64| x.to_bits())
        .max_disk("3GiB")
        .remove_when_done(true)
        .skip_first(1)
        .spill_dir("here")
        .then(|x| halve_batched(x).spill_dir("there"))
        .version(1)
        .checkpoint("runs");
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(identity(&run).item, "f64");
    assert_eq!(durable.hash_item(&1.5, &mut StableHasher::default()), StableHasher::default().of(&1.5_f64.to_bits()));
    assert_eq!((durable.max_disk(), durable.skip_first, durable.remove_when_done), (Some(ByteSize::gib(3)), 1, true));
    assert_eq!(durable.spill_dir.as_deref(), Some(&*absolute("there")));

    // The key of a later stage is for other items.
    let lost = halve_batched(0..3).then(|x| halve_batched(x).key(|x| *x)).version(1).journal("runs");
    assert_eq!(
        refusal(&lost),
        "`journal` can't be given with the `key` of a stage: use `key` on the whole, before this"
    );
}

#[derive(Clone)]
struct Photo {
    id: u64,
    exposure: f64,
}

#[batched]
fn exposure(photo: Photo) -> f64 {
    photo.exposure
}

fn id_of(photo: &Photo) -> u64 {
    photo.id
}

#[batched(key = id_of, journal = "runs")]
fn journaled(photo: Photo) -> Photo {
    photo
}

#[batched(key = |photo: &Photo| (photo.id, "b"), checkpoint = RUNS, version = VERSION, max_disk = "5GiB", spill_dir = "there", remove_when_done)]
fn kept(photo: Photo) -> Option<f64> {
    Some(photo.exposure)
}

const RUNS: &str = concat!("runs", "/", "kept");
const VERSION: u32 = 4;

#[test]
fn a_key_tells_items_apart_before_and_behind_the_directory() {
    let hash = |value: &dyn Fn(&mut StableHasher) -> u64| value(&mut StableHasher::default());
    let photo = Photo { id: 7, exposure: 0.5 };
    let photos = || vec![photo.clone()];
    let before = exposure_batched(photos()).key(|photo: &Photo| photo.id).checkpoint("runs");
    let durable = before.shared().durable.as_ref().unwrap();
    assert_eq!(durable.hash_item(&photo, &mut StableHasher::default()), hash(&|hasher| hasher.of(&7_u64)));

    // An item that is `Hash` needs no key; a key takes precedence over its hash.
    let by_hash = halve_batched(0..3).checkpoint("runs");
    let durable = by_hash.shared().durable.as_ref().unwrap();
    assert_eq!(durable.hash_item(&2, &mut StableHasher::default()), hash(&|hasher| hasher.of(&2_u32)));
    for run in [
        halve_batched(0..3).checkpoint("runs").key(|x| u64::from(*x) + 1),
        halve_batched(0..3).key(|x| u64::from(*x) + 1).checkpoint("runs"),
    ] {
        let durable = run.shared().durable.as_ref().unwrap();
        assert_eq!(durable.hash_item(&2, &mut StableHasher::default()), hash(&|hasher| hasher.of(&3_u64)));
    }
}

#[test]
fn the_attribute_sets_what_the_methods_set() {
    let photos = || vec![Photo { id: 7, exposure: 0.5 }];
    let run: Batched<_, Option<f64>, ()> = kept_batched(photos());
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(durable.place(), Some((&*absolute("runs/kept"), Kind::Checkpoint)));
    assert_eq!((durable.max_disk(), durable.remove_when_done), (Some(ByteSize::gib(5)), true));
    assert_eq!(durable.spill_dir.as_deref(), Some(&*absolute("there")));
    let key = durable.hash_item(&photos()[0], &mut StableHasher::default());
    assert_eq!(key, StableHasher::default().of(&(7_u64, "b")));
    assert_eq!(identity(&run).version.as_deref(), Some("4"));

    let run = journaled_batched(photos());
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(durable.place(), Some((&*absolute("runs"), Kind::Journal)));
    assert_eq!(durable.hash_item(&photos()[0], &mut StableHasher::default()), StableHasher::default().of(&7_u64));

    // The methods take precedence.
    let run = kept_batched(photos())
        .max_disk(ByteSize::gib(1))
        .remove_when_done(false)
        .version(5)
        .key(id_of)
        .checkpoint("other");
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(durable.place(), Some((&*absolute("other"), Kind::Checkpoint)));
    assert_eq!((durable.max_disk(), durable.remove_when_done), (Some(ByteSize::gib(1)), false));
    assert_eq!(identity(&run).version.as_deref(), Some("5"));
    let key = durable.hash_item(&photos()[0], &mut StableHasher::default());
    assert_eq!(key, StableHasher::default().of(&7_u64));
}

#[batched(fallible_input, journal = "runs")]
fn lines(line: String) -> io::Result<usize> {
    Ok(line.len())
}

#[batched(fallible_input, journal = "runs", key = |line: &String| line.len())]
fn keyed_lines(line: String) -> io::Result<usize> {
    Ok(line.len())
}

#[test]
fn an_item_that_an_input_gives_has_the_hash_of_the_item_and_all_errors_have_one() {
    let error = |text: &str| Err(io::Error::other(text.to_owned()));
    let (given, other) = (|| Ok("a b".to_owned()), || Ok("a c".to_owned()));
    let mut hasher = StableHasher::default();
    let run = lines_batched([given()]);
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(durable.hash_item(&given(), &mut hasher), durable.hash_item(&given(), &mut hasher));
    assert_ne!(durable.hash_item(&given(), &mut hasher), durable.hash_item(&other(), &mut hasher));
    assert_ne!(durable.hash_item(&given(), &mut hasher), durable.hash_item(&error("a"), &mut hasher));
    assert_eq!(durable.hash_item(&error("b"), &mut hasher), durable.hash_item(&error("a"), &mut hasher));

    let run = keyed_lines_batched([given()]);
    let durable = run.shared().durable.as_ref().unwrap();
    assert_eq!(durable.hash_item(&given(), &mut hasher), durable.hash_item(&other(), &mut hasher));
    assert_ne!(durable.hash_item(&given(), &mut hasher), durable.hash_item(&error("a"), &mut hasher));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Thumb {
    name: String,
    size: (u16, u16),
}

fn thumb() -> Thumb {
    Thumb { name: "a".into(), size: (3, 4) }
}

/// A directory for a run, which is removed when this is dropped.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("amorsize-durable-{name}-{}", std::process::id()));
        // A process that was killed and had the same number may have left one.
        std::fs::remove_dir_all(&path).ok();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Stores results as the run does, reads them again, and gives how many there were.
fn stored<I: IntoIterator, R: PartialEq + fmt::Debug, C, P>(run: &Batched<I, R, C, P>, results: &[R]) -> usize {
    let directory = Scratch::new("stored");
    let codec = run.shared().durable.as_ref().unwrap().checkpoint.as_ref().unwrap().1;
    let identity = identity(run);
    let writer = Store::open(&directory.0, &identity).unwrap().writer(Settings::new(u64::MAX)).unwrap();
    let mut kept = Vec::new();
    for (index, result) in results.iter().enumerate() {
        let mut encoded = Encoded::new(index as u64);
        let is_out = run.shared().takes_out(result);
        let pushed = if is_out { None } else { run.shared().push(&codec, &mut encoded, 7, result) };
        assert_eq!(pushed, pushed.is_some().then_some(Ok(())));
        assert_eq!(encoded.is_empty(), pushed.is_none());
        if pushed.is_some() {
            kept.push((index as u64, result));
            writer.put(encoded);
        }
    }
    writer.finish().unwrap();

    let mut store = Store::open(&directory.0, &identity).unwrap();
    (codec.check)(&mut store).unwrap();
    let mut all = Vec::new();
    for done in store.found.done.clone() {
        let mut restored = store.read(&done).unwrap();
        all.extend((done.first..).zip((codec.take)(&mut restored, usize::MAX).unwrap()));
    }
    assert!(all.iter().map(|(index, result)| (*index, result)).eq(kept.iter().copied()), "{all:?}");
    all.len()
}

#[test]
fn what_a_policy_takes_out_is_not_stored() {
    // Its error can be stored as well.
    let run = || process_in_batches(|x: u8| if x > 9 { Err(x) } else { Ok(thumb()) }, 0..3).version(1);
    let results = [Ok(thumb()), Err(12), Ok(thumb())];
    assert_eq!(stored(&run().checkpoint("runs"), &results), 3);
    assert_eq!(stored(&run().on_error(Stop).checkpoint("runs"), &results), 2);
    assert_eq!(stored(&run().on_error(Skip).checkpoint("runs"), &results), 2);
    assert_eq!(stored(&run().on_error(Collect).key(|x| *x).checkpoint("runs"), &results), 2);
    // A policy that is set later leaves out the same.
    assert_eq!(stored(&run().checkpoint("runs").on_error(Skip), &results), 2);
    // It stores whole results all the same, and says so.
    let skips = "core::result::Result<amorsize::durable::tests::Thumb, u8>";
    assert_eq!(identity(&run().checkpoint("runs").on_error(Skip)).result, skips);
    assert_eq!(identity(&run().on_error(Skip).checkpoint("runs")).result, "amorsize::durable::tests::Thumb");

    let some = process_in_batches(|_: u8| Some(thumb()), 0..3).version(1).flatten().checkpoint("runs");
    assert_eq!(stored(&some, &[None, Some(thumb()), None]), 1);
}

#[test]
fn an_error_need_not_be_stored_where_a_policy_takes_it_out() {
    let run = process_in_batches(|_: u8| -> io::Result<Thumb> { Ok(thumb()) }, 0..3).on_error(Stop).checkpoint("runs");
    assert_eq!(
        run.shared().durable.as_ref().unwrap().checkpoint.as_ref().unwrap().1.result,
        "amorsize::durable::tests::Thumb"
    );
    // The results of a journal's sink need no trait.
    let run = process_in_batches(|_: u8| -> io::Result<Opaque> { Ok(Opaque) }, 0..3).version(1).journal("runs");
    assert_eq!(identity(&run).result, type_name::<io::Result<Opaque>>());
}

#[test]
fn results_of_another_type_are_refused() {
    #[derive(Serialize, Deserialize)]
    struct Swapped {
        size: (u16, u16),
        name: String,
    }
    let directory = Scratch::new("another_type");
    let run = process_in_batches(|_: u8| thumb(), 0..3).version(1).checkpoint(&directory.0);
    let codec = run.shared().durable.as_ref().unwrap().checkpoint.as_ref().unwrap().1;
    let identity = identity(&run);
    let writer = Store::open(&directory.0, &identity).unwrap().writer(Settings::new(u64::MAX)).unwrap();
    let mut encoded = Encoded::new(0);
    run.shared().push(&codec, &mut encoded, 7, &thumb());
    writer.put(encoded);
    writer.finish().unwrap();
    let mut store = Store::open(&directory.0, &identity).unwrap();
    assert!((codec.check)(&mut store).is_ok());
    assert!((Codec::<Swapped>::of::<Each>().check)(&mut store).unwrap_err().is_changed());
}

#[test]
fn a_result_that_can_t_become_bytes_says_why() {
    #[derive(Deserialize)]
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let run = process_in_batches(|_: u8| Fails, 0..3).version(1).checkpoint("runs");
    let codec = run.shared().durable.as_ref().unwrap().checkpoint.as_ref().unwrap().1;
    let mut encoded = Encoded::new(0);
    assert!(matches!(run.shared().push(&codec, &mut encoded, 7, &Fails), Some(Err(_))));
    assert!(encoded.is_empty());
}

#[test]
fn a_mark_changes_nothing_but_the_type() {
    fn same<R, P: Policy<R>>() {
        assert_eq!((P::STOPS, P::GATHERS, P::GIVES_ALL), {
            type K<P> = crate::Keyed<P>;
            (<K<P> as Policy<R>>::STOPS, <K<P> as Policy<R>>::GATHERS, <K<P> as Policy<R>>::GIVES_ALL)
        });
    }
    same::<Result<u8, u8>, Each>();
    same::<Result<u8, u8>, Stop>();
    same::<Result<u8, u8>, Skip>();
    same::<Result<u8, u8>, Collect>();
    same::<Option<u8>, Flatten>();

    let parse = || process_in_batches(|x: u8| if x == 1 { Err(x) } else { Ok(x) }, 0..4);
    assert_eq!(parse().key(|x| *x).try_collect::<Vec<_>>().unwrap_err().item(), Some(1));
    assert_eq!(parse().on_error(Stop).key(|x| *x).collect::<Vec<_>>().unwrap_err().item(), Some(1));
    assert_eq!(parse().on_error(Skip).key(|x| *x).collect::<Vec<_>>().unwrap(), [0, 2, 3]);
    let outcome = parse().on_error(Collect).key(|x| *x).collect::<Vec<_>>().unwrap();
    assert_eq!((outcome.value().as_slice(), outcome.failures()[0].index()), (&[0, 2, 3][..], 1));
    assert_eq!(parse().key(|x| *x).on_error(Skip).into_iter().collect::<Vec<_>>(), [0, 2, 3]);
    let given: BTreeMap<_, _> = parse().on_error(Skip).key(|x| *x).unordered().collect();
    assert_eq!(given, BTreeMap::from([(0, 0), (2, 2), (3, 3)]));
    let some = || process_in_batches(|x: u8| (x != 1).then_some(x), 0..4);
    assert_eq!(some().key(|x| *x).flatten().collect::<Vec<_>>().unwrap(), [0, 2, 3]);
    let piped = parse().on_error(Skip).key(|x| *x).then(|x| process_in_batches(|x: u8| 2 * x, x)).collect::<Vec<_>>();
    assert_eq!(piped.unwrap(), [0, 4, 6]);
}
