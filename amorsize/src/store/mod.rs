//! Temporary.
#![allow(dead_code)]
mod encode;
mod identity;
mod shape;
pub(crate) use encode::{decode, encode};
pub(crate) use identity::{Identity, Kind, StableHasher};
pub(crate) use shape::Shape;
