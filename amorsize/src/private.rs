//! The items that the expansion of `#[batched]` uses. They are not part of the public interface,
//! and change with any release.

// The bounds of the wrapper's type parameters.
pub use std::clone::Clone;
pub use std::hash::Hash;
pub use std::marker::{Send, Sync};

#[cfg(feature = "durable")]
pub use serde::{Serialize, de::DeserializeOwned};

pub use crate::call::Quota;
pub use crate::code::{
    Borrowed, BorrowedHashProbe, Code, HashOf, HashProbe, HashesOne, Listener, Tell, UnhashedBorrowedProbe,
    UnhashedProbe, Version,
};
#[cfg(feature = "durable")]
use crate::durable::Codec;
pub use crate::memory::max_memory::MaxMemory;
#[cfg(feature = "get-size2")]
pub use crate::memory::measure::{GetSizeProbe, OkGetSizeProbe};
pub use crate::memory::measure::{Measure, OkProbe, Probe, UnknownProbe};
pub use crate::options::choices::{OnPanic, Oversize};
pub use crate::options::retry::Retry;
use crate::options::retry::{RetryItem, RetryOutput};
pub use crate::options::{Options, threads};
use crate::policy::Policy;
use crate::run::Batched;
use crate::run::bounds::OnErrorOutput;
pub use crate::run::bounds::failed;
#[cfg(feature = "durable")]
use crate::run::keyed::Keyed;
#[cfg(feature = "durable")]
pub use crate::units::ByteSize as MaxDisk;

/// One constructor for each number of shared parameters, with the bounds that a run rests on, and
/// one more for an input that can fail. The expansion gives every type in the user's own words.
/// Before that it asks for the same bounds by the traits of `bounds`, which have messages that
/// speak of the function: rustc does not repeat an error about the same type at the same place.
macro_rules! constructors {
    ($name:ident $name_of_try:ident($($shared:ident),*)) => {
        /// A run of `kernel` over `items`.
        #[expect(clippy::allow_attributes, reason = "only some of the constructors have many parameters")]
        #[allow(clippy::type_complexity, reason = "the types are those of the user's function")]
        pub fn $name<T: Send, R: Send, $($shared: Sync,)* I: IntoIterator<Item = T>>(
            items: I,
            shared: ($($shared,)*),
            kernel: fn(Quota<'_, T, R>, &($($shared,)*)),
            measure: (Measure<T>, Measure<R>),
            options: Options,
        ) -> Batched<I, R, ($($shared,)*)> {
            Batched::new(items, shared, kernel, measure, options)
        }

        /// The same if items are `Result`s.
        #[expect(clippy::allow_attributes, reason = "only some of the constructors have many parameters")]
        #[allow(clippy::type_complexity, reason = "the types are those of the user's function")]
        pub fn $name_of_try<T: Send, N: Send, R: Send, $($shared: Sync,)* I: IntoIterator<Item = Result<T, N>>>(
            items: I,
            shared: ($($shared,)*),
            kernel: fn(Quota<'_, Result<T, N>, R>, &($($shared,)*)),
            measure: (Measure<Result<T, N>>, Measure<R>),
            options: Options,
        ) -> Batched<I, R, ($($shared,)*)> {
            Batched::new(items, shared, kernel, measure, options).of_fallible()
        }
    };
}

constructors!(new0 fallible_new0());
constructors!(new1 fallible_new1(A));
constructors!(new2 fallible_new2(A, B));
constructors!(new3 fallible_new3(A, B, C));
constructors!(new4 fallible_new4(A, B, C, D));
constructors!(new5 fallible_new5(A, B, C, D, E));
constructors!(new6 fallible_new6(A, B, C, D, E, F));
constructors!(new7 fallible_new7(A, B, C, D, E, F, G));
constructors!(new8 fallible_new8(A, B, C, D, E, F, G, H));
constructors!(new9 fallible_new9(A, B, C, D, E, F, G, H, J));
constructors!(new10 fallible_new10(A, B, C, D, E, F, G, H, J, K));
constructors!(new11 fallible_new11(A, B, C, D, E, F, G, H, J, K, L));
constructors!(new12 fallible_new12(A, B, C, D, E, F, G, H, J, K, L, M));
// `self` and twelve others.
constructors!(new13 fallible_new13(A, B, C, D, E, F, G, H, J, K, L, M, O));

/// Checks a constant that counts something.
///
/// # Panics
///
/// If it is 0, with `refusal`. The compiler reports this at the constant.
#[track_caller]
#[must_use]
pub const fn count(value: usize, refusal: &str) -> usize {
    assert!(value > 0, "{}", refusal);
    value
}

/// The run with the code of its function. (Without the feature `durable` nothing reads it. Cargo
/// can still build the attribute with that feature, if a build script's amorsize has it.)
#[cfg_attr(not(feature = "durable"), expect(unused_variables, reason = "nothing reads the code"))]
pub fn coded<I: IntoIterator, R, C>(run: Batched<I, R, C>, code: &'static Code, tell: Tell<C>) -> Batched<I, R, C> {
    #[cfg(feature = "durable")]
    let run = run.coded(code, tell);
    run
}

/// A run that keeps results. `hash` hashes its items if it has no key.
#[cfg(feature = "durable")]
pub fn checkpoint<I: IntoIterator, R, C, P>(
    run: Batched<I, R, C, P>,
    directory: &'static str,
    hash: Option<HashOf<I::Item>>,
    codec: Codec<R>,
) -> Batched<I, R, C, P> {
    run.keep_results(directory.into(), codec, hash)
}

/// A run that notes the items that a sink has.
#[cfg(feature = "durable")]
pub fn journal<I: IntoIterator, R, C, P>(
    run: Batched<I, R, C, P>,
    directory: &'static str,
    hash: Option<HashOf<I::Item>>,
) -> Batched<I, R, C, P> {
    run.keep_places(directory.into(), hash)
}

/// Makes the key for an input of `Result`s; an error has none.
pub fn key_if_given<T, N, K>(
    key: impl Fn(&T) -> K + Send + Sync + 'static,
) -> impl Fn(&Result<T, N>) -> Option<K> + Send + Sync + 'static {
    move |item| item.as_ref().ok().map(&key)
}

/// The run without the mark that it has a key, which it keeps.
#[cfg(feature = "durable")]
pub fn without_mark<I: IntoIterator, R, C, P: Policy<R>>(run: Batched<I, R, C, Keyed<P>>) -> Batched<I, R, C, P> {
    run.with_policy(P::fails)
}

/// The run with a policy for errors.
pub fn on_error<R: OnErrorOutput, P: Policy<R>, I: IntoIterator, C>(run: Batched<I, R, C>) -> Batched<I, R, C, P> {
    run.with_policy(P::fails)
}

/// A run that repeats failed calls.
pub fn retrying<T: RetryItem, R: RetryOutput, I: IntoIterator<Item = T>, C>(
    run: Batched<I, R, C>,
    retry: Retry,
) -> Batched<I, R, C> {
    run.retry(retry)
}

/// The same if items are `Result`s.
pub fn fallible_retrying<T: RetryItem, N: Clone, R: RetryOutput, I: IntoIterator<Item = Result<T, N>>, C>(
    run: Batched<I, R, C>,
    retry: Retry,
) -> Batched<I, R, C>
where
    Result<T, N>: RetryItem,
{
    run.retry(retry)
}
