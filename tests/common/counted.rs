//! Items and results that know their index and are counted while they live.

#[path = "alive.rs"]
mod alive;

use std::sync::atomic::AtomicIsize;

use alive::Alive;

/// A value that is counted while it lives.
#[derive(Debug)]
pub(crate) struct Counted<'a> {
    pub(crate) index: usize,
    _alive: Alive<'a>,
}

impl<'a> Counted<'a> {
    pub(crate) fn new(alive: &'a AtomicIsize, index: usize) -> Self {
        Self { index, _alive: Alive::new(alive) }
    }
}
