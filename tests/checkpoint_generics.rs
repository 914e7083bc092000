//! The types and values of a function's generic parameters belong to its identity: results of
//! other ones are refused.

#[path = "common/folder.rs"]
mod folder;

use std::fmt::Display;
use std::hash::Hash;

use amorsize::{Batched, Error, batched};
use folder::Folder;

trait Op: Sync {
    fn apply(&self, x: u64) -> u64;
}

#[derive(Clone, Hash)]
struct Add(u64);
#[derive(Clone, Hash)]
struct Mul(u64);

impl Op for Add {
    fn apply(&self, x: u64) -> u64 {
        x + self.0
    }
}

impl Op for Mul {
    fn apply(&self, x: u64) -> u64 {
        x * self.0
    }
}

/// Borrows what it adds.
#[derive(Clone, Hash)]
struct AddAll<'n>(&'n [u64]);

impl Op for AddAll<'_> {
    fn apply(&self, x: u64) -> u64 {
        x + self.0.iter().sum::<u64>()
    }
}

#[batched]
fn apply<T: Op + Hash>(x: u64, op: &T) -> u64 {
    op.apply(x)
}

#[batched]
fn apply_any(x: u64, op: impl Op + Hash) -> u64 {
    op.apply(x)
}

#[batched(ignore(op))]
fn apply_ignored(x: u64, op: impl Op) -> u64 {
    op.apply(x)
}

#[batched(ignore(op))]
fn apply_ignored_parameter<T: Op>(x: u64, op: &T) -> u64 {
    op.apply(x)
}

#[batched]
fn times<const N: u64>(x: u64) -> u64 {
    x * N
}

#[batched]
fn signed<const NEGATIVE: bool, const UNIT: char>(x: u64) -> String {
    format!("{}{x}{UNIT}", if NEGATIVE { "-" } else { "" })
}

trait Model {
    fn predict(x: u64) -> u64;
}

struct Small;
struct Large;

impl Model for Small {
    fn predict(x: u64) -> u64 {
        x + 1
    }
}

impl Model for Large {
    fn predict(x: u64) -> u64 {
        x + 1000
    }
}

#[batched]
fn predict<M: Model>(x: u64) -> u64 {
    M::predict(x)
}

#[batched(version = 1)]
fn predict_of_version_1<M: Model>(x: u64) -> u64 {
    M::predict(x)
}

/// Of an item's type.
#[batched]
fn text(x: impl Display + Hash) -> String {
    x.to_string()
}

#[derive(Hash)]
struct Scale(u64);

impl Scale {
    #[batched]
    fn scaled<M: Model, const N: u64>(&self, x: u64) -> u64 {
        M::predict(self.0 * x) + N
    }
}

#[batched]
fn halve(x: u64) -> u64 {
    x / 2
}

/// The error's text, which must have both names.
#[track_caller]
fn changed<V>(outcome: Result<V, Error>, names: [&str; 2]) {
    let error = outcome.err().expect("the results of another function were taken");
    assert!(error.is_changed());
    let text = error.to_string();
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}

#[track_caller]
fn collected<I: IntoIterator<Item: Send>, R: Send, C: Sync>(mut run: Batched<I, R, C>) -> Result<Vec<R>, Error> {
    run.collect()
}

#[test]
fn results_of_another_type_parameter_are_refused() {
    let folder = Folder::new("type-parameter");
    let runs = folder.file("named");
    for _ in 0..2 {
        assert_eq!(collected(apply_batched(1..4, &Add(3)).checkpoint(&runs)).unwrap(), [4, 5, 6]);
    }
    let is_now = ["::apply::<checkpoint_generics::Add>`", "::apply::<checkpoint_generics::Mul>`"];
    changed(collected(apply_batched(1..4, &Mul(3)).checkpoint(&runs)), is_now);

    let runs = folder.file("of-impl-trait");
    for _ in 0..2 {
        assert_eq!(collected(apply_any_batched(1..4, Add(3)).checkpoint(&runs)).unwrap(), [4, 5, 6]);
    }
    changed(collected(apply_any_batched(1..4, Mul(3)).checkpoint(&runs)), ["::Add>", "::Mul>"]);

    let runs = folder.file("of-no-parameter");
    assert_eq!(collected(predict_batched::<Small, _>(1..4).checkpoint(&runs)).unwrap(), [2, 3, 4]);
    changed(collected(predict_batched::<Large, _>(1..4).checkpoint(&runs)), ["::Small>", "::Large>"]);
    assert_eq!(collected(predict_batched::<Small, _>(1..5).checkpoint(&runs)).unwrap(), [2, 3, 4, 5]);

    let runs = folder.file("of-items");
    assert_eq!(collected(text_batched([1_u8]).checkpoint(&runs)).unwrap(), ["1"]);
    changed(collected(text_batched([true]).checkpoint(&runs)), ["<u8>", "<bool>"]);
}

