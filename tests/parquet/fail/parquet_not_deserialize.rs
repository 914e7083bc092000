use amorsize::process_in_batches;
use amorsize::sink::Parquet;
use serde::Serialize;

#[derive(Serialize)]
struct Word {
    letters: u32,
}

fn main() {
    let word = |letters| Word { letters };
    let _ = process_in_batches(word, 0..3).write_to(Parquet::new("words.parquet"));
}
