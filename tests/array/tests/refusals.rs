//! A run that does not fit the results in a directory is refused, in whole sentences, before
//! anything is written.

use std::path::Path;

use amorsize_array_tests::{CALLS, FIELD, Folder, files, is_part, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");

fn run(way: &str, out: &Path, (tasks, items): (usize, u64), variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = tested(PROGRAM, way, out, tasks, items);
    let (code, stdout, stderr) = told(&command.envs(variables.iter().copied()).output().unwrap());
    assert_eq!(stdout, "");
    (code, stderr)
}

/// A directory with one finished task of a way.
fn begun(way: &str) -> Folder {
    let folder = Folder::new();
    assert_eq!(run(way, &folder.file("out"), (4, 100), &[("AMORSIZE_TASK", "0")]).0, 0);
    folder
}

/// Checks that another process is refused, both as a task and as the one that gathers.
fn refuses(way: &str, other: &str, job: (usize, u64), says: &str) {
    let folder = begun(way);
    let out = folder.file("out");
    let before = files(&out);
    for task in [Some(("AMORSIZE_TASK", "1")), None] {
        let (code, stderr) = run(other, &out, job, task.as_slice());
        assert_eq!((code, stderr), (78, format!("error: {} {says}", out.display())), "{way} {other}");
    }
    assert_eq!(files(&out), before);
}

const BACK: &str = "go back to what it was, or use another directory";
const SAME: &str = "give it the same items in the same order (sort what has none, such as a directory or a hash map), or use \
                    another directory";

#[test]
fn another_function_is_refused() {
    refuses(
        "text",
        "other",
        (4, 100),
        &format!(
            "has results of another array: its function was `amorsize_array_tests::work::text` and is now \
             `amorsize_array_tests::work::other`; {BACK}"
        ),
    );
}

#[test]
fn another_version_is_refused() {
    refuses(
        "text",
        "version-2",
        (4, 100),
        &format!("has results of another array: its `version` was `1` and is now `2`; {BACK}"),
    );
}

#[test]
fn another_type_is_refused() {
    refuses(
        "numbers",
        "strings",
        (4, 100),
        &format!(
            "has results of another array: its function was `amorsize_array_tests::work::made::<u64>` and is now \
             `amorsize_array_tests::work::made::<alloc::string::String>`; {BACK}"
        ),
    );
}

#[test]
fn another_shared_parameter_is_refused() {
    let folder = begun("numbers");
    let (code, stderr) = run("shared-2", &folder.file("out"), (4, 100), &[]);
    assert_eq!(code, 78);
    let start = format!(
        "error: {} has results of another array: its shared parameter `_shared` was hash `",
        folder.file("out").display()
    );
    assert!(stderr.starts_with(&start) && stderr.ends_with(&format!("; {BACK}")), "{stderr}");
}

#[test]
fn another_number_of_tasks_is_refused() {
    refuses(
        "text",
        "text",
        (8, 100),
        "has results of another array: its number of tasks was 4 and is now 8; call `array` with that, or set AMORSIZE_TASKS, or \
         use another directory",
    );
}

#[test]
fn another_input_is_refused() {
    refuses(
        "text",
        "text",
        (4, 99),
        &format!("has results of another array: its number of items was 100 and is now 99; {SAME}"),
    );
    refuses(
        "named",
        "named-anew",
        (4, 100),
        &format!("has results of another array: its input was `id named` and is now `id named-anew`; {SAME}"),
    );
    // Two items are swapped, behind the finished share.
    let folder = begun("text");
    let (code, stderr) = run("shuffled", &folder.file("out"), (4, 100), &[("AMORSIZE_TASK", "3")]);
    let start = format!("error: {} has results of another array: its input was `", folder.file("out").display());
    assert!(code == 78 && stderr.starts_with(&start) && stderr.ends_with(&format!("; {SAME}")), "{stderr}");
}

#[test]
fn a_type_that_changed_within_is_refused_when_its_results_are_read() {
    let folder = Folder::new();
    let out = folder.file("out");
    assert_eq!(run("renamed", &out, (1, 10), &[("AMORSIZE_TASK", "0")]).0, 0);
    let part = files(&out).into_iter().find(|path| is_part(path)).unwrap();
    let says = format!(
        "error: {} has results of another type: it was `Renamed {{ old: u64 }}` and is now `Renamed {{ new: u64 }}`; go back to \
         the type that they had, or use another directory and raise `version`",
        part.display()
    );
    assert_eq!(run("renamed", &out, (1, 10), &[(FIELD, "new")]), (78, says.clone()));
    // An attempt that goes on from there is refused as well.
    std::fs::remove_file(out.join("00000/done")).unwrap();
    assert_eq!(run("renamed", &out, (1, 10), &[(FIELD, "new"), ("AMORSIZE_TASK", "0")]), (78, says));
    assert!(!out.join("00000/done").exists());
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let folder = Folder::new();
    let file = folder.file("out");
    std::fs::write(&file, "another program's").unwrap();
    for path in [file.clone(), file.join("within")] {
        for task in [Some(("AMORSIZE_TASK", "1")), Some(("AMORSIZE_TASK", "all")), None] {
            let (code, stderr) = run("text", &path, (4, 100), task.as_slice());
            let says = "is no directory, or lies in none: give `array` the path of a directory, or of none yet";
            assert_eq!((code, stderr), (78, format!("error: {} {says}", path.display())));
        }
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "another program's");
}

#[test]
fn what_the_environment_says_wrongly_is_refused() {
    let folder = Folder::new();
    let out = folder.file("out");
    for (variables, says) in [
        (
            &[("SLURM_ARRAY_TASK_ID", "4")][..],
            "SLURM_ARRAY_TASK_ID is 4, and the 4 tasks are 0 to 3: submit those, or give `array` or AMORSIZE_TASKS another number",
        ),
        (
            &[("SLURM_ARRAY_TASK_ID", "3"), ("PARALLEL_SEQ", "1")],
            "SLURM_ARRAY_TASK_ID is 3 and PARALLEL_SEQ is 1, so two engines name a task: state it by AMORSIZE_TASK, counted from 0",
        ),
        (
            &[("AMORSIZE_TASK", "three")],
            "AMORSIZE_TASK is \"three\", which is no number: use one of 0 to 3, or \"all\"",
        ),
        (
            &[("AMORSIZE_TASK", "0"), ("AMORSIZE_THREADS", "70000")],
            "`threads` can't be 70000: use at most 65535, or leave it out to use all cores",
        ),
    ] {
        assert_eq!(run("text", &out, (4, 100), variables), (78, format!("error: {says}")));
    }
    let says = "error: an array of 0 tasks has no results: give `array` a number above 0";
    assert_eq!(run("text", &out, (0, 100), &[]), (78, says.to_owned()));
    let says =
        format!("error: an array can't have {} tasks: give `array` or AMORSIZE_TASKS at most 4194304", usize::MAX);
    for task in [None, Some(("AMORSIZE_TASK", "all")), Some(("AMORSIZE_TASK", "0"))] {
        assert_eq!(run("text", &out, (usize::MAX, 100), task.as_slice()), (78, says.clone()));
    }
    assert!(!out.exists());
}

#[test]
fn a_run_that_does_something_else_is_refused() {
    let folder = Folder::new();
    let out = folder.file("out");
    for (way, option) in [("planned", "plan"), ("checkpoint", "checkpoint"), ("skip-first", "skip_first")] {
        let says = format!(
            "error: `array` can't be called on a run with `{option}`: give `array` a run to which nothing else was done"
        );
        assert_eq!(run(way, &out, (4, 100), &[("AMORSIZE_TASK", "0")]), (78, says));
    }
    assert!(!out.exists());
}

#[test]
fn an_input_of_another_length_than_it_said_is_refused_before_its_task_is_done() {
    let folder = Folder::new();
    for (way, has, wrong) in [("short", "50", &["2", "3", "all"][..]), ("long", "more", &["3", "all"])] {
        let says = format!("error: the input said that it has 100 items, and has {has}: collect it into a `Vec` first");
        for task in ["0", "1", "2", "3", "all"] {
            let out = folder.file(&format!("{way}-{task}"));
            let (code, stderr) = run(way, &out, (4, 100), &[("AMORSIZE_TASK", task)]);
            if wrong.contains(&task) {
                assert_eq!((code, stderr), (78, says.clone()), "{way} {task}");
            } else {
                assert_eq!(code, 0, "{way} {task}: {stderr}");
            }
            let last = if task == "all" { "3" } else { task };
            let is_done = out.join(format!("0000{last}/done")).exists();
            assert_eq!(is_done, code == 0, "{way} {task}");
        }
    }
}

#[test]
fn a_type_that_cant_be_read_back_is_told_at_its_first_result() {
    let folder = Folder::new();
    let (out, calls) = (folder.file("out"), folder.file("calls"));
    let variables = [("AMORSIZE_TASK", "0"), (CALLS, calls.to_str().unwrap())];
    let (code, stderr) = run("untagged", &out, (2, 100_000), &variables);
    let says = format!(
        "error: task 0: item 0 can't be written to `{}`: its bytes can't be read back (",
        out.join("00000").display()
    );
    assert!(code == 70 && stderr.starts_with(&says) && stderr.contains("`untagged`"), "{stderr}");
    assert!(std::fs::read_to_string(&calls).unwrap().lines().count() < 50_000);
}

#[test]
fn results_that_leave_fields_out_are_refused_before_they_could_be_read_as_others() {
    let folder = Folder::new();
    let out = folder.file("out");
    let (code, stderr) = run("partial", &out, (1, 90), &[("AMORSIZE_TASK", "0")]);
    assert!(code == 70 && stderr.contains("it leaves out its field `note`, as by `skip_serializing_if`"), "{stderr}");
}
