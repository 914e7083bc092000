//! Each engine, known by the variables that it sets, in an environment with no others.

use std::fs;
use std::path::Path;
use std::process::Command;

use amorsize_array_tests::{BESIDE, CALLS, Folder, all, files, is_part, tested, told};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tested");
const ITEMS: u64 = 100;

fn text(directory: &Path, tasks: usize, variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = tested(PROGRAM, "text", directory, tasks, ITEMS);
    told(&command.envs(variables.iter().copied()).output().unwrap())
}

/// The engines as the guide's page tells them: the variable with the index of a task, and the index
/// of the first one.
fn engines() -> Vec<(&'static str, usize)> {
    let page = include_str!("../../../amorsize/src/guide/many_machines.md");
    let (_, table) = page.split_once("\n| engine | index").expect("the page has the table");
    // Behind the head and the line below it.
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let engine = |row: &'static str| {
        let (name, rest) = row.split('|').nth(2)?.trim().strip_prefix('`')?.split_once("`, ")?;
        Some((name, rest.get(..1)?.parse().ok()?))
    };
    rows.map(|row| engine(row).unwrap_or_else(|| panic!("{row}"))).collect()
}

#[test]
fn each_engine_runs_all_tasks_and_without_one_the_results_are_given() {
    let engines = engines();
    assert_eq!(engines.len(), 10, "{engines:?}");
    for (name, first) in engines {
        let folder = Folder::new();
        let out = folder.file("out");
        for task in (0..4).rev() {
            let index = (task + first).to_string();
            let (code, stdout, stderr) = text(&out, 4, &[(name, &index)]);
            assert_eq!((code, stdout.as_str()), (0, ""), "{name}: {stderr}");
        }
        // An engine sets these outside of a task.
        let (code, stdout, stderr) = text(&out, 4, &[("SGE_TASK_ID", "undefined"), ("LSB_JOBINDEX", "0")]);
        assert_eq!((code, stdout), (0, all(ITEMS)), "{name}: {stderr}");
    }
}

#[test]
fn a_task_that_is_done_calls_nothing() {
    let folder = Folder::new();
    let (out, calls) = (folder.file("out"), folder.file("calls"));
    let calls = calls.to_str().unwrap();
    for _ in 0..3 {
        assert_eq!(text(&out, 2, &[("AMORSIZE_TASK", "1"), (CALLS, calls)]).0, 0);
    }
    assert_eq!(fs::read_to_string(calls).unwrap().lines().count(), 50);
    assert_eq!(files(&out).len(), 3, "{:?}", files(&out));
}

#[test]
fn the_report_of_a_task_that_was_done_names_it() {
    let folder = Folder::new();
    let mut reports = (0..2).map(|_| {
        let mut command = tested(PROGRAM, "numbers", &folder.file("out"), 4, ITEMS);
        String::from_utf8(command.env("AMORSIZE_TASK", "3").output().unwrap().stderr).unwrap()
    });
    let [first, again] = [reports.next().unwrap(), reports.next().unwrap()];
    assert!(first.starts_with("25 items in "), "{first}");
    assert!(again.starts_with("task 3 was done before\n0 items in "), "{again}");
}

