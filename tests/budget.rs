//! The budget holds. An allocator of this program counts live bytes, which never exceed the budget
//! by more than a call in flight on each thread. Here results are measured by their deep size.

#[path = "budget/cases.rs"]
mod cases;
#[path = "budget/counting.rs"]
mod counting;

use amorsize::MeasuredBy;

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const MEASURED_BY: MeasuredBy = MeasuredBy::DeepSize;
