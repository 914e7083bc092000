//! The options of a run, as the builder methods and the attribute set them, and the values that
//! they refuse.

pub(crate) mod cancel;
pub(crate) mod choices;
pub(crate) mod constants;
pub(crate) mod retry;

pub use cancel::CancelToken;
pub use choices::{OnPanic, Oversize};
pub use retry::Retry;

use crate::error::{Error, ErrorKind};
use crate::memory::max_memory::MaxMemory;
use crate::progress::{Callback, Progress};

/// Amorsize's default: five items are sampled.
pub(crate) const DEFAULT_SAMPLE_SIZE: usize = 5;
/// The mean of this many calls is off by a 256th of their standard deviation, which is less than
/// two runs differ by. An input without an end would be sampled until the budget is full.
const MOST_SAMPLE_SIZE: usize = 1 << 16;
/// More threads than any machine has cores; a larger number is a mistake, and rayon would start
/// every one of them.
const MOST_THREADS: usize = 65_535;

/// Checks a constant number of threads.
///
/// # Panics
///
/// If no run takes the number. The compiler reports this at the constant.
#[doc(hidden)]
#[track_caller]
#[must_use]
pub const fn threads(value: usize) -> usize {
    assert!(value >= 1, "`threads` must be at least 1");
    assert!(value <= MOST_THREADS, "`threads` must be at most 65535: leave it out to use all cores");
    value
}

/// A receiver of the run's progress.
#[derive(Clone, Copy, Debug)]
enum Told {
    Function(fn(&Progress)),
    /// A function that makes the bar, so that only programs with a bar contain its code.
    #[cfg(feature = "progress")]
    Bar(fn() -> Callback),
}

/// The options that the attribute and the builder methods set; `None` if the run decides for
/// itself.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The function's name.
    name: Option<&'static str>,
    max_memory: Option<MaxMemory>,
    batch_size: Option<usize>,
    sample_size: Option<usize>,
    pub(crate) threads: Option<usize>,
    pub(crate) in_flight: Option<usize>,
    /// Makes the callback for the run's progress.
    progress: Option<Told>,
    oversize: Oversize,
    pub(crate) on_panic: OnPanic,
    retry: Option<Retry>,
    /// The reason why a builder method refused a value, for the terminal.
    refused: Option<ErrorKind>,
}

impl Options {
    /// Sets nothing but the memory budget. (A const fn could not replace an earlier budget, because
    /// that may own a text.)
    #[must_use]
    pub const fn new(max_memory: Option<MaxMemory>) -> Self {
        Self {
            name: None,
            max_memory,
            batch_size: None,
            sample_size: None,
            threads: None,
            in_flight: None,
            progress: None,
            oversize: Oversize::Alone,
            on_panic: OnPanic::Propagate,
            retry: None,
            refused: None,
        }
    }

    /// Sets the function's name.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// The function's name; a closure has none, and neither has a pipeline.
    #[must_use]
    pub const fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Sets the most items per batch.
    #[must_use]
    pub const fn batch_size(mut self, items: usize) -> Self {
        self.batch_size = Some(items);
        self
    }

    /// Sets the most items in the sample.
    #[must_use]
    pub const fn sample_size(mut self, items: usize) -> Self {
        self.sample_size = Some(items);
        self
    }

    /// Sets the number of workers.
    #[must_use]
    pub const fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the most items between the input and the sink.
    #[must_use]
    pub const fn in_flight(mut self, items: usize) -> Self {
        self.in_flight = Some(items);
        self
    }

    /// Sets a function that gets the run's progress.
    #[must_use]
    pub const fn progress(mut self, function: fn(&Progress)) -> Self {
        self.progress = Some(Told::Function(function));
        self
    }

    /// Shows the run's progress to people.
    #[cfg(feature = "progress")]
    #[must_use]
    pub const fn bar(mut self) -> Self {
        self.progress = Some(Told::Bar(|| Box::new(crate::progress_bar())));
        self
    }

    pub(crate) fn states_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// The callback for the run's progress.
    pub(crate) fn callback(&self) -> Option<Callback> {
        self.progress.map(|told| match told {
            Told::Function(function) => Box::new(function) as Callback,
            #[cfg(feature = "progress")]
            Told::Bar(make) => make(),
        })
    }

