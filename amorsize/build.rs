//! Tells the crate its compiler's version, which directories of results keep for messages: another
//! compiler may name types differently and hash values differently.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let told = Command::new(rustc).arg("--version").output();
    // As in `rustc 1.95.0 (59807616e 2026-04-14)`.
    let told = told.map_or(String::new(), |told| String::from_utf8_lossy(&told.stdout).into_owned());
    println!("cargo::rustc-env=AMORSIZE_RUSTC={}", told.split_whitespace().nth(1).unwrap_or("unknown"));
    // Cargo runs this again for another compiler anyway.
    println!("cargo::rerun-if-changed=build.rs");
}
