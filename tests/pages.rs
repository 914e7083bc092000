//! The pages for readers and contributors are true of the repository: files are there, links lead
//! somewhere, and the short pages stay short.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// The files in a folder and the folders below it with names that end in `end`.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path, end) } else { vec![path] })
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect()
}

/// Two minutes are enough for a first reading.
#[test]
fn the_readme_has_at_most_900_words() {
    let words = read("README.md").split_whitespace().count();
    assert!(words <= 900, "{words} words");
}

/// The page fits two screens.
#[test]
fn the_page_for_contributors_has_at_most_120_lines() {
    let lines = read("CONTRIBUTING.md").lines().count();
    assert!(lines <= 120, "{lines} lines");
}

/// Links to files, and to pages of the guide on docs.rs.
#[test]
fn links_lead_to_what_is_there() {
    const DOCS: &str = "https://docs.rs/amorsize/latest/amorsize/";
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        "amorsize/benches/FIGURES.md",
        "amorsize/docs/testing.md",
    ];
    for page in pages {
        let text = read(page);
        let inline = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let below = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split("]: ").nth(1));
        for link in inline.chain(below) {
            let target = link.split('#').next().unwrap();
            let file = match target.strip_prefix(DOCS) {
                Some("guide/" | "attr.batched.html") => continue,
                Some(page) => {
                    let name = page.strip_prefix("guide/").map(|name| name.trim_end_matches('/')).unwrap_or(page);
                    root().join("amorsize/src/guide").join(name).with_extension("md")
                }
                None if target.starts_with("https://") || target.is_empty() => continue,
                None => root().join(page).parent().unwrap().join(target),
            };
            assert!(file.exists(), "{page} links to {link}, but there is no {}", file.display());
        }
    }
}

/// Programs, tables and links may be wider.
#[test]
fn text_fits_100_columns() {
    let folders = ["amorsize/benches", "amorsize/docs", "amorsize/src", "amorsize-macros", "tests"];
    let in_folders = folders.iter().flat_map(|folder| files(&root().join(folder), ".md"));
    let pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md"];
    for page in pages.map(|page| root().join(page)).into_iter().chain(in_folders) {
        let mut in_program = false;
        for (number, line) in (1..).zip(fs::read_to_string(&page).unwrap().lines()) {
            let is_fence = line.trim_start().starts_with("```");
            in_program ^= is_fence;
            let may_be_wide =
                in_program || is_fence || line.starts_with('|') || line.contains("](") || line.contains("]: ");
            assert!(may_be_wide || line.chars().count() <= 100, "{}:{number}: {line}", page.display());
        }
    }
}

/// The picture of the folders, and every file that a page names by its path.
#[test]
fn files_that_contributors_are_told_of_are_there() {
    let text = read("CONTRIBUTING.md");
    let picture = text.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let mut folders: Vec<&str> = Vec::new();
    for line in picture.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        // Deeper lines go on with the sentence above them.
        if depth > 2 {
            continue;
        }
        folders.truncate(depth);
        // Two spaces separate a line's names from its description.
        let names = line.trim_start().split("  ").next().unwrap();
        let names: Vec<&str> = names.split(", ").map(|name| name.trim_end_matches(" ..")).collect();
        for name in &names {
            let path = root().join(folders.concat()).join(name);
            assert!(path.exists(), "there is no {}", path.display());
        }
        folders.extend(names.first());
    }
    for page in ["CONTRIBUTING.md", "amorsize/docs/testing.md"] {
        let text = read(page);
        let named = text.split('`').skip(1).step_by(2).filter(|name| name.contains('/') && !name.contains(' '));
        for path in named.filter(|path| {
            ["tests/", "ui-tests/", "examples/", "amorsize", ".ci/"].iter().any(|folder| path.starts_with(folder))
        }) {
            // An example makes this file, and it is not committed.
            assert!(path.starts_with("examples/output/") || root().join(path).exists(), "{page}: there is no {path}");
        }
    }
}

/// The lint is an error unless a module allows it; these do, each with its reason.
#[test]
fn unsafe_code_stands_in_few_modules() {
    let source = root().join("amorsize/src");
    let mut found: Vec<String> = files(&source, ".rs")
        .into_iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains("unsafe_code"))
        .map(|path| path.strip_prefix(&source).unwrap().to_string_lossy().replace('\\', "/"))
        .collect();
    found.sort();
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"deny\"\n"));
    assert_eq!(found, ["buffer/mod.rs", "execute/pool/gate.rs", "memory/tracking/mod.rs", "system/calls.rs"]);
}
