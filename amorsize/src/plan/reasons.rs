//! The reasons for a plan's decisions, one sentence each.

use super::Plan;
use super::time::SIBLING;
use crate::adapt::learned::Learned;
use crate::adapt::situation::Situation;
use crate::adapt::waits::{WAITS, Waits};
use crate::system::cores::Cores;
use crate::units::ByteSize;
use crate::units::counted::Counted;
use crate::units::seconds::Seconds;

/// The plan says that other programs had the cores, if they had them for more than this part of the
/// sample's time.
const BUSY: f64 = 0.1;

impl Plan {
    pub(super) fn explain_threads(&mut self, situation: &Situation, scales: bool, by_memory: bool) {
        let cost = Seconds(self.seconds_per_item);
        self.reasons.push(if self.sampled == 0 && situation.taken == 0 {
            "nothing was sampled: the input is empty".into()
        } else if self.sampled == 0 {
            let why = match situation.remaining {
                Some(0) => "no item is left",
                Some(_) => "the results in memory leave no room for another one",
                None => "no item is left, or the results in memory leave no room for another one",
            };
            let behind = match situation.panicked {
                0 => Counted(situation.taken, "item that was done before", "items that were done before"),
                all if all == situation.taken => Counted(all, "item that panicked", "items that panicked"),
                _ => Counted(situation.taken, "item", "items that were done before or panicked"),
            };
            format!("nothing was sampled: {why} behind {behind}")
        } else if situation.threads == 1 && self.sizes.threads == 1 {
            format!("runs on the calling thread: {} thread is to be used", situation.threads)
        } else if situation.remaining == Some(0) {
            format!("runs on the calling thread: {}, so nothing is left for threads", self.sampled_all())
        } else if self.sizes.threads == 1 && by_memory {
            format!(
                "runs on the calling thread: a call takes about {}, and the budget of {} has room for one at a time",
                self.bytes_per_item + self.working_bytes,
                self.budget
            )
        } else if self.sizes.threads == 1 && !scales {
            format!("runs on the calling thread: at {cost} per item, handing items to threads costs more than it gains")
        } else if self.sizes.threads == 1 && situation.remaining.is_none() {
            format!(
                "begins on the calling thread: at {cost} per item threads pay for many items only, and the input does not say how \
                 many it has"
            )
        } else if self.sizes.threads == 1 {
            format!(
                "runs on the calling thread: the work that is left, at {cost} per item, ends before threads would help"
            )
        } else if situation.threads_asked {
            format!("runs on {} threads, as asked for", self.sizes.threads)
        } else if self.sizes.threads > situation.threads {
            format!(
                "the function waits {:.0} % of its time: up to {} threads on {}, as far as more of them pay, are expected to \
                 be {:.2} times as fast",
                100.0 * self.waiting_share.unwrap_or(0.0),
                self.sizes.threads,
                Counted::cores(situation.threads),
                self.speedup
            )
        } else {
            format!(
                "runs on {} threads: at {cost} per item they are expected to be {:.2} times as fast",
                self.sizes.threads, self.speedup
            )
        });
    }

    /// Says that the sample is the whole input.
    pub(super) fn sampled_all(&self) -> String {
        match self.sampled {
            1 => "the only item is in the sample".into(),
            sampled => format!("all {sampled} items are in the sample"),
        }
    }

    /// Explains what the function does beside running on its own thread.
    pub(super) fn explain_waiting(&mut self, situation: &Situation, waits: &Waits) {
        if let Some(busy) = waits.cores_of_a_call(situation.threads) {
            self.reasons.push(format!(
                "a call keeps {busy:.1} cores busy alone, by threads or child processes of its own or because the program's other \
                 threads are at work: of {} more threads gain no more than {:.2} times",
                Counted::cores(situation.threads),
                (situation.threads as f64 / busy).max(1.0)
            ));
        } else if let Some(share) = self.waiting_share
            && share >= WAITS
            && self.sizes.threads <= situation.threads
        {
            self.reasons.push(if waits.is_worked_for() {
                format!(
                    "the function waits {:.0} % of its time, while other threads of the program, or child processes, work",
                    100.0 * share
                )
            } else if situation.threads_asked {
                format!(
                    "the function waits {:.0} % of its time: without `threads` the run finds how many more pay",
                    100.0 * share
                )
            } else {
                format!("the function waits {:.0} % of its time", 100.0 * share)
            });
        }
    }

