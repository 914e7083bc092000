//! Plans, reports and progress as JSON.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use amorsize::{Progress, batched, on_error::Skip};
use serde_json::Value;

// A budget so small that the plan warns.
#[batched(max_memory = "3KiB", batch_size = 10)]
fn measure(item: u32) -> Result<Vec<u8>, String> {
    thread::sleep(Duration::from_micros(200));
    match item {
        7 => Err("seven".to_owned()),
        9 => panic!("nine"),
        _ => Ok(vec![1; 1000]),
    }
}

#[batched]
fn count(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// The keys of a value, as `outer.inner`; those within a list as `list[].inner`.
fn keys(value: &Value, name: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            keys(value, &name, all);
            all.insert(name);
        }),
        Value::Array(values) => values.iter().for_each(|value| keys(value, &format!("{name}[]"), all)),
        _ => {}
    }
}

/// The keys that the page on JSON lists under a heading, in the first column of its tables.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = include_str!("../amorsize/src/guide/json.md");
    let section = page.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).expect(heading);
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

#[test]
fn the_keys_are_those_that_are_documented() {
    let (told, progress) = mpsc::channel();
    let tell = move |progress: &Progress| told.send(serde_json::to_value(progress).unwrap()).unwrap();
    let mut run = measure_batched(0..100)
        .on_error(Skip)
        .then(count_batched)
        .on_panic(amorsize::OnPanic::Collect)
        .threads(2)
        .progress(tell);
    let plan = serde_json::to_value(run.plan().unwrap()).unwrap();
    let mut kept = Vec::new();
    let report = run.for_each_batch(|_| kept.push(vec![1; 1 << 20])).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    let report_value: Value = serde_json::from_str(&text).unwrap();

    for (heading, value) in
        [("Plan", &plan), ("Report", &report_value), ("Progress", &progress.try_iter().last().unwrap())]
    {
        let mut found = BTreeSet::new();
        keys(value, "", &mut found);
        assert_eq!(found, documented(heading), "{heading}");
        assert_eq!(value["schema"], 1);
    }

    // The warning is about the process, which has grown by more than 3 KiB.
    assert_eq!(report_value["warnings"][0]["code"], "resident-over-budget");
    assert_eq!(
        (&report_value["items"], &report_value["failed"], &report_value["panicked"]),
        (&98.into(), &1.into(), &1.into())
    );
    assert_eq!(report_value["failures"][0]["error"], "seven");
    assert_eq!(report_value["panics"][0], serde_json::json!({ "item": 9, "error": null, "panic": "nine" }));
    assert_eq!(report_value["budget"], 3 << 10);
    assert_eq!(report_value["timeline"]["moments"].as_array().unwrap().len(), report.timeline().moments().len());
    assert_eq!(report_value["stages"][1]["name"], "count");
}

#[test]
fn numbers_are_finite_whatever_the_run() {
    // JSON has no NaN: serde_json writes null for it.
    for items in [0, 1, 5] {
        let report = measure_batched(0..items).for_each_batch(|_| ()).unwrap();
        let value = serde_json::to_value(&report).unwrap();
        let nulls: Vec<_> = value
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, value)| value.is_null())
            .map(|(key, _)| key.as_str())
            .collect();
        assert!(
            nulls.iter().all(|key| ["peak_resident", "allocator_bytes", "waiting_share"].contains(key)),
            "{items}: {nulls:?}"
        );
    }
}
