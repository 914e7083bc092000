//! The messages of a run when something goes wrong, word by word, provoked through the public
//! interface.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{
    Batched, ByteSize, CancelToken, Cause, Error, ErrorKind, MeasuredBy, MemorySource, OnPanic, Oversize, Retry,
    TryError, batched, estimate_safe_batch_size, process_in_batches, with_memory_source,
};

type Run = Batched<std::ops::Range<u32>, u32, fn(u32) -> u32>;

fn run() -> Run {
    process_in_batches((|x| x + 1) as fn(u32) -> u32, 0..10)
}

/// The text with `#` for each number, since these depend on the machine.
fn masked(text: impl Display) -> String {
    let text = text.to_string();
    let mut masked = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            '.' if masked.ends_with('#') => {}
            letter => masked.push(letter),
        }
    }
    masked
}

#[track_caller]
fn refused<T>(outcome: Result<T, Error>) -> Error {
    let error = outcome.err().expect("it is refused");
    assert!(error.is_invalid_option());
    assert_eq!(error.item(), None);
    error
}

/// The message of a panic.
fn panic_of<T>(body: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).err().expect("it panics");
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref().map(|text: &&str| (*text).to_owned()))
        .expect("the payload is a text")
}

/// The source, so that the tests notice each addition to it.
const ERRORS: &str =
    concat!(include_str!("../amorsize/src/error/mod.rs"), include_str!("../amorsize/src/error/try_error.rs"));
const OPTIONS: &str = concat!(
    include_str!("../amorsize/src/options/mod.rs"),
    include_str!("../amorsize/src/memory/max_memory.rs"),
    include_str!("../amorsize/src/run/functions.rs"),
);

/// The variants of an enum, read from the source.
fn variants(name: &str) -> BTreeSet<&'static str> {
    let (_, body) = ERRORS.split_once(&format!("pub enum {name} {{")).expect("it is there");
    let (body, _) = body.split_once("\n}").expect("it ends");
    let variants =
        body.lines().filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)));
    variants.map(first_word).collect()
}

fn first_word(text: &str) -> &str {
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or(text)
}

/// The name of a value's variant.
fn variant(value: &impl Debug) -> String {
    first_word(&format!("{value:?}")).to_owned()
}

