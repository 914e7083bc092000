//! Pictures of made-up runs, and the properties that all pictures have.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::adapt::learned::{Learned, Stretch};
use crate::error::failure::{Cause, Failure, Panicked};
use crate::error::outcome::Failures;
use crate::progress::stage::Tally;
use crate::report::extremes::Extremes;
use crate::report::time_use::TimeUse;
use crate::report::timeline::{BatchTime, Moment, Timeline};
use crate::report::totals::Totals;
use crate::units::ByteSize;
use crate::units::measured_by::MeasuredBy;
use crate::units::seconds::Seconds;

const MIB: u64 = 1 << 20;

/// Numbers that look random, and repeat in each run of the tests.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The properties in which made-up runs differ.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: Option<&'static str>,
    items: usize,
    batch: usize,
    threads: usize,
    /// Seconds of a call, and of the sink for each result.
    call_seconds: f64,
    sink_seconds: f64,
    item_bytes: u64,
    budget: u64,
    /// One item in this many takes thirty times the time and bytes; 0 for none.
    tail: usize,
}

const PHOTOS: Kind = Kind {
    name: Some("render"),
    items: 360,
    batch: 15,
    threads: 2,
    call_seconds: 0.023,
    sink_seconds: 0.0006,
    item_bytes: 6 * MIB,
    budget: 256 * MIB,
    tail: 0,
};

/// Steps through a model of a run: threads call while the budget has room, and the sink takes whole
/// batches.
fn run(kind: Kind) -> Report {
    let mut dice = Dice(kind.items as u64);
    let step = kind.items as f64 * (kind.call_seconds / kind.threads as f64).max(kind.sink_seconds) / 400.0;
    let (mut now, mut called, mut handed) = (0.0, 0.0, 0usize);
    let (mut held, mut resident, mut waited, mut sink_until) = (0.0f64, 0.0f64, 0.0, -1.0);
    let (mut moments, mut bands, mut taking): (Vec<Moment>, Vec<BatchTime>, usize) = (vec![], vec![], 0);
    let (mut idle, mut slow_until) = (0.0, -1.0);
    while handed < kind.items && moments.len() < 5000 {
        if now >= sink_until && taking > 0 {
            held = (held - (taking as u64 * kind.item_bytes) as f64).max(0.0);
            (handed, taking) = (handed + taking, 0);
        }
        let ready = (called + 1e-6) as usize - handed - taking;
        let wanted = kind.batch.min(kind.items - handed - taking);
        let room = (kind.budget as f64 - held) / kind.item_bytes as f64;
        if now >= sink_until && wanted > 0 && (ready >= wanted || (room < 1.0 && ready > 0)) {
            taking = ready.min(wanted);
            let sink = taking as f64 * kind.sink_seconds * (0.8 + 0.4 * dice.throw());
            sink_until = now + sink;
            let (begun, ended) = (now, sink_until);
            bands.push(BatchTime { first_index: handed, items: taking, batches: 1, begun, ended, sink });
        }
        let left = kind.items as f64 - called;
        let mut running = (kind.threads as f64).min(room.floor()).min(left.ceil()).max(0.0);
        if kind.tail > 0 && now > slow_until && dice.throw() < step / kind.call_seconds / kind.tail as f64 {
            slow_until = now + 20.0 * kind.call_seconds;
        }
        let mut pace = (0.85 + 0.3 * dice.throw()) * step / kind.call_seconds;
        if now < slow_until {
            running = running.min((kind.threads - 1).max(1) as f64);
            held = (held + 0.02 * kind.budget as f64).min(0.9 * kind.budget as f64);
            pace *= 0.8;
        }
        if left <= 0.0 {
            idle += step * kind.threads as f64;
        } else {
            waited += step * (kind.threads as f64 - running);
        }
        let more = (pace * running).min(left).min(room.max(0.0));
        called += more;
        held = (held + more * kind.item_bytes as f64).clamp(0.0, kind.budget as f64);
        resident = (resident * 0.97).max(held * 1.04 + 3.0 * MIB as f64 * dice.throw());
        now += step;
        let (items, held, resident) = (called as usize, held as u64, Some(resident as u64));
        moments.push(Moment { seconds: now, items, held, resident, running: running as usize });
    }
    while moments.len() > 512 {
        moments = moments.into_iter().step_by(2).collect();
    }
    let seconds = now.max(sink_until);
    let (total, slow_sink) =
        (seconds * kind.threads as f64, kind.sink_seconds * kind.threads as f64 > kind.call_seconds);
    let handling = total * 0.004;
    let (memory, sink) = if slow_sink { (0.0, waited) } else { (waited, 0.0) };
    let calls = total - waited - idle - handling;
    report(kind, seconds, moments, bands, TimeUse { total, calls, memory, sink, input: total * 0.001, ends: idle })
}

