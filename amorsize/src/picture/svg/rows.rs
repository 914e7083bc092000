//! The rows of the picture: items per second, threads, batches, the use of time, and stages.

use super::{BOLD, Counted, Drawing, Look, Report, SMALL};
use crate::picture::markup::{Path, fit, width};
use crate::picture::scale::{self, Tick, share};
use crate::progress::stage::StageReport;

/// The classes of the parts of the threads' time, in the order of `TimeUse::parts`.
const PARTS: [&str; 6] = ["calls", "memory", "sink", "input", "ends", "handling"];

impl Drawing<'_> {
    /// Items per second, over stretches of equal length.
    #[inline]
    pub(super) fn rate(&mut self) {
        let report = self.report;
        let rates = rates(report);
        let most = rates.iter().copied().fold(report.items_per_second(), f64::max);
        let (top, mean) = (most.max(1e-9) * 1.1, report.items_per_second());
        let marks = scale::of_numbers(top, 3);
        let names = vec![(Look::Line("mean"), mean, format!("mean {}", scale::number(mean)))];
        let scale = self.plot("Items per second", 56.0, top, &marks, names);
        let mut points = Vec::new();
        let each = (self.layout.to - self.layout.from) / rates.len() as f64;
        for (place, rate) in rates.iter().enumerate() {
            let x = self.layout.from + each * place as f64;
            points.extend([(x, scale.at(*rate)), (x + each, scale.at(*rate))]);
        }
        self.area("rate", &points, scale.from);
        let y = scale.at(mean);
        self.svg.line("mean-line", (self.layout.from, y), (self.layout.to, y));
    }

    #[inline]
    pub(super) fn running(&mut self) {
        let threads = self.report.threads();
        let moments = &self.report.timeline().moments;
        let top = moments.iter().map(|moment| moment.running).fold(threads.max(1), usize::max) as f64;
        let marks = [0.0, top].map(|value| Tick { value, label: scale::number(value) });
        let (mut points, mut area, mut before) = (Vec::new(), 0.0, 0.0);
        let ends = moments.iter().skip(1).map(|moment| moment.seconds).chain([self.time.top]);
        for (moment, end) in moments.iter().zip(ends) {
            points.extend([(moment.seconds, moment.running), (end, moment.running)]);
            let seconds = (end - moment.seconds).max(0.0);
            (area, before) = (area + seconds * moment.running as f64, before + seconds);
        }
        let mean = if before > 0.0 { area / before } else { 0.0 };
        let text = format!("{} of {threads}, on average", scale::number(mean));
        let scale = self.plot("Threads running", 34.0, top, &marks, vec![(Look::None, top / 2.0, text)]);
        let time = self.time;
        let points: Vec<_> =
            points.into_iter().map(|(seconds, running)| (time.at(seconds), scale.at(running as f64))).collect();
        self.fill("running", &points, scale.from);
    }

    /// Draws each batch as a band; if an entry stands for several, the band's height is the share
    /// of its time that the sink took.
    #[inline]
    pub(super) fn sink(&mut self) {
        // A number with room around it.
        const HIGH: f64 = 24.0;
        let (bands, time) = (&self.report.timeline().batches, self.time);
        let joined = bands.iter().map(|band| band.batches).max().unwrap_or(1);
        let seconds: f64 = bands.iter().map(|band| band.sink).filter(|seconds| seconds.is_finite()).sum();
        let text = format!("{} of the time", scale::percent(seconds, time.top));
        let batches = scale::short_count(self.report.batches());
        let mut title = format!("Batches with the sink: {batches} in {}", scale::seconds(seconds));
        if joined > 1 {
            title += &format!(", up to {} in a band", scale::short_count(joined));
        }
        let scale = self.plot(&title, HIGH, 1.0, &[], vec![(Look::None, 0.5, text)]);
        let (top, bottom) = (scale.to, scale.from);
        self.svg.rect("track", self.layout.from, top, self.layout.to - self.layout.from, HIGH);
        let (mut number, mut paths) = (1, [Path::default(), Path::default()]);
        let mut numbers = Vec::new();
        for (place, band) in bands.iter().enumerate() {
            let (x, end) = (time.at(band.begun), time.at(band.ended));
            // Wide enough to be seen however short, and within the lane.
            let wide = (end - x).max(0.7);
            let x = x.min(self.layout.to - wide);
            let share = if band.batches > 1 { share(band.sink, band.ended - band.begun) } else { 1.0 };
            let high = (HIGH * share).max(3.0);
            let place_of = [x, bottom - high, wide, high];
            let last = number + band.batches.max(1) - 1;
            if self.layout.is_wide {
                let told = format!(
                    "{}: {} from item {} on, at {}, {} with the sink",
                    if last > number { format!("batches {number} to {last}") } else { format!("batch {number}") },
                    scale::counted(Counted(band.items, "result", "results")),
                    band.first_index,
                    scale::seconds(band.begun),
                    scale::seconds(band.sink)
                );
                self.svg.rect_telling(if place % 2 == 0 { "band" } else { "band-too" }, place_of, &told);
            } else {
                paths[place % 2].rect(place_of);
            }
            let label = number.to_string();
            if share > 0.6 && last == number && wide > width(&label, 11.0) + 4.0 {
                numbers.push((x + wide / 2.0, label));
            }
            number = last + 1;
        }
        if !self.layout.is_wide {
            self.svg.path("band", &paths[0]);
            self.svg.path("band-too", &paths[1]);
        }
        for (x, label) in numbers {
            self.svg.text("in-band", x, bottom - HIGH / 2.0 + 4.0, &label);
        }
    }

    /// Draws the use of the threads' time.
    #[inline]
    pub(super) fn time_use(&mut self) {
        // A percentage with room around it.
        const HIGH: f64 = 22.0;
        let (report, layout) = (self.report, self.layout);
        let whole = report.threads_time();
        if whole <= 0.0 {
            return;
        }
        let room = layout.width - 2.0 * layout.margin;
        self.y += 30.0;
        let title = "Where the threads' time went";
        self.svg.text("head", layout.margin, self.y, title);
        let said = format!("{} in all, bound by {}", scale::seconds(whole), report.bottleneck());
        let mut x = layout.margin + width(title, SMALL) * BOLD + 14.0;
        // Beside the heading, or below it.
        if x + width(&said, SMALL) > layout.width - layout.margin {
            (x, self.y) = (layout.margin, self.y + 18.0);
        }
        self.svg.text("muted", x, self.y, &said);
        self.y += 10.0;
        let mut x = layout.margin;
        for ((name, seconds), class) in report.time_use().parts().into_iter().zip(PARTS) {
            let percent = scale::percent(seconds, whole);
            // No part ends behind the bar, whatever the figures.
            let wide = (room * share(seconds, whole)).min(layout.margin + room - x);
            if wide <= 0.0 {
                continue;
            }
            // A gap between two parts that are wide enough.
            let gap = if wide > 4.0 { 1.0 } else { 0.0 };
            let told = format!("{name}: {percent}, {}", scale::seconds(seconds));
            self.svg.rect_telling(class, [x, self.y, wide - gap, HIGH], &told);
            if wide > width(&percent, SMALL) + 8.0 {
                self.svg.text(&format!("in-part in-{class}"), x + wide / 2.0, self.y + HIGH / 2.0 + 4.0, &percent);
            }
            x += wide;
        }
        self.y += HIGH;
        let each = room / layout.parts_in_row as f64;
        let parts: Vec<_> = report.time_use().parts().into_iter().zip(PARTS).collect();
        for row in parts.chunks(layout.parts_in_row) {
            self.y += 20.0;
            for (place, ((name, seconds), class)) in row.iter().enumerate() {
                let x = layout.margin + each * place as f64;
                self.svg.rect(class, x, self.y - 10.0, 12.0, 12.0);
                let mut text = format!("{name} {}", scale::percent(*seconds, whole));
                if *seconds > 0.0 {
                    text += &format!(" ({})", scale::seconds(*seconds));
                }
                self.svg.text("ink", x + 19.0, self.y, &text);
            }
        }
    }

    /// Draws a line for each stage of a pipeline, as long as its share of their time.
    #[inline]
    pub(super) fn stages(&mut self) {
        let (report, layout) = (self.report, self.layout);
        if report.stages().is_empty() {
            return;
        }
        let room = layout.width - 2.0 * layout.margin;
        let whole: f64 = report.stages().iter().map(StageReport::seconds).sum();
        self.y += 30.0;
        self.svg.text("head", layout.margin, self.y, "Stages, by their shares of the calls' time");
        self.y += 4.0;
        for stage in report.stages() {
            let (name, share) = (layout.margin, share(stage.seconds(), whole));
            let percent = scale::percent(stage.seconds(), whole);
            let mut text = format!(
                "{percent}: {} and {} per item",
                scale::seconds(stage.seconds_per_item()),
                stage.bytes_per_item()
            );
            if stage.failed() > 0 {
                text += &format!(", {} failed", scale::short_count(stage.failed()));
            }
            self.y += 20.0;
            // Name, bar and figures are side by side, or the figures below the others.
            let beside = layout.is_wide;
            let (bar, wide) = if beside { (name + 190.0, 380.0) } else { (name + 130.0, room - 130.0) };
            self.svg.text("ink", name, self.y, &fit(stage.name(), SMALL, bar - name - 10.0));
            self.svg.rect("track", bar, self.y - 10.0, wide, 13.0);
            self.svg.rect("calls", bar, self.y - 10.0, wide * share, 13.0);
            if beside {
                let x = bar + wide + 14.0;
                self.svg.text("ink", x, self.y, &fit(&text, SMALL, layout.width - x - 4.0));
            } else {
                self.y += 17.0;
                self.svg.text("muted", name, self.y, &fit(&text, SMALL, room));
            }
        }
    }
}

