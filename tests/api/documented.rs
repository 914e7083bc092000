//! Every public item of the crate has an example: in its own docs, or in those of its type or of a
//! page that it names.

mod docs;

use std::collections::HashSet;
use std::fs;

use serde_json::Value;

/// The format of the data changes between versions of the compiler.
#[rustversion::attr(not(stable(1.95)), ignore = "the format of the docs' data is that of stable Rust 1.95")]
#[test]
fn every_public_item_has_an_example() {
    let docs = fs::read_to_string(docs::data()).unwrap();
    let docs: Value = serde_json::from_str(&docs).unwrap();
    let mut items = Items { index: &docs["index"], seen: HashSet::new(), without: Vec::new() };
    for id in list(&items.index[&docs["root"].to_string()]["inner"]["module"]["items"]) {
        items.visit(id, "amorsize", "");
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
    /// Visits an item and its members. An example in `parent_docs` that calls a method is its own.
    fn visit(&mut self, id: &'a Value, parent: &str, parent_docs: &str) {
        let item = &self.index[&id.to_string()];
        let Some((kind, inner)) = item["inner"].as_object().and_then(|inner| inner.iter().next()) else { return };
        match kind.as_str() {
            "use" => return self.visit(&inner["id"], parent, parent_docs),
            // Items of another crate, and those for the attribute alone.
            _ if item["crate_id"] != 0 || item["name"] == "__private" => return,
            _ if !self.seen.insert(id.to_string()) => return,
            _ => {}
        }
        let name = item["name"].as_str().unwrap_or_default();
        let path = format!("{parent}::{name}");
        let docs = item["docs"].as_str().unwrap_or_default();
        let has_example = docs.contains("```") || docs.contains("# Examples\n\nSee [");
        // A module of modules needs none.
        if kind != "module" && !has_example && !parent_docs.contains(&format!(".{name}(")) {
            self.without.push(format!("{kind} {path}"));
        }
        for member in list(&inner["items"]) {
            self.visit(member, &path, docs);
        }
        for implementation in list(&inner["impls"]) {
            let implementation = &self.index[&implementation.to_string()]["inner"]["impl"];
            if !implementation["trait"].is_null() {
                continue;
            }
            for member in list(&implementation["items"]) {
                if self.index[&member.to_string()]["visibility"] == "public" {
                    self.visit(member, &path, docs);
                }
            }
        }
    }
}
