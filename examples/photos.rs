//! Some hundred large renderings of a few photos, over 2 GB in all, through a budget of 256 MiB.
//!
//! `cargo run --release -p amorsize-examples --example photos [DIRECTORY]` takes the photos of a
//! directory (by default those in `examples/photos`), renders crops of each at 1920 x 1080, and
//! writes a contact sheet of them to `examples/output/contact-sheet.jpg`. It reports and skips a
//! photo that can't be read. `photos.html` there shows how the run went, and so does `photos.svg`;
//! `amorsize/src/guide/run.svg` is a copy of it.

#[path = "common/views.rs"]
mod views;

use std::error::Error;
use std::fs;
use std::path::Path;

use amorsize::{ByteSize, batched};
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};
use views::{View, views};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
/// Renderings in all, shared out among the photos: 2.1 GiB of pixels.
const RENDERINGS: usize = 360;
const THUMBNAIL: (u32, u32) = (96, 54);
const COLUMNS: u32 = 20;

/// Decodes a photo and renders a part of it at full size.
#[batched(max_memory = "256MiB", progress)]
fn render(view: View) -> ImageResult<RgbImage> {
    Ok(imageops::resize(&view.open()?, WIDTH, HEIGHT, FilterType::CatmullRom))
}

fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let views = views(RENDERINGS)?;
    let total = views.len();
    let photos = views.chunk_by(|a, b| a.photo == b.photo).count();
    println!("{photos} photos, {total} renderings of {WIDTH} x {HEIGHT}\n");

    let mut run = render_batched(views.clone());
    println!("{}\n", run.plan()?);

    let rows = (total as u32).div_ceil(COLUMNS);
    let mut sheet = RgbImage::new(COLUMNS * THUMBNAIL.0, rows * THUMBNAIL.1);
    let (mut done, mut failed) = (0, Vec::new());
    let report = run.for_each_batch(|batch| {
        let first = batch.first_index();
        for (index, rendering) in (first..).zip(batch) {
            match rendering {
                Ok(image) => {
                    let small = imageops::thumbnail(&image, THUMBNAIL.0, THUMBNAIL.1);
                    let (column, row) = (index as u32 % COLUMNS, index as u32 / COLUMNS);
                    let (x, y) = (column * THUMBNAIL.0, row * THUMBNAIL.1);
                    imageops::replace(&mut sheet, &small, x.into(), y.into());
                    done += 1;
                }
                Err(error) => {
                    // One report for each photo is enough.
                    let photo = &views[index].photo;
                    if !failed.iter().any(|(known, _)| known == photo) {
                        failed.push((photo.clone(), error));
                    }
                }
            }
        }
    })?;
    for (photo, error) in &failed {
        println!("skipped {}: {error}", photo.display());
    }

    let output = examples.join("output");
    fs::create_dir_all(&output)?;
    let path = output.join("contact-sheet.jpg");
    sheet.save(&path)?;
    let (page, picture) = (output.join("photos.html"), output.join("photos.svg"));
    fs::write(&page, report.to_html())?;
    fs::write(&picture, report.to_svg())?;

    println!("{report}\n");
    let all = ByteSize::new(done as u64 * u64::from(WIDTH * HEIGHT * 3));
    println!("{done} renderings on the contact sheet {}", path.display());
    match highest_memory() {
        Some(highest) => println!("highest memory of the process: {highest}; collecting all would have taken {all}"),
        None => {
            println!("highest memory held by the run: {}; collecting all would have taken {all}", report.peak_bytes());
        }
    }
    println!("how the run went: {} (the picture alone: {})", page.display(), picture.display());
    if done == 0 { Err("no photo could be rendered".into()) } else { Ok(()) }
}

/// The most resident memory that the process ever had, if the system tells it.
fn highest_memory() -> Option<ByteSize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(ByteSize::kib(kib.parse().ok()?))
}
