//! Disks that fail: the error has a kind, everything written before is kept, and nothing is tried
//! again.

use std::io;
use std::time::Duration;

use super::threads::Disk;
use super::*;
use crate::system::sync::Clock;

/// The error's path, operation and kind.
fn refused(error: &Error) -> (String, &'static str, io::ErrorKind) {
    match error.kind() {
        ErrorKind::Storage { path, operation, kind, .. } => (path.display().to_string(), operation, *kind),
        other => panic!("{other:?}"),
    }
}

/// Puts results until the thread has failed, and asserts that it then takes nothing and holds
/// nothing.
fn until_it_fails(writer: Writer) -> Error {
    for item in 0.. {
        if writer.failure().is_some() {
            break;
        }
        writer.put(encoded(item * 100..item * 100 + 100));
        writer.wait_for_room();
    }
    let told = writer.failure().unwrap();
    writer.put(encoded(0..1));
    writer.done([(0, 1, ItemsHash::default())], None);
    writer.wait_for_room();
    assert_eq!(writer.held(), 0);
    let error = writer.finish().unwrap_err();
    assert_eq!(error.kind(), told.kind());
    assert!(error.is_storage());
    error
}

#[test]
fn a_failed_write_ends_writing_and_is_not_tried_again() {
    // The clock stands, so that nothing is synced in between.
    let _entered = Clock::standing().enter();
    for fails_at in 0..4 {
        let disk = Disk::default();
        disk.0.lock().unwrap().fails_at_write = Some(fails_at);
        let error = until_it_fails(disk.writer(Settings::new(1)));
        let operation = if fails_at == 0 { "made" } else { "written" };
        assert_eq!(refused(&error), ("disk/1".to_owned(), operation, io::ErrorKind::StorageFull));
        let ErrorKind::Storage { needed: Some(needed), free: Some(free), .. } = error.kind() else { panic!("{error}") };
        assert!(needed.as_u64() > 0 && free.as_u64() == 4096);
        let asked = disk.0.lock().unwrap();
        assert_eq!((asked.writes, asked.syncs, asked.segments), (fails_at + 1, 0, 1));
    }
}

#[test]
fn a_failed_sync_ends_writing_and_is_not_tried_again() {
    // The clock stands, so that nothing is synced in between.
    let _entered = Clock::standing().enter();
    let disk = Disk::default();
    disk.0.lock().unwrap().fails_at_sync = Some(0);
    let writer = disk.writer(Settings { segment_bytes: 4096, ..Settings::new(1) });
    let error = until_it_fails(writer);
    assert_eq!(refused(&error), ("disk/1".to_owned(), "synced", io::ErrorKind::Other));
    let asked = disk.0.lock().unwrap();
    assert_eq!((asked.syncs, asked.segments), (1, 1));
}

#[test]
fn a_sync_that_fails_at_the_end_is_told() {
    let disk = Disk::default();
    disk.0.lock().unwrap().fails_at_sync = Some(0);
    let writer = disk.writer(Settings::new(1));
    writer.put(encoded(0..1));
    assert_eq!(refused(&writer.finish().unwrap_err()).1, "synced");
}

#[test]
fn a_segment_that_cant_be_made_ends_writing() {
    let disk = Disk::default();
    disk.0.lock().unwrap().fails_at_segment = Some(1);
    let error = until_it_fails(disk.writer(Settings { segment_bytes: 4096, ..Settings::new(1) }));
    assert_eq!(refused(&error), ("disk/2".to_owned(), "made", io::ErrorKind::PermissionDenied));
    // Bytes have nothing to do with it.
    assert!(matches!(error.kind(), ErrorKind::Storage { needed: None, free: None, .. }), "{error}");
}

#[test]
fn max_disk_is_kept_and_more_of_it_goes_on() {
    const MOST: u64 = 20_000;
    let scratch = Scratch::new();
    let writer = |max_disk| Settings { max_disk: Some(max_disk), segment_bytes: 5000, ..Settings::new(1) };
    let store = open(&scratch.run()).unwrap();
    let error = until_it_fails(store.writer(writer(MOST)).unwrap());
    drop(store);
    assert_eq!(refused(&error).2, io::ErrorKind::QuotaExceeded);
    assert!(error.to_string().contains("`max_disk` of 19.5 KiB has "), "{error}");

    let mut store = open(&scratch.run()).unwrap();
    assert!(store.found.bytes > MOST / 2 && store.found.bytes <= MOST, "{}", store.found.bytes);
    let kept = read_all(&mut store).unwrap();
    assert!(kept >= 100);
    // The bytes on disk count.
    let second = store.writer(writer(MOST)).unwrap();
    second.put(encoded(kept..kept + 1000));
    assert_eq!(refused(&second.finish().unwrap_err()).2, io::ErrorKind::QuotaExceeded);
    let third = store.writer(writer(2 * MOST)).unwrap();
    third.put(encoded(kept..kept + 100));
    third.finish().unwrap();
    drop(store);
    assert_eq!(read_all(&mut open(&scratch.run()).unwrap()).unwrap(), kept + 100);
}

