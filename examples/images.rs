//! Images in batches of 100: decodes each, scales it to 1280 x 720 and sharpens it, and makes each
//! batch a page of an album.
//!
//! `cargo run --release -p amorsize-examples --example images [DIRECTORY]` takes 300 parts of the
//! photos of a directory, by default `examples/photos`, and writes the pages to `examples/output`.
//! If half of the available memory does not hold a batch, the batch ends early.

#[path = "common/views.rs"]
mod views;

use std::error::Error;
use std::fs;
use std::path::Path;

use amorsize::{ByteSize, batched};
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};
use views::{View, views};

const COLUMNS: u32 = 10;

/// Processes one image. The attribute adds `process_batched`, which does it with many.
#[batched(max_memory = 0.5, batch_size = 100, on_error = "stop")]
fn process(view: View) -> ImageResult<RgbImage> {
    let scaled = imageops::resize(&view.open()?, 1280, 720, FilterType::Triangle);
    Ok(imageops::unsharpen(&scaled, 1.0, 2))
}

fn main() -> Result<(), Box<dyn Error>> {
    let output = Path::new(env!("CARGO_MANIFEST_DIR")).join("output");
    fs::create_dir_all(&output)?;

    // The run makes the next batches while one is with the sink, and frees a batch's memory when
    // the sink is done with it.
    let report = process_batched(views(300)?).try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
        let first = batch.first_index();
        let bytes = ByteSize::new(batch.iter().map(|image| image.len() as u64).sum());
        let mut page = RgbImage::new(COLUMNS * 128, (batch.len() as u32).div_ceil(COLUMNS) * 72);
        for (place, image) in (0..).zip(&batch) {
            let (x, y) = (place % COLUMNS * 128, place / COLUMNS * 72);
            imageops::replace(&mut page, &imageops::thumbnail(image, 128, 72), x.into(), y.into());
        }
        let path = output.join(format!("page-{first}.jpg"));
        page.save(&path)?;
        println!("{} images from {first} on, {bytes}: {}", batch.len(), path.display());
        Ok(())
    })?;
    println!("{report}");
    Ok(())
}