    pub(super) fn explain_sizes(&mut self, situation: &Situation) {
        if self.sampled == 0 {
            return;
        }
        self.reasons.push(format!(
            "chunks of {} take about {} and {}",
            Counted::items(self.sizes.chunk_items),
            Seconds(self.seconds_per_item * self.sizes.chunk_items as f64),
            self.bytes_per_item * self.sizes.chunk_items as u64,
        ));
        self.reasons.push(match situation.batch_items {
            Some(_) => format!("batches of {}, as asked for", Counted::items(self.sizes.batch_items)),
            None => format!(
                "batches of {} hold about {} of the budget",
                Counted::items(self.sizes.batch_items),
                self.bytes_per_item * self.sizes.batch_items as u64
            ),
        });
        if let Some(most) = situation.in_flight {
            self.reasons.push(format!("at most {} in flight, as asked for", Counted::items(most)));
        }
        self.reasons.push(match situation.available {
            Some(available) => format!("budget of {} out of {available} available", self.budget),
            None => format!("budget of {}, as asked for", self.budget),
        });
    }

    /// Explains what is expected to keep the run from being faster.
    pub(super) fn explain_bound(&mut self, situation: &Situation) {
        if self.sampled == 0 || self.sizes.threads == 1 {
            // A reason before has named the calling thread.
            return;
        }
        let threads = self.sizes.threads;
        let needed = (self.bytes_per_item + self.working_bytes).max(ByteSize::new(1));
        let calls = self.budget.as_u64() / needed.as_u64();
        self.reasons.push(if calls < threads as u64 {
            format!(
                "bound by memory: the budget has room for {} at a time, and {threads} threads could make more",
                if calls <= 1 { "one call".to_owned() } else { format!("{calls} calls") }
            )
        } else if situation.in_flight == Some(threads) {
            format!("bound by `in_flight`: no more than {threads} items are under way at a time, each on a thread")
        } else if threads > situation.threads {
            "bound by what the function waits for, as long as input and sink keep up".to_owned()
        } else if threads < situation.threads {
            format!("bound by the input: {threads} items are left for {} threads", situation.threads)
        } else {
            format!("bound by the cores: {threads} threads are in the function as long as input and sink keep up")
        });
    }

    pub(super) fn explain_time(&mut self, learned: &Learned, situation: &Situation) {
        let cores = situation.cores.filter(|cores| cores.physical < cores.threads.min(self.sizes.threads));
        if let Some(Cores { physical, .. }) = cores
            && self.seconds.is_some()
        {
            self.reasons.push(format!(
                "{} threads share {}: the second thread of a core is expected to add {:.0} % of one, and may add nothing",
                self.sizes.threads,
                Counted::cores(physical),
                100.0 * SIBLING
            ));
        }
        if self.seconds.is_some() && learned.spread.queued() >= BUSY {
            self.reasons.push(format!(
                "other programs had the cores for {:.0} % of the sample's time: the expected time is without that",
                100.0 * learned.spread.queued()
            ));
        }
        let (Some(seconds), Some((least, most))) = (self.seconds, self.seconds_range) else { return };
        let bears = if self.sizes.threads > situation.threads {
            format!(" and what they wait for bears {} at a time", self.sizes.threads)
        } else {
            String::new()
        };
        self.reasons.push(format!(
            "expected to take {} without the sink, {} to {} if all items are like the {} sampled{bears}: \
             a kind rarer than 1 in {} may not be among them",
            Seconds(seconds),
            Seconds(least),
            Seconds(most),
            learned.spread.sampled,
            learned.spread.rarest(),
        ));
    }
}
