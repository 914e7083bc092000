//! The picture of a run, and the page around it.

#[path = "common/folder.rs"]
mod folder;

use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Report, batched, on_error::Skip, process_in_batches};
use folder::Folder;
use roxmltree::{Document, ParsingOptions};

#[batched(max_memory = "64KiB", batch_size = 8, threads = 2)]
fn enlarge(item: u32) -> Result<Vec<u8>, String> {
    thread::sleep(Duration::from_millis(1));
    match item {
        7 => Err("<seven> & \u{1b}[1mothers\u{1b}[0m".to_owned()),
        _ => Ok(vec![0; 4096]),
    }
}

#[batched]
fn count(bytes: Vec<u8>) -> usize {
    bytes.len()
}

fn run() -> Report {
    enlarge_batched(0..100).on_error(Skip).for_each_batch(|_| thread::sleep(Duration::from_millis(1))).unwrap()
}

fn parse(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap_or_else(|error| panic!("{error}"))
}

/// All texts of elements with a name, including those of elements within them.
fn texts(document: &Document<'_>, name: &str) -> Vec<String> {
    let elements = document.descendants().filter(|node| node.has_tag_name(name));
    elements
        .map(|element| element.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect())
        .collect()
}

/// The number of elements with a class.
fn of_class(document: &Document<'_>, class: &str) -> usize {
    document.descendants().filter(|node| node.attribute("class") == Some(class)).count()
}

const SVG: &str = "http://www.w3.org/2000/svg";

#[test]
fn a_picture_is_well_formed_and_names_its_figures() {
    let report = run();
    let text = report.to_svg();
    let svg = parse(&text);
    let root = svg.root_element();
    assert!(root.has_tag_name((SVG, "svg")) && root.attribute("role") == Some("img"));
    let children: Vec<_> = root.children().filter(roxmltree::Node::is_element).take(2).collect();
    assert!(children[0].has_tag_name((SVG, "title")) && children[0].text() == Some("enlarge"));
    let told = children[1].text().unwrap();
    assert!(children[1].has_tag_name((SVG, "desc")));
    assert!(told.starts_with(&format!("99 items in {} batches in ", report.batches())), "{told}");
    assert!(told.contains("on 2 threads") && told.contains("of a budget of 64.0 KiB"), "{told}");

    let written = svg.descendants().filter(|node| node.has_tag_name((SVG, "text"))).filter_map(|node| node.text());
    let written: Vec<_> = written.collect();
    for figure in [
        "enlarge".to_owned(),
        "99".to_owned(),
        format!("items in {} batches", report.batches()),
        "held, of 64.0 KiB".to_owned(),
        report.peak_bytes().to_string(),
        format!("held, peak {}", report.peak_bytes()),
        "a loop, on 2 threads".to_owned(),
        "Bytes by deep size: exact for results · 1 item failed".to_owned(),
    ] {
        assert!(written.contains(&figure.as_str()), "{figure:?} is not in {written:?}");
    }
    // The picture has the budget's line if memory came near it. Resident memory may grow by more.
    assert!(written.iter().any(|text| text.starts_with("budget 64.0 KiB")), "{written:?}");
    let bands = of_class(&svg, "band") + of_class(&svg, "band-too");
    assert_eq!(bands, report.timeline().batches().len());
    // A run of 100 ms has several moments. The second line is the one beside its name in the key.
    assert!(report.timeline().moments().len() > 1);
    assert_eq!(of_class(&svg, "held-line"), 2);
}

#[test]
fn a_picture_needs_nothing_beside_it() {
    let report = run();
    for text in [report.to_svg(), report.to_html()] {
        let document = parse(&text);
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            assert!(!["script", "link", "img", "image", "iframe", "use"].contains(&node.tag_name().name()));
            let refers = |name: &str| ["href", "src", "onclick", "onload"].contains(&name);
            assert!(!node.attributes().any(|attribute| refers(attribute.name())));
        }
        for style in texts(&document, "style") {
            assert!(!style.contains("url(") && !style.contains("@import"));
        }
    }
}

#[test]
fn a_page_shows_figures_failures_and_what_there_is_to_say() {
    let report = run();
    let text = report.to_html();
    assert!(text.starts_with("<!DOCTYPE html>\n<html lang=\"en\""));
    let page = parse(&text);
    assert_eq!(texts(&page, "h1"), ["enlarge: amorsize run"]);
    assert_eq!(page.descendants().filter(|node| node.has_tag_name((SVG, "svg"))).count(), 2);
    let rows = texts(&page, "tr");
    for row in [
        "Items99".to_owned(),
        format!("Batches{}", report.batches()),
        "Threads2".to_owned(),
        "Budget64.0 KiB".to_owned(),
        format!("Most held of it{}", report.peak_bytes()),
        "Items that failed1".to_owned(),
        format!("Bytes of all results{}", report.result_bytes()),
    ] {
        assert!(rows.contains(&row), "{row:?} is not in {rows:?}");
    }
    assert_eq!(texts(&page, "li"), ["item 7 failed: <seven> & \u{fffd}[1mothers\u{fffd}[0m"]);
    assert_eq!(texts(&page, "pre"), [report.explain()]);
}