/// Items per second over at most 80 stretches of equal length: each is eight pixels wide, and long
/// enough that some items end in it.
#[inline]
fn rates(report: &Report) -> Vec<f64> {
    let end = report.end();
    // As the moments count them.
    let done = (report.ended() + report.panicked()) as f64;
    // One item more or less in eight makes the rate look restless enough.
    let stretches = (done / 8.0).clamp(1.0, 80.0) as usize;
    let each = end / stretches as f64;
    if each <= 0.0 {
        return vec![0.0; stretches];
    }
    let moments = report.timeline().moments.iter().map(|moment| (moment.seconds, moment.items as f64));
    let points = moments.filter(|(seconds, items)| (0.0..end).contains(seconds) && *items <= done);
    let points: Vec<_> = [(0.0, 0.0)].into_iter().chain(points).chain([(end, done)]).collect();
    let mut next = 1;
    let mut by = |seconds: f64| {
        while next + 1 < points.len() && points[next].0 < seconds {
            next += 1;
        }
        let ((before, less), (after, more)) = (points[next - 1], points[next]);
        less + (more - less) * share(seconds - before, after - before)
    };
    let mut last = 0.0;
    let rate = |stretch: usize| {
        let now = by(each * (stretch + 1) as f64);
        let rate = (now - last).max(0.0) / each;
        last = now;
        if rate.is_finite() { rate } else { 0.0 }
    };
    (0..stretches).map(rate).collect()
}
