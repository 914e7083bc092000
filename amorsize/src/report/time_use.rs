//! The use of the time of a run's threads.

use std::fmt;

use crate::units::seconds::Seconds;

/// The use of the time of a run's threads, in seconds over all threads: a second on four threads is
/// four.
///
/// All time outside of calls is lost, and each loss has a cause that you can act on;
/// [`Report::explain`](crate::Report::explain) says how.
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use amorsize::process_in_batches;
///
/// let work = |x: u32| thread::sleep(Duration::from_micros(500 + u64::from(x)));
/// // A sink that is slower than the calls.
/// let sink = |_| thread::sleep(Duration::from_millis(10));
/// let mut run = process_in_batches(work, 0..64).threads(2).batch_size(8).max_memory("1KiB");
/// let report = run.for_each_batch(sink)?;
/// let time = report.time_use();
/// assert!(time.calls() > 0.03);
/// assert!(time.calls() <= time.total());
/// println!("waits: {:.3} for memory, {:.3} for the sink", time.memory(), time.sink());
/// println!("{:.3} for the input, {:.3} for the last items", time.input(), time.ends());
/// println!("everything else: {:.3}", time.handling());
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeUse {
    pub(crate) total: f64,
    pub(crate) calls: f64,
    pub(crate) memory: f64,
    pub(crate) sink: f64,
    pub(crate) input: f64,
    pub(crate) ends: f64,
}

impl TimeUse {
    /// Adds the time of another part of the run.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            calls: self.calls + other.calls,
            memory: self.memory + other.memory,
            sink: self.sink + other.sink,
            input: self.input + other.input,
            ends: self.ends + other.ends,
        }
    }

    /// All seconds: those of the calling thread while the run was on it alone, and those of all its
    /// threads after that.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Seconds in the function.
    #[must_use]
    pub fn calls(&self) -> f64 {
        self.calls
    }

    /// Seconds that threads waited because the budget had no room for another call.
    #[must_use]
    pub fn memory(&self) -> f64 {
        self.memory
    }

    /// Seconds that threads waited for the sink: it had not taken the results that fill the budget,
    /// it kept the calling thread from pulling items, or it had a core for itself as it is slower
    /// than the calls.
    #[must_use]
    pub fn sink(&self) -> f64 {
        self.sink
    }

    /// Seconds that threads waited for the input's next items.
    #[must_use]
    pub fn input(&self) -> f64 {
        self.input
    }

    /// Seconds that threads had nothing to do because the input had ended and others worked on the
    /// last items.
    #[must_use]
    pub fn ends(&self) -> f64 {
        self.ends
    }

    /// Seconds for everything else: starting and waking threads, taking items and handing results
    /// on.
    #[must_use]
    pub fn handling(&self) -> f64 {
        (self.total - self.calls - self.memory - self.sink - self.input - self.ends).max(0.0)
    }

    /// The parts by name, calls first.
    pub(crate) fn parts(&self) -> [(&'static str, f64); 6] {
        [
            ("calls", self.calls),
            ("waiting for memory", self.memory),
            ("waiting for the sink", self.sink),
            ("waiting for the input", self.input),
            ("idle at the end", self.ends),
            ("handling", self.handling()),
        ]
    }
}

/// The parts with their shares, one line each.
impl fmt::Display for TimeUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, seconds) in self.parts() {
            let share = 100.0 * seconds / self.total.max(f64::MIN_POSITIVE);
            write!(f, "{separator}{name:<21} {share:5.1} %  {}", Seconds(seconds))?;
            separator = "\n";
        }
        Ok(())
    }
}