fn report(kind: Kind, seconds: f64, moments: Vec<Moment>, bands: Vec<BatchTime>, time_use: TimeUse) -> Report {
    let peak = |of: fn(&Moment) -> u64| moments.iter().map(of).max().map(ByteSize::new);
    let mut learned = Learned::default();
    (learned.items, learned.seconds) = (kind.items, time_use.calls);
    learned.bytes = kind.items as u64 * kind.item_bytes;
    let peak_resident = peak(|moment| moment.resident.unwrap_or(0));
    let peak = peak(|moment| moment.held).unwrap_or(ByteSize::new(kind.item_bytes));
    let timeline = Timeline { began: None, extremes: Extremes::default(), moments, batches: bands };
    let batches = timeline.batches.iter().map(|band| band.batches).sum();
    let totals = Totals {
        name: kind.name,
        learned,
        peak,
        budget: ByteSize::new(kind.budget).into(),
        seconds,
        threads: kind.threads,
        cores: kind.threads,
        chunks: 24,
        sampled_seconds: kind.call_seconds,
        time_use,
        peak_resident,
        timeline: Some(Arc::new(timeline)),
        ..Totals::example()
    };
    Report::new(totals, kind.items, batches)
}

fn timeline(report: &mut Report) -> &mut Timeline {
    Arc::make_mut(report.totals.timeline.as_mut().unwrap())
}

/// Failures with these texts, and more without.
fn failures(texts: &[String], more: usize) -> Failures {
    let mut failures = Failures::new();
    texts.iter().enumerate().for_each(|(place, text)| failures.add(7 + 2 * place, text));
    (0..more).for_each(|_| failures.add_counted());
    failures
}

/// Notes consecutive items: the index of the first, their number, their seconds, and the bytes of
/// the largest result.
fn note(extremes: &mut Extremes, (first, items, seconds, largest): (usize, usize, f64, u64)) {
    extremes.note(first, &Stretch { items, seconds, bytes: 0, largest, working: 0 });
}

