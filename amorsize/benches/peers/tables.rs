//! The measurements as texts.

use std::fmt::Write;

use amorsize_bench::{locked_version, median};

use crate::python;
use crate::rows::{Row, Work};
use crate::ways::Way;

/// The rounds of one row.
pub(crate) struct Measured {
    pub(crate) row: &'static Row,
    pub(crate) ways: Vec<OfWay>,
    /// The best time that cores or memory allow, in each round; `limited_by` says which of them.
    pub(crate) limits: Vec<f64>,
    pub(crate) limited_by: &'static str,
}

/// The rounds of one way of a row.
pub(crate) struct OfWay {
    pub(crate) way: Way,
    /// Nanoseconds for all items, in each round.
    pub(crate) nanos: Vec<f64>,
    /// Nanoseconds of processor time for all items, in each round.
    pub(crate) processor: Vec<f64>,
    pub(crate) peak: u64,
    /// The items that it had, if these were not all.
    pub(crate) items: usize,
    /// The reason why there are no figures.
    pub(crate) died: Option<String>,
}

/// The times of a way of Python, one for each round.
pub(crate) struct OfPython {
    pub(crate) way: &'static str,
    pub(crate) batches: Option<usize>,
    pub(crate) nanos: Vec<f64>,
}

struct Spread {
    median: f64,
    low: f64,
    high: f64,
}

fn spread(values: impl Iterator<Item = f64>) -> Spread {
    let mut values: Vec<_> = values.collect();
    let median = median(&mut values);
    Spread { median, low: values[0], high: values[values.len() - 1] }
}

impl Measured {
    fn find(&self, way: Way) -> Option<&OfWay> {
        self.ways.iter().find(|of| of.way == way && of.died.is_none())
    }

    /// The way to compare the others with: rayon's `collect`, or the loop in a row without rayon.
    fn base(&self) -> Way {
        if self.ways.iter().any(|of| of.way == Way::Rayon) { Way::Rayon } else { Way::Loop }
    }

    /// The ratios to the base within each round.
    fn ratio(&self, of: &OfWay) -> Option<Spread> {
        let base = self.find(self.base())?;
        Some(spread(of.nanos.iter().zip(&base.nanos).map(|(time, base)| time / base)))
    }

    /// The same, of processor time.
    fn processor(&self, of: &OfWay) -> Option<Spread> {
        let base = self.find(self.base())?;
        Some(spread(of.processor.iter().zip(&base.processor).map(|(time, base)| time / base)))
    }

    fn of_limit(&self, of: &OfWay) -> Spread {
        spread(of.nanos.iter().zip(&self.limits).map(|(time, limit)| limit / time))
    }

    fn is_over(&self, of: &OfWay) -> bool {
        // The allocator's own memory beside a budget does not count as a breach of it.
        self.row.budget().is_some_and(|budget| of.peak as f64 > 1.05 * budget.as_u64() as f64)
    }

    fn median_nanos(&self, way: Way) -> Option<f64> {
        Some(median(&mut self.find(way)?.nanos.clone()))
    }

    /// The fastest of the others that stayed within the budget.
    fn best_peer(&self) -> Option<&OfWay> {
        let kept = self.ways.iter().filter(|of| !of.way.is_ours() && of.died.is_none() && !self.is_over(of));
        let ratio = |of: &OfWay| self.ratio(of).map_or(f64::INFINITY, |ratio| ratio.median);
        kept.min_by(|a, b| ratio(a).total_cmp(&ratio(b)))
    }

