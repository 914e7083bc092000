//! Asks the allocator to give back memory that it keeps.

use std::sync::{PoisonError, RwLock};

use crate::system::calls;

static HOOK: RwLock<Option<fn()>> = RwLock::new(None);

/// Sets a function that asks the program's allocator to give back memory that it keeps. Runs call
/// it when the process has grown beyond their budget. It replaces a function that was set before.
///
/// glibc's allocator doesn't need it, because runs ask it directly; nor does mimalloc, which gives
/// memory back by itself. jemalloc keeps freed memory for seconds; `cargo bench --bench peak_memory`
/// shows with which results the hook helps.
///
/// The calling thread of a run or one of its workers calls the function, for at most a twentieth of
/// their time.
///
/// # Examples
///
/// With jemalloc, by the crate `tikv-jemalloc-sys`:
///
/// ```ignore
/// use std::ptr::null_mut;
///
/// amorsize::set_trim(|| {
///     let name = c"arena.4096.purge"; // 4096 stands for all arenas.
///     // SAFETY: the name is one of jemalloc's, and purging takes no value and gives none.
///     unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
/// });
/// ```
///
/// The function may do anything that frees memory, such as emptying a cache of your own:
///
/// ```
/// amorsize::set_trim(|| eprintln!("a run's budget is short"));
/// ```
pub fn set_trim(trim: fn()) {
    *HOOK.write().unwrap_or_else(PoisonError::into_inner) = Some(trim);
}

/// Makes the allocator return freed memory to the system.
///
/// glibc's allocator keeps most of it otherwise: 63 to 258 MiB of 256 MiB that were made on workers
/// and freed elsewhere, depending on their sizes. Asking takes 5 to 20 ms then, and microseconds if
/// there is little. With another allocator glibc has nothing to return.
pub(crate) fn trim() {
    calls::trim_glibc();
    let hook = *HOOK.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(hook) = hook {
        hook();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_is_called_and_can_be_replaced() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        static CALLS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
        let calls = || CALLS.each_ref().map(|calls| calls.load(Ordering::Relaxed));
        set_trim(|| _ = CALLS[0].fetch_add(1, Ordering::Relaxed));
        // Other tests may call either of them too.
        trim();
        assert!(calls()[0] >= 1);
        set_trim(|| _ = CALLS[1].fetch_add(1, Ordering::Relaxed));
        trim();
        assert!(calls()[1] >= 1);
    }

    #[test]
    fn what_is_allocated_stays_and_can_still_be_freed() {
        let mut kept: Vec<Vec<u8>> = (0..1000).map(|i| vec![i as u8; 10_000]).collect();
        // Every second one, which leaves gaps to give back.
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
