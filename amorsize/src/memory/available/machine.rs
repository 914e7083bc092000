//! Parses procfs's figures of the machine and of the process, from their text alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::system::calls::madvise::page_size;
use crate::units::ByteSize;

/// `MemAvailable`: the kernel's own estimate of the memory that can be taken without swapping.
pub(super) fn available(meminfo: &str) -> Option<ByteSize> {
    amount(meminfo, "MemAvailable:")
}

/// `MemTotal`: the memory that the kernel has to give.
#[cfg(any(test, feature = "picture"))]
pub(super) fn total(meminfo: &str) -> Option<ByteSize> {
    amount(meminfo, "MemTotal:")
}

fn amount(text: &str, name: &str) -> Option<ByteSize> {
    number(after(text, name)?.trim_ascii().strip_suffix(" kB")?).map(ByteSize::kib)
}

/// The text of a file of the system under `root`. (As some parsers it is not inlined: they are
/// called at many places, and none of them often.)
#[inline(never)]
pub(super) fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

/// The rest of the first line that begins with this name.
#[inline(never)]
pub(super) fn after<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// A word of a text, by its place.
#[inline(never)]
pub(super) fn word(text: &str, place: usize) -> Option<&str> {
    text.split_ascii_whitespace().nth(place)
}

#[inline(never)]
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

/// The limits that the process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourceLimits {
    /// `RLIMIT_AS`.
    address_space: Option<u64>,
    /// `RLIMIT_DATA`.
    data: Option<u64>,
}

impl ResourceLimits {
    pub(super) fn parse(limits: &str) -> Self {
        Self { address_space: soft(limits, "Max address space"), data: soft(limits, "Max data size") }
    }

    /// The bytes that the limits leave beside those that the process has mapped.
    pub(super) fn left(self, statm: Option<&str>) -> Option<ByteSize> {
        [self.address_space_left(statm), self.data_left(statm)].into_iter().flatten().min()
    }

    /// The bytes that `RLIMIT_AS` leaves.
    pub(super) fn address_space_left(self, statm: Option<&str>) -> Option<ByteSize> {
        left(self.address_space, statm, 0)
    }

    /// The bytes that `RLIMIT_DATA` leaves. The sixth field counts the main thread's stack too,
    /// which the limit does not, so the result is a little too low.
    pub(super) fn data_left(self, statm: Option<&str>) -> Option<ByteSize> {
        left(self.data, statm, 5)
    }
}

/// The soft limit of this name in `/proc/self/limits`; "unlimited" is no number.
pub(super) fn soft(limits: &str, name: &str) -> Option<u64> {
    number(word(after(limits, name)?, 0)?)
}

fn left(limit: Option<u64>, statm: Option<&str>, field: usize) -> Option<ByteSize> {
    // Without a figure of the mapped bytes, the limit itself is the most that can be left.
    let mapped = statm.and_then(|statm| pages(statm, field)).unwrap_or(ByteSize::ZERO);
    Some(ByteSize::new(limit?).saturating_sub(mapped))
}

/// The part of the address space that the process has mapped.
pub(super) fn mapped(statm: &str) -> Option<ByteSize> {
    pages(statm, 0)
}

/// The process's resident memory.
pub(super) fn resident(statm: &str) -> Option<ByteSize> {
    pages(statm, 1)
}

/// The peak of the process's resident memory so far, from its file `status`.
pub(super) fn peak_resident(status: &str) -> Option<ByteSize> {
    amount(status, "VmHWM:")
}

fn pages(statm: &str, field: usize) -> Option<ByteSize> {
    let pages = number(word(statm, field)?)?;
    Some(ByteSize::of_usize(page_size()?) * pages)
}

/// The total time in which at least one task waited for memory.
pub(super) fn stalled(pressure: &str) -> Option<Duration> {
    let total = after(pressure, "some ")?.split(' ').find_map(|figure| figure.strip_prefix("total="))?;
    number(total).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max cpu time              unlimited            unlimited            seconds   \n\
                          Max data size             2147483648           unlimited            bytes     \n\
                          Max address space         1073741824           4294967296           bytes     \n";

    #[test]
    fn memory_that_is_available_is_not_what_is_free() {
        let meminfo = "MemTotal:       24000000 kB\nMemFree: 100 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(available(meminfo), Some(ByteSize::kib(20_000_000)));
        assert_eq!(total(meminfo), Some(ByteSize::kib(24_000_000)));
        // Kernels before 3.14 have no estimate.
        assert_eq!(available("MemTotal:       24000000 kB\nMemFree: 100 kB\n"), None);
    }

    #[test]
    fn resource_limits_leave_what_is_not_mapped() {
        let page = page_size().unwrap() as u64;
        let limits = ResourceLimits::parse(LIMITS);
        assert_eq!(limits.left(Some("1000 500 300 10 0 400 0\n")).unwrap(), (1 << 30) - 1000 * page);
        let data = ResourceLimits { address_space: None, ..limits };
        assert_eq!(data.left(Some("1000 500 300 10 0 400 0\n")).unwrap(), (2 << 30) - 400 * page);
        assert_eq!(limits.left(None).unwrap(), 1 << 30);
        assert_eq!(limits.left(Some("999999999 500 300 10 0 400 0\n")).unwrap(), 0);
    }

    #[test]
    fn without_resource_limits_they_leave_everything() {
        let limits =
            ResourceLimits::parse("Max address space         unlimited            unlimited            bytes\n");
        assert_eq!(limits.left(Some("1000 500 300 10 0 400 0\n")), None);
    }

    #[test]
    fn the_peak_is_a_line_of_the_status() {
        assert_eq!(peak_resident("VmPeak:\t  9000 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"), Some(ByteSize::mib(2)));
        assert_eq!((peak_resident(""), peak_resident("VmHWM: many kB\n")), (None, None));
    }

    #[test]
    fn pressure_is_the_time_in_which_some_task_waited() {
        let pressure =
            "some avg10=0.10 avg60=0.00 avg300=0.00 total=1500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(stalled(pressure), Some(Duration::from_micros(1500)));
        assert_eq!(stalled("full avg10=0.00 total=7\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>(), number: u64) {
            let spoiled = [
                text.clone(),
                format!("MemAvailable: {number}{text} kB\nsome total={number}{text}\nMax data size {number} {text}"),
                format!("{number} {number} {text} {number} {number} {number}"),
            ];
            for text in &spoiled {
                let _ = (available(text), stalled(text), resident(text), peak_resident(text));
                let limits = ResourceLimits::parse(text);
                let _ = (limits.left(Some(text)), limits.left(None));
            }
        }

        #[test]
        fn no_more_is_left_than_a_limit(limit: u64, size: u64, data: u64) {
            let limits = ResourceLimits::parse(&format!("Max data size {limit} unlimited bytes"));
            let left = limits.left(Some(&format!("{size} 1 1 1 0 {data} 0"))).unwrap();
            prop_assert!(left <= ByteSize::new(limit));
        }
    }
}
