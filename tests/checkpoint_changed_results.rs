//! Results of a type that has changed are refused, also where the very first doesn't show it.

#[path = "common/folder.rs"]
mod folder;

use std::fs;

use amorsize::{Error, process_in_batches};
use folder::Folder;
use serde::{Deserialize, Serialize};

/// The types of today, and those of another day under the same names.
mod was {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Verdict {
        Good,
        Bad,
        Unknown,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Shift {
        pub(super) by: Option<u32>,
        pub(super) names: Vec<String>,
    }
}

mod is {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) enum Verdict {
        Bad,
        Good,
        Unknown,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Shift {
        by: Option<i32>,
        names: Vec<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Bytes {
        by: Option<u32>,
        names: Vec<Vec<u8>>,
    }
}

/// Stores these results, or gives those that are there. A closure's identity has the function that
/// it stands in, which is not generic here.
macro_rules! stored {
    ($directory:expr, $results:expr, $threads:expr) => {{
        let results = $results;
        let call = |x: usize| results.get(x).cloned().expect("there is a stored result");
        let run = process_in_batches(call, 0..4).version(1).threads($threads).batch_size(1);
        run.checkpoint(&$directory).collect::<Vec<_>>()
    }};
}

#[track_caller]
fn refused<R>(outcome: Result<Vec<R>, Error>) -> String {
    let error = outcome.err().expect("other results were taken for these");
    assert!(error.is_changed(), "{error}");
    error.to_string()
}

/// Stores these results in a directory until all are in the first frame of its segment, and gives
/// the directory. (Results that are 100 ms apart are not in one frame, and only the first is looked
/// at.) Then the shape at the beginning of the segment has all of the `signs`.
macro_rules! stored_at_once {
    ($folder:expr, $results:expr, $threads:expr, $signs:expr) => {{
        let all = $results;
        let mut tries = 0;
        loop {
            let runs = $folder.file(&format!("{}-{tries}", $threads));
            for _ in 0..2 {
                assert_eq!(stored!(runs, all.clone(), $threads).unwrap(), all);
            }
            let segment = fs::read(runs.join("000001.amz")).unwrap();
            let begins = String::from_utf8_lossy(&segment[..segment.len().min(1000)]).into_owned();
            if $signs.iter().all(|sign| begins.contains(sign)) {
                break runs;
            }
            tries += 1;
            assert!(tries < 100, "the shape doesn't have what later results show: {begins}");
        }
    }};
}

#[test]
fn results_that_are_another_variant_now_are_refused() {
    let folder = Folder::new("changed-variants");
    for threads in [1, 2] {
        let verdicts = [was::Verdict::Unknown, was::Verdict::Good, was::Verdict::Bad, was::Verdict::Bad];
        let runs = stored_at_once!(folder, verdicts, threads, ["Unknown", "Good", "Bad"]);
        let text = refused(stored!(runs, [is::Verdict::Bad; 0], 1));
        assert!(text.contains("Verdict::{Unknown, Good, Bad}` and is now `Verdict::{Unknown, Bad, Good}"), "{text}");
    }
}

#[test]
fn results_of_another_type_within_the_first_value_that_has_one_are_refused() {
    let folder = Folder::new("changed-fields");
    let shift =
        |by: Option<u32>, names: &[&str]| was::Shift { by, names: names.iter().map(ToString::to_string).collect() };
    let shifts = [shift(None, &[]), shift(Some(10), &[]), shift(None, &["a"]), shift(None, &[])];
    for threads in [1, 2] {
        let runs = stored_at_once!(folder, shifts.clone(), threads, ["u32", "str"]);
        let text = refused(stored!(runs, Vec::<is::Shift>::new(), 1));
        assert!(text.contains("by: Option<u32>") && text.contains("by: Option<i32>"), "{text}");
        refused(stored!(runs, Vec::<is::Bytes>::new(), 1));
    }
}

#[test]
fn a_large_first_result_that_can_t_be_read_back_is_refused_before_others_are_computed() {
    let folder = Folder::new("large-unread");
    let document = |x: u64| serde_json::json!({ "x": x, "text": "y".repeat(100_000) });
    let run = || process_in_batches(document, 0..100_u64).version(1).checkpoint(folder.file("run"));
    for _ in 0..2 {
        let refused = run().for_each_batch(drop).unwrap_err();
        assert!(refused.is_unwritable() && refused.item() == Some(0), "{refused}");
        assert!(refused.to_string().contains("its bytes can't be read back"), "{refused}");
    }
}
