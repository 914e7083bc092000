//! `sink::JsonLines`: the file appears as a whole or not at all, and each result is in it exactly
//! once.

#[path = "common/folder.rs"]
mod folder;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::sink::{FileError, JsonLines, Sink};
use amorsize::{Batch, Error, ErrorKind, TryError, process_in_batches};
use folder::Folder;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Photo {
    name: String,
    size: (u32, u32),
    taken: Option<u64>,
    tags: Vec<String>,
}

fn photo(number: usize) -> Photo {
    Photo {
        name: format!("\"{number}\"\n\u{1F4F7}.jpg"),
        size: (number as u32, 2),
        taken: (!number.is_multiple_of(3)).then_some(number as u64),
        tags: vec!["tag".to_owned(); number % 4],
    }
}

fn lines<T: for<'a> Deserialize<'a>>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Counts batches, and passes them on.
struct Counting<'a>(&'a mut JsonLines, usize);

impl<R: Serialize> Sink<R> for Counting<'_> {
    type Error = Error;

    fn batch(&mut self, batch: Batch<R>) -> Result<(), Error> {
        self.1 += 1;
        Ok(self.0.batch(batch)?)
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(Sink::<R>::finish(self.0)?)
    }
}

#[test]
fn a_line_for_each_result_in_input_order() {
    let folder = Folder::new("a_line_for_each_result");
    let path = folder.file("photos.jsonl");
    let report = process_in_batches(photo, 0..1000).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(report.items(), 1000);
    assert_eq!(lines::<Photo>(&path), (0..1000).map(photo).collect::<Vec<_>>());
    assert_eq!(folder.names(), ["photos.jsonl"]);
}

#[test]
fn results_that_are_larger_than_what_is_kept_together() {
    let folder = Folder::new("results_that_are_larger");
    let path = folder.file("texts.jsonl");
    let text = |length: usize| "x".repeat(length * 200);
    process_in_batches(text, 0..300).batch_size(7).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(lines::<String>(&path), (0..300).map(text).collect::<Vec<_>>());
}

#[test]
fn a_run_without_results_makes_an_empty_file() {
    let folder = Folder::new("a_run_without_results");
    let path = folder.file("none.jsonl");
    process_in_batches(photo, 0..0).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(folder.names(), ["none.jsonl"]);
}

#[test]
fn errors_go_where_the_policy_says() {
    let folder = Folder::new("errors_go_where");
    let path = folder.file("numbers.jsonl");
    let run = || process_in_batches(str::parse::<u32>, ["1", "two", "3", "four"]);

    run().on_error(Skip).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(lines::<u32>(&path), [1, 3]);
    let outcome = run().on_error(Collect).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(outcome.failures().len(), 2);
    assert_eq!(lines::<u32>(&path), [1, 3]);

    // The error is the function's own value, and not its text.
    let mut run = run().on_error(Stop);
    let mut sink = JsonLines::new(&path);
    let error: TryError<std::num::ParseIntError> = run.write_to(&mut sink).unwrap_err();
    assert_eq!((error.item(), error.into_item_error()), (Some(1), "two".parse::<u32>().err()));
    assert_eq!(run.write_to(&mut sink).unwrap_err().item(), Some(3));
    run.write_to(&mut sink).unwrap();
    assert_eq!(lines::<u32>(&path), [1, 3]);
    // An error of the file is an error of the run.
    let nowhere = JsonLines::new(folder.file("no/such/folder"));
    let error = process_in_batches(str::parse::<u32>, ["1"]).on_error(Stop).write_to(nowhere).unwrap_err();
    assert!(matches!(error, TryError::Run(error) if error.is_storage()));
}