    /// Sets the handling of an item that is expected to need more than the budget.
    #[must_use]
    pub const fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// Sets the handling of a panic of the function.
    #[must_use]
    pub const fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.on_panic = on_panic;
        self
    }

    /// Sets how a failed call is made again.
    pub(crate) fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sets the memory budget.
    pub(crate) fn max_memory(mut self, max_memory: MaxMemory) -> Self {
        self.max_memory = Some(max_memory);
        self
    }

    /// The options of a pipeline: those so far, joined with those of its next stage. Each stage
    /// keeps its own `retry`.
    pub(crate) fn join(self, next: Self) -> Self {
        let either = |before: Option<usize>, next: Option<usize>, both: fn(usize, usize) -> usize| match (before, next)
        {
            (Some(before), Some(next)) => Some(both(before, next)),
            (before, next) => before.or(next),
        };
        let refused = [&self, &next].into_iter().find_map(|options| options.check().err());
        let mut joined = Self {
            name: None,
            batch_size: next.batch_size.or(self.batch_size),
            sample_size: either(self.sample_size, next.sample_size, usize::max),
            threads: either(self.threads, next.threads, usize::min),
            in_flight: either(self.in_flight, next.in_flight, usize::min),
            progress: next.progress.or(self.progress),
            oversize: if next.oversize == Oversize::default() { self.oversize } else { next.oversize },
            on_panic: if next.on_panic == OnPanic::default() { self.on_panic } else { next.on_panic },
            retry: None,
            refused: None,
            max_memory: None,
        };
        if let Some(error) = refused {
            // An option that is set later can't make up for a value that a stage refused.
            joined.refuse(&error);
            return joined;
        }
        joined.max_memory = match (self.max_memory, next.max_memory) {
            (Some(before), Some(next)) => Some(before.least(next)),
            (before, next) => before.or(next),
        };
        joined
    }

    /// Lets the terminal fail because of a value that was refused.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.refused.get_or_insert_with(|| error.kind().clone());
    }

    /// Lets the terminal fail because this run can't become a pipeline.
    pub(crate) fn refuse_pipeline(&mut self, why: &str) {
        let expected = "`then` for all stages first, and `plan` or a terminal on the whole";
        self.refuse(&Error::invalid_option("then", why, expected));
    }

    /// Lets the terminal fail because a stage was to keep its finished items, by this option.
    #[cfg(feature = "durable")]
    pub(crate) fn refuse_stage_that_keeps(&mut self, option: &'static str) {
        let expected = "it on the whole, behind the last `then`";
        self.refuse(&Error::invalid_option(option, "given to a stage of a pipeline", expected));
    }

    pub(crate) fn refuses_oversize(&self) -> bool {
        self.oversize == Oversize::Error
    }

    /// Refuses values that no run can use.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(refused) = &self.refused {
            return Err(Error::new(refused.clone()));
        }
        let at_least_one = |option, value: Option<usize>, expected| match value {
            Some(0) => Err(Error::invalid_option(option, "0", expected)),
            _ => Ok(()),
        };
        let or_none = "1 or more, or leave it out and let the run decide";
        at_least_one("batch_size", self.batch_size, or_none)?;
        at_least_one("sample_size", self.sample_size, or_none)?;
        at_least_one("threads", self.threads, or_none)?;
        at_least_one("in_flight", self.in_flight, "1 or more, or leave it out for no bound but the budget's")?;
        let tries = self.retry.map(|retry| retry.times() as usize);
        at_least_one("retry", tries, "1 or more, or leave it out, so that no call is made again")?;
        if let Some(threads) = self.threads.filter(|&threads| threads > MOST_THREADS) {
            let expected = "at most 65535, or leave it out to use all cores";
            return Err(Error::invalid_option("threads", threads.to_string(), expected));
        }
        self.max_memory.as_ref().map_or(Ok(()), |max_memory| max_memory.limit().map(drop))
    }

    pub(crate) fn limit(&self) -> MaxMemory {
        self.max_memory.clone().unwrap_or_default()
    }

    /// The items of a batch, if set: no more than can be in flight.
    pub(crate) fn batch_items(&self) -> Option<usize> {
        self.batch_size.map(|items| items.min(self.most_in_flight()))
    }

    /// The items of the sample: all of them are in flight, because the sample keeps its results.
    pub(crate) fn sample_items(&self) -> usize {
        self.sample_size.unwrap_or(DEFAULT_SAMPLE_SIZE).min(MOST_SAMPLE_SIZE).min(self.most_in_flight())
    }

    /// The most items between the input and the sink.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.in_flight.unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::max_memory::{DEFAULT_FRACTION, Limit};
    use crate::units::ByteSize;

    fn refused(options: &Options) -> String {
        options.check().unwrap_err().to_string()
    }

    fn stated(max_memory: impl Into<MaxMemory>) -> Options {
        Options::new(Some(max_memory.into().judged()))
    }

    #[test]
    fn each_option_refuses_what_it_cant_use() {
        // The messages are tested in tests/messages.rs.
        let options = Options::new(None);
        for (option, options) in [
            ("batch_size", options.clone().batch_size(0)),
            ("sample_size", options.clone().sample_size(0)),
            ("threads", options.clone().threads(0)),
            ("threads", options.clone().threads(MOST_THREADS + 1)),
            ("in_flight", options.clone().in_flight(0)),
        ] {
            assert!(refused(&options).starts_with(&format!("`{option}` can't be")));
        }
        for fraction in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
            assert!(refused(&stated(fraction)).starts_with("`max_memory` can't be"));
        }
        assert!(refused(&stated("12 bananas")).contains("\"12 bananas\""));
        assert!(refused(&stated(ByteSize::ZERO)).contains("can't be 0 B"));
        assert!(refused(&Options::new(None).retry(Retry::new(0))).starts_with("`retry` can't be 0"));
        assert!(Options::new(None).retry(Retry::new(1)).check().is_ok());
    }

    #[test]
    fn what_stages_state_is_joined() {
        let limit = |options: Options| options.limit().stated().clone();
        let (half, tenth) = (MaxMemory::fraction(0.5), MaxMemory::fraction(0.1));
        let (more, less) = (MaxMemory::bytes(ByteSize::mib(2)), MaxMemory::bytes(ByteSize::mib(1)));
        assert_eq!(limit(stated(half.clone()).join(stated(tenth.clone()))), Limit::Fraction(0.1));
        assert_eq!(limit(stated(more.clone()).join(stated(less.clone()))), Limit::Bytes(ByteSize::mib(1)));
        let both = stated(half).join(stated(more)).join(Options::new(None)).join(stated(tenth)).join(stated(less));
        assert_eq!(both.limit().to_string(), "10% of the available memory or 1.00 MiB, whichever is less");
        assert_eq!(limit(both), Limit::Both(0.1, ByteSize::mib(1)));
        assert_eq!(limit(Options::new(None).join(Options::new(None))), Limit::Fraction(DEFAULT_FRACTION));

        let first = Options::new(None).named("first").batch_size(7).sample_size(9).threads(2);
        let second = Options::new(None).named("second").batch_size(5).sample_size(3).threads(4);
        let first = first.on_panic(OnPanic::Skip).oversize(Oversize::Error);
        let joined = first.clone().join(second.clone().on_panic(OnPanic::Collect));
        assert_eq!((joined.batch_items(), joined.sample_items(), joined.threads), (Some(5), 9, Some(2)));
        assert_eq!((joined.on_panic, joined.refuses_oversize()), (OnPanic::Collect, true));
        assert_eq!((joined.name(), first.name()), (None, Some("first")));
        let joined = second.join(first);
        assert_eq!((joined.batch_items(), joined.sample_items(), joined.threads), (Some(7), 9, Some(2)));
        assert_eq!((joined.on_panic, joined.refuses_oversize()), (OnPanic::Skip, true));
    }

    #[test]
    fn what_a_stage_does_not_take_is_refused_whatever_the_others_state() {
        let good = stated(0.5).threads(1).batch_size(1).sample_size(7).in_flight(9);
        for (bad, says) in [
            (Options::new(None).threads(0), "`threads` can't be 0"),
            (Options::new(None).sample_size(0), "`sample_size` can't be 0"),
            (Options::new(None).batch_size(0), "`batch_size` can't be 0"),
            (Options::new(None).in_flight(0), "`in_flight` can't be 0"),
            (stated(1.5), "`max_memory` can't be 1.5"),
            (stated("much"), "`max_memory` can't be \"much\""),
            (Options::new(None).retry(Retry::new(0)), "`retry` can't be 0"),
        ] {
            let joined = bad.clone().join(good.clone()).threads(1).max_memory(ByteSize::mib(1).into());
            assert!(refused(&joined).starts_with(says), "{says}");
            assert!(refused(&good.clone().join(bad)).starts_with(says), "{says}");
        }
    }

    #[test]
    fn the_edges_are_taken() {
        for fraction in [f64::MIN_POSITIVE, 1.0] {
            assert!(stated(fraction).check().is_ok());
        }
        assert!(Options::new(None).batch_size(1).sample_size(1).threads(1).in_flight(1).check().is_ok());
    }

    #[test]
    fn of_stages_the_least_in_flight_counts_and_bounds_batches_and_sample() {
        let (few, many) = (Options::new(None).in_flight(3), Options::new(None).in_flight(9));
        for joined in [few.clone().join(many.clone()), many.join(few.clone())] {
            assert_eq!(joined.in_flight, Some(3));
        }
        assert_eq!(Options::new(None).join(few.clone()).in_flight, Some(3));
        assert_eq!(Options::new(None).join(Options::new(None)).in_flight, None);
        assert_eq!((few.batch_items(), few.sample_items()), (None, 3));
        let asked = few.batch_size(100).sample_size(2);
        assert_eq!((asked.batch_items(), asked.sample_items()), (Some(3), 2));
    }
}
