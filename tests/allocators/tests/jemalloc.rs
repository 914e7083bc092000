//! `Tracking` over jemalloc counts what it counts over the system's allocator.

use amorsize::Tracking;

#[path = "../../tracking/cases.rs"]
mod cases;

#[global_allocator]
static ALLOCATOR: Tracking<tikv_jemallocator::Jemalloc> = Tracking::new(tikv_jemallocator::Jemalloc);
