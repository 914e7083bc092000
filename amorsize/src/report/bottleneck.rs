//! Finds the cause that kept a run from being faster, and the way out.
//!
//! The texts are `#[inline]`, as is that of the report, so that only a program that asks for them
//! compiles them.

use std::fmt::{self, Write};

use super::{MOST, Report, overrun};
use crate::system::thread_time::TIMED_ALONE;
use crate::units::ByteSize;
use crate::units::counted::Counted;
use crate::units::measured_by::MeasuredBy;
use crate::units::seconds::Seconds;

/// The least loss that counts as a bottleneck, as a part of the threads' time. Two runs of the same
/// work differ by half of it.
const WORTH_NAMING: f64 = 0.05;

/// The main cause that kept a run from being faster; from [`Report::bottleneck`].
///
/// # Examples
///
/// ```
/// use std::{thread, time::Duration};
///
/// use amorsize::{Bottleneck, process_in_batches};
///
/// let sink = |_| thread::sleep(Duration::from_millis(20));
/// let run = process_in_batches(|x: u64| x + 1, 0..20);
/// let report = run.threads(1).batch_size(4).for_each_batch(sink)?;
/// assert_eq!(report.bottleneck(), Bottleneck::Sink);
/// assert!(report.explain().contains("bound by the sink"));
/// # Ok::<(), amorsize::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bottleneck {
    /// The function itself: the threads were in it all the time.
    Cores,
    /// The device, network, lock or timer that the function waits for: the threads were in the
    /// function all the time, and the cores were not busy.
    Waiting,
    /// The memory budget: threads waited for room in it.
    Memory,
    /// The sink: threads waited until it had taken the finished results.
    Sink,
    /// The input: threads waited for its next items.
    Input,
    /// The last items: most threads had nothing to do while others still worked on them.
    LastItems,
    /// The handling of threads and items, for calls that are too short for it.
    Handling,
    /// The calling thread: the run stayed on it, or went back to it because threads were slower.
    CallingThread,
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cores => "the cores",
            Self::Waiting => "what the function waits for",
            Self::Memory => "the memory budget",
            Self::Sink => "the sink",
            Self::Input => "the input",
            Self::LastItems => "the last items",
            Self::Handling => "the handling of items",
            Self::CallingThread => "the calling thread",
        })
    }
}

impl Report {
    /// The main cause that kept the run from being faster.
    ///
    /// # Examples
    ///
    /// See [`Bottleneck`].
    #[must_use]
    pub fn bottleneck(&self) -> Bottleneck {
        let (time, threads, waits) = (self.time_use(), self.threads(), self.waited_with_idle_cores());
        // A late start or a pause costs little beside calls that wait, unless it takes most of the
        // time. But a run without more threads than cores has none to spare at the end.
        let cheap = |seconds: f64| waits && seconds < MOST * time.total();
        let ends = if cheap(time.ends()) && self.has_more_threads_than_cores() { 0.0 } else { time.ends() };
        let handling = if cheap(time.handling()) { 0.0 } else { time.handling() };
        let memory = (Bottleneck::Memory, time.memory());
        let others = [
            (Bottleneck::Sink, time.sink()),
            (Bottleneck::Input, time.input()),
            (Bottleneck::LastItems, ends),
            (Bottleneck::Handling, handling),
        ];
        let worst = others.into_iter().fold(memory, |worst, loss| if loss.1 > worst.1 { loss } else { worst });
        let (bottleneck, seconds) = worst;
        match bottleneck {
            Bottleneck::Sink | Bottleneck::Handling if self.was_faster_alone() => Bottleneck::CallingThread,
            _ if waits && seconds <= WORTH_NAMING * time.total() && threads > 1 => Bottleneck::Waiting,
            // A sink on the only thread takes its time, whatever the function does.
            _ if seconds <= WORTH_NAMING * time.total() && threads > 1 => Bottleneck::Cores,
            Bottleneck::Sink if threads == 1 && time.sink() > time.calls() => Bottleneck::Sink,
            _ if threads == 1 => Bottleneck::CallingThread,
            _ => bottleneck,
        }
    }

