//! A report as a few lines of text.

use std::fmt;

use super::Report;
use crate::units::counted::Counted;
use crate::units::seconds::Seconds;

impl fmt::Display for Report {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", self.handed_over())?;
        if self.failed() > 0 {
            write!(f, "{} more failed, ", self.failed())?;
        }
        writeln!(f, "{}", Seconds(self.seconds()))?;
        #[cfg(feature = "durable")]
        if self.restored() > 0 {
            writeln!(f, "{} were restored from an earlier run", Counted::items(self.restored()))?;
        }
        if self.panicked() > 0 {
            let (items, have) = (Counted::items(self.panicked()), if self.panicked() == 1 { "has" } else { "have" });
            writeln!(f, "{items} panicked and {have} no result")?;
        }
        writeln!(
            f,
            "{} per item, {:.2} times a plain loop on {}",
            Seconds(self.seconds_per_item()),
            self.speedup(),
            Counted::threads(self.threads())
        )?;
        write!(
            f,
            "{} of results, at most {} held of a budget of {} (by {}: {})",
            self.result_bytes(),
            self.peak_bytes(),
            self.budget(),
            self.measured_by(),
            self.measured_by().certainty()
        )?;
        for warning in self.warnings() {
            write!(f, "\nwarning: {warning}")?;
        }
        for stage in self.stages() {
            write!(f, "\n{stage}")?;
        }
        match self.retries {
            0 => {}
            1 => write!(f, "\n1 call was made again after an error")?,
            retries => write!(f, "\n{retries} calls were made again after an error")?,
        }
        for failure in self.failures() {
            write!(f, "\n{failure}")?;
        }
        match self.failed() - self.failures().len() {
            more if more > 0 && more < self.failed() => write!(f, "\nand {more} more"),
            _ => Ok(()),
        }
    }
}
