//! Where the time of a run went, what its report advises, and what that changes: for a slow sink, and for a tight budget.
//!
//! `cargo run --release --example profile [DIRECTORY]` makes small images and PNG files of 60 parts of photos.

#[path = "common/views.rs"]
mod views;

use std::error::Error;

use amorsize::{Report, batched};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageResult, RgbImage, imageops};
use views::{View, views};

/// Two threads, so that the shares of time below are alike on machines of two cores and more.
#[batched(max_memory = "8MiB", threads = 2, on_error = "stop")]
fn scale(view: View) -> ImageResult<RgbImage> {
    Ok(imageops::resize(&view.open()?, 640, 360, imageops::FilterType::Triangle))
}

/// Bytes that the image takes as a PNG file.
fn compress(image: &RgbImage) -> ImageResult<usize> {
    let mut file = Vec::new();
    image.write_with_encoder(PngEncoder::new_with_quality(
        &mut file,
        CompressionType::Default,
        FilterType::Adaptive,
    ))?;
    Ok(file.len())
}

/// What the report of the run with the slow sink advises: the function compresses, and the threads share that work.
#[batched(max_memory = "8MiB", threads = 2, on_error = "stop")]
fn scale_and_compress(view: View) -> ImageResult<usize> {
    compress(&scale(view)?)
}

fn compare(what: &str, before: &Report, after: &Report) {
    let calls = |report: &Report| 100.0 * report.time_use().calls() / report.time_use().total();
    println!("{what}\n{}\n", before.explain());
    println!("changed: {:.0} % of the threads' time in calls, before {:.0} %", calls(after), calls(before));
    println!("changed: {:.2} s, before {:.2} s\n", after.seconds(), before.seconds());
}

fn main() -> Result<(), Box<dyn Error>> {
    let views = views(60)?;
    let mut size = 0;
    let mut slow = scale_batched(views.clone());
    println!("{}\n", slow.plan()?.explain());
    let slow = slow.try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
        size += batch.iter().map(compress).sum::<ImageResult<usize>>()?;
        Ok(())
    })?;
    let quick =
        scale_and_compress_batched(views.clone()).for_each_batch(|batch| size -= batch.iter().sum::<usize>())?;
    compare("A slow sink", &slow, &quick);

    let tight = scale_batched(views.clone()).max_memory("1MiB").for_each_batch(drop)?;
    let roomy = scale_batched(views).for_each_batch(drop)?;
    compare("A tight budget", &tight, &roomy);
    Ok(())
}