#[test]
fn no_kind_of_error_is_left_out() {
    let token = CancelToken::new();
    token.cancel();
    let panicking = |x: u32| Ok::<_, Infallible>(100 / x);
    let panicking = process_in_batches(panicking, [0]).on_error(Collect).on_panic(OnPanic::Collect).collect::<Vec<_>>();
    let panicked = TryError::from(panicking.unwrap().into_result().unwrap_err());
    let provoked = [
        run().batch_size(0).collect::<Vec<_>>().err().unwrap(),
        page_batched(vec![MIB; 40]).collect::<Vec<_>>().err().unwrap(),
        page_batched(vec![9 * MIB; 3]).oversize(Oversize::Error).for_each_batch(|_| ()).err().unwrap(),
        run().cancel_token(&token).collect::<Vec<_>>().err().unwrap(),
        run().timeout(Duration::ZERO).collect::<Vec<_>>().err().unwrap(),
        panicked.into(),
    ];
    let mut provoked: BTreeSet<_> = provoked.iter().map(|error| variant(error.kind())).collect();
    // A test in a process of its own provokes this one: `threads_that_cant_be_started`.
    provoked.insert("Threads".to_owned());
    // The tests in `error/stored.rs` provoke these, about directories of results.
    provoked.extend(["CheckpointBusy", "CheckpointChanged", "InputChanged", "Storage", "Damaged"].map(String::from));
    // The tests in `json_lines.rs` provoke this one.
    provoked.insert("Unwritable".to_owned());
    assert_eq!(provoked.iter().map(String::as_str).collect::<BTreeSet<_>>(), variants("ErrorKind"));

    let numbers = |texts: [&'static str; 2]| process_in_batches(str::parse::<u32>, texts);
    let panicking = |x: u32| Ok::<_, ()>(100 / x);
    let panicking = process_in_batches(panicking, [0]).on_error(Collect).on_panic(OnPanic::Collect).collect::<Vec<_>>();
    let provoked = [
        variant(&numbers(["1", "two"]).try_collect::<Vec<_>>().err().unwrap()),
        variant(&numbers(["1", "2"]).threads(0).try_collect::<Vec<_>>().err().unwrap()),
        variant(&TryError::from(panicking.unwrap().into_result().unwrap_err())),
    ];
    assert_eq!(provoked.iter().map(String::as_str).collect::<BTreeSet<_>>(), variants("TryError<E>"));
}

/// `options` has each option that refuses anything.
#[test]
fn no_option_is_left_out() {
    let refusing = ["option: \"", "invalid_option(\"", "at_least_one(\""];
    let refusing: BTreeSet<_> = refusing.iter().flat_map(|by| OPTIONS.split(by).skip(1)).map(first_word).collect();
    let tested = ["batch_size", "in_flight", "max_memory", "result_bytes", "retry", "sample_size", "then", "threads"];
    assert!(refusing.iter().eq(&tested), "{refusing:?}");
}

/// A stage that is added too late.
#[test]
fn pipelines() {
    let double = |items| process_in_batches(|x: u32| 2 * x, items);
    let mut planned = process_in_batches(|x: u32| x, 0..3);
    planned.plan().unwrap();
    let late = planned.then(double).collect::<Vec<_>>().unwrap_err();
    assert_eq!(
        late.to_string(),
        "`then` can't be called on a run that was planned or has begun: use `then` for all stages first, and `plan` or a \
         terminal on the whole"
    );
    let planned = |items| {
        let mut run = process_in_batches(|x: u32| 2 * x, items);
        run.plan().unwrap();
        run
    };
    let late = process_in_batches(|x: u32| x, 0..3).then(planned).collect::<Vec<_>>().unwrap_err();
    assert_eq!(
        late.to_string(),
        "`then` can't be given a stage that was planned or has begun: use `then` for all stages first, and `plan` or a \
         terminal on the whole"
    );
}

/// Each option with each kind of value that it refuses.
#[test]
fn options() {
    const COUNT: &str = "use 1 or more, or leave it out and let the run decide";
    const FRACTION: &str = "use a fraction above 0 and up to 1 of the available memory, or bytes such as \"512MiB\"";
    const TEXT: &str = "use a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\", or a fraction of the available memory \
                        as a number, such as 0.5";
    for (mut run, expected) in [
        (run().batch_size(0), format!("`batch_size` can't be 0: {COUNT}")),
        (run().sample_size(0), format!("`sample_size` can't be 0: {COUNT}")),
        (run().threads(0), format!("`threads` can't be 0: {COUNT}")),
        (
            run().in_flight(0),
            "`in_flight` can't be 0: use 1 or more, or leave it out for no bound but the budget's".into(),
        ),
        (run().threads(65_536), "`threads` can't be 65536: use at most 65535, or leave it out to use all cores".into()),
        (run().max_memory(0.0), format!("`max_memory` can't be 0: {FRACTION}")),
        (run().max_memory(-0.5), format!("`max_memory` can't be -0.5: {FRACTION}")),
        (run().max_memory(1.5), format!("`max_memory` can't be 1.5: {FRACTION}")),
        (run().max_memory(f64::NAN), format!("`max_memory` can't be NaN: {FRACTION}")),
        (run().max_memory(f64::INFINITY), format!("`max_memory` can't be inf: {FRACTION}")),
        (run().max_memory(ByteSize::ZERO), format!("`max_memory` can't be 0 B: {FRACTION}")),
        (run().max_memory("0MiB"), format!("`max_memory` can't be 0 B: {FRACTION}")),
        (run().max_memory("12 bananas"), format!("`max_memory` can't be \"12 bananas\": {TEXT}")),
        (run().max_memory("0.5"), format!("`max_memory` can't be \"0.5\": {TEXT}")),
        (run().max_memory(String::new()), format!("`max_memory` can't be \"\": {TEXT}")),
        (run().max_memory("20000000TiB"), "`max_memory` can't be \"20000000TiB\": use less than 16777216TiB".into()),
    ] {
        assert_eq!(refused(run.collect::<Vec<_>>()).to_string(), expected);
    }
    let fallible = || process_in_batches(str::parse::<u32>, ["1"]);
    let error = refused(fallible().retry(0).collect::<Vec<_>>());
    assert_eq!(error.to_string(), "`retry` can't be 0: use 1 or more, or leave it out, so that no call is made again");
    let error = refused(fallible().retry(Retry::new(0).backoff(Duration::ZERO)).collect::<Vec<_>>());
    assert_eq!(error.to_string(), "`retry` can't be 0: use 1 or more, or leave it out, so that no call is made again");

    let error = refused(estimate_safe_batch_size(0, 0.5));
    assert_eq!(error.to_string(), "`result_bytes` can't be 0 B: use the bytes of one result, at least 1");
    let error = refused(estimate_safe_batch_size(1, 1.5));
    assert_eq!(error.to_string(), format!("`max_memory` can't be 1.5: {FRACTION}"));
}

/// A refused option says the same, whatever the terminal.
#[test]
fn options_by_each_terminal() {
    const TEXT: &str = "`batch_size` can't be 0: use 1 or more, or leave it out and let the run decide";
    let run = || run().batch_size(0);
    let fallible = || process_in_batches(str::parse::<u32>, ["1"]).batch_size(0);
    let texts = [
        run().plan().err().unwrap().to_string(),
        run().for_each_batch(|_| ()).err().unwrap().to_string(),
        run().try_for_each_batch(|_| Ok::<(), Error>(())).err().unwrap().to_string(),
        run().try_for_each_batch(|_| Ok::<(), io::Error>(())).err().unwrap().to_string(),
        run().try_for_each_batch(|_| Ok::<(), String>(())).err().unwrap(),
        run().collect::<Vec<_>>().err().unwrap().to_string(),
        run().collect_into(&mut Vec::new()).err().unwrap().to_string(),
        fallible().try_collect::<Vec<_>>().err().unwrap().to_string(),
        fallible().on_error(Stop).for_each_batch(|_| ()).err().unwrap().to_string(),
        fallible().on_error(Skip).collect::<Vec<_>>().err().unwrap().to_string(),
        fallible().on_error(Collect).collect::<Vec<_>>().err().unwrap().to_string(),
        fallible().on_error(Stop).into_iter().next().unwrap().err().unwrap().to_string(),
        fallible().on_error(Stop).unordered().next().unwrap().err().unwrap().to_string(),
        panic_of(|| run().into_iter()),
        panic_of(|| run().unordered()),
        panic_of(|| fallible().on_error(Skip).into_iter()),
        panic_of(|| fallible().on_error(Skip).unordered()),
        panic_of(|| fallible().on_error(Collect).into_iter()),
        panic_of(|| fallible().on_error(Collect).unordered()),
        // The text that `fn main() -> Result<(), amorsize::Error>` prints.
        format!("{:?}", run().collect::<Vec<_>>().err().unwrap()),
    ];
    for text in texts {
        assert_eq!(text, TEXT);
    }
}

#[test]
fn texts_that_are_no_bytes() {
    const SYNTAX: &str = "use a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\"";
    for text in [
        "",
        "12",
        "12 bananas",
        "MiB",
        "-1MiB",
        "1..5MiB",
        "1 MiB x",
        "NaN",
        "1e3MB",
        "_1MiB",
        "99999999999999999999999",
    ] {
        let error = refused(text.parse::<ByteSize>());
        assert_eq!(error.to_string(), format!("{text:?} can't be a number of bytes: {SYNTAX}"));
    }
    for text in ["20000000TiB", "16777216 TiB", " 99999999999999999999999.5MiB", "18446744073709551616B"] {
        let error = refused(text.parse::<ByteSize>());
        assert_eq!(error.to_string(), format!("{text:?} can't be a number of bytes: use less than 16777216TiB"));
    }
}

#[batched(max_memory = "8MiB", batch_size = 1, threads = 1, sample_size = 1)]
fn page(bytes: usize) -> Vec<u8> {
    vec![1; bytes]
}

const MIB: usize = 1 << 20;

/// The message for 40 pages of 1 MiB, with its last way out.
fn dont_fit(last_way: &str) -> String {
    format!(
        "the results don't fit the memory budget: 7 items hold 7.00 MiB of 8.00 MiB, and item 7 needs 1.00 MiB more (40.0 MiB expected \
         in all); take them batch by batch with `for_each_batch`, one by one by iterating, or \
         from disk with `spill` (feature `durable`), or give the run a larger `max_memory`; \
         {last_way}"
    )
}

#[test]
fn results_that_dont_fit() {
    let error = page_batched(vec![MIB; 40]).collect::<Vec<_>>().err().unwrap();
    assert_eq!(
        error.to_string(),
        dont_fit("the run keeps what is finished: a terminal that is called again begins with it")
    );
    assert_eq!(error.item(), Some(7));

    // If the length of an input isn't known, the message has no expected total.
    let error = page_batched(vec![5 * MIB; 4].into_iter().filter(|_| true)).collect::<Vec<_>>().err().unwrap();
    assert_eq!(
        error.to_string(),
        "the results don't fit the memory budget: 1 item holds 5.00 MiB of 8.00 MiB, and item 1 needs 5.00 MiB more; take them batch by \
         batch with `for_each_batch`, one by one by iterating, or \
         from disk with `spill` (feature `durable`), or give the run a larger `max_memory`; the run keeps what is \
         finished: a terminal that is called again begins with it"
    );
}

/// If others have the memory, a run may use less than its budget, and a larger budget would not
/// help.
#[test]
fn results_that_others_leave_no_room_for() {
    let error = with_memory_source(ByteSize::mib(64), || {
        page_batched(vec![MIB; 100]).max_memory("1GiB").collect::<Vec<_>>().err().unwrap()
    });
    assert_eq!(
        masked(&error),
        "the results don't fit the memory budget: # items hold # MiB of # GiB (others left # MiB of it), and item # needs # MiB more \
         (# MiB expected in all); take them batch by batch with `for_each_batch`, one by one by iterating, or \
         from disk with `spill` (feature `durable`); the run keeps what \
         is finished: a terminal that is called again begins with it"
    );
    let ErrorKind::OverBudget { item, items_done, held, needed, budget, allowed, expected, .. } = error.kind() else {
        panic!("{error}")
    };
    assert!(expected.is_some_and(|expected| expected >= ByteSize::mib(100)), "{error}");
    assert!(allowed < budget && *held + *needed > *allowed && item == items_done, "{error}");
}

/// There is not even room for the results themselves.
#[test]
fn too_many_results() {
    const WAYS_OUT: &str = "take them batch by batch with `for_each_batch`, one by one by iterating, or \
                            from disk with `spill` (feature `durable`), or give the run a larger \
                            `max_memory`; the run keeps what is finished: a terminal that is called again begins with it";
    let mut many = process_in_batches(|x: u32| x, 0..2 << 20).max_memory("4MiB");
    assert_eq!(
        many.collect::<Vec<_>>().err().unwrap().to_string(),
        format!(
            "the results don't fit the memory budget: they are expected to take 8.00 MiB, and the budget is 4.00 MiB; {WAYS_OUT}"
        )
    );
    let mut endless = process_in_batches(|x: u64| x, 0..).max_memory("4MiB");
    assert_eq!(
        endless.collect::<Vec<_>>().err().unwrap().to_string(),
        format!(
            "the results don't fit the memory budget: the input has no end, and the budget is 4.00 MiB; {WAYS_OUT}"
        )
    );
}

/// A process of 100 MiB and what calls added to it.
struct Process(AtomicU64);

impl MemorySource for Process {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(64))
    }

    fn resident(&self) -> Option<ByteSize> {
        Some(ByteSize::mib(100) + ByteSize::new(self.0.load(Ordering::Relaxed)))
    }
}

