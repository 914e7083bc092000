//! Opens the store of a durable run, once, before anything is called.

use std::sync::Arc;

use super::Batched;
use crate::durable::{Handle, Keeper, Resume};
use crate::error::Error;
use crate::memory::working::BATCH_PART;
use crate::plan::Warning;
use crate::report::totals::KeptFigures;
use crate::sink::{Pausing, Sink};
use crate::spill::is_memory;
use crate::store::{BLOCK, Kind, Store};

/// A batch that a sink has in hand. If it does not return, this ends a run with a journal for good:
/// the sink may have stored only a part of the batch, and nobody can tell whether that is done.
pub(super) struct InHand {
    keeper: Handle,
    pub(super) is_stored: bool,
}

impl InHand {
    pub(super) fn new(keeper: Handle) -> Self {
        Self { keeper, is_stored: true }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.is_stored
            && let Some(journal) = self.keeper.get().filter(|keeper| keeper.is_journal())
        {
            journal.fail(Error::invalid_option(
                "journal",
                "gone on with after an error or a panic of the sink",
                "the same call anew, which hands over what the sink could not store",
            ));
        }
    }
}

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// Opens the store of the run, if it has one and has not begun.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        if self.source.resume().is_some() {
            // Results that are left would go to the sink behind those that it lacks.
            let journal = self.core.keeper().get().filter(|keeper| keeper.is_journal());
            return journal.and_then(Keeper::ended_by).map_or(Ok(()), Err);
        }
        let Some(durable) = self.shared.durable.clone() else { return Ok(()) };
        self.core.memory_spill = durable.spill_dir.clone().filter(|directory| is_memory(directory));
        self.core.check()?;
        let identity = self.shared.identity()?;
        if identity.is_none() && durable.skip_first == 0 {
            return Ok(());
        }
        if self.source.has_begun() {
            return Err(Error::invalid_option(
                self.shared.keeps().unwrap_or("skip_first"),
                "given to a run that has begun",
                "a run that was asked for nothing yet",
            ));
        }
        let (Some(identity), Some((directory, kind))) = (identity, durable.place()) else {
            self.source.set_resume(Resume::skipping_first(durable.skip_first));
            self.core.resume(Handle::default());
            return Ok(());
        };
        let mut store = Store::open(directory, &identity)?;
        if let Some((_, codec)) = &durable.checkpoint {
            (codec.check)(&mut store)?;
        }
        let told = KeptFigures { restored: 0, damaged: store.found.damaged, bytes: store.found.bytes };
        let restored = match kind {
            Kind::Checkpoint => store.found.done.iter().map(|done| done.first as usize..done.end() as usize).collect(),
            Kind::Journal => Box::default(),
        };
        let (most_held, is_error) = (self.most_held()?, self.shared.is_error);
        store.keep_contents(usize::try_from(most_held).unwrap_or(usize::MAX));
        let keeper = Arc::new(Keeper::new(kind, restored, told, self.core.ledger()).with_places_of(&store));
        self.source.set_resume(Resume::of_store(durable, store, (Arc::clone(&keeper), most_held), is_error));
        self.core.resume(Handle::new(keeper));
        Ok(())
    }

    /// The most bytes that may be encoded and not written. With a small budget they are still
    /// written by as many as a disk takes well.
    pub(super) fn most_held(&mut self) -> Result<u64, Error> {
        Ok((self.core.budget()?.as_u64() / BATCH_PART).max(BLOCK as u64))
    }

    /// Opens the store, and has a sink begin, or go back to the place at which the journal ends.
    pub(super) fn begin_sink<V, S: Sink<V>>(&mut self, mut sink: S) -> Result<Pausing<V, S>, Result<S::Error, Error>> {
        self.open().map_err(Err)?;
        let journal = self.core.keeper().get().filter(|keeper| keeper.is_journal());
        let Some(journal) = journal else {
            // One that has finished refuses to begin, but is told again that it has everything.
            let begun = if self.core.is_sunk { Ok(Pausing::begun(sink)) } else { Pausing::begin(sink) };
            return begun.map_err(Ok);
        };
        sink.begin_with_journal().map_err(Ok)?;
        if let Some(place) = journal.found_place() {
            let sink = Pausing::go_back(sink, place).map_err(Ok)?;
            // Not before: a sink that could not go back has to do so at the next call.
            journal.go_on_from(place);
            return Ok(sink);
        }
        // The run goes on, perhaps with a new sink. One that told its place loses nothing by going
        // back there.
        if let Some(place) = journal.last_place() {
            return Pausing::go_back(sink, place).map_err(Ok);
        }
        let mut sink = Pausing::begin(sink).map_err(Ok)?;
        journal.begin_places(sink.place()).map_err(Err)?;
        Ok(sink)
    }

    /// Notes how far the sink of a journal has come with the batch that it has.
    pub(super) fn keep_place<V, S: Sink<V>>(keeper: &Handle, sink: &mut Pausing<V, S>) {
        if let Some(journal) = keeper.get().filter(|keeper| keeper.is_journal()) {
            journal.set_place(sink.place());
        }
    }

    /// Removes what the run keeps, if that was asked for, after a terminal has given everything.
    /// After an error the next call finds everything done. A warning tells of files that are left.
    pub(crate) fn remove_kept(&mut self) -> Result<Option<Warning>, Error> {
        let is_wanted = self.shared.durable.as_ref().is_some_and(|durable| durable.remove_when_done);
        let store = self.source.resume().filter(|_| is_wanted).and_then(Resume::take_store);
        let Some(left) = store.map(Store::remove).transpose()?.flatten() else { return Ok(None) };
        let warning = Warning::not_removed(&left);
        self.core.verbose.warning(&warning);
        Ok(Some(warning))
    }
}
