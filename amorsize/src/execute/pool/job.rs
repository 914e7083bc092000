//! A job of a run on threads.

/// Work that threads do in parts until it says that it is done.
pub(crate) trait Job: Sync {
    /// Does a part. True if there is more.
    fn run(&self) -> bool;
}
