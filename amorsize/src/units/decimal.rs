use std::fmt;

/// A number that is not negative, rounded to some decimals.
///
/// It is printed as whole numbers: the standard library's code for floats takes 20 KB of a program
/// that prints no others.
pub(crate) struct Decimal {
    scaled: u64,
    decimals: u32,
}

impl Decimal {
    pub(crate) fn of(value: f64, decimals: u32) -> Self {
        Self { scaled: (value * 10_u64.pow(decimals) as f64 + 0.5) as u64, decimals }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scaled, decimals } = *self;
        let scale = 10_u64.pow(decimals);
        write!(f, "{}", scaled / scale)?;
        if decimals == 0 { Ok(()) } else { write!(f, ".{:0width$}", scaled % scale, width = decimals as usize) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_are_printed() {
        let values = [(2.0, 2), (0.049, 1), (0.05, 1), (12.0456, 3), (99.5, 0)];
        let texts = values.map(|(value, decimals)| Decimal::of(value, decimals).to_string());
        assert_eq!(texts, ["2.00", "0.0", "0.1", "12.046", "100"]);
    }

    proptest! {
        #[test]
        fn it_is_as_near_as_what_the_standard_library_prints(value in 0.0..1e6, decimals in 0_u32..4) {
            let (ours, theirs) = (Decimal::of(value, decimals).to_string(), format!("{value:.0$}", decimals as usize));
            let off = |text: &str| (text.parse::<f64>().unwrap() - value).abs();
            // Where the value is halfway, either neighbour will do.
            prop_assert!(ours == theirs || (off(&ours) - off(&theirs)).abs() < 1e-9, "{ours} {theirs}");
        }
    }
}