    fn peak(&self, way: Way) -> String {
        match self.find(way) {
            Some(of) => mib(of.peak) + if self.is_over(of) { " (over)" } else { "" },
            None => "-".to_owned(),
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1048576.0)
}

/// Three digits, for a number of any size.
fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.01.. => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// A time in a unit that suits it.
fn time(nanos: f64) -> String {
    match nanos {
        1e6.. => format!("{} ms", number(nanos / 1e6)),
        1e3.. => format!("{} us", number(nanos / 1e3)),
        _ => format!("{nanos:.0} ns"),
    }
}

/// The other crates that were measured, with their versions.
pub(crate) fn versions() -> String {
    let crates = ["rayon", "orx-parallel", "pariter", "paralight", "crossbeam-channel"];
    crates.map(|name| format!("{name} {}", locked_version(name).unwrap_or_default())).join(", ")
}

/// The table of all rows: ours, and the best of the others.
pub(crate) fn summary(all: &[Measured]) -> String {
    let mut text = String::from(
        "| work | `collect` | `for_each_batch` | an iterator | best of the others | of what the machine could do | \
         peak MiB: `collect`, `for_each_batch`, that other one, rayon |\n\
         | --- | ---: | ---: | ---: | --- | ---: | --- |\n",
    );
    for measured in all {
        let ours = |of: Option<&OfWay>| {
            of.and_then(|of| measured.ratio(of)).map_or("-".to_owned(), |ratio| number(ratio.median))
        };
        // No row has both.
        let iterator = measured.find(Way::Iterate).or_else(|| measured.find(Way::IntoIter));
        let best = measured.best_peer();
        let other = best.map_or("-".to_owned(), |of| {
            let ratio = measured.ratio(of).map_or(f64::NAN, |ratio| ratio.median);
            format!("{}: {}", of.way.name(), number(ratio))
        });
        let limit = [Way::Collect, Way::ForEachBatch].into_iter().filter_map(|way| measured.find(way));
        let limit = limit.map(|of| measured.of_limit(of).median).fold(0.0, f64::max);
        let limit = if measured.row.is_trivial() { "-".to_owned() } else { format!("{limit:.2}") };
        let peaks = [Way::Collect, Way::ForEachBatch].map(|way| measured.peak(way));
        let other_peak = best.map_or("-".to_owned(), |of| measured.peak(of.way));
        writeln!(
            text,
            "| {} | {} | {} | {} | {other} | {limit} | {}, {other_peak}, {} |",
            measured.row.what,
            ours(measured.find(Way::Collect)),
            ours(measured.find(Way::ForEachBatch)),
            ours(iterator),
            peaks.join(", "),
            measured.peak(Way::Rayon),
        )
        .expect("a String takes everything");
    }
    text
}

/// The cost of a run beyond the loop, for work that threads can't make faster.
pub(crate) fn small_work(all: &[Measured]) -> Option<String> {
    let beyond = |name| {
        let measured = all.iter().find(|measured| measured.row.name == name)?;
        let (run, plain) = (measured.find(Way::Collect)?, measured.find(Way::Loop)?);
        let more = spread(run.nanos.iter().zip(&plain.nanos).map(|(run, plain)| run - plain)).median;
        Some(if more < 0.0 { "no time".to_owned() } else { time(more) })
    };
    Some(format!(
        "Beyond a plain loop, a run of 1,000 trivial items takes {}, or {} as the very first call of a process, and one of a \
         single item {}. None of them starts a thread.",
        beyond("trivial")?,
        beyond("first")?,
        beyond("single")?
    ))
}

/// All figures of a row.
pub(crate) fn details(measured: &Measured) -> String {
    let row = measured.row;
    let mut text = format!("### {}\n\n", row.what);
    if !row.is_trivial() {
        let limit = median(&mut measured.limits.clone());
        writeln!(text, "At best {}, by {}.\n", time(limit), measured.limited_by).expect("a String takes everything");
    }
    let has_processor = !matches!(row.work, Work::Trivial | Work::First);
    let mut columns = format!(
        "| way | time | ratio to {} | lowest to highest | peak MiB |{}{}",
        measured.base().name(),
        if has_processor { " processor time, ratio |" } else { "" },
        if row.is_trivial() { "" } else { " of that best |" }
    );
    let numbers = columns.matches('|').count() - 2;
    writeln!(columns, "\n| --- |{}", " ---: |".repeat(numbers)).expect("a String takes everything");
    text += &columns;
    for of in &measured.ways {
        let name = of.way.name();
        if let Some(why) = &of.died {
            writeln!(text, "| {name} | {why} |").expect("a String takes everything");
            continue;
        }
        let nanos = median(&mut of.nanos.clone());
        let part = if of.items < row.items {
            format!(" (had {} of {} items; time for all of them)", of.items, row.items)
        } else {
            String::new()
        };
        let ratio = measured.ratio(of).map_or(["-".to_owned(), "-".to_owned()], |ratio| {
            [number(ratio.median), format!("{} to {}", number(ratio.low), number(ratio.high))]
        });
        let processor = match measured.processor(of) {
            _ if !has_processor => String::new(),
            Some(ratio) => format!(" {} |", number(ratio.median)),
            None => " - |".to_owned(),
        };
        let limit = if row.is_trivial() { String::new() } else { format!(" {:.3} |", measured.of_limit(of).median) };
        let (ratio, peak) = (ratio.join(" | "), measured.peak(of.way));
        writeln!(text, "| {name}{part} | {} | {ratio} | {peak} |{processor}{limit}", time(nanos))
            .expect("a String takes everything");
    }
    text
}

/// The cost of each way beyond the work itself, in Rust and in Python.
pub(crate) fn own_cost(medium: &Measured, tenths: &[f64], python: &[OfPython], cores: f64) -> Option<String> {
    let mut text = String::from(
        "| 10 us per item | beyond (serial time / cores), per item | per batch |\n| --- | ---: | ---: |\n",
    );
    let mut line = |name: &str, nanos: f64, serial: f64, items: usize, batches: Option<usize>| {
        let more = nanos - serial / cores;
        let sign = |nanos: f64| if nanos < 0.0 { format!("-{}", time(-nanos)) } else { time(nanos) };
        let per_batch = batches.map_or("-".to_owned(), |batches| sign(more / batches as f64));
        writeln!(text, "| {name} | {} | {per_batch} |", sign(more / items as f64)).expect("a String takes everything");
    };
    let serial = medium.median_nanos(Way::Loop)?;
    for way in [Way::Rayon, Way::Collect, Way::ForEachBatch] {
        line(way.name(), medium.median_nanos(way)?, serial, medium.row.items, None);
    }
    line(Way::Tenths.name(), median(&mut tenths.to_vec()), serial, medium.row.items, Some(10));
    if let Some(plain) = python.iter().find(|of| of.way == "loop") {
        let serial = median(&mut plain.nanos.clone());
        for of in python.iter().filter(|of| of.way != "loop") {
            let name = python::name(of.way);
            line(name, median(&mut of.nanos.clone()), serial, python::ITEMS, of.batches);
        }
    }
    Some(text)
}
