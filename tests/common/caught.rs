use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls a terminal, and returns the payload of a panic that ended it.
pub(crate) fn caught<V>(terminal: impl FnOnce() -> V) -> Result<V, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(terminal))
}
