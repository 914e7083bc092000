//! `sink::Parquet`: a row for each result in input order, in a file that appears as a whole or not
//! at all.

#[path = "../../common/folder.rs"]
mod folder;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::Path;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::sink::Parquet;
use amorsize::{CancelToken, ErrorKind, TryError, process_in_batches};
use arrow_array::RecordBatch;
use folder::Folder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::metadata::RowGroupMetaData;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Portrait,
    Landscape,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Camera {
    maker: String,
    lens: Option<f32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Photo {
    name: String,
    number: u64,
    bright: f64,
    taken: Option<i64>,
    kind: Kind,
    camera: Camera,
    thumb: Vec<u8>,
    tags: Vec<String>,
    size: (u32, u32),
    counts: BTreeMap<String, u32>,
}

fn photo(number: usize) -> Photo {
    Photo {
        name: format!("\"{number}\"\n\u{1F4F7}.jpg"),
        number: u64::MAX - number as u64,
        bright: number as f64 / 8.0,
        taken: (!number.is_multiple_of(3)).then_some(-(number as i64)),
        kind: if number.is_multiple_of(2) { Kind::Portrait } else { Kind::Landscape },
        camera: Camera { maker: "Rollei".into(), lens: (number > 100).then_some(2.8) },
        thumb: vec![number as u8; number % 5],
        tags: vec!["tag".to_owned(); number % 4],
        size: (number as u32, 2),
        counts: (0..number as u32 % 3).map(|key| (key.to_string(), key)).collect(),
    }
}

/// The file as the crate's own reader sees it: the rows of each row group, and the batches.
fn read(path: &Path) -> (Vec<usize>, Vec<RecordBatch>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups();
    assert!(
        groups.iter().flat_map(RowGroupMetaData::columns).all(|column| column.compression() == Compression::SNAPPY)
    );
    let rows = groups.iter().map(|group| group.num_rows() as usize).collect();
    (rows, reader.build().unwrap().map(Result::unwrap).collect())
}

fn rows<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let batches = read(path).1;
    batches.iter().flat_map(|batch| serde_arrow::from_record_batch::<Vec<T>>(batch).unwrap()).collect()
}

fn columns(path: &Path) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    reader.schema().fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Value<T> {
    value: T,
}

#[test]
fn a_row_for_each_result_in_input_order_and_a_row_group_for_each_batch() {
    let folder = Folder::new("a_row_for_each_result");
    let path = folder.file("photos.parquet");
    let report = process_in_batches(photo, 0..1000).batch_size(300).write_to(Parquet::new(&path)).unwrap();
    assert_eq!(rows::<Photo>(&path), (0..1000).map(photo).collect::<Vec<_>>());
    assert_eq!((report.items(), report.batches()), (1000, read(&path).0.len()));
    assert!(read(&path).0.iter().all(|rows| *rows <= 300));
    assert_eq!(folder.names(), ["photos.parquet"]);
}

#[test]
fn results_that_are_no_struct_are_the_column_value() {
    let folder = Folder::new("results_that_are_no_struct");
    let path = folder.file("values.parquet");
    macro_rules! check {
        ($ty:ty, $call:expr, $column:literal) => {
            let call: fn(u32) -> $ty = $call;
            process_in_batches(call, 0..20).batch_size(7).write_to(Parquet::new(&path)).unwrap();
            assert_eq!(columns(&path), [concat!("value: ", $column)]);
            assert_eq!(rows::<Value<$ty>>(&path), (0..20).map(|x| Value { value: call(x) }).collect::<Vec<_>>());
        };
    }
    check!(u32, |x| x, "UInt32");
    check!(String, |x| x.to_string(), "LargeUtf8");
    check!(Option<f64>, |x| (x > 3).then_some(0.5), "Float64");
    check!(Vec<u16>, |x| vec![7; x as usize % 3], "LargeList(non-null UInt16, field: 'element')");
    check!(Kind, |x| if x > 3 { Kind::Portrait } else { Kind::Landscape }, "Dictionary(UInt32, LargeUtf8)");
    check!((u8, bool), |x| (x as u8, x > 3), "Struct(\"0\": non-null UInt8, \"1\": non-null Boolean)");
    check!(
        Option<Camera>,
        |x| (x > 3).then(|| photo(0).camera),
        "Struct(\"maker\": non-null LargeUtf8, \"lens\": Float32)"
    );
    check!(HashMap<String, u32>, |x| HashMap::from([(x.to_string(), x)]), "Map(\"entries\": non-null Struct(\"key\": non-null LargeUtf8, \"value\": non-null UInt32), unsorted)");
}

