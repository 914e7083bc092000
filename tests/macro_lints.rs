//! The expansion triggers no lint in a crate that denies all of them, and silences none for the
//! original.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused,
    unused_qualifications,
    unused_import_braces,
    unused_lifetimes,
    unused_results,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    non_ascii_idents,
    redundant_lifetimes,
    unnameable_types,
    unit_bindings,
    variant_size_differences,
    future_incompatible,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::cargo
)]
#![allow(clippy::cargo_common_metadata, clippy::multiple_crate_versions, reason = "these are about other crates")]

use std::borrow::Cow;

use amorsize::{DeepSize, batched};

/// Doubles.
#[batched(max_memory = 0.5, batch_size = 3, sample_size = 2, threads = 2, verbose = false)]
#[must_use]
pub const fn double(x: u32) -> u32 {
    2 * x
}

const BATCH: usize = 3;

/// Joins.
#[batched(batch_size = BATCH, threads = BATCH + 1)]
#[must_use]
pub fn join<'a>(words: &'a [&str], by: &str, config: (u8, Box<[u8]>), last: Option<Cow<'a, str>>) -> Cow<'a, str> {
    let (first, rest) = config;
    drop(rest);
    last.unwrap_or_else(|| words.join(by).repeat(first.into()).into())
}

/// Parses.
///
/// # Errors
///
/// When the text is no number.
#[batched]
pub fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

/// Takes what it is given.
#[batched]
#[allow(clippy::too_many_arguments, clippy::many_single_char_names, reason = "that is the point")]
#[must_use]
pub const fn many(x: u8, a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) -> u8 {
    x + a + b + c + d + e + f + g + h + i
}

/// Clones.
#[batched]
#[expect(clippy::type_complexity, reason = "that is the point")]
pub fn complex<T: Clone + Send + Sync>(
    x: Option<Result<Box<dyn Fn(T) -> Vec<T> + Send>, Vec<Option<Box<T>>>>>,
    y: &T,
) -> Option<Vec<T>> {
    x.and_then(Result::ok).map(|f| f(y.clone()))
}

/// Needs parentheses around `impl`.
#[batched]
pub fn parenthesized(x: &(impl ToString + Sync), y: &(impl ToString + Sync)) -> String {
    x.to_string() + &y.to_string()
}

/// Names that are not in snake case.
#[batched]
#[expect(non_snake_case, reason = "that is the point")]
#[must_use]
pub const fn nonSnake(X: u32, Y: u32) -> u32 {
    X + Y
}

/// A shape.
#[derive(Debug)]
pub struct Model<T> {
    weight: T,
}

impl<T: Copy + std::ops::Mul<Output = T>> Model<T> {
    /// Weighs.
    #[batched]
    pub fn weigh(&self, x: T) -> T {
        self.weight * x
    }

    /// Makes one.
    #[batched]
    #[must_use]
    pub const fn new(weight: T) -> Self {
        Self { weight }
    }
}

/// A color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RGB(u32);

impl RGB {
    /// Brightens.
    #[batched]
    #[must_use]
    #[expect(clippy::use_self, reason = "that is the point")]
    pub const fn brighter(&self, x: Self, _: RGB) -> RGB {
        Self(self.0 + x.0)
    }
}

/// Gone soon.
#[batched]
#[deprecated = "use `double`"]
#[must_use]
pub const fn old(x: u32) -> u32 {
    double(x)
}

#[batched]
#[cfg(any())]
fn never_there(x: Missing) {}

#[cfg(not(any()))]
#[batched]
const fn always_there(x: &u32) -> &u32 {
    x
}

#[batched]
#[cfg_attr(all(), deprecated, allow(clippy::missing_const_for_fn))]
fn old_by_condition(x: u32) -> u32 {
    x
}

#[batched]
#[expect(
    dead_code,
    reason = "neither it nor its wrapper is called, and that must be found out in spite of the wrapper"
)]
#[allow(clippy::missing_const_for_fn, reason = "it is about another lint")]
fn dead(x: u32) -> u32 {
    x
}

/// Only the original is called.
#[batched]
#[allow(clippy::missing_const_for_fn, reason = "it is about another lint")]
fn original_only(x: u32) -> u32 {
    x
}

/// Only the wrapper is called.
#[batched]
#[allow(clippy::missing_const_for_fn, reason = "it is about another lint")]
fn wrapper_only(x: u32) -> u32 {
    x
}

/// With spans.
#[batched]
#[tracing::instrument]
#[must_use]
pub fn traced_below(x: u32) -> u32 {
    x
}

