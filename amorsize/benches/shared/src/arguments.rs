//! The command line of a bench.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{machine, root, today};
use crate::{figures, readme};

/// The arguments of a bench: the number of rounds, the rows, and whether the figures go into
/// `FIGURES.md`.
///
/// `--rounds N` sets the number of rounds, `--write` writes the figures between the bench's
/// markers, `--write-to FOLDER` into the files of the same names in another folder. Everything else
/// is a row.
#[derive(Debug)]
pub struct Arguments {
    /// The number of rounds; each measures every way of a row once.
    pub rounds: usize,
    /// Parts of the names of rows to measure; all if there are none.
    pub rows: Vec<String>,
    folder: Option<PathBuf>,
    command: String,
    /// The number of other programs' threads that ran on average in the minute before.
    load: f64,
}

/// With this load or more, figures tell the load: other programs then take a part of the time that
/// is not small.
const BUSY: f64 = 0.5;

impl Arguments {
    /// Takes the arguments of this process.
    ///
    /// # Panics
    ///
    /// When they are not arguments of a bench, or ask to write the figures of some rows only: the
    /// table would lose the others.
    #[must_use]
    pub fn of_process(bench: &str, rounds: usize) -> Self {
        let arguments = env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let parsed = Self::parse(bench, rounds, arguments).unwrap_or_else(|why| panic!("{why}"));
        let load = fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split(' ').next()?.parse().ok());
        let parsed = Self { load: load.unwrap_or(0.0), ..parsed };
        if parsed.load >= BUSY {
            eprintln!("other programs use this machine (load {}): figures will say so", parsed.load);
        }
        parsed
    }

    fn parse(bench: &str, rounds: usize, arguments: Vec<String>) -> Result<Self, String> {
        let command = format!("cargo bench --bench {bench}");
        let mut parsed = Self { rounds, rows: Vec::new(), folder: None, command, load: 0.0 };
        let mut flags = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => {
                    let rounds = arguments.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
                    parsed.rounds = rounds.ok_or("`--rounds` takes a number above 0")?;
                    flags.push(format!("--rounds {}", parsed.rounds));
                }
                "--write" => {
                    parsed.folder = Some(root().to_owned());
                    flags.push("--write".to_owned());
                }
                "--write-to" => parsed.folder = Some(arguments.next().ok_or("`--write-to` takes a folder")?.into()),
                flag if flag.starts_with('-') => {
                    return Err(format!("`{flag}` is not `--rounds N`, `--write` or `--write-to FOLDER`"));
                }
                _ => parsed.rows.push(argument),
            }
        }
        if parsed.folder.is_some() && !parsed.rows.is_empty() {
            return Err(format!("all rows are written, or none: leave {} out", parsed.rows.join(", ")));
        }
        if !flags.is_empty() {
            parsed.command.push_str(&format!(" -- {}", flags.join(" ")));
        }
        Ok(parsed)
    }

    /// The same, if each row that they ask for is among these.
    ///
    /// # Panics
    ///
    /// When a text is a part of no name: without the row that was meant nothing would be measured.
    #[must_use]
    pub fn among<'n>(self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        for row in &self.rows {
            assert!(names.iter().any(|name| name.contains(row)), "`{row}` is no row of {}", names.join(", "));
        }
        self
    }

    /// True if the arguments ask for a row: by a part of its name, or for all.
    #[must_use]
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.contains(wanted))
    }

    /// The command, the machine and the date, as a part of a sentence.
    #[must_use]
    pub fn measured(&self) -> String {
        let busy = if self.load < BUSY {
            String::new()
        } else {
            format!(", on a busy machine (load {} before it began)", self.load)
        };
        format!("`{}`, {}, {}{busy}", self.command, machine(), today())
    }

    /// Writes figures between the markers of a name into `FIGURES.md`, and into the README those
    /// that it shows, if the arguments ask for it.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it lacks the markers.
    pub fn write(&self, name: &str, figures: &str) {
        if let Some(folder) = &self.folder {
            told(write_figures(folder, name, figures), figures);
        }
    }

    /// Writes figures between the markers of a name into a file, by its path from the root, if the
    /// arguments ask for it.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it lacks the markers.
    pub fn write_into(&self, file: &str, name: &str, figures: &str) {
        if let Some(folder) = &self.folder {
            told(replace_in(&folder.join(file), name, figures), figures);
        }
    }
}

