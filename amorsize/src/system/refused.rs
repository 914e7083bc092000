//! Threads that the system refused.

/// Threads that the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Threads that rayon's global pool would have.
    pub(crate) wanted: usize,
    /// Threads of the pool that stands for it; 1 is the calling thread, if there is no such pool
    /// either.
    pub(crate) given: usize,
}
