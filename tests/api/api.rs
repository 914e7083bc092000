//! `amorsize.txt` lists every public item with its signature, so that a review sees each change of
//! the API.
//!
//! `AMORSIZE_API=overwrite cargo test -p amorsize-api` accepts changes that are meant.

mod docs;

use std::collections::BTreeSet;
use std::{env, fs};

use public_api::Builder;

/// Traits that code can't name on a stable compiler.
const UNSTABLE: [&str; 3] = ["core::marker::Freeze", "core::marker::StructuralPartialEq", "core::marker::UnsafeUnpin"];

/// The trait of a line such as `impl<T> path::Trait<T> for Type`; `None` if the line is not such a
/// one.
fn implemented(line: &str) -> Option<&str> {
    let (mut rest, _) = line.strip_prefix("impl")?.split_once(" for ")?;
    // The parameters, which may have parameters themselves.
    let mut depth = 0;
    for (at, char) in rest.char_indices() {
        match char {
            '<' => depth += 1,
            // The `>` of an arrow does not count.
            '>' if !rest[..at].ends_with('-') => depth -= 1,
            ' ' if depth == 0 => {
                rest = &rest[at + 1..];
                break;
            }
            _ => {}
        }
    }
    rest.trim_start_matches(['!', '?']).split(['<', ' ']).next()
}

/// The path to a line's item, without its name: `amorsize::Type` for
/// `pub fn amorsize::Type<T>::open(&self)`.
fn parent(line: &str) -> String {
    let (mut path, mut depth) = (String::new(), 0);
    for char in line[line.find("amorsize").unwrap_or(line.len())..].chars() {
        match char {
            '<' => depth += 1,
            '>' => depth -= 1,
            ':' | '_' | 'a'..='z' | 'A'..='Z' | '0'..='9' if depth == 0 => path.push(char),
            _ if depth == 0 => break,
            _ => {}
        }
    }
    path.trim_end_matches(':').rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned())
}

/// The lines without traits that nobody can name. Each implementation is listed once, though both
/// its type and its trait have it, and without its functions, which the trait lists.
fn nameable(all: &[String]) -> String {
    let named = |kind: &str| -> BTreeSet<&str> {
        let paths = all.iter().filter_map(|line| line.strip_prefix(kind));
        paths.filter_map(|path| path.split(['<', ' ']).next()).map(|path| path.trim_end_matches(':')).collect()
    };
    let (modules, traits) = (named("pub mod "), named("pub trait "));
    let (mut listed, mut seen, mut listing, mut of_trait) = (String::new(), BTreeSet::new(), true, false);
    for line in all {
        if line.starts_with("impl") {
            of_trait = implemented(line).is_some();
            listing = implemented(line).is_none_or(|name| {
                let hidden = UNSTABLE.contains(&name) || name.starts_with("amorsize::") && !traits.contains(name);
                !hidden && seen.insert(line)
            });
        } else if modules.contains(parent(line).as_str()) || line == "pub mod amorsize" {
            (listing, of_trait) = (true, false);
        }
        if listing && !(of_trait && ["pub fn ", "pub const "].iter().any(|kind| line.starts_with(kind))) {
            listed += &format!("{line}\n");
        }
    }
    listed
}

/// Reading the docs' data takes the compiler for which `public-api` is made.
#[rustversion::attr(not(stable(1.95)), ignore = "the format of the docs' data is that of stable Rust 1.95")]
#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let api = Builder::from_rustdoc_json(docs::data()).omit_blanket_impls(true).build().unwrap();
    let now = nameable(&api.items().map(ToString::to_string).collect::<Vec<_>>());
    assert!(now.contains("pub fn amorsize::report::Report::to_svg(&self) -> alloc::string::String\n"));

    let file = docs::root().join("tests/api/amorsize.txt");
    if env::var_os("AMORSIZE_API").is_some_and(|value| value == "overwrite") {
        fs::write(&file, &now).unwrap();
    }
    let listed = fs::read_to_string(&file).unwrap_or_default();
    let only = |one: &str, other: &str, sign: char| -> String {
        let other: BTreeSet<&str> = other.lines().collect();
        one.lines().filter(|line| !other.contains(line)).map(|line| format!("{sign} {line}\n")).collect()
    };
    assert!(
        now == listed,
        "the public API is not the one of tests/api/amorsize.txt; if that is meant, write it by \
         `AMORSIZE_API=overwrite cargo test -p amorsize-api`:\n{}{}",
        only(&listed, &now, '-'),
        only(&now, &listed, '+'),
    );
}

#[test]
fn only_what_can_be_named_is_listed() {
    let lines = [
        "pub mod amorsize",
        "pub struct amorsize::Type<T>",
        "impl<T, F: core::ops::Fn(T) -> T> amorsize::inner::Hidden<T> for amorsize::Type<T>",
        "pub type amorsize::Type<T>::Gone = T",
        "impl<T> amorsize::Open for amorsize::Type<T>",
        "pub type amorsize::Type<T>::Item = T",
        "pub fn amorsize::Type<T>::open(&self)",
        "impl<T> core::marker::Freeze for amorsize::Type<T>",
        "pub trait amorsize::Open: core::marker::Send",
        "pub fn amorsize::Open::open(&self)",
        "impl<T> amorsize::Open for amorsize::Type<T>",
        "pub fn amorsize::Type<T>::open(&self)",
        "impl<T> amorsize::Type<T>",
        "pub fn amorsize::Type<T>::one(&self)",
        "impl<T> amorsize::Type<T>",
        "pub fn amorsize::Type<T>::other(&self)",
        "impl<T> amorsize::inner::Hidden<T> for u8",
        "pub fn amorsize::free(bytes: u64)",
    ];
    let expected = [0, 1, 4, 5, 8, 9, 12, 13, 14, 15, 17].map(|line| lines[line]).join("\n") + "\n";
    assert_eq!(nameable(&lines.map(String::from)), expected);
}
