//! The budget holds: counted by an allocator of this program's own, live bytes never exceed it by more than a call in flight on
//! each thread. Here results are measured by their deep size.

#[path = "budget/cases.rs"]
mod cases;
#[path = "budget/counting.rs"]
mod counting;

use amorsize::MeasuredBy;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const MEASURED_BY: MeasuredBy = MeasuredBy::DeepSize;
