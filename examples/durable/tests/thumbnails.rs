//! Runs the example `thumbnails` as its user does: killed in the middle, and started again.

#![cfg(unix)]

#[path = "../../../tests/common/folder.rs"]
mod folder;

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use folder::Folder;
use image::RgbImage;

const PHOTOS: usize = 100;
/// More than this takes on the busiest machine.
const HANGS: Duration = Duration::from_secs(600);

fn example(folder: &Folder, output: &str) -> Command {
    // Cargo builds a package's examples with its tests, beside the folder of the tests.
    let built = env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().join("examples");
    let program = built.join("thumbnails").with_extension(env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "`cargo build -p amorsize-durable-examples --example thumbnails` builds {}",
        program.display()
    );
    let mut command = Command::new(program);
    command.arg(folder.file("photos")).arg(folder.file(output)).stdout(Stdio::piped());
    command
}

/// The figures that the example prints: thumbnails made, those that were there, those that failed.
fn figures(mut command: Command) -> [usize; 3] {
    let output = command.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let line = printed.lines().find(|line| line.contains(" thumbnails made, ")).unwrap_or_else(|| panic!("{printed}"));
    let numbers: Vec<usize> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn a_run_that_was_killed_goes_on_and_leaves_the_same_thumbnails() {
    let folder = Folder::new("thumbnails");
    fs::create_dir(folder.file("photos")).unwrap();
    for photo in 0..PHOTOS {
        let pixels = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, photo as u8]));
        pixels.save(folder.file("photos").join(format!("{photo:03}.png"))).unwrap();
    }
    // The last one can't be read. The run reports it, and the next start tries it again.
    fs::write(folder.file("photos").join("zzz.jpg"), "no photo").unwrap();
    assert_eq!(figures(example(&folder, "whole")), [PHOTOS, 0, 1]);
    assert_eq!(figures(example(&folder, "whole")), [0, PHOTOS, 1]);

    let killed = |round: usize| {
        let output = format!("killed-{round}");
        let mut child = example(&folder, &output).spawn().unwrap();
        let begun = Instant::now();
        // Its header and its first entry have 96 bytes: a second one has come, or the end.
        while bytes(&folder.file(&output).join("journal/000001.amz")) < 100 && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < HANGS, "nothing is written");
            thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        // The process may have ended by itself before the kill.
        (!status.success()).then_some(output)
    };
    let in_time = |round: usize| {
        let output = killed(round)?;
        let [made, there, failed] = figures(example(&folder, &output));
        assert_eq!((made + there, failed), (PHOTOS, 1));
        assert!(there > 0, "{made} made");
        // The process may have done all before the kill.
        (made > 0).then_some(output)
    };
    let output = (0..100).find_map(in_time).expect("no kill came in time");
    for index in 0..PHOTOS {
        let [whole, after] = ["whole", &output].map(|output| folder.file(output).join(format!("{index}.jpg")));
        assert!(fs::read(&whole).unwrap() == fs::read(&after).unwrap(), "{}", after.display());
    }
}
