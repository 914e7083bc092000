//! The mark of runs that have a key.

use std::marker::PhantomData;

use super::bounds::KnowsItems;
use super::then::{Follows, Joins};
use crate::code::HashOf;
use crate::error::Error;
use crate::error::failure::Failure;
use crate::policy::{Policy, Sealed, Seen, Whole};

/// The policy `P` of a run that tells its items apart by a [`key`](crate::Batched::key), so that
/// they need not be `Hash`.
///
/// It takes the place of the policy in a run's type, and does what `P` does.
///
/// # Examples
///
/// ```
/// use amorsize::on_error::Each;
/// use amorsize::{Batched, Keyed, process_in_batches};
///
/// type Run = Batched<Vec<f64>, f64, fn(f64) -> f64, Keyed<Each>>;
///
/// let run: Run = process_in_batches(f64::sqrt as fn(f64) -> f64, vec![4.0]).key(|x| x.to_bits());
/// # drop(run);
/// ```
#[derive(Debug)]
pub struct Keyed<P>(PhantomData<P>);

impl<P> Sealed for Keyed<P> {}

impl<P: Whole> Whole for Keyed<P> {}

#[diagnostic::do_not_recommend]
impl<T, P> KnowsItems<T> for Keyed<P> {
    fn hash() -> Option<HashOf<T>> {
        None
    }
}

impl<R, P: Policy<R>> Policy<R> for Keyed<P> {
    type Value = P::Value;
    type Error = P::Error;
    type Failed = P::Failed;
    type Given<V> = P::Given<V>;
    type Item<V> = P::Item<V>;

    const STOPS: bool = P::STOPS;
    const GATHERS: bool = P::GATHERS;
    const NEVER_FAILS: bool = P::NEVER_FAILS;

    #[inline]
    fn split(result: R) -> Result<P::Value, P::Error> {
        P::split(result)
    }

    #[inline]
    fn unsplit(values: Vec<P::Value>) -> Vec<R> {
        P::unsplit(values)
    }

    #[inline]
    fn value(result: &R) -> Option<&P::Value> {
        P::value(result)
    }

    #[inline]
    fn values(results: Vec<R>, indices: impl Iterator<Item = usize>, seen: &mut Seen<R>) -> Vec<P::Value> {
        P::values(results, indices, seen)
    }

    fn fail(seen: &mut Seen<R>, index: usize, error: P::Error) -> Result<(), P::Failed> {
        P::fail(seen, index, error)
    }

    fn given<V>(value: V, seen: &mut Seen<R>) -> P::Given<V> {
        P::given(value, seen)
    }

    #[inline]
    fn item<V>(value: Result<V, (usize, P::Error)>, seen: &mut Seen<R>) -> Option<P::Item<V>> {
        P::item(value, seen)
    }

    fn panicked_item<V>(panic: Failure) -> Option<P::Item<V>> {
        P::panicked_item(panic)
    }

    fn last_item<V>(error: Error) -> Result<P::Item<V>, Error> {
        P::last_item(error)
    }
}

impl<R, N, Q, P: Joins<R, N, Q>> Joins<R, N, Q> for Keyed<P> {
    type Output = P::Output;
    type Policy = Keyed<P::Policy>;
    type Failure = P::Failure;

    #[inline]
    fn join(result: Result<N, P::Failure>) -> P::Output {
        P::join(result)
    }
}

impl<P, Q: Follows<P>> Follows<Keyed<P>> for Q {}
