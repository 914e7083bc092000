//! Axes: the places of values, the round numbers that mark them, and numbers as texts.

use std::time::SystemTime;

use crate::units::counted::Counted;
use crate::units::date::minute_and_second;
use crate::units::seconds::Seconds;

/// The part of a whole, from 0 to 1; 0 if either is not a number.
#[inline]
pub(super) fn share(part: f64, whole: f64) -> f64 {
    let share = part / whole;
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

/// Values from zero on, along a stretch of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) top: f64,
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    #[inline]
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * share(value, self.top)
    }
}

/// A mark of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// The smallest step with at most `most` multiples up to `top`, or else the last one. `steps` rise.
#[inline]
fn step(steps: impl Iterator<Item = f64>, top: f64, most: usize) -> f64 {
    let mut last = 1.0;
    for step in steps {
        last = step;
        if top / step <= most as f64 {
            break;
        }
    }
    last
}

#[inline]
fn ticks(step: f64, top: f64, label: impl Fn(f64) -> String) -> Vec<Tick> {
    // A little more, since rounding may put a top just below a multiple of the step. No axis has a
    // hundred marks.
    let last = (top / step * (1.0 + 1e-9)).clamp(0.0, 100.0) as usize;
    (0..=last).map(|place| place as f64 * step).map(|value| Tick { value, label: label(value) }).collect()
}

/// Bytes, marked at multiples of a power of two.
#[inline]
pub(super) fn of_bytes(top: f64, most: usize) -> Vec<Tick> {
    let step = step((0..63).map(|power| 2f64.powi(power)), top, most);
    // One unit for all marks: the largest that is not above the top.
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let (name, power) = units.into_iter().find(|(_, power)| 2f64.powi(*power) <= top).unwrap_or(("B", 0));
    ticks(step, top, in_units(2f64.powi(power), name))
}

/// Seconds, marked as clocks are.
#[inline]
pub(super) fn of_seconds(top: f64, most: usize) -> Vec<Tick> {
    let below = (-9..1).flat_map(|power| [1, 2, 5].map(|digit| decimal(digit, power)));
    let clock = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200].map(f64::from);
    let days = (0..9).flat_map(|power| [1, 2, 5].map(|digit| 86_400.0 * decimal(digit, power)));
    let step = step(below.chain(clock).chain(days), top, most);
    let (unit, name) = match (top, step) {
        (..1e-6, _) => (1e-9, "ns"),
        (..1e-3, _) => (1e-6, "us"),
        (..1.0, _) => (1e-3, "ms"),
        (_, ..60.0) => (1.0, "s"),
        (_, ..3600.0) => (60.0, "min"),
        (_, ..86_400.0) => (3600.0, "h"),
        _ => (86_400.0, "d"),
    };
    ticks(step, top, in_units(unit, name))
}

/// Labels in units of this size.
#[inline]
fn in_units(unit: f64, name: &str) -> impl Fn(f64) -> String {
    move |value| if value == 0.0 { "0".to_owned() } else { format!("{} {name}", plain(value / unit, 3)) }
}

/// Numbers of things, marked at 1, 2 and 5 and their tenfold.
#[inline]
pub(super) fn of_numbers(top: f64, most: usize) -> Vec<Tick> {
    let steps = (-9..16).flat_map(|power| [1, 2, 5].map(|digit| decimal(digit, power)));
    ticks(step(steps, top, most), top, number)
}

/// A decimal power: 1e-3 is the nearest number to a thousandth, which 10 to the power of -3 may not
/// be.
#[inline]
fn decimal(digit: i32, power: i32) -> f64 {
    let tenfold = 10f64.powi(power.abs());
    if power < 0 { f64::from(digit) / tenfold } else { f64::from(digit) * tenfold }
}

/// Up to this many decimals, without zeros at the end.
#[inline]
fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number to three digits.
#[inline]
pub(super) fn number(value: f64) -> String {
    let (value, unit) = match value {
        // Negative numbers and NaN too.
        value if value.is_nan() || value < 1e-9 => (0.0, ""),
        ..9_999.5 => (value, ""),
        ..999_500.0 => (value / 1e3, " k"),
        ..999.5e6 => (value / 1e6, " M"),
        ..999.5e9 => (value / 1e9, " G"),
        _ => return format!("{value:.2e}"),
    };
    if unit.is_empty() && value >= 999.5 {
        return count(value.round() as usize);
    }
    let decimals = if value > 0.0 { (2 - value.log10().floor() as i32).clamp(0, 9) as usize } else { 0 };
    plain(value, decimals) + unit
}

/// A date and a time of day, such as `2026-01-31 08:05:09 UTC`.
#[inline]
pub(super) fn date(time: SystemTime) -> String {
    let (minute, second) = minute_and_second(time);
    format!("{minute}:{second:02} UTC")
}

