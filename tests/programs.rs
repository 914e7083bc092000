//! Every program of the README, the guide and the attribute's page is a whole file. Pasted into a
//! new package with the dependencies of the README, or with those that the program's own page shows
//! beside it, it compiles without a warning.
//!
//! A block of Rust is a program unless it is marked `ignore`, as a call in the middle of a sentence
//! is, or `compile_fail`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of `[dependencies]`, by the name of the crate.
type Dependencies = BTreeMap<String, String>;

/// A block of a page between its fences.
struct Block {
    language: String,
    text: String,
    line: usize,
}

struct Program {
    /// A page and a line of it, as the name of a file.
    name: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README, and every file of the docs with pages in it.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md"), root().join("amorsize/src/lib.rs")];
    for folder in ["amorsize/src", "amorsize/src/guide"] {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages.sort();
    pages
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        // In a file of Rust only the docs count.
        let line = line.strip_prefix("//! ").unwrap_or(line);
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{}\n", line.strip_prefix("//!").unwrap_or(line)),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block has no end");
    blocks
}

/// The dependencies that the blocks of a page name, with amorsize as it is here.
fn dependencies(blocks: &[Block]) -> Dependencies {
    let here = format!("path = '{}'", root().join("amorsize").display());
    let lines = blocks.iter().filter(|block| block.language == "toml").flat_map(|block| block.text.lines());
    let named = lines.filter_map(|line| line.split_once(" = ")).map(|(name, line)| {
        let line = if name == "amorsize" { line.replace("version = \"0.1\"", &here) } else { line.to_owned() };
        (name.to_owned(), line)
    });
    named.collect()
}

/// True if the block is a program; complains of one that is not whole.
fn is_program(block: &Block, place: &str) -> bool {
    let mut marks = block.language.split(',');
    let language = marks.next().unwrap_or_default();
    let marks: Vec<&str> = marks.collect();
    if !matches!(language, "" | "rust" | "no_run" | "should_panic" | "ignore" | "compile_fail") {
        return false;
    }
    let whole = block.text.contains("fn main()");
    if marks.contains(&"ignore") || marks.contains(&"compile_fail") {
        return whole && !marks.contains(&"compile_fail");
    }
    assert!(language == "rust", "{place}: say of what language the block is: `rust`, `text` or another");
    assert!(whole, "{place}: this has no `fn main`: make it a whole file, or mark it `rust,ignore`");
    let hidden = block.text.lines().find(|line| *line == "#" || line.starts_with("# "));
    assert_eq!(hidden, None, "{place}: who pastes this gets a line that the docs hide");
    true
}

/// All programs, by their dependencies.
fn programs() -> Vec<(Dependencies, Vec<Program>)> {
    let readme = dependencies(&blocks(&fs::read_to_string(root().join("README.md")).unwrap()));
    assert!(readme.contains_key("amorsize"), "the README doesn't say how to install it");
    let mut packages: Vec<(Dependencies, Vec<Program>)> = Vec::new();
    for path in pages() {
        let page = path.file_stem().unwrap().to_string_lossy().to_lowercase();
        let blocks = blocks(&fs::read_to_string(&path).unwrap());
        let mut named = readme.clone();
        named.extend(dependencies(&blocks));
        for block in blocks {
            if !is_program(&block, &format!("{}:{}", path.display(), block.line)) {
                continue;
            }
            let program = Program { name: format!("{page}_{:04}", block.line), text: block.text };
            match packages.iter_mut().find(|(dependencies, _)| *dependencies == named) {
                Some((_, programs)) => programs.push(program),
                None => packages.push((named.clone(), vec![program])),
            }
        }
    }
    packages
}

/// Writes a file, unless it has that text already, so that cargo sees no change.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Removes the entries that another version of the docs has left in a folder.
fn keep_only(folder: &Path, names: &[String]) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        if !names.iter().any(|name| *name == entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[test]
fn every_program_of_the_docs_compiles_when_pasted() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    let packages = programs();
    let count: usize = packages.iter().map(|(_, programs)| programs.len()).sum();
    assert!(count > 60, "only {count} programs were found");
    let mut members = Vec::new();
    for (number, (dependencies, programs)) in packages.iter().enumerate() {
        let member = format!("package-{number}");
        let sources = folder.join(&member).join("src/bin");
        let names: Vec<String> = programs.iter().map(|program| format!("{}.rs", program.name)).collect();
        keep_only(&sources, &names);
        for (name, program) in names.iter().zip(programs) {
            write(&sources.join(name), &program.text);
        }
        let lines: Vec<String> = dependencies.iter().map(|(name, line)| format!("{name} = {line}\n")).collect();
        let manifest = format!(
            "[package]\nname = \"{member}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [lints.rust]\nwarnings = \"deny\"\n\n[dependencies]\n{}",
            lines.concat()
        );
        write(&folder.join(&member).join("Cargo.toml"), &manifest);
        members.push(member);
    }
    write(&folder.join("Cargo.toml"), &format!("[workspace]\nresolver = \"3\"\nmembers = {members:?}\n"));
    // Uses the versions of crates that are here already.
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut failed = String::new();
    for member in &members {
        // One by one: together, each would have the features of all.
        let output = Command::new(env!("CARGO"))
            .current_dir(&folder)
            // A hundred small programs, each checked once: the data for checking them again fills
            // the disk.
            .env("CARGO_INCREMENTAL", "0")
            .args(["check", "--quiet", "--offline", "--keep-going", "--bins", "-p", member, "--target-dir", "target"])
            .output()
            .unwrap();
        if !output.status.success() {
            failed += &String::from_utf8_lossy(&output.stderr);
        }
    }
    assert!(failed.is_empty(), "{failed}");
}
