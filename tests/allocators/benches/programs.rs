//! Two programs as a user would write them first, and their peak of resident memory beside that of
//! the same program with rayon or by hand.
//!
//! *resize* is the function of the README on photos of 24 megapixels, on 16 threads with a budget
//! of 256 MiB; rayon drops each photo within its call. The allowed memory is the budget and the
//! need of one call, which a process that makes one call measures.
//!
//! *compare* is like a program that compares images: a call makes one of 101 MB and blurs it with
//! rayon; the sink keeps the first image and compares each other one with it. By hand that is two
//! threads with bounded channels in order. The allowed memory is that of the program by hand.
//!
//! `cargo bench --bench programs` makes both with 12 photos and 12 images, in a fresh process for
//! each row; `-- --rounds N` changes the number of processes, `-- TEXT ..` makes only rows that
//! contain one of the texts; `-- "48 photos"` makes rows that are otherwise left out. It makes
//! the photos once, in a temporary folder.

#[path = "common/chosen.rs"]
mod chosen;

use std::env;
use std::fs;
use std::hint::black_box;
use std::iter::repeat_n;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use amorsize::{ByteSize, DeepSize, Report, batched};
use amorsize_bench::{Arguments, Peak, child, child_arguments, numbers};
use chosen::ALLOCATORS;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, RgbImage};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

fn pool(threads: usize) -> ThreadPool {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    pool.broadcast(|_| ());
    pool
}

// ---- resize ----

const RESIZE_BUDGET: ByteSize = ByteSize::mib(256);
const RESIZE_THREADS: usize = 16;
/// Files are used several times: the memory that a call needs does not depend on earlier calls with
/// the same file.
const FILES: usize = 3;

/// The README's function.
#[batched]
fn resize(path: PathBuf) -> ImageResult<RgbImage> {
    Ok(image::open(path)?.thumbnail(1920, 1080).into_rgb8())
}

/// Photos of 24 megapixels, made unless they are there already.
fn photos(count: usize) -> Vec<PathBuf> {
    let folder = env::temp_dir().join("amorsize-bench-photos");
    fs::create_dir_all(&folder).expect("a folder for photos");
    let paths: Vec<_> = (0..FILES).map(|number| folder.join(format!("{number}.jpg"))).collect();
    for (number, path) in paths.iter().enumerate() {
        if !path.exists() {
            // So that no half-written photo stays behind if this is stopped.
            let unfinished = path.with_extension(std::process::id().to_string());
            write_photo(&unfinished, number as u32);
            fs::rename(&unfinished, path).expect("a photo gets its name");
        }
    }
    paths.into_iter().cycle().take(count).collect()
}

/// Writes waves with a little noise, which have as many bytes as a photo.
fn write_photo(path: &Path, number: u32) {
    let wave = |at: u32, length: f32| 100.0 + 90.0 * (at as f32 / length).sin();
    let mut noise = number + 1;
    let photo = RgbImage::from_fn(6000, 4000, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 28) as f32;
        let light = [wave(x + y, 170.0), wave(x, 310.0), wave(y, 230.0)];
        image::Rgb(light.map(|light| (light + grain) as u8))
    });
    let mut file = std::io::BufWriter::new(fs::File::create(path).expect("a file"));
    JpegEncoder::new_with_quality(&mut file, 85).encode_image(&photo).expect("a photo");
}

fn resize_all(way: &str, count: usize) -> Option<Report> {
    let paths = photos(count);
    if way == RAYON {
        pool(RESIZE_THREADS).install(|| {
            paths.into_par_iter().for_each(|path| drop(black_box(resize(path).expect("a photo"))));
        });
        return None;
    }
    let mut run = resize_batched(paths).max_memory(RESIZE_BUDGET).threads(RESIZE_THREADS);
    let report = run.for_each_batch(|batch| {
        batch.into_iter().for_each(|photo| drop(black_box(photo.expect("a photo"))));
    });
    Some(report.expect("a sink keeps any budget"))
}

// ---- compare ----

const COMPARE_THREADS: usize = 2;
const IMAGES: u32 = 12;
/// Points along one side of an image: three planes of `f32` are 101 MB.
const SIDE: usize = 2900;