#[test]
fn an_early_end_leaves_whole_lines_and_the_same_sink_goes_on() {
    let folder = Folder::new("an_early_end");
    let path = folder.file("photos.jsonl");
    let call = |x: usize| if x % 100 == 99 { Err(x) } else { Ok(photo(x)) };
    let mut sink = JsonLines::new(&path);
    let mut run = process_in_batches(call, 0..300).on_error(Stop).batch_size(10);
    for end in [99, 199, 299] {
        assert_eq!(run.write_to(&mut sink).unwrap_err().into_item_error(), Some(end));
        assert_eq!(folder.names(), ["photos.jsonl.partial"]);
        let expected: Vec<_> = (0..end).filter(|x| x % 100 < 99).map(photo).collect();
        assert_eq!(lines::<Photo>(&folder.file("photos.jsonl.partial")), expected);
    }
    run.write_to(&mut sink).unwrap();
    assert_eq!(folder.names(), ["photos.jsonl"]);
    assert_eq!(lines::<Photo>(&path).len(), 297);
}

#[test]
fn a_file_of_that_name_is_replaced_when_the_new_one_is_whole() {
    let folder = Folder::new("a_file_of_that_name");
    let path = folder.file("numbers.jsonl");
    fs::write(&path, "of the last run\n").unwrap();
    let mut sink = JsonLines::new(&path);
    let mut run = process_in_batches(|x: u32| if x == 2 { Err("two") } else { Ok(x) }, 0..4).on_error(Stop);
    run.write_to(&mut sink).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "of the last run\n");
    run.write_to(&mut sink).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n3\n");
}

#[test]
fn a_partial_file_that_nobody_goes_on_with_is_overwritten() {
    let folder = Folder::new("a_partial_file");
    let path = folder.file("numbers.jsonl");
    fs::write(folder.file("numbers.jsonl.partial"), "a much longer text of a process that was killed\nhalf a li")
        .unwrap();
    process_in_batches(|x: u32| x, 0..3).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n");
    assert_eq!(folder.names(), ["numbers.jsonl"]);
}

#[test]
fn two_sinks_do_not_write_one_file() {
    let folder = Folder::new("two_sinks");
    let path = folder.file("numbers.jsonl");
    let mut first = JsonLines::new(&path);
    Sink::<u32>::begin(&mut first).unwrap();
    let mut run = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..3);
    let error = run.write_to(JsonLines::new(&path)).unwrap_err();
    assert!(error.is_busy(), "{error}");
    // Nor do they when the first one is done with the file that the second one had opened.
    process_in_batches(|x: u32| x, 0..3).write_to(&mut first).unwrap();
    process_in_batches(|x: u32| x * x, 0..3).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n4\n");
}

