//! The page around the picture.

use crate::report::extremes::Extreme;
use crate::units::measured_by::Certainty;
use crate::units::seconds::Seconds;

use super::markup::escape;
use super::{Picture, Stage, UNNAMED, scale, svg};

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

/// The most of a failure's text, in characters: errors may carry the data that they are about.
const MOST_OF_A_FAILURE: usize = 500;

#[inline]
pub(super) fn write(picture: &Picture) -> String {
    let title = picture.title();
    let title = if title == UNNAMED { title } else { format!("{title}: {UNNAMED}") };
    let title = escape(&title);
    let (wide, narrow) = (svg::draw(picture, &svg::WIDE), svg::draw(picture, &svg::NARROW));
    let whole = [without, account, failures, stages].map(|section| section(picture)).concat();
    let tables = [totals, time_use, slowest, largest, place, details].map(|section| section(picture)).concat();
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

#[inline]
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = String::from("<div class=\"scroll\"><table>\n");
    if !head.is_empty() {
        let cells = head.iter().map(|cell| format!("<th scope=\"col\">{}</th>", escape(cell)));
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
    table + "</tbody>\n</table></div>\n"
}

#[inline]
fn seconds_of(seconds: f64) -> String {
    Seconds(svg::sound(seconds)).to_string()
}

/// The run beside the loop that it stands for, which `par_iter` makes faster and no smaller.
#[inline]
fn without(picture: &Picture) -> String {
    if picture.items == 0 {
        return String::new();
    }
    let how = match picture.certainty {
        Certainty::Exact | Certainty::Results => "",
        Certainty::Estimate => "about ",
        Certainty::Unmeasured => "at least ",
    };
    let budget = picture.budget.max(1) as f64;
    let of_budget = |bytes: u64| format!("{} ×", scale::number(bytes as f64 / budget));
    let all = picture.result_bytes;
    let rows = [
        ["Memory, at most".to_owned(), format!("{how}{}", scale::bytes(all)), scale::bytes(picture.peak_held)],
        ["Of the budget".to_owned(), of_budget(all), of_budget(picture.peak_held)],
        ["Time".to_owned(), seconds_of(svg::sound(picture.seconds) * picture.speedup), seconds_of(picture.seconds)],
    ];
    let head = ["", "a loop that collects all results", "this run"];
    section("", "Without amorsize", &table(&head, &rows.map(Vec::from)))
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
fn slowest(picture: &Picture) -> String {
    if picture.slowest.is_empty() {
        return String::new();
    }
    let row = |entry: &Extreme<f64>| {
        // Short calls are timed together.
        let each = if entry.items == 1 { "" } else { " each" };
        vec![named(entry), format!("{}{each}", seconds_of(entry.value))]
    };
    let rows: Vec<_> = picture.slowest.iter().map(row).collect();
    section("", "Slowest items, by their indices", &table(&[], &rows))
}

#[inline]
fn largest(picture: &Picture) -> String {
    if picture.largest.is_empty() {
        return String::new();
    }
    let row = |entry: &Extreme<u64>| {
        let of = if entry.items == 1 { "" } else { "one of " };
        vec![format!("{of}{}", named(entry)), scale::bytes(entry.value)]
    };
    let rows: Vec<_> = picture.largest.iter().map(row).collect();
    section("", "Largest results, by their items' indices", &table(&[], &rows))
}

#[inline]
fn place(picture: &Picture) -> String {
    let mut rows: Vec<_> = picture.began.map(|began| ("Began", scale::date(began))).into_iter().collect();
    rows.extend(picture.place.iter().cloned());
    section("", "When and where", &figures(&rows))
}

#[inline]
fn totals(picture: &Picture) -> String {
    let mut rows = vec![
        ("Items", scale::count(picture.items)),
        ("Batches", scale::count(picture.batches)),
        ("Time from start to end", Seconds(svg::sound(picture.seconds)).to_string()),
        ("Items per second", scale::number(picture.items_per_second)),
        ("Threads", scale::count(picture.threads)),
        ("Speed against a plain loop", picture.speedup()),
        ("Budget", scale::bytes(picture.budget)),
        ("Most held of it", scale::bytes(picture.peak_held)),
    ];
    rows.extend(picture.peak_resident.map(|bytes| ("Most that resident memory grew", scale::bytes(bytes))));
    if let Some(over) = picture.over_budget() {
        let from = picture.over_from().map_or_else(String::new, |seconds| format!(", from {}", seconds_of(seconds)));
        rows.push(("Over the budget by", format!("{}{from}", scale::bytes(over))));
    }
    for (what, count) in [
        ("Items that failed", picture.failed),
        ("Items that panicked", picture.panicked),
        ("Calls made again", picture.retries),
    ] {
        if count > 0 {
            rows.push((what, scale::count(count)));
        }
    }
    rows.push(("Bytes measured by", picture.measured_by.clone()));
    section("", "Totals", &figures(&rows))
}

#[inline]
fn details(picture: &Picture) -> String {
    section("", "In detail", &figures(&picture.figures))
}

#[inline]
fn figures(figures: &[(&'static str, String)]) -> String {
    let rows: Vec<_> = figures.iter().map(|(what, figure)| vec![(*what).to_owned(), figure.clone()]).collect();
    table(&[], &rows)
}

#[inline]
fn time_use(picture: &Picture) -> String {
    let whole = picture.threads_time();
    if whole <= 0.0 {
        return String::new();
    }
    let row = |what: &str, seconds: f64| {
        let time = if seconds > 0.0 { Seconds(svg::sound(seconds)).to_string() } else { "0 s".to_owned() };
        vec![what.to_owned(), scale::percent(seconds, whole), time]
    };
    let mut rows: Vec<_> = picture.parts.iter().map(|(what, seconds)| row(what, *seconds)).collect();
    rows.push(row("all threads together", whole));
    section("", "Where the threads' time went", &table(&["", "share", "time"], &rows))
}

#[inline]
fn stages(picture: &Picture) -> String {
    if picture.stages.is_empty() {
        return String::new();
    }
    let some_failed = picture.stages.iter().any(|stage| stage.failed > 0);
    let mut head = vec!["", "items", "time each", "bytes each", "largest"];
    let row = |stage: &Stage| {
        let mut row = vec![
            stage.name.to_owned(),
            scale::short_count(stage.items),
            Seconds(svg::sound(stage.seconds_per_item)).to_string(),
            scale::bytes(stage.bytes_per_item),
            scale::bytes(stage.largest),
        ];
        if some_failed {
            row.push(scale::short_count(stage.failed));
        }
        row
    };
    if some_failed {
        head.push("failed");
    }
    let rows: Vec<_> = picture.stages.iter().map(row).collect();
    section(" class=\"stages\"", "Stages", &table(&head, &rows))
}

#[inline]
fn account(picture: &Picture) -> String {
    section("", "In words", &format!("<pre>{}</pre>\n", escape(&picture.account)))
}

#[inline]
fn failures(picture: &Picture) -> String {
    if picture.failures.is_empty() {
        return String::new();
    }
    let mut list = String::from("<ul>\n");
    for failure in &picture.failures {
        let mut text: String = failure.chars().take(MOST_OF_A_FAILURE).collect();
        if text.len() < failure.len() {
            text.push('…');
        }
        list += &format!("<li>{}</li>\n", escape(&text));
    }
    let all = picture.failed + picture.panicked;
    let head = match all {
        all if all > picture.failures.len() => format!("The first {} of {all} failures", picture.failures.len()),
        _ => "Failures".to_owned(),
    };
    section("", &head, &(list + "</ul>\n"))
}
