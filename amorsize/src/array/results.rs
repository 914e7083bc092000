//! The results of all tasks, read one frame at a time.

use std::fmt;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ArrayError;
use super::directory::{Directory, is_missing, is_new, is_part, names};
use super::finished::Finished;
use super::parts::{Part, Piece, other_type};
use crate::store::{BLOCK, Contents, Run, Shape, Stored, Unreadable};

/// All results of an array, lazily and in input order: an iterator of `Result<R, ArrayError>`.
///
/// It holds one frame of a file, which is 1 MiB or one larger result. It also holds frames that it
/// needs again, because calls ended in another order than that of their items. After an error it
/// gives nothing more.
///
/// # Examples
///
/// See [`Batched::array`](crate::Batched::array).
#[must_use = "results are read as they are asked for"]
pub struct Results<R> {
    directory: Directory,
    tasks: usize,
    items: usize,
    next_task: usize,
    /// The task that is read.
    task: Option<Reading>,
    /// The piece that is read.
    piece: Option<Open<R>>,
    gives: PhantomData<fn() -> R>,
}

/// A task with results that are being read.
struct Reading {
    task: usize,
    finished: Finished,
    /// The next piece.
    next: usize,
    /// The part that was read last.
    part: Option<(usize, Part)>,
    /// By part, and by offset in it.
    contents: Contents<(usize, u64)>,
    /// The parts that are known to have results of the right type.
    checked: Vec<bool>,
    /// The frame of the last piece, and the number and the bytes of the frame's runs up to its end.
    passed: ((usize, u64), usize, u64),
}

/// The results of a piece that are not given yet.
struct Open<R> {
    results: std::vec::IntoIter<R>,
    /// The index of the next one's item.
    index: usize,
    /// Those behind `results`. Behind the last one the frame's memory is free.
    rest: Option<Stored>,
}

impl<R: Serialize + DeserializeOwned> Results<R> {
    pub(super) fn new(directory: Directory, tasks: usize, items: usize) -> Self {
        Self { directory, tasks, items, next_task: 0, task: None, piece: None, gives: PhantomData }
    }

    /// The number of items of the input. Each has a result, except those that a policy for errors
    /// or panics left out.
    ///
    /// # Examples
    ///
    /// See [`Batched::array`](crate::Batched::array).
    #[must_use]
    pub fn items(&self) -> usize {
        self.items
    }

    /// Gives each result with the index of its item.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::array::{Array, ArrayError};
    /// use amorsize::batched;
    ///
    /// #[batched(on_error = "skip")]
    /// fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    ///     text.parse()
    /// }
    ///
    /// # fn run(out: &std::path::Path) -> Result<(), ArrayError> {
    /// match parse_batched(["1", "two", "3"]).array(out, 2)? {
    ///     Array::Task(report) => eprintln!("{report}"),
    ///     Array::Results(all) => {
    ///         for numbered in all.indexed() {
    ///             let (index, number) = numbered?;
    ///             println!("{index}: {number}"); // "0: 1" and "2: 3".
    ///         }
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// # let out = std::env::temp_dir().join(format!("amorsize-indexed-{}", std::process::id()));
    /// # assert!(run(&out).is_err());
    /// ```
    pub fn indexed(mut self) -> impl Iterator<Item = Result<(usize, R), ArrayError>> {
        std::iter::from_fn(move || self.next_indexed())
    }

    /// Removes the files that killed or late attempts left, and gives their number. The files of
    /// the results stay, and so does all that has another name than such files have.
    ///
    /// An attempt that still runs finds its task done, and ends well.
    ///
    /// # Errors
    ///
    /// If the system refuses, or a file is damaged.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use amorsize::array::{Array, ArrayError};
    /// # use amorsize::batched;
    /// # #[batched]
    /// # fn square(x: u32) -> u32 { x * x }
    ///
    /// # fn main() -> Result<(), ArrayError> {
    /// if let Array::Results(all) = square_batched(0..100).array("out", 4)? {
    ///     println!("{} files removed", all.remove_leftovers()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_leftovers(&self) -> Result<usize, ArrayError> {
        let mut removed = 0;
        let mut remove = |path: std::path::PathBuf| {
            let is_file = || fs::symlink_metadata(&path).map(|told| told.is_file());
            match is_file().and_then(|is_file| if is_file { fs::remove_file(&path).map(|()| 1) } else { Ok(0) }) {
                Ok(files) => removed += files,
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(ArrayError::io(&path, "removed", error)),
            }
            Ok(())
        };
        for name in names(self.directory.path())?.iter().filter(|name| is_new(name)) {
            remove(self.directory.path().join(name))?;
        }
        for task in 0..self.tasks {
            let Some(finished) = Finished::read(&self.directory, task)? else { continue };
            let folder = self.directory.task(task);
            for name in names(&folder)? {
                if is_new(&name) || is_part(&name) && !finished.parts.contains(&name) {
                    remove(folder.join(name))?;
                }
            }
        }
        Ok(removed)
    }

    fn next_indexed(&mut self) -> Option<Result<(usize, R), ArrayError>> {
        let next = self.read_next().transpose();
        if let Some(Err(_)) = next {
            // Nothing follows.
            (self.next_task, self.task, self.piece) = (self.tasks, None, None);
        }
        next
    }

    fn read_next(&mut self) -> Result<Option<(usize, R)>, ArrayError> {
        loop {
            if let Some(open) = &mut self.piece
                && let Some(result) = open.results.next()
            {
                open.index += 1;
                return Ok(Some((open.index - 1, result)));
            }
            if let Some(reading) = &mut self.task {
                let open = self.piece.take().and_then(|open| Some((open.rest?, open.index)));
                self.piece = reading.go_on(&self.directory, open)?;
                if self.piece.is_some() {
                    continue;
                }
                self.task = None;
            }
            if self.next_task == self.tasks {
                return Ok(None);
            }
            self.task = Some(Reading::new(&self.directory, self.next_task, self.tasks)?);
            self.next_task += 1;
        }
    }
}

