//! One program with several allocators: an environment variable tells a fresh process which one to
//! use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::env;
use std::ffi::CStr;
use std::process::Command;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU8, Ordering};

use amorsize::Tracking;
use mimalloc::MiMalloc;
use tikv_jemallocator::Jemalloc;

/// The program's one global allocator. It passes everything on to the allocator that was chosen
/// before the first allocation.
struct Chosen;

/// The first one is glibc's allocator within `Tracking`, which the library notices by an
/// allocation. The last one is jemalloc again, asked to give back what it keeps.
pub(crate) const ALLOCATORS: [&str; 5] = ["`Tracking`", "glibc", "mimalloc", "jemalloc", "jemalloc, `set_trim`"];
const GLIBC: u8 = 1;
const VARIABLE: &CStr = c"AMORSIZE_BENCH_ALLOCATOR";

static TRACKED: Tracking<System> = Tracking::new(System);

fn chosen() -> u8 {
    static CHOSEN: AtomicU8 = AtomicU8::new(u8::MAX);
    match CHOSEN.load(Ordering::Relaxed) {
        u8::MAX => {
            #[expect(unsafe_code, reason = "the standard library's way to read the environment allocates")]
            // SAFETY: the name ends with a zero, and nobody changes the environment before `main`.
            let first = unsafe {
                let value = libc::getenv(VARIABLE.as_ptr());
                if value.is_null() { 0 } else { *value.cast::<u8>() }
            };
            let chosen = ALLOCATORS.iter().position(|name| name.as_bytes()[0] == first).map_or(GLIBC, |at| at as u8);
            CHOSEN.store(chosen, Ordering::Relaxed);
            chosen
        }
        chosen => chosen,
    }
}

macro_rules! pass_on {
    ($method:ident($($argument:expr),*)) => {
        // SAFETY: the caller's promises are passed on, always to the same allocator.
        unsafe {
            match chosen() {
                0 => TRACKED.$method($($argument),*),
                GLIBC => System.$method($($argument),*),
                2 => MiMalloc.$method($($argument),*),
                _ => Jemalloc.$method($($argument),*),
            }
        }
    };
}

#[expect(unsafe_code, reason = "an allocator can't be written without")]
// SAFETY: every call is passed on unchanged, always to the same allocator.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pass_on!(alloc(layout))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        pass_on!(alloc_zeroed(layout))
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        pass_on!(dealloc(place, layout));
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        pass_on!(realloc(place, layout, new_size))
    }
}

#[global_allocator]
static ALLOCATOR: Chosen = Chosen;

/// Tells the library how to make jemalloc give back what it keeps, if this process should do so.
pub(crate) fn set_trim() {
    let variable = VARIABLE.to_str().expect("plain letters");
    if env::var(variable).is_ok_and(|allocator| allocator.ends_with("`set_trim`")) {
        amorsize::set_trim(purge);
    }
}

fn purge() {
    #[expect(unsafe_code, reason = "jemalloc's controls are read and written by name")]
    // SAFETY: the name is one of jemalloc's, 4096 stands for all arenas, and purging takes no value
    // and gives none.
    let error =
        unsafe { tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    assert_eq!(error, 0, "jemalloc purges when it is asked");
}

/// Makes a process use an allocator.
pub(crate) fn serve(mut command: Command, allocator: &str) -> Command {
    command.env(VARIABLE.to_str().expect("plain letters"), allocator);
    command
}