#[test]
fn a_place_is_where_a_later_sink_goes_on() {
    let folder = Folder::new("a_place");
    let path = folder.file("numbers.jsonl");
    let partial = folder.file("numbers.jsonl.partial");
    let write = |sink: &mut JsonLines, numbers: std::ops::Range<u32>| {
        process_in_batches(|x: u32| x, numbers).try_for_each_batch(|batch| Ok::<_, Error>(sink.batch(batch)?))
    };

    let mut sink = JsonLines::new(&path);
    assert_eq!(Sink::<u32>::place(&mut sink), Some(0));
    write(&mut sink, 0..5).unwrap();
    assert_eq!(Sink::<u32>::place(&mut sink), Some(10));
    write(&mut sink, 5..9).unwrap();
    drop(sink);
    // This is the file of a process that was killed within a line.
    fs::write(&partial, [&fs::read(&partial).unwrap()[..], b"12"].concat()).unwrap();

    let mut sink = JsonLines::new(&path);
    Sink::<u32>::go_back(&mut sink, 10).unwrap();
    assert_eq!(fs::read_to_string(&partial).unwrap(), "0\n1\n2\n3\n4\n");
    write(&mut sink, 70..72).unwrap();
    // The same sink goes back as well, and further.
    Sink::<u32>::go_back(&mut sink, 4).unwrap();
    write(&mut sink, 80..81).unwrap();
    Sink::<u32>::finish(&mut sink).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n80\n");
    assert_eq!(Sink::<u32>::place(&mut sink), Some(7));

    // The process ended after it renamed the file, and before it stored the new place.
    for _ in 0..2 {
        let mut sink = JsonLines::new(&path);
        Sink::<u32>::go_back(&mut sink, 7).unwrap();
        assert_eq!(folder.names(), ["numbers.jsonl"]);
        Sink::<u32>::finish(&mut sink).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n80\n");
    }

    // The file stays as it is until the one with more, or with less, is complete.
    for (place, add, expected) in [(7, 5..6, "0\n1\n80\n5\n"), (4, 6..7, "0\n1\n6\n"), (2, 0..0, "0\n")] {
        let before = fs::read_to_string(&path).unwrap();
        let mut sink = JsonLines::new(&path);
        Sink::<u32>::go_back(&mut sink, place).unwrap();
        assert_eq!(Sink::<u32>::place(&mut sink), Some(place));
        write(&mut sink, add).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        Sink::<u32>::finish(&mut sink).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(folder.names(), ["numbers.jsonl"]);
    }

    // The first place is the start, and an older file stays until it is replaced.
    let mut sink = JsonLines::new(&path);
    Sink::<u32>::go_back(&mut sink, 0).unwrap();
    assert_eq!(folder.names(), ["numbers.jsonl", "numbers.jsonl.partial"]);
    Sink::<u32>::finish(&mut sink).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn a_partial_file_that_is_shorter_than_the_place_is_an_error() {
    let folder = Folder::new("shorter_than_the_place");
    let path = folder.file("numbers.jsonl");
    let go_back = |place| Sink::<u32>::go_back(&mut JsonLines::new(&path), place).map_err(Error::from);

    let gone = go_back(6).unwrap_err();
    assert!(matches!(gone.kind(), ErrorKind::Storage { kind: io::ErrorKind::NotFound, .. }), "{gone}");
    let advice = "put the file back, or remove the journal's directory to begin anew";
    assert!(gone.to_string().contains("it is not there, nor is") && gone.to_string().ends_with(advice), "{gone}");
    fs::write(&path, "0\n1\n").unwrap();
    let shorter = go_back(6).unwrap_err();
    assert!(matches!(shorter.kind(), ErrorKind::Storage { kind: io::ErrorKind::UnexpectedEof, .. }), "{shorter}");
    fs::remove_file(&path).unwrap();
    fs::write(folder.file("numbers.jsonl.partial"), "0\n1\n").unwrap();
    let shorter = go_back(6).unwrap_err();
    assert!(matches!(shorter.kind(), ErrorKind::Storage { kind: io::ErrorKind::UnexpectedEof, .. }), "{shorter}");
    assert!(shorter.to_string().contains("it has 4 bytes, and 6 were written to it before"), "{shorter}");
    assert!(shorter.to_string().ends_with(advice), "{shorter}");
    // Neither call removed anything.
    assert_eq!(fs::read_to_string(folder.file("numbers.jsonl.partial")).unwrap(), "0\n1\n");
    go_back(4).unwrap();
}

#[test]
fn a_finished_file_stays_while_a_run_with_a_journal_adds_to_it() {
    let folder = Folder::new("a_finished_file_stays");
    let (runs, path) = (folder.file("runs"), folder.file("numbers.jsonl"));
    let seen = std::sync::atomic::AtomicUsize::new(0);
    let look = |x: u32| {
        let before = match x {
            0..3 => return x,
            3..6 => "0\n1\n2\n",
            _ => "0\n1\n2\n3\n4\n5\n",
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        x
    };
    let run = |items: std::ops::Range<u32>| {
        process_in_batches(&look, items).version(1).journal(&runs).batch_size(1).threads(1)
    };
    run(0..3).write_to(JsonLines::new(&path)).unwrap();
    run(0..6).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n4\n5\n");
    // A file that has everything is not touched, and nor is what else is there.
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    run(0..6).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    assert_eq!(folder.names(), ["numbers.jsonl", "runs"]);
    // A copy that a killed process began does no harm.
    fs::write(folder.file("numbers.jsonl.partial.new"), "a longer beginning than the whole file has").unwrap();
    run(0..7).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n3\n4\n5\n6\n");
    assert_eq!(folder.names(), ["numbers.jsonl", "runs"]);
    // A file that was moved away is missed.
    fs::rename(&path, folder.file("elsewhere")).unwrap();
    let error = run(0..7).write_to(JsonLines::new(&path)).unwrap_err().to_string();
    assert!(error.contains("numbers.jsonl` could not be continued: it is not there"), "{error}");
    assert!(error.ends_with("or remove the journal's directory to begin anew"), "{error}");
    fs::remove_dir_all(&runs).unwrap();
    run(0..3).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), 4);
}

