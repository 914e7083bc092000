//! The picture of a run: SVG, and a page around it.
//!
//! All functions here are `#[inline]`, so that only a program that draws compiles them.

mod markup;
mod page;
mod scale;
mod svg;

use crate::progress::stage::StageReport;
use crate::report::Report;
use crate::units::counted::Counted;

/// The title if the function has no name.
const UNNAMED: &str = "amorsize run";

/// Figures that the picture and the page share.
impl Report {
    /// The function's name, or those of the stages.
    #[inline]
    fn title(&self) -> String {
        let stages: Vec<_> = self.stages().iter().map(StageReport::name).collect();
        match self.name() {
            _ if !stages.is_empty() => stages.join(" → "),
            Some(name) => name.to_owned(),
            None => UNNAMED.to_owned(),
        }
    }

    /// Seconds until resident memory was first seen above the budget.
    #[inline]
    fn over_from(&self) -> Option<f64> {
        let budget = Some(self.budget());
        self.timeline().moments.iter().find(|moment| moment.resident() > budget).map(|moment| moment.seconds)
    }

    /// The speed-up over a plain loop, as a text.
    #[inline]
    fn times_as_fast(&self) -> String {
        format!("{} ×", scale::number(self.speedup()))
    }

    /// All seconds of the threads.
    #[inline]
    fn threads_time(&self) -> f64 {
        self.time_use().parts().iter().map(|(_, seconds)| seconds).sum()
    }

    /// The end of the time axis: nothing is shown after it.
    #[inline]
    fn end(&self) -> f64 {
        let moments = self.timeline().moments.iter().map(|moment| moment.seconds);
        let bands = self.timeline().batches.iter().map(|band| band.ended);
        moments.chain(bands).filter(|seconds| seconds.is_finite()).fold(self.seconds(), f64::max)
    }

    /// The run in a few sentences, for readers who can't see the picture.
    #[inline]
    fn told(&self) -> String {
        let (pace, per_second) = scale::pace(self.items_per_second());
        let mut told = format!(
            "{} in {} in {}: {pace} {per_second}, {} a plain loop, on {}. ",
            scale::counted(Counted::items(self.items())),
            scale::counted(Counted::batches(self.batches())),
            scale::seconds(self.seconds()),
            self.times_as_fast(),
            scale::counted(Counted::threads(self.threads())),
        );
        told += &format!("At most {} were held of a budget of {}", self.peak_bytes(), self.budget());
        if let Some(resident) = self.peak_resident() {
            told += &format!(", and resident memory grew by {resident} at most");
        }
        if let Some(over) = self.over_budget() {
            told += &format!(", {over} more than the budget");
        }
        told.push('.');
        let whole = self.threads_time();
        if whole > 0.0 {
            let parts = self.time_use().parts().into_iter().filter(|(_, seconds)| *seconds > 0.0);
            let parts: Vec<_> =
                parts.map(|(name, seconds)| format!("{name} {}", scale::percent(seconds, whole))).collect();
            told += &format!(" The threads' time: {}; bound by {}.", parts.join(", "), self.bottleneck());
        }
        if self.timeline().moments.is_empty() {
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
        svg::draw(self, &svg::WIDE)
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
        page::write(self)
    }
}

#[cfg(test)]
mod made_up;
