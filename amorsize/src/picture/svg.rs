//! Draws the picture.

mod frame;
mod over_budget;
mod rows;

use crate::report::Report;
use crate::report::timeline::Moment;
use crate::units::ByteSize;
use crate::units::counted::Counted;

use super::markup::{Markup, escape, fit, lines};
use super::scale::{self, Scale, Tick};

/// The places of things, in units of about a pixel.
#[derive(Debug)]
pub(super) struct Layout {
    width: f64,
    margin: f64,
    /// The beginning and the end of the time axis.
    from: f64,
    to: f64,
    /// True if there is room for names at the right of lines, and a pointer that asks batches for
    /// their figures.
    is_wide: bool,
    figures_in_row: usize,
    parts_in_row: usize,
    /// The height of the memory's plot.
    high: f64,
    time_marks: usize,
}

/// For a page or a README.
pub(super) const WIDE: Layout = Layout {
    width: 960.0,
    margin: 24.0,
    from: 88.0,
    to: 744.0,
    is_wide: true,
    figures_in_row: 6,
    parts_in_row: 3,
    high: 150.0,
    time_marks: 8,
};

/// For a phone, where the wide picture would be too small to read.
pub(super) const NARROW: Layout = Layout {
    width: 420.0,
    margin: 16.0,
    from: 72.0,
    to: 400.0,
    is_wide: false,
    figures_in_row: 2,
    parts_in_row: 1,
    high: 130.0,
    time_marks: 4,
};

/// Sizes of texts, as the style has them.
const TITLE: f64 = 22.0;
const FIGURE: f64 = 20.0;
const SMALL: f64 = 12.0;
/// The width of bold text relative to plain text, in Verdana.
const BOLD: f64 = 1.08;