/// A count with its thousands set apart.
#[inline]
pub(super) fn count(value: usize) -> String {
    match value {
        0..1000 => value.to_string(),
        _ => format!("{},{:03}", count(value / 1000), value % 1000),
    }
}

/// A count for a small place.
#[inline]
pub(super) fn short_count(value: usize) -> String {
    if value < 10_000_000 { count(value) } else { number(value as f64) }
}

/// `1 batch`, `2 batches`.
#[inline]
pub(super) fn counted(counted: Counted) -> String {
    format!("{} {}", short_count(counted.0), counted.name())
}

/// A pace as a number, and what it counts: `1`, `item per second`.
#[inline]
pub(super) fn pace(items_per_second: f64) -> (String, &'static str) {
    let number = number(items_per_second);
    let name = if number == "1" { "item per second" } else { "items per second" };
    (number, name)
}

#[inline]
pub(super) fn seconds(value: f64) -> String {
    // At most the age of the universe.
    Seconds(if value.is_finite() { value.clamp(0.0, 1e18) } else { 0.0 }).to_string()
}

#[inline]
pub(super) fn percent(part: f64, whole: f64) -> String {
    let percent = 100.0 * share(part, whole);
    match percent {
        0.0 => "0 %".to_owned(),
        ..0.1 => "< 0.1 %".to_owned(),
        _ => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(ticks: &[Tick]) -> String {
        ticks.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn bytes_are_marked_at_round_binary_numbers() {
        let mib = f64::from(1 << 20);
        for (top, expected) in [
            (256.0 * mib, "0, 64 MiB, 128 MiB, 192 MiB, 256 MiB"),
            (1500.0 * mib, "0, 0.5 GiB, 1 GiB"),
            (2600.0 * mib, "0, 1 GiB, 2 GiB"),
            (700.0, "0, 256 B, 512 B"),
            (1.0, "0, 1 B"),
            (0.0, "0"),
        ] {
            assert_eq!(labels(&of_bytes(top, 5)), expected, "{top}");
        }
    }

    #[test]
    fn seconds_are_marked_as_clocks_are() {
        for (top, expected) in [
            (4.2, "0, 1 s, 2 s, 3 s, 4 s"),
            (0.3, "0, 50 ms, 100 ms, 150 ms, 200 ms, 250 ms, 300 ms"),
            (1.3, "0, 0.2 s, 0.4 s, 0.6 s, 0.8 s, 1 s, 1.2 s"),
            (130.0, "0, 20 s, 40 s, 60 s, 80 s, 100 s, 120 s"),
            (900.0, "0, 2 min, 4 min, 6 min, 8 min, 10 min, 12 min, 14 min"),
            (10_000.0, "0, 30 min, 60 min, 90 min, 120 min, 150 min"),
            (200_000.0, "0, 12 h, 24 h, 36 h, 48 h"),
            (0.0021, "0, 0.5 ms, 1 ms, 1.5 ms, 2 ms"),
            (1e-5, "0, 2 us, 4 us, 6 us, 8 us, 10 us"),
        ] {
            assert_eq!(labels(&of_seconds(top, 8)), expected, "{top}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (f64::NAN, "0"),
            (-3.0, "0"),
            (0.012_34, "0.0123"),
            (0.5, "0.5"),
            (85.53, "85.5"),
            (100.0, "100"),
            (999.6, "1,000"),
            (1234.5, "1,235"),
            (12_345.0, "12.3 k"),
            (2e6, "2 M"),
            (3.21e9, "3.21 G"),
            (1e15, "1.00e15"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!([7, 1000, 1_234_567].map(count), ["7", "1,000", "1,234,567"]);
        assert_eq!(short_count(12_345_678), "12.3 M");
        assert_eq!(
            (counted(Counted::batches(1)), counted(Counted::batches(0))),
            ("1 batch".into(), "0 batches".into())
        );
        assert_eq!(
            (percent(1.0, 3.0), percent(0.0, 0.0), percent(1e-9, 1.0)),
            ("33.3 %".into(), "0 %".into(), "< 0.1 %".into())
        );
    }

    proptest! {
        #[test]
        fn ticks_are_few_and_within_the_axis(top in 1e-8f64..1e12, most in 3usize..12) {
            for ticks in [of_bytes(top, most), of_seconds(top, most), of_numbers(top, most)] {
                prop_assert!(ticks.len() <= most + 1);
                prop_assert!(ticks.iter().all(|tick| tick.value <= top * (1.0 + 1e-6)));
                prop_assert!(ticks.windows(2).all(|pair| pair[0].label != pair[1].label), "{}", labels(&ticks));
            }
            if top >= 1.0 {
                prop_assert!(of_bytes(top, most).len() > 1 && of_seconds(top, most).len() > 1);
            }
        }

        #[test]
        fn whatever_the_value_its_place_is_on_the_axis(value: f64, top: f64) {
            let at = Scale { top, from: 300.0, to: 20.0 }.at(value);
            prop_assert!((20.0..=300.0).contains(&at));
        }
    }
}
