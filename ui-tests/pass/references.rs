//! Items and shared parameters that are borrowed, and results that borrow from them.

#![allow(
    clippy::needless_arbitrary_self_type,
    clippy::needless_lifetimes,
    clippy::ptr_arg,
    reason = "every form is tried, also where another would be nicer"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::str::Chars;
use std::sync::{Mutex, MutexGuard};

use amorsize::batched;

/// The wrapper gives the same as the function, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

#[batched]
fn length(x: &str) -> usize {
    x.len()
}

#[batched]
fn trim(x: &str) -> &str {
    x.trim()
}

#[batched]
fn late<'a>(x: &'a str, k: &str) -> &'a str {
    x.strip_prefix(k).unwrap_or(x)
}

#[batched]
fn from_shared<'k>(x: usize, k: &'k str) -> &'k str {
    &k[x..]
}

#[batched]
fn only_shared(x: usize, k: &[u8]) -> &u8 {
    &k[x]
}

#[batched]
fn one_lifetime<'a>(x: &'a str, k: &'a str) -> &'a str {
    if x.is_empty() { k } else { x }
}

#[batched]
#[expect(mismatched_lifetime_syntaxes, reason = "it is allowed")]
fn one_parameter<'a>(x: &'a [&'a str]) -> Option<&str> {
    x.first().copied()
}

#[batched]
fn joined(words: &[&str]) -> String {
    words.join("-")
}

#[batched]
fn first<'a>(words: &[&'a str]) -> &'a str {
    words[0]
}

#[batched]
fn both<'a, 'b>(words: &'a Vec<&'b str>) -> (&'b str, &'a str) {
    (words[0], words[1])
}

#[batched]
fn cow<'a>(x: &'a str, from: &str) -> Cow<'a, str> {
    if x.contains(from) { x.replace(from, "_").into() } else { x.into() }
}

#[batched]
fn cow_item(x: Cow<'_, str>) -> Cow<'_, str> {
    x
}

#[batched]
fn forever(x: &'static str) -> &'static str {
    x
}

#[batched]
#[expect(mismatched_lifetime_syntaxes, reason = "it is allowed")]
fn elided_forever(x: &'static str) -> &str {
    x
}

#[batched]
fn guarded(x: u32, total: &Mutex<u32>) -> u32 {
    let mut total: MutexGuard<'_, u32> = total.lock().unwrap();
    *total += x;
    x
}

#[batched]
fn dynamic(x: &(dyn Display + Sync), suffix: &(dyn Display + Sync)) -> String {
    format!("{x}{suffix}")
}

#[batched]
fn boxed(x: Box<dyn Fn(&str) -> String + Send>, y: &str) -> String {
    x(y)
}

#[batched]
fn pointer(x: u32, f: fn(&u32) -> &u32, g: &(dyn for<'x> Fn(&'x u32) -> &'x u32 + Sync)) -> u32 {
    *f(&x) + *g(&x)
}

// Lifetimes that a part of a type declares, or leaves to its calls, are none of the function's.
#[batched]
fn higher_ranked<T: Display>(x: Box<dyn for<'x> Fn(&'x T) -> String + Send>, y: &T) -> String {
    x(y)
}

#[batched]
fn counter(x: &(dyn Fn(Chars<'_>) -> usize + Sync), text: &str) -> usize {
    x(text.chars())
}

#[batched]
fn pointer_item<'b>(x: &fn(&'b str) -> &'b str, y: &'b str) -> &'b str {
    x(y)
}

#[batched]
fn nested<'a, 'b: 'a>(x: &'a HashMap<&'b str, Vec<Option<&'b u32>>>, key: &str) -> Option<&'a u32> {
    x.get(key)?.first().copied().flatten()
}

struct Row<'a>(&'a [f64]);

#[batched]
fn row(x: Row<'_>) -> f64 {
    x.0.iter().sum()
}

#[batched]
fn cell<'r>(row: &Row<'r>, at: usize) -> &'r f64 {
    &row.0[at]
}

// That one lifetime outlives the other is out of the attribute's sight, so the function says it.
struct Column<'a, 'b: 'a>(&'a &'b str);

#[batched]
fn column<'a, 'b: 'a>(x: Column<'a, 'b>) -> &'b str {
    x.0
}

fn items_and_results_borrow() {
    let texts = [String::from(" ab "), String::from("b")];
    let borrowed = || texts.iter().map(String::as_str);
    same!(length_batched(borrowed()), [4, 1]);
    same!(trim_batched(borrowed()), ["ab", "b"]);
    same!(late_batched(borrowed(), &String::from("b")), [" ab ", ""]);
    same!(from_shared_batched([0, 1], "ab"), ["ab", "b"]);
    same!(only_shared_batched([0, 1], b"ab"), [b'a', b'b'].each_ref());
    same!(one_lifetime_batched(["", "x"], "k"), ["k", "x"]);
    same!(one_parameter_batched([&["a"][..]]), [Some("a")]);
    same!(joined_batched([&["a", "b"][..], &["c"]]), ["a-b", "c"]);
    same!(first_batched([&["a", "b"][..], &["c"]]), ["a", "c"]);
    same!(both_batched(&[vec!["a", "b"]]), [("a", "b")]);
    same!(cow_batched(borrowed(), "a"), [" _b ", "b"]);
    same!(cow_item_batched([Cow::Borrowed("a")]), ["a"]);
    same!(forever_batched(["a"]), ["a"]);
    same!(elided_forever_batched(["a"]), ["a"]);
    let total = Mutex::new(0);
    same!(guarded_batched([1, 2], &total), [1, 2]);
    assert_eq!(*total.lock().unwrap(), 3);
    same!(dynamic_batched([&1 as &(dyn Display + Sync), &"a"], &'!'), ["1!", "a!"]);
    let shout: Box<dyn Fn(&str) -> String + Send> = Box::new(str::to_uppercase);
    same!(boxed_batched([shout], "a"), ["A"]);
    same!(pointer_batched([1], |x| x, &|x| x), [2]);
    let text: Box<dyn for<'x> Fn(&'x u8) -> String + Send> = Box::new(u8::to_string);
    same!(higher_ranked_batched([text], &1), ["1"]);
    let count: &(dyn Fn(Chars<'_>) -> usize + Sync) = &|chars| chars.count();
    same!(counter_batched([count], "ab"), [2]);
    let trim: fn(&'static str) -> &'static str = str::trim;
    same!(pointer_item_batched(&[trim], " a"), ["a"]);
    same!(row_batched([Row(&[1.0, 2.0])]), [3.0]);
    let map = HashMap::from([("a", vec![Some(&7)])]);
    same!(nested_batched([&map], &String::from("a")), [Some(&7)]);
    same!(cell_batched([&Row(&[1.0, 2.0])], 1), [&2.0]);
    same!(column_batched([Column(&"a")]), ["a"]);
}

pub(crate) fn main() {
    items_and_results_borrow();
}