    /// The measurements, the use of the threads' time, the bottleneck and the way out of it, as a
    /// text of several lines.
    ///
    /// # Examples
    ///
    /// ```
    /// use amorsize::process_in_batches;
    ///
    /// let mut run = process_in_batches(|x: u64| x.pow(3), 0..1000).threads(1);
    /// let report = run.for_each_batch(|_| ())?;
    /// println!("{}", report.explain());
    /// assert!(report.explain().contains("bound by the calling thread"));
    /// # Ok::<(), amorsize::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let mut line = |line: fmt::Arguments<'_>| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{line}");
        };
        let pace = Counted::items(self.items_per_second().round() as usize);
        line(format_args!(
            "{}, {}: {pace} and {} of results per second",
            self.handed_over(),
            Seconds(self.seconds()),
            ByteSize::from_f64(self.bytes_per_second()),
        ));
        if self.threads() > 1 {
            line(format_args!(
                "{} on the calling thread, {} on {} threads, in {} of {}",
                Seconds(self.inline_seconds()),
                Seconds(self.threads_seconds()),
                self.threads(),
                Counted(self.chunks(), "chunk", "chunks"),
                Counted::items(self.chunk_size()),
            ));
        } else {
            line(format_args!("all of it on the calling thread"));
        }
        line(format_args!(
            "{} per item, and {} in the sample: {:.2} times as fast as a plain loop with the same input and sink, {}",
            Seconds(self.seconds_per_item()),
            Seconds(self.sampled_seconds_per_item()),
            self.speedup(),
            match self.slower_sample() {
                None => format!("{:.2} times by the sample", self.sampled_speedup()),
                Some(times) => format!(
                    "and the sample says nothing of that: its calls took {times:.0} times as long as all did, as a first one that loads \
                     something does"
                ),
            },
        ));
        line(format_args!(
            "held at most {} of the budget of {} ({:.0} %), by {}: {}",
            self.peak_bytes(),
            self.budget(),
            100.0 * self.peak_bytes().as_f64() / self.budget().as_f64().max(1.0),
            self.measured_by(),
            self.measured_by().certainty(),
        ));
        if self.working_bytes() > ByteSize::ZERO {
            line(format_args!(
                "working memory of a call: {} at most ({})",
                self.working_bytes(),
                self.working_certainty()
            ));
        }
        if let Some((peak, kept)) = self.peak_resident().zip(self.allocator_bytes()) {
            line(format_args!("resident memory grew by at most {peak}; {kept} of it was still there at the end"));
        }
        line(format_args!("the threads' time, {} in all:", Seconds(self.time_use().total())));
        for part in self.time_use().to_string().lines() {
            line(format_args!("  {part}"));
        }
        let bottleneck = self.bottleneck();
        line(format_args!("bound by {bottleneck}: {}", what_to_do(self, bottleneck)));
        if self.measured_by() == MeasuredBy::Resident && bottleneck == Bottleneck::Memory {
            line(format_args!(
                "bytes are told from resident memory, which is unsure: derive or implement `DeepSize`, or install `Tracking`"
            ));
        }
        text += &overrun::explained(self);
        text.truncate(text.trim_end().len());
        text
    }

    /// True if the function waited, on the run's threads, while cores had nothing to do.
    fn waited_with_idle_cores(&self) -> bool {
        let Some(share) = self.waiting_share() else { return false };
        // A core that is more idle than busy.
        let busy = self.totals.time_use.calls / self.totals.seconds.max(f64::MIN_POSITIVE) * (1.0 - share);
        share > MOST && busy < MOST * self.totals.cores as f64
    }

    fn has_more_threads_than_cores(&self) -> bool {
        self.threads() > self.totals.cores
    }

    /// The factor by which the sample's calls were slower than all calls, if it is far from 1.
    fn slower_sample(&self) -> Option<f64> {
        // Two samples of the same calls differ by less; a first call that loads something takes
        // many times as long.
        const UNLIKE: f64 = 2.0;
        let times = self.sampled_seconds_per_item() / self.seconds_per_item().max(f64::MIN_POSITIVE);
        (times > UNLIKE).then_some(times)
    }

    /// True if the calling thread alone did most of the run, because threads were slower.
    fn was_faster_alone(&self) -> bool {
        self.totals.went_back && self.inline_seconds() > MOST * self.seconds()
    }
}

