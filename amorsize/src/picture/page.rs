//! The page around the picture.

use crate::seconds::Seconds;

use super::markup::escape;
use super::{Picture, UNNAMED, scale, svg};

/// Colours as in the picture. Below 720 pixels its texts would be too small, so there is a narrow one too, of which screens and paper
/// show one.
const STYLE: &str = "
:root{color-scheme:light dark;--ground:#f5f7f9;--paper:#fff;--edge:#d0d7de;--ink:#1b1f24;--muted:#57606a;--row:#e6eaee}
@media screen and (prefers-color-scheme:dark){:root{--ground:#0b0e12;--paper:#12161c;--edge:#30373f;--ink:#e9edf1;--muted:#a5b0bb;--row:#252c34}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",\"Noto Sans\",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 40px}
h1{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
figure{margin:0 0 20px}
figure svg{display:block;width:100%;height:auto}
.narrow{display:none}
.columns,.stack{display:grid;gap:20px;align-items:start}
.columns{grid-template-columns:repeat(2,minmax(0,1fr))}
.scroll{overflow-x:auto}
section{background:var(--paper);border:1px solid var(--edge);border-radius:8px;padding:16px 20px;min-width:0}
section.whole{grid-column:1/-1}
h2{font-size:15px;margin:0 0 8px}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:5px 0;border-top:1px solid var(--row);text-align:right;vertical-align:top;font-weight:400}
th:first-child{text-align:left}
thead th{color:var(--muted);font-size:13px;border-top:0}
td+td,thead th+th,th+td{padding-left:16px}
td{white-space:nowrap}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,\"Liberation Mono\",monospace}
ul{margin:0;padding-left:20px;overflow-wrap:anywhere}
@media (max-width:720px){main{padding:12px 10px 24px}.columns{grid-template-columns:minmax(0,1fr)}.columns,.stack{gap:12px}section{padding:12px 14px}figure{margin-bottom:12px}}
@media screen and (max-width:720px){.wide{display:none}.narrow{display:block}}
@media print{body{background:none}main{max-width:none;padding:0}section,figure{break-inside:avoid}}
";

/// Of a failure's text, so much is shown: errors may carry what they were about.
const MOST_OF_A_FAILURE: usize = 500;

pub(super) fn write(picture: &Picture) -> String {
    let title = picture.title();
    let title = if title == UNNAMED { title } else { format!("{title}: {UNNAMED}") };
    let title = escape(&title);
    let (wide, narrow) = (svg::draw(picture, &svg::WIDE), svg::draw(picture, &svg::NARROW));
    let side = [time_use(picture), stages(picture)].concat();
    let side = format!("<div class=\"stack\">\n{side}</div>\n");
    let sections = [account(picture), failures(picture), totals(picture), side].concat();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <figure class=\"wide\">\n{wide}</figure>\n<figure class=\"narrow\">\n{narrow}</figure>\n\
         <div class=\"columns\">\n{sections}</div>\n</main>\n</body>\n</html>\n"
    )
}

fn section(class: &str, head: &str, content: &str) -> String {
    format!("<section{class}>\n<h2>{}</h2>\n{content}</section>\n", escape(head))
}

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

fn totals(picture: &Picture) -> String {
    let mut rows = vec![
        ("Items", scale::count(picture.items)),
        ("Batches", scale::count(picture.batches)),
        ("Time from start to end", Seconds(picture.seconds).to_string()),
        ("Items per second", scale::number(picture.items_per_second)),
        ("Threads", scale::count(picture.threads)),
        ("Speed against a plain loop", picture.speedup()),
        ("Budget", scale::bytes(picture.budget)),
        ("Most held of it", scale::bytes(picture.peak_held)),
    ];
    rows.extend(picture.peak_resident.map(|bytes| ("Most that resident memory grew", scale::bytes(bytes))));
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
    rows.extend(picture.figures.iter().cloned());
    let rows: Vec<_> = rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect();
    section("", "Totals", &table(&[], &rows))
}

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

fn stages(picture: &Picture) -> String {
    if picture.stages.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = (picture.stages.iter())
        .map(|stage| {
            vec![
                stage.name.to_owned(),
                scale::short_count(stage.items),
                scale::short_count(stage.failed),
                Seconds(svg::sound(stage.seconds_per_item)).to_string(),
                scale::bytes(stage.bytes_per_item),
                scale::bytes(stage.largest),
            ]
        })
        .collect();
    section("", "Stages", &table(&["", "items", "failed", "time each", "bytes each", "largest"], &rows))
}

fn account(picture: &Picture) -> String {
    section(" class=\"whole\"", "In words", &format!("<pre>{}</pre>\n", escape(&picture.account)))
}

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
    section(" class=\"whole\"", &head, &(list + "</ul>\n"))
}
