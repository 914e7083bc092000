//! A run that reports its progress to a callback of the program.
//!
//! `cargo run --release -p amorsize-examples --example progress [DIRECTORY]` finds the average
//! colour of 180 enlarged parts of photos, and prints a line at each change of phase and for each
//! quarter that is done.

#[path = "common/views.rs"]
mod views;

use std::error::Error;

use amorsize::{Progress, batched};
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};
use views::{View, views};

/// Decodes and scales a part of a photo.
#[batched(max_memory = "256MiB", batch_size = 20, on_error = "stop")]
fn scale(view: View) -> ImageResult<RgbImage> {
    Ok(imageops::resize(&view.open()?, 1280, 720, FilterType::Triangle))
}

/// Returns the callback for a run's progress. The run calls it up to twenty times a second.
fn teller() -> impl FnMut(&Progress) {
    let mut told = None;
    move |progress| {
        let quarters = progress.fraction().map(|fraction| (4.0 * fraction) as usize);
        if told.replace((progress.phase(), quarters)) == Some((progress.phase(), quarters)) {
            return;
        }
        let (done, total) = (progress.done(), progress.total().map_or("?".into(), |total| total.to_string()));
        print!("{}: {done} of {total}, {} of {} held", progress.phase(), progress.bytes(), progress.budget());
        match progress.remaining_seconds() {
            Some(seconds) => println!(", {:.0} per second, {seconds:.1} s to go", progress.items_per_second()),
            None => println!(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut sums = [0.0; 3];
    let report = scale_batched(views(180)?).progress(teller()).for_each_batch(|batch| {
        for image in &batch {
            for pixel in image.pixels() {
                (0..3).for_each(|i| sums[i] += f64::from(pixel[i]));
            }
        }
    })?;
    let pixels = report.items() as f64 * 1280.0 * 720.0;
    let [red, green, blue] = sums.map(|sum| sum / pixels);
    println!("average colour {red:.0} {green:.0} {blue:.0}\n{report}");
    Ok(())
}
