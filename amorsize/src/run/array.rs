//! The terminal of array jobs.

use std::any::type_name;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

use super::Batched;
use crate::array::{Array, ArrayError, Job, Share, Shares, Task};
use crate::call::{AsFunction, Shared};
use crate::durable::{Codec, Durable, Handle, Keeper, Resume};
use crate::error::Error;
use crate::error::failure::Ended;
use crate::input::Source;
use crate::policy::Policy;
use crate::report::Report;
use crate::report::totals::KeptFigures;
use crate::run::bounds::{ArrayResult, KnownLength, KnowsInput};
use crate::run::core::CoreParts;
use crate::run::keyed::Keyed;
use crate::store::{Kind, StableHasher};
use crate::system::paths::absolute;

impl<I: IntoIterator, R, C, P> Batched<I, R, C, P> {
    #[doc = include_str!("../array/array.md")]
    pub fn array(self, directory: impl Into<PathBuf>, tasks: usize) -> Result<Array<P::Value>, ArrayError>
    where
        I: KnownLength,
        P: Policy<R> + KnowsInput<I::Item>,
        P::Value: ArrayResult,
        P::Failed: Into<Box<dyn StdError + Send + Sync>>,
    {
        let job = Job::read(absolute(directory), tasks)?;
        let other = self.shared.durable.as_ref().and_then(|durable| durable.not_for_arrays());
        if let Some(why) = self.shared.keeps().or(other).or(self.has_begun().then_some("plan")) {
            return Err(ArrayError::refused(format!(
                "`array` can't be called on a run with `{why}`: give `array` a run to which nothing else was done"
            )));
        }
        let refused = |error: Error| ArrayError::refused(error.to_string());
        self.core.check().map_err(refused)?;
        let identity = self.shared.identity_for("array", type_name::<P::Value>()).map_err(refused)?;

        let Self { source, mut shared, as_function, core, .. } = self;
        let mut core = core.into_parts();
        if let Some(threads) = job.threads(core.options.threads) {
            core.options = core.options.threads(threads);
            core.options.check().map_err(refused)?;
        }
        let durable = shared.durable.take().unwrap_or_default();
        let wanted = job.wanted()?;
        let mut shares = shares::<I, R, P>(source, &job, &wanted, &durable)?;
        let items = shares.items;
        job.describe(identity, items, shares.input.clone())?;
        if job.gathers() {
            return job.results(items);
        }

        job.within(|| {
            let mut runs = Runs { shared, core, as_function, durable };
            let mut report = None;
            for task in wanted {
                // Another process may have done it meanwhile. The figures of a run of nothing would
                // stand for those of all runs.
                let Some(task) = job.begin::<P::Value>(task, items)? else { continue };
                let next;
                (runs, next) = runs.run::<I::IntoIter, P>(shares.take(task.task), Some((&job, &task)), &mut shares)?;
                job.finish(task)?;
                report = [report, next].into_iter().flatten().reduce(Report::and);
            }
            let report = match report {
                Some(report) => report,
                // All were done before.
                None => {
                    let (_, report) = runs.run::<I::IntoIter, P>(Share::empty(), None, &mut shares)?;
                    let mut report = report.unwrap_or_else(|| unreachable!("no other attempt runs nothing"));
                    report.done_task = job.task();
                    report
                }
            };
            Ok(Array::Task(report))
        })
    }

    /// Names the input of an [`array`](Self::array), so that its items need not be `Serialize`, and
    /// are taken from the input only when they are run.
    ///
    /// Without it all items are hashed in each process, by their bytes or their [`key`](Self::key),
    /// and those of the task's share are held until that is done: so name an input of items that
    /// are large or take time to make. Only the name and the input's length are compared: so the
    /// name must change with the items.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use amorsize::array::{Array, ArrayError};
    /// use amorsize::batched;
    ///
    /// // No `Serialize`, and 8 MiB each.
    /// struct Tile(Vec<f32>);
    ///
    /// fn load(number: usize) -> Tile {
    ///     Tile(vec![number as f32; 2 << 20])
    /// }
    ///
    /// #[batched]
    /// fn brightest(tile: Tile) -> f32 {
    ///     tile.0.into_iter().fold(0.0, f32::max)
    /// }
    ///
    /// # fn main() -> Result<(), ArrayError> {
    /// match brightest_batched((0..1000).map(load)).input_id("tiles of 2026").array("out", 16)? {
    ///     Array::Task(report) => eprintln!("{report}"),
    ///     Array::Results(all) => println!("{} tiles", all.count()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn input_id(mut self, text: impl Into<String>) -> Batched<I, R, C, Keyed<P>>
    where
        P: Policy<R>,
    {
        self.set_durable("input_id", |durable| durable.input_id = Some(text.into()));
        self.with_policy(P::fails)
    }

