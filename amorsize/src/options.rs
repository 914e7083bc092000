//! The options of a run: what the builder methods and the attribute set, and what they refuse.

use std::fmt;

use crate::bounds::{MaxMemoryConstant, OnPanicConstant, OversizeConstant};
use crate::error::{Error, ErrorKind};
use crate::memory::{ByteSize, MOST_BYTES};
use crate::progress::{Callback, Progress};
use crate::retry::Retry;

/// How much memory a run may use: a fraction of what is available when it starts, or bytes.
///
/// Made from an `f64` (`0 < x <= 1`), from [`ByteSize`], or from a text such as `"512MiB"`; what can't be either is refused by
/// the run's terminal, with an error that names it.
///
/// # Examples
///
/// ```
/// use amorsize::{ByteSize, process_in_batches};
///
/// let double = |x: u64| 2 * x;
/// process_in_batches(double, 0..9).max_memory(0.25).collect::<Vec<_>>()?;
/// process_in_batches(double, 0..9).max_memory("64MiB").collect::<Vec<_>>()?;
/// process_in_batches(double, 0..9).max_memory(ByteSize::mib(64)).collect::<Vec<_>>()?;
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it limits nothing until a run is given it by `max_memory`"]
pub struct MaxMemory(Limit);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limit {
    Fraction(f64),
    Bytes(ByteSize),
    /// The least of the two, of which stages of a pipeline state one each.
    Both(f64, ByteSize),
    /// A text that is no number of bytes; kept for the error.
    Unreadable(String),
}

/// Amorsize's default: half of the available memory.
const DEFAULT_FRACTION: f64 = 0.5;
/// Amorsize's default: five items are sampled.
const DEFAULT_SAMPLE_SIZE: usize = 5;
/// A mean of so many calls is off by a 256th of what they differ by, which is less than two runs do. An input without an end would
/// be sampled until the budget is full.
const MOST_SAMPLE_SIZE: usize = 1 << 16;
/// More threads than any machine has cores; a larger number is a mistake, and rayon would start every one of them.
const MOST_THREADS: usize = 65_535;

/// What is said of a number that is neither.
const FRACTION_OR_BYTES: &str = "a fraction above 0 and up to 1 of the available memory, or bytes such as \"512MiB\"";
/// What is said of a text, which may be a fraction that was put in quotes.
const BYTES_OR_FRACTION: &str = "a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\", or a fraction of the available \
                                 memory as a number, such as 0.5";

impl MaxMemory {
    /// A fraction of the available memory, `0 < fraction <= 1`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::MaxMemory;
    /// assert_eq!(MaxMemory::fraction(0.25).to_string(), "25% of the available memory");
    /// ```
    pub const fn fraction(fraction: f64) -> Self {
        Self(Limit::Fraction(fraction))
    }

    /// A number of bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, MaxMemory};
    /// assert_eq!(MaxMemory::bytes(ByteSize::mib(512)), "512MiB".into());
    /// ```
    pub const fn bytes(bytes: ByteSize) -> Self {
        Self(Limit::Bytes(bytes))
    }

    /// The least of what two stages of a pipeline state, each of which was found valid.
    fn least(self, other: Self) -> Self {
        let parts = |limit| match limit {
            Limit::Fraction(fraction) => (Some(fraction), None),
            Limit::Bytes(bytes) => (None, Some(bytes)),
            Limit::Both(fraction, bytes) => (Some(fraction), Some(bytes)),
            Limit::Unreadable(_) => (None, None),
        };
        let (own, others) = (parts(self.0), parts(other.0));
        let fraction = own.0.into_iter().chain(others.0).min_by(f64::total_cmp);
        Self(match (fraction, own.1.into_iter().chain(others.1).min()) {
            (Some(fraction), Some(bytes)) => Limit::Both(fraction, bytes),
            (Some(fraction), None) => Limit::Fraction(fraction),
            (None, Some(bytes)) => Limit::Bytes(bytes),
            (None, None) => return Self::default(),
        })
    }

    pub(crate) fn limit(&self) -> Result<&Limit, Error> {
        let refuse = |value: String, expected| {
            Err(Error::new(ErrorKind::InvalidOption { option: "max_memory", value, expected }))
        };
        match &self.0 {
            // The negation refuses NaN too.
            Limit::Fraction(fraction) if !(*fraction > 0.0 && *fraction <= 1.0) => {
                refuse(fraction.to_string(), FRACTION_OR_BYTES)
            }
            Limit::Bytes(ByteSize::ZERO) => refuse("0 B".into(), FRACTION_OR_BYTES),
            Limit::Unreadable(text) if ByteSize::is_too_many(text) => refuse(format!("{text:?}"), MOST_BYTES),
            Limit::Unreadable(text) => refuse(format!("{text:?}"), BYTES_OR_FRACTION),
            limit => Ok(limit),
        }
    }
}

