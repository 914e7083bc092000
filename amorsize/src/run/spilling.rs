//! A terminal with results that always fit. Those that it has stored before an early end stay with
//! the run: the next terminal, of any kind, begins with them.

use std::any::type_name;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

use super::Batched;
use super::inside::why;
use crate::durable::{Durable, Keeper, Resume};
use crate::error::failure::Ended;
use crate::error::{Error, ErrorKind};
use crate::output::batch::{Batch, Places};
use crate::output::batches::{HandedOver, Taken, parts};
use crate::output::collect::Found;
use crate::policy::Policy;
use crate::run::bounds::SpilledResult;
use crate::spill::{Checkpoint, OnDisk, Parts, SpillFile, Spilled, directory};

impl<I: IntoIterator, R, C, P: Policy<R>> Batched<I, R, C, P> {
    /// Runs everything and collects the values in input order, as [`collect`](Self::collect) does,
    /// but always fits: values stay in memory while the budget has room, and then go to temporary
    /// files. Needs the feature `durable`.
    ///
    /// The files are in [`spill_dir`](Self::spill_dir), by default in `$TMPDIR`, else in `/var/tmp`
    /// on Unix, else where the system has temporary files. They have no name, and the system frees
    /// them when the process ends. A directory that is itself memory (tmpfs) is refused before
    /// anything is computed, unless `spill_dir` states it. [`max_disk`](Self::max_disk) bounds
    /// them.
    ///
    /// With [`checkpoint`](Self::checkpoint) there is no second copy: the values are read from its
    /// directory, which [`remove_when_done`](Self::remove_when_done) then removes together with the
    /// returned value.
    ///
    /// Values are encoded as postcard does; a `serde_bytes::ByteBuf` is read in a small part of the
    /// time that a `Vec<u8>` takes. The bytes have no names of types or fields: a type that is
    /// `untagged`, has a field that is `flatten`, or leaves one out by `skip_serializing_if`, is
    /// refused. Files are not compressed.
    ///
    /// # Errors
    ///
    /// As those of [`collect`](Self::collect), except that values always fit the budget. When the
    /// disk is full, or a value can't be encoded, nothing is lost: make room and call `spill`
    /// again, or any other terminal, which begins with what is stored. If a checkpoint could not
    /// take all values, make the run anew: it goes on from what is written.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{ByteSize, batched};
    ///
    /// #[batched(max_memory = "8MiB")]
    /// fn render(seed: u8) -> Vec<u32> {
    ///     vec![seed.into(); 1 << 18]
    /// }
    ///
    /// // 64 MiB of results.
    /// let images = render_batched(0..64).spill()?;
    /// assert!(images.on_disk() > ByteSize::ZERO);
    /// for (seed, image) in (0..).zip(images) {
    ///     assert_eq!(image?[0], seed);
    /// }
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn spill(&mut self) -> Result<P::Given<Spilled<P::Value>>, P::Failed>
    where
        P::Value: SpilledResult,
    {
        self.refuse_journal()?;
        let durable = self.shared.durable.as_deref();
        if let Some((directory, codec)) = durable.and_then(|durable| durable.checkpoint.as_ref()) {
            if codec.result != type_name::<P::Value>() {
                return Err(Error::invalid_option(
                    "on_error",
                    "given behind `checkpoint` to a run that is spilled",
                    "it before `checkpoint`, which then stores the values alone",
                )
                .into());
            }
            let directory = directory.clone();
            return self.spill_checkpoint(&directory);
        }
        let max_disk = durable.and_then(Durable::max_disk);
        let directory = directory(durable.and_then(|durable| durable.spill_dir.as_deref()))?;
        let mut file = match self.core.kept.take_file() {
            Some(file) => file,
            None => SpillFile::new(directory.clone(), self.core.budget()?, self.core.ledger()),
        };
        file.set_place(directory, max_disk);
        let mut before = 0;
        if file.len() == 0 && self.core.kept.on_disk().is_none() {
            let (mut found, mut ended) = self.find_all::<P>();
            let failed = self.cut::<P>(&mut found, &mut ended);
            if failed.is_none() && ended.is_none() {
                return self.give_in_memory(found, &file).map_err(|ended| {
                    self.end_early::<P>(HandedOver::default(), 0);
                    self.stop_spilling(file, ended)
                });
            }
            let is_full = matches!(&ended, Some(Ended::Error(error)) if error.is_over_budget());
            if failed.is_some() || !is_full {
                self.keep::<P>(found);
                return Err(why(failed, ended));
            }
            if let Err(ended) = self.write_found(found, &mut file) {
                self.end_early::<P>(HandedOver::default(), 0);
                return Err(self.stop_spilling(file, ended));
            }
            before = file.len();
        } else if let Err(error) = self.start() {
            self.end_early::<P>(HandedOver::default(), 0);
            return Err(self.stop_spilling(file, error.into()));
        }
        self.spill_rest(file, before)
    }
}

