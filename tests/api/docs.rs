//! The public docs as data.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds the docs, with all features, and gives the file with their data.
pub(crate) fn data() -> PathBuf {
    // `cargo doc` and the tests have built the dependencies there.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .env("CARGO_BUILD_BUILD_DIR", built)
        .env("RUSTDOC", root().join("tests/api/rustdoc.sh"))
        // A folder of its own: these docs would replace those that people read.
        .args(["rustdoc", "-p", "amorsize", "--all-features", "--locked", "--target-dir", "target/documented"])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    root().join("target/documented/doc/amorsize.json")
}
