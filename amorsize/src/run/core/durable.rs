//! The part of a durable run: its keeper, and results that a spill has stored and no terminal has
//! taken.

use super::Core;
use crate::call::Function;
use crate::durable::Handle;
use crate::error::Error;
use crate::error::failure::Ended;
use crate::execute::kept::KeptPart;
use crate::input::Input;
use crate::memory::budget::Ledger;
use crate::memory::credit::Credit;
use crate::output::outlet::Outlet;
use crate::units::ByteSize;

impl Core {
    /// Has a keeper keep what the run finishes. Without one, the run only skips items.
    pub(crate) fn resume(&mut self, keeper: Handle) {
        self.stock.resumes = true;
        self.tools.interrupts.set_keeper(keeper);
    }

    /// Bytes of the run's budget.
    pub(crate) fn budget(&mut self) -> Result<ByteSize, Error> {
        Ok(self.engine.budget()?.bytes)
    }

    pub(crate) fn keeper(&self) -> &Handle {
        self.tools.interrupts.keeper()
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.tools.ledger
    }

    /// Reads the next frame of the stored results that are kept first.
    pub(super) fn read_kept(
        &mut self,
        input: &mut dyn Input,
        function: &dyn Function,
        outlet: &mut dyn Outlet,
    ) -> Result<(), Ended> {
        let Some(KeptPart::OnDisk(on_disk, next)) = self.kept.first() else { return Ok(()) };
        let frame = *next;
        if frame == on_disk.frames() {
            self.kept.next();
            return Ok(());
        }
        if let Some(interrupt) = self.tools.interrupts.now() {
            return Err(self.engine.interrupted(&self.tools.interrupts, interrupt));
        }
        let ledger = &self.tools.ledger;
        let stored = on_disk.raw(frame);
        if outlet.collects() && stored > ledger.free() {
            let first = on_disk.runs(frame).first().map_or(0, |&(first, _)| first);
            return Err(Ended::Error(self.too_much_on_disk(first, stored)));
        }
        // Panics of the results' own code leave them as they are.
        let parts = input.read(on_disk, frame)?;
        *next += 1;
        on_disk.give_back(frame + 1);
        let work = self.tools.work(function);
        let all: usize = parts.iter().map(|(results, _)| results.len()).sum();
        for (mut results, start) in parts.into_iter().rev() {
            let items = results.len();
            let of_part = (u128::from(stored) * items as u128 / all.max(1) as u128) as u64;
            let bytes = work.bytes_of(&results, of_part, self.result_size);
            results.credit = Credit::of_results(&self.tools.ledger, items, bytes, 0);
            self.kept.put_back(results, start);
        }
        Ok(())
    }

    /// The error for results in a file that are too large to collect.
    pub(super) fn too_much_on_disk(&mut self, item: usize, needed: u64) -> Error {
        let expected = self.kept.on_disk().map(|bytes| self.tools.ledger.held() + ByteSize::new(bytes));
        self.over_budget(item, ByteSize::new(needed), expected)
    }
}
