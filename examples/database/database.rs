//! Large results for records of a database: each earthquake beside all others, and an embedding.
//!
//! `cargo run --release -p amorsize-database --example database` works out 104 KiB for each of 1707
//! records, and stores the part that it wants to know.

mod quakes;

use std::error::Error;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use amorsize::{DeepSize, batched};

/// Id, place in words, latitude and longitude in degrees, day, magnitude.
type Quake = (i64, String, f64, f64, f64, f64);

#[derive(DeepSize)]
struct Description {
    /// For each earthquake: the kilometres to it, the days until it, and how much stronger it was.
    features: Vec<[f64; 3]>,
    /// Counts of the place's runs of two to four letters, each at an index from its hash.
    embedding: Vec<f32>,
}

#[batched(max_memory = 0.3)]
fn describe((_, place, latitude, longitude, day, magnitude): &Quake, all: &[Quake]) -> Description {
    let features = all.iter().map(|(_, _, north, east, then, stronger)| {
        let [from, to, turn] = [*latitude, *north, east - longitude].map(f64::to_radians);
        let cosine = from.sin() * to.sin() + from.cos() * to.cos() * turn.cos();
        [6371.0 * cosine.clamp(-1.0, 1.0).acos(), then - day, stronger - magnitude]
    });
    let mut embedding = vec![0.0; 16_384];
    for letters in (2..=4).flat_map(|count| place.as_bytes().windows(count)) {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(letters);
        embedding[hash as usize % 16_384] += 1.0;
    }
    Description { features: features.collect(), embedding }
}

fn main() -> Result<(), Box<dyn Error>> {
    let database = quakes::open("database.sqlite", "description (id PRIMARY KEY, near, alike)", |_, _| Ok(()))?;
    let columns = "id, CAST(place AS TEXT), latitude, longitude, julianday(time), magnitude";
    let mut records = database.prepare(&format!("SELECT {columns} FROM quake ORDER BY magnitude DESC"))?;
    let quakes: Vec<Quake> = records.query_map([], |row| row.try_into())?.collect::<Result<_, _>>()?;
    let strongest = describe(&quakes[0], &quakes);
    let report = describe_batched(&quakes, &quakes).try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
        let all = database.unchecked_transaction()?;
        for (quake, Description { features, embedding }) in quakes[batch.first_index()..].iter().zip(batch) {
            let near = features.iter().filter(|[km, days, _]| *km < 100.0 && days.abs() < 1.0).count() - 1;
            let alike: f32 = embedding.iter().zip(&strongest.embedding).map(|(a, b)| a.min(*b)).sum();
            all.execute("INSERT OR REPLACE INTO description VALUES (?, ?, ?)", (quake.0, near as i64, alike))?;
        }
        Ok(all.commit()?)
    })?;
    let figures = "SELECT count(*), max(near), sum(alike > 50) FROM description";
    let (stored, near, alike): (u32, u32, u32) = database.query_row(figures, [], |row| row.try_into())?;
    println!("{stored} records stored; at most {near} earthquakes within 100 km and a day of one");
    println!("{alike} were at places like that of the strongest, {}\n{report}", quakes[0].1);
    Ok(())
}
