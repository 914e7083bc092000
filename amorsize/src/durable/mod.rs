//! The typed part of a durable run: where it keeps what is finished, how it tells items apart, and
//! how results go to a store and come back.

pub(crate) mod codec;
pub(crate) mod functions;
pub(crate) mod keeper;
pub(crate) mod resume;
pub(crate) mod settings;

pub use self::codec::{Codec, StoredResult};
pub(crate) use self::functions::{CodeOf, Functions};
pub(crate) use self::keeper::{Handle, Keeper};
pub(crate) use self::resume::Resume;
pub(crate) use self::settings::Durable;

#[cfg(test)]
mod tests;
