//! Items of an input that need not run.

use super::Results;

/// Items that need not run, and the results that they have.
#[derive(Default)]
pub(crate) struct Restored {
    /// Items that were passed over. None may have been yet, where many are compared together.
    pub(crate) items: usize,
    /// A result for each of them, if there are results.
    pub(crate) results: Option<Results>,
    /// Bytes that the results take where they are stored.
    pub(crate) bytes: u64,
    pub(crate) has_ended: bool,
    /// True for items before the first one of the input.
    pub(crate) are_outside: bool,
}
