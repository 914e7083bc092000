//! The option `max_memory`, which states a budget.

use std::fmt;

use crate::error::Error;
use crate::units::{ByteSize, MOST_BYTES};

/// The memory that a run may use: a fraction of the available memory when it starts, or bytes.
///
/// It converts from an `f64` (`0 < x <= 1`), from [`ByteSize`], or from a text such as `"512MiB"`.
/// The run's terminal refuses any other number or text, with an error that names it.
///
/// # Examples
///
/// ```
/// use amorsize::{ByteSize, process_in_batches};
///
/// let double = |x: u64| 2 * x;
/// process_in_batches(double, 0..9).max_memory(0.25).collect::<Vec<_>>()?;
/// process_in_batches(double, 0..9).max_memory("64MiB").collect::<Vec<_>>()?;
/// process_in_batches(double, 0..9).max_memory(ByteSize::mib(64)).collect::<Vec<_>>()?;
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "it limits nothing until a run is given it by `max_memory`"]
pub struct MaxMemory(Limit);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limit {
    Fraction(f64),
    Bytes(ByteSize),
    /// The smaller of the two: one stage of a pipeline states a fraction, another one bytes.
    Both(f64, ByteSize),
    /// A value that no run takes, as a text, and the expected values.
    Refused(String, &'static str),
}

/// Amorsize's default: half of the available memory.
pub(crate) const DEFAULT_FRACTION: f64 = 0.5;

/// The expected values, in the message about a number that is neither.
const FRACTION_OR_BYTES: &str = "a fraction above 0 and up to 1 of the available memory, or bytes such as \"512MiB\"";

/// The expected values, in the message about a text, which may be a fraction in quotes.
const BYTES_OR_FRACTION: &str = "a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\", or a fraction of the available \
                                 memory as a number, such as 0.5";

impl MaxMemory {
    /// The limit as it was stated, valid or not.
    #[cfg(test)]
    pub(crate) fn stated(&self) -> &Limit {
        &self.0
    }

    /// A fraction of the available memory, `0 < fraction <= 1`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::MaxMemory;
    /// assert_eq!(MaxMemory::fraction(0.25).to_string(), "25% of the available memory");
    /// ```
    pub const fn fraction(fraction: f64) -> Self {
        Self(Limit::Fraction(fraction))
    }

    /// A number of bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use amorsize::{ByteSize, MaxMemory};
    /// assert_eq!(MaxMemory::bytes(ByteSize::mib(512)), "512MiB".into());
    /// ```
    pub const fn bytes(bytes: ByteSize) -> Self {
        Self(Limit::Bytes(bytes))
    }

    /// The smaller of the limits of two stages of a pipeline. Both were checked before.
    pub(crate) fn least(self, other: Self) -> Self {
        let parts = |limit| match limit {
            Limit::Fraction(fraction) => (Some(fraction), None),
            Limit::Bytes(bytes) => (None, Some(bytes)),
            Limit::Both(fraction, bytes) => (Some(fraction), Some(bytes)),
            Limit::Refused(..) => (None, None),
        };
        let (own, others) = (parts(self.0), parts(other.0));
        let fraction = own.0.into_iter().chain(others.0).min_by(f64::total_cmp);
        Self(match (fraction, own.1.into_iter().chain(others.1).min()) {
            (Some(fraction), Some(bytes)) => Limit::Both(fraction, bytes),
            (Some(fraction), None) => Limit::Fraction(fraction),
            (None, Some(bytes)) => Limit::Bytes(bytes),
            (None, None) => return Self::default(),
        })
    }

    pub(crate) fn limit(&self) -> Result<&Limit, Error> {
        match &self.0 {
            Limit::Refused(value, expected) => Err(Error::invalid_option("max_memory", value, expected)),
            limit => Ok(limit),
        }
    }

