//! Numbers of bytes as texts, such as `"512MiB"`.
//!
//! The runtime reads them. Here is only what a message needs: which texts are none, and why. The
//! runtime's tests compile `text` too, and hold both together.

mod text;

pub(crate) use text::{NoBytes, UNITS, fault, is_bytes, number_and_unit, with_unit};

use crate::errors::{Mistake, mistake};

/// Refuses a text that is seen to be no number of bytes.
pub(crate) fn refuse(key: &str, text: &str, example: &str) -> Result<(), Mistake> {
    let why = match fault(text) {
        None => return Ok(()),
        Some(NoBytes::Number) => match number_and_unit(text).0 {
            "" => "it does not begin with a number".to_owned(),
            number => format!("`{number}` is no number"),
        },
        Some(NoBytes::Unit("")) => "it has no unit".to_owned(),
        Some(NoBytes::Unit(unit)) if unit.starts_with(',') => "a number has a point, and no comma".to_owned(),
        Some(NoBytes::Unit(unit)) => format!("`{unit}` is no unit of bytes"),
    };
    let units: Vec<&str> = UNITS.iter().rev().map(|(_, name)| *name).collect();
    let fraction = if key == "max_memory" { "; or a fraction of the available memory, such as `0.5`" } else { "" };
    let help = format!("write a number and one of {}, such as `{example:?}`{fraction}", units.join(", "));
    Err(mistake(format!("`{key}` can't be {text:?}: {why}"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_message_says_why_a_text_is_no_number_of_bytes() {
        for (text, why) in [
            ("512 megs", "`megs` is no unit of bytes"),
            ("12PB", "`PB` is no unit of bytes"),
            ("1e3MB", "`e3MB` is no unit of bytes"),
            ("20 %", "`%` is no unit of bytes"),
            ("12.5", "it has no unit"),
            ("1,5GB", "a number has a point, and no comma"),
            ("1.2.3MB", "`1.2.3` is no number"),
            ("lots", "it does not begin with a number"),
            ("-1MiB", "it does not begin with a number"),
            ("", "it does not begin with a number"),
        ] {
            let (wrong, help) = refuse("max_disk", text, "20GiB").unwrap_err();
            assert_eq!(wrong, format!("`max_disk` can't be {text:?}: {why}"));
            assert_eq!(help, "write a number and one of B, kB, KiB, MB, MiB, GB, GiB, TB, TiB, such as `\"20GiB\"`");
        }
    }
}
