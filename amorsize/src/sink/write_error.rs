//! The errors that writing to a sink can end with.

use super::FileError;
use crate::error::{Error, TryError};

/// An error of a sink of `write_to`: any error that an error `E` of the run can become, or the
/// error of amorsize's own sinks, which becomes an error of the run.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the error of a sink: the run's own `{E}` can't become one",
    label = "the sink's error is not made from `{E}`",
    note = "`write_to` gives the sink's error or the run's, as one type: implement `From<{E}>` for it, or use \
            `Box<dyn Error>` as the sink's `Error`"
)]
pub trait WriteError<E>: Sized {
    /// The error that `write_to` returns.
    type Failed;

    #[doc(hidden)]
    fn of_run(error: E) -> Self::Failed;

    #[doc(hidden)]
    fn of_sink(self) -> Self::Failed;
}

#[diagnostic::do_not_recommend]
impl<E, S: From<E>> WriteError<E> for S {
    type Failed = S;

    fn of_run(error: E) -> S {
        error.into()
    }

    fn of_sink(self) -> S {
        self
    }
}

macro_rules! become_errors_of_the_run {
    ($([$($generics:tt)*] $run:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl $($generics)* WriteError<$run> for FileError {
            type Failed = $run;

            fn of_run(error: $run) -> $run {
                error
            }

            fn of_sink(self) -> $run {
                self.into()
            }
        }
    )*};
}

become_errors_of_the_run!([] Error [<E>] TryError<E>);
