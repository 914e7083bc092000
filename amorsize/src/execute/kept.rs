//! Results that wait for a terminal: in memory, or on the disk where a spill has stored them.

use std::collections::VecDeque;

use crate::buffer::Results;
use crate::output::outlet::{Flow, Outlet};
#[cfg(feature = "durable")]
use crate::spill::{OnDisk, SpillFile};

/// The results that a terminal has yet to take: those of the sample, and what an earlier terminal
/// left when it ended early.
#[derive(Default)]
pub(crate) struct Kept {
    parts: VecDeque<KeptPart>,
}

/// Results that are kept together.
pub(crate) enum KeptPart {
    /// Results of consecutive items, with the index of the first one.
    Results(Results, usize),
    /// Stored results, and the next of their frames.
    #[cfg(feature = "durable")]
    OnDisk(OnDisk, usize),
}

impl Kept {
    /// The number of results that are kept.
    pub(crate) fn len(&self) -> usize {
        let len = |part: &KeptPart| match part {
            KeptPart::Results(results, _) => results.len(),
            #[cfg(feature = "durable")]
            KeptPart::OnDisk(stored, frame) => stored.left(*frame),
        };
        self.parts.iter().map(len).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Puts results back before all others.
    pub(crate) fn put_back(&mut self, results: Results, start: usize) {
        self.parts.push_front(KeptPart::Results(results, start));
    }

    /// Takes out the next part.
    pub(crate) fn next(&mut self) -> Option<KeptPart> {
        self.parts.pop_front()
    }
}

#[cfg(feature = "durable")]
impl Kept {
    /// The next part, which stays until it is [taken](Self::next).
    pub(crate) fn first(&mut self) -> Option<&mut KeptPart> {
        self.parts.front_mut()
    }

    /// True if the next results are on the disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self.parts.front(), Some(KeptPart::OnDisk(..)))
    }

    /// Puts stored results before all others.
    pub(crate) fn put_on_disk(&mut self, stored: OnDisk) {
        self.parts.push_front(KeptPart::OnDisk(stored, 0));
    }

    /// Takes out the file with the next results, if none of these were taken.
    pub(crate) fn take_file(&mut self) -> Option<SpillFile> {
        match self.parts.pop_front()? {
            KeptPart::OnDisk(OnDisk::File(file), 0) => Some(file),
            other => {
                self.parts.push_front(other);
                None
            }
        }
    }

    /// The bytes of all stored results, in encoded form.
    pub(crate) fn on_disk(&self) -> Option<u64> {
        let files = self.parts.iter().filter_map(|part| match part {
            KeptPart::OnDisk(stored, frame) => Some((*frame..stored.frames()).map(|frame| stored.raw(frame)).sum()),
            KeptPart::Results(..) => None,
        });
        files.reduce(|sum: u64, bytes| sum + bytes)
    }
}

impl Outlet for Kept {
    fn accept(&mut self, results: Results, start: usize) -> Flow {
        self.parts.push_back(KeptPart::Results(results, start));
        Flow::Continue
    }
}