/// With spans.
#[tracing::instrument(skip(y))]
#[batched]
#[must_use]
pub fn traced_above(x: u32, y: &str) -> usize {
    x as usize + y.len()
}

/// Counted.
#[derive(DeepSize, Debug)]
pub struct Counted<'a, T, I>
where
    T: Copy,
    I: Iterator,
{
    /// Borrowed.
    pub text: Cow<'a, str>,
    /// A parameter's own type.
    pub several: [T; 2],
    /// A type of a parameter's.
    pub item: Option<I::Item>,
    /// Going away.
    #[deprecated]
    pub old: Vec<u8>,
    #[deep_size(skip)]
    skipped: Option<Box<dyn std::error::Error>>,
}

/// Counted.
#[derive(DeepSize, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// Empty.
    Nothing,
    /// Empty, too.
    Nobody {},
    /// The same as below.
    Text(String),
    /// The same as above.
    More(String),
    /// Nested.
    List {
        /// The type itself.
        kinds: Vec<Self>,
        /// A name that the expansion uses inside.
        field0: u8,
    },
    /// Going away.
    #[deprecated]
    Old(Box<u8>),
}

/// Nothing.
#[derive(DeepSize, Debug, Clone, Copy)]
pub struct Nothing;

/// Nobody.
#[derive(DeepSize, Debug, Clone, Copy)]
pub enum Nobody {}

/// Packed.
#[derive(DeepSize, Debug, Clone, Copy)]
#[repr(C, packed)]
pub struct Packed(u8, u64);

#[derive(DeepSize, Debug)]
#[deprecated]
struct Old(String);

#[test]
#[expect(deprecated, reason = "that is the point")]
fn deep_sizes_are_known() {
    let counted: Counted<'_, u8, std::ops::Range<u8>> =
        Counted { text: "a".into(), several: [1; 2], item: None, old: Vec::new(), skipped: None };
    assert_eq!(counted.heap_size(), 0);
    assert!(counted.skipped.is_none());
    assert_eq!(Kind::List { kinds: vec![], field0: 1 }.heap_size(), 0);
    assert_eq!(Old(String::from("a")).heap_size(), 1);
    const { assert!(!Packed::OWNS_HEAP && !Nothing::OWNS_HEAP && !Nobody::OWNS_HEAP) };
}

#[test]
fn everything_runs() {
    assert_eq!(double_batched(0..3).collect::<Vec<_>>().unwrap(), [0, 2, 4]);
    let joined = join_batched([&["a", "b"][..]], "-", (2, Box::new([])), None).collect::<Vec<_>>().unwrap();
    assert_eq!(joined, ["a-ba-b"]);
    assert_eq!(parse_batched(["1"]).try_collect::<Vec<_>>().unwrap(), [1]);
    assert_eq!(many_batched([0], 1, 1, 1, 1, 1, 1, 1, 1, 1).collect::<Vec<_>>().unwrap(), [9]);
    assert_eq!(complex_batched([None], &1).collect::<Vec<_>>().unwrap(), [None]);
    assert_eq!(parenthesized_batched(&[1], &2).collect::<Vec<_>>().unwrap(), ["12"]);
    assert_eq!(nonSnake_batched([1], 2).collect::<Vec<_>>().unwrap(), [3]);
    assert_eq!(Model::new(2).weigh_batched([1]).collect::<Vec<_>>().unwrap(), [2]);
    assert_eq!(Model::new_batched([1]).collect::<Vec<_>>().unwrap().len(), 1);
    assert_eq!(RGB(1).brighter_batched([RGB(1)], RGB(2)).collect::<Vec<_>>().unwrap(), [RGB(2)]);
    assert_eq!(always_there_batched(&[1]).collect::<Vec<_>>().unwrap(), [&1]);
    assert_eq!(original_only(1), 1);
    assert_eq!(wrapper_only_batched([1]).collect::<Vec<_>>().unwrap(), [1]);
    assert_eq!(traced_below_batched([1]).collect::<Vec<_>>().unwrap(), [1]);
    assert_eq!(traced_above_batched([1], "a").collect::<Vec<_>>().unwrap(), [2]);
}

#[test]
#[expect(deprecated, reason = "that is the point: the wrapper of what is deprecated is deprecated too")]
fn the_wrapper_is_deprecated_too() {
    assert_eq!(old_batched([1]).collect::<Vec<_>>().unwrap(), [2]);
    assert_eq!(old_by_condition_batched([1]).collect::<Vec<_>>().unwrap(), [1]);
}
