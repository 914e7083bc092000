//! The reasons why a task or the gathering of results ended, and the exit codes that tell an engine
//! of them.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fmt, io};

use crate::error::ErrorKind;
use crate::error::stored::is_over_max_disk;

/// The reason why a process of an array job could not do its part, with the way out.
///
/// # Examples
///
/// ```
/// use amorsize::array::{Array, ArrayError};
/// use amorsize::batched;
///
/// #[batched]
/// fn square(x: u32) -> u32 {
///     x * x
/// }
///
/// // No task has run yet.
/// let out = std::env::temp_dir().join(format!("amorsize-no-task-{}", std::process::id()));
/// let error = square_batched(0..100).array(&out, 4).err().expect("there are no results");
/// assert!(matches!(error, ArrayError::Missing { tasks: 4, .. }));
/// assert_eq!(error.code(), 75);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ArrayError {
    /// A file does not have the bytes that were written.
    #[non_exhaustive]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The offset in the file at which the damage was found, in bytes.
        offset: u64,
        /// The task with these results; `None` for the file that describes the whole array.
        task: Option<usize>,
    },
    /// The run of a share ended early: by the function's first error, by the budget, by a token.
    #[non_exhaustive]
    Run {
        /// The task.
        task: usize,
        /// The error of the run.
        error: Box<dyn StdError + Send + Sync>,
    },
    /// Tasks are not done yet.
    #[non_exhaustive]
    Missing {
        /// The directory.
        directory: PathBuf,
        /// The number of tasks in all.
        tasks: usize,
        /// The tasks without results, in order.
        missing: Vec<usize>,
    },
    /// The system refused to read or write a file.
    #[non_exhaustive]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The failed operation as a past participle, such as "written".
        operation: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The input, the function, an option or a variable of this process is refused; nothing was
    /// written.
    #[non_exhaustive]
    Refused {
        /// The two values that differ, and the way out.
        text: String,
    },
}

impl ArrayError {
    /// The number of [`exit_code`](Self::exit_code): 65 for damage, 70 for the run's own error, 75
    /// if another try may help, 78 if it can't.
    ///
    /// # Examples
    ///
    /// See [`ArrayError`].
    #[must_use]
    pub fn code(&self) -> u8 {
        // Those of sysexits.h: EX_DATAERR, EX_SOFTWARE, EX_TEMPFAIL, EX_CONFIG.
        match self {
            Self::Damaged { .. } => 65,
            Self::Run { .. } => 70,
            Self::Missing { .. } | Self::Io { .. } => 75,
            Self::Refused { .. } => 78,
        }
    }

    /// The exit code that tells the engine whether another try is of use. [`main`](super::main)
    /// returns it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::process::ExitCode;
    ///
    /// use amorsize::array::ArrayError;
    ///
    /// fn end(outcome: Result<(), ArrayError>) -> ExitCode {
    ///     match outcome {
    ///         Ok(()) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             error.exit_code()
    ///         }
    ///     }
    /// }
    /// # end(Ok(()));
    /// ```
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused { text: text.into() }
    }

    pub(super) fn io(path: &Path, operation: &'static str, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), operation, error }
    }

    /// The error of a run that could not keep its results, or of the run itself.
    pub(crate) fn of_keeping(task: usize, error: crate::Error) -> Self {
        match error.kind() {
            // Another try does not help before the bound is raised.
            ErrorKind::Storage { path, operation, kind, cause, .. } if !is_over_max_disk(error.kind()) => {
                Self::io(path, operation, io::Error::new(*kind, cause.clone()))
            }
            _ => Self::Run { task, error: error.into() },
        }
    }
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { path, offset, task } => {
                let file = path.display();
                match task {
                    Some(task) => {
                        let done = path.with_file_name("done");
                        let done = done.display();
                        write!(f, "{file} is damaged at byte {offset}: delete {done} and run task {task} again")
                    }
                    // Never tell anybody to delete what may be another program's.
                    None => {
                        write!(f, "{file} is missing, damaged or another program's: use another directory")
                    }
                }
            }
            Self::Run { task, error } => {
                write!(f, "task {task}: {error}; the results that were finished are kept")
            }
            Self::Missing { directory, tasks, missing } => {
                let (has, them) = if missing.len() == 1 { ("has", "it") } else { ("have", "them") };
                let count = missing.len();
                let list = List(missing);
                write!(f, "{count} of {tasks} tasks {has} no results in {} yet: {list}. ", directory.display())?;
                write!(f, "Run {them}: sbatch --array={list} .., or all again; here: AMORSIZE_TASK=all")
            }
            Self::Io { path, operation, error } => write!(
                f,
                "{} could not be {operation}: {error}; what was written is kept, run it again",
                path.display()
            ),
            Self::Refused { text } => f.write_str(text),
        }
    }
}

