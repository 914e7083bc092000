//! How a number of bytes is written.

/// The units that the runtime reads, from the largest to the smallest.
pub(crate) const UNITS: [(u64, &str); 9] = [
    (1 << 40, "TiB"),
    (1_000_000_000_000, "TB"),
    (1 << 30, "GiB"),
    (1_000_000_000, "GB"),
    (1 << 20, "MiB"),
    (1_000_000, "MB"),
    (1 << 10, "KiB"),
    (1_000, "kB"),
    (1, "B"),
];

/// The part of a text that makes it no number of bytes.
#[derive(Debug, PartialEq)]
pub(crate) enum NoBytes<'t> {
    Number,
    Unit(&'t str),
}

/// Why the runtime can't read a text. Whether a number is too small or too large is left to it.
pub(crate) fn fault(text: &str) -> Option<NoBytes<'_>> {
    let (number, unit) = number_and_unit(text);
    if value(number).is_none() {
        return Some(NoBytes::Number);
    }
    size(unit).is_none().then_some(NoBytes::Unit(unit))
}

/// True for a text that every option takes as a number of bytes: no help proposes another one.
pub(crate) fn is_bytes(text: &str) -> bool {
    let (number, unit) = number_and_unit(text);
    let bytes = value(number).zip(size(unit)).map(|(number, unit)| number * unit as f64);
    bytes.is_some_and(|bytes| bytes >= 1.0 && bytes < u64::MAX as f64)
}

pub(crate) fn number_and_unit(text: &str) -> (&str, &str) {
    let text = text.trim_matches(' ');
    let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || "_.".contains(letter));
    (&text[..text.len() - unit.len()], unit.trim_start_matches(' '))
}

/// The number of bytes with the largest unit that leaves it whole.
pub(crate) fn with_unit(bytes: u64) -> String {
    let mut units = UNITS.into_iter().filter(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (unit, name) = units.next().unwrap_or((1, "B"));
    format!("{}{name}", bytes / unit)
}

fn value(number: &str) -> Option<f64> {
    let begins = !number.trim_start_matches('.').starts_with('_');
    number.replace('_', "").parse().ok().filter(|_| begins)
}

fn size(unit: &str) -> Option<u64> {
    UNITS.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(unit)).map(|(size, _)| size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_bytes_is_known() {
        for text in ["512MiB", "1.5 GB", "  1_000 MB ", "512mib", ".5kB", "5.kB", "0.5 TiB"] {
            assert!(is_bytes(text), "{text}");
            assert_eq!(fault(text), None, "{text}");
        }
        for text in ["", "12", "12 bananas", "MiB", "-1MiB", "1..5MiB", "1 MiB x", "NaN", "1e3MB", "_1MB", "1.2.3MB"] {
            assert!(!is_bytes(text), "{text}");
            assert!(fault(text).is_some(), "{text}");
        }
        // Numbers that only the runtime refuses.
        for text in ["20000000TiB", "0B"] {
            assert!(!is_bytes(text), "{text}");
            assert_eq!(fault(text), None, "{text}");
        }
    }
}