impl Default for MaxMemory {
    fn default() -> Self {
        Self::fraction(DEFAULT_FRACTION)
    }
}

impl fmt::Display for MaxMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Limit::Fraction(fraction) => write!(f, "{:.0}% of the available memory", fraction * 100.0),
            Limit::Bytes(bytes) => bytes.fmt(f),
            Limit::Both(fraction, bytes) => {
                write!(f, "{:.0}% of the available memory or {bytes}, whichever is less", fraction * 100.0)
            }
            Limit::Unreadable(text) => write!(f, "{text:?}"),
        }
    }
}

impl From<f64> for MaxMemory {
    fn from(fraction: f64) -> Self {
        Self::fraction(fraction)
    }
}

impl From<ByteSize> for MaxMemory {
    fn from(bytes: ByteSize) -> Self {
        Self::bytes(bytes)
    }
}

impl From<&str> for MaxMemory {
    fn from(text: &str) -> Self {
        Self(match text.parse() {
            Ok(bytes) => Limit::Bytes(bytes),
            Err(_) => Limit::Unreadable(text.to_owned()),
        })
    }
}

impl From<String> for MaxMemory {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// A const expression given as `max_memory` in the attribute, whose type decides how it is checked.
#[derive(Debug)]
pub struct MaxMemoryValue<T>(T);

impl<T: MaxMemoryConstant> MaxMemoryValue<T> {
    /// Takes what is to be checked.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl MaxMemoryValue<f64> {
    /// Checks the fraction at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        assert!(self.0 > 0.0 && self.0 <= 1.0, "`max_memory` must be above 0 and at most 1");
        MaxMemory::fraction(self.0)
    }
}

impl MaxMemoryValue<ByteSize> {
    /// Checks the bytes at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        assert!(self.0.as_u64() > 0, "`max_memory` must be at least one byte");
        MaxMemory::bytes(self.0)
    }
}

impl MaxMemoryValue<&str> {
    /// Parses the text at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        let Some(bytes) = ByteSize::parse_const(self.0) else {
            panic!("`max_memory` must be a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\"")
        };
        MaxMemoryValue(bytes).checked()
    }
}

/// What becomes of an item that is expected to need more than the whole budget.
///
/// The attribute takes its name: `oversize = "alone"` or `"error"`.
///
/// # Examples
///
/// ```
/// use amorsize::{Oversize, batched};
///
/// #[batched(max_memory = "2MiB")]
/// fn load(mebibytes: usize) -> Vec<u8> {
///     vec![1; mebibytes << 20]
/// }
///
/// // The first result shows that they are too large; with "alone" they would be made one at a time.
/// let error = load_batched([3; 8]).oversize(Oversize::Error).for_each_batch(|_| ()).unwrap_err();
/// assert_eq!(error.item(), Some(1));
/// assert!(error.is_over_budget());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oversize {
    /// It runs while no other call does and nothing else is held.
    #[default]
    Alone,
    /// The run ends before the item is started, with an error that names it.
    Error,
}

impl Oversize {
    const fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"alone" => Some(Self::Alone),
            b"error" => Some(Self::Error),
            _ => None,
        }
    }
}

/// A const expression given as `oversize` in the attribute.
#[derive(Debug)]
pub struct OversizeValue<T>(T);

impl<T: OversizeConstant> OversizeValue<T> {
    /// Takes what is to be checked.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl OversizeValue<Oversize> {
    /// Nothing is to be checked.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> Oversize {
        self.0
    }
}

impl OversizeValue<&str> {
    /// Reads the text at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> Oversize {
        let Some(oversize) = Oversize::parse(self.0) else { panic!("`oversize` must be \"alone\" or \"error\"") };
        oversize
    }
}