impl StdError for ArrayError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            // Its own text is in the message already.
            Self::Run { error, .. } => error.source(),
            _ => None,
        }
    }
}

/// Numbers in the form that Slurm takes: `3,7-8`.
struct List<'a>(&'a [usize]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let [first, ..] = *rest {
            let row = rest.iter().zip(first..).take_while(|&(&number, next)| number == next).count();
            let comma = if rest.len() == self.0.len() { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if row > 1 {
                write!(f, "-{}", first + row - 1)?;
            }
            rest = &rest[row..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(error: &ArrayError) -> (u8, String) {
        (error.code(), error.to_string())
    }

    #[test]
    fn another_try_is_told_to_help_for_a_full_disk_and_not_for_a_bound() {
        use crate::error::stored::{over_max_disk, storage};

        let path = Path::new("out/00003/4f.part");
        let bound = ArrayError::of_keeping(3, over_max_disk(path, 10, 20, 0));
        assert_eq!(bound.code(), 70);
        assert!(bound.to_string().contains("raise it"), "{bound}");
        let quota = io::Error::from(io::ErrorKind::QuotaExceeded);
        assert_eq!(ArrayError::of_keeping(3, storage(path, "written", &quota, None, None)).code(), 75);
    }

    #[test]
    fn each_error_has_its_code_and_its_line() {
        let damaged = |task| ArrayError::Damaged { path: "out/00003/4f.part".into(), offset: 8192, task };
        assert_eq!(
            says(&damaged(Some(3))),
            (65, "out/00003/4f.part is damaged at byte 8192: delete out/00003/done and run task 3 again".into())
        );
        let whole = ArrayError::Damaged { path: "out/array.json".into(), offset: 0, task: None };
        assert_eq!(
            says(&whole),
            (65, "out/array.json is missing, damaged or another program's: use another directory".into())
        );
        let missing = |missing: &[usize]| {
            says(&ArrayError::Missing { directory: "out".into(), tasks: 16, missing: missing.to_vec() })
        };
        assert_eq!(
            missing(&[3, 7, 8]),
            (
                75,
                "3 of 16 tasks have no results in out yet: 3,7-8. Run them: sbatch --array=3,7-8 .., or all again; here: \
                 AMORSIZE_TASK=all"
                    .into()
            )
        );
        assert_eq!(
            missing(&[0]).1,
            "1 of 16 tasks has no results in out yet: 0. Run it: sbatch --array=0 .., or all again; here: AMORSIZE_TASK=all"
        );
        assert_eq!(List(&[0, 1, 2, 4, 6, 7, 9]).to_string(), "0-2,4,6-7,9");
        let full = ArrayError::io(Path::new("out/00003/4f.part"), "written", io::ErrorKind::StorageFull.into());
        assert_eq!(
            says(&full),
            (
                75,
                "out/00003/4f.part could not be written: no storage space; what was written is kept, run it again"
                    .into()
            )
        );
        let run = ArrayError::Run { task: 3, error: "item 17 failed: too dark".into() };
        assert_eq!(
            says(&run),
            (70, "task 3: item 17 failed: too dark; the results that were finished are kept".into())
        );
        assert_eq!(says(&ArrayError::refused("no")), (78, "no".into()));
    }
}
