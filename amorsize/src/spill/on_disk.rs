//! Results that a spill has stored and no terminal has taken: in files of its own, or in a
//! checkpoint.

use serde::de::DeserializeOwned;

use super::checkpoint::Parts;
use super::file::SpillFile;
use crate::error::Error;
use crate::store::Reading;

/// Stored results, in frames that are read one at a time.
#[derive(Debug)]
pub(crate) enum OnDisk {
    File(SpillFile),
    /// A part of a checkpoint is a frame here.
    Checkpoint(Parts),
}

impl OnDisk {
    pub(crate) fn frames(&self) -> usize {
        match self {
            Self::File(file) => file.frames(),
            Self::Checkpoint(parts) => parts.count(),
        }
    }

    /// The number of results from a frame on.
    pub(crate) fn left(&self, frame: usize) -> usize {
        match self {
            Self::File(file) => file.left(frame),
            Self::Checkpoint(parts) => parts.left(frame),
        }
    }

    /// The bytes of a frame's results before compression.
    pub(crate) fn raw(&self, frame: usize) -> u64 {
        match self {
            Self::File(file) => file.raw(frame),
            Self::Checkpoint(parts) => parts.bytes(frame),
        }
    }

    /// Consecutive items of a frame: the first item, and the number of items.
    pub(crate) fn runs(&self, frame: usize) -> Vec<(usize, usize)> {
        match self {
            Self::File(file) => file.runs(frame).collect(),
            Self::Checkpoint(parts) => vec![parts.run(frame)],
        }
    }

    /// The results of a frame.
    pub(crate) fn read<R: DeserializeOwned>(&self, frame: usize, reading: &mut Reading) -> Result<Vec<R>, Error> {
        match self {
            Self::File(file) => file.read(frame, reading.buffers()),
            Self::Checkpoint(parts) => parts.read(frame, reading),
        }
    }

    /// Frees the disk space before a frame, unless others read it too.
    pub(crate) fn give_back(&mut self, frame: usize) {
        match self {
            Self::File(file) => file.give_back(frame),
            Self::Checkpoint(_) => {}
        }
    }
}