impl Reading {
    fn new(directory: &Directory, task: usize, tasks: usize) -> Result<Self, ArrayError> {
        let Some(finished) = Finished::read(directory, task)? else {
            return Err(ArrayError::Missing { directory: directory.path().to_owned(), tasks, missing: vec![task] });
        };
        let checked = vec![false; finished.parts.len()];
        let passed = ((usize::MAX, 0), 0, 0);
        Ok(Self { task, finished, next: 0, part: None, contents: Contents::default(), checked, passed })
    }

    /// Reads the next results: the rest of a piece, or those of the next piece. `None` behind the
    /// last piece.
    fn go_on<R: Serialize + DeserializeOwned>(
        &mut self,
        directory: &Directory,
        rest: Option<(Stored, usize)>,
    ) -> Result<Option<Open<R>>, ArrayError> {
        let at = self.next - usize::from(rest.is_some());
        let Some(piece) = self.finished.pieces.get(at).copied() else { return Ok(None) };
        self.next = at + 1;
        let path = directory.task(self.task).join(&self.finished.parts[piece.part]);
        let (mut rest, index) = match rest {
            Some(rest) => rest,
            None => (self.open::<R>(&path, &piece)?, piece.first as usize),
        };
        // The bytes are as they were written.
        let results = rest.take(BLOCK).map_err(|cause| {
            ArrayError::refused(format!(
                "{} has results that can't be read as the type that they have now ({cause}); go back to the type that they \
                 had, or use another directory and raise `version`",
                path.display()
            ))
        })?;
        let results = results.into_iter();
        Ok(Some(Open { results, index, rest: Some(rest).filter(|rest| !rest.is_empty()) }))
    }

    /// Finds the results of a piece of the part with this path.
    fn open<R: Serialize + DeserializeOwned>(&mut self, path: &Path, piece: &Piece) -> Result<Stored, ArrayError> {
        let (offset, task) = (piece.offset, Some(self.task));
        let damaged = || ArrayError::Damaged { path: path.to_owned(), offset, task };
        let unread = |unreadable| match unreadable {
            Unreadable::Io(error) if !is_missing(&error) => ArrayError::io(path, "read", error),
            _ => damaged(),
        };
        let failed = |error: io::Error| unread(error.into());
        let part = match self.part.take_if(|(number, _)| *number == piece.part) {
            Some((_, part)) => part,
            None => Part::open(path).map_err(failed)?.ok_or_else(damaged)?,
        };
        let (_, part) = self.part.insert((piece.part, part));
        let frame = (piece.part, offset);
        let content = match self.contents.get(frame) {
            Some(content) => content,
            None => {
                let head = part.head(offset).map_err(failed)?.ok_or_else(damaged)?;
                let runs = head.runs.len();
                self.contents.read(frame, &part.file, offset + head.bytes(), head, runs).map_err(unread)?
            }
        };
        self.contents.pass(frame);
        if !std::mem::replace(&mut self.checked[piece.part], true) {
            let checked = part.check(Shape::check::<R>).map_err(failed)?;
            checked.map_err(|is| other_type(path, &part.shape, &is))?;
        }
        // Mostly the next piece is the next run: a frame can have tens of thousands of them.
        let passed = if self.passed.0 == frame { (self.passed.1, self.passed.2) } else { (0, 0) };
        let found = run_from(&content.head.runs, passed, piece).or_else(|| run_from(&content.head.runs, (0, 0), piece));
        let (number, at) = found.ok_or_else(damaged)?;
        let bytes = content.head.runs[number].bytes;
        self.passed = (frame, number + 1, at + bytes);
        Ok(Stored::new(content, at, bytes, piece.items))
    }
}

/// Finds the run of a piece, behind the `passed` number and bytes of runs. Gives its number, and
/// the offset of its results in the content.
fn run_from(runs: &[Run], passed: (usize, u64), piece: &Piece) -> Option<(usize, u64)> {
    let (first, mut at) = passed;
    for (number, run) in runs.iter().enumerate().skip(first) {
        if run.first == piece.first && run.items == piece.items {
            return Some((number, at));
        }
        at += run.bytes;
    }
    None
}

impl<R: Serialize + DeserializeOwned> Iterator for Results<R> {
    type Item = Result<R, ArrayError>;

    fn next(&mut self) -> Option<Result<R, ArrayError>> {
        self.next_indexed().map(|next| next.map(|(_, result)| result))
    }
}

impl<R> fmt::Debug for Results<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Results")
            .field("directory", &self.directory.path())
            .field("tasks", &self.tasks)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}