#[inline]
fn what_to_do(report: &Report, bottleneck: Bottleneck) -> String {
    let threads = report.threads();
    let per_item = report.bytes_per_item() + report.working_bytes();
    match bottleneck {
        Bottleneck::Cores => "the threads were in the function nearly all the time, so only more cores or a cheaper \
                              function make it faster"
            .into(),
        Bottleneck::Waiting => format!(
            "it waited {:.0} % of its time, on {threads} threads at most; {}",
            100.0 * report.waiting_share().unwrap_or(0.0),
            if report.has_more_threads_than_cores() {
                "a device or a service that answers sooner, or to more calls at a time, makes it faster"
            } else {
                "without `threads`, and outside of a pool, the run finds how many more pay"
            }
        ),
        Bottleneck::Memory => {
            let waits = match report.credit_waits() {
                0 => String::new(),
                waits => {
                    let times = Counted(waits, "time", "times");
                    format!("{times} a thread found no room for the next item of about {per_item}; ")
                }
            };
            format!("{waits}a larger `max_memory`, or calls that need less, let all {threads} threads work")
        }
        Bottleneck::Sink => format!(
            "it took {} of {}; a faster sink, or one that hands the work on to a thread of its own, lets calls go on",
            Seconds(report.sink_seconds()),
            Seconds(report.seconds()),
        ),
        Bottleneck::Input if threads > 1 => format!(
            "its iterator took {} of {} on the calling thread; leave to the function what it does for each item",
            Seconds(report.input_seconds()),
            Seconds(report.seconds()),
        ),
        Bottleneck::Input => "its iterator takes longer than the function; leave to the function what it does".into(),
        Bottleneck::LastItems => "a few heavy items came last, or there are few items for so many threads; put heavy \
                                  items first, or split them"
            .into(),
        // A hand-over takes no longer than the shortest call that is timed alone, and so less than
        // a hundredth of these.
        Bottleneck::Handling if report.seconds_per_item() > 100.0 * TIMED_ALONE.as_secs_f64() => {
            "threads were slow to start on what waited for them: the pool, or the machine, has other work".into()
        }
        Bottleneck::Handling => format!(
            "at {} per item, waking threads and handing items over costs much of what they gain; give each item more work",
            Seconds(report.seconds_per_item()),
        ),
        Bottleneck::CallingThread if report.was_faster_alone() => {
            "the calls do little but allocate and fill memory, and it did that faster than threads, having their \
             results' memory back sooner; work done on a result within the function is spread over threads, and an \
             allocator made for threads may make them faster (guide: allocators)"
                .into()
        }
        Bottleneck::CallingThread if report.items() > 1 && per_item >= report.budget() => format!(
            "a call takes about {per_item}, and the budget of {} has room for one at a time; unless one thread was asked \
             for, or all of it was in the sample of a plan, a larger `max_memory`, or calls that need less, let others \
             work",
            report.budget()
        ),
        Bottleneck::CallingThread => format!(
            "{} of {} {} too little work for other threads to pay, unless one thread was asked for, or all of it was \
             in the sample of a plan",
            Counted::items(report.items()),
            Seconds(report.seconds_per_item()),
            if report.items() == 1 { "is" } else { "are" },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::time_use::TimeUse;
    use crate::report::totals::Totals;
    use crate::system::thread_time::Use;

    #[test]
    fn it_is_what_threads_waited_for_longest() {
        // Eight of ten seconds were in calls.
        let time = TimeUse { total: 10.0, calls: 8.0, memory: 0.0, sink: 0.0, input: 0.0, ends: 0.0 };
        let run = |time_use, threads| Totals { time_use, threads, cores: 2, seconds: 5.0, ..Totals::example() };
        let found = |totals| Report::new(totals, 100, 1).bottleneck();
        let losses = [
            (Bottleneck::Memory, TimeUse { memory: 2.0, ..time }),
            (Bottleneck::Sink, TimeUse { sink: 2.0, ..time }),
            (Bottleneck::Input, TimeUse { input: 2.0, ..time }),
            (Bottleneck::Input, TimeUse { input: 1.2, sink: 0.8, ..time }),
            (Bottleneck::LastItems, TimeUse { ends: 2.0, ..time }),
            (Bottleneck::Handling, time),
            (Bottleneck::Cores, TimeUse { calls: 10.0, ..time }),
        ];
        for (bottleneck, time) in losses {
            assert_eq!(found(run(time, 2)), bottleneck, "{time:?}");
            // On one thread calls take most of the time, whatever else happens.
            assert_eq!(found(run(time, 1)), Bottleneck::CallingThread, "{time:?}");
        }
        assert_eq!(found(run(TimeUse { calls: 4.0, sink: 6.0, ..time }, 1)), Bottleneck::Sink);
        let mut waited = run(TimeUse { calls: 10.0, ..time }, 2);
        waited.learned.waits.add(Use { seconds: 1.0, ran: 0.1, queued: 0.0, process_ran: 0.1 }, false);
        assert_eq!(found(waited), Bottleneck::Waiting);
        let alone = Totals { went_back: true, inline_seconds: 4.0, ..run(time, 2) };
        assert_eq!(found(alone), Bottleneck::CallingThread);
    }
}
