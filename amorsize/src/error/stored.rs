//! The texts of errors about the directory in which a run keeps its finished items.

use std::fmt;
use std::io;
use std::path::Path;

use super::{Changed, ErrorKind};
use crate::units::ByteSize;

/// The file that says which run the results of a directory belong to. Without it they are useless.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The extension of the files of results in a directory.
pub(crate) const SEGMENT: &str = "amz";

/// The extension of a sink's file until it is finished.
pub(crate) const PARTIAL: &str = "partial";

/// The last way out of a directory with results that can't be used. It may have other files, which
/// must not go with it.
const DELETE: &str =
    "use another directory, or delete this one (of a run are `lock`, `manifest.json` and `*.amz` in it)";

/// True if the system had no room for more bytes. Other errors have nothing to do with bytes.
fn is_of_room(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The ways out of an error of the system.
fn way_out(operation: &str, kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};

    let is_read = matches!(operation, "read" | "listed");
    match kind {
        AlreadyExists | NotADirectory if is_read => "use the path of a directory",
        AlreadyExists | NotADirectory => "use the path of a directory, or of none yet",
        PermissionDenied if is_read => "allow this user to read it",
        PermissionDenied | ReadOnlyFilesystem => {
            "allow this user to write there, and the same call goes on from what is written; or use another directory"
        }
        _ if is_of_room(kind) => "free space, and the same call goes on from what is written; or use another directory",
        _ => "mend that, and the same call goes on from what is written; or use another directory",
    }
}

/// The ways out of an error with a sink's file.
fn way_out_of_sink(operation: &str, kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};

    match (kind, operation) {
        (NotFound, "opened") => "a sink makes no directories: make that of its file",
        (PermissionDenied | ReadOnlyFilesystem, _) => {
            "allow this user to write there, or give the sink another path, unless a journal knows this one"
        }
        (_, "synced" | "renamed and synced") => {
            "nobody knows what the disk has: begin anew, or make the same call if it has a journal"
        }
        _ if is_of_room(kind) => "free space, and the same sink goes on; with a journal the same call does",
        _ => "mend that, and the same sink goes on; with a journal the same call does",
    }
}

/// True for the file of a sink that is not finished, and for the copy that becomes it.
fn is_of_sink(path: &Path) -> bool {
    let is_partial = |path: &Path| path.extension() == Some(PARTIAL.as_ref());
    is_partial(path) || path.file_stem().is_some_and(|stem| is_partial(stem.as_ref()))
}