/// Measured by resident memory, which is not the run's alone.
#[test]
fn results_that_are_thought_not_to_fit() {
    const ESTIMATE: &str = "; the bytes are an estimate from resident memory, in which other threads of the program count too: derive \
                            `DeepSize` for the result's type, switch on amorsize's feature for its crate, or install `Tracking`";
    let run = |bytes, oversize| {
        let process = Arc::new(Process(AtomicU64::new(0)));
        with_memory_source(process.clone(), || {
            let grow = |item: u64| {
                sleep(Duration::from_millis(1));
                process.0.fetch_add(bytes, Ordering::Relaxed);
                item.to_string()
            };
            let mut run = process_in_batches(grow, 0..40).max_memory("8MiB").threads(1).oversize(oversize);
            if oversize == Oversize::Alone {
                run.collect::<Vec<_>>().map(|_| ())
            } else {
                run.for_each_batch(|_| ()).map(|_| ())
            }
            .unwrap_err()
        })
    };
    let error = run(1 << 20, Oversize::Alone);
    assert!(matches!(error.kind(), ErrorKind::OverBudget { measured_by: MeasuredBy::Resident, .. }), "{error:#?}");
    let text = masked(&error);
    let expected = format!(
        "the results don't fit the memory budget: # items hold # MiB of # MiB, and item # needs # MiB more (# MiB expected in all); take \
         them batch by batch with `for_each_batch`, one by one by iterating, or \
         from disk with `spill` (feature `durable`), or give the run a larger `max_memory`{ESTIMATE}; \
         the run keeps what is finished: a terminal that is called again begins with it"
    );
    assert_eq!(text, expected);

    let error = run(9 << 20, Oversize::Error);
    assert!(matches!(error.kind(), ErrorKind::Oversize { measured_by: MeasuredBy::Resident, .. }), "{error:#?}");
    assert!(error.to_string().ends_with(&format!("with `oversize = \"alone\"`{ESTIMATE}")), "{error}");
}