    /// The same, but refused if no run takes it. The compiler has judged the values of attributes.
    pub(crate) fn judged(self) -> Self {
        match self.0 {
            // The negation refuses NaN too.
            Limit::Fraction(fraction) if !(fraction > 0.0 && fraction <= 1.0) => {
                Self(Limit::Refused(fraction.to_string(), FRACTION_OR_BYTES))
            }
            Limit::Bytes(ByteSize::ZERO) => Self(Limit::Refused("0 B".into(), FRACTION_OR_BYTES)),
            _ => self,
        }
    }
}

impl Default for MaxMemory {
    fn default() -> Self {
        Self::fraction(DEFAULT_FRACTION)
    }
}

impl fmt::Display for MaxMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Limit::Fraction(fraction) => write!(f, "{}% of the available memory", percent(*fraction)),
            Limit::Bytes(bytes) => bytes.fmt(f),
            Limit::Both(fraction, bytes) => {
                write!(f, "{}% of the available memory or {bytes}, whichever is less", percent(*fraction))
            }
            Limit::Refused(value, _) => f.write_str(value),
        }
    }
}

/// A fraction in percent, in three digits. However small it is, it is not printed as nothing.
fn percent(fraction: f64) -> f64 {
    let percent = fraction * 100.0;
    format!("{percent:.2e}").parse().unwrap_or(percent)
}

impl From<f64> for MaxMemory {
    fn from(fraction: f64) -> Self {
        Self::fraction(fraction)
    }
}

impl From<ByteSize> for MaxMemory {
    fn from(bytes: ByteSize) -> Self {
        Self::bytes(bytes)
    }
}

impl From<&str> for MaxMemory {
    fn from(text: &str) -> Self {
        let expected = || if ByteSize::is_too_many(text) { MOST_BYTES } else { BYTES_OR_FRACTION };
        Self(match ByteSize::parse_const(text) {
            Some(bytes) => Limit::Bytes(bytes),
            None => Limit::Refused(format!("{text:?}"), expected()),
        })
    }
}

impl From<String> for MaxMemory {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// A const expression given as `max_memory` in the attribute; its type decides how it is checked.
#[derive(Debug)]
pub struct MaxMemoryValue<T>(T);

impl<T: MaxMemoryConstant> MaxMemoryValue<T> {
    /// Takes what is to be checked.
    pub const fn of(value: T) -> Self {
        Self(value)
    }
}

impl MaxMemoryValue<f64> {
    /// Checks the fraction at compile time.
    ///
    /// # Panics
    ///
    /// If the fraction is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        assert!(self.0 > 0.0 && self.0 <= 1.0, "`max_memory` must be above 0 and at most 1");
        MaxMemory::fraction(self.0)
    }
}

impl MaxMemoryValue<ByteSize> {
    /// Checks the bytes at compile time.
    ///
    /// # Panics
    ///
    /// If the bytes are refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        assert!(self.0.as_u64() > 0, "`max_memory` must be at least one byte");
        MaxMemory::bytes(self.0)
    }
}

impl MaxMemoryValue<&str> {
    /// Parses the text at compile time.
    ///
    /// # Panics
    ///
    /// If the text is refused, which the compiler reports at the expression.
    #[track_caller]
    pub const fn checked(self) -> MaxMemory {
        let Some(bytes) = ByteSize::parse_const(self.0) else {
            panic!("`max_memory` must be a number with a unit, such as \"512MiB\", \"2GiB\" or \"1.5 GB\"")
        };
        MaxMemoryValue(bytes).checked()
    }
}
/// The types of a constant that is given as `max_memory` in the attribute.
#[diagnostic::on_unimplemented(
    message = "`max_memory` can't be of the type `{Self}`",
    label = "this is neither a fraction nor a number of bytes",
    note = "use an `f64` above 0 and up to 1, a text such as \"512MiB\", or `ByteSize`: of `n` bytes it is `ByteSize::new(n)`"
)]
pub trait MaxMemoryConstant {}

impl MaxMemoryConstant for f64 {}

impl MaxMemoryConstant for ByteSize {}

impl MaxMemoryConstant for &str {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nothing_is_printed_as_nothing() {
        for (fraction, percent) in [
            (1.0, "100"),
            (1.0 / 3.0, "33.3"),
            (0.125, "12.5"),
            (0.07, "7"),
            (0.004, "0.4"),
            (0.000_012_344, "0.00123"),
            // No run takes these.
            (0.0, "0"),
            (-0.5, "-50"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(MaxMemory::fraction(fraction).to_string(), format!("{percent}% of the available memory"));
        }
    }
}
