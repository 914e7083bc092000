//! Errors of a run that can't go on.

use std::time::Duration;

use super::books::Books;
use super::engine::Engine;
use super::line::Line;
use super::words::Stuck;
use crate::call::interrupts::{Interrupt, Interrupts};
use crate::durable::Keeper;
use crate::error::failure::Ended;
use crate::error::{Error, ErrorKind};
use crate::memory::budget::{Counted, Ledger};
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;

impl Engine {
    pub(crate) fn interrupted(&mut self, interrupts: &Interrupts, interrupt: Interrupt) -> Ended {
        let items_done = self.with_books(|books| books.learned.items);
        interrupted(interrupts, interrupt, items_done, self.elapsed_now())
    }

    pub(super) fn over_budget(&self, item: usize, needed: u64, line: &mut Line<'_>) -> Error {
        let held = (self.ledger.held(), self.measured_by);
        let stuck = Stuck { item, needed, waiting: 0 };
        over_budget(stuck, self.ledger.results().results, held, &self.ledger, &self.books, line)
    }
}

pub(super) fn over_budget(
    stuck: Stuck,
    items_done: usize,
    (held, measured_by): (ByteSize, MeasuredBy),
    ledger: &Ledger,
    books: &Books,
    line: &mut Line<'_>,
) -> Error {
    let Stuck { item, mut needed, waiting } = stuck;
    if books.learned.items == 0 {
        // All that are held come from a store, and calls have told nothing of the next one.
        let Counted { results, bytes } = ledger.results();
        needed = needed.max(bytes / results.max(1) as u64);
    }
    // The run may hold more than its results.
    let so_far = held.max(ByteSize::new(books.result_bytes()));
    let left = line.left_exactly().map(|left| left.saturating_add(waiting));
    Error::new(ErrorKind::OverBudget {
        item,
        items_done,
        held,
        needed: ByteSize::new(needed),
        budget: ledger.budget(),
        allowed: ByteSize::new(ledger.limit()),
        expected: left.map(|left| so_far + ByteSize::new(needed) * left as u64),
        measured_by,
    })
}

pub(super) fn interrupted(
    interrupts: &Interrupts,
    interrupt: Interrupt,
    items_done: usize,
    elapsed: Duration,
) -> Ended {
    let kind = match interrupt {
        Interrupt::Cancelled => ErrorKind::Cancelled { items_done },
        Interrupt::DeadlinePassed => ErrorKind::TimedOut { items_done, seconds: elapsed.as_secs_f64() },
        Interrupt::NotKept => {
            let why = interrupts.keeper().get().and_then(Keeper::why);
            return why.unwrap_or_else(|| unreachable!("it says why it failed"));
        }
    };
    Error::new(kind).into()
}

/// The error of a run that was interrupted, with the number of items that it had computed.
pub(super) fn with_items_done(error: Error, items_done: usize) -> Error {
    match *error.kind() {
        ErrorKind::Cancelled { .. } => Error::new(ErrorKind::Cancelled { items_done }),
        ErrorKind::TimedOut { seconds, .. } => Error::new(ErrorKind::TimedOut { items_done, seconds }),
        _ => error,
    }
}

pub(super) fn oversize(item: usize, needed: u64, ledger: &Ledger, measured_by: MeasuredBy) -> Error {
    Error::new(ErrorKind::Oversize { item, needed: ByteSize::new(needed), budget: ledger.budget(), measured_by })
}