static RUNS: LazyLock<Vec<(&'static str, Report)>> = LazyLock::new(|| {
    let mut photos = run(PHOTOS);
    let noted = timeline(&mut photos);
    for long in [(7, 1, 0.61, 0), (120, 8, 0.664, 0), (31, 1, 0.0, 14 * MIB), (200, 4, 0.0, 9 * MIB)] {
        note(&mut noted.extremes, long);
    }
    noted.began = Some(UNIX_EPOCH + Duration::from_secs(1_767_225_599));
    let slow_sink = run(Kind { name: Some("extract_features"), sink_seconds: 0.03, ..PHOTOS });
    let tail = run(Kind { name: Some("parse"), threads: 8, items: 2000, call_seconds: 0.4, tail: 120, ..PHOTOS });
    let mut at_budget = run(Kind { sink_seconds: 0.0105, batch: 40, ..PHOTOS });
    (at_budget.retries, at_budget.totals.panicked) = (3, 1);
    let panicked = Cause::Panic(Panicked::new(Box::new("y".repeat(5000))));
    at_budget.totals.panics = [Failure::new(8, panicked)].into();
    let error = "no <photo> & \"nothing\"".to_owned();
    at_budget.set_values(at_budget.items(), failures(&[error.clone(), "x".repeat(5000), error], 37));
    let many = run(Kind {
        name: None,
        items: 60_000,
        batch: 150,
        threads: 16,
        item_bytes: 4096,
        call_seconds: 0.002,
        ..PHOTOS
    });
    let mut joined = many.clone();
    timeline(&mut joined).batches = many.timeline().batches.chunks(4).map(join).collect();
    let inline = run(Kind {
        name: Some("small"),
        threads: 1,
        items: 40,
        call_seconds: 2e-4,
        batch: 8,
        item_bytes: 512,
        ..PHOTOS
    });
    let named =
        "images::pipeline::decode_and_scale_and_sharpen_and_encode_each_of_them_again_for_every_wanted_size_図図図";
    let mut untold =
        run(Kind { name: Some(named), budget: 31 << 30, threads: 128, items: 12_345, batch: 1000, ..PHOTOS });
    untold.totals.peak_resident = None;
    timeline(&mut untold).moments.iter_mut().for_each(|moment| moment.resident = None);
    // Calls need another half of the budget while they run, in the middle third.
    let mut over = photos.clone();
    let moments = &mut timeline(&mut over).moments;
    let third = moments.len() / 3;
    moments[third..2 * third].iter_mut().enumerate().for_each(|(place, moment)| {
        moment.resident = moment.resident.map(|bytes| bytes + PHOTOS.budget * (4 + place as u64 % 40 / 10) / 8);
    });
    let peak = moments.iter().filter_map(|moment| moment.resident).max();
    over.totals.peak_resident = peak.map(|peak| ByteSize::new(peak + MIB));
    let short = report(PHOTOS, 3.1e-5, vec![], vec![], TimeUse::default());
    let short_told =
        report(PHOTOS, 3.1e-5, vec![], vec![], TimeUse { total: 3.1e-5, calls: 2.5e-5, ..TimeUse::default() });
    let Timeline { moments, batches, .. } = photos.timeline();
    let one = report(PHOTOS, 0.5, moments[..1].to_vec(), batches[..1].to_vec(), TimeUse::default());
    let empty = report(Kind { items: 0, ..PHOTOS }, 0.0, vec![], vec![], TimeUse::default());
    let mut pipeline = photos.clone();
    pipeline.totals.name = None;
    let stage = |name, seconds: f64, bytes_per_item| {
        stage(name, [358, 2, (seconds * 1e9) as u64], [358 * bytes_per_item, 2 * bytes_per_item])
    };
    pipeline.stages = vec![
        stage("decode", 5.3, 36 * MIB),
        stage("resize_with_a_rather_long_name", 2.2, 6 * MIB),
        stage("closure", 0.9, 300_000),
    ];
    vec![
        ("pipeline", pipeline),
        ("photos", photos),
        ("over-budget", over),
        ("slow-sink", slow_sink),
        ("tail", tail),
        ("at-budget", at_budget),
        ("many", many),
        ("joined", joined),
        ("inline", inline),
        ("untold", untold),
        ("short", short),
        ("short-told", short_told),
        ("one-moment", one),
        ("empty", empty),
    ]
});

fn stage(name: &'static str, [finished, failed, nanoseconds]: [u64; 3], [bytes, largest]: [u64; 2]) -> StageReport {
    StageReport { name, tally: Tally { finished, failed, nanoseconds, bytes, largest } }
}

fn join(bands: &[BatchTime]) -> BatchTime {
    let mut joined = bands[0];
    for band in &bands[1..] {
        joined.items += band.items;
        joined.batches += 1;
        (joined.ended, joined.sink) = (band.ended, joined.sink + band.sink);
    }
    joined
}

