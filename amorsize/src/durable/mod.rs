//! The typed part of a durable run: the places where it keeps what is finished, the hashes of its
//! items, and the encoding of its results.

pub(crate) mod codec;
pub(crate) mod functions;
pub(crate) mod keeper;
pub(crate) mod resume;
pub(crate) mod settings;

pub use self::codec::{Codec, StoredResult};
pub(crate) use self::functions::Functions;
pub(crate) use self::keeper::{Handle, Keeper};
pub(crate) use self::resume::Resume;
pub(crate) use self::settings::Durable;

#[cfg(test)]
mod tests;
