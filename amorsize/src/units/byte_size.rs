use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Sub};

use super::decimal::Decimal;

/// A number of bytes, which parses and prints with binary units.
///
/// Arithmetic saturates: for a budget, a sum of sizes beyond 64 bits is as good as infinite.
///
/// # Examples
///
/// ```
/// use amorsize::ByteSize;
///
/// let budget: ByteSize = "1.5 GiB".parse()?;
/// assert_eq!(budget, ByteSize::mib(1536));
/// assert_eq!(budget.to_string(), "1.50 GiB");
/// assert_eq!(ByteSize::kib(1) + ByteSize::new(24), 1048);
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Even of the largest unit, the part that this divides it into is less than a millionth of a byte.
const SMALLEST: u128 = 10_u128.pow(19);

/// The syntax of a number of bytes, for every message that refuses a text.
pub(crate) const BYTES_SYNTAX: &str = "a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\"";

/// The text for a number of bytes beyond 64 bits, in such a message.
pub(crate) const MOST_BYTES: &str = "less than 16777216TiB";

impl ByteSize {
    /// Zero bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::ZERO, ByteSize::default());
    /// ```
    pub const ZERO: Self = Self(0);
    /// The largest number of bytes that can be stated.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// // Sums don't overflow.
    /// assert_eq!(ByteSize::MAX + ByteSize::mib(1), ByteSize::MAX);
    /// ```
    pub const MAX: Self = Self(u64::MAX);

    /// A number of bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::new(1536).to_string(), "1.50 KiB");
    /// ```
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A number of kibibytes (1,024 bytes each).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::kib(4), 4096);
    /// ```
    #[must_use]
    pub const fn kib(kibibytes: u64) -> Self {
        Self(kibibytes.saturating_mul(KIB))
    }

    /// A number of mebibytes (1,024 KiB each).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// const BUDGET: ByteSize = ByteSize::mib(512);
    /// assert_eq!(BUDGET, "512MiB".parse::<ByteSize>()?);
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes.saturating_mul(MIB))
    }

    /// A number of gibibytes (1,024 MiB each).
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::gib(2), ByteSize::mib(2048));
    /// ```
    #[must_use]
    pub const fn gib(gibibytes: u64) -> Self {
        Self(gibibytes.saturating_mul(GIB))
    }

    /// The number as an integer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::kib(2).as_u64(), 2048);
    /// ```
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn of_usize(bytes: usize) -> Self {
        // `usize` has at most 64 bits on every target that Rust supports.
        Self(bytes as u64)
    }

    pub(crate) fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The number without its fraction, or zero for a negative number and NaN.
    pub(crate) fn from_f64(bytes: f64) -> Self {
        // A float cast saturates at both ends and turns NaN into zero.
        Self(bytes as u64)
    }

    /// The difference, or zero if `other` is larger.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::ByteSize;
    /// assert_eq!(ByteSize::mib(3).saturating_sub(ByteSize::mib(1)), ByteSize::mib(2));
    /// assert_eq!(ByteSize::mib(1).saturating_sub(ByteSize::mib(3)), ByteSize::ZERO);
    /// ```
    #[must_use = "it returns the difference, and leaves the number that it is called on as it is"]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Parses at compile time the same texts as [`str::parse`] at run time: a decimal number with a
    /// unit of `B`, `kB`, `MB`, `GB`, `TB` (powers of 1,000) or `KiB`, `MiB`, `GiB`, `TiB` (powers
    /// of 1,024), in any case.
    ///
    /// Returns `None` for any other text, for a number without a unit, and for one beyond 64 bits.
    pub(crate) const fn parse_const(text: &str) -> Option<Self> {
        let mut text = text.as_bytes();
        while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
            text = rest;
        }
        // Digits before and after the point become one integer and a power of ten.
        let (mut digits, mut scale, mut is_number, mut after_point) = (0u128, 1u128, false, false);
        while let [byte, rest @ ..] = text {
            match *byte {
                digit @ b'0'..=b'9' => {
                    is_number = true;
                    // Zeros that lead don't count. Nor do digits that can't matter any longer.
                    if digits <= u64::MAX as u128 && scale < SMALLEST {
                        digits = digits * 10 + (digit - b'0') as u128;
                        if after_point {
                            scale *= 10;
                        }
                    } else if !after_point {
                        return None;
                    }
                }
                b'_' if is_number => {}
                b'.' if !after_point => after_point = true,
                _ => break,
            }
            text = rest;
        }
        while let [b' ', rest @ ..] = text {
            text = rest;
        }
        let (base, power) = match text {
            [b'b' | b'B'] => (1u128, Some(0)),
            [letter, b'b' | b'B'] => (1000, power(*letter)),
            [letter, b'i' | b'I', b'b' | b'B'] => (1024, power(*letter)),
            _ => return None,
        };
        let (Some(power), true) = (power, is_number) else { return None };
        let bytes = digits * base.pow(power) / scale;
        if bytes > u64::MAX as u128 { None } else { Some(Self(bytes as u64)) }
    }
}

/// The power of 1,000 or 1,024 for the letter of a unit.
const fn power(letter: u8) -> Option<u32> {
    match letter.to_ascii_lowercase() {
        b'k' => Some(1),
        b'm' => Some(2),
        b'g' => Some(3),
        b't' => Some(4),
        _ => None,
    }
}

