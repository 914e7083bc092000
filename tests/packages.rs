//! The published packages and the checks of the forge agree with the repository.

use std::fs;
use std::process::Command;

fn files(package: &str) -> Vec<String> {
    let arguments = ["package", "--list", "--locked", "--allow-dirty", "-p", package];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    // Windows has another separator.
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
            let at_the_top = ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT"].contains(&&*file)
                || (package, &*file) == ("amorsize", "build.rs");
            // The picture of the docs' front page.
            let code = file.starts_with("src/") && [".rs", ".md", "/run.svg"].iter().any(|end| file.ends_with(end));
            assert!(made_by_cargo || at_the_top || code, "{package} has {file}");
        }
    }
}

/// The licences of the macro crate are links, and a package has the files behind them.
#[test]
fn licences_are_whole() {
    for package in ["amorsize", "amorsize-macros"] {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let (own, root) = (fs::read(format!("{package}/{licence}")).unwrap(), fs::read(licence).unwrap());
            // A checkout without symbolic links has a file with the path instead.
            assert!(own == root || own == format!("../{licence}").as_bytes(), "{package}/{licence} is another one");
        }
    }
}

#[test]
fn the_forge_builds_with_the_stated_version_and_runs_the_gate() {
    let workflow = fs::read_to_string(".github/workflows/ci.yml").unwrap();
    let messages = fs::read_to_string("ui-tests/ui.rs").unwrap();
    let compiler = messages.split("not(stable(").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    let stated = env!("CARGO_PKG_RUST_VERSION").trim_end_matches(".0");
    for line in [
        "      - run: .ci/run".to_owned(),
        format!("      - run: rustup default {compiler} && rustup component add rustfmt clippy"),
        format!("      - run: rustup default {stated}"),
    ] {
        assert!(workflow.lines().any(|has| has == line), "the workflow has no line {line:?}");
    }
    // Each action names its major version.
    for used in workflow.lines().filter_map(|line| line.split("uses: ").nth(1)) {
        let version = used.split("@v").nth(1);
        assert!(version.is_some_and(|version| version.parse::<u32>().is_ok()), "{used}");
    }
}

/// A form asks for facts that the library can tell, under the library's names.
#[test]
fn the_form_for_bugs_asks_for_the_report() {
    let form = fs::read_to_string(".github/ISSUE_TEMPLATE/bug.yml").unwrap();
    for id in ["happened", "report", "version", "system", "allocator", "rust"] {
        assert!(form.contains(&format!("    id: {id}\n")), "the form does not ask for {id}");
    }
    assert!(form.contains("amorsize/guide/json/") && fs::exists("amorsize/src/guide/json.md").unwrap());
}
