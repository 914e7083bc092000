//! An array job, from the view of one process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::describe::Described;
use super::directory::Directory;
use super::environment::{Environment, Role};
use super::finished::Finished;
use super::input::share;
use super::memory::TaskMemory;
use super::parts::Attempts;
use super::results::Results;
use super::{Array, ArrayError};
use crate::memory::source::with_memory_source;
use crate::store::{Identity, Shape};
use crate::system::cores;

/// An array job, from the view of one process.
pub(crate) struct Job {
    directory: Directory,
    environment: Environment,
}

/// A task to run.
pub(crate) struct Task {
    pub(crate) task: usize,
    /// The index of its first item.
    pub(crate) first: usize,
    share: (u64, u64),
    /// The parts that earlier attempts have written.
    pub(crate) attempts: Arc<Attempts>,
}

impl Job {
    pub(crate) fn read(directory: PathBuf, tasks: usize) -> Result<Self, ArrayError> {
        let environment = Environment::read(tasks)?;
        if directory.as_os_str().is_empty() {
            return Err(ArrayError::refused("`array` can't have \"\" as its directory: give it a path"));
        }
        let is_other = match directory.metadata() {
            Ok(found) => !found.is_dir(),
            Err(error) => error.kind() == io::ErrorKind::NotADirectory,
        };
        if is_other {
            let path = directory.display();
            return Err(ArrayError::refused(format!(
                "{path} is no directory, or lies in none: give `array` the path of a directory, or of none yet"
            )));
        }
        Ok(Self { directory: Directory::new(directory), environment })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn tasks(&self) -> usize {
        self.environment.tasks
    }

    /// The task of this process, if it has one alone.
    pub(crate) fn task(&self) -> Option<usize> {
        if let Role::Task(task) = self.environment.role { Some(task) } else { None }
    }

    /// True if the process gives results, and runs nothing.
    pub(crate) fn gathers(&self) -> bool {
        self.environment.role == Role::Gather
    }

    /// The tasks that this process has to run, in order.
    pub(crate) fn wanted(&self) -> Result<Vec<usize>, ArrayError> {
        match self.environment.role {
            // Nothing of a finished task is kept or run. A damaged list of its results is told
            // later, once the directory is known to be this array's.
            Role::Task(task) => {
                let is_done = matches!(Finished::read(&self.directory, task), Ok(Some(_)));
                Ok(if is_done { Vec::new() } else { vec![task] })
            }
            Role::All => self.directory.missing(self.tasks()),
            Role::Gather => Ok(Vec::new()),
        }
    }

    /// Calls `body`. The runs in it have the memory of the task.
    pub(crate) fn within<O>(&self, body: impl FnOnce() -> O) -> O {
        match self.environment.memory.filter(|_| !self.gathers()) {
            Some(granted) => with_memory_source(TaskMemory::new(granted), body),
            None => body(),
        }
    }

    /// The threads for a run, if it must not find them itself. `in_code` are the threads stated in
    /// code.
    pub(crate) fn threads(&self, in_code: Option<usize>) -> Option<usize> {
        let granted = self.environment.granted_threads.filter(|&granted| granted < cores::usable());
        self.environment.stated_threads.or(in_code.map_or(granted, |_| None))
    }

    /// Refuses a directory of another array, and describes one without results.
    pub(crate) fn describe(&self, identity: Identity, items: usize, input: String) -> Result<(), ArrayError> {
        let described = Described { tasks: self.tasks(), items, identity, input };
        if self.gathers() {
            described.compare(&self.directory).map(drop)
        } else {
            described.compare_or_write(&self.directory)
        }
    }

    /// Begins a task with the results of earlier attempts; `None` if it is done.
    pub(crate) fn begin<R>(&self, task: usize, items: usize) -> Result<Option<Task>, ArrayError>
    where
        R: Serialize + DeserializeOwned,
    {
        if Finished::read(&self.directory, task)?.is_some() {
            return Ok(None);
        }
        let range = share(items, self.tasks(), task);
        let bounds = (range.start as u64, range.end as u64);
        let folder = self.directory.make_task(task)?;
        let attempts = self.unless_done(task, Attempts::read(folder, bounds, Shape::check::<R>))?;
        Ok(attempts.map(|attempts| Task { task, first: range.start, share: bounds, attempts: Arc::new(attempts) }))
    }

    /// Writes the list of a task's results, unless another attempt was first.
    pub(crate) fn finish(&self, task: Task) -> Result<(), ArrayError> {
        // The run has ended, and its clone with it.
        let attempts = Arc::into_inner(task.attempts).unwrap_or_else(|| unreachable!("the run has ended"));
        match self.unless_done(task.task, attempts.finish(task.share))? {
            Some((parts, pieces)) => {
                let written = Finished { parts, pieces }.write(&self.directory, task.task);
                self.unless_done(task.task, written).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Drops an error if another attempt has finished the task since: `remove_leftovers` may then
    /// have removed this attempt's files.
    pub(crate) fn unless_done<O>(&self, task: usize, outcome: Result<O, ArrayError>) -> Result<Option<O>, ArrayError> {
        match outcome {
            Ok(outcome) => Ok(Some(outcome)),
            Err(_) if matches!(Finished::read(&self.directory, task), Ok(Some(_))) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All results.
    pub(crate) fn results<R: Serialize + DeserializeOwned>(self, items: usize) -> Result<Array<R>, ArrayError> {
        let tasks = self.tasks();
        let missing = self.directory.missing(tasks)?;
        if !missing.is_empty() {
            return Err(ArrayError::Missing { directory: self.path().to_owned(), tasks, missing });
        }
        Ok(Array::Results(Results::new(self.directory, tasks, items)))
    }
}
