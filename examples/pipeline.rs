//! Photos in 20 sizes each, by a pipeline of three functions: decode, resize, encode.
//!
//! `cargo run --release -p amorsize-examples --example pipeline` takes the photos in
//! `examples/photos` and writes JPEG files to `examples/output/sizes`. The stages hand each other
//! 360 MiB of pixels in all, with a budget of 128 MiB.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use amorsize::{ByteSize, StageReport, batched};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ImageResult, RgbImage};

#[batched(max_memory = "128MiB", on_error = "stop")]
fn decode((photo, size): (&Path, u32)) -> ImageResult<(RgbImage, PathBuf, u32)> {
    let name = photo.with_extension(format!("{size}.jpg")).file_name().map(PathBuf::from).unwrap_or_default();
    Ok((image::open(photo)?.into_rgb8(), name, size))
}

/// Scales a photo, so that its longer side has `size` pixels.
#[batched]
fn resize((photo, name, size): (RgbImage, PathBuf, u32), filter: FilterType) -> (RgbImage, PathBuf) {
    let scale = f64::from(size) / f64::from(photo.width().max(photo.height()));
    let scaled = |side: u32| (f64::from(side) * scale).round().max(1.0) as u32;
    (imageops::resize(&photo, scaled(photo.width()), scaled(photo.height()), filter), name)
}

#[batched(on_error = "stop", batch_size = 12)]
fn encode((photo, name): (RgbImage, PathBuf), quality: u8) -> ImageResult<(PathBuf, Vec<u8>)> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality).encode_image(&photo)?;
    Ok((name, file))
}

fn main() -> Result<(), Box<dyn Error>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = examples.join("output/sizes");
    fs::create_dir_all(&output)?;
    let files = fs::read_dir(examples.join("photos"))?.flatten().map(|entry| entry.path());
    let photos: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "jpg" || end == "png")).collect();
    let before: u64 = photos.iter().flat_map(fs::metadata).map(|file| file.len()).sum();

    let mut written = Vec::new();
    let report = decode_batched(photos.iter().flat_map(|photo| (1..=20).map(move |i| (photo.as_path(), 60 * i))))
        .then(|photos| resize_batched(photos, FilterType::Triangle))
        .then(|photos| encode_batched(photos, 85))
        .try_for_each_batch(|files| {
            written.extend(files.iter().map(|(_, file)| file.len() as u64));
            files.iter().try_for_each(|(name, file)| Ok::<_, Box<dyn Error>>(fs::write(output.join(name), file)?))
        })?;
    let (before, after) = (ByteSize::new(before), ByteSize::new(written.iter().sum::<u64>()));
    let largest = report.stages().iter().map(StageReport::largest).max().unwrap_or_default();
    let (files, held, budget) = (written.len(), report.peak_bytes(), report.budget());
    println!("{report}\n");
    println!("{files} files of {after} from {before}, by way of up to {largest} each; at most {held} held of {budget}");
    if held <= budget { Ok(()) } else { Err("the budget was not kept".into()) }
}
