//! All dependencies work with the Rust version that the manifest states, on every system and with
//! all features.

use std::process::Command;

/// A version's numbers, such as `1.89` and `1.89.0`.
fn numbers(version: &str) -> Vec<u32> {
    let mut numbers: Vec<_> = version.split('.').map(|number| number.parse().expect("a number")).collect();
    numbers.resize(3, 0);
    numbers
}

#[test]
fn no_dependency_of_the_two_crates_asks_for_more() {
    let cargo = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("cargo writes UTF-8")
    };
    // Each package once, as `name version`.
    let tree = [
        "tree",
        "--locked",
        "-p",
        "amorsize",
        "--all-features",
        "-e",
        "normal,build",
        "--target",
        "all",
        "--prefix",
        "none",
    ];
    let used = cargo(&tree);
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1", "--all-features"]))
            .expect("JSON");
    let stated = numbers(env!("CARGO_PKG_RUST_VERSION"));
    let mut asked = 0;
    for package in metadata["packages"].as_array().expect("a list") {
        let (name, version) =
            (package["name"].as_str().expect("a name"), package["version"].as_str().expect("a version"));
        let Some(wanted) = package["rust_version"].as_str() else { continue };
        let id = format!("{name} v{version}");
        if used.lines().any(|line| line.split(" (").next() == Some(&id)) {
            asked += 1;
            assert!(numbers(wanted) <= stated, "{id} asks for Rust {wanted}");
        }
    }
    assert!(asked > 10, "only {asked} packages were compared");
}
