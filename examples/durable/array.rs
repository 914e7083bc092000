//! Computes features of 240 parts of photos: by one process, by GNU parallel on several processes
//! or by Slurm on several machines. The program is the same for all, and so is its one line for it.
//! Results go to `examples/output/array`, which all processes must see.
//!
//! After `cargo build --release -p amorsize-durable-examples --example array`, run one of these,
//! and then the program once more, which gives all results:
//!
//! ```text
//! AMORSIZE_TASK=all target/release/examples/array
//! AMORSIZE_MEMORY=1GiB parallel -n0 --retries 5 target/release/examples/array ::: {0..15}
//! sbatch --array=0-15 --mem=1G --wrap target/release/examples/array
//! ```

#[path = "../common/views.rs"]
mod views;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use amorsize::array::{self, Array};
use amorsize::batched;
use image::imageops;
use serde::{Deserialize, Serialize};
use views::{View, views};

/// The features of a picture: its mean colour, the number of points of each brightness, and a small
/// picture in grey.
#[derive(Serialize, Deserialize)]
struct Features {
    colour: [f32; 3],
    brightness: Vec<u32>,
    small: Vec<u8>,
}

/// Computes the features of one picture. The attribute adds `features_batched`, which does it for
/// many.
#[batched(max_memory = 0.5, version = 1, on_error = "stop")]
fn features(view: View) -> image::ImageResult<Features> {
    let picture = imageops::resize(&view.open()?, 1280, 720, imageops::FilterType::Triangle);
    let pixels = f32::from(1280_u16) * f32::from(720_u16);
    let mut brightness = vec![0; 256];
    let mut colour = [0.0; 3];
    for pixel in picture.pixels() {
        brightness[pixel.0.iter().map(|&part| usize::from(part)).sum::<usize>() / 3] += 1;
        colour.iter_mut().zip(pixel.0).for_each(|(sum, part)| *sum += f32::from(part) / pixels);
    }
    let small = imageops::thumbnail(&imageops::grayscale(&picture), 64, 36).into_raw();
    Ok(Features { colour, brightness, small })
}

fn main() -> ExitCode {
    array::main(run)
}

fn run() -> Result<(), Box<dyn Error>> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("output").join("array");
    // `View` is not `Serialize`, so a key tells the items apart.
    match features_batched(views(240)?).key(|view: &View| format!("{view:?}")).array(out, 16)? {
        Array::Task(report) => println!("{report}"),
        Array::Results(all) => {
            let (mut count, mut brightest) = (0, (0, 0.0));
            for numbered in all.indexed() {
                let (number, features) = numbered?;
                let light: f32 = features.colour.iter().sum();
                if light > brightest.1 {
                    brightest = (number, light);
                }
                assert_eq!((features.brightness.iter().sum::<u32>(), features.small.len()), (1280 * 720, 64 * 36));
                count += 1;
            }
            println!("{count} pictures; the brightest is number {}", brightest.0);
        }
    }
    Ok(())
}
