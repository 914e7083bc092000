//! Where the names of the library are found: a first program's at the root, all others in modules,
//! and those at the root as well, where programs that were written before have them.

use std::collections::BTreeSet;
use std::fs;

/// Each name is the same type at the root and in its module.
macro_rules! same {
    ($($module:ident: $($name:ident $(<$($of:ty),*>)?),*;)*) => {$($({
        let _: fn(amorsize::$name $(<$($of),*>)?) -> amorsize::$module::$name $(<$($of),*>)? = |value| value;
    })*)*};
}

#[test]
fn a_name_of_a_module_is_found_at_the_root_too() {
    type Items = Vec<u32>;
    type Run = fn(u32) -> u32;
    same! {
        error: Cause<u32>, Changed, Error, ErrorKind, Failure<u32>, Outcome<u32, u32>, Panicked, TryError<u32>;
        memory: Certainty, HeapUse, MaxMemory, MeasuredBy, Tracking<std::alloc::System>;
        options: CancelToken, OnPanic, Oversize, Retry;
        report: BatchTime, Bottleneck, Moment, Phase, Progress, Report, StageReport, TimeUse, Timeline, Warning;
        run: Batched<Items, u32, Run>, Indices, IntoIter<Items, u32, Run>, Keyed<u32>, Stage<u32>,
            Then<u32, u32, u32, u32, u32, u32>, Unordered<Items, u32, Run>;
        spill: Spilled<u32>;
    }
    fn is_both<T: amorsize::DeepSize + amorsize::memory::DeepSize>() {}
    fn are_both<T: amorsize::IntoBatched + amorsize::run::IntoBatched>() {}
    fn has_both<T: amorsize::MemorySource + amorsize::memory::MemorySource>() {}
    let _ = (is_both::<u32>, are_both::<Items>, has_both::<NoMemory>);
    assert_eq!(amorsize::execute(|x: u32| x, 0..3).unwrap(), amorsize::run::execute(|x: u32| x, 0..3).unwrap());
    let _ = (amorsize::set_trim, amorsize::memory::set_trim, amorsize::progress_bar, amorsize::report::progress_bar);
}

struct NoMemory;

impl amorsize::MemorySource for NoMemory {
    fn available(&self) -> Option<amorsize::ByteSize> {
        None
    }
}

/// The first page of the docs fits a screen.
#[test]
fn the_root_shows_the_names_that_a_first_program_needs() {
    let listed = fs::read_to_string("tests/api/amorsize.txt").unwrap();
    let kinds = ["struct", "enum", "trait", "fn", "use"];
    let names: BTreeSet<_> = listed
        .lines()
        .filter_map(|line| line.trim_start_matches("#[non_exhaustive] ").strip_prefix("pub ")?.split_once(' '))
        .filter(|(kind, _)| kinds.contains(kind))
        .filter_map(|(kind, path)| Some((kind, path.strip_prefix("amorsize::")?)))
        .filter_map(|(kind, path)| {
            let (name, rest) =
                path.split_at(path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len()));
            // A method has its type in front, and a name of a module the module.
            let is_method = kind == "fn" && name.starts_with(char::is_uppercase);
            (!is_method && !rest.starts_with("::")).then_some(name)
        })
        .collect();
    let needed = [
        "Batch",
        "Batched",
        "ByteSize",
        "DeepSize",
        "Error",
        "IntoBatched",
        "Plan",
        "Report",
        "Tracking",
        "batched",
        "process_in_batches",
    ];
    assert_eq!(names, needed.into());
}
