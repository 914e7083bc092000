//! Items of an input that need not run.

use super::Results;

/// Items that need not run, and their results.
#[derive(Default)]
pub(crate) struct Restored {
    /// The number of items that were passed over. It may be 0 if many are compared together.
    pub(crate) items: usize,
    /// A result for each of them, if there are results.
    pub(crate) results: Option<Results>,
    /// The bytes that the stored results take.
    pub(crate) bytes: u64,
    pub(crate) has_ended: bool,
    /// True for items before the first item of the input.
    pub(crate) are_outside: bool,
}
