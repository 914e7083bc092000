mod columns;

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::WriterProperties;
use serde::Serialize;

use super::partial::{End, Partial};
use super::{FileError, Sink};
use crate::error::Error;
use crate::output::batch::Batch;
use columns::{Columns, Refused};
pub use columns::{FromResults, FromType, ParquetSchema};

/// The number of parts in which a batch is converted, so that only one of them is in memory twice.
const PARTS: usize = 16;

/// Writes results to a Parquet file: a column for each field of a struct, a row for each result in
/// input order, a row group for each batch, compressed by Snappy. pyarrow, DuckDB and Polars read
/// it.
///
/// The file gets its name when the run has ended and all results are in it; until then it is
/// `path.partial`. See the [module](crate::sink) for files that exist already.
///
/// # Columns
///
/// | a field, or a result | is in the file |
/// | --- | --- |
/// | numbers, `bool`, `String`, `Option` | a column of that type, with nulls |
/// | `Vec`, `serde_bytes` | a list, bytes |
/// | a struct, a tuple | a struct; the fields of a tuple are named `0`, `1`, .. |
/// | a map | a map |
/// | an enum without data | a text |
/// | a `char` | its number |
/// | a result that is no struct | one column, `value` |
/// | an enum with data, `u128`, `i128`, a struct without fields | refused |
///
/// [`ErrorKind::Unwritable`](crate::ErrorKind::Unwritable) tells what is refused, with the column.
///
/// The columns come from the type, before anything is computed; so a result has to be
/// `serde::Serialize` and `DeserializeOwned`. If the type does not tell its columns, because it has
/// an `IpAddr` or a `NonZero` in it, and with [`schema_from_results`](Self::schema_from_results),
/// they come from the first batch. Then an `Option` that is `None` in all of the batch is refused,
/// as its type is unknown.
///
/// Row groups of few rows make a file larger, and slower to read: if results are small, do not ask
/// for a small [`batch_size`](crate::Batched::batch_size).
///
/// # Places
///
/// A later process can't go on with a Parquet file, because the index of its contents is at its
/// end. So it has no [`place`](Sink::place), and a run with a `journal` is refused: use a
/// `checkpoint`, which hands the results of earlier processes over again.
///
/// # Examples
///
/// ```
/// use amorsize::process_in_batches;
/// use amorsize::sink::Parquet;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Word {
///     text: String,
///     letters: u32,
/// }
///
/// # let directory = std::env::temp_dir().join(format!("amorsize-parquet-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory).unwrap();
/// # let path = directory.join("words.parquet");
/// let word = |text: &str| Word { text: text.to_uppercase(), letters: text.len() as u32 };
/// process_in_batches(word, ["to", "be", "or"]).write_to(Parquet::new(&path))?;
/// assert!(std::fs::read(&path).unwrap().starts_with(b"PAR1"));
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a sink writes nothing until it is given to `write_to`"]
pub struct Parquet<S = FromType> {
    file: Partial,
    table: Option<Table>,
    schema: PhantomData<S>,
}

#[derive(Debug)]
struct Table {
    columns: Columns,
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    /// True if the file's end is written.
    is_whole: bool,
}

impl Parquet {
    /// A sink that writes a file. Nothing is opened yet. A relative path starts at the directory
    /// that is current now.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::sink::Parquet;
    ///
    /// let sink = Parquet::new("results.parquet");
    /// # let _ = sink;
    /// ```
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { file: Partial::new(path.into()), table: None, schema: PhantomData }
    }

    /// Takes the columns from the results of the first batch. The results then need no
    /// `Deserialize`.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    /// use amorsize::sink::Parquet;
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Word<'a> {
    ///     text: &'a str,
    /// }
    ///
    /// # let directory = std::env::temp_dir().join(format!("amorsize-from-results-{}", std::process::id()));
    /// # std::fs::create_dir_all(&directory).unwrap();
    /// # let path = directory.join("words.parquet");
    /// let sink = Parquet::new(path).schema_from_results();
    /// process_in_batches(|text| Word { text }, ["to", "be", "or"]).write_to(sink)?;
    /// # std::fs::remove_dir_all(directory).unwrap();
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    pub fn schema_from_results(self) -> Parquet<FromResults> {
        Parquet { file: self.file, table: self.table, schema: PhantomData }
    }
}

impl<R: Serialize, S: ParquetSchema<R>> Sink<R> for Parquet<S> {
    type Error = FileError;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), FileError> {
        catch_unwind(AssertUnwindSafe(|| self.write(batch).map_err(FileError))).unwrap_or_else(|payload| {
            // Some rows are missing, and nobody pauses a sink that panics.
            let cause = "`Serialize` or `Drop` of one of them panicked".into();
            let _ = self.broken(None, Refused { column: None, cause });
            let _ = self.write_end();
            resume_unwind(payload)
        })
    }

    fn finish(&mut self) -> Result<(), FileError> {
        self.finish_file().map_err(FileError)
    }

    fn begin(&mut self) -> Result<(), FileError> {
        self.begin_file(S::columns()).map_err(FileError)
    }

    fn pause(&mut self) -> Result<(), FileError> {
        self.write_end().map_err(FileError)
    }

    fn begin_with_journal(&mut self) -> Result<(), FileError> {
        Err(FileError(Error::invalid_option(
            "journal",
            "used with `sink::Parquet`, whose file a later process can't go on with",
            "`checkpoint`, which hands the results of earlier processes over again",
        )))
    }
}

