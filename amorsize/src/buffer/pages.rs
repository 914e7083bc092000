//! Gets the pages of a large collection's memory: just before it is filled, and as huge pages while
//! these are cheap.
//!
//! A collection of cheap results spends most of its time on page faults, one for each 4 KiB. The
//! remedy depends on the machine and on the moment. A huge page is one fault for 2 MiB, and takes
//! 0.2 to 0.3 ms, a quarter of the time of 512 faults. But a virtual machine may have given its
//! free memory back to its host, which backs it anew as it is touched, and then a huge page takes 2
//! to 4 ms. So huge pages are asked for one after the other as the collection is filled, and no
//! longer once one was dear. Other memory is asked for region by region, which saves the cost of a
//! fault for each page.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::system::calls::madvise::Advice;

/// The size of a huge page on nearly all machines; on others it is only a number of bytes that are
/// asked for together.
const HUGE: usize = 2 << 20;
/// In a smaller allocation, the parts at both ends that fill no huge page outweigh those that do.
pub(super) const LARGE: usize = 4 * HUGE;
/// A huge page that takes longer is dear: the 512 small pages in its place take 0.9 to 1 ms, a
/// cheap huge one 0.2 to 0.3 ms.
const DEAR: Duration = Duration::from_millis(1);
/// Fewer pages than this are left to page faults: asking takes as long as one or two of these.
const PAGES_AT_ONCE: usize = 4;

/// The pages of an allocation: which ones were asked for, and how dear they are.
#[derive(Debug)]
pub(super) struct Pages {
    /// Bytes of a small page.
    page: usize,
    /// The addresses of the allocation.
    whole: Range<usize>,
    /// The first whole huge page that nothing has asked for.
    next: AtomicUsize,
    /// True if a huge page was dear.
    dear: AtomicBool,
    /// True if the system can't populate memory: Linux can since 5.14.
    unknown: AtomicBool,
}

impl Pages {
    pub(super) fn new(whole: Range<usize>, page: usize) -> Self {
        let next = AtomicUsize::new(whole.start.next_multiple_of(HUGE) + HUGE);
        Self { page, next, whole, dear: AtomicBool::new(false), unknown: AtomicBool::new(false) }
    }

    /// Asks for the pages of a region before it is filled. `advise` asks the system for a part of
    /// the allocation. It returns how long that took, or `None` if the system does not know the
    /// advice.
    pub(super) fn prepare(&self, region: Range<usize>, advise: impl Fn(Range<usize>, Advice) -> Option<Duration>) {
        while let Some(huge) = self.claim(region.end) {
            advise(huge.clone(), Advice::Huge);
            let took = self.populate(huge.start..huge.start + self.page, &advise);
            if took.is_some_and(|took| took > DEAR) {
                self.dear.store(true, Ordering::Relaxed);
            }
        }
        // Each page belongs to the region in which it begins.
        let from = region.start.next_multiple_of(self.page);
        let to = region.end.next_multiple_of(self.page).min(self.whole.end / self.page * self.page);
        if from + PAGES_AT_ONCE * self.page <= to {
            self.populate(from..to, &advise);
        }
    }

