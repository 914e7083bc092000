//! The functions of the tested program.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use amorsize::array::{Array, ArrayError, Results};
use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::sink::JsonLines;
use amorsize::{ByteSize, Keyed, OnPanic, batched};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{files, is_part};

/// A file to which each call appends the number of its item.
pub const CALLS: &str = "AMORSIZE_TEST_CALLS";
/// Items, and the events within their calls, each event in a process of its own. With
/// `0,text 1;49,parts 2,clean`, item 0 runs the whole of task 1; item 49 waits until there are two
/// parts that are not empty, and then cleans.
pub const BESIDE: &str = "AMORSIZE_TEST_BESIDE";
/// The length of each call, in microseconds.
pub const MICROS: &str = "AMORSIZE_TEST_MICROS";
/// The bytes of each result of the way `large`.
pub const BYTES: &str = "AMORSIZE_TEST_BYTES";
/// The budget of a run with large results, in bytes.
pub const BUDGET: &str = "AMORSIZE_TEST_BUDGET";
/// The name of the field of the type that has one.
pub const FIELD: &str = "AMORSIZE_TEST_FIELD";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Records a call, and takes its time.
fn called(x: u64) {
    if let Ok(path) = std::env::var(CALLS) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect("the file of calls opens");
        // Eight bytes: a kill cuts a write only between two pages.
        file.write_all(format!("{x:07}\n").as_bytes()).expect("the file of calls takes a line");
    }
    if let Some(micros) = number(MICROS) {
        thread::sleep(Duration::from_micros(micros));
    }
    for beside in std::env::var(BESIDE).unwrap_or_default().split(';') {
        let mut beside = beside.split(',');
        if beside.next() == Some(&x.to_string()) {
            beside.for_each(happen);
        }
    }
}

fn happen(text: &str) {
    let arguments: Vec<_> = std::env::args().skip(2).collect();
    if let Some(parts) = text.strip_prefix("parts ") {
        let has_bytes = |path: &PathBuf| is_part(path) && path.metadata().is_ok_and(|told| told.len() > 0);
        let count = || files(Path::new(&arguments[0])).into_iter().filter(has_bytes).count();
        while count().to_string() != parts {
            thread::sleep(Duration::from_millis(1));
        }
        return;
    }
    let (way, task) = text.split_once(' ').unwrap_or((text, ""));
    let mut command = Command::new(std::env::current_exe().expect("the program is known"));
    command.arg(way).args(arguments).env_remove(BESIDE).env("AMORSIZE_TASK", task);
    assert!(command.stdout(Stdio::null()).status().expect("it starts").success(), "{text} failed");
}

/// The result of an item.
#[must_use]
pub fn expected(x: u64) -> String {
    format!("{x} {}", "x".repeat((x * x % 300) as usize))
}

/// A text of any length.
///
/// # Panics
///
/// When the file of calls can't be written.
#[batched(version = 1)]
pub fn text(x: u64) -> String {
    called(x);
    expected(x)
}

/// A value that its type alone determines.
pub trait Made {
    /// The value for an item.
    fn made(x: u64) -> Self;
}

impl Made for u64 {
    fn made(x: u64) -> Self {
        x
    }
}

impl Made for String {
    fn made(x: u64) -> Self {
        x.to_string()
    }
}

/// A function that can return several types.
#[batched]
pub fn made<R: Made + Send>(x: u64, _shared: u64) -> R {
    R::made(x)
}

/// The same result from another function.
#[batched(version = 1)]
pub fn other(x: u64) -> String {
    text(x)
}

/// A value of a type with a field that has another name in another process.
#[derive(Debug)]
pub struct Renamed(u64);

impl Serialize for Renamed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let name = if std::env::var(FIELD).is_ok() { "new" } else { "old" };
        let mut fields = serializer.serialize_struct("Renamed", 1)?;
        fields.serialize_field(name, &self.0)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Renamed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self)
    }
}

/// Returns a value with the name of its field in its bytes.
#[batched(version = 1)]
pub fn renamed(x: u64) -> Renamed {
    Renamed(x)
}

/// Fails for every tenth item.
///
/// # Errors
///
/// For every tenth item.
///
/// # Panics
///
/// When the file of calls can't be written.
#[batched(version = 1)]
pub fn failing(x: u64) -> Result<String, String> {
    called(x);
    if x % 10 == 3 { Err(format!("{x} fails")) } else { Ok(expected(x)) }
}

/// Fails for item 0 after the events within its call, if there are any.
///
/// # Errors
///
/// For item 0, then.
///
/// # Panics
///
/// When the file of calls can't be written.
#[batched(version = 1)]
pub fn late(x: u64) -> Result<String, String> {
    called(x);
    if x == 0 && std::env::var_os(BESIDE).is_some() { Err("too late".into()) } else { Ok(expected(x)) }
}

/// Panics for one item.
///
/// # Panics
///
/// For item 33.
#[batched(version = 1)]
pub fn panicking(x: u64) -> u64 {
    called(x);
    assert!(x != 33, "item {x} is too much");
    x
}

