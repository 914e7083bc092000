//! Shared parameters that are trait objects: the features add no bound on them, and a run that
//! keeps results compares them where they are `Hash`.

#[path = "common/folder.rs"]
mod folder;

use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use amorsize::batched;
use folder::Folder;

trait Op: Send + Sync {
    fn apply(&self, x: u64) -> u64;
}

impl Op for u64 {
    fn apply(&self, x: u64) -> u64 {
        x + self
    }
}

impl Op for &u64 {
    fn apply(&self, x: u64) -> u64 {
        x + *self
    }
}

/// For objects that borrow nothing: the lifetime is `'static`.
impl Hash for dyn Op {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.apply(0).hash(state);
    }
}

trait AnyOp: Sync {
    fn apply(&self, x: u64) -> u64;
}

impl AnyOp for &u64 {
    fn apply(&self, x: u64) -> u64 {
        x + *self
    }
}

impl Hash for dyn AnyOp + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.apply(0).hash(state);
    }
}

#[batched]
fn with_static(x: u64, op: &dyn Op) -> u64 {
    op.apply(x)
}

#[batched]
fn with_any(x: u64, op: &dyn AnyOp, others: &[&(dyn AnyOp + '_)]) -> u64 {
    others.iter().fold(op.apply(x), |x, op| op.apply(x))
}

#[batched]
fn with_owned(x: u64, op: &Arc<dyn Op>) -> u64 {
    op.apply(x)
}

#[batched]
fn with_unhashed(x: u64, suffix: &(dyn Display + Sync)) -> String {
    format!("{x}{suffix}")
}

trait Of<T>: Sync {
    fn of(&self, x: u64) -> T;
}

impl Of<String> for u64 {
    fn of(&self, x: u64) -> String {
        (self + x).to_string()
    }
}

#[batched]
fn with_generic<T: Send>(x: u64, of: &dyn Of<T>) -> T {
    of.of(x)
}

struct Model {
    by: u64,
}

impl Model {
    #[batched(ignore(self))]
    fn predict<'a>(&'a self, x: u64, op: &'a (dyn AnyOp + 'a)) -> u64 {
        op.apply(x * self.by)
    }
}

#[test]
fn trait_objects_are_shared_whether_they_are_hash_or_not() {
    let number = 3;
    assert_eq!(with_static_batched(0..3, &&number).collect::<Vec<_>>().unwrap(), [3, 4, 5]);
    assert_eq!(with_any_batched(0..3, &&number, &[&&number]).collect::<Vec<_>>().unwrap(), [6, 7, 8]);
    assert_eq!(with_unhashed_batched(0..2, &&number).collect::<Vec<_>>().unwrap(), ["03", "13"]);
    assert_eq!(with_generic_batched(0..2, &number).collect::<Vec<_>>().unwrap(), ["3", "4"]);
    assert_eq!(Model { by: 2 }.predict_batched(0..3, &&number).collect::<Vec<_>>().unwrap(), [3, 5, 7]);
}

#[test]
fn a_trait_object_that_is_hash_is_compared() {
    let folder = Folder::new("objects");
    let (three, four) = (3, 4);
    let borrowed = folder.file("borrowed");
    let run =
        |one: &u64, other: &u64| with_any_batched(0..3, &one, &[&other]).checkpoint(&borrowed).collect::<Vec<_>>();
    assert_eq!(run(&three, &four).unwrap(), [7, 8, 9]);
    assert_eq!(run(&three, &four).unwrap(), [7, 8, 9]);
    for error in [run(&four, &four).unwrap_err(), run(&three, &three).unwrap_err()] {
        assert!(error.is_changed(), "{error}");
    }

    let owned = folder.file("owned");
    let run = |by: u64| with_owned_batched(0..3, &(Arc::new(by) as Arc<dyn Op>)).checkpoint(&owned).collect::<Vec<_>>();
    assert_eq!(run(3).unwrap(), [3, 4, 5]);
    assert!(run(4).unwrap_err().is_changed());
}

#[test]
fn a_trait_object_that_is_not_hash_for_its_lifetime_is_refused() {
    let folder = Folder::new("unhashed-objects");
    let refused = with_static_batched(0..3, &3).checkpoint(folder.file("run")).collect::<Vec<_>>().unwrap_err();
    assert!(refused.is_invalid_option());
    assert!(refused.to_string().contains("`impl Hash for dyn Trait + '_`"), "{refused}");
    let refused = with_unhashed_batched(0..3, &3).checkpoint(folder.file("run")).collect::<Vec<_>>().unwrap_err();
    assert!(refused.to_string().contains("the shared parameter `suffix` of `with_unhashed`"), "{refused}");
}
