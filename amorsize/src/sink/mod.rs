//! Sinks for [`Batched::write_to`](crate::Batched::write_to): files for other programs, and sinks
//! of your own.
//!
//! [`JsonLines`] writes one line of JSON for each result, and
//! [`Parquet`](https://docs.rs/amorsize/latest/amorsize/sink/struct.Parquet.html), with the feature
//! `parquet`, a table. A sink of your own implements [`Sink`].
//!
//! # A file appears whole or not at all
//!
//! A file is written under the name `path.partial`. It gets its own name once all results are in it
//! and on the disk; only then it replaces an existing file of that name. A run that ends early
//! leaves `path.partial` as a file that can be read: for JSON Lines up to the last complete line,
//! for Parquet up to the last complete batch. Only a process that is killed can leave half a line,
//! or a Parquet file without an end.
//!
//! - **To go on after an early end**, lend the sink to the run, and call
//!   [`write_to`](crate::Batched::write_to) again with the same sink: `run.write_to(&mut sink)`. A
//!   new sink begins a new file; with a [`journal`](crate::Batched::journal) it goes on behind the
//!   last place that the one before told.
//! - A `path.partial` that exists when a sink begins is from a run that nobody goes on with, and is
//!   overwritten.
//! - What exists under the path and is no regular file, such as `/dev/stdout` or any symbolic link,
//!   is refused before anything is computed: the finished file would replace it.
//! - With a [`journal`](crate::Batched::journal), a run that adds results to a finished file adds
//!   them to a copy, and replaces the file at the end. So there must be room for both.
//! - While a sink has its file open, another sink with the same path is refused, in any process:
//!   see [`Error::is_busy`](crate::Error::is_busy).
//! - If the disk is full, the batch that could not be written stays with the sink, which writes it
//!   first when it is called again.

mod file_error;
mod json_lines;
#[cfg(feature = "parquet")]
mod parquet;
mod partial;
pub(crate) mod write_error;

pub use file_error::FileError;
pub use json_lines::JsonLines;
#[cfg(feature = "parquet")]
pub use parquet::{FromResults, FromType, Parquet, ParquetSchema};

use crate::output::batch::Batch;

/// Stores results batch by batch, in input order. [`Batched::write_to`](crate::Batched::write_to)
/// takes a sink by value or as `&mut sink`.
///
/// A sink has to implement [`batch`](Self::batch) and [`finish`](Self::finish). All methods are
/// called on the thread that called the terminal.
///
/// # Examples
///
/// ```
/// use std::io::{self, Write};
///
/// use amorsize::sink::Sink;
/// use amorsize::{Batch, process_in_batches};
///
/// /// Lines of text.
/// struct Lines<W>(W);
///
/// impl<W: Write> Sink<String> for Lines<W> {
///     type Error = io::Error;
///
///     fn batch(&mut self, batch: Batch<String>) -> io::Result<()> {
///         batch.iter().try_for_each(|line| writeln!(self.0, "{line}"))
///     }
///
///     fn finish(&mut self) -> io::Result<()> {
///         self.0.flush()
///     }
/// }
///
/// let mut lines = Lines(Vec::new());
/// process_in_batches(|x: u32| "=".repeat(x as usize), 1..4).write_to(&mut lines)?;
/// assert_eq!(lines.0, b"=\n==\n===\n");
/// # Ok::<(), io::Error>(())
/// ```
///
/// A database, with a transaction for each batch, keeps its place in that transaction itself:
///
/// ```
/// # use amorsize::sink::Sink;
/// # use amorsize::{Batch, process_in_batches};
/// # #[derive(Debug)]
/// # struct SqlError;
/// # impl From<amorsize::Error> for SqlError {
/// #     fn from(_: amorsize::Error) -> Self {
/// #         Self
/// #     }
/// # }
/// # #[derive(Default)]
/// # struct Connection(Vec<(usize, f64)>);
/// # struct Transaction<'a>(&'a mut Connection);
/// # impl Connection {
/// #     fn transaction(&mut self) -> Result<Transaction<'_>, SqlError> {
/// #         Ok(Transaction(self))
/// #     }
/// # }
/// # impl Transaction<'_> {
/// #     fn execute(&mut self, _: &str, row: (usize, f64)) -> Result<(), SqlError> {
/// #         self.0.0.push(row);
/// #         Ok(())
/// #     }
/// #     fn commit(self) -> Result<(), SqlError> {
/// #         Ok(())
/// #     }
/// # }
/// struct Table(Connection);
///
/// impl Sink<f64> for Table {
///     type Error = SqlError;
///
///     fn batch(&mut self, batch: Batch<f64>) -> Result<(), SqlError> {
///         let mut all = self.0.transaction()?;
///         for (item, root) in batch.indices().zip(batch) {
///             all.execute("INSERT INTO root VALUES (?, ?)", (item, root))?;
///         }
///         all.commit()
///     }
///
///     fn finish(&mut self) -> Result<(), SqlError> {
///         Ok(())
///     }
/// }
///
/// let mut table = Table(Connection::default());
/// process_in_batches(f64::sqrt, [1.0, 4.0, 9.0]).write_to(&mut table)?;
/// # assert_eq!(table.0.0, [(0, 1.0), (1, 2.0), (2, 3.0)]);
/// # Ok::<(), SqlError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no sink for results of the type `{R}`",
    label = "this does not take these results",
    note = "to write a file, give `JsonLines::new(\"out.jsonl\")` of `amorsize::sink`, or `Parquet`, with results that are \
            `serde::Serialize`; a closure that takes batches is for `for_each_batch` or `try_for_each_batch`; of a type of \
            your own implement `amorsize::sink::Sink`"
)]
pub trait Sink<R> {
    /// The reason why a batch could not be stored.
    ///
    /// An error of the run becomes one too: the type has to be `From<amorsize::Error>`, as
    /// `io::Error` and `Box<dyn Error>` are, or `From<TryError<E>>` if the policy stops the run with
    /// an error `E` of the function.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::{JsonLines, Sink};
    ///
    /// fn is_full(error: &<JsonLines as Sink<u32>>::Error) -> bool {
    ///     error.is_storage()
    /// }
    /// # let _ = is_full;
    /// ```
    type Error;

