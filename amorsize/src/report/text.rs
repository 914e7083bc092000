//! A report as a few lines of text.

use std::fmt;

use super::Report;
use crate::units::counted::Counted;
use crate::units::seconds::Seconds;

impl fmt::Display for Report {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "array")]
        if let Some(task) = self.done_task {
            writeln!(f, "task {task} was done before")?;
        }
        write!(f, "{}, ", self.handed_over())?;
        if self.failed() > 0 {
            write!(f, "{} more failed, ", self.failed())?;
        }
        writeln!(f, "{}", Seconds(self.seconds()))?;
        #[cfg(feature = "durable")]
        if self.restored() > 0 {
            let items = Counted(self.restored(), "item was", "items were");
            writeln!(f, "{items} restored from an earlier run")?;
        }
        if self.panicked() > 0 {
            let items = Counted(self.panicked(), "item panicked and has", "items panicked and have");
            writeln!(f, "{items} no result")?;
        }
        if self.seconds_per_item() > 0.0 {
            writeln!(
                f,
                "{} per item, {:.2} times a plain loop on {}",
                Seconds(self.seconds_per_item()),
                self.speedup(),
                Counted::threads(self.threads())
            )?;
        }
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
        if self.retries > 0 {
            write!(f, "\n{} made again after an error", Counted(self.retries, "call was", "calls were"))?;
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