/// What becomes of a panic of the function.
///
/// The attribute takes its name: `on_panic = "propagate"`, `"skip"` or `"collect"`.
///
/// # Examples
///
/// ```
/// use amorsize::{OnPanic, process_in_batches};
///
/// let invert = |x: u32| 100 / x;
/// let report = process_in_batches(invert, [5, 0, 4]).on_panic(OnPanic::Collect).for_each_batch(|_| ())?;
/// assert_eq!((report.items(), report.panicked()), (2, 1));
/// assert_eq!(report.panics()[0].to_string(), "item 1 panicked: attempt to divide by zero");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnPanic {
    /// The first panic by input order ends the run and goes on to its caller, as with rayon. Everything before it was handed over.
    #[default]
    Propagate,
    /// The item has no result. The report counts it, and keeps the first sixteen panics.
    Skip,
    /// The item has no result, and the report keeps every panic. With [`Collect`](crate::on_error::Collect) each is a
    /// [`Failure`](crate::Failure) as well, among the errors.
    Collect,
}

impl OnPanic {
    const fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            b"propagate" => Some(Self::Propagate),
            b"skip" => Some(Self::Skip),
            b"collect" => Some(Self::Collect),
            _ => None,
        }
    }
}

/// A const expression given as `on_panic` in the attribute.
#[derive(Debug)]
pub struct OnPanicValue<T>(T);

impl<T: OnPanicConstant> OnPanicValue<T> {
    /// Takes what is to be checked.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl OnPanicValue<OnPanic> {
    /// Nothing is to be checked.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> OnPanic {
        self.0
    }
}

impl OnPanicValue<&str> {
    /// Reads the text at compile time.
    ///
    /// # Panics
    ///
    /// When it is refused, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> OnPanic {
        let Some(on_panic) = OnPanic::parse(self.0) else {
            panic!("`on_panic` must be \"propagate\", \"skip\" or \"collect\"")
        };
        on_panic
    }
}

/// Judges a constant number of threads.
///
/// # Panics
///
/// If no run takes it. The compiler reports this at the constant.
#[track_caller]
#[must_use]
pub const fn threads(value: usize) -> usize {
    assert!(value >= 1, "`threads` must be at least 1");
    assert!(value <= MOST_THREADS, "`threads` must be at most 65535: leave it out to use all cores");
    value
}

/// Who is told of the run's progress.
#[derive(Clone, Copy, Debug)]
enum Told {
    Function(fn(&Progress)),
    /// By a pointer, so that only programs with a bar contain one.
    #[cfg(feature = "progress")]
    Bar(fn() -> Callback),
}

/// What the attribute and the builder methods set; `None` where the run decides for itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The function's.
    name: Option<&'static str>,
    max_memory: Option<MaxMemory>,
    batch_size: Option<usize>,
    sample_size: Option<usize>,
    threads: Option<usize>,
    in_flight: Option<usize>,
    verbose: bool,
    /// Makes what is told of the run's progress.
    progress: Option<Told>,
    oversize: Oversize,
    on_panic: OnPanic,
    retry: Option<Retry>,
    /// Why a builder method did not take a value, for the terminal.
    refused: Option<ErrorKind>,
}

