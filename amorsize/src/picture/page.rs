//! The page around the picture.

use std::env::consts::{ARCH, OS};

use crate::error::outcome::shortened;
use crate::memory;
use crate::progress::stage::StageReport;
use crate::report::Report;
use crate::report::extremes::Extreme;
use crate::system::cores;
use crate::units::ByteSize;
use crate::units::measured_by::Certainty;

use super::markup::escape;
use super::{UNNAMED, scale, svg};

/// The picture's colours. Its texts would be too small below 720 pixels, so there is a narrow
/// picture too; a screen or paper shows one of the two.
const STYLE: &str = "
@media screen{:root{color-scheme:light dark}}
:root{--ground:#f5f7f9;--paper:#fff;--edge:#d0d7de;--ink:#1b1f24;--muted:#57606a;--row:#e6eaee}
@media screen and (prefers-color-scheme:dark){:root{--ground:#0b0e12;--paper:#12161c;--edge:#30373f;--ink:#e9edf1;--muted:#a5b0bb;--row:#252c34}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",\"Noto Sans\",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 40px}
h1{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
figure{margin:0 0 20px}
figure svg{display:block;width:100%;height:auto}
.narrow{display:none}
.narrow svg{max-width:560px;margin:0 auto}
.columns{columns:2;column-gap:20px}
.scroll{overflow-x:auto}
section{background:var(--paper);border:1px solid var(--edge);border-radius:8px;padding:16px 20px;margin:0 0 20px;break-inside:avoid}
h2{font-size:15px;margin:0 0 8px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:5px 0;border-top:1px solid var(--row);text-align:right;vertical-align:top;font-weight:400}
th:first-child{text-align:left}
thead th{color:var(--muted);font-size:13px;border-top:0}
td+td,thead th+th,th+td{padding-left:16px}
td,thead th{white-space:nowrap}
tbody th{overflow-wrap:anywhere}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,\"Liberation Mono\",monospace}
ul{margin:0;padding-left:20px;overflow-wrap:anywhere}
@media (max-width:720px){main{padding:12px 10px 24px}.columns{columns:1}section{padding:12px 14px}section,figure{margin-bottom:12px}.stages table{font-size:12px}.stages thead th{font-size:11px}.stages td+td,.stages th+td,.stages thead th+th{padding-left:9px}}
@media screen and (max-width:720px){.wide{display:none}.narrow{display:block}}
@media print{body{background:none}main{max-width:none;padding:0}figure{break-inside:avoid}}
";

#[inline]
pub(super) fn write(report: &Report) -> String {
    let title = report.title();
    let title = if title == UNNAMED { title } else { format!("{title}: {UNNAMED}") };
    let title = escape(&title);
    let (wide, narrow) = (svg::draw(report, &svg::WIDE), svg::draw(report, &svg::NARROW));
    let whole = [without, account, failures, stages].map(|section| section(report)).concat();
    let tables = [totals, time_use, slowest, largest, place, details].map(|section| section(report)).concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <figure class=\"wide\">\n{wide}</figure>\n<figure class=\"narrow\">\n{narrow}</figure>\n\
         {whole}<div class=\"columns\">\n{tables}</div>\n</main>\n</body>\n</html>\n"
    )
}

#[inline]
fn section(class: &str, head: &str, content: &str) -> String {
    format!("<section{class}>\n<h2>{}</h2>\n{content}</section>\n", escape(head))
}

/// A section with a table; nothing if it has no rows.
#[inline]
fn table(class: &str, head: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = String::from("<div class=\"scroll\"><table>\n");
    if !columns.is_empty() {
        let cells = columns.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell)));
        table += &format!("<thead>\n<tr>{}</tr>\n</thead>\n", cells.collect::<String>());
    }
    table += "<tbody>\n";
    for row in rows {
        let cells = row.iter().enumerate().map(|(place, cell)| match place {
            0 => format!("<th scope=\"row\">{}</th>", escape(cell)),
            _ => format!("<td>{}</td>", escape(cell)),
        });
        table += &format!("<tr>{}</tr>\n", cells.collect::<String>());
    }
    section(class, head, &(table + "</tbody>\n</table></div>\n"))
}

