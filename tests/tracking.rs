//! `Tracking` over the system's allocator counts heap bytes exactly.

use amorsize::Tracking;

#[path = "tracking/cases.rs"]
mod cases;

#[global_allocator]
static ALLOCATOR: Tracking = Tracking::new(std::alloc::System);
