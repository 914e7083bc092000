//! How often the calling thread touched memory for the first time, and what that costs.
//!
//! A page that the system gives is cleared when it is first written to. The results of a sample are all kept, so each lies in fresh
//! pages, while a run whose results are handed over and dropped uses the same pages again and again: for results of 256 KiB that take
//! 0.1 ms to make this is more than half of what a sampled call takes. Linux counts these page faults for each thread; elsewhere they are
//! not told from the rest of a call.

/// What a page has at least.
pub(crate) const PAGE: u64 = 4 << 10;
/// Pages that are touched to see what it costs, 60 us in all where each takes 2 us.
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
        /// Takes 4 us.
        pub(crate) fn open() -> Option<Self> {
            File::open("/proc/thread-self/stat").ok().map(Self)
        }

        /// Takes 2.6 us.
        pub(crate) fn count(&self) -> Option<u64> {
            let mut text = [0; 512];
            let length = self.0.read_at(&mut text, 0).ok()?;
            // The name in it can be anything.
            minor(&String::from_utf8_lossy(&text[..length]))
        }

        /// Seconds that a fault takes, as tried with some memory; `None` where the allocator has some that is not fresh.
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

/// The mean of the longest `count`, those that were page faults, but for the few that are far longer because another program got the core.
#[cfg(target_os = "linux")]
fn usual(seconds: &mut [f64], count: usize) -> Option<f64> {
    seconds.sort_by(|a, b| b.total_cmp(a));
    // Where pages have 64 KiB there are two.
    let faults = seconds.get(..count).filter(|faults| faults.len() >= 2)?;
    let usual: Vec<f64> = faults.iter().copied().filter(|&fault| fault <= 5.0 * faults[count / 2]).collect();
    Some(usual.iter().sum::<f64>() / usual.len() as f64)
}

/// Page faults without reading from a disk, by a file `stat` of a thread: the tenth field. The second is the name in brackets.
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
        // More than other tests can have given back to the allocator: from 32 MiB on glibc asks the system each time.
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
        // Other tests' memory may have been given back to the allocator, so that none of it is fresh.
        if let Some(seconds) = Faults::open().unwrap().seconds_of_one() {
            assert!(seconds > 10e-9, "{seconds}");
        }
    }
}
