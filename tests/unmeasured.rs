//! Results that nothing can measure. If resident memory can't be read, the run uses another figure,
//! and if there is none, it says so.

use amorsize::{ByteSize, Certainty, MeasuredBy, MemorySource, Warning, process_in_batches, with_memory_source};

/// A system that tells nothing about the process.
struct Silent;

impl MemorySource for Silent {
    fn available(&self) -> Option<ByteSize> {
        None
    }

    fn resident(&self) -> Option<ByteSize> {
        None
    }
}

/// A call of some milliseconds, so that the run has to decide how to go on.
fn text(number: u64) -> String {
    std::thread::sleep(std::time::Duration::from_millis(2));
    number.to_string()
}

#[test]
fn plan_and_report_say_that_nothing_was_measured() {
    with_memory_source(Silent, || {
        let mut run = process_in_batches(text, 0..20);
        let plan = run.plan().unwrap();
        assert_eq!(
            (plan.measured_by(), plan.measured_by().certainty()),
            (MeasuredBy::Unmeasured, Certainty::Unmeasured)
        );
        assert_eq!(plan.working_certainty(), Certainty::Unmeasured);
        assert!(plan.warnings().iter().any(|warning| warning.code() == Warning::UNMEASURED), "{plan}");
        assert!(plan.to_string().contains("by size of the type alone (unmeasured)"), "{plan}");

        let report = run.for_each_batch(drop).unwrap();
        assert_eq!((report.items(), report.measured_by()), (20, MeasuredBy::Unmeasured));
        assert!(report.warnings().iter().any(|warning| warning.code() == Warning::UNMEASURED), "{report}");
        assert!(report.to_string().contains("(by size of the type alone: unmeasured)"), "{report}");
        assert!(report.explain().contains("[unmeasured]"), "{}", report.explain());
    });
}

/// A report is often read where another source is set, or none.
#[test]
fn a_report_tells_of_its_run_wherever_it_is_read() {
    for items in [1, 20] {
        let report = with_memory_source(Silent, || process_in_batches(text, 0..items).for_each_batch(drop).unwrap());
        assert_eq!(report.working_certainty(), Certainty::Unmeasured);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["working_certainty"], "unmeasured");
        let report = process_in_batches(text, 0..items).for_each_batch(drop).unwrap();
        with_memory_source(Silent, || assert_eq!(report.working_certainty(), Certainty::Estimate));
    }
    // Too short for the run itself to need a budget.
    let report = with_memory_source(ByteSize::mib(64), || process_in_batches(drop::<u8>, 0..3).for_each_batch(drop));
    assert_eq!(report.unwrap().budget(), ByteSize::mib(32));
}

#[cfg(target_os = "linux")]
mod hidden {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Tells the child process that its `/proc` is hidden.
    const INSIDE: &str = "AMORSIZE_TEST_HIDDEN_PROC";
    /// Hides `/proc` from a process in a mount namespace of its own.
    const HIDE: &str = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";

    struct Opaque(Vec<u8>);

    #[test]
    fn a_collect_with_a_hidden_proc_is_an_error_in_time() {
        let program = std::env::current_exe().unwrap();
        let hidden = |command: &Path, arguments: &[&str]| {
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "sh", "-c", HIDE]).arg(command).args(arguments);
            unshare.env(INSIDE, "1").output()
        };
        match hidden(Path::new("true"), &[]) {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                return println!("skipped, /proc can't be hidden: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
            Err(error) => return println!("skipped, unshare: {error}"),
        }
        let test = "hidden::inside_a_hidden_proc";
        let output = hidden(&program, &[test, "--exact", "--ignored", "--nocapture"]).unwrap();
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && out.contains("1 passed"),
            "{out}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    #[test]
    #[ignore = "another test starts it, where /proc is hidden"]
    fn inside_a_hidden_proc() {
        if std::env::var_os(INSIDE).is_none() {
            return;
        }
        assert!(!Path::new("/proc/self/statm").exists());
        // 2,000 MiB for a budget of 512.
        let made = std::sync::atomic::AtomicUsize::new(0);
        let make = |byte: usize| {
            made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Opaque(vec![byte as u8 | 1; 1 << 20])
        };
        let outcome = process_in_batches(make, 0..2000).max_memory("512MiB").collect::<Vec<_>>();
        let error = outcome.map(|all| all.iter().map(|opaque| opaque.0.len()).sum::<usize>()).unwrap_err();
        assert!(error.is_over_budget(), "{error}");
        let made = made.into_inner();
        assert!((300..600).contains(&made), "{made} of 2000 were made: {error}");
    }
}