/// A value with a type that only its data tells. Bytes without names can't store that.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Untagged {
    /// One of the two.
    Number(u64),
    /// The other one.
    Text(String),
}

/// Returns a result that can be written but not read back.
///
/// # Panics
///
/// When the file of calls can't be written.
#[batched(version = 1)]
pub fn untagged(x: u64) -> Untagged {
    called(x);
    if x.is_multiple_of(2) { Untagged::Number(x) } else { Untagged::Text(x.to_string()) }
}

/// A value that leaves out a field, but not in each result.
#[derive(Debug, Serialize, Deserialize)]
pub struct Partial {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<u64>,
    one: u64,
}

/// Returns a value that can be read back for the first item, but not for each.
#[batched(version = 1)]
pub fn partial(x: u64) -> Partial {
    Partial { note: x.is_multiple_of(3).then_some(x), one: 1 }
}

/// A text that can't be compressed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Large(String);

impl Large {
    fn of(x: u64, bytes: u64) -> Self {
        let mut state = x + 1;
        let mut text = Vec::with_capacity(bytes as usize);
        for _ in 0..bytes / 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mixed = (state >> 32) ^ state;
            // Each byte is one of 64 ASCII characters.
            text.extend_from_slice(&((mixed & 0x3F3F_3F3F_3F3F_3F3F) | 0x4040_4040_4040_4040).to_le_bytes());
        }
        Self(String::from_utf8(text).expect("it is ASCII"))
    }

    /// True for the result of this item with `bytes` bytes.
    #[must_use]
    pub fn is_of(&self, x: u64, bytes: u64) -> bool {
        self.0 == Self::of(x, bytes).0
    }
}

/// Returns a large result.
#[batched(version = 1, max_memory = 0.5)]
pub fn large(x: u64) -> Large {
    called(x);
    Large::of(x, number(BYTES).unwrap_or(1 << 20))
}

/// The last stage of a pipeline.
#[batched(version = 1)]
pub fn length(text: String) -> usize {
    text.len()
}

/// An input that says another length than it has.
struct Says(usize, std::ops::Range<u64>);

impl Iterator for Says {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.1.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0, Some(self.0))
    }
}

impl ExactSizeIterator for Says {}

fn print<R: Serialize + serde::de::DeserializeOwned>(
    array: Array<R>,
    line: impl Fn(R) -> String,
) -> Result<(), ArrayError> {
    match array {
        Array::Task(report) => eprintln!("{report}"),
        Array::Results(all) => {
            let mut out = BufWriter::new(io::stdout().lock());
            for numbered in all.indexed() {
                let (index, result) = numbered?;
                writeln!(out, "{index} {}", line(result)).expect("stdout takes a line");
            }
        }
    }
    Ok(())
}

