//! Records of a database with large results: how each earthquake lies to every other one, and an embedding of its place.
//!
//! `cargo run --release --example database` works out 131 KiB for each of 1707 records, of which it stores a few figures in
//! `examples/output/database.sqlite`.

mod quakes;

use amorsize::{DeepSize, batched};
use rusqlite::Connection;

/// A record: its id, its place in words and as a direction from the centre of the earth, and its day, depth and magnitude.
type Quake = (i64, String, [f64; 3], [f64; 3]);

#[derive(DeepSize)]
struct Description {
    id: i64,
    /// Kilometres to every other earthquake, days from then to it, and how much deeper and stronger it was.
    features: Vec<[f64; 4]>,
    embedding: Vec<f32>,
}

/// The embedding adds up a random direction for each two to four letters that follow each other, so that names alike lie close.
#[batched(max_memory = 0.3)]
fn describe((id, place, at, figures): &Quake, all: &[Quake]) -> Description {
    let features = all.iter().map(|(_, _, there, others)| {
        let cosine = (0..3).map(|axis| at[axis] * there[axis]).sum::<f64>().clamp(-1.0, 1.0);
        let [days, deeper, stronger] = [0, 1, 2].map(|i| others[i] - figures[i]);
        [6371.0 * cosine.acos(), days, deeper, stronger]
    });
    let mut embedding = vec![0.0; 1 << 14];
    for letters in (2..=4).flat_map(|length| place.as_bytes().windows(length)) {
        let mut random = letters.iter().fold(1 << 32, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        for number in &mut embedding {
            // Xorshift (Marsaglia 2003).
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            *number += if random >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    Description { id: *id, features: features.collect(), embedding }
}

fn main() {}
