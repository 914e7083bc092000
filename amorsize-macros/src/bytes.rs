/// Reads a number of bytes as the runtime does: a decimal number and a unit of powers of 1,000 or 1,024, in any case.
///
/// The runtime's parser is out of reach, because that crate uses this one; a test compares the two on the same texts.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '_' | '.'))?;
    let (number, unit) = (&text[..digits], text[digits..].trim_start_matches(' '));
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    if number.starts_with('_') {
        return None;
    }
    let number: f64 = number.replace('_', "").parse().ok()?;
    let bytes = number * factor as f64;
    // The largest number of 64 bits rounds up to a float that they can't hold.
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// The number of bytes with the largest unit that leaves it whole, as one would write it.
pub(crate) fn with_unit(bytes: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1_000_000_000_000, "TB"),
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1 << 10, "KiB"),
        (1_000, "kB"),
    ];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, with_unit};

    #[test]
    fn the_largest_whole_unit_is_written() {
        for (bytes, text) in [
            (512_000_000, "512MB"),
            (512 << 20, "512MiB"),
            (4_000_000_000, "4GB"),
            (3 << 29, "1536MiB"),
            (1_500_000, "1500kB"),
            (1_234_567, "1234567B"),
            (1 << 40, "1TiB"),
            (u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(with_unit(bytes), text);
        }
    }

    #[test]
    fn units_are_powers_of_1000_and_of_1024() {
        for (text, bytes) in [
            ("0B", 0),
            ("1 b", 1),
            ("3kB", 3_000),
            ("512MiB", 512 << 20),
            ("512mib", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("  1_000 MB ", 1_000_000_000),
            ("0.5 TiB", 1 << 39),
            (".5kB", 500),
            ("5.kB", 5_000),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "12",
            "12 bananas",
            "MiB",
            "-1MiB",
            "1..5MiB",
            "1 MiB x",
            "20000000TiB",
            "NaN",
            "1e3MB",
            "_1MB",
            "1.2.3MB",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