#[test]
fn a_struct_around_a_struct_has_its_columns() {
    #[derive(Serialize, Deserialize)]
    struct Wrapped(Box<Camera>);

    let folder = Folder::new("a_struct_around_a_struct");
    let path = folder.file("cameras.parquet");
    process_in_batches(|x| Wrapped(Box::new(photo(x).camera)), 0..20).write_to(Parquet::new(&path)).unwrap();
    assert_eq!(rows::<Camera>(&path), (0..20).map(|x| photo(x).camera).collect::<Vec<_>>());
}

#[test]
fn types_that_don_t_tell_their_columns_are_looked_at() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Client {
        address: IpAddr,
        visits: NonZeroU32,
        /// It is `None` only in a later batch.
        name: Option<String>,
        pages: Vec<Option<u32>>,
    }

    let client = |x: usize| Client {
        address: [10, 0, 0, x as u8].into(),
        visits: NonZeroU32::new(x as u32 + 1).unwrap(),
        name: (x < 15).then(|| x.to_string()),
        pages: vec![(x < 15).then_some(7)],
    };
    let folder = Folder::new("types_that_don_t_tell");
    let path = folder.file("clients.parquet");
    process_in_batches(client, 0..20).batch_size(10).write_to(Parquet::new(&path)).unwrap();
    assert_eq!(rows::<Client>(&path), (0..20).map(client).collect::<Vec<_>>());
}

#[test]
fn columns_from_results_need_no_deserialize() {
    #[derive(Serialize)]
    struct Word<'a> {
        text: &'a str,
        letters: Option<usize>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Read {
        text: String,
        letters: Option<usize>,
    }

    let folder = Folder::new("columns_from_results");
    let path = folder.file("words.parquet");
    let word = |text| Word { text, letters: Some(str::len(text)) };
    process_in_batches(word, ["to", "be"]).write_to(Parquet::new(&path).schema_from_results()).unwrap();
    let read = |text: &str| Read { text: text.to_owned(), letters: Some(text.len()) };
    assert_eq!(rows::<Read>(&path), [read("to"), read("be")]);
}

#[test]
fn a_column_of_which_the_first_batch_tells_no_type_is_refused() {
    #[derive(Serialize)]
    struct Row {
        number: usize,
        name: Option<String>,
    }

    let folder = Folder::new("a_column_of_which");
    let call = |number| Row { number, name: (number > 5).then(String::new) };
    let sink = Parquet::new(folder.file("rows.parquet")).schema_from_results();
    let error = process_in_batches(call, 0..20).batch_size(3).write_to(sink).unwrap_err();
    let ErrorKind::Unwritable { column: Some(column), cause, .. } = error.kind() else { panic!("{error:#?}") };
    assert_eq!(column, "name");
    assert!(cause.starts_with("it is `None` or empty in all results of the first batch"), "{cause}");
}

#[test]
fn what_parquet_has_not_is_refused_by_its_column() {
    #[derive(Serialize, Deserialize)]
    enum Shape {
        Circle(f64),
        Square { side: f64 },
    }
    #[derive(Serialize, Deserialize)]
    struct Figure {
        name: String,
        parts: Vec<Part>,
    }
    #[derive(Serialize, Deserialize)]
    struct Part {
        shape: Option<Shape>,
    }
    #[derive(Serialize, Deserialize)]
    struct Account {
        id: u32,
        balance: Balance,
    }
    #[derive(Serialize, Deserialize)]
    struct Balance {
        cents: i128,
    }
    #[derive(Serialize, Deserialize)]
    struct Nothing {}
    #[derive(Serialize, Deserialize)]
    struct Holder {
        held: Nothing,
    }

    fn refused<R: Serialize + DeserializeOwned + Send>(call: fn(u32) -> R, column: Option<&str>, cause: &str) {
        let folder = Folder::new(&format!("what_parquet_has_not-{}", column.unwrap_or("none")));
        fs::write(folder.file("x.parquet.partial"), "of an earlier run").unwrap();
        // One batch, however busy the machine is.
        let mut run = process_in_batches(call, 0..9).threads(1).batch_size(9);
        let error = run.write_to(Parquet::new(folder.file("x.parquet"))).unwrap_err();
        let ErrorKind::Unwritable { column: found, cause: why, .. } = error.kind() else { panic!("{error:#?}") };
        assert_eq!(found.as_deref(), column, "{error}");
        assert!(why.contains(cause), "{error}");
        assert!(!folder.names().contains(&"x.parquet".to_owned()));
    }

    // The type alone tells these, so the function is not called.
    let data = "it is an enum with data";
    refused::<Figure>(|_| unreachable!("not called"), Some("parts.shape"), data);
    refused::<Shape>(|_| unreachable!("not called"), Some("value"), data);
    refused::<Result<u32, String>>(
        |_| unreachable!("not called"),
        Some("value"),
        "give the values alone, by `on_error`",
    );
    refused::<Holder>(|_| unreachable!("not called"), Some("held"), "it has no fields");
    refused::<Nothing>(|_| unreachable!("not called"), None, "they have no fields");
    refused(|x| Account { id: x, balance: Balance { cents: 7 } }, Some("balance.cents"), "it is a `u128` or an `i128`");
    refused(u128::from, Some("value"), "it is a `u128`");
    refused(|x| (x, vec![(x > 3).then_some(u128::from(x))]), Some("value.1"), "it is a `u128`");
    refused::<()>(|_| unreachable!("not called"), Some("value"), "it has no values");
    let _ = (Shape::Circle(1.0), Shape::Square { side: 1.0 });
    let _ = |figure: Figure| (figure.name, figure.parts);
}

