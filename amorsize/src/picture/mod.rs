//! The picture of a run: SVG, and a page around it.
//!
//! All functions here are `#[inline]`, so that a program compiles them only if it draws: they are a
//! sixth of the crate's code.

mod markup;
mod page;
mod scale;
mod svg;

use std::env::consts::{ARCH, OS};
use std::time::SystemTime;

use crate::memory;
use crate::progress::stage::StageReport;
use crate::report::Report;
use crate::report::extremes::Extreme;
use crate::report::timeline::{BatchTime, Moment};
use crate::system::cores;
use crate::units::ByteSize;
use crate::units::measured_by::Certainty;
use crate::units::seconds::Seconds;

/// The parts of a run that the picture shows.
#[derive(Clone, Debug)]
struct Picture {
    name: Option<&'static str>,
    items: usize,
    /// Items without a result.
    failed: usize,
    panicked: usize,
    retries: usize,
    batches: usize,
    seconds: f64,
    items_per_second: f64,
    /// The speed-up over a plain loop, as a factor.
    speedup: f64,
    threads: usize,
    budget: u64,
    peak_held: u64,
    peak_resident: Option<u64>,
    /// The bytes of all results, whenever they were there.
    result_bytes: u64,
    measured_by: String,
    certainty: Certainty,
    /// The use of the threads' time in seconds, by name.
    parts: [(&'static str, f64); 6],
    /// The bottleneck of the run.
    bound_by: String,
    moments: Vec<Moment>,
    bands: Vec<BatchTime>,
    /// The slowest items, with seconds, and those with the largest results, with bytes.
    slowest: Vec<Extreme<f64>>,
    largest: Vec<Extreme<u64>>,
    /// The date on which it began; `None` for a run that was over at once.
    began: Option<SystemTime>,
    /// The machine and the crate, by name.
    place: Vec<(&'static str, String)>,
    /// Further figures, for the page.
    figures: Vec<(&'static str, String)>,
    /// The report as a text.
    account: String,
    failures: Vec<String>,
    warnings: Vec<String>,
    /// The stages of a pipeline.
    stages: Vec<Stage>,
}

/// The parts of a pipeline's stage that the picture shows.
#[derive(Clone, Debug)]
struct Stage {
    name: &'static str,
    items: usize,
    failed: usize,
    seconds: f64,
    seconds_per_item: f64,
    bytes_per_item: u64,
    largest: u64,
}

impl Stage {
    #[inline]
    fn of(stage: &StageReport) -> Self {
        Self {
            name: stage.name(),
            items: stage.items(),
            failed: stage.failed(),
            seconds: stage.seconds(),
            seconds_per_item: stage.seconds_per_item(),
            bytes_per_item: stage.bytes_per_item().as_u64(),
            largest: stage.largest().as_u64(),
        }
    }
}

/// The title if the function has no name.
const UNNAMED: &str = "amorsize run";

impl Picture {
    #[inline]
    fn of(report: &Report) -> Self {
        let failures = report.failures().iter().map(ToString::to_string);
        let panics = report.panics().iter().map(ToString::to_string);
        let per_item = Seconds(report.seconds_per_item()).to_string();
        let mut figures = vec![
            ("Time of a call, on average", per_item),
            ("Seconds on the calling thread alone", Seconds(report.inline_seconds()).to_string()),
            ("Seconds on threads", Seconds(report.threads_seconds()).to_string()),
            ("Seconds of the sink", Seconds(report.sink_seconds()).to_string()),
            ("Seconds of the input", Seconds(report.input_seconds()).to_string()),
            ("Speed against the sampled cost", format!("{:.2} ×", report.sampled_speedup())),
            ("Items in a batch, on average", scale::count(report.batch_size())),
            ("Chunks", scale::count(report.chunks())),
            ("Items in a chunk, on average", scale::count(report.chunk_size())),
            ("Waits for room in the budget", scale::count(report.credit_waits())),
            ("Bytes of all results", report.result_bytes().to_string()),
            ("Bytes of a result, on average", report.bytes_per_item().to_string()),
        ];
        if report.working_bytes().as_u64() > 0 {
            figures.push(("Most that a call needed beside its result", report.working_bytes().to_string()));
        }
        if let Some(kept) = report.allocator_bytes() {
            figures.push(("Resident memory still grown at the end", kept.to_string()));
        }
        let mut place =
            vec![("System", format!("{OS}, {ARCH}")), ("Cores for the process", scale::count(cores::usable()))];
        place.extend(memory::installed().map(|bytes| ("Memory of the machine", bytes.to_string())));
        place.push(("Version of amorsize", env!("CARGO_PKG_VERSION").to_owned()));
        // If all are equally large, the first ones are no larger than others.
        let mean = report.bytes_per_item().as_u64();
        let largest = report.timeline().extremes.largest.entries().filter(|entry| entry.value > mean);
        Self {
            name: report.name(),
            items: report.items(),
            failed: report.failed(),
            panicked: report.panicked(),
            retries: report.retries(),
            batches: report.batches(),
            seconds: report.seconds(),
            items_per_second: report.items_per_second(),
            speedup: report.speedup(),
            threads: report.threads(),
            budget: report.budget().as_u64(),
            peak_held: report.peak_bytes().as_u64(),
            peak_resident: report.peak_resident().map(ByteSize::as_u64),
            result_bytes: report.result_bytes().as_u64(),
            measured_by: report.measured_by().to_string(),
            certainty: report.measured_by().certainty(),
            parts: report.time_use().parts(),
            bound_by: report.bottleneck().to_string(),
            moments: report.timeline().moments().to_vec(),
            bands: report.timeline().batches().to_vec(),
            slowest: report.timeline().extremes.slowest.entries().copied().collect(),
            largest: largest.copied().collect(),
            began: report.timeline().began,
            place,
            figures,
            account: report.explain(),
            failures: failures.chain(panics).collect(),
            warnings: report.warnings().iter().map(ToString::to_string).collect(),
            stages: report.stages().iter().map(Stage::of).collect(),
        }
    }

    /// The function's name, or those of the stages.
    #[inline]
    fn title(&self) -> String {
        let stages: Vec<_> = self.stages.iter().map(|stage| stage.name).collect();
        match self.name {
            _ if !stages.is_empty() => stages.join(" → "),
            Some(name) => name.to_owned(),
            None => UNNAMED.to_owned(),
        }
    }

    /// The bytes by which resident memory went over the budget.
    #[inline]
    fn over_budget(&self) -> Option<u64> {
        self.peak_resident.and_then(|peak| peak.checked_sub(self.budget)).filter(|&over| over > 0)
    }

    /// Seconds until resident memory was first seen above the budget.
    #[inline]
    fn over_from(&self) -> Option<f64> {
        self.moments.iter().find(|moment| moment.resident > Some(self.budget)).map(|moment| moment.seconds)
    }

    #[inline]
    fn speedup(&self) -> String {
        format!("{} ×", scale::number(self.speedup))
    }

    /// All seconds of the threads.
    #[inline]
    fn threads_time(&self) -> f64 {
        self.parts.iter().map(|(_, seconds)| seconds).sum()
    }

    /// The end of the time axis: nothing is shown after it.
    #[inline]
    fn end(&self) -> f64 {
        let moments = self.moments.iter().map(|moment| moment.seconds);
        let bands = self.bands.iter().map(|band| band.ended);
        moments.chain(bands).filter(|seconds| seconds.is_finite()).fold(self.seconds, f64::max)
    }

    /// The run in a few sentences, for readers who can't see the picture.
    #[inline]
    fn told(&self) -> String {
        let batches = scale::counted(self.batches, "batch", "batches");
        let (pace, per_second) = scale::pace(self.items_per_second);
        let mut told = format!(
            "{} in {batches} in {}: {pace} {per_second}, {} a plain loop, on {}. ",
            scale::counted(self.items, "item", "items"),
            Seconds(svg::sound(self.seconds)),
            self.speedup(),
            scale::counted(self.threads, "thread", "threads"),
        );
        told +=
            &format!("At most {} were held of a budget of {}", scale::bytes(self.peak_held), scale::bytes(self.budget));
        if let Some(resident) = self.peak_resident {
            told += &format!(", and resident memory grew by {} at most", scale::bytes(resident));
        }
        if let Some(over) = self.over_budget() {
            told += &format!(", {} more than the budget", scale::bytes(over));
        }
        told.push('.');
        let whole = self.threads_time();
        if whole > 0.0 {
            let parts = self.parts.iter().filter(|(_, seconds)| *seconds > 0.0);
            let parts = parts.map(|(name, seconds)| format!("{name} {}", scale::percent(*seconds, whole)));
            told +=
                &format!(" The threads' time: {}; bound by {}.", parts.collect::<Vec<_>>().join(", "), self.bound_by);
        }
        if self.moments.is_empty() {
            told += " The run was over before anything was noted.";
        }
        told
    }
}

impl Report {
    /// A picture of the run as SVG: memory against the budget, items per second, running threads
    /// and batches with the sink, all over time, and the use of the threads' time.
    ///
    /// It needs no other file, is readable in light and dark, fits the width that it is given, and
    /// is below 150 kB. If the run ended before its [`timeline`](Self::timeline) began, the picture
    /// shows only the figures, and says so.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use amorsize::process_in_batches;
    ///
    /// let report = process_in_batches(|x: u64| vec![x; 1000], 0..100_000).for_each_batch(|_| ())?;
    /// std::fs::write("report.svg", report.to_svg())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn to_svg(&self) -> String {
        svg::draw(&Picture::of(self), &svg::WIDE)
    }

    /// A page that shows the run: the [picture](Self::to_svg), its figures beside those of a loop
    /// that collects all results, the slowest items and those with the largest results, the date
    /// and the machine, and the report as a text.
    ///
    /// It is one file, without scripts, and loads nothing. It is readable in light and dark, on a
    /// narrow screen and on paper.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use amorsize::process_in_batches;
    ///
    /// let report = process_in_batches(|x: u64| vec![x; 1000], 0..100_000).for_each_batch(|_| ())?;
    /// std::fs::write("report.html", report.to_html())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn to_html(&self) -> String {
        page::write(&Picture::of(self))
    }
}

#[cfg(test)]
mod made_up;