#[derive(DeepSize)]
struct Image {
    planes: Vec<Vec<f32>>,
}

impl Image {
    fn new() -> Self {
        Self { planes: repeat_n(vec![0.0; SIDE * SIDE], 3).collect() }
    }

    /// Each point becomes the mean of its neighbours in the row, then of those in the column.
    /// Between the two there is a second image.
    fn blur(&mut self) {
        let mut between = Self::new();
        for (plane, between) in self.planes.iter_mut().zip(&mut between.planes) {
            between.par_chunks_mut(SIDE).zip(plane.par_chunks(SIDE)).for_each(|(to, from)| {
                for (to, near) in to[1..].iter_mut().zip(from.windows(3)) {
                    *to = (near[0] + near[1] + near[2]) / 3.0;
                }
            });
            let between = &*between;
            plane.par_chunks_mut(SIDE).enumerate().for_each(|(y, to)| {
                let row = |y: usize| &between[y.min(SIDE - 1) * SIDE..][..SIDE];
                let (above, here, below) = (row(y.saturating_sub(1)), row(y), row(y + 1));
                for (x, to) in to.iter_mut().enumerate() {
                    *to = (above[x] + here[x] + below[x]) / 3.0;
                }
            });
        }
    }

    /// The difference of another image from this one. The differences are an image, too.
    fn compare(&self, other: &Self) -> f64 {
        let mut differences = Self::new();
        let pairs = self.planes.iter().zip(&other.planes).zip(&mut differences.planes);
        let sums = pairs.map(|((one, other), differences)| {
            let points = differences.par_iter_mut().zip(one).zip(other);
            points.map(|((difference, one), other)| {
                *difference = (one - other).abs();
                f64::from(*difference)
            })
        });
        sums.map(ParallelIterator::sum::<f64>).sum()
    }
}

/// Makes pixels of 8 bits, as a decoder does, and an image of them.
#[batched]
fn load(number: u32) -> Image {
    let side = SIDE as u32;
    let pixels: Vec<[u8; 3]> =
        (0..side * side).map(|at| [at, at >> 4, at / side].map(|light| (light ^ number) as u8)).collect();
    let mut image = Image::new();
    for (channel, plane) in image.planes.iter_mut().enumerate() {
        plane.iter_mut().zip(&pixels).for_each(|(light, pixel)| *light = f32::from(pixel[channel]));
    }
    drop(pixels);
    image.blur();
    image
}

/// Keeps the first image, and compares each other one with it.
#[derive(Default)]
struct Comparison {
    first: Option<Image>,
    sum: f64,
}

impl Comparison {
    fn take(&mut self, image: Image) {
        match &self.first {
            None => self.first = Some(image),
            Some(first) => self.sum += first.compare(&image),
        }
    }
}

/// Makes images on two threads, which take turns; each has a channel that holds one finished image.
fn compare_by_hand(comparison: &mut Comparison) {
    thread::scope(|scope| {
        let channels: Vec<_> = (0..COMPARE_THREADS as u32)
            .map(|first| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || {
                    for number in (first..IMAGES).step_by(COMPARE_THREADS) {
                        sender.send(load(number)).expect("the other end waits for it");
                    }
                });
                receiver
            })
            .collect();
        for number in 0..IMAGES as usize {
            comparison.take(channels[number % COMPARE_THREADS].recv().expect("an image"));
        }
    });
}

fn compare_all(way: &str, budget: &str) -> Option<Report> {
    let mut comparison = Comparison::default();
    let report = match way {
        BY_HAND => {
            compare_by_hand(&mut comparison);
            None
        }
        RAYON => {
            pool(COMPARE_THREADS).install(|| {
                let all: Vec<Image> = (0..IMAGES).into_par_iter().map(load).collect();
                all.into_iter().for_each(|image| comparison.take(image));
            });
            None
        }
        _ => {
            let mut run = load_batched(0..IMAGES).threads(COMPARE_THREADS);
            if budget != DEFAULT {
                run = run.max_memory(budget);
            }
            let report = run.for_each_batch(|batch| batch.into_iter().for_each(|image| comparison.take(image)));
            Some(report.expect("a sink keeps any budget"))
        }
    };
    assert!(black_box(comparison.sum) > 0.0, "the images differ");
    report
}