#[test]
fn a_result_that_does_not_fit_the_columns_is_named() {
    /// One result has another type here.
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Number {
        Whole(u32),
        Text(String),
    }
    #[derive(Serialize)]
    struct Row {
        number: Number,
    }

    let folder = Folder::new("a_result_that_does_not_fit");
    let path = folder.file("rows.parquet");
    let call = |x| Row { number: if x == 77 { Number::Text("many".into()) } else { Number::Whole(x) } };
    let mut sink = Parquet::new(&path).schema_from_results();
    let mut run = process_in_batches(call, 0..100).threads(1).batch_size(20);
    let error = run.write_to(&mut sink).unwrap_err();
    assert_eq!(error.item(), Some(77), "{error}");
    let ErrorKind::Unwritable { column: Some(column), .. } = error.kind() else { panic!("{error:#?}") };
    assert_eq!(column, "number");
    // The rows before it are readable. Going on would leave a hole.
    assert_eq!(read(&folder.file("rows.parquet.partial")).0, [20, 20, 20]);
    assert_eq!(run.write_to(&mut sink).unwrap_err().to_string(), error.to_string());
    assert_eq!(folder.names(), ["rows.parquet.partial"]);
}

#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_refused_and_stays() {
    let folder = Folder::new("no_regular_file");
    fs::write(folder.file("file"), "kept").unwrap();
    std::os::unix::fs::symlink("file", folder.file("link")).unwrap();
    for path in [folder.file("link"), "/dev/null".into(), "".into()] {
        let mut run = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..3);
        let error = run.write_to(Parquet::new(path)).unwrap_err();
        assert!(error.is_storage() && error.to_string().contains("a sink writes regular files only"), "{error}");
    }
    assert_eq!(folder.names(), ["file", "link"]);
    assert_eq!(fs::read(folder.file("file")).unwrap(), b"kept");
}

#[test]
fn an_early_end_leaves_a_file_that_can_be_read_and_the_same_sink_goes_on() {
    let folder = Folder::new("an_early_end");
    let path = folder.file("photos.parquet");
    let partial = folder.file("photos.parquet.partial");
    let call = |x: usize| if x % 100 == 99 { Err(x) } else { Ok(photo(x)) };
    let mut sink = Parquet::new(&path);
    let mut run = process_in_batches(call, 0..300).on_error(Stop).batch_size(40);
    for end in [99, 199, 299] {
        let error: TryError<usize> = run.write_to(&mut sink).unwrap_err();
        assert_eq!(error.into_item_error(), Some(end));
        assert_eq!(folder.names(), ["photos.parquet.partial"]);
        assert_eq!(rows::<Photo>(&partial), (0..end).filter(|x| x % 100 < 99).map(photo).collect::<Vec<_>>());
    }
    run.write_to(&mut sink).unwrap();
    assert_eq!(folder.names(), ["photos.parquet"]);
    assert_eq!(rows::<Photo>(&path), (0..300).filter(|x| x % 100 < 99).map(photo).collect::<Vec<_>>());
}

/// A result that panics when it is written, or when it is dropped.
#[derive(Deserialize)]
#[serde(from = "u64")]
struct Panicking(u64);

/// The item that panics when it is written, and the one when it is dropped.
const PANICS: [u64; 2] = [50, 95];