impl<S> Parquet<S> {
    fn begin_file(&mut self, columns: Result<Option<Columns>, Refused>) -> Result<(), Error> {
        // Done before the file is opened, which overwrites an existing one.
        if self.table.is_none()
            && let Some(columns) = columns.map_err(|refused| self.refused(None, refused))?
        {
            self.make_table(columns)?;
        }
        if let Err(error) = self.file.begin() {
            // Trying again has cut off the end.
            let _ = self.write_end();
            return Err(error);
        }
        if let Some(table) = &mut self.table {
            table.take_encoded(self.file.waiting()?);
        }
        Ok(())
    }

    fn make_table(&mut self, columns: Columns) -> Result<&mut Table, Error> {
        let table = Table::new(columns).map_err(|error| self.refused(None, Refused::by_writer(&error)))?;
        Ok(self.table.insert(table))
    }

    fn write<R: Serialize>(&mut self, batch: Batch<R>) -> Result<(), Error> {
        // Refuses to go on with a file that must not be written any more.
        self.file.waiting()?;
        if self.table.is_none() {
            match Columns::of_results(&batch) {
                Ok(columns) => _ = self.make_table(columns)?,
                Err(refused) => return Err(self.broken(None, refused)),
            }
        }
        let Some(table) = &mut self.table else { unreachable!("it was made") };
        let (mut indices, part) = (batch.indices(), batch.len().div_ceil(PARTS).max(1));
        let mut results = batch.into_iter();
        while results.len() > 0 {
            let part: Vec<R> = results.by_ref().take(part).collect();
            let rows = match table.columns.rows(&part) {
                Ok(rows) => rows,
                Err((at, refused)) => {
                    let item = indices.nth(at);
                    return Err(self.broken(item, refused));
                }
            };
            if let Err(error) = table.writer.write(&rows) {
                return Err(self.broken(None, Refused::by_writer(&error)));
            }
            let _ = indices.by_ref().take(part.len()).count();
        }
        if let Err(error) = table.writer.flush() {
            return Err(self.broken(None, Refused::by_writer(&error)));
        }
        table.take_encoded(self.file.waiting()?);
        self.file.write()
    }

    fn finish_file(&mut self) -> Result<(), Error> {
        let Some(table) = &mut self.table else {
            let cause = "there are none, and their type does not tell their columns";
            return Err(self.refused(None, Refused { column: None, cause: cause.into() }));
        };
        if !table.is_whole {
            if let Err(error) = table.writer.finish() {
                return Err(self.broken(None, Refused::by_writer(&error)));
            }
            table.is_whole = true;
            table.take_encoded(self.file.waiting()?);
        }
        self.file.finish()
    }

    /// Makes the file readable, and leaves the writer as it is.
    fn write_end(&mut self) -> Result<(), Error> {
        let Some(table) = self.table.as_ref().filter(|table| !table.is_whole) else { return Ok(()) };
        let path = self.file.path().to_owned();
        self.file.pause(|len| table.end(len).map_err(|error| Refused::by_writer(&error).of(None, path.clone())))
    }

    fn refused(&self, item: Option<usize>, refused: Refused) -> Error {
        refused.of(item, self.file.path().to_owned())
    }

    fn broken(&mut self, item: Option<usize>, refused: Refused) -> Error {
        let error = self.refused(item, refused);
        self.file.break_by(error.kind().clone())
    }
}

impl Table {
    fn new(columns: Columns) -> Result<Self, ParquetError> {
        let schema = Arc::new(Schema::new(columns.fields.clone()));
        // Only the end of a batch ends a row group.
        let properties =
            WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(None);
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties.build()))?;
        Ok(Self { columns, schema, writer, is_whole: false })
    }

    /// Moves the encoded bytes behind other bytes.
    fn take_encoded(&mut self, bytes: &mut Vec<u8>) {
        // The writer keeps some bytes to itself until then. Writing to a `Vec` can't fail.
        let _ = self.writer.sync();
        bytes.append(self.writer.inner_mut());
    }

    /// The end of a file of that length. The writer itself could not go on behind its end.
    fn end(&self, len: u64) -> Result<End, ParquetError> {
        let mut properties = WriterProperties::default();
        add_encoded_arrow_schema_to_metadata(&self.schema, &mut properties);
        let ends_at = |column: &ColumnChunkMetaData| column.byte_range().0 + column.byte_range().1;
        let is_there = |group: &&RowGroupMetaData| group.columns().iter().all(|column| ends_at(column) <= len);
        let groups: Vec<_> = self.writer.flushed_row_groups().iter().filter(is_there).cloned().collect();
        let last_part =
            groups.last().and_then(|group| group.columns().iter().map(|column| column.byte_range().0).min());
        let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
        let columns = Arc::new(ArrowSchemaConverter::new().convert(&self.schema)?);
        let file = FileMetaData::new(
            properties.writer_version().as_num(),
            rows,
            Some(properties.created_by().to_owned()),
            properties.key_value_metadata().cloned(),
            columns,
            None,
        );
        let mut bytes = Vec::new();
        ParquetMetaDataWriter::new(&mut bytes, &ParquetMetaData::new(file, groups)).finish()?;
        Ok(End { bytes, last_part })
    }
}
