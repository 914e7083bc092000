//! An error of the function, through `?`, in the error types of programs: `anyhow::Error`,
//! `Box<dyn Error>`, enums of their own. Nothing that tells the cause is lost, and nothing is told
//! twice.

use std::error::Error as StdError;
use std::num::ParseIntError;
use std::{fmt, io, iter};

use amorsize::on_error::{Collect, Stop};
use amorsize::{Error, ErrorKind, OnPanic, TryError, batched, process_in_batches};
use anyhow::Context;

/// An error with another one behind it, as `thiserror` makes them.
#[derive(Debug)]
enum AppError {
    Parse { line: usize, source: ParseIntError },
    Run(Error),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse { line, .. } => write!(f, "line {line} is no number"),
            Self::Run(_) => f.write_str("the lines were not read"),
        }
    }
}

impl StdError for AppError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Parse { source, .. } => Some(source),
            Self::Run(error) => Some(error),
        }
    }
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

const LINES: [(usize, &str); 3] = [(1, "1"), (2, "two"), (3, "three")];

#[batched]
fn own(line: (usize, &str)) -> Result<u32, AppError> {
    line.1.parse().map_err(|source| AppError::Parse { line: line.0, source })
}

#[batched]
fn of_anyhow(line: (usize, &str)) -> anyhow::Result<u32> {
    line.1.parse().with_context(|| format!("line {} is no number", line.0))
}

#[batched]
fn boxed(line: (usize, &str)) -> Result<u32, Box<dyn StdError + Send + Sync>> {
    Ok(own(line)?)
}

#[batched]
fn text(line: (usize, &str)) -> Result<u32, String> {
    line.1.parse().map_err(|error| format!("line {}: {error}", line.0))
}

/// The texts of an error and of all behind it.
fn chain(error: &(dyn StdError + 'static)) -> Vec<String> {
    iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect()
}

/// The error that the program's `main` would have from anyhow.
fn in_anyhow<E: StdError + Send + Sync + 'static>(outcome: Result<Vec<u32>, E>) -> anyhow::Error {
    let main = || -> anyhow::Result<Vec<u32>> { Ok(outcome?) };
    main().unwrap_err()
}

const CHAIN: [&str; 3] = ["item 1 failed", "line 2 is no number", "invalid digit found in string"];

#[test]
fn an_error_with_its_source_is_a_chain_that_tells_nothing_twice() {
    let errors = [
        in_anyhow(own_batched(LINES).try_collect().map_err(TryError::with_source)),
        in_anyhow(of_anyhow_batched(LINES).try_collect().map_err(TryError::with_source)),
        in_anyhow(boxed_batched(LINES).try_collect().map_err(TryError::with_source)),
        in_anyhow(process_in_batches(own, LINES).on_error(Stop).collect().map_err(TryError::with_source)),
    ];
    for error in errors {
        assert_eq!(error.chain().map(ToString::to_string).collect::<Vec<_>>(), CHAIN);
        assert_eq!(format!("{error:#}"), CHAIN.join(": "));
        assert!(error.root_cause().is::<ParseIntError>());
    }
}

#[test]
fn the_functions_error_is_found_in_the_chain() {
    let own = in_anyhow(own_batched(LINES).try_collect().map_err(TryError::with_source));
    let found = own.chain().find_map(|error| error.downcast_ref::<AppError>());
    assert!(matches!(found, Some(AppError::Parse { line: 2, .. })));

    let error = boxed_batched(LINES).try_collect::<Vec<_>>().map_err(TryError::with_source).unwrap_err();
    assert!(error.source().is_some_and(<dyn StdError>::is::<AppError>));

    let missing = |_: u32| Err::<u32, _>(io::Error::from(io::ErrorKind::NotFound));
    let run = || process_in_batches(missing, 0..2).try_collect::<Vec<_>>();
    let error: Box<dyn StdError> = run().map_err(TryError::with_source).unwrap_err().into();
    let found = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    assert_eq!(found.map(io::Error::kind), Some(io::ErrorKind::NotFound));
}

