//! The attribute in a crate of the 2015 edition: paths begin in the root, which has no `core`, and
//! later keywords are names.

#![deny(warnings)]
#![cfg(test)]

extern crate amorsize;

use std::borrow::Cow;
use std::fmt::{Debug, Display};

use amorsize::{batched, DeepSize};

const BATCH: usize = 2;
const SHARE: f64 = 0.5;

#[batched(batch_size = BATCH, max_memory = SHARE, threads = 2, sample_size = 1)]
fn trim<'a>(x: &'a str, k: &str, count: usize) -> Cow<'a, str> {
    x.trim_start_matches(k).chars().take(count).collect::<String>().into()
}

#[batched]
fn captures<'a>(x: &'a str, _: &impl Display) -> impl Iterator<Item = char> + 'a {
    x.chars()
}

#[batched(on_error = "skip", retry = 2, on_panic = "skip", max_memory = "64MiB", fallible_input)]
fn parse(x: String) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    Ok(x.parse()?)
}

#[derive(Clone, DeepSize)]
struct Model<T>(Vec<T>);

impl<T: Clone + Debug> Model<T> {
    #[batched(verbose = false)]
    fn value(&self, _: &u32) -> Vec<T> {
        self.0.clone()
    }
}

mod inner {
    use amorsize::batched;

    pub struct Size(pub u32);

    // A path that begins in the root, and one that would begin with a keyword today.
    #[batched(name = all)]
    pub fn sized(x: ::inner::Size, dyn: dyn::Factor) -> u32 {
        x.0 * dyn.0
    }

    pub mod dyn {
        #[derive(Clone)]
        pub struct Factor(pub u32);
    }
}

#[batched]
fn async(await: u32, (try, dyn): (u32, u32)) -> u32 {
    await + try + dyn
}

#[batched]
fn try<'async>(x: &'async str, await: &str) -> &'async str {
    x.trim_end_matches(await)
}

#[batched]
fn dyn(x: Box<dyn Fn(u32) -> u32 + Send>, async: &(dyn Fn() -> u32 + Sync)) -> u32 {
    x(async())
}

#[test]
fn everything_works_in_2015_too() {
    assert_eq!(trim_batched(vec!["aab"], "a", 1).collect::<Vec<_>>().unwrap(), ["b"]);
    let text = String::from("ab");
    assert_eq!(captures_batched(vec![text.as_str()], &1).collect::<Vec<_>>().unwrap().remove(0).count(), 2);
    let inputs: Vec<Result<String, std::fmt::Error>> = vec![Ok("1".into()), Ok("one".into()), Ok("2".into())];
    assert_eq!(parse_batched(inputs).collect::<Vec<_>>().unwrap(), [1, 2]);
    assert_eq!(Model(vec!["a"]).value_batched(&[1]).collect::<Vec<_>>().unwrap(), [["a"]]);
    assert_eq!(DeepSize::heap_size(&Model(vec![1u8])), 1);
    let sizes = vec![inner::Size(2), inner::Size(3)];
    assert_eq!(inner::all(sizes, inner::dyn::Factor(2)).collect::<Vec<_>>().unwrap(), [4, 6]);
}

#[test]
fn later_keywords_are_names_in_2015() {
    assert_eq!(async_batched(vec![1], (2, 3)).collect::<Vec<_>>().unwrap(), [6]);
    assert_eq!(try_batched(vec!["ab"], "b").collect::<Vec<_>>().unwrap(), ["a"]);
    let double: Box<dyn Fn(u32) -> u32 + Send> = Box::new(|x| 2 * x);
    assert_eq!(dyn_batched(vec![double], &|| 2).collect::<Vec<_>>().unwrap(), [4]);
}
