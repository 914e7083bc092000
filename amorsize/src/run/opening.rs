//! Opens the store of a durable run, once, before anything is called.

use std::sync::Arc;

use super::Batched;
use crate::durable::{Handle, Keeper, KeptFigures, Resume};
use crate::error::{Error, ErrorKind};
use crate::store::{Kind, Store};

/// The part of the budget for results that are encoded and not written.
const HELD: u64 = 8;
/// The least of it: a frame of the store.
const LEAST_HELD: u64 = 64 << 10;

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    /// Opens the store of the run, if it has one and has not begun.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        if self.source.resumes() {
            return Ok(());
        }
        let Some(durable) = self.shared.durable.clone() else { return Ok(()) };
        self.core.check()?;
        let identity = self.shared.identity()?;
        if identity.is_none() && durable.skip_first == 0 {
            return Ok(());
        }
        if self.source.has_begun() {
            return Err(Error::new(ErrorKind::InvalidOption {
                option: self.shared.keeps().unwrap_or("skip_first"),
                value: "given to a run that has begun".into(),
                expected: "a run of which nothing was asked before",
            }));
        }
        let (Some(identity), Some((directory, kind))) = (identity, durable.place()) else {
            self.source.set_resume(Resume::skipping(durable));
            self.core.resume(Handle::default());
            return Ok(());
        };
        let mut store = Store::open(directory, &identity)?;
        if let Some((_, codec)) = &durable.checkpoint {
            codec.check(&mut store)?;
        }
        let told = KeptFigures { restored: 0, damaged: store.damaged(), bytes: store.bytes() };
        let restored = match kind {
            Kind::Checkpoint => store.done().iter().map(|done| done.first as usize..done.end() as usize).collect(),
            Kind::Journal => Box::default(),
        };
        let most_held = (self.core.budget()?.as_u64() / HELD).max(LEAST_HELD);
        store.keep_contents(usize::try_from(most_held).unwrap_or(usize::MAX));
        let keeper = Arc::new(Keeper::new(kind, restored, told, self.core.ledger(), directory.to_owned()));
        self.source.set_resume(Resume::of_store(durable, store, Arc::clone(&keeper), most_held));
        self.core.resume(Handle::new(keeper));
        Ok(())
    }

    /// Refuses a journal for a terminal without a sink.
    pub(super) fn refuse_journal(&self) -> Result<(), Error> {
        match self.shared.durable.as_ref().and_then(|durable| durable.place()) {
            // What else is wrong with it is told first.
            Some((_, Kind::Journal)) => self.shared.identity().and(Err(Error::new(ErrorKind::InvalidOption {
                option: "journal",
                value: "given to a run whose results go to no sink".into(),
                expected: "`for_each_batch`, `try_for_each_batch`, `for_each` or `write_to`, or `checkpoint` in its place",
            }))),
            _ => Ok(()),
        }
    }

    /// Removes what the run keeps, if that was asked for, after a terminal has given everything.
    pub(super) fn remove_kept(&mut self) {
        if let Some(durable) = self.shared.durable.as_ref().filter(|durable| durable.remove_when_done)
            && let Some((directory, _)) = durable.place()
        {
            // What can't be removed stays, and the next call finds everything done.
            _ = std::fs::remove_dir_all(directory);
        }
    }
}
