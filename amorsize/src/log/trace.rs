//! Spans and events for `tracing`; without the feature of that name they do nothing.
//!
//! The calling thread enters a span `run`, and so does every thread while it runs items. Spans and
//! events of the function and of the sink are therefore within it.

#[cfg(feature = "tracing")]
pub(crate) use with::*;
#[cfg(not(feature = "tracing"))]
pub(crate) use without::*;

#[cfg(feature = "tracing")]
mod with {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;
    use std::time::Instant;

    use tracing::span::Entered;
    use tracing::{Level, Span, debug, debug_span, enabled, field, info, info_span};

    use crate::memory::budget::Ledger;
    use crate::plan::Plan;
    use crate::report::Report;

    /// The span of a run.
    #[derive(Debug)]
    pub(crate) struct RunSpan(Span);

    impl Default for RunSpan {
        fn default() -> Self {
            Self(Span::none())
        }
    }

    impl RunSpan {
        /// Makes the span, unless it exists. `total` is only called if a subscriber listens.
        pub(crate) fn begin(&mut self, name: Option<&'static str>, total: impl FnOnce() -> Option<usize>) {
            if self.0.is_none() && enabled!(target: "amorsize", Level::INFO) {
                let function = name.unwrap_or("closure");
                self.0 = info_span!(target: "amorsize", "run", function, items = total(), budget = field::Empty);
            }
        }

        #[inline]
        pub(crate) fn enter(&self) -> Entered<'_> {
            self.0.enter()
        }

        /// Tells the plan's decisions.
        pub(crate) fn planned(&self, plan: &Plan) {
            self.0.record("budget", plan.budget().as_u64());
            info!(
                target: "amorsize",
                threads = plan.threads(),
                chunk_size = plan.chunk_size(),
                batch_size = plan.batch_size(),
                speedup = plan.speedup(),
                seconds_per_item = plan.seconds_per_item(),
                bytes_per_item = plan.bytes_per_item().as_u64(),
                budget = plan.budget().as_u64(),
                warnings = plan.warnings().len(),
                "planned"
            );
        }
    }

    /// Tells of a finished run. A report may have to work out a budget that the run did not need,
    /// so it is read only if a subscriber listens.
    pub(crate) fn finished(report: &Report) {
        if enabled!(target: "amorsize", Level::INFO) {
            info!(
                target: "amorsize",
                items = report.items(),
                batches = report.batches(),
                bytes = report.result_bytes().as_u64(),
                seconds = report.seconds(),
                threads = report.threads(),
                peak_bytes = report.peak_bytes().as_u64(),
                budget = report.budget().as_u64(),
                "finished"
            );
        }
    }

    /// Calls `sink` within a span of its batch. The error is a panic of the subscriber.
    pub(crate) fn batch(
        ledger: &Ledger,
        first_index: usize,
        (items, bytes): (usize, u64),
        sink: &mut dyn FnMut(),
    ) -> thread::Result<()> {
        catch_unwind(AssertUnwindSafe(|| {
            if !enabled!(target: "amorsize", Level::DEBUG) {
                return sink();
            }
            let span = debug_span!(target: "amorsize", "batch", first_index, items, bytes);
            let _entered = span.enter();
            let begun = Instant::now();
            sink();
            let (held, budget) = (ledger.held().as_u64(), ledger.budget().as_u64());
            let seconds = begun.elapsed().as_secs_f64();
            debug!(target: "amorsize", items, bytes, seconds, held, budget, "handed over");
        }))
    }
}

#[cfg(not(feature = "tracing"))]
mod without {
    use std::thread;

    use crate::memory::budget::Ledger;
    use crate::plan::Plan;
    use crate::report::Report;

    #[derive(Debug, Default)]
    pub(crate) struct RunSpan(());

    /// Stands for the guard of a span.
    pub(crate) struct Entered;

    impl RunSpan {
        #[inline]
        pub(crate) fn begin(&mut self, _name: Option<&'static str>, _total: impl FnOnce() -> Option<usize>) {}

        #[inline]
        pub(crate) fn enter(&self) -> Entered {
            Entered
        }

        #[inline]
        pub(crate) fn planned(&self, _plan: &Plan) {}
    }

    #[inline]
    pub(crate) fn finished(_report: &Report) {}

    #[inline]
    pub(crate) fn batch(
        _ledger: &Ledger,
        _first_index: usize,
        _items_and_bytes: (usize, u64),
        sink: &mut dyn FnMut(),
    ) -> thread::Result<()> {
        sink();
        Ok(())
    }
}
