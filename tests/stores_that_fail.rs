//! A run with a directory that can't take its finished results ends with an error that says so. All
//! results that were written stay there, and the next call with enough room ends right.

#[path = "common/folder.rs"]
mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use amorsize::{Batched, Error, ErrorKind, process_in_batches};
use folder::Folder;

const ITEMS: u64 = 8_000;
/// Bytes of a result, which compression makes no smaller.
const BYTES: usize = 100;

/// Counts the calls for each item.
#[derive(Default)]
struct Calls(Mutex<BTreeMap<u64, usize>>);

impl Calls {
    fn note(&self, item: u64) {
        *self.0.lock().unwrap().entry(item).or_default() += 1;
    }
}

fn result(x: u64) -> Vec<u64> {
    let mut seed = x;
    let mut next = || {
        seed = (seed ^ (seed >> 29)).wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed
    };
    (0..BYTES / 8).map(|_| next()).collect()
}

type Call<'a> = Box<dyn Fn(u64) -> Vec<u64> + Sync + 'a>;

/// A run that may hold few unwritten results, so that it does not end before a write fails.
fn run<'a>(directory: &Path, calls: &'a Calls) -> Batched<std::ops::Range<u64>, Vec<u64>, Call<'a>> {
    let call: Call<'a> = Box::new(|x| {
        calls.note(x);
        result(x)
    });
    process_in_batches(call, 0..ITEMS).version(1).max_memory("512KiB").checkpoint(directory)
}

/// Runs to the error, and returns the number of results that came to the sink, in order, with the
/// error.
fn until_it_fails(mut run: Batched<std::ops::Range<u64>, Vec<u64>, Call<'_>>) -> (u64, Error) {
    let mut next = 0;
    let outcome = run.for_each_batch(|batch| {
        for (index, value) in batch.indices().zip(batch) {
            assert_eq!((index as u64, value), (next, result(next)));
            next += 1;
        }
    });
    let error = outcome.unwrap_err();
    // The next terminal tries again. It goes on with the item after those that were handed over.
    let again = run.for_each_batch(|batch| {
        for (index, value) in batch.indices().zip(batch) {
            assert_eq!((index as u64, value), (next, result(next)));
            next += 1;
        }
    });
    match again {
        Ok(_) => assert_eq!(next, ITEMS),
        Err(error) => assert!(error.is_storage(), "{error}"),
    }
    (next, error)
}

fn kind_of(error: &Error) -> io::ErrorKind {
    assert!(error.is_storage(), "{error}");
    let ErrorKind::Storage { kind, .. } = error.kind() else { panic!("{error}") };
    *kind
}

/// Checks that the next call ends right, and calls nothing again that has a stored result.
fn goes_on(directory: &Path, before: &Calls) -> usize {
    let calls = Calls::default();
    let mut next = 0;
    let report = run(directory, &calls)
        .for_each_batch(|batch| {
            for value in batch {
                assert_eq!(value, result(next));
                next += 1;
            }
        })
        .unwrap();
    assert_eq!((next, report.items()), (ITEMS, ITEMS as usize));
    let calls = calls.0.into_inner().unwrap();
    assert_eq!(calls.len() + report.restored(), ITEMS as usize);
    let before = before.0.lock().unwrap();
    assert!((0..ITEMS).all(|x| calls.contains_key(&x) || before.contains_key(&x)));
    report.restored()
}

#[test]
fn a_bound_of_bytes_on_disk_is_kept() {
    for threads in [1, 3] {
        let (folder, calls) = (Folder::new(&format!("max-disk-{threads}")), Calls::default());
        let directory = folder.file("run");
        let (seen, error) = until_it_fails(run(&directory, &calls).threads(threads).max_disk("400KiB"));
        assert_eq!(kind_of(&error), io::ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("`max_disk` of 400 KiB has "), "{error}");
        assert!(seen < ITEMS && calls.0.lock().unwrap().len() < ITEMS as usize);
        assert!(size_of(&directory) <= 400 << 10);
        // With the same bound little more fits, if anything, and no stored result is lost.
        let (_, error) = until_it_fails(run(&directory, &calls).threads(threads).max_disk("400KiB"));
        assert_eq!(kind_of(&error), io::ErrorKind::QuotaExceeded);
        assert!(goes_on(&directory, &calls) > 0);
    }
}

fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let segments = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "amz"));
    segments.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn a_directory_that_is_removed_before_the_first_write_is_an_error() {
    let (folder, calls) = (Folder::new("removed-before"), Calls::default());
    let directory = folder.file("run");
    let mut first = run(&directory, &calls);
    // The directory is locked, and contains only the manifest.
    first.plan().unwrap();
    fs::remove_dir_all(&directory).unwrap();
    let (_, error) = until_it_fails(first);
    assert_eq!(kind_of(&error), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("the same call goes on from what is written"), "{error}");
    assert_eq!(goes_on(&directory, &calls), 0);
}

