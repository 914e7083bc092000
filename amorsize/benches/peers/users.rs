//! Work as users have it: files, the lines of one large file, sorts, photos, and counts to merge.
//! Files are made before any clock starts, and removed with their row.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, BufWriter, Write as _};
use std::path::PathBuf;
use std::{env, process, thread};

use amorsize::batched;
use amorsize_bench::work;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::rows::{Row, Work};
use crate::small;
use crate::ways::Way;

/// A folder with the files of a row: the processes that measure it run there. It goes with this
/// value, also after a child has failed.
pub(crate) struct Data(pub(crate) PathBuf);

impl Data {
    pub(crate) fn of(row: &Row) -> Self {
        let data = Self(env::temp_dir().join(format!("amorsize-peers-{}", process::id())));
        fs::create_dir(&data.0).expect("a folder for temporary files");
        match row.work {
            Work::Files => (0..row.items)
                .try_for_each(|index| fs::write(data.0.join(name(index)), text(index)))
                .expect("room for the files"),
            Work::Lines => {
                let mut file = BufWriter::new(File::create(data.0.join(LINES)).expect("a new file"));
                let lines = small::lines();
                let mut lines = lines.iter().cycle().take(row.items);
                lines.try_for_each(|line| writeln!(file, "{line}")).and_then(|()| file.flush()).expect("room for it");
            }
            Work::Photos => (0..PHOTOS)
                .try_for_each(|index| photo(index).save(data.0.join(photo_name(index))))
                .expect("room for the photos"),
            _ => {}
        }
        data
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // A file that can't be removed is no reason to lose the figures.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name(index: usize) -> String {
    format!("{index}.txt")
}

/// A text of 4 to 32 KiB. Some of its words are frequent and many are rare.
fn text(index: usize) -> String {
    let bytes = (4 + index * 7 % 29) << 10;
    let mut text = String::new();
    for place in 0.. {
        let chosen = work((index * 100_000 + place) as u64 * 2, 4);
        write!(text, "Word{} ", (chosen >> 58) * (chosen >> 52 & 63)).expect("a String takes everything");
        if text.len() >= bytes {
            text.truncate(bytes);
            break;
        }
    }
    text
}

type Counts = HashMap<String, u32>;

fn count(text: &str) -> Counts {
    let mut counts = Counts::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

/// The number of different words in a file.
#[batched]
pub(crate) fn different_words(index: usize) -> u64 {
    let text = fs::read_to_string(name(index)).expect("a file of the row");
    count(&text).len() as u64
}

/// Texts for all items, which take turns.
pub(crate) fn texts() -> Vec<String> {
    (0..64).map(text).collect()
}

/// The words of a text, each with its number.
#[batched]
pub(crate) fn counts(index: usize, texts: &[String]) -> Counts {
    count(&texts[index % texts.len()])
}

/// Adds the words of a text to those of the texts before it. Gives the number of different words.
pub(crate) fn merge(all: &mut Counts, counts: Counts) -> u64 {
    for (word, count) in counts {
        *all.entry(word).or_default() += count;
    }
    all.len() as u64
}

const LINES: &str = "lines.txt";

/// A call that takes less time than to read its line.
#[batched]
fn spaces(line: String) -> u64 {
    line.bytes().filter(|&byte| byte == b' ').count() as u64
}

/// The number of spaces in the file of lines. No way that chooses its items by index can read it.
pub(crate) fn spaces_of_lines(way: Way) -> u64 {
    let lines = BufReader::new(File::open(LINES).expect("the file of the row")).lines();
    let lines = lines.map(|line| line.expect("a line of text"));
    match way {
        Way::Pariter => {
            use pariter::IteratorExt;
            thread::scope(|scope| lines.parallel_map_scoped(scope, spaces).sum())
        }
        Way::Collect => spaces_batched(lines).collect::<Vec<_>>().expect("it fits").into_iter().sum(),
        Way::ForEachBatch => {
            let mut sum = 0;
            spaces_batched(lines).for_each_batch(|batch| sum += batch.iter().sum::<u64>()).expect("it fits");
            sum
        }
        Way::IntoIter => spaces_batched(lines).into_iter().sum(),
        Way::Loop => lines.map(spaces).sum(),
        _ => way.is_not_of_this_row(),
    }
}

/// A hundred thousand numbers, in order.
#[batched]
pub(crate) fn sorted(index: usize) -> Vec<u32> {
    let mut state = work(index as u64 * 2, 4);
    let mut numbers: Vec<u32> = (0..100_000)
        .map(|_| {
            state = work(state, 1);
            (state >> 32) as u32
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

/// A sink's work on all bytes of a result.
pub(crate) fn hash(numbers: &[u32]) -> u64 {
    let mut hasher = DefaultHasher::new();
    numbers.hash(&mut hasher);
    hasher.finish()
}

/// Different photos, which take turns as items.
const PHOTOS: usize = 8;

fn photo_name(index: usize) -> String {
    format!("{}.jpg", index % PHOTOS)
}

/// A photo of 1280 x 960 pixels: colours that change slowly, with noise on them.
fn photo(index: usize) -> RgbImage {
    let mut state = work(index as u64 * 2, 4);
    RgbImage::from_fn(1280, 960, |x, y| {
        state = work(state, 1);
        let wave = |period: u32| ((x + y * (1 + index as u32)) % period * 200 / period) as u8;
        let noise = (state >> 60) as u8;
        Rgb([wave(640) + noise, wave(400) + noise, wave(900) + noise])
    })
}

/// A photo, at half its width and height.
#[batched]
pub(crate) fn smaller(index: usize) -> RgbImage {
    let photo = image::open(photo_name(index)).expect("a photo of the row").into_rgb8();
    imageops::resize(&photo, photo.width() / 2, photo.height() / 2, FilterType::CatmullRom)
}

/// A sink's work on a photo. Gives the number of bytes.
pub(crate) fn compress(photo: RgbImage) -> u64 {
    let mut bytes = Vec::new();
    photo.write_with_encoder(JpegEncoder::new(&mut bytes)).expect("a Vec takes everything");
    bytes.len() as u64
}