/// Writes the text of the kinds that this file is about. `mod.rs` writes the others.
pub(super) fn tell(kind: &ErrorKind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match kind {
        ErrorKind::CheckpointBusy { directory: file } if is_of_sink(file) => write!(
            f,
            "`{}` is being written by another sink: wait until its run has ended, or use another path, unless a journal knows this one; a sink that this \
             process has in a variable keeps its file until it is dropped",
            file.display()
        ),
        ErrorKind::CheckpointBusy { directory } => write!(
            f,
            "`{}` is in use by another run: wait until that has ended, or use another directory; a run that this \
             process has in a variable uses it until it is dropped",
            directory.display()
        ),
        ErrorKind::CheckpointChanged { directory, what, was, is, begun, same_version } => {
            write!(f, "`{}` belongs to another run, which began {begun}: its {what} ", directory.display())?;
            write!(f, "was {was} and is now {is}; go back to what it was")?;
            // A type that can't be read is not shown, and may be a `Result`.
            let may_be_result = |text: &str| text.contains("Result") || !text.starts_with('`');
            if *what == Changed::Result && (may_be_result(was) || may_be_result(is)) {
                f.write_str(
                    " (`on_error` counts: `Each`, the default, keeps `Result`s, and the others keep their values)",
                )?;
            }
            write!(f, ", {DELETE}")?;
            match same_version {
                Some(version) => write!(f, "; if the results are the same, state `version = \"{version}\"`"),
                None => Ok(()),
            }
        }
        ErrorKind::InputChanged { directory, item, items, ended } => {
            write!(f, "the input is not the one to which the results in `{}` belong: ", directory.display())?;
            match (ended, items) {
                (true, _) => write!(f, "it ended after {item} of {} items", item + items)?,
                (false, 1) => write!(f, "item {item} differs")?,
                (false, _) => write!(f, "one of items {item} to {} differs", item + items - 1)?,
            }
            write!(
                f,
                "; give it the same items in the same order (sort what has none, such as a directory or a hash map), state by \
                 `key` what tells items apart, {DELETE}"
            )
        }
        ErrorKind::Storage { path, operation, kind, cause, needed, free } => {
            write!(f, "`{}` could not be {operation}: {cause}", path.display())?;
            // A cause with a semicolon says itself what can be done.
            if cause.contains("; ") {
                return Ok(());
            }
            match (needed, free) {
                (Some(needed), Some(free)) => write!(f, " ({needed} needed, {free} free)")?,
                (Some(bytes), None) => write!(f, " ({bytes} needed)")?,
                (None, Some(bytes)) => write!(f, " ({bytes} free)")?,
                (None, None) => {}
            }
            // Nothing else is done with a file that a sink has finished.
            let is_of_sink = is_of_sink(path) || matches!(*operation, "continued" | "copied" | "renamed and synced");
            let way_out = if is_of_sink { way_out_of_sink } else { way_out };
            write!(f, "; {}", way_out(operation, *kind))
        }
        ErrorKind::Damaged { path, offset, cause } => {
            // The files of `spill` have no name, and are told by their directory.
            let advice = if path.file_name() == Some(MANIFEST.as_ref()) {
                &format!("it says to which function the results belong: {DELETE}")
            } else if path.extension() == Some(SEGMENT.as_ref()) {
                "run it again: what was there is computed anew"
            } else {
                f.write_str("a file of `spill` in ")?;
                "what was there is lost, and `get` still reads what is elsewhere: run it again with another `spill_dir`"
            };
            write!(f, "`{}` is damaged at byte {offset}: {cause}; {advice}", path.display())
        }
        ErrorKind::Unwritable { path, item, column, cause } => {
            match (item, column) {
                (Some(item), Some(column)) => write!(f, "item {item}, column `{column}`")?,
                (Some(item), None) => write!(f, "item {item}")?,
                (None, Some(column)) => write!(f, "column `{column}`")?,
                (None, None) => f.write_str("the results")?,
            }
            write!(f, " can't be written to `{}`: {cause}", path.display())
        }
        _ => Ok(()),
    }
}

/// An error of the system about a file or a directory. A cause of our own may end with a semicolon
/// and what the user can do, which then stands in place of the general advice. Bytes count only if
/// there was no room for them.
pub(crate) fn storage(
    path: &Path,
    operation: &'static str,
    cause: &io::Error,
    needed: Option<u64>,
    free: Option<u64>,
) -> super::Error {
    super::Error::new(ErrorKind::Storage {
        path: path.to_owned(),
        operation,
        kind: cause.kind(),
        cause: cause.to_string(),
        needed: needed.filter(|_| is_of_room(cause.kind())).map(Into::into),
        free: free.filter(|_| is_of_room(cause.kind())).map(Into::into),
    })
}

/// Begins the text about `max_disk`. The system's own text about a quota begins otherwise.
const MAX_DISK: &str = "`max_disk` of ";

/// True for an error of a run that has written `max_disk` bytes.
#[cfg(feature = "array")]
pub(crate) fn is_over_max_disk(kind: &ErrorKind) -> bool {
    matches!(kind, ErrorKind::Storage { cause, .. } if cause.starts_with(MAX_DISK))
}