#[test]
fn a_directory_that_is_removed_while_it_is_written_to_is_an_error() {
    let folder = Folder::new("removed");
    let directory = folder.file("run");
    let remove = |x: u64| {
        if x == ITEMS / 2 {
            // Some of the earlier results are written by then, because the run may not hold more.
            assert!(size_of(&directory) > 0);
            fs::remove_dir_all(&directory).unwrap();
        }
        result(x)
    };
    let mut first = process_in_batches(remove, 0..ITEMS).version(1).max_memory("512KiB").checkpoint(&directory);
    let error = first.for_each_batch(drop).unwrap_err();
    assert_eq!(kind_of(&error), io::ErrorKind::NotFound);
    let every = Calls::default();
    (0..ITEMS).for_each(|x| every.note(x));
    assert_eq!(goes_on(&directory, &every), 0);
}

#[test]
fn a_directory_that_cant_be_made_is_an_error_before_any_call() {
    let (folder, calls) = (Folder::new("not-made"), Calls::default());
    fs::write(folder.file("file"), "").unwrap();
    let directory = folder.file("file").join("run");
    let error = run(&directory, &calls).collect::<Vec<_>>().unwrap_err();
    assert_eq!(kind_of(&error), io::ErrorKind::NotADirectory);
    assert!(run(&directory, &calls).plan().unwrap_err().is_storage());
    assert!(calls.0.into_inner().unwrap().is_empty());
}

// ---- in processes of their own ----

const FOLDER: &str = "AMORSIZE_TEST_STORE_FOLDER";

/// Runs an ignored test in a process that `sh` starts with the command `start`. Returns false if
/// that was not possible.
#[cfg(unix)]
fn inside(start: &str, test: &str, folder: &Path) -> bool {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", start, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", test]).env(FOLDER, folder);
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(127) || err.contains("setpriv: failed") {
        println!("skipped: {err}");
        return false;
    }
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    true
}