/// Checks all numbers in attributes: finite, and widths and heights not negative.
fn is_sound(svg: &str, layout_width: f64) -> Result<(), String> {
    for word in ["NaN", "inf"] {
        let attributes = svg.split('<').filter_map(|tag| tag.split('>').next()).filter(|tag| tag.contains('='));
        if let Some(tag) = attributes.into_iter().find(|tag| tag.contains(word)) {
            return Err(format!("{word} in {tag}"));
        }
    }
    // The tallest picture is the narrow one of a pipeline with a warning.
    const HIGHEST: f64 = 1400.0;
    let body = &svg[svg.find("</style>").ok_or("no style")?..];
    for name in ["x", "y", "width", "height", "cx", "cy", "r"] {
        for value in body.split(&format!(" {name}=\"")).skip(1) {
            let value = value.split('"').next().unwrap_or_default();
            let number: f64 = value.parse().map_err(|_| format!("{name} is {value:?}"))?;
            let most = if ["x", "cx", "width"].contains(&name) { layout_width } else { HIGHEST };
            if !(0.0..=most).contains(&number) {
                return Err(format!("{name} is {number}"));
            }
        }
    }
    let places = body
        .split(" d=\"")
        .skip(1)
        .flat_map(|path| path.split('"').next().unwrap_or_default().split(['M', 'L', 'Z', ' ', 'h', 'v']));
    for place in places.filter(|place| !place.is_empty()) {
        let number: f64 = place.parse().map_err(|_| format!("a path has {place:?}"))?;
        if !(-layout_width..=HIGHEST).contains(&number) {
            return Err(format!("a path has {number}"));
        }
    }
    Ok(())
}

/// `AMORSIZE_PICTURES=DIRECTORY cargo test -p amorsize --lib picture` writes the pictures there.
#[test]
fn pictures_are_sound_and_small() {
    let directory = std::env::var_os("AMORSIZE_PICTURES").map(std::path::PathBuf::from);
    for (name, report) in &*RUNS {
        if let Some(directory) = &directory {
            std::fs::write(directory.join(format!("{name}.svg")), report.to_svg()).unwrap();
            std::fs::write(directory.join(format!("{name}.html")), report.to_html()).unwrap();
        }
        for layout in [&svg::WIDE, &svg::NARROW] {
            let svg = svg::draw(report, layout);
            is_sound(&svg, 960.0).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(svg.len() < 150_000, "{name} takes {} bytes", svg.len());
        }
        let page = page::write(report);
        assert!(page.len() < 300_000, "{name} takes {} bytes", page.len());
    }
}

/// Any numbers, with NaN and the infinities.
fn any_seconds() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..10.0f64, any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(0.0), Just(1e-300)]
}

prop_compose! {
    fn any_report()(
        seconds in any_seconds(),
        counts in any::<[usize; 4]>(),
        failed in 0..1000_usize,
        bytes in any::<[u64; 3]>(),
        peak_resident in any::<Option<u64>>(),
        parts in prop::array::uniform7(any_seconds()),
        moments in prop::collection::vec((any_seconds(), any::<usize>(), any::<u64>(), any::<Option<u64>>(), any::<usize>()), 0..40),
        bands in prop::collection::vec((any_seconds(), any_seconds(), any_seconds(), 0..usize::MAX / 1000, 0..usize::MAX / 1000), 0..40),
        measured_by in prop::sample::select(vec![MeasuredBy::Tracking, MeasuredBy::Resident, MeasuredBy::Unmeasured]),
        texts in prop::collection::vec(".{0,80}", 0..4),
        noted in prop::collection::vec((any::<usize>(), 1..usize::MAX, any_seconds(), any::<u64>()), 0..3),
        began in prop::option::of(0..1u64 << 40),
    ) -> Report {
        let moment = |(seconds, items, held, resident, running)| Moment { seconds, items, held, resident, running };
        let band = |(begun, ended, sink, items, batches)| BatchTime { first_index: items, items, batches, begun, ended, sink };
        let [items, panicked, threads, batches] = counts.map(|count| count / 4);
        let [calls, memory, sink, input, ends, total, handling] = parts;
        let time_use = TimeUse { total, calls, memory, sink, input, ends };
        let kind = Kind { items: 0, threads, budget: bytes[0], ..PHOTOS };
        let moments = moments.into_iter().map(moment).collect();
        let mut report = Report::new(report(kind, seconds, moments, Vec::new(), time_use).totals, items, batches);
        report.stages = vec![stage("one", [items, failed, panicked].map(|count| count as u64), [bytes[0], bytes[1]])];
        report.set_values(items, failures(&texts, failed));
        let totals = &mut report.totals;
        (totals.learned.items, totals.learned.bytes, totals.learned.seconds) = (items, bytes[2], calls);
        (totals.peak, totals.peak_resident) = (ByteSize::new(bytes[1]), peak_resident.map(ByteSize::new));
        (totals.measured_by, totals.panicked, totals.beside_calls) = (measured_by, panicked, handling);
        let timeline = timeline(&mut report);
        timeline.batches = bands.into_iter().map(band).collect();
        timeline.began = began.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        noted.into_iter().for_each(|long| note(&mut timeline.extremes, long));
        report
    }
}

