//! The means by which the bytes of results were measured, and their certainty.

use std::fmt;

/// The means by which the bytes of results are measured.
///
/// # Examples
///
/// ```
/// use amorsize::{MeasuredBy, batched, process_in_batches};
///
/// #[batched]
/// fn upper(word: &str) -> String {
///     word.to_uppercase()
/// }
///
/// assert_eq!(upper_batched(["a", "b"]).plan()?.measured_by(), MeasuredBy::DeepSize);
/// // A closure's result can't tell its size.
/// let mut run = process_in_batches(|word: &str| word.to_uppercase(), ["a", "b"]);
/// assert_eq!(run.plan()?.measured_by(), MeasuredBy::Resident);
/// assert_eq!(MeasuredBy::Resident.to_string(), "resident memory");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MeasuredBy {
    /// The program's allocator, [`Tracking`](crate::Tracking): the heap bytes that each call kept,
    /// and its working memory.
    Tracking,
    /// The result's own [`DeepSize`](crate::DeepSize): the bytes that it owns on the heap, and its
    /// own. The feature `get-size2` adds types with `GetSize`.
    DeepSize,
    /// The process's resident memory, as it grew while results were held. It includes other work in
    /// the process.
    Resident,
    /// The type's own size, without bytes that it owns on the heap. Exact for types that own
    /// nothing.
    SizeOf,
    /// Nothing: the type can't tell, and resident memory can't be read. Only the type's own size
    /// counts.
    Unmeasured,
}

impl fmt::Display for MeasuredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tracking => "tracking allocator",
            Self::DeepSize => "deep size",
            Self::Resident => "resident memory",
            Self::SizeOf => "size of the type",
            Self::Unmeasured => "size of the type alone",
        })
    }
}

impl MeasuredBy {
    /// True if each result tells its bytes.
    pub(crate) fn can_tell(self) -> bool {
        !matches!(self, Self::Resident | Self::Unmeasured)
    }

    /// The certainty of the figures.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{Certainty, MeasuredBy};
    /// assert_eq!(MeasuredBy::Tracking.certainty(), Certainty::Exact);
    /// assert_eq!(MeasuredBy::DeepSize.certainty(), Certainty::Results);
    /// assert_eq!(MeasuredBy::Resident.certainty(), Certainty::Estimate);
    /// ```
    #[must_use]
    pub const fn certainty(self) -> Certainty {
        match self {
            Self::Tracking => Certainty::Exact,
            Self::DeepSize | Self::SizeOf => Certainty::Results,
            Self::Resident => Certainty::Estimate,
            Self::Unmeasured => Certainty::Unmeasured,
        }
    }
}

/// The certainty of the bytes in a [`Plan`](crate::Plan) or a [`Report`](crate::Report); from
/// [`MeasuredBy::certainty`].
///
/// # Examples
///
/// ```
/// use amorsize::{Certainty, batched};
///
/// #[batched]
/// fn upper(word: &str) -> String {
///     word.to_uppercase()
/// }
///
/// let report = upper_batched(["a", "b"]).for_each_batch(|_| ())?;
/// assert_eq!(report.measured_by().certainty(), Certainty::Results);
/// assert_eq!(report.measured_by().certainty().to_string(), "exact for results");
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Certainty {
    /// Every heap byte of the calls counts, also those that they free before they return.
    Exact,
    /// The type of a result tells its bytes. The working memory of calls is an estimate.
    Results,
    /// A figure of the whole process, which other work changes too.
    Estimate,
    /// Nothing tells the bytes.
    Unmeasured,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Results => "exact for results",
            Self::Estimate => "an estimate",
            Self::Unmeasured => "unmeasured",
        })
    }
}
