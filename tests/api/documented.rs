//! Every public item of the crate has an example in its docs, methods and constants too.

mod docs;

use std::collections::HashSet;
use std::fs;

use serde_json::Value;

/// The format of the data changes between versions of the compiler.
#[rustversion::attr(not(stable(1.95)), ignore = "the format of the docs' data is that of stable Rust 1.95")]
#[test]
#[ignore = "some getters have only the example of their type"]
fn every_public_item_has_an_example() {
    let docs = fs::read_to_string(docs::data()).unwrap();
    let docs: Value = serde_json::from_str(&docs).unwrap();
    let mut items = Items { index: &docs["index"], seen: HashSet::new(), without: Vec::new() };
    for id in list(&items.index[&docs["root"].to_string()]["inner"]["module"]["items"]) {
        items.visit(id, "amorsize");
    }
    assert!(items.seen.len() > 100, "only {} items were found", items.seen.len());
    assert!(items.without.is_empty(), "without an example:\n{}", items.without.join("\n"));
}

struct Items<'a> {
    index: &'a Value,
    seen: HashSet<String>,
    without: Vec<String>,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl<'a> Items<'a> {
    fn visit(&mut self, id: &'a Value, parent: &str) {
        let item = &self.index[&id.to_string()];
        let Some((kind, inner)) = item["inner"].as_object().and_then(|inner| inner.iter().next()) else { return };
        match kind.as_str() {
            "use" => return self.visit(&inner["id"], parent),
            // Items of another crate, and those for the attribute alone.
            _ if item["crate_id"] != 0 || item["name"] == "__private" => return,
            _ if !self.seen.insert(id.to_string()) => return,
            _ => {}
        }
        let path = format!("{parent}::{}", item["name"].as_str().unwrap_or_default());
        // A module of modules needs none.
        if kind != "module" && !item["docs"].as_str().is_some_and(|docs| docs.contains("```")) {
            self.without.push(format!("{kind} {path}"));
        }
        for member in list(&inner["items"]) {
            self.visit(member, &path);
        }
        for implementation in list(&inner["impls"]) {
            let implementation = &self.index[&implementation.to_string()]["inner"]["impl"];
            if !implementation["trait"].is_null() {
                continue;
            }
            for member in list(&implementation["items"]) {
                if self.index[&member.to_string()]["visibility"] == "public" {
                    self.visit(member, &path);
                }
            }
        }
    }
}