    /// Stores the results of a batch. Meanwhile the run computes more results, as far as its budget
    /// allows.
    ///
    /// # Errors
    ///
    /// An error ends the run. If a terminal is called again, the run goes on behind this batch: a
    /// sink that can still store the batch has to keep it.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::{JsonLines, Sink};
    /// use amorsize::{Batch, Error};
    ///
    /// /// Tells what it writes.
    /// struct Telling(JsonLines);
    ///
    /// impl Sink<u32> for Telling {
    ///     type Error = Error;
    ///
    ///     fn batch(&mut self, batch: Batch<u32>) -> Result<(), Error> {
    ///         // A batch is a slice of results, and iterates over them by value.
    ///         println!("{} results from item {} on", batch.len(), batch.first_index());
    ///         Ok(self.0.batch(batch)?)
    ///     }
    /// #     fn finish(&mut self) -> Result<(), Error> {
    /// #         Ok(Sink::<u32>::finish(&mut self.0)?)
    /// #     }
    /// }
    /// # let _ = Telling(JsonLines::new("a"));
    /// ```
    fn batch(&mut self, batch: Batch<R>) -> Result<(), Self::Error>;

    /// Called once the sink has all results.
    ///
    /// # Errors
    ///
    /// The terminal returns the error. If `write_to` is called again, so is this.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::{self, Write};
    ///
    /// use amorsize::Batch;
    /// use amorsize::sink::Sink;
    ///
    /// struct Bytes<W: Write>(io::BufWriter<W>);
    ///
    /// impl<W: Write> Sink<Vec<u8>> for Bytes<W> {
    ///     type Error = io::Error;
    ///
    ///     fn batch(&mut self, batch: Batch<Vec<u8>>) -> io::Result<()> {
    ///         batch.iter().try_for_each(|bytes| self.0.write_all(bytes))
    ///     }
    ///
    ///     fn finish(&mut self) -> io::Result<()> {
    ///         // Dropped, it would not tell that the last bytes could not be written.
    ///         self.0.flush()
    ///     }
    /// }
    ///
    /// let mut bytes = Bytes(io::BufWriter::new(Vec::new()));
    /// amorsize::process_in_batches(|x: u8| vec![x; 2], 0..3).write_to(&mut bytes)?;
    /// assert_eq!(bytes.0.get_ref(), &[0, 0, 1, 1, 2, 2]);
    /// # Ok::<(), io::Error>(())
    /// ```
    fn finish(&mut self) -> Result<(), Self::Error>;