// ---- all rows, each in fresh processes ----

const RAYON: &str = "rayon";
const BY_HAND: &str = "by hand";
const DEFAULT: &str = "default";
/// The budget that the program dssim used.
const COMPARE_BUDGET: &str = "250MB";

fn run_child(program: &str, way: &str, detail: &str) {
    chosen::set_trim();
    // The pool's own memory does not count as the run's, nor do the photos, if this process makes
    // them.
    rayon::broadcast(|_| ());
    photos(FILES);
    let peak = Peak::start();
    let begun = Instant::now();
    let report = match program {
        "resize" => resize_all(way, detail.parse().expect("a number of photos")),
        _ => compare_all(way, detail),
    };
    let nanos = begun.elapsed().as_nanos();
    let [held, working] = report.map_or([0; 2], |r| [r.peak_bytes().as_u64(), r.working_bytes().as_u64()]);
    println!("{nanos} {} {held} {working}", peak.bytes());
}

struct Table<'a> {
    arguments: &'a Arguments,
}

impl Table<'_> {
    /// Prints a row, and gives its peak.
    fn row(&self, program: &str, way: &str, detail: &str, name: &str, allowed: Option<u64>) -> Option<u64> {
        let head = format!("| {name} | {way} |");
        if !self.wants(&head) {
            return None;
        }
        let mut runs: Vec<[u64; 4]> = (0..self.arguments.rounds).map(|_| measure(program, way, detail)).collect();
        runs.sort_unstable();
        let seconds = runs[runs.len() / 2][0] as f64 / 1e9;
        let most = |index: usize| runs.iter().map(|run| run[index]).max().unwrap_or(0);
        let mb = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
        let over = if allowed.is_some_and(|allowed| most(1) > allowed) { " over" } else { "" };
        let allowed = allowed.map_or(String::new(), |allowed| format!(" {}", mb(allowed)));
        let (held, working) =
            if way == RAYON || way == BY_HAND { Default::default() } else { (mb(most(2)), mb(most(3))) };
        println!("{head} {} |{allowed} |{over} | {held} | {working} | {seconds:.2} |", mb(most(1)));
        Some(most(1))
    }

    /// True if the arguments ask for a row. 48 photos take a minute, and show the same as 12.
    fn wants(&self, head: &str) -> bool {
        self.arguments.wants(head) && !(self.arguments.rows.is_empty() && head.contains("48 photos"))
    }
}

fn measure(program: &str, way: &str, detail: &str) -> [u64; 4] {
    let command = child([program, way, detail]);
    numbers(&mut chosen::serve(command, way)).unwrap_or_else(|why| panic!("{program}, {way}, {detail}: {why}"))
}

fn main() {
    if let Some([program, way, detail]) = child_arguments() {
        return run_child(&program, &way, &detail);
    }
    let arguments = Arguments::of_process("programs", 1);
    photos(FILES);
    let table = Table { arguments: &arguments };
    println!("| program | allocator, or how else | peak, MB | allowed | | held | working | s |");
    println!("| --- | --- | ---: | ---: | --- | ---: | ---: | ---: |");
    let [_, need, ..] = measure("resize", RAYON, "1");
    let allowed = RESIZE_BUDGET.as_u64() + need;
    for count in ["12", "48"] {
        let name = format!("resize, {count} photos, {RESIZE_THREADS} threads, budget {RESIZE_BUDGET}");
        table.row("resize", RAYON, count, &name, None);
        for allocator in ALLOCATORS {
            table.row("resize", allocator, count, &name, Some(allowed));
        }
    }
    let name = format!("compare, {COMPARE_THREADS} threads");
    table.row("compare", RAYON, "", &name, None);
    let by_hand = table.row("compare", BY_HAND, "", &name, None);
    for budget in [DEFAULT, COMPARE_BUDGET] {
        for allocator in ALLOCATORS {
            table.row("compare", allocator, budget, &format!("{name}, budget {budget}"), by_hand);
        }
    }
    println!("\n{}", arguments.measured());
}