/// A section with figures and their names.
#[inline]
fn figures(head: &str, figures: &[(&'static str, String)]) -> String {
    let rows: Vec<_> = figures.iter().map(|(name, figure)| vec![(*name).to_owned(), figure.clone()]).collect();
    table("", head, &[], &rows)
}

/// The run beside the loop that it stands for, which `par_iter` makes faster and no smaller.
#[inline]
fn without(report: &Report) -> String {
    if report.items() == 0 {
        return String::new();
    }
    let how = match report.measured_by().certainty() {
        Certainty::Exact | Certainty::Results => "",
        Certainty::Estimate => "about ",
        Certainty::Unmeasured => "at least ",
    };
    let budget = report.budget().as_f64().max(1.0);
    let of_budget = |bytes: ByteSize| format!("{} ×", scale::number(bytes.as_f64() / budget));
    let (all, held) = (report.result_bytes(), report.peak_bytes());
    let looped = scale::seconds(report.seconds() * report.speedup());
    let rows = [
        ["Memory, at most".to_owned(), format!("{how}{all}"), held.to_string()],
        ["Of the budget".to_owned(), of_budget(all), of_budget(held)],
        ["Time".to_owned(), looped, scale::seconds(report.seconds())],
    ];
    let columns = ["", "a loop that collects all results", "this run"];
    table("", "Without amorsize", &columns, &rows.map(Vec::from))
}

/// `item 7`, or `items 8 to 15`.
#[inline]
fn named<V>(entry: &Extreme<V>) -> String {
    match entry.items {
        1 => format!("item {}", scale::count(entry.first)),
        items => {
            format!("items {} to {}", scale::count(entry.first), scale::count(entry.first.saturating_add(items - 1)))
        }
    }
}

#[inline]
fn slowest(report: &Report) -> String {
    let row = |entry: &Extreme<f64>| {
        // Short calls are timed together.
        let each = if entry.items == 1 { "" } else { " each" };
        vec![named(entry), format!("{}{each}", scale::seconds(entry.value))]
    };
    let rows: Vec<_> = report.timeline().extremes.slowest.entries().map(row).collect();
    table("", "Slowest items, by their indices", &[], &rows)
}

#[inline]
fn largest(report: &Report) -> String {
    let row = |entry: &Extreme<u64>| {
        let of = if entry.items == 1 { "" } else { "one of " };
        vec![format!("{of}{}", named(entry)), ByteSize::new(entry.value).to_string()]
    };
    // If all are equally large, the first ones are no larger than others.
    let mean = report.bytes_per_item().as_u64();
    let largest = report.timeline().extremes.largest.entries().filter(|entry| entry.value > mean);
    let rows: Vec<_> = largest.map(row).collect();
    table("", "Largest results, by their items' indices", &[], &rows)
}

#[inline]
fn place(report: &Report) -> String {
    let mut rows = Vec::from_iter(report.timeline().began.map(|began| ("Began", scale::date(began))));
    rows.push(("System", format!("{OS}, {ARCH}")));
    rows.push(("Cores for the process", scale::count(cores::usable())));
    rows.extend(memory::installed().map(|bytes| ("Memory of the machine", bytes.to_string())));
    rows.push(("Version of amorsize", env!("CARGO_PKG_VERSION").to_owned()));
    figures("When and where", &rows)
}

#[inline]
fn totals(report: &Report) -> String {
    let mut rows = vec![
        ("Items", scale::count(report.items())),
        ("Batches", scale::count(report.batches())),
        ("Time from start to end", scale::seconds(report.seconds())),
        ("Items per second", scale::number(report.items_per_second())),
        ("Threads", scale::count(report.threads())),
        ("Speed against a plain loop", report.times_as_fast()),
        ("Budget", report.budget().to_string()),
        ("Most held of it", report.peak_bytes().to_string()),
    ];
    rows.extend(report.peak_resident().map(|bytes| ("Most that resident memory grew", bytes.to_string())));
    if let Some(over) = report.over_budget() {
        let from = report.over_from().map_or_else(String::new, |from| format!(", from {}", scale::seconds(from)));
        rows.push(("Over the budget by", format!("{over}{from}")));
    }
    let counts = [
        ("Items restored from an earlier run", report.restored_items()),
        ("Items that failed", report.failed()),
        ("Items that panicked", report.panicked()),
        ("Calls made again", report.retries()),
    ];
    rows.extend(counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name, scale::count(count))));
    rows.push(("Bytes measured by", report.measured_by().to_string()));
    figures("Totals", &rows)
}