    /// The next huge page, unless it is further away than the first one behind the part to be
    /// filled now.
    ///
    /// It is asked for ahead because several threads fill one at a time. If they touched it before
    /// it is there, the system would clear a huge page for each thread and take back all but one.
    fn claim(&self, end: usize) -> Option<Range<usize>> {
        if self.dear.load(Ordering::Relaxed) {
            return None;
        }
        let due = |start: usize| start < end + HUGE && start + HUGE <= self.whole.end;
        let claimed =
            self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |start| due(start).then_some(start + HUGE));
        claimed.ok().map(|start| start..start + HUGE)
    }

    fn populate(
        &self,
        part: Range<usize>,
        advise: impl Fn(Range<usize>, Advice) -> Option<Duration>,
    ) -> Option<Duration> {
        if self.unknown.load(Ordering::Relaxed) {
            return None;
        }
        let took = advise(part, Advice::Populate);
        if took.is_none() {
            self.unknown.store(true, Ordering::Relaxed);
        }
        took
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const PAGE: usize = 4096;
    const CHEAP: Duration = Duration::from_micros(300);

    /// A system that notes its requests, and the answer that it gives to populating a part.
    struct System {
        asked: RefCell<Vec<(Range<usize>, Advice)>>,
        answer: fn(Range<usize>) -> Option<Duration>,
    }

    impl System {
        fn new(answer: fn(Range<usize>) -> Option<Duration>) -> Self {
            Self { asked: RefCell::default(), answer }
        }

        fn prepare(&self, pages: &Pages, region: Range<usize>) {
            pages.prepare(region, |part, advice| {
                assert!(pages.whole.start <= part.start && part.start < part.end && part.end <= pages.whole.end);
                assert_eq!(part.start % PAGE, 0, "the system refuses other addresses");
                self.asked.borrow_mut().push((part.clone(), advice));
                match advice {
                    Advice::Huge => Some(Duration::ZERO),
                    Advice::Populate => (self.answer)(part),
                }
            });
        }

        fn asked(&self) -> Vec<(Range<usize>, Advice)> {
            self.asked.take()
        }

        fn huge(&self) -> Vec<usize> {
            let asked = self.asked.take();
            let huge = asked.into_iter().filter(|(_, advice)| *advice == Advice::Huge);
            huge.map(|(part, _)| {
                assert_eq!((part.start % HUGE, part.len()), (0, HUGE));
                part.start / HUGE
            })
            .collect()
        }
    }

    /// Five huge pages, and parts at both ends.
    fn pages() -> Pages {
        Pages::new(3 * HUGE - 5 * PAGE - 16..8 * HUGE + 3 * PAGE + 16, PAGE)
    }

    #[test]
    fn huge_pages_are_asked_for_as_regions_reach_them() {
        let (system, pages) = (System::new(|_| Some(CHEAP)), pages());
        let start = pages.whole.start;
        system.prepare(&pages, start..3 * HUGE);
        assert!(system.huge().is_empty());
        // Several threads may be filling the first one already.
        system.prepare(&pages, 3 * HUGE..3 * HUGE + 10);
        assert_eq!(system.huge(), [4]);
        system.prepare(&pages, 3 * HUGE + 10..3 * HUGE + 999);
        assert!(system.huge().is_empty());
        // A region that is filled before the one in front of it also asks for that one's pages.
        system.prepare(&pages, 5 * HUGE - 10..5 * HUGE + 1);
        assert_eq!(system.huge(), [5, 6]);
        system.prepare(&pages, 3 * HUGE + 999..5 * HUGE - 10);
        assert!(system.huge().is_empty());
        system.prepare(&pages, 6 * HUGE..pages.whole.end);
        assert_eq!(system.huge(), [7]);
    }

    #[test]
    fn none_is_asked_for_once_one_was_dear() {
        let system = System::new(|part| Some(if part.start == 4 * HUGE { 2 * DEAR } else { CHEAP }));
        let pages = pages();
        system.prepare(&pages, pages.whole.start..pages.whole.end);
        assert_eq!(system.huge(), [4]);
        system.prepare(&pages, 7 * HUGE..7 * HUGE + 10 * PAGE);
        assert_eq!(system.asked(), [(7 * HUGE..7 * HUGE + 10 * PAGE, Advice::Populate)]);
    }

    #[test]
    fn each_small_page_is_populated_by_one_region() {
        let system = System::new(|_| Some(2 * DEAR));
        let pages = pages();
        system.prepare(&pages, 3 * HUGE..3 * HUGE + 1);
        system.asked();
        let mut populated = pages.whole.start.next_multiple_of(PAGE);
        let mut from = pages.whole.start;
        while from < pages.whole.end {
            let to = (from + 10 * PAGE + 24).min(pages.whole.end);
            system.prepare(&pages, from..to);
            for (part, advice) in system.asked() {
                assert_eq!((part.start, advice), (populated, Advice::Populate));
                populated = part.end;
            }
            from = to;
        }
        // The few pages at the end are left to page faults.
        assert!(pages.whole.end - populated < (PAGES_AT_ONCE + 1) * PAGE);
        // So are regions that are smaller than a page, or empty.
        for region in [HUGE * 5 + 7..HUGE * 5 + 99, HUGE * 5..HUGE * 5 + 3 * PAGE, HUGE * 5 + 7..HUGE * 5 + 7] {
            system.prepare(&pages, region);
            assert_eq!(system.asked(), []);
        }
    }

    #[test]
    fn what_the_system_does_not_know_is_not_asked_again() {
        let (system, pages) = (System::new(|_| None), pages());
        system.prepare(&pages, 3 * HUGE..4 * HUGE);
        let asked = system.asked();
        assert_eq!(asked.iter().filter(|(_, advice)| *advice == Advice::Populate).count(), 1);
        system.prepare(&pages, 4 * HUGE..5 * HUGE);
        assert_eq!(system.asked(), [(5 * HUGE..6 * HUGE, Advice::Huge)]);
    }
}