impl Options {
    /// Nothing set but the memory budget. (A const fn could not replace an earlier one, because that may own a text.)
    #[must_use]
    pub const fn new(max_memory: Option<MaxMemory>) -> Self {
        Self {
            name: None,
            max_memory,
            batch_size: None,
            sample_size: None,
            threads: None,
            in_flight: None,
            verbose: false,
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

    /// Sets the items per batch at most.
    #[must_use]
    pub const fn batch_size(mut self, items: usize) -> Self {
        self.batch_size = Some(items);
        self
    }

    /// Sets the items in the sample at most.
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

    /// Sets the items between the input and the sink at most.
    #[must_use]
    pub const fn in_flight(mut self, items: usize) -> Self {
        self.in_flight = Some(items);
        self
    }

    /// Sets whether the run reports on stderr.
    #[must_use]
    pub const fn verbose(mut self, verbose: bool) -> Self {
        self.verbose = verbose;
        self
    }

    /// Sets a function that is told of the run's progress.
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

    /// What is to be told of the run's progress.
    pub(crate) fn callback(&self) -> Option<Callback> {
        self.progress.map(|told| match told {
            Told::Function(function) => Box::new(function) as Callback,
            #[cfg(feature = "progress")]
            Told::Bar(make) => make(),
        })
    }

    /// Sets what becomes of an item that is expected to need more than the budget.
    #[must_use]
    pub const fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// Sets what becomes of a panic of the function.
    #[must_use]
    pub const fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.on_panic = on_panic;
        self
    }

    pub(crate) fn panics(&self) -> OnPanic {
        self.on_panic
    }

    /// The options of a pipeline: of what is before, and of its next stage. How calls are made again is each stage's own.
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
            verbose: self.verbose || next.verbose,
            progress: next.progress.or(self.progress),
            oversize: if next.oversize == Oversize::default() { self.oversize } else { next.oversize },
            on_panic: if next.on_panic == OnPanic::default() { self.on_panic } else { next.on_panic },
            retry: None,
            refused: None,
            max_memory: None,
        };
        if let Some(error) = refused {
            // Whatever is set after it, a stage was given what it does not take.
            joined.refuse(&error);
            return joined;
        }
        joined.max_memory = match (self.max_memory, next.max_memory) {
            (Some(before), Some(next)) => Some(before.least(next)),
            (before, next) => before.or(next),
        };
        joined
    }

    pub(crate) fn set_retry(&mut self, retry: Retry) {
        self.retry = Some(retry);
    }

    /// Lets the terminal fail because of a value that was refused.
    pub(crate) fn refuse(&mut self, error: &Error) {
        self.refused.get_or_insert_with(|| error.kind().clone());
    }

    /// Lets the terminal fail because this can't be made a pipeline.
    pub(crate) fn refuse_pipeline(&mut self, why: &str) {
        self.refuse(&Error::new(ErrorKind::InvalidOption {
            option: "then",
            value: why.to_owned(),
            expected: "`then` for all stages first, and `plan` or a terminal on the whole",
        }));
    }

    /// Lets the terminal fail because a stage was to keep what it finishes, by this option.
    #[cfg(feature = "durable")]
    pub(crate) fn refuse_stage_that_keeps(&mut self, option: &'static str) {
        self.refuse(&Error::new(ErrorKind::InvalidOption {
            option,
            value: "given to a stage of a pipeline".into(),
            expected: "it on the whole, behind the last `then`",
        }));
    }

    pub(crate) fn refuses_oversize(&self) -> bool {
        self.oversize == Oversize::Error
    }

    pub(crate) fn set_max_memory(&mut self, max_memory: MaxMemory) {
        self.max_memory = Some(max_memory);
    }

    /// Refuses what can't be run with.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        let plain = matches!(
            self,
            Self {
                batch_size: None,
                sample_size: None,
                threads: None,
                in_flight: None,
                max_memory: None,
                retry: None,
                refused: None,
                ..
            }
        );
        if plain { Ok(()) } else { self.check_each() }
    }

    fn check_each(&self) -> Result<(), Error> {
        if let Some(refused) = &self.refused {
            return Err(Error::new(refused.clone()));
        }
        let at_least_one = |option, value: Option<usize>, expected| match value {
            Some(0) => Err(Error::new(ErrorKind::InvalidOption { option, value: "0".into(), expected })),
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
            return Err(Error::new(ErrorKind::InvalidOption {
                option: "threads",
                value: threads.to_string(),
                expected: "at most 65535, or leave it out to use all cores",
            }));
        }
        self.max_memory.as_ref().map_or(Ok(()), |max_memory| max_memory.limit().map(drop))
    }

    pub(crate) fn limit(&self) -> MaxMemory {
        self.max_memory.clone().unwrap_or_default()
    }

    /// The items of a batch that are asked for: no more than can be in flight.
    pub(crate) fn batch_items(&self) -> Option<usize> {
        self.batch_size.map(|items| items.min(self.most_in_flight()))
    }

    /// The items of the sample: it keeps its results, so that all of them are in flight.
    pub(crate) fn sample_items(&self) -> usize {
        self.sample_size.unwrap_or(DEFAULT_SAMPLE_SIZE).min(MOST_SAMPLE_SIZE).min(self.most_in_flight())
    }

    /// The most items between the input and the sink, where there is a bound.
    pub(crate) fn in_flight_items(&self) -> Option<usize> {
        self.in_flight
    }

    /// The most items between the input and the sink.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.in_flight.unwrap_or(usize::MAX)
    }

    pub(crate) fn wanted_threads(&self) -> Option<usize> {
        self.threads
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &Options) -> String {
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn each_option_refuses_what_it_cant_use() {
        // tests/messages.rs has the words.
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
            assert!(refused(&Options::new(Some(fraction.into()))).starts_with("`max_memory` can't be"));
        }
        assert!(refused(&Options::new(Some("12 bananas".into()))).contains("\"12 bananas\""));
        assert!(refused(&Options::new(Some(ByteSize::ZERO.into()))).contains("can't be 0 B"));
        let mut options = Options::new(None);
        options.set_retry(Retry::new(0));
        assert!(refused(&options).starts_with("`retry` can't be 0"));
        options.set_retry(Retry::new(1));
        assert!(options.check().is_ok());
    }

    #[test]
    fn what_stages_state_is_joined() {
        let stated = |max_memory: MaxMemory| Options::new(Some(max_memory));
        let limit = |options: Options| options.limit().0;
        let (half, tenth) = (MaxMemory::fraction(0.5), MaxMemory::fraction(0.1));
        let (more, less) = (MaxMemory::bytes(ByteSize::mib(2)), MaxMemory::bytes(ByteSize::mib(1)));
        assert_eq!(limit(stated(half.clone()).join(stated(tenth.clone()))), Limit::Fraction(0.1));
        assert_eq!(limit(stated(more.clone()).join(stated(less.clone()))), Limit::Bytes(ByteSize::mib(1)));
        let both = stated(half).join(stated(more)).join(Options::new(None)).join(stated(tenth)).join(stated(less));
        assert_eq!(both.limit().to_string(), "10% of the available memory or 1.00 MiB, whichever is less");
        assert_eq!(limit(both), Limit::Both(0.1, ByteSize::mib(1)));
        assert_eq!(limit(Options::new(None).join(Options::new(None))), Limit::Fraction(DEFAULT_FRACTION));

        let first = Options::new(None).named("first").batch_size(7).sample_size(9).threads(2).verbose(true);
        let second = Options::new(None).named("second").batch_size(5).sample_size(3).threads(4);
        let first = first.on_panic(OnPanic::Skip).oversize(Oversize::Error);
        let joined = first.clone().join(second.clone().on_panic(OnPanic::Collect));
        assert_eq!((joined.batch_items(), joined.sample_items(), joined.wanted_threads()), (Some(5), 9, Some(2)));
        assert_eq!((joined.panics(), joined.refuses_oversize(), joined.is_verbose()), (OnPanic::Collect, true, true));
        assert_eq!((joined.name(), first.name()), (None, Some("first")));
        let joined = second.join(first);
        assert_eq!((joined.batch_items(), joined.sample_items(), joined.wanted_threads()), (Some(7), 9, Some(2)));
        assert_eq!((joined.panics(), joined.refuses_oversize(), joined.is_verbose()), (OnPanic::Skip, true, true));
    }

    #[test]
    fn what_a_stage_does_not_take_is_refused_whatever_the_others_state() {
        let mut retries = Options::new(None);
        retries.set_retry(Retry::new(0));
        let good = Options::new(Some(0.5.into())).threads(1).batch_size(1).sample_size(7).in_flight(9);
        for (bad, says) in [
            (Options::new(None).threads(0), "`threads` can't be 0"),
            (Options::new(None).sample_size(0), "`sample_size` can't be 0"),
            (Options::new(None).batch_size(0), "`batch_size` can't be 0"),
            (Options::new(None).in_flight(0), "`in_flight` can't be 0"),
            (Options::new(Some(1.5.into())), "`max_memory` can't be 1.5"),
            (Options::new(Some("much".into())), "`max_memory` can't be \"much\""),
            (retries, "`retry` can't be 0"),
        ] {
            let mut joined = bad.clone().join(good.clone()).threads(1);
            joined.set_max_memory(ByteSize::mib(1).into());
            assert!(refused(&joined).starts_with(says), "{says}");
            assert!(refused(&good.clone().join(bad)).starts_with(says), "{says}");
        }
    }

    #[test]
    fn the_edges_are_taken() {
        for fraction in [f64::MIN_POSITIVE, 1.0] {
            assert!(Options::new(Some(fraction.into())).check().is_ok());
        }
        assert!(Options::new(None).batch_size(1).sample_size(1).threads(1).in_flight(1).check().is_ok());
    }

    #[test]
    fn of_stages_the_least_in_flight_counts_and_bounds_batches_and_sample() {
        let (few, many) = (Options::new(None).in_flight(3), Options::new(None).in_flight(9));
        for joined in [few.clone().join(many.clone()), many.join(few.clone())] {
            assert_eq!(joined.in_flight_items(), Some(3));
        }
        assert_eq!(Options::new(None).join(few.clone()).in_flight_items(), Some(3));
        assert_eq!(Options::new(None).join(Options::new(None)).in_flight_items(), None);
        assert_eq!((few.batch_items(), few.sample_items()), (None, 3));
        let asked = few.batch_size(100).sample_size(2);
        assert_eq!((asked.batch_items(), asked.sample_items()), (Some(3), 2));
    }
}
