use std::fmt;

/// Seconds for a person to read.
pub(crate) struct Seconds(pub(crate) f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds >= 1.0 => write!(f, "{seconds:.2} s"),
            seconds if seconds >= 1e-3 => write!(f, "{:.2} ms", seconds * 1e3),
            seconds if seconds >= 1e-6 => write!(f, "{:.2} us", seconds * 1e6),
            seconds => write!(f, "{:.1} ns", seconds * 1e9),
        }
    }
}
