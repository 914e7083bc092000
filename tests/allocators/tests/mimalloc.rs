//! `Tracking` over mimalloc counts what it counts over the system's allocator.

use amorsize::Tracking;

#[path = "../../tracking/cases.rs"]
mod cases;

#[global_allocator]
static ALLOCATOR: Tracking<mimalloc::MiMalloc> = Tracking::new(mimalloc::MiMalloc);
