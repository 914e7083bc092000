//! A mean that follows changes.

/// The weight of the newest value. It follows a change within a few values, and evens out single
/// outliers; joblib smooths its batch durations with a fifth.
const NEWEST: f64 = 0.25;

/// Moves a mean towards the newest value. A mean of 0 has no value yet.
pub(crate) fn follow(mean: &mut f64, newest: f64) {
    let weight = if *mean > 0.0 { NEWEST } else { 1.0 };
    *mean += weight * (newest - *mean);
}
