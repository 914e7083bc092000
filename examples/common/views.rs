//! Parts of photos: the input of the examples with images.

use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageResult, RgbImage, imageops};

/// A part of a photo, from the whole of it down to a third of its width, at changing places.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) photo: PathBuf,
    zoom: f64,
    across: f64,
    down: f64,
}

impl View {
    /// Decodes the photo and cuts the part out, in the shape 16 to 9.
    pub(crate) fn open(&self) -> ImageResult<RgbImage> {
        let photo = image::open(&self.photo)?.into_rgb8();
        let (wide, high) = (f64::from(photo.width()), f64::from(photo.height()));
        // The largest part of that shape, made smaller by the zoom.
        let width = wide.min(high * 16.0 / 9.0) / self.zoom;
        let height = width * 9.0 / 16.0;
        let (left, top) = ((wide - width) * self.across, (high - height) * self.down);
        let part = imageops::crop_imm(&photo, left as u32, top as u32, (width as u32).max(1), (height as u32).max(1));
        Ok(part.to_image())
    }
}

/// At least `count` views, shared out among the photos of the directory that the command line
/// names; by default `examples/photos`.
pub(crate) fn views(count: usize) -> Result<Vec<View>, Box<dyn Error>> {
    // The examples in a folder of their own take the same ones.
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("photos"));
    let directory = std::env::args_os().nth(1).map(PathBuf::from).or_else(|| ours().find(|photos| photos.is_dir()));
    let directory = directory.ok_or("the folder examples/photos is gone")?;
    let photos = photos_in(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    if photos.is_empty() {
        return Err(format!("there is no .jpg or .png in {}", directory.display()).into());
    }
    let of_each = count.div_ceil(photos.len());
    let step = |i: usize, of: usize| (i % of) as f64 / (of - 1) as f64;
    let view = |photo: &PathBuf, i| View {
        photo: photo.clone(),
        zoom: 1.0 + 2.0 * step(i, of_each.max(2)),
        across: step(i, 5),
        down: step(i, 3),
    };
    Ok(photos.iter().flat_map(|photo| (0..of_each).map(move |i| view(photo, i))).collect())
}

fn photos_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        if ["jpg", "jpeg", "png"].contains(&extension.to_ascii_lowercase().as_str()) {
            photos.push(path);
        }
    }
    photos.sort();
    Ok(photos)
}
