//! Stands for the keeper in a build without the feature `durable`: no run has one.

use crate::error::Error;
use crate::error::failure::Ended;

/// The keeper of a run: none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle;

impl Handle {
    #[inline]
    #[expect(clippy::unused_self, reason = "with the feature there may be one")]
    pub(crate) fn get(&self) -> Option<&Keeper> {
        None
    }
}

/// No value has this type, so code that asks for it costs nothing.
#[derive(Debug)]
pub(crate) enum Keeper {}

impl Keeper {
    pub(crate) fn has_failed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn why(&self) -> Option<Ended> {
        match *self {}
    }

    pub(crate) fn is_restored(&self, _index: usize) -> bool {
        match *self {}
    }

    pub(crate) fn last_change(&self, _items: std::ops::Range<usize>) -> Option<usize> {
        match *self {}
    }

    pub(crate) fn wait_until_written(&self) -> bool {
        match *self {}
    }

    pub(crate) fn disown(&self, _items: std::ops::Range<usize>) {
        match *self {}
    }

    pub(crate) fn forget(&self, _first: usize, _items: usize) {
        match *self {}
    }

    pub(crate) fn is_journal(&self) -> bool {
        match *self {}
    }

    pub(crate) fn sunk(&self, _indices: impl Iterator<Item = usize>) {
        match *self {}
    }

    pub(crate) fn end(&self, _items: usize, _is_known: bool) -> Result<(), Error> {
        match *self {}
    }
}
