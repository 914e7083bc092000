//! Some hundred large renderings of a few photos, over 2 GB in all, through a budget of 256 MiB.
//!
//! `cargo run --release --example photos [DIRECTORY]` takes the photos of a directory (by default those in `examples/photos`),
//! renders crops of each at 1920 x 1080, and writes a contact sheet of them to `examples/output/contact-sheet.jpg`. A photo
//! that can't be read is reported and skipped. How the run went is shown by `photos.html` there, and by `photos.svg`, of which
//! `examples/photos/run.svg` is a copy.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use amorsize::{Bytes, batched};
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
/// Renderings in all, shared out among the photos: 2.1 GiB of pixels.
const RENDERINGS: usize = 360;
const THUMBNAIL: (u32, u32) = (96, 54);
const COLUMNS: u32 = 20;

/// A part of a photo: from the whole of it to a third, wandering over it.
#[derive(Clone, Debug)]
struct View {
    photo: PathBuf,
    zoom: f64,
    across: f64,
    down: f64,
}

/// Decodes a photo and renders a part of it at full size.
#[batched(max_memory = "256MiB", progress)]
fn render(view: View) -> ImageResult<RgbImage> {
    let photo = image::open(&view.photo)?.into_rgb8();
    let (wide, high) = (f64::from(photo.width()), f64::from(photo.height()));
    // The largest part of the wanted shape, then zoomed in.
    let width = wide.min(high * 16.0 / 9.0) / view.zoom;
    let height = width * 9.0 / 16.0;
    let (left, top) = ((wide - width) * view.across, (high - height) * view.down);
    let part = imageops::crop_imm(&photo, left as u32, top as u32, (width as u32).max(1), (height as u32).max(1));
    Ok(imageops::resize(&part.to_image(), WIDTH, HEIGHT, FilterType::CatmullRom))
}

fn photos_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if ["jpg", "jpeg", "png"].contains(&extension.to_ascii_lowercase().as_str()) {
            photos.push(path);
        }
    }
    photos.sort();
    Ok(photos)
}

fn views(photos: &[PathBuf]) -> Vec<View> {
    let of_each = RENDERINGS.div_ceil(photos.len());
    let step = |i: usize, of: usize| (i % of) as f64 / (of - 1) as f64;
    let view = |photo: &PathBuf, i| View {
        photo: photo.clone(),
        zoom: 1.0 + 2.0 * step(i, of_each.max(2)),
        across: step(i, 5),
        down: step(i, 3),
    };
    photos.iter().flat_map(|photo| (0..of_each).map(move |i| view(photo, i))).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let directory = std::env::args_os().nth(1).map_or_else(|| examples.join("photos"), PathBuf::from);
    let photos = photos_in(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    if photos.is_empty() {
        return Err(format!("there is no .jpg or .png in {}", directory.display()).into());
    }
    let views = views(&photos);
    let total = views.len();
    println!("{} photos in {}, {total} renderings of {WIDTH} x {HEIGHT}\n", photos.len(), directory.display());

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
                    // Once for each photo is enough.
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
    let all = Bytes::new(done as u64 * u64::from(WIDTH * HEIGHT * 3));
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

/// The most resident memory that the process ever had, where the system tells it.
fn highest_memory() -> Option<Bytes> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(Bytes::kib(kib.parse().ok()?))
}
