//! Changes each byte and cuts each file of a small directory at each length. The outcome is an
//! error, perhaps after right results: never a wrong result, never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use amorsize::array::{Array, ArrayError};
use amorsize_array_tests::{Folder, all, expected, files, tested, text_batched, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");
const ITEMS: u64 = 12;

/// A directory in which two tasks are done.
fn done() -> Folder {
    let folder = Folder::in_memory();
    let mut command = tested(PROGRAM, "text", &folder.file("out"), 2, ITEMS);
    assert!(command.env("AMORSIZE_TASK", "all").output().unwrap().status.success());
    folder
}

/// Reads the directory, and returns the error that ended the reading; the results before it must be
/// right.
fn read(out: &Path) -> Option<ArrayError> {
    let numbers = (0..ITEMS as usize).map(|x| x as u64);
    let all = match text_batched(numbers).array(out, 2) {
        Ok(Array::Results(all)) => all,
        Ok(Array::Task(_)) => panic!("this is no task"),
        Err(error) => return Some(error),
    };
    let mut next = 0;
    for result in all {
        match result {
            Ok(result) => assert_eq!(result, expected(next)),
            Err(error) => return Some(error),
        }
        next += 1;
    }
    assert_eq!(next, ITEMS);
    None
}

/// Damages each file in each way, has `look` check the directory, and puts the file back.
fn damage(folder: &Folder, step: usize, mut look: impl FnMut(&Path, &str)) {
    for file in files(folder.path()) {
        let whole = fs::read(&file).unwrap();
        for at in (0..whole.len()).step_by(step) {
            for flip in [0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                fs::write(&file, bytes).unwrap();
                look(&file, &format!("byte {at} of {}, {flip:#x}", file.display()));
            }
            fs::write(&file, &whole[..at]).unwrap();
            look(&file, &format!("{} cut at {at}", file.display()));
        }
        fs::write(&file, whole).unwrap();
    }
}

/// The name of the file, and its folder.
fn place(path: &Path) -> (String, PathBuf) {
    (path.file_name().unwrap().to_string_lossy().into_owned(), path.parent().unwrap().to_owned())
}

#[test]
fn a_damaged_directory_gives_an_error_or_the_results_before_it() {
    let folder = done();
    let out = folder.file("out");
    assert!(read(&out).is_none());
    let (mut damaged, mut harmless) = (0, 0);
    damage(&folder, 1, |file, what| match read(&out) {
        Some(ArrayError::Damaged { path, .. }) => {
            assert_eq!(path, file, "{what}");
            damaged += 1;
        }
        Some(error) => panic!("{what}: {error}"),
        // Nobody reads the frame that closes a part.
        None => {
            assert!(place(file).0.ends_with(".part"), "{what}");
            harmless += 1;
        }
    });
    assert!(damaged > 10 * harmless, "{damaged} damaged, {harmless} harmless");
}

#[test]
fn the_text_says_what_to_delete_and_that_mends_it() {
    let folder = done();
    let out = folder.file("out");
    let part = files(&out.join("00001")).into_iter().find(|path| path.extension().is_some()).unwrap();
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    let gather = || told(&tested(PROGRAM, "text", &out, 2, ITEMS).output().unwrap());
    let (code, stdout, stderr) = gather();
    // Task 0 comes first. If task 1 has two frames, the first of them may be whole.
    assert!(code == 65 && all(ITEMS).starts_with(&stdout) && stdout.lines().count() >= 6, "{stdout}");
    let start = format!("error: {} is damaged at byte ", part.display());
    let end = format!(": delete {} and run task 1 again", out.join("00001/done").display());
    assert!(stderr.starts_with(&start) && stderr.ends_with(&end), "{stderr}");

    fs::remove_file(out.join("00001/done")).unwrap();
    let mut again = tested(PROGRAM, "text", &out, 2, ITEMS);
    assert_eq!(told(&again.env("AMORSIZE_TASK", "1").output().unwrap()).0, 0);
    assert_eq!(gather(), (0, all(ITEMS), String::new()));
}

#[test]
fn a_directory_without_its_description_is_not_described_anew() {
    let folder = done();
    let out = folder.file("out");
    fs::remove_file(out.join("array.json")).unwrap();
    for task in [Some("0"), None] {
        let mut command = tested(PROGRAM, "text", &out, 2, ITEMS);
        let (code, _, stderr) = told(&command.envs(task.map(|task| ("AMORSIZE_TASK", task))).output().unwrap());
        let says = format!(
            "error: {} is missing, damaged or another program's: use another directory",
            out.join("array.json").display(),
        );
        assert_eq!((code, stderr), (65, says));
    }
}

#[test]
fn what_other_programs_have_in_the_directory_stays_as_it_is() {
    let folder = Folder::new();
    let out = folder.file("out");
    fs::create_dir_all(out.join("20261128")).unwrap();
    for name in ["20261128/photo", "00000", "notes"] {
        fs::write(out.join(name), name).unwrap();
    }
    let run = |task: &str| told(&tested(PROGRAM, "text", &out, 2, ITEMS).env("AMORSIZE_TASK", task).output().unwrap());
    // Puts a file in the place of task 0's folder.
    let (code, _, stderr) = run("0");
    assert!(code == 75 && stderr.starts_with(&format!("error: {} ", out.join("00000").display())), "{stderr}");
    fs::remove_file(out.join("00000")).unwrap();
    assert_eq!(run("all").0, 0);
    assert_eq!(run("").1, all(ITEMS));
    assert!(["20261128/photo", "notes"].iter().all(|name| fs::read_to_string(out.join(name)).unwrap() == *name));

    let other = folder.file("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("array.json"), "[1, 2, 3]").unwrap();
    let output = tested(PROGRAM, "text", &other, 2, ITEMS).env("AMORSIZE_TASK", "0").output().unwrap();
    assert_eq!(told(&output).0, 65);
    assert_eq!(files(&other), [other.join("array.json")]);
    assert_eq!(fs::read(other.join("array.json")).unwrap(), b"[1, 2, 3]");
}

#[test]
fn an_attempt_goes_on_from_damaged_parts_and_is_right() {
    let folder = done();
    let out = folder.file("out");
    let (done, kept) = (out.join("00001/done"), files(&out.join("00001")));
    fs::remove_file(&done).unwrap();
    // Only some of the bytes, since each takes a process.
    damage(&folder, 29, |file, what| {
        if place(file).1 != out.join("00001") {
            return;
        }
        let mut command = tested(PROGRAM, "text", &out, 2, ITEMS);
        let (code, _, stderr) = told(&command.env("AMORSIZE_TASK", "1").output().unwrap());
        assert_eq!(code, 0, "{what}: {stderr}");
        assert!(read(&out).is_none(), "{what}");
        fs::remove_file(&done).unwrap();
        files(&out.join("00001"))
            .iter()
            .filter(|path| !kept.contains(path))
            .for_each(|path| fs::remove_file(path).unwrap());
    });
}