#[test]
fn all_runs_what_is_missing_here() {
    let folder = Folder::new();
    let out = folder.file("out");
    assert_eq!(text(&out, 16, &[("AMORSIZE_TASK", "7")]).0, 0);
    let (code, stdout, stderr) = text(&out, 16, &[]);
    assert_eq!((code, stdout.as_str()), (75, ""));
    assert_eq!(
        stderr,
        format!(
            "error: 15 of 16 tasks have no results in {} yet: 0-6,8-15. Run them: sbatch --array=0-6,8-15 .., or all again; \
             here: AMORSIZE_TASK=all",
            out.display()
        )
    );
    let (code, _, stderr) = text(&out, 16, &[("AMORSIZE_TASK", "all")]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(text(&out, 16, &[]).1, all(ITEMS));
    // Nothing is left to do.
    assert_eq!(text(&out, 16, &[("AMORSIZE_TASK", "all")]).0, 0);
}

#[test]
fn the_number_of_tasks_may_come_from_outside() {
    let folder = Folder::new();
    let out = folder.file("out");
    let tasks = ("AMORSIZE_TASKS", "3");
    for task in ["0", "1", "2"] {
        assert_eq!(text(&out, 99, &[tasks, ("AMORSIZE_TASK", task)]).0, 0);
    }
    assert_eq!(text(&out, 99, &[tasks]).1, all(ITEMS));
}

#[test]
fn more_tasks_than_items_and_no_items_are_fine() {
    for (tasks, items) in [(7, 3), (2, 0), (1, 1)] {
        let folder = Folder::new();
        let out = folder.file("out");
        let run = |task: Option<&str>| {
            let mut command = tested(PROGRAM, "text", &out, tasks, items);
            told(&command.envs(task.map(|task| ("AMORSIZE_TASK", task))).output().unwrap())
        };
        assert_eq!(run(Some("all")).0, 0);
        assert_eq!(run(None).1, all(items));
    }
}

#[test]
fn every_way_to_make_a_run_gives_what_one_process_gives() {
    let failing = |x: u64| x % 10 == 3;
    let text = amorsize_array_tests::expected;
    let lines = |line: &dyn Fn(u64) -> Option<String>| -> String {
        (0..ITEMS).filter_map(|x| Some(format!("{x} {}\n", line(x)?))).collect()
    };
    for (way, expected) in [
        ("named", all(ITEMS)),
        ("keyed", all(ITEMS)),
        ("numbers", lines(&|x| Some(x.to_string()))),
        ("renamed", lines(&|x| Some(x.to_string()))),
        ("each", lines(&|x| Some(if failing(x) { format!("{x} fails") } else { text(x) }))),
        ("skip", lines(&|x| (!failing(x)).then(|| text(x)))),
        ("collect", lines(&|x| (!failing(x)).then(|| text(x)))),
        ("skip-panic", lines(&|x| (x != 33).then(|| x.to_string()))),
        ("then", lines(&|x| Some(text(x).len().to_string()))),
    ] {
        let folder = Folder::new();
        let out = folder.file("out");
        let run = |task: Option<&str>| {
            let mut command = tested(PROGRAM, way, &out, 3, ITEMS);
            told(&command.envs(task.map(|task| ("AMORSIZE_TASK", task))).output().unwrap())
        };
        assert_eq!(run(Some("1")).0, 0, "{way}");
        let (code, _, stderr) = run(Some("all"));
        assert_eq!(code, 0, "{way}: {stderr}");
        let (code, stdout, stderr) = run(None);
        assert_eq!((code, stdout), (0, expected), "{way}: {stderr}");
    }
}

#[test]
fn an_error_and_a_panic_of_the_function_are_seventy_and_the_rest_is_kept() {
    for (way, task, says) in [
        ("stop", "0", Some("error: task 0: item 3 failed: 3 fails; the results that were finished are kept")),
        ("stop", "1", Some("error: task 1: item 53 failed: 53 fails; the results that were finished are kept")),
        ("panic", "0", None),
    ] {
        let folder = Folder::new();
        let out = folder.file("out");
        let mut command = tested(PROGRAM, way, &out, 2, ITEMS);
        let (code, _, stderr) = told(&command.env("AMORSIZE_TASK", task).output().unwrap());
        assert_eq!(code, 70, "{way}: {stderr}");
        if let Some(says) = says {
            assert_eq!(stderr, says);
        }
        let parts = files(&out).into_iter().filter(|path| is_part(path));
        assert_eq!(parts.count(), 1);
    }
    // Any other error.
    let folder = Folder::new();
    let output = tested(PROGRAM, "error", &folder.file("out"), 2, ITEMS).output().unwrap();
    assert_eq!(told(&output), (1, String::new(), "error: no array at all".to_owned()));
}

#[test]
fn what_an_engine_grants_bounds_the_budget_and_the_threads() {
    let folder = Folder::new();
    // 64 results of 1 MiB.
    let run = |name: &str, variables: &[(&str, &str)]| {
        let mut command: Command = tested(PROGRAM, "large", &folder.file(name), 1, 64);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, report) = run("slurm", &[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_MEM_PER_NODE", "96")]);
    assert_eq!(code, Some(0), "{report}");
    // Half of what 96 MiB leave beside resident memory.
    let budget: f64 = report.split("budget of ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    assert!((30.0..48.0).contains(&budget), "{report}");
    let (code, report) =
        run("stated", &[("PARALLEL_SEQ", "1"), ("AMORSIZE_MEMORY", "64MiB"), ("AMORSIZE_THREADS", "1")]);
    assert_eq!(code, Some(0), "{report}");
    let budget: f64 = report.split("budget of ").nth(1).unwrap().split(" MiB").next().unwrap().parse().unwrap();
    assert!((16.0..32.0).contains(&budget), "{report}");
    assert!(report.contains("1 thread"), "{report}");
}

#[test]
fn the_progress_of_a_task_is_that_of_its_share() {
    let folder = Folder::new();
    let mut command = tested(PROGRAM, "progress", &folder.file("out"), 4, ITEMS);
    let output = command.env("AMORSIZE_TASK", "3").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told: Vec<_> = stderr.lines().filter(|line| line.contains(" of Some(")).collect();
    assert!(told.iter().all(|line| line.ends_with(" of Some(25)")), "{stderr}");
    assert!(told[0].starts_with("0 of ") && told.last().unwrap().starts_with("25 of "), "{stderr}");
    // Each of several tasks tells its own.
    let mut command = tested(PROGRAM, "progress", &folder.file("all"), 4, ITEMS);
    let output = command.env("AMORSIZE_TASK", "all").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().filter(|line| *line == "25 of Some(25)").count(), 4, "{stderr}");
}

#[test]
fn a_task_that_another_process_finishes_meanwhile_is_left_out_of_all() {
    for (way, missing) in [("text", "1"), ("named", "1"), ("text", "3"), ("named", "2")] {
        let folder = Folder::new();
        let out = folder.file("out");
        // Within the call of item 0, which belongs to task 0.
        let beside = format!("0,{way} {missing}");
        let mut command = tested(PROGRAM, way, &out, 4, ITEMS);
        let (code, _, stderr) = told(&command.env("AMORSIZE_TASK", "all").env(BESIDE, beside).output().unwrap());
        assert_eq!(code, 0, "{stderr}");
        let (code, stdout, stderr) = told(&tested(PROGRAM, way, &out, 4, ITEMS).output().unwrap());
        assert_eq!((code, stdout), (0, all(ITEMS)), "{way} {missing}: {stderr}");
    }
}

#[test]
fn the_report_of_all_is_that_of_the_tasks_that_it_has_run() {
    let folder = Folder::new();
    let mut command = tested(PROGRAM, "large", &folder.file("out"), 2, 16);
    // Another process runs the last task.
    let variables = [("AMORSIZE_TASK", "all"), ("AMORSIZE_MEMORY", "64MiB"), (BESIDE, "0,large 1")];
    let output = command.envs(variables).output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    // Behind that of the other process, of what the engine grants, and not of the machine's memory.
    let budget = report.rsplit("budget of ").next().unwrap().split(" MiB").next().unwrap();
    let budget: f64 = budget.parse().unwrap_or_else(|_| panic!("{report}"));
    assert_eq!(report.matches("8 items in ").count(), 2, "{report}");
    assert!(budget < 32.0, "{report}");
}

#[test]
fn the_report_of_all_is_that_of_all_tasks_together() {
    let folder = Folder::new();
    let mut command = tested(PROGRAM, "numbers", &folder.file("out"), 4, ITEMS);
    let output = command.env("AMORSIZE_TASK", "all").output().unwrap();
    let report = String::from_utf8(output.stderr).unwrap();
    // 8 bytes each.
    assert!(report.starts_with("100 items in ") && report.contains("\n800 B of results, "), "{report}");
}