proptest! {
    #[test]
    fn whatever_the_figures_places_are_within_the_picture(report in any_report()) {
        for layout in [&svg::WIDE, &svg::NARROW] {
            let svg = svg::draw(&report, layout);
            prop_assert_eq!(is_sound(&svg, 960.0), Ok(()));
            prop_assert!(svg.len() < 60_000);
        }
        page::write(&report);
    }
}

fn run_named(name: &str) -> &'static Report {
    &RUNS.iter().find(|(of, _)| *of == name).unwrap().1
}

#[test]
fn the_largest_picture_is_below_150_kb() {
    let moments = (0..512u32).map(|place| Moment {
        seconds: 1.0 + 7.0 * f64::from(place),
        items: place as usize * 1_000_003,
        held: u64::from(place * 7919 % 509) << 33,
        resident: Some(u64::from(place * 104_729 % 503) << 33),
        running: place as usize * 31 % 512,
    });
    let bands = (0..512).map(|place| {
        let begun = 1.0 + 7.0 * f64::from(place);
        let (items, batches) = (123_456_789, 1_234_567);
        BatchTime { first_index: 1 << 60, items, batches, begun, ended: begun + 6.987_654, sink: 5.432_1 }
    });
    let kind = Kind { items: 512_000_000, threads: 512, budget: 1 << 43, ..PHOTOS };
    let largest = report(
        kind,
        3590.0,
        moments.collect(),
        bands.collect(),
        TimeUse { total: 1e6, calls: 9e5, ..TimeUse::default() },
    );
    let (svg, page) = (svg::draw(&largest, &svg::WIDE), page::write(&largest));
    assert!((80_000..150_000).contains(&svg.len()), "{}", svg.len());
    assert!(page.len() < 220_000, "{}", page.len());
    assert_eq!(is_sound(&svg, 960.0), Ok(()));
}

#[test]
fn what_is_over_the_budget_is_marked() {
    for (name, report) in &*RUNS {
        let svg = svg::draw(report, &svg::WIDE);
        let is_over = report.over_budget().is_some();
        for mark in ["\"over-area\"", "\"over-dot\"", " over from ", " more than the budget."] {
            assert_eq!(svg.contains(mark), is_over, "{name}: {mark}");
        }
        assert_eq!(svg.contains(">Warning: resident memory grew by "), is_over, "{name}");
    }
}

#[test]
fn a_run_without_moments_says_so() {
    let says = "The run was over before anything was noted";
    for (name, report) in &*RUNS {
        let svg = svg::draw(report, &svg::WIDE);
        assert_eq!(svg.matches(says).count() > 0, ["short", "short-told", "empty"].contains(name), "{name}");
        assert_eq!(svg.contains(">Memory<"), !report.timeline().moments.is_empty(), "{name}");
    }
}

#[test]
fn every_batch_is_there_and_tells_of_itself() {
    let svg = svg::draw(run_named("many"), &svg::WIDE);
    assert_eq!(svg.matches("class=\"band").count(), 400);
    assert!(svg.contains("<title>batch 3: 150 results from item 300 on, at "));
    let svg = svg::draw(run_named("joined"), &svg::WIDE);
    assert_eq!(svg.matches("class=\"band").count(), 100);
    assert!(svg.contains("<title>batches 5 to 8: 600 results from item 600 on, at "));
    assert!(svg.contains("up to 4 in a band"));
}

