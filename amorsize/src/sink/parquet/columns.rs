//! The columns of a table, and the conversion of results to its rows.

use std::fmt::Display;
use std::path::PathBuf;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_arrow::schema::{SchemaLike, Strategy, TracingOptions};

use crate::error::{Error, ErrorKind};
use crate::store::Shape;

/// Takes the columns of a [`Parquet`](super::Parquet) file from the type of the results; the
/// default.
///
/// # Examples
///
/// ```
/// use amorsize::sink::{FromType, Parquet};
///
/// let sink: Parquet<FromType> = Parquet::new("results.parquet");
/// # let _ = sink;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromType;

/// Takes the columns of a [`Parquet`](super::Parquet) file from the first batch; set by
/// [`schema_from_results`](super::Parquet::schema_from_results).
///
/// # Examples
///
/// ```
/// use amorsize::sink::{FromResults, Parquet};
///
/// let sink: Parquet<FromResults> = Parquet::new("results.parquet").schema_from_results();
/// # let _ = sink;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromResults;

/// The source of the columns of a [`Parquet`](super::Parquet) file: [`FromType`] or
/// [`FromResults`]. The trait is sealed.
///
/// # Examples
///
/// ```
/// use amorsize::sink::{Parquet, ParquetSchema};
/// use amorsize::{Batched, Error, on_error::Skip};
/// use serde::Serialize;
///
/// fn write<I: IntoIterator, T: Serialize, E: std::fmt::Display, C, S: ParquetSchema<T>>(
///     run: &mut Batched<I, Result<T, E>, C, Skip>,
///     sink: Parquet<S>,
/// ) -> Result<(), Error> {
///     run.write_to(sink)?;
///     Ok(())
/// }
/// # let _ = write::<Vec<u32>, u32, String, (), amorsize::sink::FromType>;
/// ```
#[diagnostic::on_unimplemented(
    message = "the type `{R}` does not tell the columns of a Parquet file: it can't be deserialized",
    label = "these results are not `DeserializeOwned`",
    note = "derive `serde::Deserialize` for `{R}`; or take the columns from the first results: \
            `Parquet::new(path).schema_from_results()`"
)]
pub trait ParquetSchema<R>: sealed::Sealed {
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn columns() -> Result<Option<Columns>, Refused>;
}

mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {}

    impl Sealed for super::FromType {}
    impl Sealed for super::FromResults {}
}

#[diagnostic::do_not_recommend]
impl<R: DeserializeOwned> ParquetSchema<R> for FromType {
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn columns() -> Result<Option<Columns>, Refused> {
        Columns::of_type::<R>()
    }
}

impl<R> ParquetSchema<R> for FromResults {
    #[expect(private_interfaces, reason = "the trait is sealed")]
    fn columns() -> Result<Option<Columns>, Refused> {
        Ok(None)
    }
}

/// The reason why results can't be the rows of a table.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) column: Option<String>,
    pub(super) cause: String,
}

impl Refused {
    pub(super) fn of(self, item: Option<usize>, path: PathBuf) -> Error {
        let Self { column, cause } = self;
        Error::new(ErrorKind::Unwritable { path, item, column, cause })
    }

    pub(super) fn by_writer(error: &impl Display) -> Self {
        Self { column: None, cause: error.to_string() }
    }

    /// Takes the path from the text of an error of serde_arrow, which gives it nowhere else.
    fn by_conversion(error: &serde_arrow::Error) -> Self {
        let text = error.to_string();
        let path = ["path: \"$", "field: \"$"].iter().find_map(|before| text.split_once(before)?.1.split('"').next());
        let column = path.map(|path| path.trim_start_matches('.').to_owned()).filter(|path| !path.is_empty());
        Self { column, cause: error.message().trim_end_matches(['.', ' ']).to_owned() }
    }
}

/// A result, as the only field of a struct. Its name is that of the column.
#[derive(Deserialize, Serialize)]
struct Value<R> {
    value: R,
}

/// Results, each as the only field of a struct.
struct Values<'a, R>(&'a [R]);

impl<R: Serialize> Serialize for Values<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|value| Value { value }))
    }
}

#[derive(Debug)]
pub(super) struct Columns {
    pub(super) fields: Vec<FieldRef>,
    /// True if a result's fields are the columns, false if the result itself is the only column.
    is_struct: bool,
}

