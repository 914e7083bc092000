//! Asks the system for pages of memory before they are touched.

use std::ops::Range;

/// Bytes of a page, if the system can be asked for pages.
pub(crate) use system::page_size;

/// Backs the memory at these addresses, as if it had been written to, and leaves what is in it.
/// Memory that is not the process's own, or that can't be written, stays as it is. So does all
/// memory where the system does not know such a request: Linux does since 5.14.
pub(crate) use system::populate;

#[cfg(target_os = "linux")]
mod system {
    use std::ptr;

    use super::*;

    pub(crate) fn page_size() -> Option<usize> {
        // SAFETY: it reads a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(page).ok().filter(|page| page.is_power_of_two())
    }

    pub(crate) fn populate(part: Range<usize>) {
        let start = ptr::without_provenance_mut(part.start);
        // SAFETY: this advice changes how memory is backed and never what is in it, even if other
        // threads read or write it meanwhile. The system looks at the addresses and not through the
        // pointer, and refuses those at which it has mapped nothing.
        unsafe { libc::madvise(start, part.len(), libc::MADV_POPULATE_WRITE) };
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::*;

    pub(crate) fn page_size() -> Option<usize> {
        None
    }

    pub(crate) fn populate(_part: Range<usize>) {}
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_stays() {
        let page = page_size().unwrap();
        let mut bytes: Vec<u8> = (0..4 * page).map(|index| index as u8).collect();
        let start = bytes.as_ptr().addr().next_multiple_of(page);
        populate(start..start + 2 * page);
        populate(start + page / 2..start + page);
        // The first page belongs to nobody.
        populate(0..page);
        assert!(bytes.iter().enumerate().all(|(index, &byte)| byte == index as u8));
        bytes[2 * page] += 1;
        assert_eq!(bytes[2 * page], 1);
    }
}