fn folder_inside() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_an_error() {
    let folder = Folder::new("full");
    // The limit counts units of 512 bytes. The system would end the process by a signal, unless the
    // process ignores it.
    inside("trap '' XFSZ; ulimit -f 900; exec \"$@\"", "inside_files_may_grow_no_more", folder.path());
    // Half a frame at the end, if there is one, is no damage, and costs no other frame.
    let calls = Calls::default();
    (0..ITEMS).for_each(|x| calls.note(x));
    let restored = goes_on(&folder.file("run"), &calls);
    assert!(restored > 0);
    let report = run(&folder.file("run"), &calls).for_each_batch(drop).unwrap();
    assert_eq!((report.restored(), report.damaged()), (ITEMS as usize, 0));
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn inside_files_may_grow_no_more() {
    let Some(folder) = folder_inside() else { return };
    let calls = Calls::default();
    let (_, error) = until_it_fails(run(&folder.join("run"), &calls));
    assert_eq!(kind_of(&error), io::ErrorKind::FileTooLarge);
    assert!(error.to_string().contains("; free space, and the same call goes on"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_directory_that_may_not_be_written_to_is_an_error_before_any_call() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new("read-only");
    fs::create_dir(folder.file("run")).unwrap();
    fs::set_permissions(folder.file("run"), PermissionsExt::from_mode(0o555)).unwrap();
    // Missing rights do not stop root, so root becomes another user.
    let other = "if [ $(id -u) = 0 ]; then exec setpriv --reuid=65534 --clear-groups \"$@\"; else exec \"$@\"; fi";
    inside(other, "inside_nothing_may_be_written", folder.path());
    assert_eq!(fs::read_dir(folder.file("run")).unwrap().count(), 0);
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn inside_nothing_may_be_written() {
    let Some(folder) = folder_inside() else { return };
    let calls = Calls::default();
    for directory in [folder.join("run"), folder.join("run").join("within")] {
        let error = run(&directory, &calls).collect::<Vec<_>>().unwrap_err();
        assert_eq!(kind_of(&error), io::ErrorKind::PermissionDenied);
    }
    assert!(calls.0.into_inner().unwrap().is_empty());
}

#[test]
#[cfg(unix)]
fn results_that_may_only_be_read_are_opened_and_the_error_of_a_run_says_so() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, calls) = (Folder::new("read-only-results"), Calls::default());
    run(&folder.file("run"), &calls).for_each_batch(drop).unwrap();
    // Whatever the umask is.
    let modes =
        [("run/lock", 0o444), ("run/manifest.json", 0o444), ("run/000001.amz", 0o444), ("run", 0o555), ("", 0o755)];
    for (name, mode) in modes {
        fs::set_permissions(folder.file(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let other = "if [ $(id -u) = 0 ]; then exec setpriv --reuid=65534 --clear-groups \"$@\"; else exec \"$@\"; fi";
    inside(other, "inside_results_may_only_be_read", folder.path());
    fs::set_permissions(folder.file("run"), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn inside_results_may_only_be_read() {
    let Some(folder) = folder_inside() else { return };
    let error = run(&folder.join("run"), &Calls::default()).collect::<Vec<_>>().unwrap_err();
    assert_eq!(kind_of(&error), io::ErrorKind::PermissionDenied);
    let text = error.to_string();
    assert!(text.contains("lock` could not be opened") && text.contains("`Spilled::open` reads"), "{text}");
    let spilled = amorsize::Spilled::<Vec<u64>>::open(folder.join("run")).unwrap();
    assert!(spilled.is_complete() && spilled.len() == ITEMS as usize);
    assert!(spilled.into_iter().map(Result::unwrap).eq((0..ITEMS).map(result)));
}

#[test]
fn a_file_with_the_name_of_the_next_segment_is_named() {
    let (folder, calls) = (Folder::new("last-segment"), Calls::default());
    run(&folder.file("run"), &calls).plan().unwrap();
    let foreign = folder.file("run").join("4294967295.amz");
    fs::write(&foreign, "not a segment").unwrap();
    let (_, error) = until_it_fails(run(&folder.file("run"), &calls));
    assert_eq!(kind_of(&error), io::ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("4294967295.amz` could not be made: it exists, and no run "), "{error}");
    assert!(error.to_string().ends_with("move it away"), "{error}");
    fs::remove_file(foreign).unwrap();
    goes_on(&folder.file("run"), &calls);
}

#[test]
fn a_manifest_of_another_program_is_left_to_it() {
    let (folder, calls) = (Folder::new("foreign-manifest"), Calls::default());
    let (directory, path) = (folder.file("run"), folder.file("run").join("manifest.json"));
    fs::create_dir(&directory).unwrap();
    for foreign in ["{\"name\": \"app\", \"manifest_version\": 3}", "[1]", "", "name = app", "\u{1F4F7}"] {
        fs::write(&path, foreign).unwrap();
        let error = run(&directory, &calls).collect::<Vec<_>>().unwrap_err();
        assert_eq!(kind_of(&error), io::ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            format!(
                "`{}` could not be read: amorsize has not written it, and it may belong to another program; use another \
                 directory, or move this file away if nothing needs it",
                path.display()
            )
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
    fs::remove_file(&path).unwrap();
    goes_on(&directory, &calls);
}

#[test]
#[cfg(unix)]
fn a_run_leaves_a_directory_alone_that_has_taken_the_place_of_its_own() {
    let folder = Folder::new("taken");
    let directory = folder.file("run");
    for ends in ["collect", "spill", "remove"] {
        let others = || process_in_batches(|x: u64| x * x * x, 0..100).version("cubes").checkpoint(&directory);
        let replace = |x: u64| {
            if x == 50 {
                // The run's writer may make a file meanwhile.
                while fs::remove_dir_all(&directory).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {}
                others().collect::<Vec<_>>().unwrap();
            }
            x * x
        };
        let mut run = process_in_batches(replace, 0..100).version("squares").checkpoint(&directory);
        let error = match ends {
            "spill" => run.spill().map(drop),
            _ => run.remove_when_done(ends == "remove").collect::<Vec<_>>().map(drop),
        };
        let error = error.unwrap_err();
        assert_eq!(kind_of(&error), io::ErrorKind::NotFound);
        // Where the replacement takes long, the run's writer finds no directory in between.
        let says = ["another directory has taken its place", "could not be made"];
        assert!(says.iter().any(|says| error.to_string().contains(says)), "{error}");
        // Nothing in it was computed by the other run, and nothing has to be computed anew.
        let mut found = Vec::new();
        let again = others().for_each_batch(|batch| found.extend(batch)).unwrap();
        assert_eq!(found, (0..100).map(|x| x * x * x).collect::<Vec<_>>());
        assert_eq!((again.restored(), again.damaged()), (100, 0));
        fs::remove_dir_all(&directory).unwrap();
    }
}

#[test]
fn runs_that_remove_one_directory_find_it_free_or_in_use() {
    let folder = Folder::new("removed-by-many");
    let directory = folder.file("run");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..300 {
                    let run = process_in_batches(|x: u64| x + 1, 0..2).version(1).checkpoint(&directory);
                    match run.threads(1).remove_when_done(true).collect::<Vec<_>>() {
                        Ok(found) => assert_eq!(found, [1, 2]),
                        Err(error) => assert!(error.is_busy(), "{error}"),
                    }
                }
            });
        }
    });
}