/// Without a word of the program's: the text has it all, and the item's own error is one downcast
/// away.
#[test]
fn a_question_mark_alone_keeps_the_functions_error() {
    let error = in_anyhow(of_anyhow_batched(LINES).try_collect());
    assert_eq!(format!("{error:#}"), CHAIN.join(": "));
    let Some(TryError::Item { item: 1, error, .. }) = error.downcast_ref::<TryError<anyhow::Error>>() else {
        panic!("{error:?}");
    };
    assert!(error.root_cause().is::<ParseIntError>());

    let error = in_anyhow(own_batched(LINES).try_collect());
    assert_eq!(format!("{error:#}"), CHAIN[..2].join(": "));
    let Some(TryError::Item { error, .. }) = error.downcast_ref::<TryError<AppError>>() else { panic!("{error:?}") };
    assert_eq!(chain(error), CHAIN[1..]);

    let error = in_anyhow(text_batched(LINES).try_collect());
    assert_eq!(format!("{error:#}"), "item 1 failed: line 2: invalid digit found in string");
}

#[test]
fn the_texts_of_an_error_with_its_source() {
    let error = own_batched(LINES).try_collect::<Vec<_>>().unwrap_err();
    assert_eq!((error.to_string(), chain(&error).len()), (CHAIN[..2].join(": "), 1));
    let error = error.with_source();
    assert_eq!((error.to_string(), format!("{error:#}")), (CHAIN[0].into(), CHAIN.join(": ")));
    let told = format!("{error:?}");
    assert!(told.starts_with("Item { item: 1, error: Parse { line: 2, source: "), "{told}");

    // An error of the run has its text, as before.
    let error = own_batched(LINES).threads(0).try_collect::<Vec<_>>().unwrap_err();
    let before = chain(&error);
    assert_eq!(chain(&error.with_source()), before);
}

#[test]
fn a_failure_becomes_an_error_with_its_source() {
    let outcome = process_in_batches(own, LINES).on_error(Collect).collect::<Vec<_>>().unwrap();
    assert_eq!(outcome.failures()[1].to_string(), "item 2 failed: line 3 is no number");
    let first = outcome.into_result().map_err(|failure| TryError::from(failure).with_source());
    assert_eq!(chain(&first.unwrap_err()), CHAIN);

    let outcome = process_in_batches(of_anyhow, LINES).on_error(Collect).collect::<Vec<_>>().unwrap();
    assert_eq!(outcome.failures()[0].to_string(), CHAIN.join(": "));
}

/// A program's own enum needs no conversion from `TryError`, for no function of it.
#[test]
fn a_run_fails_with_the_programs_own_error() {
    fn read(threads: usize) -> Result<Vec<u32>, AppError> {
        let mut run = own_batched(LINES).threads(threads);
        run.try_collect().map_err(|error| error.into_error(AppError::Run))
    }
    fn by_its_conversion(threads: usize) -> Result<Vec<u32>, AppError> {
        own_batched(LINES).threads(threads).try_collect().map_err(|error| error.into_error(Into::into))
    }
    for read in [read, by_its_conversion] {
        assert!(matches!(read(1), Err(AppError::Parse { line: 2, .. })));
        assert!(matches!(read(0), Err(AppError::Run(error)) if error.is_invalid_option()));
    }
    // A sink that looks at the results itself needs `From<amorsize::Error>` alone.
    let mut sum = 0;
    let mut run = own_batched(LINES).batch_size(1);
    let failed = run.try_for_each_batch(|batch| -> Result<(), AppError> {
        batch.into_iter().try_for_each(|number| {
            sum += number?;
            Ok(())
        })
    });
    assert!(matches!(failed, Err(AppError::Parse { line: 2, .. })) && sum == 1);

    // An error of anyhow comes back as the function made it.
    let error = of_anyhow_batched(LINES).try_collect::<Vec<_>>().unwrap_err().into_error(Into::into);
    assert_eq!(format!("{error:#}"), CHAIN[1..].join(": "));
}

#[test]
fn a_collected_panic_is_still_known_as_one_in_an_io_error() {
    let call = |x: u32| if x == 1 { panic!("too dark") } else { Ok::<_, io::Error>(x) };
    let mut run = process_in_batches(call, 0..3).on_error(Collect).on_panic(OnPanic::Collect);
    let failure = run.collect::<Vec<_>>().unwrap().into_result().unwrap_err();
    let error: io::Error = TryError::from(failure).into();
    assert_eq!(error.to_string(), "item 1 panicked: too dark");
    let of_run: &Error = error.get_ref().unwrap().downcast_ref().unwrap();
    assert!(matches!(of_run.kind(), ErrorKind::Panicked { item: 1, .. }));
}