    /// Called before the first batch, and before anything is computed, so that a missing directory
    /// is found early. By default it does nothing.
    ///
    /// It is called again when a run goes on with the same sink, and then must keep what the sink
    /// has stored. If a sink must go back to a place, [`go_back`](Self::go_back) is called instead:
    /// with a journal, always in a later process, once a sink with [places](Self::place) has got a
    /// batch.
    ///
    /// # Errors
    ///
    /// The terminal returns the error, and nothing is computed.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    /// use amorsize::sink::JsonLines;
    ///
    /// let sink = JsonLines::new("/no/such/directory/squares.jsonl");
    /// let error = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..9).write_to(sink).unwrap_err();
    /// assert!(error.is_storage());
    /// ```
    fn begin(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Called before [`begin`](Self::begin) or [`go_back`](Self::go_back) if the run has a
    /// [`journal`](crate::Batched::journal). Return an error if a later process can't go on with
    /// what the sink stores. By default it does nothing.
    ///
    /// # Errors
    ///
    /// The terminal returns the error, and nothing is computed.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::{JsonLines, Sink};
    ///
    /// // Lines can follow those that are there.
    /// assert!(Sink::<u32>::begin_with_journal(&mut JsonLines::new("squares.jsonl")).is_ok());
    /// ```
    fn begin_with_journal(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Called instead of [`finish`](Self::finish) if the run ended early, to leave the stored
    /// results readable. The run may go on. By default it does nothing.
    ///
    /// # Errors
    ///
    /// An error is dropped: the terminal returns the reason why the run ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::{Batch, process_in_batches};
    /// use amorsize::sink::Sink;
    ///
    /// #[derive(Default)]
    /// struct Count(usize, &'static str);
    ///
    /// impl Sink<u32> for Count {
    ///     type Error = amorsize::Error;
    ///
    ///     fn batch(&mut self, batch: Batch<u32>) -> Result<(), Self::Error> {
    ///         self.0 += batch.len();
    ///         Ok(())
    ///     }
    ///
    ///     fn finish(&mut self) -> Result<(), Self::Error> {
    ///         self.1 = "finished";
    ///         Ok(())
    ///     }
    ///
    ///     fn pause(&mut self) -> Result<(), Self::Error> {
    ///         self.1 = "paused";
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut count = Count::default();
    /// let token = amorsize::CancelToken::new();
    /// token.cancel();
    /// let mut run = process_in_batches(|x: u32| x + 1, 0..9).cancel_token(&token);
    /// assert!(run.write_to(&mut count).unwrap_err().is_cancelled());
    /// assert_eq!((count.0, count.1), (0, "paused"));
    ///
    /// run.cancel_token(&amorsize::CancelToken::new()).write_to(&mut count)?;
    /// assert_eq!((count.0, count.1), (9, "finished"));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    fn pause(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Makes sure that everything stored so far survives a power cut, and returns the place behind
    /// it: a number that the sink defines. A later process may let a sink [go back](Self::go_back)
    /// there. `None`, as by default, if the sink has no places, or can't tell one now: it holds
    /// results back, or failed, and then the next [`batch`](Self::batch) or
    /// [`finish`](Self::finish) returns the reason.
    ///
    /// In a run with a [`journal`](crate::Batched::journal) it is called when the sink has begun,
    /// and after each batch. A sink with places must tell one the first time, such as 0: the run
    /// takes a sink that tells none then for one without places, whose results are stored as soon
    /// as `batch` returns. That first place is on disk before the sink gets a batch, and a later one
    /// within about 100 ms. The run keeps 16 bytes, within its budget, for each item since the last
    /// place: a sink that tells none for long leaves less room for results.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::{JsonLines, Sink};
    /// use amorsize::{Error, process_in_batches};
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-place-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("squares.jsonl");
    /// let mut sink = JsonLines::new(path);
    /// process_in_batches(|x: u32| x * x, 0..4).try_for_each_batch(|batch| Ok::<_, Error>(sink.batch(batch)?))?;
    /// // The bytes of "0\n1\n4\n9\n".
    /// assert_eq!(Sink::<u32>::place(&mut sink), Some(8));
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), Error>(())
    /// ```
    fn place(&mut self) -> Option<u64> {
        None
    }

    /// Goes back to a [place](Self::place): everything stored behind it is dropped, and the next
    /// batch follows it. Called instead of [`begin`](Self::begin), also on a sink of a later
    /// process: with the last place that is on disk, or, if the first process ended before that,
    /// with the place that the sink told when it began.
    ///
    /// # Errors
    ///
    /// If the stored data ends before the place.
    ///
    /// # Panics
    ///
    /// By default: a sink that has places has to implement this.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::{JsonLines, Sink};
    /// use amorsize::{Error, process_in_batches};
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-go-back-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("squares.jsonl");
    /// let mut sink = JsonLines::new(&path);
    /// process_in_batches(|x: u32| x * x, 0..4).try_for_each_batch(|batch| Ok::<_, Error>(sink.batch(batch)?))?;
    /// // Only two of the lines are known to be wanted.
    /// Sink::<u32>::go_back(&mut sink, 4)?;
    /// process_in_batches(|x: u32| x * x * x, 2..4).try_for_each_batch(|batch| Ok::<_, Error>(sink.batch(batch)?))?;
    /// Sink::<u32>::finish(&mut sink)?;
    /// assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\n8\n27\n");
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), Error>(())
    /// ```
    fn go_back(&mut self, place: u64) -> Result<(), Self::Error> {
        panic!("this sink has places, but can't go back to one: {place}")
    }
}

