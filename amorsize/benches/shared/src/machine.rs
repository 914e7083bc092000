//! The machine, the tools and the date of a measurement.

use std::env::consts;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// Cores, processor, system and compiler, as in "2 cores (AMD EPYC), Linux 6.18, rustc 1.95.0".
#[must_use]
pub fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = processor(&cpus).unwrap_or(consts::ARCH);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = match short_release(&release) {
        Some(release) => format!("Linux {release}"),
        None => consts::OS.to_owned(),
    };
    // Cargo runs a bench with the toolchain that built it, so this asks that one.
    let compiler = Command::new("rustc").arg("--version").output();
    let compiler = compiler.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let compiler = compiler.split(' ').nth(1).unwrap_or("of an unknown version");
    format!("{cores} {} ({cpu}), {system}, rustc {compiler}", if cores == 1 { "core" } else { "cores" })
}

fn processor(cpuinfo: &str) -> Option<&str> {
    let (_, name) = cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim())
}

/// The first two numbers of a release of Linux; the rest belongs to a distribution or a machine.
fn short_release(release: &str) -> Option<&str> {
    let (major, rest) = release.trim().split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next().filter(|minor| !minor.is_empty())?;
    Some(&release.trim()[..major.len() + 1 + minor.len()])
}

/// Today's date in UTC, as in "25 November 2026".
#[must_use]
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

fn date(days_since_1970: u64) -> String {
    const MONTHS: [(&str, u64); 12] = [
        ("January", 31),
        ("February", 28),
        ("March", 31),
        ("April", 30),
        ("May", 31),
        ("June", 30),
        ("July", 31),
        ("August", 31),
        ("September", 30),
        ("October", 31),
        ("November", 30),
        ("December", 31),
    ];
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut days = days_since_1970;
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    for (month, length) in MONTHS {
        let length = length + u64::from(month == "February" && is_leap(year));
        if days < length {
            return format!("{} {month} {year}", days + 1);
        }
        days -= length;
    }
    unreachable!("the months of a year have all its days")
}

/// The version of a crate in `Cargo.lock`; the first one if there are several.
#[must_use]
pub fn locked_version(name: &str) -> Option<String> {
    let text = fs::read_to_string(root().join("Cargo.lock")).ok()?;
    version_in(&text, name).map(str::to_owned)
}

fn version_in<'text>(lock: &'text str, name: &str) -> Option<&'text str> {
    let name = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

/// Bytes of memory that are left on the machine, if it tells them.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"))?;
    Some(kib.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_new_year() {
        assert_eq!(date(0), "1 January 1970");
        assert_eq!(date(364), "31 December 1970");
        assert_eq!(date(365), "1 January 1971");
        // 1972 and 2000 have a leap day.
        assert_eq!(date(2 * 365 + 58), "28 February 1972");
        assert_eq!(date(2 * 365 + 59), "29 February 1972");
        assert_eq!(date(2 * 365 + 60), "1 March 1972");
        assert_eq!(date(11_016), "29 February 2000");
        assert_eq!(date(20_782), "25 November 2026");
    }

    #[test]
    fn a_release_is_cut_after_two_numbers() {
        assert_eq!(short_release("6.18.44-arch1-1\n"), Some("6.18"));
        assert_eq!(short_release("6.18-rc1\n"), Some("6.18"));
        assert_eq!(short_release(""), None);
        assert_eq!(short_release("6.x"), None);
    }

    #[test]
    fn a_processor_and_a_version_are_found() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n"), Some("Some CPU @ 3 GHz"));
        assert_eq!(processor("Hardware: x\n"), None);
        let lock = "[[package]]\nname = \"rayon\"\nversion = \"1.12.0\"\n\n[[package]]\nname = \"rayon-core\"\nversion = \"1.13.0\"\n";
        assert_eq!(version_in(lock, "rayon"), Some("1.12.0"));
        assert_eq!(version_in(lock, "rayon-core"), Some("1.13.0"));
        assert_eq!(version_in(lock, "ray"), None);
    }

    #[test]
    fn this_workspace_has_locked_versions() {
        assert!(locked_version("rayon").is_some_and(|version| version.starts_with("1.")));
    }
}