#[test]
fn a_copy_that_fails_is_no_hole_in_the_file() {
    let folder = Folder::new("a_copy_that_fails");
    let path = folder.file("numbers.jsonl");
    fs::write(&path, "0\n1\n").unwrap();
    let write = |sink: &mut JsonLines, number: u32| {
        process_in_batches(|x: u32| x, [number]).try_for_each_batch(|batch| Ok::<_, Error>(sink.batch(batch)?))
    };
    let mut sink = JsonLines::new(&path);
    Sink::<u32>::go_back(&mut sink, 4).unwrap();
    fs::create_dir(folder.file("numbers.jsonl.partial.new")).unwrap();
    assert!(write(&mut sink, 2).unwrap_err().is_storage());
    fs::remove_dir(folder.file("numbers.jsonl.partial.new")).unwrap();
    // The sink does not have the line of 2.
    write(&mut sink, 3).unwrap_err();
    Sink::<u32>::finish(&mut sink).unwrap_err();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n");
    // It goes on when it is told where.
    Sink::<u32>::go_back(&mut sink, 4).unwrap();
    write(&mut sink, 2).unwrap();
    // Another one, which began meanwhile, keeps its file.
    let mut other = JsonLines::new(&path);
    assert!(Sink::<u32>::go_back(&mut other, 4).unwrap_err().is_busy());
    Sink::<u32>::finish(&mut sink).unwrap();
    Sink::<u32>::go_back(&mut other, 4).unwrap();
    let mut third = JsonLines::new(&path);
    Sink::<u32>::begin(&mut third).unwrap();
    assert!(write(&mut other, 7).unwrap_err().is_busy());
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n");
}

#[test]
#[cfg(unix)]
fn what_is_no_regular_file_is_refused_and_stays() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new("no_regular_file");
    let (file, socket) = (folder.file("file"), folder.file("s"));
    fs::write(&file, "kept\n").unwrap();
    symlink("file", folder.file("link")).unwrap();
    symlink("nothing", folder.file("broken")).unwrap();
    symlink("file", folder.file("new.partial")).unwrap();
    let mut paths = vec![folder.file("link"), folder.file("broken"), folder.file("new"), "/dev/null".into()];
    // Its path may be too long for a socket.
    paths.extend(std::os::unix::net::UnixListener::bind(&socket).is_ok().then_some(socket));
    let before = folder.names();
    for path in paths {
        for journal in [false, true] {
            let run = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..3).version(1);
            let mut run = if journal { run.journal(folder.file("runs")) } else { run };
            let error = run.write_to(JsonLines::new(&path)).unwrap_err();
            assert!(error.is_storage() && error.to_string().contains(&*path.to_string_lossy()), "{error}");
            assert!(error.to_string().ends_with("give it the path of one, or of none yet"), "{error}");
            let sink = &mut JsonLines::new(&path);
            Sink::<u32>::go_back(sink, 2).unwrap_err();
            drop(run);
            _ = fs::remove_dir_all(folder.file("runs"));
        }
    }
    assert_eq!(folder.names(), before);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept\n");
}

#[test]
fn an_empty_path_is_refused_before_any_call() {
    let mut run = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..3);
    let error = run.write_to(JsonLines::new("")).unwrap_err().to_string();
    assert!(error.contains("the path is empty; "), "{error}");
}