    /// Prepares a run over the items of a task.
    fn keep_task(&mut self, task: &Task, durable: Durable<I::Item, R>) -> Result<(), Error> {
        let durable = Arc::new(durable);
        self.shared.durable = Some(Arc::clone(&durable));
        let attempts = &task.attempts;
        let told = KeptFigures { restored: 0, damaged: 0, bytes: attempts.bytes };
        let most_held = self.most_held()?;
        let keeper = Arc::new(Keeper::new(Kind::Checkpoint, Box::default(), told, self.core.ledger()));
        let resume = Resume::of_attempts(durable, Arc::clone(attempts), Arc::clone(&keeper), most_held, task.first);
        self.source.set_resume(resume);
        self.core.resume(Handle::new(keeper));
        Ok(())
    }

    /// The reason why results could not be kept, if that ended the run.
    fn why_not_kept(&self) -> Option<Error> {
        match self.core.keeper().get().filter(|keeper| keeper.has_failed())?.why()? {
            Ended::Error(error) => Some(error),
            _ => None,
        }
    }
}

/// The shares of an input that this process has to run.
fn shares<I: KnownLength, R, P: KnowsInput<I::Item>>(
    source: Source<I, R>,
    job: &Job,
    wanted: &[usize],
    durable: &Durable<I::Item, R>,
) -> Result<Shares<I::IntoIter>, ArrayError> {
    let iterator = source.into_rest();
    if let Some(text) = &durable.input_id {
        return Ok(Shares::named(iterator, job.tasks(), text));
    }
    let mut hasher = StableHasher::default();
    let mut add = |item: &I::Item, bytes: &mut Vec<u8>| match (durable.key_of(item, &mut hasher), P::encode()) {
        (Some(key), _) => {
            bytes.extend_from_slice(&key.to_le_bytes());
            Ok(())
        }
        (None, Some(encode)) => encode(item, bytes),
        (None, None) => Err("the `key` is that of a stage".to_owned()),
    };
    Shares::hashed(iterator, job.tasks(), wanted, &mut add)
}

/// The runs of a process, one after another.
struct Runs<T, R, C> {
    shared: Shared<T, R, C>,
    core: CoreParts,
    as_function: AsFunction<T, R, C>,
    /// The options of the whole array.
    durable: Arc<Durable<T, R>>,
}

impl<T, R, C> Runs<T, R, C> {
    /// Runs the items of a share. Each worker keeps the results that it makes; they go nowhere
    /// else. There is no report of a run that failed after another attempt had finished the task.
    fn run<N, P>(
        self,
        share: Share<N>,
        task: Option<(&Job, &Task)>,
        shares: &mut Shares<N>,
    ) -> Result<(Self, Option<Report>), ArrayError>
    where
        N: ExactSizeIterator<Item = T>,
        P: Policy<R>,
        P::Value: ArrayResult,
        P::Failed: Into<Box<dyn StdError + Send + Sync>>,
    {
        let Self { shared, core, as_function, durable } = self;
        let source = Source::new(share, shared.types, shared.measure.0.heap);
        let mut run = Batched::<_, _, _, P>::of_parts(source, shared, as_function, core);
        let number = task.map_or(0, |(_, task)| task.task);
        let kept = task.map_or(Ok(()), |(_, task)| {
            let durable = durable.of_task(task.attempts.directory.clone(), Codec::of::<P>());
            run.keep_task(task, durable).map_err(|error| ArrayError::of_keeping(number, error))
        });
        let outcome = kept.and_then(|()| {
            run.hand_over_all::<P>(&mut drop).map_err(|failed| match run.why_not_kept() {
                Some(error) => ArrayError::of_keeping(number, error),
                None => ArrayError::Run { task: number, error: failed.into() },
            })
        });
        let report = match task {
            Some((job, _)) => job.unless_done(number, outcome)?,
            None => Some(outcome?),
        };
        run.core.end_part();
        // A keeper that has failed is not that of the next task.
        run.core.resume(Handle::default());
        let Batched { source, mut shared, core, .. } = run;
        shared.durable = None;
        shares.give_back(source.into_rest())?;
        Ok((Self { shared, core: core.into_parts(), as_function, durable }, report))
    }
}