#[test]
fn an_item_that_does_not_fit() {
    const TEXT: &str = "item 1 was not started: it is expected to need 9.00 MiB of memory, more than the budget of 8.00 MiB; give the run \
                        a larger `max_memory`, or let such items run alone with `oversize = \"alone\"`";
    let run = || page_batched(vec![9 * MIB; 3]).oversize(Oversize::Error);
    let error = run().for_each_batch(|_| ()).err().unwrap();
    assert_eq!((error.to_string().as_str(), error.item()), (TEXT, Some(1)));
    let mut results = run().into_iter();
    assert!(results.next().is_some());
    assert_eq!(panic_of(|| results.next()), TEXT);
}

const GO_ON: &str = "; to go on, give it another one and call a terminal again";

#[test]
fn a_run_that_was_cancelled() {
    let token = CancelToken::new();
    token.cancel();
    let run = || run().cancel_token(&token);
    const GO_ON: &str = "; to go on, give it another token by `cancel_token` and call a terminal again";
    let text = format!("the run was cancelled after it had computed 0 items{GO_ON}");
    assert_eq!(run().collect::<Vec<_>>().err().unwrap().to_string(), text);
    let mut results = run().into_iter();
    assert!(results.next().is_none());
    assert_eq!(results.error().unwrap().to_string(), text);

    let token = CancelToken::new();
    let one_by_one = |x: u32| {
        token.cancel();
        x
    };
    let error = process_in_batches(one_by_one, 0..9).cancel_token(&token).for_each_batch(|_| ()).err().unwrap();
    assert_eq!(error.to_string(), format!("the run was cancelled after it had computed 1 item{GO_ON}"));
}