impl Columns {
    /// The columns that a type has, or `None` if it does not tell them.
    fn of_type<R: DeserializeOwned>() -> Result<Option<Self>, Refused> {
        // A pass for each variant of an enum: serde_arrow's own limit is 100.
        let options = options().from_type_budget(10_000);
        match Vec::<FieldRef>::from_type::<Value<R>>(options) {
            Ok(fields) => Self::of_value(&fields, "it has no values").map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The columns that results have.
    pub(super) fn of_results<R: Serialize>(results: &[R]) -> Result<Self, Refused> {
        let of = |options| Vec::<FieldRef>::from_samples(Values(results), options);
        // The values of a map may be of several types, if it is a struct with `serde(flatten)`.
        let fields = of(options()).or_else(|error| of(options().map_as_struct(true)).map_err(|_| error));
        let fields = fields.map_err(|error| {
            let refused = large_number(results).unwrap_or_else(|| Refused::by_conversion(&error));
            // The fields of a struct are columns themselves.
            let is_struct = results.first().is_some_and(|result| Shape::of(result).is_struct());
            let without_value = |column: String| column.strip_prefix("value.").map_or(column.clone(), str::to_owned);
            Refused {
                column: refused.column.map(|column| if is_struct { without_value(column) } else { column }),
                ..refused
            }
        })?;
        let columns = Self::of_value(
            &fields,
            "it is `None` or empty in all results of the first batch, which so tells no type: take \
             the columns from the type, or give results that have it first",
        )?;
        Ok(Self { fields: columns.fields.iter().map(nullable).collect(), ..columns })
    }

    /// `without_type` is the reason why a column has no type.
    fn of_value(fields: &[FieldRef], without_type: &str) -> Result<Self, Refused> {
        let value = fields.first().ok_or_else(|| Refused { column: None, cause: "they have no type".into() })?;
        let is_tuple = value.metadata().values().any(|strategy| *strategy == Strategy::TupleAsStruct.to_string());
        let (fields, is_struct) = match value.data_type() {
            DataType::Struct(fields) if !value.is_nullable() && !is_tuple => (fields.to_vec(), true),
            _ => (vec![value.clone()], false),
        };
        if fields.is_empty() {
            return Err(Refused { column: None, cause: "they have no fields".into() });
        }
        fields.iter().try_for_each(|field| refuse(field, field.name(), without_type))?;
        Ok(Self { fields, is_struct })
    }

    /// The results as rows. The error is for the first result that can't be a row, with its place.
    pub(super) fn rows<R: Serialize>(&self, results: &[R]) -> Result<RecordBatch, (usize, Refused)> {
        let rows = |results: &[R]| {
            if self.is_struct {
                serde_arrow::to_record_batch(&self.fields, &results)
            } else {
                serde_arrow::to_record_batch(&self.fields, &Values(results))
            }
        };
        rows(results).map_err(|error| {
            let alone = |at: &usize| rows(&results[*at..=*at]).is_err();
            ((0..results.len()).find(alone).unwrap_or(0), Refused::by_conversion(&error))
        })
    }
}

/// The column of numbers of 128 bits: serde_arrow names the struct around it.
fn large_number<R: Serialize>(results: &[R]) -> Option<Refused> {
    let column = results.iter().find_map(|result| Shape::of(&Value { value: result }).path_of(&["i128", "u128"]))?;
    let cause = "it is a `u128` or an `i128`, which Parquet has not: use 64 bits, a text, or `sink::JsonLines`";
    Some(Refused { column: Some(column), cause: cause.into() })
}

fn options() -> TracingOptions {
    TracingOptions::default().map_as_struct(false).enums_without_data_as_strings(true).allow_null_fields(true)
}

/// Refuses fields at which the writer would panic, or fail without naming the field.
fn refuse(field: &Field, path: &str, without_type: &str) -> Result<(), Refused> {
    let refused = |cause: &str| Err(Refused { column: Some(path.to_owned()), cause: cause.into() });
    let inside = |field: &Field| refuse(field, &format!("{path}.{}", field.name()), without_type);
    match field.data_type() {
        DataType::Null => refused(without_type),
        DataType::Union(variants, _) if variants.iter().any(|(_, variant)| variant.name() == "Err") => {
            refused("it is a `Result`, and Parquet has no enums with data: give the values alone, by `on_error`")
        }
        DataType::Union(..) => refused(
            "it is an enum with data, which Parquet has not: use a struct with an `Option` for each variant, or \
             `sink::JsonLines`",
        ),
        DataType::Struct(fields) if fields.is_empty() => refused("it has no fields"),
        DataType::Struct(fields) => fields.iter().try_for_each(|field| inside(field)),
        // The name of an element is of no use.
        DataType::List(element) | DataType::LargeList(element) => refuse(element, path, without_type),
        DataType::FixedSizeList(element, _) => refuse(element, path, without_type),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => fields.iter().try_for_each(|field| inside(field)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The same field with nulls allowed: a few results don't show that no value is ever missing.
fn nullable(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nullable).collect()),
        DataType::List(element) => DataType::List(nullable(element)),
        DataType::LargeList(element) => DataType::LargeList(nullable(element)),
        other => other.clone(),
    };
    field.as_ref().clone().with_data_type(data_type).with_nullable(true).into()
}
