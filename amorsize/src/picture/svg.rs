//! The picture itself.

mod over_budget;

use crate::counted::Counted;
use crate::seconds::Seconds;

use super::Picture;
use super::markup::{Markup, Path, escape, fit, lines, width};
use super::scale::{self, Scale, Tick, share};

/// Where things are, in units of about a pixel.
#[derive(Debug)]
pub(super) struct Layout {
    width: f64,
    margin: f64,
    /// Where the time axis begins and ends.
    from: f64,
    to: f64,
    /// True if lines are named at their right ends, rather than above.
    names_at_right: bool,
    figures_in_row: usize,
    parts_in_row: usize,
    /// Heights of the memory's plot and of that of items per second.
    high: f64,
    low: f64,
    time_marks: usize,
    /// True if batches tell of themselves when pointed at.
    telling: bool,
}

/// For a page or a README.
pub(super) const WIDE: Layout = Layout {
    width: 960.0,
    margin: 24.0,
    from: 88.0,
    to: 744.0,
    names_at_right: true,
    figures_in_row: 6,
    parts_in_row: 3,
    high: 150.0,
    low: 56.0,
    time_marks: 8,
    telling: true,
};

/// For a phone, where the wide one would be too small to read.
pub(super) const NARROW: Layout = Layout {
    width: 420.0,
    margin: 16.0,
    from: 72.0,
    to: 400.0,
    names_at_right: false,
    figures_in_row: 2,
    parts_in_row: 1,
    high: 130.0,
    low: 56.0,
    time_marks: 4,
    telling: false,
};

/// Sizes of texts.
const TITLE: f64 = 22.0;
const FIGURE: f64 = 20.0;
const SMALL: f64 = 12.0;
/// So much wider is a text in bold, in Verdana.
const BOLD: f64 = 1.08;

/// Held memory and calls, the sink and the budget have each a colour of the set by Okabe and Ito,
/// which those who see fewer colours can tell apart; and the same in all plots. Texts are in `ink`
/// and `muted` alone, which have a contrast of 6 and more, or in black on colours, or in white on
/// the blue. Names begin with that of the picture, as a page's other elements are subject to this
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

/// The parts of the threads' time, in the order that [`Picture::parts`] has them.
const PARTS: [&str; 6] = ["calls", "memory", "sink", "input", "ends", "handling"];

pub(super) fn draw(picture: &Picture, layout: &Layout) -> String {
    let end = picture.end();
    let time = Scale { top: end, from: layout.from, to: layout.to };
    let time_marks = scale::of_seconds(end, layout.time_marks);
    let mut drawing = Drawing { picture, layout, time, time_marks, svg: Markup::default(), y: 0.0 };
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
        escape(&picture.title()),
        escape(&picture.told()),
        wide - 1.0,
        height - 1.0,
    )
}

/// How a line or an area looks, for its name beside it.
#[derive(Clone, Copy, Debug)]
enum Look {
    Area(&'static str, &'static str),
    Line(&'static str),
    /// Nothing to see, or not in the picture.
    None,
}

/// The name of a line, and where it is.
#[derive(Debug)]
struct Name {
    look: Look,
    y: f64,
    text: String,
}

#[derive(Debug)]
struct Drawing<'a> {
    picture: &'a Picture,
    layout: &'a Layout,
    time: Scale,
    time_marks: Vec<Tick>,
    svg: Markup,
    /// What is above is done.
    y: f64,
}