/// The program: `WAY DIRECTORY TASKS ITEMS`.
///
/// # Errors
///
/// The error of the array.
///
/// # Panics
///
/// When the arguments are wrong.
pub fn program(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [way, directory, tasks, items] = arguments else { panic!("WAY DIRECTORY TASKS ITEMS") };
    let (tasks, items): (usize, u64) = (tasks.parse()?, items.parse()?);
    // A range of `u64` does not tell its length.
    let numbers = || (0..items as usize).map(|x| x as u64);
    match way.as_str() {
        "text" => print(text_batched(numbers()).array(directory, tasks)?, |text| text)?,
        "sleeping" => print(text_batched(numbers()).threads(1).array(directory, tasks)?, |text| text)?,
        "version-2" => print(text_batched(numbers()).version(2).array(directory, tasks)?, |text| text)?,
        "other" => print(other_batched(numbers()).array(directory, tasks)?, |text| text)?,
        "shuffled" => {
            let mut items: Vec<_> = numbers().collect();
            items.swap(1, 2);
            print(text_batched(items).array(directory, tasks)?, |text| text)?;
        }
        "named" | "named-anew" => {
            let run = text_batched(numbers()).input_id(way);
            let run: amorsize::Batched<_, _, _, Keyed<_>> = run;
            print(run.array(directory, tasks)?, |text| text)?;
        }
        "short" | "long" => {
            let has = if way == "short" { items / 2 } else { items + 1 };
            print(text_batched(Says(items as usize, 0..has)).input_id(way).array(directory, tasks)?, |text| text)?;
        }
        "keyed" => print(text_batched(numbers()).key(|x| x + 1).array(directory, tasks)?, |text| text)?,
        "numbers" => print(made_batched::<u64, _>(numbers(), 1).array(directory, tasks)?, |x| x.to_string())?,
        "strings" => print(made_batched::<String, _>(numbers(), 1).array(directory, tasks)?, |x| x)?,
        "shared-2" => print(made_batched::<u64, _>(numbers(), 2).array(directory, tasks)?, |x| x.to_string())?,
        "renamed" => print(renamed_batched(numbers()).array(directory, tasks)?, |x| x.0.to_string())?,
        "untagged" => print(untagged_batched(numbers()).threads(1).array(directory, tasks)?, |x| format!("{x:?}"))?,
        "partial" => print(partial_batched(numbers()).array(directory, tasks)?, |x| format!("{:?} {}", x.note, x.one))?,
        "each" => print(failing_batched(numbers()).array(directory, tasks)?, |x| x.unwrap_or_else(|x| x))?,
        "stop" => print(failing_batched(numbers()).on_error(Stop).array(directory, tasks)?, |x| x)?,
        "late" => print(late_batched(numbers()).on_error(Stop).array(directory, tasks)?, |x| x)?,
        "skip" => print(failing_batched(numbers()).on_error(Skip).array(directory, tasks)?, |x| x)?,
        "collect" => print(failing_batched(numbers()).on_error(Collect).array(directory, tasks)?, |x| x)?,
        "panic" => print(panicking_batched(numbers()).array(directory, tasks)?, |x| x.to_string())?,
        "skip-panic" => {
            print(panicking_batched(numbers()).on_panic(OnPanic::Skip).array(directory, tasks)?, |x| x.to_string())?;
        }
        "then" => print(text_batched(numbers()).then(length_batched).array(directory, tasks)?, |x| x.to_string())?,
        "large" => {
            let run = large_batched(numbers());
            let run = match number(BUDGET) {
                Some(bytes) => run.max_memory(ByteSize::new(bytes)),
                None => run,
            };
            match run.array(directory, tasks)? {
                Array::Task(report) => eprintln!("{report}"),
                Array::Results(all) => count(all)?,
            }
        }
        "naive" => naive(directory, tasks, items)?,
        "clean" => match text_batched(numbers()).array(directory, tasks)? {
            Array::Task(report) => eprintln!("{report}"),
            Array::Results(all) => println!("{} removed", all.remove_leftovers()?),
        },
        "planned" => {
            let mut run = text_batched(numbers());
            run.plan()?;
            print(run.array(directory, tasks)?, |text| text)?;
        }
        "progress" => {
            let run = text_batched(numbers()).progress(|progress| {
                eprintln!("{} of {:?}", progress.done(), progress.total());
            });
            print(run.array(directory, tasks)?, |text| text)?;
        }
        "skip-first" => print(text_batched(numbers()).skip_first(1).array(directory, tasks)?, |text| text)?,
        "kept" => {
            text_batched(numbers()).threads(1).checkpoint(directory).for_each(drop)?;
        }
        "written" => {
            let mut run = text_batched(numbers()).threads(1).journal(Path::new(directory).join("journal"));
            run.write_to(JsonLines::new(Path::new(directory).join("lines")))?;
        }
        "checkpoint" => print(text_batched(numbers()).checkpoint("kept").array(directory, tasks)?, |text| text)?,
        "error" => return Err("no array at all".into()),
        _ => panic!("there is no way {way}"),
    }
    Ok(())
}

/// Runs the program for each line of stdin, `WAY DIRECTORY TASKS ITEMS`, and answers each by a
/// line: a code, and the error.
///
/// # Errors
///
/// If stdin or stdout is closed.
pub fn serve() -> io::Result<()> {
    for line in io::stdin().lines() {
        let arguments: Vec<_> = line?.split(' ').map(str::to_owned).collect();
        let answer = match catch_unwind(|| program(&arguments)) {
            Ok(Ok(())) => "0".to_owned(),
            Ok(Err(error)) => match error.downcast_ref::<ArrayError>() {
                // In one line, whatever a damaged file says.
                Some(error) => format!("{} {:?}", error.code(), error.to_string()),
                None => format!("1 {:?}", error.to_string()),
            },
            Err(_) => "101 a panic".to_owned(),
        };
        println!("{answer}");
    }
    Ok(())
}

/// The program that people write without this library: all results of a share in memory, and then
/// to a file.
fn naive(directory: &str, tasks: usize, items: u64) -> io::Result<()> {
    let task = number("SLURM_ARRAY_TASK_ID").expect("Slurm starts it");
    let share = items * task / tasks as u64..items * (task + 1) / tasks as u64;
    let all: Vec<_> = share.map(large).collect();
    // Slurm may look at the memory only once a second, so this waits for a look.
    thread::sleep(Duration::from_secs(3));
    std::fs::create_dir_all(directory)?;
    let mut file = BufWriter::new(std::fs::File::create(format!("{directory}/{task}"))?);
    all.iter().try_for_each(|Large(text)| file.write_all(text.as_bytes()))
}

/// Counts large results, and prints the peak of the process's memory.
fn count(all: Results<Large>) -> Result<(), ArrayError> {
    let (mut count, mut bytes) = (0, 0);
    for result in all {
        let Large(text) = result?;
        count += 1;
        bytes += text.len();
    }
    println!("{count} results, {bytes} bytes, {} KiB at most", peak_kib());
    Ok(())
}

/// The peak of this process's resident memory, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