#[diagnostic::do_not_recommend]
impl<R, S: Sink<R> + ?Sized> Sink<R> for &mut S {
    type Error = S::Error;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), S::Error> {
        (**self).batch(batch)
    }

    fn finish(&mut self) -> Result<(), S::Error> {
        (**self).finish()
    }

    fn begin(&mut self) -> Result<(), S::Error> {
        (**self).begin()
    }

    fn pause(&mut self) -> Result<(), S::Error> {
        (**self).pause()
    }

    fn begin_with_journal(&mut self) -> Result<(), S::Error> {
        (**self).begin_with_journal()
    }

    fn place(&mut self) -> Option<u64> {
        (**self).place()
    }

    fn go_back(&mut self, place: u64) -> Result<(), S::Error> {
        (**self).go_back(place)
    }
}

/// Pauses a sink unless it is finished, even if the run ends by a panic.
pub(crate) struct Pausing<R, S: Sink<R>> {
    sink: S,
    /// False while the sink's own code runs, which may panic, and once the sink is finished.
    is_to_pause: bool,
    results: std::marker::PhantomData<fn(R)>,
}

impl<R, S: Sink<R>> Pausing<R, S> {
    pub(crate) fn begin(mut sink: S) -> Result<Self, S::Error> {
        sink.begin()?;
        Ok(Self::begun(sink))
    }

    /// A sink that has begun already.
    pub(crate) fn begun(sink: S) -> Self {
        Self { sink, is_to_pause: true, results: std::marker::PhantomData }
    }

    /// Goes back to a place instead.
    pub(crate) fn go_back(mut sink: S, place: u64) -> Result<Self, S::Error> {
        sink.go_back(place)?;
        Ok(Self::begun(sink))
    }

    pub(crate) fn place(&mut self) -> Option<u64> {
        self.is_to_pause = false;
        let place = self.sink.place();
        self.is_to_pause = true;
        place
    }

    pub(crate) fn batch(&mut self, batch: Batch<R>) -> Result<(), S::Error> {
        self.is_to_pause = false;
        let stored = self.sink.batch(batch);
        self.is_to_pause = true;
        stored
    }

    pub(crate) fn finish(mut self) -> Result<(), S::Error> {
        self.is_to_pause = false;
        self.sink.finish()
    }
}

impl<R, S: Sink<R>> Drop for Pausing<R, S> {
    fn drop(&mut self) {
        if self.is_to_pause {
            // The terminal returns the reason why the run ended, rather than this error.
            let _ = self.sink.pause();
        }
    }
}
