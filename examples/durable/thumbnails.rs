//! Thumbnails of a directory's photos, in a run that goes on where it was when its process was
//! killed.
//!
//! `cargo run --release -p amorsize-durable-examples --example thumbnails [-- PHOTOS [THUMBNAILS]]`
//! takes the photos of a directory, by default those in `examples/photos`, and writes a thumbnail
//! of each to another, by default `examples/output/thumbnails`. End it in any way, even by
//! `kill -9` or the power switch, and start it again: it does not repeat a photo that has a
//! thumbnail.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use amorsize::batched;
use image::{ImageResult, RgbImage};

#[batched(max_memory = 0.5, batch_size = 10, on_error = "skip")]
fn resize(path: PathBuf) -> ImageResult<RgbImage> {
    Ok(image::open(path)?.thumbnail(320, 180).into_rgb8())
}

fn main() -> Result<(), Box<dyn Error>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let photos = arguments.next().unwrap_or_else(|| beside.with_file_name("photos"));
    let output = arguments.next().unwrap_or_else(|| beside.with_file_name("output").join("thumbnails"));
    fs::create_dir_all(&output)?;

    let mut paths = Vec::new();
    for entry in fs::read_dir(&photos)? {
        paths.extend(
            Some(entry?.path()).filter(|path| path.extension().is_some_and(|end| end == "jpg" || end == "png")),
        );
    }
    // A directory has no order, and the next start must find the same items at the same indices.
    paths.sort();

    let report = resize_batched(paths).journal(output.join("journal")).try_for_each_batch(
        |batch| -> Result<(), Box<dyn Error>> {
            for (index, photo) in batch.indices().zip(batch) {
                // After a kill, the batch that was here and those of the last 100 ms come again,
                // and are written again.
                photo.save(output.join(format!("{index}.jpg")))?;
            }
            Ok(())
        },
    )?;
    println!("{} thumbnails made, {} were there, {} failed", report.items(), report.restored(), report.failed());
    report.failures().iter().for_each(|failure| println!("  {failure}"));
    Ok(())
}