#[test]
fn all_that_is_in_segments_counts_for_max_disk() {
    for max_disk in (1..2_000).step_by(37) {
        let settings = || Settings { max_disk: Some(max_disk), segment_bytes: 400, ..Settings::new(1) };
        let scratch = Scratch::new();
        let most = |kind, write: &dyn Fn(Writer)| {
            let store = Store::open(&scratch.run(), &identity(kind)).unwrap();
            write(store.writer(settings()).unwrap());
            drop(store);
            let bytes = Store::open(&scratch.run(), &identity(kind)).unwrap().found.bytes;
            assert!(bytes <= max_disk, "{bytes} of {max_disk}");
            // A frame with all that goes with it.
            assert!(bytes + 1_000 > max_disk, "{bytes} of {max_disk}");
            std::fs::remove_dir_all(scratch.run()).unwrap();
        };
        // With shapes in the headers.
        most(Kind::Checkpoint, &|writer| drop(until_it_fails(writer)));
        // With places that each segment repeats.
        most(Kind::Journal, &|writer| {
            for place in 0..100 {
                writer.done([(place, 1, ItemsHash(place))], Some(place));
                writer.go_on_from(place);
            }
            assert_eq!(refused(&writer.finish().unwrap_err()).2, io::ErrorKind::QuotaExceeded);
        });
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_system_that_syncs_no_directory_is_no_error() {
    use super::super::lock::Lock;
    use super::super::segment::{Directory, Supply};

    let scratch = Scratch::new();
    // A sync of it is an invalid argument, as on some file systems that several machines share.
    Directory::new(Path::new("/proc"), 1, Lock::take(&scratch.run()).unwrap()).sync_names().unwrap();
}

#[test]
#[cfg(unix)]
fn a_file_that_is_another_one_each_time_is_not_tried_for_ever() {
    let scratch = Scratch::new();
    let lock = scratch.run().join("lock");
    let mut opened = 0;
    let taken = super::super::lock::Lock::take_with(&scratch.run(), || {
        opened += 1;
        assert!(opened < 10_000, "it would never end");
        std::fs::write(lock.with_extension("new"), "").unwrap();
        std::fs::rename(lock.with_extension("new"), &lock).unwrap();
    });
    let error = taken.unwrap_err();
    assert_eq!(refused(&error), (lock.display().to_string(), "locked", io::ErrorKind::Other));
    assert!(error.to_string().contains("use a path on another file system"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_lock_that_is_no_file_is_an_error_and_no_wait() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    let scratch = Scratch::new();
    let lock = scratch.run().join("lock");
    std::fs::create_dir(scratch.run()).unwrap();
    mknodat(CWD, &lock, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let error = open(&scratch.run()).unwrap_err();
    assert_eq!(refused(&error), (lock.display().to_string(), "opened", io::ErrorKind::InvalidInput));
    assert!(error.to_string().ends_with("no regular file; move it away, or use another directory"), "{error}");
}

#[test]
fn a_directory_that_is_removed_meanwhile_is_an_error() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..10]);
    let mut store = open(&scratch.run()).unwrap();
    std::fs::remove_dir_all(scratch.run()).unwrap();
    let path = scratch.run().display().to_string();
    let done = store.found.done[0];
    let error = store.read(&done).unwrap_err();
    assert_eq!(refused(&error), (format!("{path}/000001.amz"), "read", io::ErrorKind::NotFound));
    let error = until_it_fails(store.writer(Settings::new(1)).unwrap());
    assert_eq!(refused(&error), (format!("{path}/000002.amz"), "made", io::ErrorKind::NotFound));
}

#[test]
fn a_directory_that_is_removed_after_its_names_were_synced_is_an_error() {
    let scratch = Scratch::new();
    let clock = Clock::standing();
    let _entered = clock.enter();
    let writer = open(&scratch.run()).unwrap().writer(Settings::new(1 << 20)).unwrap();
    writer.put(encoded(0..10));
    writer.settle();
    clock.pass(Duration::from_secs(2));
    // The thread's first look at the queue writes, the next one syncs.
    writer.settle();
    writer.settle();
    std::fs::remove_dir_all(scratch.run()).unwrap();
    writer.put(encoded(10..20));
    let error = writer.finish().unwrap_err();
    let path = scratch.run().join("000001.amz").display().to_string();
    assert_eq!(refused(&error), (path, "found", io::ErrorKind::NotFound));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_an_error() {
    use super::super::segment::{Created, Supply};

    struct Full;
    impl Supply for Full {
        fn create(&mut self) -> Result<Created, (PathBuf, io::Error)> {
            let file = std::fs::File::options().write(true).open("/dev/full").unwrap();
            Ok((1, "/dev/full".into(), Box::new(file)))
        }

        fn sync_names(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn free(&self) -> Option<u64> {
            None
        }

        fn path(&self) -> &Path {
            Path::new("/dev")
        }
    }
    let error = until_it_fails(Writer::start(Box::new(Full), Settings::new(1), 0, Vec::new()).unwrap());
    assert_eq!(refused(&error), ("/dev/full".to_owned(), "made", io::ErrorKind::StorageFull));
}

/// Runs a test of this file in a process of its own, which `sh` starts by the text.
#[cfg(target_os = "linux")]
fn in_a_process(test: &str, start: &str, directory: &Path) -> std::process::Output {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", start, "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", test]).env("AMORSIZE_STORE_TEST", directory);
    command.output().unwrap()
}

/// The directory, in a process that another test has started for this one.
#[cfg(target_os = "linux")]
fn told() -> Option<PathBuf> {
    std::env::var_os("AMORSIZE_STORE_TEST").map(PathBuf::from)
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_may_grow_no_more_is_an_error_and_what_fits_is_kept() {
    if let Some(directory) = told() {
        let store = open(&directory).unwrap();
        let error = until_it_fails(store.writer(Settings::new(1)).unwrap());
        let path = directory.join("000001.amz").display().to_string();
        assert_eq!(refused(&error), (path, "written", io::ErrorKind::FileTooLarge));
        assert!(error.to_string().contains("; free space, and the same call goes on"), "{error}");
        return;
    }
    let scratch = Scratch::new();
    let test = "store::tests::storage::a_file_that_may_grow_no_more_is_an_error_and_what_fits_is_kept";
    // In units of 512 bytes. The signal would end the process unless it is ignored.
    let output = in_a_process(test, "trap '' XFSZ; ulimit -f 64; exec \"$@\"", &scratch.run());
    assert!(output.status.success(), "{output:?}");
    let mut store = open(&scratch.run()).unwrap();
    let kept = read_all(&mut store).unwrap();
    // Half a frame may be at the end. It does not count as damage.
    assert!(kept >= 100 && store.found.bytes == 64 * 512 && store.found.damaged == 0, "{kept}, {}", store.found.bytes);
    let writer = store.writer(Settings::new(1)).unwrap();
    writer.put(encoded(kept..kept + 50));
    writer.finish().unwrap();
    drop(store);
    assert_eq!(read_all(&mut open(&scratch.run()).unwrap()).unwrap(), kept + 50);
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_without_the_right_to_write_is_an_error() {
    use std::os::unix::fs::PermissionsExt;

    if let Some(directory) = told() {
        let error = open(&directory).unwrap_err();
        let lock = directory.join("lock").display().to_string();
        assert_eq!(refused(&error), (lock, "opened", io::ErrorKind::PermissionDenied));
        let error = open(&directory.join("within")).unwrap_err();
        assert_eq!(refused(&error).1, "made");
        println!("refused");
        return;
    }
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.run()).unwrap();
    std::fs::set_permissions(scratch.run(), PermissionsExt::from_mode(0o555)).unwrap();
    let test = "store::tests::storage::a_directory_without_the_right_to_write_is_an_error";
    // Missing rights keep root from nothing, so another user runs the test.
    let other = "if [ $(id -u) = 0 ]; then exec setpriv --reuid=65534 --clear-groups \"$@\"; else exec \"$@\"; fi";
    let output = in_a_process(test, other, &scratch.run());
    if output.status.code() == Some(127) || String::from_utf8_lossy(&output.stderr).contains("setpriv: failed") {
        println!("skipped: {output:?}");
        return;
    }
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("refused"), "{output:?}");
}
