//! Asks the allocator to give memory back that it keeps.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the C library's function has no safe form")
)]

/// Has glibc's allocator give freed memory back to the system. It keeps most of it otherwise: of 256 MiB that were made on workers
/// and freed elsewhere, 63 to 258 MiB, by their sizes. Takes 5 to 20 ms then, and microseconds where there is little.
///
/// Does nothing where the C library is another, and has nothing to give back where the program's allocator is another.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: it may be called by any thread at any time; what is allocated stays where it is.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allocated_stays_and_can_still_be_freed() {
        let mut kept: Vec<Vec<u8>> = (0..1000).map(|i| vec![i as u8; 10_000]).collect();
        // Every second one, so that there are gaps to give back.
        let freed: Vec<_> = (0..500).map(|i| kept.swap_remove(i)).collect();
        drop(freed);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    trim();
                    drop(vec![1u8; 100_000]);
                });
            }
        });
        assert!(kept.iter().all(|bytes| bytes.iter().all(|&byte| byte == bytes[0])));
    }
}
