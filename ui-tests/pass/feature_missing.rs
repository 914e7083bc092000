//! A type of a crate for which amorsize has a feature, in a program without that feature. This
//! package is built without any.

use std::process::Command;

use amorsize::{MeasuredBy, Report, Warning, batched, process_in_batches};
use bytes::BytesMut;

#[batched]
fn page(n: u8) -> Result<Vec<BytesMut>, String> {
    Ok(vec![BytesMut::from(&[n; 100_000][..])])
}

#[batched]
fn length(page: BytesMut) -> usize {
    page.len()
}

const MESSAGE: &str = "there are types of the crate `bytes`, and amorsize's feature `bytes` is off, so their bytes are told from \
                       resident memory: with `features = [\"bytes\"]` in Cargo.toml those of an annotated function are counted";

fn named(warnings: &[Warning]) -> Vec<&str> {
    let named = warnings.iter().filter(|warning| warning.code() == Warning::FEATURE_MISSING);
    named.map(Warning::message).collect()
}

fn main() -> Result<(), amorsize::Error> {
    if std::env::args().nth(1).is_some() {
        page_batched(0..20).verbose(true).for_each_batch(|_| ())?;
        return Ok(());
    }
    let mut run = page_batched(0..20);
    let plan = run.plan()?;
    assert_eq!(plan.measured_by(), MeasuredBy::Resident);
    assert_eq!(named(plan.warnings()), [MESSAGE]);
    let report: Report = run.for_each_batch(|_| ())?;
    assert_eq!(named(&report.warnings()), [MESSAGE]);
    assert!(report.explain().contains(MESSAGE) && report.to_string().contains(MESSAGE));

    // Items and the results of closures, too.
    let items = (0..20).map(|n| BytesMut::from(&[n; 100][..]));
    assert_eq!(named(length_batched(items).plan()?.warnings()), [MESSAGE]);
    let mut run = process_in_batches(|n: u8| BytesMut::from(&[n; 100][..]), 0..20);
    assert_eq!(named(run.plan()?.warnings()), [MESSAGE]);

    // Types that are counted need none.
    let mut run = process_in_batches(|n: u8| vec![n; 100], 0..20);
    assert_eq!(named(run.plan()?.warnings()), [""; 0]);

    let program = std::env::current_exe().expect("this program has a place");
    let output = Command::new(program).arg("verbose").output().expect("it can be run again");
    let printed = String::from_utf8(output.stderr).expect("a text");
    assert_eq!(printed.matches("Warning: ").count(), 1, "{printed}");
    assert!(printed.starts_with(&format!("Warning: {MESSAGE} [feature-missing]\n")), "{printed}");
    Ok(())
}
