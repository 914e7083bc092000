//! Helpers of the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder for one test, removed when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes an empty one.
    ///
    /// # Panics
    ///
    /// When the system makes none.
    #[must_use]
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// Makes one in memory if there is such a place, for tests that sync a lot.
    ///
    /// # Panics
    ///
    /// When the system makes none.
    #[must_use]
    pub fn in_memory() -> Self {
        // Containers give it 64 MiB by default, which some tests fill.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let options = mounts.lines().find_map(|line| line.split_once(" /dev/shm tmpfs ")).map(|(_, options)| options);
        let is_large = options.is_some_and(|options| !options.contains("size=65536k"));
        if is_large { Self::within(Path::new("/dev/shm")) } else { Self::new() }
    }

    fn within(folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("amorsize-array-test-{}-{number}", std::process::id()));
        _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder is made");
        Self(path)
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// All files below a folder, in order.
///
/// # Panics
///
/// When the system refuses.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// True for a file into which an attempt writes results.
#[must_use]
pub fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "part")
}

/// Prepares a start of the tested program, without any variable of this process.
#[must_use]
pub fn tested(program: &str, way: &str, directory: &Path, tasks: usize, items: u64) -> Command {
    let mut command = Command::new(program);
    command.env_clear().arg(way).arg(directory).args([tasks.to_string(), items.to_string()]);
    command
}

/// The exit code, stdout and the last line of stderr.
///
/// # Panics
///
/// When the program was killed.
#[must_use]
pub fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stderr = text(&output.stderr);
    let code = output.status.code().unwrap_or_else(|| panic!("{}: {stderr}", output.status));
    (code, text(&output.stdout), stderr.lines().last().unwrap_or_default().to_owned())
}

/// The output of the tested program for all results of the way `text`.
#[must_use]
pub fn all(items: u64) -> String {
    (0..items).map(|x| format!("{x} {}\n", super::expected(x))).collect()
}
