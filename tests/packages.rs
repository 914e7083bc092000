//! What is published is the code, its docs, the README and the licences.

use std::fs;
use std::process::Command;

fn files(package: &str) -> Vec<String> {
    let arguments = ["package", "--list", "--locked", "--allow-dirty", "-p", package];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    // Windows has other separators.
    list.lines().map(|line| line.replace('\\', "/")).collect()
}

#[test]
fn packages_have_their_readme_their_licences_and_their_code_alone() {
    for package in ["amorsize", "amorsize-macros"] {
        let files = files(package);
        for needed in ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
            assert!(files.iter().any(|file| file == needed), "{package} has no {needed}");
        }
        for file in files {
            let made_by_cargo = ["Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"].contains(&&*file);
            let at_the_top = ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT"].contains(&&*file);
            // The picture of the docs' front page.
            let code = file.starts_with("src/") && [".rs", ".md", "/run.svg"].iter().any(|end| file.ends_with(end));
            assert!(made_by_cargo || at_the_top || code, "{package} has {file}");
        }
    }
}

/// The lists of the macro crate's licences are links, which a package follows.
#[test]
fn licences_are_whole() {
    for package in ["amorsize", "amorsize-macros"] {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let (own, root) = (fs::read(format!("{package}/{licence}")).unwrap(), fs::read(licence).unwrap());
            // A checkout without symbolic links has the path in its place.
            assert!(own == root || own == format!("../{licence}").as_bytes(), "{package}/{licence} is another one");
        }
    }
}