/// Writes figures between the markers of a name into `FIGURES.md` of a folder like that of the
/// workspace, and into the README there those that it shows.
///
/// # Errors
///
/// When there is no such file, or it lacks the markers or a figure that the README shows.
pub fn write_figures(folder: &Path, name: &str, figures: &str) -> Result<(), String> {
    let path = folder.join(readme::FIGURES);
    replace_in(&path, name, figures)?;
    let all = fs::read_to_string(&path).map_err(|why| why.to_string())?;
    replace_in(&folder.join("README.md"), "summary", &readme::table(&all)?)
}

fn replace_in(path: &Path, name: &str, figures: &str) -> Result<(), String> {
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|why| named(&why))?;
    let text = figures::replace(&text, name, figures).map_err(|why| named(&why))?;
    fs::write(path, text).map_err(|why| named(&why))?;
    eprintln!("figures written into {}", path.display());
    Ok(())
}

/// Panics if the figures were not written, and prints them, since they took minutes to measure.
fn told(written: Result<(), String>, figures: &str) {
    if let Err(why) = written {
        panic!("{why}\n\n{figures}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::parse("name", 7, arguments.iter().map(|&argument| argument.to_owned()).collect())
    }

    #[test]
    fn a_command_is_told_as_it_was_given() {
        assert_eq!(parse(&[]).unwrap().command, "cargo bench --bench name");
        let arguments = parse(&["--write", "--rounds", "3"]).unwrap();
        assert_eq!(arguments.command, "cargo bench --bench name -- --write --rounds 3");
        assert_eq!((arguments.rounds, arguments.folder.as_deref()), (3, Some(root())));
    }

    #[test]
    fn figures_of_a_busy_machine_say_so() {
        let mut arguments = parse(&[]).unwrap();
        assert!(!arguments.measured().contains("busy"));
        arguments.load = 3.5;
        assert!(arguments.measured().ends_with(", on a busy machine (load 3.5 before it began)"));
    }

    #[test]
    fn rows_are_chosen_by_name() {
        let arguments = parse(&["one", "--rounds", "2", "two"]).unwrap();
        assert!(arguments.wants("one") && arguments.wants("| two |") && !arguments.wants("three"));
        assert!(parse(&[]).unwrap().wants("three"));
        assert!(arguments.among(["one", "two", "three"]).wants("one"));
    }

    #[test]
    #[should_panic = "`owt` is no row of one, two"]
    fn a_row_that_is_misspelt_is_refused() {
        _ = parse(&["one", "owt"]).unwrap().among(["one", "two"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parse(&["--rounds", "0"]).unwrap_err(), "`--rounds` takes a number above 0");
        assert_eq!(parse(&["--rounds"]).unwrap_err(), "`--rounds` takes a number above 0");
        assert_eq!(parse(&["--write-to"]).unwrap_err(), "`--write-to` takes a folder");
        assert_eq!(parse(&["--save"]).unwrap_err(), "`--save` is not `--rounds N`, `--write` or `--write-to FOLDER`");
        assert_eq!(parse(&["--write", "one", "two"]).unwrap_err(), "all rows are written, or none: leave one, two out");
    }

    #[test]
    fn figures_go_into_the_file_that_was_asked_for() {
        let folder = env::temp_dir().join(format!("amorsize-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let page = folder.join("page.md");
        let text = "one\n<!-- figures: begin a -->\nold\n<!-- figures: end a -->\ntwo\n";
        fs::write(&page, text).unwrap();
        parse(&[]).unwrap().write_into("page.md", "a", "new");
        assert_eq!(fs::read_to_string(&page).unwrap(), text);
        parse(&["--write-to", folder.to_str().unwrap()]).unwrap().write_into("page.md", "a", "new");
        assert_eq!(fs::read_to_string(&page).unwrap(), text.replace("\nold\n", "\n\nnew\n\n"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_readme_shows_what_was_written_into_the_figures() {
        let folder = env::temp_dir().join(format!("amorsize-bench-readme-{}", std::process::id()));
        let figures = folder.join(readme::FIGURES);
        fs::create_dir_all(figures.parent().unwrap()).unwrap();
        fs::copy(root().join(readme::FIGURES), &figures).unwrap();
        fs::copy(root().join("README.md"), folder.join("README.md")).unwrap();
        let all = fs::read_to_string(&figures).unwrap();
        let peers = all.split("begin peers -->").nth(1).unwrap().split("<!-- figures: end peers").next().unwrap();
        let row = peers.lines().find(|line| line.starts_with("| 10 us x 60,000 |")).unwrap();
        let slower = peers.replace(row, "| 10 us x 60,000 | 7.77 | 8.88 | rayon `collect`: 1.00 | 0.99 | 1, 1, 0, 0 |");
        write_figures(&folder, "peers", &slower).unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.contains("| time 8.88; with `collect` 7.77 |"), "{readme}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
