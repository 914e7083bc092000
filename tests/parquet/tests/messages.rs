//! The compiler's messages for results that can't become a Parquet file: those of `fail`, each with
//! the expected output beside it. trybuild would build Parquet and Arrow once more for them; this
//! gives the compiler the crates that are built for this package.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The built crates of these names, as cargo tells them of this very test. Nothing is built if this
/// test was, with these packages and features.
fn built(names: &[&str]) -> Vec<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .current_dir(package())
        .args(["build", "--offline", "-p", "amorsize", "-p", "amorsize-parquet", "-p", "amorsize-records"])
        .args(["--features", "amorsize/parquet", "--test", "messages", "--message-format", "json", "--target-dir"])
        .arg(target)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let file = |name: &&str| {
        let is_its = |message: &&Value| message["target"]["name"] == **name && message["filenames"].is_array();
        let files = messages.iter().filter(is_its).flat_map(|message| message["filenames"].as_array().unwrap());
        files.filter_map(Value::as_str).find(|file| file.ends_with(".rlib")).map(PathBuf::from)
    };
    names.iter().map(|name| file(name).unwrap_or_else(|| panic!("`{name}` is not built"))).collect()
}

#[rustversion::attr(not(stable(1.95)), ignore = "the expected output is that of stable Rust 1.95")]
#[test]
fn a_type_that_is_no_record_is_refused_in_its_own_words() {
    let crates = built(&["amorsize", "serde"]);
    let mut programs: Vec<_> = fs::read_dir(package().join("fail"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    programs.sort();
    assert!(!programs.is_empty());
    for program in programs {
        let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .current_dir(package())
            .args(["--edition", "2024", "--emit", "metadata", "--out-dir", env!("CARGO_TARGET_TMPDIR")])
            .args(["--extern", &format!("amorsize={}", crates[0].display())])
            .args(["--extern", &format!("serde={}", crates[1].display())])
            .arg("-Ldependency=".to_owned() + crates[0].parent().unwrap().to_str().unwrap())
            .arg(program.strip_prefix(package()).unwrap())
            .output()
            .unwrap();
        // A line of the library's own sources is no part of a message.
        let told = String::from_utf8(output.stderr).unwrap();
        let told: Vec<_> = told
            .lines()
            .map(|line| if line.contains("--> amorsize/") { line.split_inclusive(".rs").next().unwrap() } else { line })
            .collect();
        let told = told.join("\n") + "\n";
        let expected = program.with_extension("stderr");
        if env::var_os("TRYBUILD").is_some_and(|asked| asked == "overwrite") {
            fs::write(&expected, &told).unwrap();
        }
        assert_eq!(told, fs::read_to_string(&expected).unwrap_or_default(), "{}", program.display());
    }
}
