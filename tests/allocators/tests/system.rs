//! In a program with jemalloc the system's allocator stays the C library's: benches measure one
//! beside the other.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::alloc::{GlobalAlloc, Layout, System};

use tikv_jemallocator::Jemalloc;

/// The bytes by which an allocation makes those grow that the C library counts as in use.
#[expect(unsafe_code, reason = "allocators are called, and the C library is asked")]
fn counted(allocator: &dyn GlobalAlloc, layout: Layout) -> usize {
    // SAFETY: the size is not zero, and what was allocated is freed with its layout.
    unsafe {
        let before = libc::mallinfo2().uordblks;
        let place = allocator.alloc(layout);
        let after = libc::mallinfo2().uordblks;
        allocator.dealloc(place, layout);
        after.saturating_sub(before)
    }
}

#[test]
fn the_systems_allocator_is_the_c_librarys() {
    // More than a thread keeps for itself, and less than gets pages of its own.
    let layout = Layout::new::<[u8; 64 << 10]>();
    // Other threads may allocate a little meanwhile.
    assert!(counted(&System, layout) > layout.size() / 2);
    assert!(counted(&Jemalloc, layout) < layout.size() / 2);
}
