//! Reads a plan before following it: if it warns that the results don't fit, takes them in batches,
//! otherwise in one `Vec`.
//!
//! `cargo run --release -p amorsize-examples --example warnings [DIRECTORY]` looks for the most
//! colourful of 120 parts of photos, 316 MiB in all, with a budget that is too small and with one
//! that is not.

#[path = "common/views.rs"]
mod views;

use std::error::Error;

use amorsize::{ByteSize, Warning, batched};
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};
use views::{View, views};

/// Decodes and scales a part of a photo.
#[batched(on_error = "stop")]
fn scale(view: View) -> ImageResult<RgbImage> {
    Ok(imageops::resize(&view.open()?, 1280, 720, FilterType::Triangle))
}

/// The mean difference between red and blue.
fn colour(image: &RgbImage) -> u64 {
    image.pixels().map(|pixel| u64::from(pixel[0].abs_diff(pixel[2]))).sum::<u64>() / u64::from(1280 * 720_u32)
}

fn main() -> Result<(), Box<dyn Error>> {
    let views = views(120)?;
    for budget in [ByteSize::mib(128), ByteSize::gib(1)] {
        println!("a budget of {budget}");
        let mut run = scale_batched(views.clone()).max_memory(budget);
        let warnings = run.plan()?.warnings();
        let warning = warnings.iter().find(|warning| warning.code() == Warning::RESULTS_EXCEED_BUDGET);

        // The plan's sample is part of the run, so its results are not computed again.
        let mut colours = Vec::with_capacity(views.len());
        let way = if let Some(warning) = warning {
            println!("warning: {warning}");
            let report = run.for_each_batch(|batch| colours.extend(batch.iter().map(colour)))?;
            println!("{report}");
            "by batches"
        } else {
            let images: Vec<RgbImage> = run.collect()?;
            colours.extend(images.iter().map(colour));
            "collected"
        };
        let most = (0..).zip(&colours).max_by_key(|(_, colour)| **colour);
        let (index, colour): (usize, _) = most.ok_or("no photos")?;
        println!("{way}: of {} the most colourful is number {index}, with {colour}\n", colours.len());
    }
    Ok(())
}
