//! What a bench is told on its command line.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{figures, machine, today};

/// The arguments of a bench: how many rounds, which rows, and whether its figures are written into the README.
///
/// `--rounds N` sets the number of rounds, `--write-readme` writes the figures into the README between the bench's markers,
/// `--write-to FOLDER` into the files of the same names in another folder. Everything else is a row.
#[derive(Debug)]
pub struct Arguments {
    /// Rounds; each measures every way of a row once.
    pub rounds: usize,
    /// Rows that were asked for, none for all.
    pub rows: Vec<String>,
    folder: Option<PathBuf>,
    command: String,
    /// How many threads of other programs ran on average in the minute before.
    load: f64,
}

/// From this load on figures tell it: others then take a part of the time that is to be seen.
const BUSY: f64 = 0.5;

impl Arguments {
    /// Takes the arguments of this process.
    ///
    /// # Panics
    ///
    /// When they are none, or when figures of some rows only were to be written: a table would lose the others.
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
                "--write-readme" => {
                    parsed.folder = Some(root().to_owned());
                    flags.push("--write-readme".to_owned());
                }
                "--write-to" => parsed.folder = Some(arguments.next().ok_or("`--write-to` takes a folder")?.into()),
                flag if flag.starts_with('-') => {
                    return Err(format!("`{flag}` is not `--rounds N`, `--write-readme` or `--write-to FOLDER`"));
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

    /// Whether a row was asked for, by its name.
    #[must_use]
    pub fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
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

    /// Writes figures between the markers of a name into `README.md`, if that was asked for.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it lacks the markers.
    pub fn write(&self, name: &str, figures: &str) {
        self.write_into("README.md", name, figures);
    }

    /// Writes figures between the markers of a name into a file, by its path from the root, if that was asked for.
    ///
    /// # Panics
    ///
    /// When there is no such file, or it lacks the markers.
    pub fn write_into(&self, file: &str, name: &str, figures: &str) {
        if let Some(folder) = &self.folder {
            let path = folder.join(file);
            let written = fs::read_to_string(&path).map_err(|why| why.to_string()).and_then(|text| {
                let text = figures::replace(&text, name, figures).map_err(|why| why.to_string())?;
                fs::write(&path, text).map_err(|why| why.to_string())
            });
            match written {
                Ok(()) => eprintln!("figures written into {}", path.display()),
                // What took minutes to measure is not lost.
                Err(why) => panic!("{}: {why}\n\n{figures}", path.display()),
            }
        }
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
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
        let arguments = parse(&["--write-readme", "--rounds", "3"]).unwrap();
        assert_eq!(arguments.command, "cargo bench --bench name -- --write-readme --rounds 3");
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
        assert!(arguments.wants("one") && arguments.wants("two") && !arguments.wants("three"));
        assert!(parse(&[]).unwrap().wants("three"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parse(&["--rounds", "0"]).unwrap_err(), "`--rounds` takes a number above 0");
        assert_eq!(parse(&["--rounds"]).unwrap_err(), "`--rounds` takes a number above 0");
        assert_eq!(parse(&["--write-to"]).unwrap_err(), "`--write-to` takes a folder");
        assert_eq!(
            parse(&["--write"]).unwrap_err(),
            "`--write` is not `--rounds N`, `--write-readme` or `--write-to FOLDER`"
        );
        assert_eq!(
            parse(&["--write-readme", "one", "two"]).unwrap_err(),
            "all rows are written, or none: leave one, two out"
        );
    }

    #[test]
    fn figures_go_into_the_file_that_was_asked_for() {
        let folder = env::temp_dir().join(format!("amorsize-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let readme = folder.join("README.md");
        let text = "one\n<!-- figures: begin a -->\nold\n<!-- figures: end a -->\ntwo\n";
        fs::write(&readme, text).unwrap();
        parse(&[]).unwrap().write("a", "new");
        assert_eq!(fs::read_to_string(&readme).unwrap(), text);
        parse(&["--write-to", folder.to_str().unwrap()]).unwrap().write("a", "new");
        assert_eq!(fs::read_to_string(&readme).unwrap(), text.replace("\nold\n", "\n\nnew\n\n"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
