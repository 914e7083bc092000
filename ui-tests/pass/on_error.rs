//! What becomes of errors, in each kind of function, without a warning.
#![deny(warnings)]
#![forbid(unsafe_code)]

use std::io;

mod api {
    pub use amorsize;
}

mod plain {
    #![no_implicit_prelude]

    type Checked<T> = ::core::result::Result<T, ::std::string::String>;

    #[::amorsize::batched(on_error = "stop", fallible_input)]
    pub(crate) fn alias(x: u32) -> Checked<u32> {
        Checked::Ok(x)
    }
}

#[api::amorsize::batched(on_error = "collect", fallible_input, crate = api::amorsize)]
fn reexported<'a, Items, InputError: Send>(x: &'a str, _shared: &(Items, InputError)) -> io::Result<&'a str>
where
    Items: Sync,
    InputError: Sync,
{
    Ok(x)
}

macro_rules! with {
    ($policy:literal, $output:ty, $($flag:tt)*) => {
        #[amorsize::batched(on_error = $policy, $($flag)*)]
        fn within(x: u32) -> $output {
            Ok(x)
        }
    };
}

with!("skip", Result<u32, String>, fallible_input = false);

#[derive(Clone)]
struct Scale<const N: u32>;

impl<const N: u32> Scale<N> {
    #[amorsize::batched(on_error = "skip", fallible_input)]
    fn of(&self, x: u32, limit: u32) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
        if x > limit { Err("above the limit".into()) } else { Ok(x * N) }
    }
}

/// Results whose type can't be written.
#[amorsize::batched(on_error = "stop", fallible_input, retry = 2)]
fn letters(text: &'static str) -> Result<impl Iterator<Item = char> + Send, String> {
    Ok(text.chars())
}

#[amorsize::batched(fallible_input)]
fn words(text: &'static str) -> Result<impl Iterator<Item = &'static str> + Send, String> {
    Ok(text.split(' '))
}

#[amorsize::batched(retry = 2)]
fn lines(text: &'static str) -> Result<impl Iterator<Item = &'static str> + Send, String> {
    Ok(text.lines())
}

fn main() {
    let letters: Vec<_> = letters_batched([Ok::<_, String>("ab")]).collect().unwrap();
    assert_eq!(letters.into_iter().flatten().collect::<String>(), "ab");
    let words: Vec<_> = words_batched([Ok::<_, String>("a b")]).try_collect().unwrap();
    assert_eq!(words.into_iter().flatten().count(), 2);
    let lines: Vec<_> = lines_batched(["a\nb"]).try_collect().unwrap();
    assert_eq!(lines.into_iter().flatten().count(), 2);
    let lines = || [Ok("1"), Err(io::Error::other("lost"))];
    let outcome = reexported_batched(lines(), &(1, 2)).collect::<Vec<_>>().unwrap();
    assert_eq!((outcome.value().as_slice(), outcome.failures().len()), (["1"].as_slice(), 1));
    assert_eq!(plain::alias_batched([Ok(1), Err("lost")]).collect::<Vec<_>>().unwrap_err().item(), Some(1));
    assert_eq!(within_batched(0..2).collect::<Vec<_>>().unwrap(), [0, 1]);
    let items: [Result<u32, &str>; 3] = [Ok(1), Err("lost"), Ok(9)];
    assert_eq!(Scale::<3>.of_batched(items, 5).collect::<Vec<_>>().unwrap(), [3]);
}