/// The error of a run that has written `max_disk` bytes, but for the last `left`.
pub(crate) fn over_max_disk(path: &Path, max_disk: u64, needed: u64, left: u64) -> super::Error {
    let [most, more, rest] = [max_disk, needed, left].map(ByteSize::new);
    let cause = format!(
        "{MAX_DISK}{most} has {rest} left, and {more} are needed; raise it, and the same call goes on from what is written"
    );
    storage(path, "written", &io::Error::new(io::ErrorKind::QuotaExceeded, cause), Some(needed), Some(left))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::error::Error;

    fn text(kind: ErrorKind) -> String {
        Error::new(kind).to_string()
    }

    fn changed(what: Changed, was: &str, is: &str, same_version: Option<String>) -> Error {
        let (directory, begun) =
            (PathBuf::from("runs/thumbs"), "2026-11-28 17:30 UTC with amorsize 0.1.0 and rustc 1.95.0".into());
        let (was, is) = (was.into(), is.into());
        Error::new(ErrorKind::CheckpointChanged { directory, what, was, is, begun, same_version })
    }

    #[test]
    fn a_directory_in_use_is_named() {
        let error = Error::new(ErrorKind::CheckpointBusy { directory: "runs/thumbs".into() });
        assert_eq!(
            error.to_string(),
            "`runs/thumbs` is in use by another run: wait until that has ended, or use another directory; a run that this \
             process has in a variable uses it until it is dropped"
        );
        assert!(error.is_busy() && !error.is_changed() && !error.is_storage());
        let sink = text(ErrorKind::CheckpointBusy { directory: "out.jsonl.partial".into() });
        assert!(sink.starts_with("`out.jsonl.partial` is being written by another sink: "), "{sink}");
    }

    #[test]
    fn what_changed_is_named_with_what_it_was_and_is() {
        const BEGUN: &str = "`runs/thumbs` belongs to another run, which began 2026-11-28 17:30 UTC with amorsize 0.1.0 and rustc \
                             1.95.0: its ";
        let ways = format!("; go back to what it was, {DELETE}");
        let shared = changed(Changed::Shared("width".into()), "hash 1", "hash 2", None);
        assert_eq!(shared.to_string(), format!("{BEGUN}shared parameter `width` was hash 1 and is now hash 2{ways}"));
        let code = changed(Changed::Function, "code 1", "code 2", Some("1".into()));
        assert_eq!(
            code.to_string(),
            format!(
                "{BEGUN}function was code 1 and is now code 2{ways}; if the results are the same, state `version = \"1\"`"
            )
        );
        assert!(code.is_changed() && code.item().is_none());
    }

    #[test]
    fn another_policy_for_errors_is_named_where_it_may_have_changed_the_type() {
        let text = |was: &str, is: &str| changed(Changed::Result, was, is, None).to_string();
        const POLICY: &str = "; go back to what it was (`on_error` counts: `Each`, the default, keeps `Result`s, and the others \
                              keep their values), use another directory";
        assert!(text("`Result::Ok(u32)`", "`u32`").contains(POLICY));
        assert!(text("`u32`", "`core::result::Result<u32, std::io::Error>`").contains(POLICY));
        assert!(text("`u32`", "one that can't be read from its bytes (they end)").contains(POLICY));
        assert!(text("`u32`", "`u64`").contains(" is now `u64`; go back to what it was, use another directory"));
    }

    #[test]
    fn an_input_that_changed_is_told_by_its_items() {
        let input = |item, items, ended| {
            let error = Error::new(ErrorKind::InputChanged { directory: "runs/thumbs".into(), item, items, ended });
            assert!(error.is_changed() && error.item() == Some(item));
            error.to_string()
        };
        assert_eq!(
            input(20, 5, false),
            "the input is not the one to which the results in `runs/thumbs` belong: one of items 20 to 24 differs; give it the \
             same items in the same order (sort what has none, such as a directory or a hash map), state by `key` what tells \
             items apart, use another directory, or delete this one (of a run are `lock`, `manifest.json` and `*.amz` in it)"
        );
        assert!(input(20, 1, false).contains(": item 20 differs; "));
        assert!(input(20, 5, true).contains(": it ended after 20 of 25 items; "));
    }

    #[test]
    fn what_the_system_refused_is_told_with_its_bytes_and_a_way_out() {
        let storage = |path: &str, kind, needed: Option<u64>, free: Option<u64>| {
            text(ErrorKind::Storage {
                path: path.into(),
                operation: "written",
                kind,
                cause: "no space".into(),
                needed: needed.map(ByteSize::mib),
                free: free.map(ByteSize::mib),
            })
        };
        const GOES_ON: &str = "the same call goes on from what is written; or use another directory";
        const SEGMENT: &str = "runs/thumbs/000001.amz";
        assert_eq!(
            storage(SEGMENT, io::ErrorKind::StorageFull, Some(8), Some(2)),
            format!(
                "`{SEGMENT}` could not be written: no space (8.00 MiB needed, 2.00 MiB free); free space, and {GOES_ON}"
            )
        );
        let denied = storage(SEGMENT, io::ErrorKind::PermissionDenied, None, None);
        assert!(denied.ends_with(&format!("; allow this user to write there, and {GOES_ON}")), "{denied}");
        let other = storage(SEGMENT, io::ErrorKind::Other, None, None);
        assert!(other.ends_with(&format!("; mend that, and {GOES_ON}")), "{other}");
        let file = storage("notes.txt", io::ErrorKind::AlreadyExists, None, None);
        assert!(file.ends_with("; use the path of a directory, or of none yet"), "{file}");
        // Who only reads has no call that goes on.
        assert_eq!(way_out("read", io::ErrorKind::PermissionDenied), "allow this user to read it");
        assert_eq!(way_out("listed", io::ErrorKind::NotADirectory), "use the path of a directory");
        assert_eq!(
            over_max_disk(Path::new("runs/thumbs"), 10 << 20, 200 << 10, 80 << 10).to_string(),
            "`runs/thumbs` could not be written: `max_disk` of 10.0 MiB has 80.0 KiB left, and 200 KiB are needed; raise it, and \
             the same call goes on from what is written"
        );
        let ended = |path: &str, operation, cause: &io::Error| {
            super::storage(Path::new(path), operation, cause, Some(8 << 10), Some(4 << 30)).to_string()
        };
        let [full, broken] = [io::ErrorKind::StorageFull, io::ErrorKind::Other].map(|kind| io::Error::new(kind, "no"));
        // Bytes say nothing about what is no lack of room.
        assert!(ended(SEGMENT, "made", &broken).contains("could not be made: no; mend that"));
        assert!(ended(SEGMENT, "made", &full).contains(" made: no (8.00 KiB needed, 4.00 GiB free); free space"));
        for (path, operation) in [("a.partial", "written"), ("a.partial.new", "written"), ("a", "copied")] {
            assert_eq!(
                ended(path, operation, &full),
                format!(
                    "`{path}` could not be {operation}: no (8.00 KiB needed, 4.00 GiB free); free space, and the same sink goes \
                     on; with a journal the same call does"
                )
            );
        }
        // A cause that says what to do stands alone.
        let own = text(ErrorKind::Storage {
            path: "out.jsonl".into(),
            operation: "continued",
            kind: io::ErrorKind::NotFound,
            cause: "it is gone; put it back".into(),
            needed: None,
            free: None,
        });
        assert_eq!(own, "`out.jsonl` could not be continued: it is gone; put it back");
    }

    #[test]
    fn what_a_format_has_not_is_told_with_item_and_column() {
        let unwritable = |item, column: Option<&str>| {
            let (path, column, cause) = (PathBuf::from("thumbs.parquet"), column.map(String::from), "it is".into());
            let error = Error::new(ErrorKind::Unwritable { path, item, column, cause });
            assert!(error.is_unwritable() && error.item() == item);
            error.to_string()
        };
        assert_eq!(
            unwritable(Some(7), Some("a.b")),
            "item 7, column `a.b` can't be written to `thumbs.parquet`: it is"
        );
        assert!(unwritable(Some(7), None).starts_with("item 7 can't"));
        assert!(unwritable(None, Some("a.b")).starts_with("column `a.b` can't"));
        assert!(unwritable(None, None).starts_with("the results can't"));
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let damaged = |path: &str| {
            text(ErrorKind::Damaged {
                path: path.into(),
                offset: 4096,
                cause: "the checksum of a frame differs".into(),
            })
        };
        assert_eq!(
            damaged("runs/thumbs/000001.amz"),
            "`runs/thumbs/000001.amz` is damaged at byte 4096: the checksum of a frame differs; run it again: what was there is \
             computed anew"
        );
        assert_eq!(
            damaged("/var/tmp"),
            "a file of `spill` in `/var/tmp` is damaged at byte 4096: the checksum of a frame differs; what was there is lost, \
             and `get` still reads what is elsewhere: run it again with another `spill_dir`"
        );
        assert_eq!(
            damaged("runs/thumbs/manifest.json"),
            "`runs/thumbs/manifest.json` is damaged at byte 4096: the checksum of a frame differs; it says to which function the \
             results belong: use another directory, or delete this one (of a run are `lock`, `manifest.json` and `*.amz` in it)"
        );
    }
}
