//! What types come out of a pipeline, and that they are found without being written.

use std::fmt;
use std::num::ParseIntError;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batched, Error, Stage, Then, TryError, batched, process_in_batches};

#[derive(Debug, PartialEq)]
enum Bad {
    Number(ParseIntError),
    TooLarge,
}

impl From<ParseIntError> for Bad {
    fn from(error: ParseIntError) -> Self {
        Self::Number(error)
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[batched]
fn trim(text: &str) -> String {
    text.trim().to_owned()
}

#[batched(on_error = "stop")]
fn parse(text: String) -> Result<u32, ParseIntError> {
    text.parse()
}

#[batched(on_error = "stop")]
fn double(x: u32, most: &u32) -> Result<u32, Bad> {
    x.checked_mul(2).filter(|x| x <= most).ok_or(Bad::TooLarge)
}

#[batched]
fn show<T: fmt::Debug + Send>(x: T) -> String {
    format!("<{x:?}>")
}

struct Scale(u32);

impl Scale {
    #[batched]
    fn apply(&self, x: u32) -> u32 {
        self.0 * x
    }
}

/// What a stage of another crate could be: generic over its input.
fn pairs<I: IntoIterator<Item = String>>(items: I) -> Batched<I, (String, usize), fn(String) -> (String, usize)> {
    fn pair(text: String) -> (String, usize) {
        let length = text.len();
        (text, length)
    }
    process_in_batches(pair as fn(String) -> (String, usize), items)
}

/// A pipeline as the part of another.
fn both<I: IntoIterator<Item: AsRef<str> + Send>>(
    texts: I,
) -> Batched<I, usize, Then<I::Item, String, impl Sync, String, usize, impl Sync>> {
    let owned = |text: I::Item| text.as_ref().to_owned();
    process_in_batches(owned, texts).then(|texts| process_in_batches(|text: String| text.len(), texts))
}

fn main() -> Result<(), Error> {
    let texts = [" 1", "2 ", "x"];
    let numbers: Result<Vec<u32>, TryError<ParseIntError>> = trim_batched(texts).then(parse_batched).collect();
    assert_eq!(numbers.unwrap_err().item(), Some(2));

    let most = 2;
    let run = || trim_batched(texts).then(parse_batched).then(|numbers| double_batched(numbers, &most));
    let error: TryError<Bad> = run().collect::<Vec<u32>>().unwrap_err();
    assert_eq!((error.item(), error.into_item_error()), (Some(1), Some(Bad::TooLarge)));
    assert_eq!(run().on_error(Skip).then(show_batched).collect::<Vec<_>>()?, ["<2>"]);
    let outcome = run().on_error(Collect).collect::<Vec<_>>()?;
    assert_eq!((outcome.value(), outcome.failures().len()), (&vec![2], 2));

    // The policy of one stage alone, set where it is added.
    let run = trim_batched(texts).then(|texts| parse_batched(texts).on_error(Collect));
    let outcome = run.then(|numbers| double_batched(numbers, &4).on_error(Collect)).collect::<Vec<_>>()?;
    assert_eq!(outcome.value(), &[2, 4]);

    let scale = Scale(3);
    let mut run = process_in_batches(|x: &u32| x + 1, &[1, 2]).then(|x| scale.apply_batched(x)).then(show_batched).then(pairs);
    assert_eq!(run.collect::<Vec<_>>()?, [("<6>".to_owned(), 3), ("<9>".to_owned(), 3)]);

    let stage = |texts: Stage<String>| both(texts).threads(2);
    assert_eq!(trim_batched(texts).then(stage).then(|x| process_in_batches(|x| x + 1, x)).collect::<Vec<_>>()?, [2; 3]);

    // Without a policy a `Result` is a value like any other.
    let results = trim_batched(texts).then(|texts| process_in_batches(|text: String| text.parse::<u8>(), texts));
    let shown: Vec<String> = results.then(|results| process_in_batches(|result: Result<_, _>| format!("{result:?}"), results)).collect()?;
    assert_eq!(shown[..2], ["Ok(1)", "Ok(2)"]);

    let mut run = parse_batched(["1".to_owned(), "z".to_owned()]).then(show_batched).on_error(Stop);
    let mut finished = Vec::new();
    assert!(run.collect_into(&mut finished).is_err());
    assert_eq!(finished, ["<1>"]);
    Ok(())
}
