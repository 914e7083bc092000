//! The attribute in a crate of the 2021 edition, with its rules for the lifetimes that an
//! `impl Trait` captures, for one.

#![deny(warnings)]
#![cfg(test)]

use std::borrow::Cow;
use std::fmt::Display;

use amorsize::batched;

#[batched(batch_size = BATCH)]
fn trim<'a>(x: &'a str, k: &str, count: usize) -> Cow<'a, str> {
    x.trim_start_matches(k).chars().take(count).collect::<String>().into()
}

const BATCH: usize = 2;

#[batched]
fn captures_nothing(x: &str, _: &impl Display) -> Option<Vec<u8>> {
    Some(x.into())
}

#[batched]
fn captures_by_name(x: &str) -> impl Iterator<Item = char> + '_ {
    x.chars()
}

#[batched]
fn captures_no_lifetime(x: &str) -> impl Iterator<Item = char> {
    x.chars().collect::<Vec<_>>().into_iter()
}

// A keyword since 2024.
#[batched]
fn gen(gen: &u32) -> u32 {
    *gen
}

#[batched]
fn plus(x: &u32, gen: &u32) -> u32 {
    x + gen
}

struct Model<T>(T);

impl<T: Clone> Model<T> {
    #[batched]
    fn value(&self, _: &u32) -> T {
        self.0.clone()
    }
}

#[test]
fn everything_works_in_2021_too() {
    assert_eq!(trim_batched(["aab"], "a", 1).collect::<Vec<_>>().unwrap(), ["b"]);
    assert_eq!(captures_nothing_batched(["a"], &1).collect::<Vec<_>>().unwrap(), [Some(vec![b'a'])]);
    let text = String::from("ab");
    assert_eq!(captures_by_name_batched([text.as_str()]).collect::<Vec<_>>().unwrap().remove(0).count(), 2);
    let free = captures_no_lifetime_batched([text.as_str()]).collect::<Vec<_>>().unwrap();
    assert_eq!(free.into_iter().flatten().count(), 2);
    assert_eq!(gen_batched([&1]).collect::<Vec<_>>().unwrap(), [1]);
    assert_eq!(plus_batched([&1], &2).collect::<Vec<_>>().unwrap(), [3]);
    assert_eq!(Model("a").value_batched([&1]).collect::<Vec<_>>().unwrap(), ["a"]);
}