#[test]
fn a_budget_far_above_is_named_and_not_drawn() {
    let far = svg::draw(run_named("inline"), &svg::WIDE);
    assert!(far.contains("budget 256 MiB, far above") && !far.contains("class=\"budget-line\""));
    let near = svg::draw(run_named("at-budget"), &svg::WIDE);
    assert!(near.contains(">budget 256 MiB<") && near.contains("class=\"budget-line\""));
}

#[test]
fn a_page_tells_what_it_would_have_been_without() {
    let report = run_named("photos");
    let page = page::write(report);
    let (held, seconds) = (report.peak_bytes(), Seconds(report.seconds()));
    assert!(page.contains(&format!("<th scope=\"row\">Memory, at most</th><td>2.11 GiB</td><td>{held}</td>")));
    assert!(page.contains("<th scope=\"row\">Of the budget</th><td>8.44 ×</td>"));
    let looped = Seconds(report.seconds() * report.speedup());
    assert!(page.contains(&format!("<th scope=\"row\">Time</th><td>{looped}</td><td>{seconds}</td>")));
    for (measured_by, says) in [(MeasuredBy::Resident, "about 2.11 GiB"), (MeasuredBy::Unmeasured, "at least 2.11 GiB")]
    {
        let mut report = report.clone();
        report.totals.measured_by = measured_by;
        assert!(page::write(&report).contains(says));
    }
    // Nothing would have been different.
    assert!(!page::write(run_named("empty")).contains("Without amorsize"));
}

#[test]
fn a_page_names_what_stands_out_by_index() {
    let page = page::write(run_named("photos"));
    for row in [
        "<th scope=\"row\">item 7</th><td>610.00 ms</td>",
        "<th scope=\"row\">items 120 to 127</th><td>83.00 ms each</td>",
        "<th scope=\"row\">item 31</th><td>14.0 MiB</td>",
        "<th scope=\"row\">one of items 200 to 203</th><td>9.00 MiB</td>",
    ] {
        assert!(page.contains(row), "no {row}");
    }
    let page = page::write(run_named("many"));
    assert!(!page.contains("Slowest items") && !page.contains("Largest results"));
}

#[test]
fn a_page_tells_when_and_where() {
    let page = page::write(run_named("photos"));
    assert!(page.contains("<th scope=\"row\">Began</th><td>2025-12-31 23:59:59 UTC</td>"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(page.contains(&format!("<th scope=\"row\">Version of amorsize</th><td>{version}</td>")));
    let page = page::write(run_named("short"));
    assert!(page.contains("When and where") && !page.contains(">Began<"));
}

#[test]
fn a_page_tells_from_when_on_memory_was_over_the_budget() {
    for (name, report) in &*RUNS {
        let page = page::write(report);
        let rows = page.matches("<th scope=\"row\">Over the budget by</th>").count();
        assert_eq!(rows, usize::from(report.over_budget().is_some()), "{name}");
        let from = report.over_from().filter(|_| rows > 0).map(|seconds| format!(", from {}</td>", Seconds(seconds)));
        assert!(from.is_none_or(|from| page.contains(&from)), "{name}");
    }
}

#[test]
fn a_page_tells_of_failures_and_stages() {
    let report = run_named("at-budget");
    let page = page::write(report);
    assert!(
        page.contains("The first 4 of 41 failures")
            && page.contains("<li>item 7 failed: no &lt;photo&gt; &amp; &quot;nothing&quot;</li>")
    );
    assert!(page.contains(&("x".repeat(4096) + " ... (5000 bytes)</li>")) && !page.contains(&"x".repeat(4097)));
    let panic = format!("<li>item 8 panicked: {} ... (5017 bytes)</li>", "y".repeat(4096 - 17));
    assert!(page.contains(&panic));
    assert!(
        page.contains(&markup::escape(&report.explain()))
            && page.contains("40 items failed · 1 item panicked · 3 calls made again")
    );
    let page = page::write(run_named("pipeline"));
    assert!(page.contains("<title>decode → resize_with_a_rather_long_name → closure: amorsize run</title>"));
    assert!(page.contains(
        "<th scope=\"row\">decode</th><td>358</td><td>14.72 ms</td><td>36.0 MiB</td><td>72.0 MiB</td><td>2</td>"
    ));
}