#[test]
fn results_of_another_const_parameter_are_refused() {
    let folder = Folder::new("const-parameter");
    let runs = folder.file("number");
    assert_eq!(collected(times_batched::<2, _>(1..4).checkpoint(&runs)).unwrap(), [2, 4, 6]);
    changed(collected(times_batched::<3, _>(1..4).checkpoint(&runs)), ["times::<2>", "times::<3>"]);
    let runs = folder.file("others");
    assert_eq!(collected(signed_batched::<true, 'm', _>(1..2).checkpoint(&runs)).unwrap(), ["-1m"]);
    changed(collected(signed_batched::<true, 'k', _>(1..2).checkpoint(&runs)), ["<true, 'm'>", "<true, 'k'>"]);
    changed(collected(signed_batched::<false, 'm', _>(1..2).checkpoint(&runs)), ["<true, 'm'>", "<false, 'm'>"]);
}

#[test]
fn methods_stages_and_journals_compare_generic_parameters_too() {
    let folder = Folder::new("generic-others");
    let (runs, scale) = (folder.file("method"), Scale(10));
    let first = scale.scaled_batched::<Small, 7, _>(1..3).checkpoint(&runs);
    assert_eq!(collected(first).unwrap(), [18, 28]);
    let names = ["Scale::scaled::<checkpoint_generics::Small, 7>", "Scale::scaled::<checkpoint_generics::Small, 8>"];
    changed(collected(scale.scaled_batched::<Small, 8, _>(1..3).checkpoint(&runs)), names);
    changed(collected(scale.scaled_batched::<Large, 7, _>(1..3).checkpoint(&runs)), ["Small, 7>", "Large, 7>"]);

    let runs = folder.file("stage");
    let doubled = || halve_batched(0..9).then(times_batched::<2, _>).checkpoint(&runs).collect::<Vec<_>>();
    assert_eq!(doubled().unwrap()[8], 8);
    let tripled = || halve_batched(0..9).then(times_batched::<3, _>).checkpoint(&runs).collect::<Vec<_>>();
    changed(tripled(), ["halve then checkpoint_generics::times::<2>", "times::<3>"]);
    assert_eq!(doubled().unwrap()[8], 8);

    let runs = folder.file("journal");
    predict_batched::<Small, _>(1..4).journal(&runs).for_each_batch(drop).unwrap();
    changed(predict_batched::<Large, _>(1..4).journal(&runs).for_each_batch(drop), ["::Small>", "::Large>"]);
}

/// A version stands for the code, which is the same for all types.
#[test]
fn a_version_does_not_stand_for_generic_parameters() {
    let folder = Folder::new("generic-version");
    let runs = folder.file("run");
    assert_eq!(collected(predict_of_version_1_batched::<Small, _>(1..4).checkpoint(&runs)).unwrap(), [2, 3, 4]);
    changed(collected(predict_of_version_1_batched::<Large, _>(1..4).checkpoint(&runs)), ["::Small>", "::Large>"]);
}

#[test]
fn types_with_any_lifetime_are_compared() {
    let folder = Folder::new("generic-lifetimes");
    let runs = folder.file("run");
    for _ in 0..2 {
        let numbers = vec![1, 2];
        let op = AddAll(&numbers);
        assert_eq!(collected(apply_batched(1..4, &op).checkpoint(&runs)).unwrap(), [4, 5, 6]);
    }
    changed(collected(apply_batched(1..4, &Add(3)).checkpoint(&runs)), ["::AddAll", "::Add>"]);
}

/// The body can't name the type of an `impl Trait`.
#[test]
fn the_type_of_an_ignored_impl_trait_is_not_compared() {
    let folder = Folder::new("generic-ignored");
    let runs = folder.file("impl");
    assert_eq!(collected(apply_ignored_batched(1..4, Add(3)).checkpoint(&runs)).unwrap(), [4, 5, 6]);
    assert_eq!(collected(apply_ignored_batched(1..4, Mul(3)).checkpoint(&runs)).unwrap(), [4, 5, 6]);

    let runs = folder.file("named");
    assert_eq!(collected(apply_ignored_parameter_batched(1..4, &Add(3)).checkpoint(&runs)).unwrap(), [4, 5, 6]);
    changed(collected(apply_ignored_parameter_batched(1..4, &Mul(3)).checkpoint(&runs)), ["::Add>", "::Mul>"]);
}

#[test]
fn a_function_without_generic_parameters_has_its_path_alone() {
    let folder = Folder::new("not-generic");
    let runs = folder.file("run");
    collected(halve_batched(0..3).checkpoint(&runs)).unwrap();
    let manifest = std::fs::read_to_string(runs.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"function\": \"checkpoint_generics::halve\""), "{manifest}");
}
