//! The library's folders are layers: each uses only those below it, and no two files use each
//! other. So a reader can take them from the first to the last. CONTRIBUTING.md draws them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest to the highest.
const ROOMS: [&str; 28] = [
    "units",
    "system",
    "error",
    "memory",
    "progress",
    "options",
    "policy",
    "buffer",
    "adapt",
    "plan",
    "report",
    "log",
    "store",
    "array",
    "code",
    "durable",
    "call",
    "output",
    "sink",
    "spill",
    "input",
    "execute",
    "run",
    "picture",
    "serialize",
    "guide",
    "private",
    "lib",
];

/// The files below `folder`, by the names of their modules, with their code, without comments and
/// tests.
fn files(folder: &Path, found: &mut BTreeMap<Vec<String>, String>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        if entry.is_dir() && name != "tests" {
            files(&entry, found);
        } else if entry.extension().is_some_and(|ext| ext == "rs") && !["tests", "loom"].contains(&name) {
            let text = fs::read_to_string(&entry).unwrap();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let code: Vec<_> = lines.take_while(|line| !line.starts_with("mod tests {")).collect();
            found.insert(module(&entry), code.join("\n"));
        }
    }
}

fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("amorsize/src").unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| name != "mod").collect()
}

/// The modules that a file uses: the longest part of each path that is one.
fn uses(own: &[String], code: &str, all: &BTreeMap<Vec<String>, String>) -> BTreeSet<Vec<String>> {
    let parent = &own[..own.len() - 1];
    let paths = |start: &'static str, base: Vec<String>| {
        code.match_indices(start).map(move |(at, _)| {
            let names =
                code[at + start.len()..].split("::").map(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_'));
            let names = names.map_while(|mut name| name.next().filter(|name| !name.is_empty()).map(String::from));
            base.iter().cloned().chain(names).collect::<Vec<_>>()
        })
    };
    let parents = code.matches("use super::").count();
    let used = paths("crate::", Vec::new()).chain(paths("use super::", parent.to_vec()).take(parents));
    let modules =
        used.filter_map(|path| (1..=path.len()).rev().map(|n| path[..n].to_vec()).find(|name| all.contains_key(name)));
    modules.filter(|used| used != own).collect()
}

fn code() -> BTreeMap<Vec<String>, String> {
    let mut found = BTreeMap::new();
    files(&PathBuf::from("amorsize/src"), &mut found);
    found
}

#[test]
fn a_folder_uses_only_those_below_it() {
    let all = code();
    let floor = |module: &[String]| {
        let found = ROOMS.iter().position(|room| module[0] == *room);
        found.unwrap_or_else(|| panic!("`{}` has no place in the order of the folders", module[0]))
    };
    for (own, code) in &all {
        for used in uses(own, code, &all) {
            assert!(floor(&used) <= floor(own), "{} uses {}, which is above it", own.join("/"), used.join("/"));
        }
    }
}

#[test]
fn no_files_use_each_other() {
    let all = code();
    let mut left: BTreeMap<_, _> = all.iter().map(|(own, code)| (own.clone(), uses(own, code, &all))).collect();
    // Removes each file that uses none of the files that are left. The others are in a circle, or
    // use one.
    while let Some(free) =
        left.iter().find(|(_, used)| !used.iter().any(|used| left.contains_key(used))).map(|(own, _)| own.clone())
    {
        left.remove(&free);
    }
    assert!(
        left.is_empty(),
        "in a circle, or above one: {:#?}",
        left.keys().map(|own| own.join("/")).collect::<Vec<_>>()
    );
}

#[test]
fn no_file_is_longer_than_600_lines() {
    fn check(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap();
            if entry.is_dir() && name != "target" && !name.starts_with('.') {
                check(&entry);
            } else if name.ends_with(".rs") {
                let lines = fs::read_to_string(&entry).unwrap().lines().count();
                assert!(lines <= 600, "{} has {lines} lines", entry.display());
            }
        }
    }
    check(Path::new("."));
}