/// Held memory, calls, the sink and the budget have colours of the set by Okabe and Ito, which
/// people who see fewer colours can tell apart; they are the same in all plots. Texts are only in
/// `ink` and `muted`, with a contrast of at least 6, in black on colours, or in white on the blue.
/// Each rule begins with the picture's class, because a page would apply it to its other elements
/// too.
const STYLE: &str = r#"
.amorsize-run{--paper:#fff;--edge:#d0d7de;--ink:#1b1f24;--muted:#57606a;--grid:#e6eaee;--track:#f0f2f5;--held:#009e73;--calls:#0072b2;
--on-calls:#fff;--budget:#d55e00;--sink:#e69f00;--sink-too:#b97600;--input:#cc79a7;--ends:#9aa3ad;--handling:#d3d9df;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Noto Sans",Arial,sans-serif;font-size:12px}
@media screen and (prefers-color-scheme:dark){.amorsize-run{--paper:#12161c;--edge:#30373f;--ink:#e9edf1;--muted:#a5b0bb;--grid:#252c34;
--track:#1c222a;--held:#1fbf90;--calls:#4ba6e3;--on-calls:#000;--budget:#f5803e;--sink:#e69f00;--sink-too:#9c6c00;--input:#d78fb6;
--ends:#7d8894;--handling:#434c56}}
.amorsize-run text{fill:var(--ink)}
.amorsize-run .paper{fill:var(--paper);stroke:var(--edge)}
.amorsize-run .title{font-size:22px;font-weight:650}
.amorsize-run .figure{font-size:20px;font-weight:600}
.amorsize-run .head{font-weight:600}
.amorsize-run .muted{fill:var(--muted)}
.amorsize-run .tick{fill:var(--muted);text-anchor:end}
.amorsize-run .time{fill:var(--muted);text-anchor:middle}
.amorsize-run .in-band{fill:#000;text-anchor:middle;font-size:11px;pointer-events:none}
.amorsize-run .in-part{fill:#000;text-anchor:middle;font-weight:600;pointer-events:none}
.amorsize-run .in-calls{fill:var(--on-calls)}
.amorsize-run .in-handling{fill:var(--ink)}
.amorsize-run path{fill:none}
.amorsize-run .grid{stroke:var(--grid)}
.amorsize-run .base{stroke:var(--muted)}
.amorsize-run .lead{stroke:var(--muted);stroke-width:.75}
.amorsize-run .held-area{fill:var(--held);fill-opacity:.28}
.amorsize-run .held-line{stroke:var(--held);stroke-width:1.75;stroke-linejoin:round}
.amorsize-run .resident-line{stroke:var(--ink);stroke-width:1.25;stroke-linejoin:round}
.amorsize-run .budget-line{stroke:var(--budget);stroke-width:1.75;stroke-dasharray:6 4}
.amorsize-run .over-area{fill:var(--budget);fill-opacity:.35}
.amorsize-run .over-line{stroke:var(--budget);stroke-width:1.25;stroke-linejoin:round}
.amorsize-run .over-dot{fill:var(--budget);stroke:var(--paper);stroke-width:1.5}
.amorsize-run .held-dot{fill:var(--held);stroke:var(--paper);stroke-width:1.5}
.amorsize-run .resident-dot{fill:var(--ink);stroke:var(--paper);stroke-width:1.5}
.amorsize-run .rate-area{fill:var(--calls);fill-opacity:.25}
.amorsize-run .rate-line{stroke:var(--calls);stroke-width:1.5}
.amorsize-run .mean-line{stroke:var(--muted);stroke-dasharray:2 3}
.amorsize-run .running{fill:var(--calls);fill-opacity:.8}
.amorsize-run .track{fill:var(--track)}
.amorsize-run .band{fill:var(--sink)}
.amorsize-run .band-too{fill:var(--sink-too)}
.amorsize-run .calls{fill:var(--calls)}
.amorsize-run .memory{fill:var(--budget)}
.amorsize-run .sink{fill:var(--sink)}
.amorsize-run .input{fill:var(--input)}
.amorsize-run .ends{fill:var(--ends)}
.amorsize-run .handling{fill:var(--handling);stroke:var(--muted);stroke-width:.5}
"#;

#[inline]
pub(super) fn draw(report: &Report, layout: &Layout) -> String {
    let end = report.end();
    let time = Scale { top: end, from: layout.from, to: layout.to };
    let time_marks = scale::of_seconds(end, layout.time_marks);
    let mut drawing = Drawing { report, layout, time, time_marks, svg: Markup::default(), y: 0.0 };
    drawing.header();
    drawing.over_time();
    drawing.time_use();
    drawing.stages();
    let (height, body) = (drawing.y + 20.0, drawing.svg.text);
    let wide = layout.width;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"amorsize-run\" viewBox=\"0 0 {wide} {height}\" width=\"{wide}\" \
         height=\"{height}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n{body}</svg>\n",
        escape(&report.title()),
        escape(&report.told()),
        wide - 1.0,
        height - 1.0,
    )
}

/// The look of a line or an area, for its name beside it: the beginning of its classes.
#[derive(Clone, Copy, Debug)]
enum Look {
    Area(&'static str),
    Line(&'static str),
    /// Nothing to see, or not in the picture.
    None,
}

#[derive(Debug)]
struct Drawing<'a> {
    report: &'a Report,
    layout: &'a Layout,
    time: Scale,
    time_marks: Vec<Tick>,
    svg: Markup,
    /// The picture is done down to here.
    y: f64,
}

impl Drawing<'_> {
    #[inline]
    fn header(&mut self) {
        let (report, layout) = (self.report, self.layout);
        let room = layout.width - 2.0 * layout.margin;
        self.svg.text("title", layout.margin, 40.0, &fit(&report.title(), TITLE, room));
        let mut said = format!("Bytes by {}: {}", report.measured_by(), report.measured_by().certainty());
        for (count, what) in [
            (Counted::items(report.restored_items()), "restored"),
            (Counted::items(report.failed()), "failed"),
            (Counted::items(report.panicked()), "panicked"),
            (Counted(report.retries(), "call", "calls"), "made again"),
        ] {
            if count.0 > 0 {
                said += &format!(" · {} {what}", scale::counted(count));
            }
        }
        self.y = 40.0;
        for line in lines(&said, SMALL, room) {
            self.y += 19.0;
            self.svg.text("muted", layout.margin, self.y, &fit(&line, SMALL, room));
        }
        self.warnings();
        let resident = report.peak_resident().map_or_else(|| "not told".to_owned(), |bytes| bytes.to_string());
        let (pace, per_second) = scale::pace(report.items_per_second());
        let batches = scale::counted(Counted::batches(report.batches()));
        let figures = [
            (scale::short_count(report.items()), format!("{} in {batches}", Counted::items(report.items()).name())),
            (scale::seconds(report.seconds()), "from start to end".to_owned()),
            (pace, per_second.to_owned()),
            (report.times_as_fast(), format!("a loop, on {}", scale::counted(Counted::threads(report.threads())))),
            (report.peak_bytes().to_string(), format!("held, of {}", report.budget())),
            (resident, "resident growth".to_owned()),
        ];
        let each = room / layout.figures_in_row as f64;
        for row in figures.chunks(layout.figures_in_row) {
            for (place, (figure, what)) in row.iter().enumerate() {
                let x = layout.margin + each * place as f64;
                self.svg.text("figure", x, self.y + 32.0, &fit(figure, FIGURE, each));
                self.svg.text("muted", x, self.y + 49.0, &fit(what, SMALL, each));
            }
            self.y += 50.0;
        }
        self.y += 10.0;
    }

    /// Draws all plots with a time axis.
    #[inline]
    fn over_time(&mut self) {
        let timeline = self.report.timeline();
        if timeline.moments.is_empty() {
            let room = self.layout.width - 2.0 * self.layout.margin;
            let lines = lines("The run was over before anything was noted: these are its totals.", SMALL, room - 28.0);
            self.svg.rect("track", self.layout.margin, self.y + 14.0, room, 20.0 + 18.0 * lines.len() as f64);
            self.y += 20.0;
            for line in lines {
                self.y += 18.0;
                self.svg.text("ink", self.layout.margin + 14.0, self.y, &line);
            }
            self.y += 16.0;
        } else {
            self.memory();
            self.rate();
            self.running();
        }
        if !timeline.batches.is_empty() {
            self.sink();
        }
        if !timeline.moments.is_empty() || !timeline.batches.is_empty() {
            self.time_axis();
        }
    }

    #[inline]
    fn memory(&mut self) {
        let report = self.report;
        let moments = &report.timeline().moments;
        let resident = |moment: &Moment| moment.resident.map(|bytes| bytes as f64);
        let peak_resident = report.peak_resident().map_or(0.0, ByteSize::as_f64);
        let most_resident = moments.iter().filter_map(resident).fold(peak_resident, f64::max);
        let most_held = moments.iter().map(|moment| moment.held as f64).fold(report.peak_bytes().as_f64(), f64::max);
        let (most, budget) = (most_resident.max(most_held), report.budget().as_f64());
        // A budget far above the memory used would press the rest to the ground.
        let in_sight = budget <= 3.0 * most;
        let top = if in_sight { most.max(budget) } else { most }.max(1.0) * 1.06;
        let has_resident = moments.iter().any(|moment| moment.resident.is_some());

        let mut names = vec![(Look::Area("held"), most_held, format!("held, peak {}", report.peak_bytes()))];
        if has_resident {
            let text = format!("resident, peak {}", ByteSize::from_f64(most_resident));
            names.push((Look::Line("resident"), most_resident, text));
        }
        let (look, at, far) =
            if in_sight { (Look::Line("budget"), budget, "") } else { (Look::None, top, ", far above") };
        names.push((look, at, format!("budget {}{far}", report.budget())));
        self.name_over_budget(&mut names);
        let marks = scale::of_bytes(top, 5);
        let scale = self.plot("Memory", self.layout.high, top, &marks, names);
        let time = self.time;

        let points: Vec<_> =
            moments.iter().map(|moment| (time.at(moment.seconds), scale.at(moment.held as f64))).collect();
        self.area("held", &points, scale.from);
        let of_resident = moments.iter().filter_map(|moment| Some((moment.seconds, resident(moment)?)));
        let points: Vec<_> = of_resident.map(|(seconds, bytes)| (time.at(seconds), scale.at(bytes))).collect();
        self.over_budget(&points, &scale);
        self.stroke("resident-line", &points);
        if in_sight {
            let y = scale.at(budget);
            self.svg.line("budget-line", (self.layout.from, y), (self.layout.to, y));
        }
        // The dots mark moments; the named peaks may have been between two.
        let highest = moments.iter().max_by_key(|moment| moment.resident).filter(|_| has_resident);
        if let Some((moment, bytes)) = highest.and_then(|moment| Some((moment, resident(moment)?))) {
            self.svg.circle("resident-dot", time.at(moment.seconds), scale.at(bytes), 4.0);
        }
        if let Some(moment) = moments.iter().max_by_key(|moment| moment.held) {
            self.svg.circle("held-dot", time.at(moment.seconds), scale.at(moment.held as f64), 4.0);
        }
    }
}
