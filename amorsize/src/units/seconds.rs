use std::fmt;

use super::decimal::Decimal;

/// Seconds for a person to read.
pub(crate) struct Seconds(pub(crate) f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // From here on the smaller unit would be rounded to 1000.
        let (in_a_second, unit, decimals) = match self.0 {
            0.999_995.. => (1.0, "s", 2),
            0.999_995e-3.. => (1e3, "ms", 2),
            0.999_95e-6.. => (1e6, "us", 2),
            _ => (1e9, "ns", 1),
        };
        write!(f, "{} {unit}", Decimal::of(self.0 * in_a_second, decimals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_takes_the_next_unit() {
        for (seconds, text) in [
            (0.0, "0.0 ns"),
            (1.55e-8, "15.5 ns"),
            (9.9994e-7, "999.9 ns"),
            (9.9996e-7, "1.00 us"),
            (9.999_94e-4, "999.99 us"),
            (9.999_96e-4, "1.00 ms"),
            (0.999_994, "999.99 ms"),
            (0.999_996, "1.00 s"),
            (75.0, "75.00 s"),
        ] {
            assert_eq!(Seconds(seconds).to_string(), text, "{seconds}");
        }
    }
}
