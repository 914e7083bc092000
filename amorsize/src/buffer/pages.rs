//! Gets the pages of a large collection's memory just before it is filled.
//!
//! A collection of cheap results spends most of its time on page faults, one for each 4 KiB. To ask
//! for the pages of a region together saves the cost of a fault for each page.

use std::ops::Range;

/// In a smaller allocation page faults take less than 5 ms in all, and it may lie in memory that
/// the allocator has already.
pub(super) const LARGE: usize = 8 << 20;

/// The pages to ask for before a region is filled, of an allocation up to `end`. Each page belongs
/// to the region in which it begins, unless it is not wholly the allocation's.
pub(super) fn whole_pages(region: Range<usize>, end: usize, page: usize) -> Range<usize> {
    region.start.next_multiple_of(page)..region.end.next_multiple_of(page).min(end / page * page)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;
    const WHOLE: Range<usize> = 3 * LARGE - 5 * PAGE - 16..5 * LARGE + 3 * PAGE + 16;

    #[test]
    fn each_page_is_populated_by_one_region() {
        let mut populated = WHOLE.start.next_multiple_of(PAGE);
        let mut from = WHOLE.start;
        while from < WHOLE.end {
            let to = (from + 10 * PAGE + 24).min(WHOLE.end);
            let part = whole_pages(from..to, WHOLE.end, PAGE);
            if !part.is_empty() {
                assert_eq!(part.start, populated);
                assert_eq!(part.end % PAGE, 0);
                populated = part.end;
            }
            from = to;
        }
        assert_eq!(populated, WHOLE.end / PAGE * PAGE);
        // A region that lies within a page, or is empty, asks for nothing.
        for region in [LARGE * 4 + 7..LARGE * 4 + 99, LARGE * 4..LARGE * 4] {
            assert!(whole_pages(region, WHOLE.end, PAGE).is_empty());
        }
    }
}