/// Item 30 takes by far the longest, and item 60 has the largest result.
#[batched(max_memory = "1MiB", threads = 2)]
fn uneven(item: u32) -> Vec<u8> {
    thread::sleep(Duration::from_millis(if item == 30 { 400 } else { 2 }));
    vec![0; if item == 60 { 20_000 } else { 1000 }]
}

/// The ranges of items that a section of the page names, such as `one of items 3 to 5`, each with
/// the text beside it.
fn named(report: &Report, head: &str) -> Vec<(RangeInclusive<u32>, String)> {
    let text = report.to_html();
    let page = parse(&text);
    let mut sections = page.descendants().filter(|node| node.has_tag_name("section"));
    let section = sections.find(|section| section.descendants().any(|node| node.text() == Some(head)));
    let rows = section.unwrap_or_else(|| panic!("no {head}")).descendants().filter(|node| node.has_tag_name("tr"));
    let texts = rows.map(|row| row.children().filter_map(|cell| cell.text()).collect::<Vec<_>>());
    let named = texts.map(|cells| {
        let numbers: Vec<u32> = cells[0].split(' ').filter_map(|word| word.parse().ok()).collect();
        (numbers[0]..=*numbers.last().unwrap(), cells[1].to_owned())
    });
    named.collect()
}

#[test]
fn a_page_names_the_largest_result() {
    let report = uneven_batched(0..100).for_each_batch(|_| ()).unwrap();
    let largest = named(&report, "Largest results, by their items' indices");
    assert!(largest[0].0.contains(&60) && largest[0].1.starts_with("19.6 KiB"), "{largest:?}");
}

#[test]
fn a_page_names_the_slowest_items() {
    let begun = Instant::now();
    loop {
        let report = uneven_batched(0..100).for_each_batch(|_| ()).unwrap();
        let slowest = named(&report, "Slowest items, by their indices");
        assert!((1..=3).contains(&slowest.len()), "{slowest:?}");
        // On a busy machine other calls may take longer still.
        if slowest.iter().any(|(items, _)| items.contains(&30)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "{slowest:?}");
    }
}

#[test]
fn a_page_tells_what_all_results_at_once_would_have_taken() {
    let report = uneven_batched(0..100).for_each_batch(|_| ()).unwrap();
    let text = report.to_html();
    let page = parse(&text);
    let rows = texts(&page, "tr");
    assert!(rows.contains(&format!("Memory, at most{}{}", report.result_bytes(), report.peak_bytes())), "{rows:?}");
    for start in ["Began20", "System", "Cores for the process", "Memory of the machine"] {
        assert!(rows.iter().any(|row| row.starts_with(start)), "no {start} in {rows:?}");
    }
    assert!(rows.iter().any(|row| row.starts_with("Version of amorsize")), "{rows:?}");
}

#[test]
fn stages_are_shown() {
    let mut run = process_in_batches(|item: u32| vec![1_u8; item as usize], 1..500).then(count_batched);
    let report = run.for_each_batch(|_| ()).unwrap();
    let (svg, page) = (report.to_svg(), report.to_html());
    let (svg, page) = (parse(&svg), parse(&page));
    assert_eq!(texts(&svg, "title")[0], "closure → count");
    let written = texts(&svg, "text");
    assert!(written.iter().any(|text| text == "closure") && written.iter().any(|text| text == "count"), "{written:?}");
    let rows = texts(&page, "tr");
    assert!(
        rows.iter().any(|row| row.starts_with("closure499")) && rows.iter().any(|row| row.starts_with("count499")),
        "{rows:?}"
    );
}

#[test]
fn a_run_that_was_over_at_once_says_so() {
    let report = process_in_batches(|item: u32| item + 1, 0..2).for_each_batch(|_| ()).unwrap();
    let text = report.to_svg();
    let svg = parse(&text);
    assert_eq!(texts(&svg, "title")[0], "amorsize run");
    let says = texts(&svg, "text").iter().any(|text| text.starts_with("The run was over before anything was noted"));
    assert_eq!(says, report.timeline().moments().is_empty());
    let empty = process_in_batches(|item: u32| item + 1, 0..0).for_each_batch(|_| ()).unwrap();
    parse(&empty.to_svg());
    parse(&empty.to_html());
}

#[test]
fn restored_items_are_told_and_count_in_the_pace() {
    let folder = Folder::new("picture_of_restored_items");
    let run = || enlarge_batched(0..100).on_error(Skip).checkpoint(folder.file("runs")).for_each_batch(|_| ()).unwrap();
    run();
    let report = run();
    assert_eq!((report.items(), report.restored()), (99, 99));
    // The failed item was called again.
    let items = report.items_per_second() * report.seconds();
    assert!((items - 100.0).abs() < 1e-6, "{items}");
    let (svg, page) = (report.to_svg(), report.to_html());
    let told = texts(&parse(&svg), "text").into_iter().find(|text| text.starts_with("Bytes by")).unwrap();
    assert!(told.ends_with(" \u{b7} 99 items restored \u{b7} 1 item failed"), "{told}");
    assert!(page.contains("Items restored from an earlier run"));
}