impl ByteSize {
    /// True if a text fails to parse only because its number is too large.
    pub(crate) fn is_too_many(text: &str) -> bool {
        let text = text.trim_start_matches(' ');
        let unit = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || "_.".contains(letter));
        let number = &text[..text.len() - unit.len()];
        number.starts_with(|letter: char| letter.is_ascii_digit())
            && number.matches('.').count() <= 1
            && Self::parse_const(&format!("1{unit}")).is_some()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 1023.5 of a unit are rounded to one of the next, and 9.995 to 10.0.
        let rounds_to = |unit: u64| self.0 >= unit - unit / 2048;
        let (unit, name) = match self.0 {
            _ if rounds_to(TIB) => (TIB, "TiB"),
            _ if rounds_to(GIB) => (GIB, "GiB"),
            _ if rounds_to(MIB) => (MIB, "MiB"),
            KIB.. => (KIB, "KiB"),
            _ => return f.pad(&format!("{} B", self.0)),
        };
        let value = self.0 as f64 / unit as f64;
        let decimals = match value {
            ..9.995 => 2,
            ..99.95 => 1,
            _ => 0,
        };
        f.pad(&format!("{} {name}", Decimal::of(value, decimals)))
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteSize({})", self.0)
    }
}

impl From<u64> for ByteSize {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl From<ByteSize> for u64 {
    fn from(bytes: ByteSize) -> Self {
        bytes.0
    }
}

// Only for `u64`, so that an integer literal beside a size needs no suffix.
impl PartialEq<u64> for ByteSize {
    fn eq(&self, other: &u64) -> bool {
        self.0 == *other
    }
}

impl PartialOrd<u64> for ByteSize {
    fn partial_cmp(&self, other: &u64) -> Option<std::cmp::Ordering> {
        self.0.partial_cmp(other)
    }
}

impl Add for ByteSize {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for ByteSize {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for ByteSize {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.saturating_sub(other)
    }
}

impl Mul<u64> for ByteSize {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl Sum for ByteSize {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::ZERO, Self::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_powers_of_1000_and_of_1024() {
        for (text, bytes) in [
            ("0B", 0),
            ("1 b", 1),
            ("3kB", 3_000),
            ("3KiB", 3_072),
            ("512MiB", 512 << 20),
            ("512mib", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("  1_000 MB ", 1_000_000_000),
            ("0.5 TiB", 1 << 39),
            ("1.000000000000000000000000000000MB", 1_000_000),
            // However many zeros lead.
            ("000000000000000000001MB", 1_000_000),
            ("0000000000000000000001.5GiB", 3 << 29),
            ("0_0000_0000_0000_0000_0000_0001kB", 1_000),
            ("0.000000000000000000000001TB", 0),
            ("18446744073709551615B", u64::MAX),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let far_too_many_digits = "9".repeat(40) + "B";
        for text in [
            "",
            "12",
            "12 bananas",
            "MiB",
            "-1MiB",
            "1..5MiB",
            "1 MiB x",
            "20000000TiB",
            "18446744073709551616B",
            "NaN",
            "1e3MB",
            "1 Mi B",
            "1kb\0",
        ] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert!(far_too_many_digits.parse::<ByteSize>().is_err());
    }

    #[test]
    fn the_refusal_says_what_is_expected() {
        assert_eq!(
            "12 bananas".parse::<ByteSize>().unwrap_err().to_string(),
            "\"12 bananas\" can't be a number of bytes: use a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\""
        );
    }

    #[test]
    fn rounding_takes_the_next_step_of_digits() {
        for (bytes, text) in [
            (1023, "1023 B"),
            (10 * MIB - 1, "10.0 MiB"),
            (100 * GIB - 1, "100 GiB"),
            (MIB - 512, "1.00 MiB"),
            (MIB - 513, "1023 KiB"),
            (TIB - 1, "1.00 TiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(ByteSize::new(bytes).to_string(), text, "{bytes}");
        }
    }

    /// Any number, and those just below a step of digits or a unit.
    fn any_size() -> impl Strategy<Value = u64> {
        let steps = (prop::sample::select(vec![KIB, MIB, GIB, TIB]), prop::sample::select(vec![1, 10, 100, 1024]));
        let below = (steps, 0.99..=1.0).prop_map(|((unit, many), part)| ((unit * many) as f64 * part) as u64);
        prop_oneof![any::<u64>(), below]
    }

    proptest! {
        #[test]
        fn three_digits_are_printed(bytes in any_size()) {
            let text = ByteSize::new(bytes).to_string();
            let (number, unit) = text.split_once(' ').unwrap();
            let whole = number.parse::<u64>();
            prop_assert!(match (&whole, unit) {
                (Ok(whole), "B") => *whole == bytes && bytes < KIB,
                (Ok(whole), _) => *whole >= 100 && (*whole < 1024 || unit == "TiB"),
                (Err(_), _) => number.len() == 4 && number.parse::<f64>().unwrap() >= 1.0,
            }, "{text}");
        }

        #[test]
        fn what_is_printed_parses_to_nearly_the_same(bytes in any_size()) {
            let back: ByteSize = ByteSize::new(bytes).to_string().parse().unwrap();
            // The text has three digits.
            prop_assert!((back.as_f64() - bytes as f64).abs() <= 0.006 * bytes as f64);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,12}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
