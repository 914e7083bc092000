//! Results of many small allocations, which a sink on the calling thread frees: parsed documents
//! and words of lines. What they cost depends on the allocator more than on anything else.

use std::fmt::Write;

use amorsize::batched;
use serde_json::Value;

/// Texts for all items of a row, which take turns: they don't fit a second-level cache, and take no
/// memory that matters beside results.
const TEXTS: usize = 4096;

/// Documents of 2 KiB: a record with texts, numbers, labels and two records within it.
pub(crate) fn documents() -> Vec<String> {
    (0..TEXTS).map(document).collect()
}

fn document(seed: usize) -> String {
    let mut text = format!("{{\"id\": {seed}, \"name\": \"record {seed}\", \"labels\": [\"first\"");
    for label in 0..24 {
        write!(text, ", \"label {}\"", (seed + 7 * label) % 1000).expect("a String takes everything");
    }
    text += "], \"values\": [0.5";
    for value in 0..40 {
        write!(text, ", {}.25", (seed * 31 + value * 17) % 10_000).expect("a String takes everything");
    }
    for (name, words) in [("from", 4), ("to", 6)] {
        let words = format!("word {seed} ").repeat(words);
        write!(
            text,
            "], \"{name}\": {{\"name\": \"{words}\", \"at\": [{seed}.5, -0.25], \"known\": true}}, \"{name} too\": [1"
        )
        .expect("a String takes everything");
    }
    for line in 0..8 {
        write!(text, "], \"line {line}\": [\"{}\"", format!("line {line} of {seed} ").repeat(1 + line))
            .expect("a String takes everything");
    }
    text + "]}"
}

#[batched]
pub(crate) fn parse(index: usize, texts: &[String]) -> Value {
    serde_json::from_str(&texts[index % texts.len()]).expect("a document")
}

/// Lines of ten words.
pub(crate) fn lines() -> Vec<String> {
    const WORDS: [&str; 16] = [
        "the", "memory", "of", "a", "machine", "is", "never", "large", "enough", "for", "all", "results", "that",
        "people", "would", "keep",
    ];
    let word = |seed: usize, place: usize| WORDS[(seed * 7 + place * (3 + seed % 5)) % WORDS.len()];
    (0..TEXTS).map(|seed| (0..10).map(|place| word(seed, place)).collect::<Vec<_>>().join(" ")).collect()
}

#[batched]
pub(crate) fn words(index: usize, texts: &[String]) -> Vec<String> {
    texts[index % texts.len()].split_whitespace().map(str::to_owned).collect()
}
