//! The number of times that the calling thread touched memory for the first time, and the cost of
//! that.
//!
//! The system clears a page when a thread first writes to it. A sample keeps all its results, so
//! each lies in fresh pages, while a run that hands its results over and drops them uses the same
//! pages again and again. For results of 256 KiB that take 0.1 ms to make, this is more than half
//! of a sampled call. Linux counts these page faults for each thread; elsewhere they can't be told
//! from the rest of a call.

/// The smallest size of a page, in bytes.
pub(crate) const PAGE: u64 = 4 << 10;
/// Seconds of a page fault where they can't be measured, mostly to clear the page: measured on a
/// virtual machine.
pub(crate) const FAULT_SECONDS: f64 = 2e-6;
/// The number of pages that are touched to measure the cost: 60 us in all at 2 us each.
#[cfg(target_os = "linux")]
const TRIED: usize = 32;

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt;
    use std::time::Instant;

    use super::{PAGE, TRIED, minor};

    /// The page faults of the thread that opened it.
    #[derive(Debug)]
    pub(crate) struct Faults(File);

    impl Faults {
        /// Opens the counter; takes 4 us.
        pub(crate) fn open() -> Option<Self> {
            File::open("/proc/thread-self/stat").ok().map(Self)
        }

        /// The number of page faults so far; takes 2.6 us.
        pub(crate) fn count(&self) -> Option<u64> {
            let mut text = [0; 512];
            let length = self.0.read_at(&mut text, 0).ok()?;
            // The name in the file can be anything.
            minor(&String::from_utf8_lossy(&text[..length]))
        }

        /// Seconds of a page fault, tried with some memory; `None` if the allocator has memory that
        /// is not fresh.
        pub(crate) fn seconds_of_one(&self) -> Option<f64> {
            let mut memory = vec![0u8; TRIED * PAGE as usize];
            let mut seconds = [0.0; TRIED];
            let before = self.count()?;
            for (page, seconds) in memory.chunks_mut(PAGE as usize).zip(&mut seconds) {
                let begun = Instant::now();
                page[0] = 1;
                black_box(page);
                *seconds = begun.elapsed().as_secs_f64();
            }
            let faults = usize::try_from(self.count()?.saturating_sub(before)).ok()?.min(TRIED);
            super::usual(&mut seconds, faults)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    #[derive(Debug)]
    pub(crate) struct Faults;

    impl Faults {
        pub(crate) fn open() -> Option<Self> {
            None
        }

        pub(crate) fn count(&self) -> Option<u64> {
            None
        }

        pub(crate) fn seconds_of_one(&self) -> Option<f64> {
            None
        }
    }
}

pub(crate) use system::Faults;

/// The mean of the longest `count` times, the page faults, without the few that are far longer
/// because another program got the core.
#[cfg(target_os = "linux")]
fn usual(seconds: &mut [f64], count: usize) -> Option<f64> {
    seconds.sort_unstable_by(|a, b| b.total_cmp(a));
    // With pages of 64 KiB there are two.
    let faults = seconds.get(..count).filter(|faults| faults.len() >= 2)?;
    let usual: Vec<f64> = faults.iter().copied().filter(|&fault| fault <= 5.0 * faults[count / 2]).collect();
    Some(usual.iter().sum::<f64>() / usual.len() as f64)
}

/// The number of page faults without a read from disk, from a thread's file `stat`: the tenth
/// field. The second is the name in brackets.
#[cfg(target_os = "linux")]
fn minor(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn minor_faults_are_the_tenth_field_whatever_the_name() {
        assert_eq!(minor("19051 (cat) R 18392 18392 16298 0 -1 4194304 102 7 0 0 0 0"), Some(102));
        assert_eq!(minor("19051 (a ) R 1 (b) S 1 18392 16298 0 -1 4194304 3 0 0"), Some(3));
        assert_eq!((minor(""), minor("1 (a) R 2")), (None, None));
    }

    #[test]
    fn fresh_memory_counts_and_memory_that_is_used_again_does_not() {
        let faults = Faults::open().unwrap();
        let begun = faults.count().unwrap();
        // More than other tests can have given back to the allocator: from 32 MiB on glibc asks the
        // system each time.
        let mut memory = std::hint::black_box(vec![1u8; 64 << 20]);
        let fresh = faults.count().unwrap() - begun;
        memory.fill(2);
        std::hint::black_box(&mut memory);
        let again = faults.count().unwrap() - begun - fresh;
        // Pages of 64 KiB are fewer, and huge ones 32.
        assert!(fresh >= 32 && again <= fresh / 4, "{fresh} then {again}");
    }

    #[test]
    fn a_fault_takes_what_most_of_them_do() {
        let mut seconds = [2.0, 0.1, 900.0, 2.5, 0.1, 1.5, 6.0, 0.1];
        assert_eq!((usual(&mut seconds, 5), usual(&mut seconds, 1)), (Some(3.0), None));
    }

    #[test]
    fn a_fault_takes_some_time() {
        // Other tests may have given memory back to the allocator, so perhaps none of it is fresh.
        if let Some(seconds) = Faults::open().unwrap().seconds_of_one() {
            assert!(seconds > 10e-9, "{seconds}");
        }
    }
}