impl<I: IntoIterator, R, C, P: Policy<R, Value: SpilledResult>> Batched<I, R, C, P> {
    /// Adds the rest of the run to a file, batch by batch. This terminal has added the values
    /// `before`.
    fn spill_rest(&mut self, mut file: SpillFile, before: usize) -> Result<P::Given<Spilled<P::Value>>, P::Failed> {
        let mut stopped = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.hand_over_rest::<P>(before, &mut |batch| {
                let is_restored = batch.is_restored();
                let (mut left, mut rest) = (Vec::new(), batch.indices().zip(batch));
                let added = catch_unwind(AssertUnwindSafe(|| {
                    for (index, value) in &mut rest {
                        if let Err(ended) = file.add(index, &value) {
                            stopped = Some(ended);
                            left.push((index, value));
                            break;
                        }
                        if let Err(error) = file.write_if_full(size_of::<R>()) {
                            stopped = Some(error.into());
                            break;
                        }
                    }
                }));
                if let Err(payload) = added {
                    // A stored value's own code panicked when it was dropped.
                    stopped = Some(Ended::Panic(payload));
                }
                if stopped.is_none() {
                    return Taken::Whole;
                }
                let (indices, values): (Vec<_>, Vec<_>) = left.into_iter().chain(rest).unzip();
                Taken::Part(Box::new(Batch::of(values, &mut indices.into_iter(), is_restored)))
            })
        }));
        let failed = match (outcome, stopped) {
            // A panic that no other place has caught.
            (Err(payload), _) => Ended::Panic(payload),
            (Ok(_), Some(ended)) => ended,
            (Ok(Ok(_)), None) => match file.finish() {
                Ok(()) => return Ok(P::given(Spilled::on_the_disk(file), &mut self.seen)),
                Err(error) => error.into(),
            },
            (Ok(Err(Some(failed))), None) => {
                self.keep_file(file);
                return Err(failed);
            }
            (Ok(Err(None)), None) => unreachable!("the file ends the run by an error"),
        };
        Err(self.stop_spilling(file, failed))
    }

    /// Keeps what is stored for the next terminal, and gives the reason for the end. A panic is
    /// resumed here.
    fn stop_spilling(&mut self, file: SpillFile, ended: Ended) -> P::Failed {
        self.keep_file(file);
        ended.error_or_panic().into()
    }

    fn keep_file(&mut self, file: SpillFile) {
        if file.len() > 0 {
            self.keep_on_disk(OnDisk::File(file));
        }
    }

    fn keep_on_disk(&mut self, stored: OnDisk) {
        self.source.set_spilled(|stored, frame, reading| stored.read::<P::Value>(frame, reading).map(P::unsplit));
        self.core.kept.put_on_disk(stored);
    }

    /// Runs everything into the checkpoint, and has its results read from there.
    fn spill_checkpoint(&mut self, directory: &Path) -> Result<P::Given<Spilled<P::Value>>, P::Failed> {
        let (mut items, mut count) = (None::<Range<usize>>, 0);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.hand_over_all::<P>(&mut |batch| {
                let first = items.as_ref().map_or(batch.first_index(), |items| items.start);
                items = batch.indices().last().map(|last| first..last + 1);
                count += batch.len();
            })
        }));
        let first = items.as_ref().map_or(usize::MAX, |items| items.start);
        if let Some(items) = items.filter(|_| !matches!(outcome, Ok(Ok(_)))) {
            self.keep_checkpoint(directory, items, count);
        }
        outcome.unwrap_or_else(|payload| resume_unwind(payload))?;
        // Those before went to an earlier terminal of this run.
        let mut checkpoint = Checkpoint::of_run(directory, first)?;
        if checkpoint.len() != count {
            return Err(self.lacking(directory, checkpoint.len(), count).into());
        }
        if self.shared.durable.as_ref().is_some_and(|durable| durable.remove_when_done) {
            checkpoint.remove = self.source.resume().and_then(Resume::take_store);
        }
        Ok(P::given(Spilled::of_checkpoint(checkpoint), &mut self.seen))
    }

    /// Keeps the results of these items, which the checkpoint has, for the next terminal. If it
    /// lacks some of the `count` results, this run can't go on.
    fn keep_checkpoint(&mut self, directory: &Path, items: Range<usize>, count: usize) {
        if let Some(keeper) = self.core.keeper().get() {
            keeper.wait_until_written();
        }
        let error = match Parts::open(directory, items) {
            Ok(parts) if parts.left(0) == count => return self.keep_on_disk(OnDisk::Checkpoint(parts)),
            Ok(parts) => self.lacking(directory, parts.left(0), count),
            Err(error) => error,
        };
        if let Some(keeper) = self.core.keeper().get() {
            keeper.fail(error);
        }
    }

    /// The error for a checkpoint that has only some of a run's `count` results.
    fn lacking(&self, directory: &Path, has: usize, count: usize) -> Error {
        let keeper = self.core.keeper().get();
        keeper.and_then(Keeper::lost).unwrap_or_else(|| {
            let cause = format!(
                "it is not kept, so that the checkpoint has {has} of {count} results: errors of the input, calls that were cut \
                 short, and items whose key or result panicked are left for the next run; make the run anew, and take errors \
                 of the input out by `on_error`"
            );
            let (path, item) = (directory.to_owned(), keeper.and_then(Keeper::first_lacking));
            Error::new(ErrorKind::Unwritable { path, item, column: None, cause })
        })
    }

    /// Everything fitted the budget. The first value is checked as those for the disk are: whether
    /// a type can be stored must not depend on how much memory there is.
    fn give_in_memory(&mut self, found: Found, file: &SpillFile) -> Result<P::Given<Spilled<P::Value>>, Ended> {
        let places = found.places.clone();
        let (mut results, indices) = found.with_indices();
        let mut credit = results.credit.take_all();
        let results = self.shared.types.into_vec(results);
        let items = results.len();
        let (values, places) = if P::NEVER_FAILS {
            (P::values(results, indices, &mut self.seen), places)
        } else {
            let taken = results.into_iter().zip(indices);
            let taken = taken.filter_map(|(result, index)| Some((P::take(result, index, &mut self.seen)?, index)));
            let (values, of_values): (_, Vec<_>) = taken.unzip();
            (values, Places::of(of_values.into_iter()))
        };
        drop(credit.split(items - values.len(), 0));
        if let Some(Err(refused)) = values.first().map(|value| file.check(places.first, value)) {
            let count = values.len();
            let results = self.shared.types.results_of(P::unsplit(values), credit);
            self.core.put_back(parts(results, places.into_indices(count)));
            return Err(refused);
        }
        let handed_over = HandedOver { items, ..HandedOver::default() };
        let _ = self.end::<P>(handed_over, values.len());
        Ok(P::given(Spilled::in_memory(values, places.first, places.jumps, credit), &mut self.seen))
    }

    /// Stores what was collected, and frees it. What can't be stored stays in the run.
    fn write_found(&mut self, found: Found, file: &mut SpillFile) -> Result<(), Ended> {
        let mut places = found.places.clone();
        let (mut results, mut indices) = found.with_indices();
        let mut credit = results.credit.take_all();
        let results = self.shared.types.into_vec(results);
        let count = results.len();
        let (mut results, mut refused, mut outcome) = (results.into_iter(), Vec::new(), Ok(()));
        let added = catch_unwind(AssertUnwindSafe(|| {
            while outcome.is_ok()
                && let Some((result, index)) = results.next().zip(indices.next())
            {
                if let Some(value) = P::take(result, index, &mut self.seen) {
                    outcome = match file.add(index, &value) {
                        Ok(()) => file.write_if_full(size_of::<R>()).map_err(Ended::from),
                        Err(ended) => {
                            refused = P::unsplit(vec![value]);
                            Err(ended)
                        }
                    };
                }
            }
        }));
        if let Err(payload) = added {
            // A stored value panicked when it was dropped.
            outcome = Err(Ended::Panic(payload));
        }
        refused.extend(results);
        let stored = count - refused.len();
        // The bytes of the parts are unknown: each has its share.
        let bytes = u128::from(credit.bytes()) * stored as u128 / count.max(1) as u128;
        drop(credit.split(stored, bytes as u64));
        if !refused.is_empty() {
            let rest = places.split_off(stored);
            let results = self.shared.types.results_of(refused, credit);
            self.core.put_back(parts(results, rest.into_indices(count - stored)));
        }
        outcome
    }
}