impl From<u64> for Panicking {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl Serialize for Panicking {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, PANICS[0], "as planned");
        serializer.serialize_u64(self.0)
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        assert!(self.0 != PANICS[1] || std::thread::panicking(), "as planned");
    }
}

#[test]
fn a_panic_of_a_result_ends_the_file_for_good() {
    let folder = Folder::new("a_panic_of_a_result");
    for (first, has) in [(0, 40), (60, 20)] {
        let mut sink = Parquet::new(folder.file("numbers.parquet")).schema_from_results();
        let mut run = process_in_batches(Panicking, first..200).threads(1).batch_size(20);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.write_to(&mut sink))).map(drop).unwrap_err();
        // Whole batches, and an end.
        let rows = rows::<Value<u64>>(&folder.file("numbers.parquet.partial"));
        assert!(rows.into_iter().map(|row| row.value).eq(first..first + has), "{first}");
        let error = run.write_to(&mut sink).unwrap_err();
        assert!(error.to_string().contains("`Serialize` or `Drop` of one of them panicked"), "{error}");
        assert_eq!(folder.names(), ["numbers.parquet.partial"]);
    }
}

#[test]
fn all_policies() {
    let folder = Folder::new("all_policies");
    let path = folder.file("numbers.parquet");
    let run = || process_in_batches(str::parse::<u32>, ["1", "two", "3", "four"]);
    let numbers = || rows::<Value<u32>>(&path).into_iter().map(|row| row.value).collect::<Vec<_>>();

    assert_eq!(run().on_error(Skip).write_to(Parquet::new(&path)).unwrap().failed(), 2);
    assert_eq!(numbers(), [1, 3]);
    assert_eq!(run().on_error(Collect).write_to(Parquet::new(&path)).unwrap().failures().len(), 2);
    assert_eq!(numbers(), [1, 3]);
    let doubled = |x: u32| (x > 1).then_some(2 * x);
    process_in_batches(doubled, 0..5).flatten().write_to(Parquet::new(&path)).unwrap();
    assert_eq!(numbers(), [4, 6, 8]);
}

#[test]
fn a_run_that_is_cancelled_before_its_first_batch_leaves_a_table_without_rows() {
    let folder = Folder::new("a_run_that_is_cancelled");
    let path = folder.file("photos.parquet");
    let token = CancelToken::new();
    token.cancel();
    let mut sink = Parquet::new(&path);
    let mut run = process_in_batches(photo, 0..10).cancel_token(&token);
    assert!(run.write_to(&mut sink).unwrap_err().is_cancelled());
    assert_eq!(columns(&folder.file("photos.parquet.partial")).len(), 10);
    run.cancel_token(&CancelToken::new()).write_to(&mut sink).unwrap();
    assert_eq!(rows::<Photo>(&path).len(), 10);
}

#[test]
fn a_run_without_results() {
    let folder = Folder::new("a_run_without_results");
    let path = folder.file("none.parquet");
    process_in_batches(photo, 0..0).write_to(Parquet::new(&path)).unwrap();
    assert_eq!((columns(&path).len(), rows::<Photo>(&path)), (10, vec![]));

    let sink = Parquet::new(folder.file("unknown.parquet")).schema_from_results();
    let error = process_in_batches(photo, 0..0).write_to(sink).unwrap_err();
    assert!(error.to_string().contains("there are none, and their type does not tell their columns"), "{error}");
}

#[test]
fn a_file_of_that_name_is_replaced_when_the_new_one_is_whole() {
    let folder = Folder::new("a_file_of_that_name");
    let path = folder.file("numbers.parquet");
    fs::write(&path, "of the last run").unwrap();
    let mut sink = Parquet::new(&path);
    let mut run = process_in_batches(|x: u32| if x == 2 { Err("two") } else { Ok(x) }, 0..4).on_error(Stop);
    run.write_to(&mut sink).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"of the last run");
    run.write_to(&mut sink).unwrap();
    assert_eq!(rows::<Value<u32>>(&path).len(), 3);
}

#[test]
fn a_journal_is_refused_with_the_way_out() {
    let folder = Folder::new("a_place_is_refused");
    let run = process_in_batches(|x: u32| x, 0..4).version(1).journal(folder.file("run"));
    let error = { run }.write_to(Parquet::new(folder.file("numbers.parquet"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`journal` can't be used with `sink::Parquet`, whose file a later process can't go on with: use `checkpoint`, which hands the \
         results of earlier processes over again"
    );
}
