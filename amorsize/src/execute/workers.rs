//! The threads of a run, and sums over their work.

use super::control::Control;
use super::pool::{self, Threads};
use crate::adapt::alone::ThreadsPace;
use crate::error::Error;
use crate::options::Options;
use crate::report::time_use::TimeUse;
use std::time::Duration;

/// The threads of a run, and the state that they share.
pub(super) struct Workers {
    pub(super) control: Control,
    pub(super) threads: Threads,
    /// The number of threads that was asked for when they were found.
    pub(super) asked: Option<usize>,
    /// Watches their pace, if the calling thread alone may be faster. An iterator's run goes on
    /// watching from batch to batch.
    pub(super) pace: Option<ThreadsPace>,
}

impl Workers {
    /// Finds threads again if another number is asked for now, or if this process is a child of the
    /// one that began the run: a child does not have its parent's threads.
    pub(super) fn find_again(&mut self, options: &Options) -> Result<(), Error> {
        let asked = options.threads.map(pool::at_most);
        let another = asked.filter(|_| asked != self.asked);
        if another.is_some() || !self.threads.are_here() {
            self.threads = Threads::find(asked)?;
            self.asked = asked;
        }
        if let Some(threads) = another {
            self.control.set_threads(threads.min(options.most_in_flight()));
        }
        Ok(())
    }
}

/// Sums over the finished parts of a run on threads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnThreads {
    pub(super) time: Duration,
    /// The part of `time` that the sink took.
    pub(super) sink_seconds: f64,
    /// The part of `time` that the input took.
    pub(super) input_seconds: f64,
    pub(super) waited: TimeUse,
    pub(super) credit_waits: usize,
    /// The most threads that ran at the same time.
    pub(super) threads: usize,
    /// The most threads that could run at the same time.
    pub(super) cores: usize,
}

impl OnThreads {
    /// Adds a part of the run that took `time`, including `sink_seconds` in the sink.
    pub(super) fn and(self, control: &Control, (time, sink_seconds): (Duration, f64)) -> Self {
        let (input_seconds, waited, credit_waits) = control.account();
        let state = control.state();
        Self {
            time: self.time + time,
            sink_seconds: self.sink_seconds + sink_seconds,
            input_seconds: self.input_seconds + input_seconds,
            waited: self.waited.and(waited),
            credit_waits: self.credit_waits + credit_waits,
            threads: self.threads.max(state.most_threads),
            cores: self.cores.max(state.situation.threads),
        }
    }
}