#[inline]
fn details(report: &Report) -> String {
    let mut rows = vec![
        ("Time of a call, on average", scale::seconds(report.seconds_per_item())),
        ("Seconds on the calling thread alone", scale::seconds(report.inline_seconds())),
        ("Seconds on threads", scale::seconds(report.threads_seconds())),
        ("Seconds of the sink", scale::seconds(report.sink_seconds())),
        ("Seconds of the input", scale::seconds(report.input_seconds())),
        ("Speed against the sampled cost", format!("{:.2} ×", report.sampled_speedup())),
        ("Items in a batch, on average", scale::count(report.batch_size())),
        ("Chunks", scale::count(report.chunks())),
        ("Items in a chunk, on average", scale::count(report.chunk_size())),
        ("Waits for room in the budget", scale::count(report.credit_waits())),
        ("Bytes of all results", report.result_bytes().to_string()),
        ("Bytes of a result, on average", report.bytes_per_item().to_string()),
    ];
    if report.working_bytes() > ByteSize::ZERO {
        rows.push(("Most that a call needed beside its result", report.working_bytes().to_string()));
    }
    rows.extend(report.allocator_bytes().map(|kept| ("Resident memory still grown at the end", kept.to_string())));
    figures("In detail", &rows)
}

#[inline]
fn time_use(report: &Report) -> String {
    let whole = report.threads_time();
    if whole <= 0.0 {
        return String::new();
    }
    let row = |name: &str, seconds: f64| {
        let time = if seconds > 0.0 { scale::seconds(seconds) } else { "0 s".to_owned() };
        vec![name.to_owned(), scale::percent(seconds, whole), time]
    };
    let mut rows: Vec<_> = report.time_use().parts().into_iter().map(|(name, seconds)| row(name, seconds)).collect();
    rows.push(row("all threads together", whole));
    table("", "Where the threads' time went", &["", "share", "time"], &rows)
}

#[inline]
fn stages(report: &Report) -> String {
    let some_failed = report.stages().iter().any(|stage| stage.failed() > 0);
    let row = |stage: &StageReport| {
        let mut row = vec![
            stage.name().to_owned(),
            scale::short_count(stage.items()),
            scale::seconds(stage.seconds_per_item()),
            stage.bytes_per_item().to_string(),
            stage.largest().to_string(),
        ];
        row.extend(some_failed.then(|| scale::short_count(stage.failed())));
        row
    };
    let rows: Vec<_> = report.stages().iter().map(row).collect();
    let columns = ["", "items", "time each", "bytes each", "largest", "failed"];
    let columns = if some_failed { &columns[..] } else { &columns[..5] };
    table(" class=\"stages\"", "Stages", columns, &rows)
}

#[inline]
fn account(report: &Report) -> String {
    section("", "In words", &format!("<pre>{}</pre>\n", escape(&report.explain())))
}

#[inline]
fn failures(report: &Report) -> String {
    let failures = report.failures().iter().map(ToString::to_string);
    // Those of errors are short already.
    let panics = report.panics().iter().map(|panic| shortened(panic.to_string()));
    let failures: Vec<_> = failures.chain(panics).collect();
    if failures.is_empty() {
        return String::new();
    }
    let mut list = String::from("<ul>\n");
    for failure in &failures {
        list += &format!("<li>{}</li>\n", escape(failure));
    }
    let head = match report.failed() + report.panicked() {
        all if all > failures.len() => format!("The first {} of {all} failures", failures.len()),
        _ => "Failures".to_owned(),
    };
    section("", &head, &(list + "</ul>\n"))
}
