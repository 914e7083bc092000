//! Policies for the errors of a function that returns a `Result`, for
//! [`Batched::on_error`](crate::Batched::on_error).
//!
//! The policy is the last type parameter of [`Batched`](crate::Batched), so it determines the
//! result type of every terminal:
//!
//! | policy | as an option | [`collect`] of `Result<T, E>`s |
//! | --- | --- | --- |
//! | [`Each`] | left out | `Result<V, Error>`, `V` a collection of `Result<T, E>` |
//! | [`Stop`] | `on_error = "stop"` | `Result<V, TryError<E>>`, `V` a collection of `T` |
//! | [`Skip`] | `on_error = "skip"` | `Result<V, Error>`, `V` a collection of `T` |
//! | [`Collect`] | `on_error = "collect"` | `Result<Outcome<V, E>, Error>`, `V` as above |
//!
//! [`collect`]: crate::Batched::collect
//!
//! # Examples
//!
//! ```
//! use amorsize::on_error::{Collect, Skip, Stop};
//! use amorsize::process_in_batches;
//!
//! let numbers = || process_in_batches(str::parse::<u32>, ["1", "two", "3"]);
//!
//! let error = numbers().on_error(Stop).collect::<Vec<_>>().unwrap_err();
//! assert_eq!(error.to_string(), "item 1 failed: invalid digit found in string");
//!
//! assert_eq!(numbers().on_error(Skip).collect::<Vec<_>>()?, [1, 3]);
//!
//! let outcome = numbers().on_error(Collect).collect::<Vec<_>>()?;
//! assert_eq!((outcome.value().as_slice(), outcome.failures()[0].index()), ([1, 3].as_slice(), 1));
//! # Ok::<(), amorsize::Error>(())
//! ```

pub use super::Policy;
pub use super::marks::{Collect, Each, Flatten, Skip, Stop};
