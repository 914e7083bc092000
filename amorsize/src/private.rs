//! What the expansion of `#[batched]` calls. Not part of the public interface: it changes with any release.

pub use crate::bounds::{
    BatchItem, BatchOutput, BatchShared, ByValue, InputError, OnErrorOutput, RetryItem, RetryOutput, TryInputOutput,
    failed, value,
};
pub use crate::execute::buffer::Slices;
pub use crate::execute::chunk::Chunk;
pub use crate::memory::deep_size::of;
#[cfg(feature = "get-size2")]
pub use crate::memory::measure::{GetSizeProbe, OkGetSizeProbe};
pub use crate::memory::measure::{Measure, OkProbe, Probe, UnknownProbe};
use crate::on_error::OnError;
pub use crate::options::{MaxMemory, MaxMemoryValue, OnPanic, OnPanicValue, Options, Oversize, OversizeValue};
pub use crate::retry::{Retry, RetryValue};
use crate::run::Batched;
pub use crate::then::{Flows, Follows, Joins, StageError};

/// One constructor for each number of shared parameters. All bounds stand here, each on a line of its own because messages
/// show it, and the expansion gives every type in the user's own words: so each type that is at fault gets one message, at
/// the place where the user wrote it.
macro_rules! constructor {
    ($name:ident($($shared:ident),*)) => {
        /// A run of `kernel` over `items`.
        #[expect(clippy::allow_attributes, reason = "only some of the constructors have many parameters")]
        #[allow(clippy::type_complexity, reason = "the types are those of the user's function")]
        pub fn $name<
            T: BatchItem,
            R: BatchOutput,
            $($shared: BatchShared,)*
            I: IntoIterator<Item = T>,
        >(
            items: I,
            shared: ($($shared,)*),
            kernel: fn(&mut Chunk<T, R>, &($($shared,)*)),
            slices: Slices<T>,
            measure: (Measure<T>, Measure<R>),
            options: Options,
        ) -> Batched<I, R, ($($shared,)*)> {
            Batched::new(items, shared, kernel, slices, measure, options)
        }
    };
}

// One call each, because messages show the whole call.
constructor!(new0());
constructor!(new1(A));
constructor!(new2(A, B));
constructor!(new3(A, B, C));
constructor!(new4(A, B, C, D));
constructor!(new5(A, B, C, D, E));
constructor!(new6(A, B, C, D, E, F));
constructor!(new7(A, B, C, D, E, F, G));
constructor!(new8(A, B, C, D, E, F, G, H));
constructor!(new9(A, B, C, D, E, F, G, H, J));
constructor!(new10(A, B, C, D, E, F, G, H, J, K));
constructor!(new11(A, B, C, D, E, F, G, H, J, K, L));
constructor!(new12(A, B, C, D, E, F, G, H, J, K, L, M));

/// The run with a policy for errors. The bound is here, and not at the terminals, so that a function without a `Result` gets one
/// message where it is annotated.
pub fn on_error<R: OnErrorOutput, P: OnError, I: IntoIterator, C>(run: Batched<I, R, C>) -> Batched<I, R, C, P> {
    run.with_policy(R::failed)
}

/// The run as it is, of a function whose input can fail.
pub fn try_input<R: TryInputOutput, I: IntoIterator, C>(run: Batched<I, R, C>) -> Batched<I, R, C> {
    run
}

/// A run whose calls are made again. Like the constructors it is given the types in the user's own words.
pub fn retrying<T: RetryItem, R: RetryOutput, I: IntoIterator<Item = T>, C>(
    run: Batched<I, R, C>,
    retry: Retry,
) -> Batched<I, R, C> {
    run.retry(retry)
}
