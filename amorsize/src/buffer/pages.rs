//! Gets the pages of a large collection's memory just before it is filled.
//!
//! A collection of cheap results spends most of its time on page faults, one for each 4 KiB. To ask
//! for the pages of a region together saves the cost of a fault for each page.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// In a smaller allocation page faults take less than 5 ms in all, and it may lie in memory that
/// the allocator has already.
pub(super) const LARGE: usize = 8 << 20;

/// The pages of an allocation.
#[derive(Debug)]
pub(super) struct Pages {
    /// Bytes of a page.
    page: usize,
    /// The end of the allocation's last whole page.
    end: usize,
    /// True if the system can't populate memory: Linux can since 5.14.
    unknown: AtomicBool,
}

impl Pages {
    pub(super) fn new(whole: Range<usize>, page: usize) -> Self {
        Self { page, end: whole.end / page * page, unknown: AtomicBool::new(false) }
    }

    /// Asks for the pages of a region before it is filled. `populate` asks the system for a part of
    /// the allocation, and returns false if the system does not know that.
    pub(super) fn prepare(&self, region: Range<usize>, populate: impl FnOnce(Range<usize>) -> bool) {
        // Each page belongs to the region in which it begins.
        let from = region.start.next_multiple_of(self.page);
        let to = region.end.next_multiple_of(self.page).min(self.end);
        if from < to && !self.unknown.load(Ordering::Relaxed) && !populate(from..to) {
            self.unknown.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const WHOLE: Range<usize> = 3 * LARGE - 5 * PAGE - 16..5 * LARGE + 3 * PAGE + 16;

    /// Prepares a region with a system that gives this `answer`. Returns the part that it was asked
    /// for.
    fn prepare(pages: &Pages, region: Range<usize>, answer: bool) -> Option<Range<usize>> {
        let mut asked = None;
        pages.prepare(region, |part| {
            assert!(WHOLE.start <= part.start && part.start < part.end && part.end <= WHOLE.end);
            assert_eq!(part.start % PAGE, 0, "the system refuses other addresses");
            asked = Some(part);
            answer
        });
        asked
    }

    #[test]
    fn each_page_is_populated_by_one_region() {
        let pages = Pages::new(WHOLE, PAGE);
        let mut populated = WHOLE.start.next_multiple_of(PAGE);
        let mut from = WHOLE.start;
        while from < WHOLE.end {
            let to = (from + 10 * PAGE + 24).min(WHOLE.end);
            if let Some(part) = prepare(&pages, from..to, true) {
                assert_eq!(part.start, populated);
                populated = part.end;
            }
            from = to;
        }
        assert_eq!(populated, WHOLE.end / PAGE * PAGE);
        // A region that lies within a page, or is empty, asks for nothing.
        for region in [LARGE * 4 + 7..LARGE * 4 + 99, LARGE * 4..LARGE * 4] {
            assert_eq!(prepare(&pages, region, true), None);
        }
    }

    #[test]
    fn what_the_system_does_not_know_is_not_asked_again() {
        let pages = Pages::new(WHOLE, PAGE);
        assert!(prepare(&pages, 3 * LARGE..4 * LARGE, false).is_some());
        assert_eq!(prepare(&pages, 4 * LARGE..5 * LARGE, true), None);
    }
}