#[test]
fn a_path_that_can_t_be_written_is_refused_before_any_call() {
    let folder = Folder::new("a_path_that_can_t");
    fs::create_dir(folder.file("directory")).unwrap();
    for (name, kind) in [("no/such/folder", io::ErrorKind::NotFound), ("directory", io::ErrorKind::IsADirectory)] {
        let mut run = process_in_batches(|_: u32| -> u32 { unreachable!("not called") }, 0..3);
        let error = run.write_to(JsonLines::new(folder.file(name))).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Storage { kind: found, .. } if *found == kind), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_result_that_has_no_json_is_named_and_the_file_is_never_whole() {
    let folder = Folder::new("a_result_that_has_no_json");
    let path = folder.file("maps.jsonl");
    /// A key of JSON is a text, so the map can't be written.
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Entry {
        Number(u32),
        Map(HashMap<(u32, u32), u32>),
    }
    let call = |x: u32| if x == 7 { Entry::Map(HashMap::from([((x, x), x)])) } else { Entry::Number(x) };

    let mut sink = JsonLines::new(&path);
    let mut run = process_in_batches(call, 0..20).batch_size(5);
    let error = run.write_to(&mut sink).unwrap_err();
    assert_eq!(error.item(), Some(7));
    assert_eq!(error.to_string(), format!("item 7 can't be written to `{}`: key must be a string", path.display()));
    let partial = folder.file("maps.jsonl.partial");
    assert!(fs::read_to_string(&partial).unwrap().starts_with("0\n1\n2\n3\n4\n"));
    // Going on would leave a hole in the file.
    let again = run.write_to(&mut sink).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(folder.names(), ["maps.jsonl.partial"]);
}

#[test]
fn a_sink_that_is_finished_takes_no_other_run() {
    let folder = Folder::new("a_sink_that_is_finished");
    let path = folder.file("numbers.jsonl");
    let mut sink = JsonLines::new(&path);
    let mut run = process_in_batches(|x: u32| x, 0..3);
    run.write_to(&mut sink).unwrap();
    // The same run has nothing more to give.
    run.write_to(&mut sink).unwrap();
    let error = process_in_batches(|x: u32| -> u32 { panic!("{x}") }, 7..9).write_to(&mut sink).unwrap_err();
    assert!(error.to_string().contains("it is finished; make another sink for another run"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "0\n1\n2\n");
}

#[test]
fn a_sink_of_sinks() {
    let folder = Folder::new("a_sink_of_sinks");
    let mut inner = JsonLines::new(folder.file("numbers.jsonl"));
    let mut outer = Counting(&mut inner, 0);
    process_in_batches(|x: u32| x, 0..10).batch_size(5).write_to(&mut outer).unwrap();
    assert_eq!(outer.1, 2);
    assert_eq!(lines::<u32>(&folder.file("numbers.jsonl")), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_error_of_a_file_is_an_error_like_others() {
    fn as_io(error: FileError) -> io::Error {
        error.into()
    }
    let mut sink = JsonLines::new("/no/such/folder/x.jsonl");
    let error = Sink::<u32>::begin(&mut sink).unwrap_err();
    let text = error.to_string();
    assert_eq!(format!("{error:?}"), text);
    assert_eq!(as_io(error).to_string(), text);
}

#[test]
fn json_with_line_breaks_is_refused() {
    let folder = Folder::new("raw_value");
    let path = folder.file("out.jsonl");
    let raw = |x: u64| {
        let text = if x == 3 { "{\n \"x\": 3\n}".to_owned() } else { format!("{{\"x\":{x}}}") };
        serde_json::value::RawValue::from_string(text).unwrap()
    };
    let refused = process_in_batches(raw, 0..9).write_to(JsonLines::new(&path)).unwrap_err();
    assert_eq!(refused.item(), Some(3));
    assert!(refused.to_string().contains("its JSON has line breaks"), "{refused}");
    process_in_batches(raw, 0..3).write_to(JsonLines::new(&path)).unwrap();
    assert_eq!(lines::<HashMap<String, u64>>(&path).len(), 3);
}