impl Drawing<'_> {
    fn header(&mut self) {
        let (picture, layout) = (self.picture, self.layout);
        let room = layout.width - 2.0 * layout.margin;
        self.svg.text("title", layout.margin, 40.0, &fit(&picture.title(), TITLE, room));
        let mut said = format!("Bytes by {}: {}", picture.measured_by, picture.certainty);
        for (count, one, several, what) in [
            (picture.failed, "item", "items", "failed"),
            (picture.panicked, "item", "items", "panicked"),
            (picture.retries, "call", "calls", "made again"),
        ] {
            if count > 0 {
                said += &format!(" · {} {what}", scale::counted(count, one, several));
            }
        }
        self.y = 40.0;
        for line in lines(&said, SMALL, room) {
            self.y += 19.0;
            self.svg.text("muted", layout.margin, self.y, &fit(&line, SMALL, room));
        }
        self.warnings();
        let resident = picture.peak_resident.map_or_else(|| "not told".to_owned(), scale::bytes);
        let (pace, per_second) = scale::pace(picture.items_per_second);
        let figures = [
            (
                scale::short_count(picture.items),
                format!(
                    "{} in {}",
                    Counted::items(picture.items).name(),
                    scale::counted(picture.batches, "batch", "batches")
                ),
            ),
            (Seconds(sound(picture.seconds)).to_string(), "from start to end".to_owned()),
            (pace, per_second.to_owned()),
            (picture.speedup(), format!("a loop, on {}", scale::counted(picture.threads, "thread", "threads"))),
            (scale::bytes(picture.peak_held), format!("held, of {}", scale::bytes(picture.budget))),
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

    /// All that has the time axis.
    fn over_time(&mut self) {
        let picture = self.picture;
        if picture.moments.is_empty() {
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
        if !picture.bands.is_empty() {
            self.sink();
        }
        if !picture.moments.is_empty() || !picture.bands.is_empty() {
            self.time_axis();
        }
    }

    fn memory(&mut self) {
        let picture = self.picture;
        let moments = &picture.moments;
        let resident = |moment: &crate::timeline::Moment| moment.resident.map(|bytes| bytes as f64);
        let most_resident =
            moments.iter().filter_map(resident).fold(picture.peak_resident.unwrap_or(0) as f64, f64::max);
        let most_held = moments.iter().map(|moment| moment.held as f64).fold(picture.peak_held as f64, f64::max);
        let (most, budget) = (most_resident.max(most_held), picture.budget as f64);
        // A budget of much more than was needed would press the rest to the ground.
        let in_sight = budget <= 3.0 * most;
        let top = if in_sight { most.max(budget) } else { most }.max(1.0) * 1.06;
        let has_resident = moments.iter().any(|moment| moment.resident.is_some());

        let held_look = Look::Area("held-area", "held-line");
        let mut names = vec![(held_look, most_held, format!("held, peak {}", scale::bytes(picture.peak_held)))];
        if has_resident {
            let text = format!("resident, peak {}", scale::bytes(most_resident as u64));
            names.push((Look::Line("resident-line"), most_resident, text));
        }
        if in_sight {
            names.push((Look::Line("budget-line"), budget, format!("budget {}", scale::bytes(picture.budget))));
        } else {
            names.push((Look::None, top, format!("budget {}, far above", scale::bytes(picture.budget))));
        }
        self.name_over_budget(&mut names);
        let marks = scale::of_bytes(top, 5);
        let scale = self.plot("Memory", self.layout.high, top, &marks, &mut names);
        let time = self.time;

        let points: Vec<_> =
            moments.iter().map(|moment| (time.at(moment.seconds), scale.at(moment.held as f64))).collect();
        self.area(&points, scale.from, held_look);
        let of_resident = moments.iter().filter_map(|moment| Some((moment.seconds, resident(moment)?)));
        let points: Vec<_> = of_resident.map(|(seconds, bytes)| (time.at(seconds), scale.at(bytes))).collect();
        self.over_budget(&points, &scale);
        self.stroke("resident-line", &points);
        if in_sight {
            let y = scale.at(budget);
            self.svg.line("budget-line", (self.layout.from, y), (self.layout.to, y));
        }
        // The highest points are marked where a moment had them; the peaks that are named may have
        // been between two.
        let highest = moments.iter().max_by_key(|moment| moment.resident).filter(|_| has_resident);
        if let Some((moment, bytes)) = highest.and_then(|moment| Some((moment, resident(moment)?))) {
            self.svg.circle("resident-dot", time.at(moment.seconds), scale.at(bytes), 4.0);
        }
        if let Some(moment) = moments.iter().max_by_key(|moment| moment.held) {
            self.svg.circle("held-dot", time.at(moment.seconds), scale.at(moment.held as f64), 4.0);
        }
    }

    /// Items per second, over stretches of equal length.
    fn rate(&mut self) {
        let picture = self.picture;
        let rates = rates(picture);
        let most = rates.iter().copied().fold(picture.items_per_second, f64::max);
        let (top, mean) = (most.max(1e-9) * 1.1, picture.items_per_second);
        let marks = scale::of_numbers(top, 3);
        let mut names = vec![(Look::Line("mean-line"), mean, format!("mean {}", scale::number(mean)))];
        let scale = self.plot("Items per second", self.layout.low, top, &marks, &mut names);
        let mut points = Vec::new();
        let each = (self.layout.to - self.layout.from) / rates.len() as f64;
        for (place, rate) in rates.iter().enumerate() {
            let x = self.layout.from + each * place as f64;
            points.extend([(x, scale.at(*rate)), (x + each, scale.at(*rate))]);
        }
        self.area(&points, scale.from, Look::Area("rate-area", "rate-line"));
        let y = scale.at(mean);
        self.svg.line("mean-line", (self.layout.from, y), (self.layout.to, y));
    }

    fn running(&mut self) {
        let picture = self.picture;
        let most = picture.moments.iter().map(|moment| moment.running).max().unwrap_or(0).max(picture.threads).max(1);
        let top = most as f64;
        let marks = [0.0, top].map(|value| Tick { value, label: scale::number(value) });
        let (mut points, mut area, mut before) = (Vec::new(), 0.0, 0.0);
        let ends = picture.moments.iter().skip(1).map(|moment| moment.seconds).chain([self.time.top]);
        for (moment, end) in picture.moments.iter().zip(ends) {
            points.extend([(moment.seconds, moment.running), (end, moment.running)]);
            let seconds = (end - moment.seconds).max(0.0);
            (area, before) = (area + seconds * moment.running as f64, before + seconds);
        }
        let mean = if before > 0.0 { area / before } else { 0.0 };
        let text = format!("{} of {}, on average", scale::number(mean), picture.threads);
        let scale = self.plot("Threads running", 34.0, top, &marks, &mut vec![(Look::None, top / 2.0, text)]);
        let time = self.time;
        let points: Vec<_> =
            points.into_iter().map(|(seconds, running)| (time.at(seconds), scale.at(running as f64))).collect();
        self.fill("running", &points, scale.from);
    }

    /// Each batch as a band; where an entry stands for several, the band is as high as the share of
    /// its time that was the sink's.
    fn sink(&mut self) {
        const HIGH: f64 = 24.0;
        let (picture, time) = (self.picture, self.time);
        let joined = picture.bands.iter().map(|band| band.batches).max().unwrap_or(1);
        let seconds: f64 = picture.bands.iter().map(|band| band.sink).filter(|seconds| seconds.is_finite()).sum();
        let text = format!("{} of the time", scale::percent(seconds, time.top));
        let mut title =
            format!("Batches with the sink: {} in {}", scale::short_count(picture.batches), Seconds(sound(seconds)));
        if joined > 1 {
            title += &format!(", up to {} in a band", scale::short_count(joined));
        }
        let scale = self.plot(&title, HIGH, 1.0, &[], &mut vec![(Look::None, 0.5, text)]);
        let (top, bottom) = (scale.to, scale.from);
        self.svg.rect("track", self.layout.from, top, self.layout.to - self.layout.from, HIGH);
        let (mut number, mut paths) = (1, [Path::default(), Path::default()]);
        let mut numbers = Vec::new();
        for (place, band) in picture.bands.iter().enumerate() {
            let (x, end) = (time.at(band.begun), time.at(band.ended));
            // However short, it can be seen, within the lane.
            let wide = (end - x).max(0.7);
            let x = x.min(self.layout.to - wide);
            let share = if band.batches > 1 { share(band.sink, band.ended - band.begun) } else { 1.0 };
            let high = (HIGH * share).max(3.0);
            let place_of = [x, bottom - high, wide, high];
            let last = number + band.batches.max(1) - 1;
            if self.layout.telling {
                let told = format!(
                    "{}: {} from item {} on, at {}, {} with the sink",
                    if last > number { format!("batches {number} to {last}") } else { format!("batch {number}") },
                    scale::counted(band.items, "result", "results"),
                    band.first_index,
                    Seconds(sound(band.begun)),
                    Seconds(sound(band.sink))
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
        if !self.layout.telling {
            self.svg.path("band", &paths[0]);
            self.svg.path("band-too", &paths[1]);
        }
        for (x, label) in numbers {
            self.svg.text("in-band", x, bottom - HIGH / 2.0 + 4.0, &label);
        }
    }

    /// A heading, the grid, marks at the left and names; gives the scale of what is to be drawn,
    /// with its top where the plot's is.
    fn plot(
        &mut self,
        title: &str,
        high: f64,
        top: f64,
        marks: &[Tick],
        names: &mut Vec<(Look, f64, String)>,
    ) -> Scale {
        let (from, to, margin) = (self.layout.from, self.layout.to, self.layout.margin);
        self.y += 26.0;
        self.svg.text("head", margin, self.y, title);
        let mut ceiling = self.y + 12.0;
        if !self.layout.names_at_right {
            ceiling = self.names_above(margin + width(title, SMALL) * BOLD + 14.0, names);
        }
        let scale = Scale { top, from: ceiling + high, to: ceiling };
        for mark in &self.time_marks {
            let x = self.time.at(mark.value);
            self.svg.line("grid", (x, scale.to), (x, scale.from));
        }
        for mark in marks {
            let y = scale.at(mark.value);
            self.svg.line("grid", (from, y), (to, y));
            self.svg.text("tick", from - 8.0, y + 4.0, &mark.label);
        }
        if self.layout.names_at_right {
            let names = names.drain(..).map(|(look, value, text)| Name { look, y: scale.at(value), text });
            self.names_at_right(names.collect(), &scale);
        }
        self.svg.line("base", (from, scale.from), (to, scale.from));
        self.y = scale.from;
        scale
    }

    /// Names beside the ends of their lines, moved apart where they would cover each other.
    fn names_at_right(&mut self, mut names: Vec<Name>, scale: &Scale) {
        const APART: f64 = 17.0;
        names.sort_by(|one, other| one.y.total_cmp(&other.y));
        let mut places: Vec<f64> = names.iter().map(|name| name.y).collect();
        for place in 1..places.len() {
            places[place] = places[place].max(places[place - 1] + APART);
        }
        let mut lowest = scale.from;
        for place in places.iter_mut().rev() {
            *place = place.min(lowest);
            lowest = *place - APART;
        }
        let to = self.layout.to;
        for (name, y) in names.iter().zip(places) {
            let mut x = to + 14.0;
            if !matches!(name.look, Look::None) {
                self.svg.line("lead", (to + 2.0, name.y), (to + 12.0, y));
                self.look(name.look, x, y);
                x += 24.0;
            }
            self.svg.text("ink", x, y + 4.0, &fit(&name.text, SMALL, self.layout.width - x));
        }
    }

    /// Names between the heading and the plot, beginning at `x` beside the heading; gives where the
    /// plot may begin.
    fn names_above(&mut self, mut x: f64, names: &[(Look, f64, String)]) -> f64 {
        for (look, _, text) in names {
            let key = if matches!(look, Look::None) { 0.0 } else { 22.0 };
            let wide = key + width(text, SMALL);
            if x + wide > self.layout.width - self.layout.margin {
                x = self.layout.margin;
                self.y += 18.0;
            }
            self.look(*look, x, self.y - 4.0);
            self.svg.text("ink", x + key, self.y, text);
            x += wide + 14.0;
        }
        self.y + 12.0
    }

    /// A bit of a line or an area, as a key.
    fn look(&mut self, look: Look, x: f64, y: f64) {
        match look {
            Look::Area(area, line) => {
                self.svg.rect(area, x, y - 3.0, 18.0, 8.0);
                self.svg.line(line, (x, y - 3.0), (x + 18.0, y - 3.0));
            }
            Look::Line(line) => self.svg.line(line, (x, y), (x + 18.0, y)),
            Look::None => {}
        }
    }

    fn area(&mut self, points: &[(f64, f64)], ground: f64, look: Look) {
        if let Look::Area(area, line) = look {
            self.fill(area, points, ground);
            self.stroke(line, points);
        }
    }

    fn fill(&mut self, class: &str, points: &[(f64, f64)], ground: f64) {
        if let [(first, _), .., (last, _)] = points {
            let mut path = Path::default();
            path.begin(*first, ground);
            points.iter().for_each(|(x, y)| path.go(*x, *y));
            path.go(*last, ground);
            path.close();
            self.svg.path(class, &path);
        }
    }

    fn stroke(&mut self, class: &str, points: &[(f64, f64)]) {
        if let [(x, y), rest @ ..] = points {
            let mut path = Path::default();
            path.begin(*x, *y);
            rest.iter().for_each(|(x, y)| path.go(*x, *y));
            self.svg.path(class, &path);
        }
    }

    fn time_axis(&mut self) {
        self.y += 17.0;
        for mark in std::mem::take(&mut self.time_marks) {
            self.svg.text("time", self.time.at(mark.value), self.y, &mark.label);
        }
    }

    /// Where the threads' time went.
    fn time_use(&mut self) {
        const HIGH: f64 = 22.0;
        let (picture, layout) = (self.picture, self.layout);
        let whole = picture.threads_time();
        if whole <= 0.0 {
            return;
        }
        let room = layout.width - 2.0 * layout.margin;
        self.y += 30.0;
        let title = "Where the threads' time went";
        self.svg.text("head", layout.margin, self.y, title);
        let said = format!("{} in all, bound by {}", Seconds(sound(whole)), picture.bound_by);
        let mut x = layout.margin + width(title, SMALL) * BOLD + 14.0;
        // Beside the heading, or below.
        if x + width(&said, SMALL) > layout.width - layout.margin {
            (x, self.y) = (layout.margin, self.y + 18.0);
        }
        self.svg.text("muted", x, self.y, &said);
        self.y += 10.0;
        let mut x = layout.margin;
        for ((name, seconds), class) in picture.parts.into_iter().zip(PARTS) {
            let (wide, percent) = (room * share(seconds, whole), scale::percent(seconds, whole));
            if wide <= 0.0 {
                continue;
            }
            // A gap between two, where there is room for one.
            let gap = if wide > 4.0 { 1.0 } else { 0.0 };
            let told = format!("{name}: {percent}, {}", Seconds(sound(seconds)));
            self.svg.rect_telling(class, [x, self.y, wide - gap, HIGH], &told);
            if wide > width(&percent, SMALL) + 8.0 {
                self.svg.text(&format!("in-part in-{class}"), x + wide / 2.0, self.y + HIGH / 2.0 + 4.0, &percent);
            }
            x += wide;
        }
        self.y += HIGH;
        let each = room / layout.parts_in_row as f64;
        let parts: Vec<_> = picture.parts.into_iter().zip(PARTS).collect();
        for row in parts.chunks(layout.parts_in_row) {
            self.y += 20.0;
            for (place, ((name, seconds), class)) in row.iter().enumerate() {
                let x = layout.margin + each * place as f64;
                self.svg.rect(class, x, self.y - 10.0, 12.0, 12.0);
                let mut text = format!("{name} {}", scale::percent(*seconds, whole));
                if *seconds > 0.0 {
                    text += &format!(" ({})", Seconds(sound(*seconds)));
                }
                self.svg.text("ink", x + 19.0, self.y, &text);
            }
        }
    }

    /// A line for each stage of a pipeline, as long as its share of their time.
    fn stages(&mut self) {
        let (picture, layout) = (self.picture, self.layout);
        if picture.stages.is_empty() {
            return;
        }
        let room = layout.width - 2.0 * layout.margin;
        let whole: f64 = picture.stages.iter().map(|stage| sound(stage.seconds)).sum();
        self.y += 30.0;
        self.svg.text("head", layout.margin, self.y, "Stages, by their shares of the calls' time");
        self.y += 4.0;
        for stage in &picture.stages {
            let (name, share) = (layout.margin, share(stage.seconds, whole));
            let percent = scale::percent(stage.seconds, whole);
            let mut text = format!(
                "{percent}: {} and {} per item",
                Seconds(sound(stage.seconds_per_item)),
                scale::bytes(stage.bytes_per_item)
            );
            if stage.failed > 0 {
                text += &format!(", {} failed", scale::short_count(stage.failed));
            }
            self.y += 20.0;
            // Name, bar and figures are side by side, or the figures below the others.
            let beside = layout.names_at_right;
            let (bar, wide) = if beside { (name + 190.0, 380.0) } else { (name + 130.0, room - 130.0) };
            self.svg.text("ink", name, self.y, &fit(stage.name, SMALL, bar - name - 10.0));
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

/// Seconds that can be printed.
pub(super) fn sound(seconds: f64) -> f64 {
    // No longer than the age of the universe.
    if seconds.is_finite() { seconds.clamp(0.0, 1e18) } else { 0.0 }
}

/// Items per second over stretches of equal length: so long that some items end in each, and at
/// most 80.
fn rates(picture: &Picture) -> Vec<f64> {
    let end = picture.end();
    let done = picture.items as f64 + picture.failed as f64 + picture.panicked as f64;
    // By one item more or less in eight the rate looks restless enough.
    let stretches = (done / 8.0).clamp(1.0, 80.0) as usize;
    let each = end / stretches as f64;
    if each <= 0.0 {
        return vec![0.0; stretches];
    }
    let moments = picture.moments.iter().map(|moment| (moment.seconds, moment.items as f64));
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
