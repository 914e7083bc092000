//! The type of a run can be written.

use amorsize::{Batched, batched};

#[batched]
fn late<'a>(x: &'a str, k: &str) -> &'a str {
    x.trim_end_matches(k)
}

struct Waiting<'a, 'k> {
    run: Batched<Vec<&'a str>, &'a str, (&'k str,)>,
}

fn main() {
    let mut waiting = Waiting { run: late_batched(vec!["ab", "b"], "b") };
    assert_eq!(waiting.run.collect::<Vec<_>>().unwrap(), ["a", ""]);
}
