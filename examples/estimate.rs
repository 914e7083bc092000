//! Compares a batch size worked out by hand, from the bytes of one result, with the one that a run
//! finds by itself.
//!
//! `cargo run --release -p amorsize-examples --example estimate [DIRECTORY]` looks for the
//! brightest of 36 parts of photos as numbers, 50 MB each.

#[path = "common/views.rs"]
mod views;

use std::alloc::System;
use std::error::Error;

use amorsize::{ByteSize, Tracking, batched, estimate_safe_batch_size};
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageResult, Rgb32FImage};
use views::{View, views};

/// Counts the heap bytes of every call.
#[global_allocator]
static ALLOCATOR: Tracking = Tracking::new(System);

const BUDGET: ByteSize = ByteSize::mib(512);

/// Enlarges a part of a photo, and returns its colours as numbers from 0 to 1, to calculate with.
#[batched(max_memory = BUDGET, on_error = "stop")]
fn enlarge(view: View) -> ImageResult<Rgb32FImage> {
    let large = imageops::resize(&view.open()?, 2720, 1530, FilterType::Triangle);
    Ok(DynamicImage::from(large).into_rgb32f())
}

fn main() -> Result<(), Box<dyn Error>> {
    let views = views(36)?;
    let (one, heap) = ALLOCATOR.measure(|| enlarge(views[0].clone()));
    drop(one?);
    let bytes = ByteSize::new(heap.retained().try_into()?);
    println!("one result has {bytes}, and its call takes {} at most", ByteSize::new(heap.peak()));
    let estimate = estimate_safe_batch_size(bytes, BUDGET)?;
    println!("{estimate} results fit a budget of {BUDGET}\n");

    // The run makes the next batches while one is with the sink, and the budget is for all of them
    // and for the calls. If a batch as large as the estimate leaves no room for that, the run hands
    // it over earlier.
    let by_hand = enlarge_batched(views.clone()).batch_size(estimate);
    for (name, mut run) in [("by the estimate", by_hand), ("as the run finds it", enlarge_batched(views))] {
        let (mut largest, mut brightest) = (0, (0.0, 0));
        let report = run.for_each_batch(|batch| {
            largest = batch.len().max(largest);
            for (index, image) in (batch.first_index()..).zip(batch) {
                let light: f64 = image.iter().map(|&number| f64::from(number)).sum();
                brightest = if light > brightest.0 { (light, index) } else { brightest };
            }
        })?;
        println!("batch size {name}: at most {largest} at once; number {} is the brightest\n{report}\n", brightest.1);
    }
    Ok(())
}