#[test]
fn a_run_that_took_too_long() {
    // The clock decides the unit of the time, and whether an item was done.
    let text =
        |error: Error| ["# ns", "# us", "# ms"].iter().fold(masked(error), |text, unit| text.replace(unit, "# s"));
    let error = run().timeout(Duration::ZERO).collect::<Vec<_>>().err().unwrap();
    assert!(error.is_timed_out());
    assert_eq!(text(error), format!("the run passed its deadline after # s, when it had computed # items{GO_ON}"));
    let deadline = Instant::now() + Duration::from_millis(10);
    let slow = |x: u32| {
        sleep(deadline.saturating_duration_since(Instant::now()));
        x
    };
    let error = process_in_batches(slow, 0..9).deadline(deadline).for_each_batch(|_| ()).err().unwrap();
    assert_eq!(
        text(error).replace("items", "item"),
        format!("the run passed its deadline after # s, when it had computed # item{GO_ON}")
    );
}

/// The text of a panic of the function, for each kind of payload.
#[test]
fn panics_of_the_function() {
    fn of(panic: fn()) -> String {
        let run = process_in_batches(
            move |x: u32| {
                if x == 2 {
                    panic();
                }
                Ok::<(), Infallible>(())
            },
            0..4,
        );
        let failure =
            run.on_error(Collect).on_panic(OnPanic::Collect).collect::<Vec<_>>().unwrap().into_result().unwrap_err();
        assert_eq!(failure.index(), 2);
        let text = failure.to_string();
        // The error of the run has the same text.
        assert_eq!(Error::from(TryError::from(failure)).to_string(), text);
        let report = process_in_batches(
            move |x: u32| {
                if x == 2 {
                    panic();
                }
            },
            0..4,
        )
        .on_panic(OnPanic::Skip)
        .for_each_batch(|_| ());
        assert_eq!(report.unwrap().panics()[0].to_string(), text);
        text
    }
    assert_eq!(of(|| panic!("too dark")), "item 2 panicked: too dark");
    assert_eq!(of(|| panic!("{} too dark", 3)), "item 2 panicked: 3 too dark");
    assert_eq!(of(|| panic_any(7)), "item 2 panicked without a message");
    assert_eq!(of(|| resume_unwind(Box::new("again".to_owned()))), "item 2 panicked: again");
}

