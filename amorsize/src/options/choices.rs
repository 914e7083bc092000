//! Options with a few named values: the handling of items that are too large, and of panics.

/// The handling of an item that is expected to need more than the whole budget.
///
/// The attribute takes it by name: `oversize = "alone"` or `"error"`.
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
    /// The item runs while no other call does and no other result is held.
    #[default]
    Alone,
    /// The run ends before the item is started, with an error that names it.
    Error,
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
    /// Returns the value: nothing is to be checked.
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
    /// If the text is refused, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> Oversize {
        match self.0.as_bytes() {
            b"alone" => Oversize::Alone,
            b"error" => Oversize::Error,
            _ => panic!("`oversize` must be \"alone\" or \"error\""),
        }
    }
}

/// The handling of a panic of the function.
///
/// The attribute takes it by name: `on_panic = "propagate"`, `"skip"` or `"collect"`.
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
    /// The first panic by input order ends the run and goes on to the caller, as with rayon.
    /// Everything before it was handed over.
    #[default]
    Propagate,
    /// The item has no result. The report counts it, and keeps the first sixteen panics.
    Skip,
    /// The item has no result, and the report keeps every panic. With
    /// [`Collect`](crate::on_error::Collect) each panic is also a [`Failure`](crate::Failure),
    /// among the errors.
    Collect,
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
    /// Returns the value: nothing is to be checked.
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
    /// If the text is refused, which the compiler reports at the expression.
    #[must_use]
    #[track_caller]
    pub const fn checked(self) -> OnPanic {
        match self.0.as_bytes() {
            b"propagate" => OnPanic::Propagate,
            b"skip" => OnPanic::Skip,
            b"collect" => OnPanic::Collect,
            _ => panic!("`on_panic` must be \"propagate\", \"skip\" or \"collect\""),
        }
    }
}

/// The types of a constant that is given as `oversize` in the attribute.
#[diagnostic::on_unimplemented(
    message = "`oversize` can't be of the type `{Self}`",
    label = "this is neither a text nor an `Oversize`",
    note = "use \"alone\", \"error\", or an `Oversize`"
)]
pub trait OversizeConstant {}

impl OversizeConstant for Oversize {}

impl OversizeConstant for &str {}

/// The types of a constant that is given as `on_panic` in the attribute.
#[diagnostic::on_unimplemented(
    message = "`on_panic` can't be of the type `{Self}`",
    label = "this is neither a text nor an `OnPanic`",
    note = "use \"propagate\", \"skip\", \"collect\", or an `OnPanic`"
)]
pub trait OnPanicConstant {}

impl OnPanicConstant for OnPanic {}

impl OnPanicConstant for &str {}
