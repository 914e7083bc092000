//! The time use of a run, its report's advice, and what that changes: slow sink and tight budget.
//!
//! `cargo run --release -p amorsize-examples --example profile [DIRECTORY]` makes small PNG files
//! of photos, and writes pages with pictures of the two runs to `examples/output`.

#[path = "common/views.rs"]
mod views;

use std::error::Error;
use std::fs;

use amorsize::{Report, batched};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageResult, RgbImage, imageops};
use views::{View, views};

const OUTPUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/output");

/// Two threads, so that all machines with two cores or more show similar shares of time below.
#[batched(max_memory = "8MiB", threads = 2, on_error = "stop")]
fn scale(view: View) -> ImageResult<RgbImage> {
    Ok(imageops::resize(&view.open()?, 640, 360, imageops::FilterType::Triangle))
}

fn compress(image: &RgbImage) -> ImageResult<Vec<u8>> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Default, FilterType::Adaptive);
    image.write_with_encoder(encoder)?;
    Ok(file)
}

/// Leaves less work to the sink: here the calls compress, two at a time.
#[batched(max_memory = "8MiB", threads = 2, on_error = "stop")]
fn scale_and_compress(view: View) -> ImageResult<Vec<u8>> {
    compress(&scale(view)?)
}

fn compare(what: &str, before: &Report, after: &Report) -> std::io::Result<()> {
    println!("\n{what}: {}", before.explain());
    let calls = |report: &Report| 100.0 * report.time_use().calls() / report.time_use().total();
    println!("{what}, changed: {:.0} % of the threads' time in calls, before {:.0} %", calls(after), calls(before));
    println!("{what}, changed: {:.2} s, before {:.2} s", after.seconds(), before.seconds());
    fs::create_dir_all(OUTPUT)?;
    fs::write(format!("{OUTPUT}/profile-{what}.html"), before.to_html())
}

fn main() -> Result<(), Box<dyn Error>> {
    let views = views(60)?;
    let mut run = scale_batched(views.clone());
    println!("{}", run.plan()?.explain());
    let slow = run.try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
        Ok(batch.iter().try_for_each(|image| compress(image).map(drop))?)
    })?;
    compare("slow-sink", &slow, &scale_and_compress_batched(views.clone()).for_each_batch(drop)?)?;

    let tight = scale_batched(views.clone()).max_memory("1MiB").for_each_batch(drop)?;
    compare("tight-budget", &tight, &scale_batched(views).for_each_batch(drop)?)?;
    Ok(())
}
