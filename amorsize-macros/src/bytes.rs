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

#[cfg(test)]
mod tests {
    use super::parse;

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
