//! Plans, reports and progress as JSON, or in any other format of `serde`. The page `guide::json`
//! documents it.
//!
//! Written by hand rather than derived: the keys are a promise, and must not follow the names of
//! fields.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::error::failure::{Cause, Failure};
use crate::plan::{Plan, Warning};
use crate::progress::stage::StageReport;
use crate::progress::{Phase, Progress};
use crate::report::Report;
use crate::report::bottleneck::Bottleneck;
use crate::report::time_use::TimeUse;
use crate::report::timeline::{BatchTime, Moment, Timeline};
use crate::units::ByteSize;
use crate::units::measured_by::{Certainty, MeasuredBy};

/// The version of the keys. It is raised if a key goes or changes its meaning, but not if one is
/// added.
const SCHEMA: u32 = 1;

macro_rules! as_struct {
    ($type:ident, |$value:ident| { $($key:literal: $field:expr),* $(,)? }) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                let mut fields = serializer.serialize_struct(stringify!($type), [$($key),*].len())?;
                $(fields.serialize_field($key, &$field)?;)*
                fields.end()
            }
        }
    };
}

macro_rules! as_name {
    ($type:ident { $($variant:ident: $name:literal),* $(,)? }) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(match self {
                    $(Self::$variant => $name,)*
                })
            }
        }
    };
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_u64())
    }
}

as_name!(MeasuredBy {
    Tracking: "tracking",
    DeepSize: "deep-size",
    Resident: "resident",
    SizeOf: "size-of",
    Unmeasured: "unmeasured",
});

as_name!(Certainty { Exact: "exact", Results: "results", Estimate: "estimate", Unmeasured: "unmeasured" });

as_name!(Phase { Sampling: "sampling", Planned: "planned", Running: "running", Done: "done", Stopped: "stopped" });

as_name!(Bottleneck {
    Cores: "cores",
    Waiting: "waiting",
    Memory: "memory",
    Sink: "sink",
    Input: "input",
    LastItems: "last-items",
    Handling: "handling",
    CallingThread: "calling-thread",
});

as_struct!(Warning, |warning| {
    "code": warning.code(),
    "message": warning.message(),
});

as_struct!(Plan, |plan| {
    "schema": SCHEMA,
    "threads": plan.threads(),
    "chunk_size": plan.chunk_size(),
    "batch_size": plan.batch_size(),
    "speedup": plan.speedup(),
    "waiting_share": plan.waiting_share(),
    "seconds": plan.seconds(),
    "seconds_range": plan.seconds_range(),
    "seconds_per_item": plan.seconds_per_item(),
    "bytes_per_item": plan.bytes_per_item(),
    "working_bytes": plan.working_bytes(),
    "working_certainty": plan.working_certainty(),
    "result_bytes": plan.result_bytes(),
    "budget": plan.budget(),
    "measured_by": plan.measured_by(),
    "certainty": plan.measured_by().certainty(),
    "reasons": plan.reasons(),
    "warnings": plan.warnings(),
});

as_struct!(Progress, |progress| {
    "schema": SCHEMA,
    "name": progress.name(),
    "phase": progress.phase(),
    "done": progress.done(),
    "total": progress.total(),
    "bytes": progress.bytes(),
    "budget": progress.budget(),
    "result_bytes": progress.result_bytes(),
    "stages": progress.stages(),
    "seconds": progress.seconds(),
    "items_per_second": progress.items_per_second(),
    "remaining_seconds": progress.remaining_seconds(),
});

as_struct!(TimeUse, |time| {
    "total": time.total(),
    "calls": time.calls(),
    "memory": time.memory(),
    "sink": time.sink(),
    "input": time.input(),
    "ends": time.ends(),
    "handling": time.handling(),
});

as_struct!(Moment, |moment| {
    "seconds": moment.seconds(),
    "items": moment.items(),
    "held": moment.held(),
    "resident": moment.resident(),
    "running": moment.running(),
});

as_struct!(BatchTime, |batch| {
    "first_index": batch.first_index(),
    "items": batch.items(),
    "batches": batch.batches(),
    "begun": batch.begun(),
    "ended": batch.ended(),
    "sink_seconds": batch.sink_seconds(),
});

as_struct!(Timeline, |timeline| {
    "moments": timeline.moments(),
    "batches": timeline.batches(),
});

impl<E: Serialize> Serialize for Failure<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let panic = match self.cause() {
            Cause::Error(_) => None,
            Cause::Panic(panic) => Some(panic.message().unwrap_or("panicked")),
        };
        let mut fields = serializer.serialize_struct("Failure", 3)?;
        fields.serialize_field("item", &self.index())?;
        fields.serialize_field("error", &self.error())?;
        fields.serialize_field("panic", &panic)?;
        fields.end()
    }
}

as_struct!(StageReport, |stage| {
    "name": stage.name(),
    "items": stage.items(),
    "failed": stage.failed(),
    "seconds": stage.seconds(),
    "seconds_per_item": stage.seconds_per_item(),
    "bytes_per_item": stage.bytes_per_item(),
    "largest": stage.largest(),
});

as_struct!(Report, |report| {
    "schema": SCHEMA,
    "name": report.name(),
    "items": report.items(),
    "failed": report.failed(),
    "panicked": report.panicked(),
    "retries": report.retries(),
    "batches": report.batches(),
    "chunks": report.chunks(),
    "threads": report.threads(),
    "batch_size": report.batch_size(),
    "chunk_size": report.chunk_size(),
    "seconds": report.seconds(),
    "inline_seconds": report.inline_seconds(),
    "threads_seconds": report.threads_seconds(),
    "sink_seconds": report.sink_seconds(),
    "input_seconds": report.input_seconds(),
    "seconds_per_item": report.seconds_per_item(),
    "sampled_seconds_per_item": report.sampled_seconds_per_item(),
    "items_per_second": report.items_per_second(),
    "bytes_per_second": report.bytes_per_second(),
    "speedup": report.speedup(),
    "sampled_speedup": report.sampled_speedup(),
    "waiting_share": report.waiting_share(),
    "bottleneck": report.bottleneck(),
    "time_use": report.time_use(),
    "credit_waits": report.credit_waits(),
    "budget": report.budget(),
    "peak_bytes": report.peak_bytes(),
    "peak_resident": report.peak_resident(),
    "allocator_bytes": report.allocator_bytes(),
    "bytes_per_item": report.bytes_per_item(),
    "working_bytes": report.working_bytes(),
    "working_certainty": report.working_certainty(),
    "result_bytes": report.result_bytes(),
    "measured_by": report.measured_by(),
    "certainty": report.measured_by().certainty(),
    "warnings": report.warnings(),
    "stages": report.stages(),
    "failures": report.failures(),
    // `serde` can't write the error of a function that returns none.
    "panics": report.panics().iter().map(|panic| panic.told().among_errors::<()>()).collect::<Vec<_>>(),
    "timeline": report.timeline(),
});