#[test]
fn errors_of_the_function() {
    let numbers = || process_in_batches(str::parse::<u32>, ["1", "two", "3"]);
    const TEXT: &str = "item 1 failed: invalid digit found in string";

    let error = numbers().try_collect::<Vec<_>>().err().unwrap();
    assert_eq!(error.to_string(), TEXT);
    assert!(error.source().is_none(), "the text holds the cause's already");

    let outcome = numbers().on_error(Collect).collect::<Vec<_>>().unwrap();
    let [failure] = outcome.failures() else { panic!("one item failed") };
    assert_eq!(failure.to_string(), TEXT);
    let Cause::Error(cause) = failure.cause() else { panic!("it did not panic") };
    assert_eq!(cause.to_string(), "invalid digit found in string");
    assert_eq!(TryError::from(outcome.into_result().err().unwrap()).to_string(), TEXT);

    let report = numbers().on_error(Skip).for_each_batch(|_| ()).unwrap();
    assert_eq!(report.failures()[0].to_string(), TEXT);

    // The error is a text, and becomes an `io::Error` or a text.
    let texts = |_: u32| Err::<(), _>(String::from("the line is busy"));
    let error = process_in_batches(texts, 0..1).try_collect::<Vec<_>>().err().unwrap();
    assert_eq!(String::from(error), "item 0 failed: the line is busy");
    let io_error = io::Error::from(page_batched(vec![9 * MIB]).batch_size(0).collect::<Vec<_>>().err().unwrap());
    assert!(io_error.to_string().starts_with("`batch_size` can't be 0"));
}

/// Each thread asks for a stack so large that only a few fit the address space.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_cant_be_started() {
    use std::env;
    use std::process::Command;

    const CHILD: &str = "AMORSIZE_TEST_WITHOUT_ROOM_FOR_THREADS";
    if env::var_os(CHILD).is_some() {
        // Long enough for threads to pay.
        let mut run = process_in_batches(|_: u32| sleep(Duration::from_millis(1)), 0..1000).threads(64);
        let error = run.collect::<Vec<_>>().err().unwrap();
        assert!(matches!(error.kind(), ErrorKind::Threads { threads: 64, .. }), "{error}");
        println!("{error}");
        return;
    }
    let test = env::current_exe().unwrap();
    let script = "ulimit -v 4000000 && exec \"$0\" --exact threads_that_cant_be_started --nocapture --test-threads=1";
    let child = Command::new("sh")
        .args(["-c", script])
        .arg(test)
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", "1073741824")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{text}{}", String::from_utf8_lossy(&child.stderr));
    let line = text.lines().find(|line| line.contains("threads could not be started"));
    let line = line.unwrap_or(&text).split_once("... ").map_or("", |(_, line)| line);
    assert_eq!(
        masked(line),
        "a pool of # threads could not be started: Resource temporarily unavailable (os error #); ask for fewer by `threads`, or leave \
         it out to use the pool that is there"
    );
}
