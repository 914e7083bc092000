//! Asks the system for pages of memory before they are touched.

use std::ops::Range;
use std::time::Duration;

/// A request to the system for memory. Neither request changes the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Back it with huge pages.
    Huge,
    /// Back it now, as if it had been written to.
    Populate,
}

/// Bytes of a page, if the system can be asked for pages.
pub(crate) fn page_size() -> Option<usize> {
    system::page_size()
}

/// Gives the system an advice on the memory at these addresses. Returns how long that took, or
/// `None` if the system does not know the advice. Memory that is not the process's own, or that
/// can't be written, stays as it is.
pub(crate) fn advise(part: Range<usize>, advice: Advice) -> Option<Duration> {
    system::advise(part, advice)
}

#[cfg(target_os = "linux")]
mod system {
    use std::time::Instant;
    use std::{io, ptr};

    use super::*;

    pub(super) fn page_size() -> Option<usize> {
        // SAFETY: it reads a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(page).ok().filter(|page| page.is_power_of_two())
    }

    pub(super) fn advise(part: Range<usize>, advice: Advice) -> Option<Duration> {
        let advice = match advice {
            Advice::Huge => libc::MADV_HUGEPAGE,
            Advice::Populate => libc::MADV_POPULATE_WRITE,
        };
        let start = ptr::without_provenance_mut(part.start);
        let begun = Instant::now();
        // SAFETY: both advices change how memory is backed and never what is in it, even if other
        // threads read or write it meanwhile. The system looks at the addresses and not through the
        // pointer, and refuses those at which it has mapped nothing.
        let answer = unsafe { libc::madvise(start, part.len(), advice) };
        let took = begun.elapsed();
        (answer == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL)).then_some(took)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    pub(super) fn page_size() -> Option<usize> {
        None
    }

    pub(super) fn advise(_part: Range<usize>, _advice: Advice) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn advice_leaves_what_is_in_memory() {
        let page = page_size().unwrap();
        let mut bytes: Vec<u8> = (0..4 * page).map(|index| index as u8).collect();
        let start = bytes.as_ptr().addr().next_multiple_of(page);
        for advice in [Advice::Huge, Advice::Populate] {
            _ = advise(start..start + 2 * page, advice);
            assert!(bytes.iter().enumerate().all(|(index, &byte)| byte == index as u8));
        }
        bytes[2 * page] += 1;
        assert_eq!(bytes[2 * page], 1);
    }

    #[test]
    fn memory_that_nobody_has_and_addresses_within_a_page_are_refused() {
        let page = page_size().unwrap();
        assert_eq!(advise(page / 2..page, Advice::Populate), None);
        // The first page belongs to nobody. Some systems know the advice, others refuse it.
        _ = advise(0..page, Advice::Populate);
    }
}
