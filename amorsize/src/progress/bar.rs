//! A progress bar for people.

use std::io::{self, IsTerminal, Write};

use super::{Phase, Progress};
use crate::system::calls::terminal_columns;
use crate::units::seconds::Seconds;

/// Turns while items are done, for an input that doesn't know its length.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// The columns of a terminal that doesn't tell them.
const COLUMNS: usize = 80;

/// A bar on stderr for [`Batched::progress`](crate::Batched::progress): finished items, their rate,
/// the time left, the memory held of the budget, and the bytes of results so far. The attribute's
/// option `progress` shows the same.
///
/// An input that doesn't know its length has a counter. Nothing is shown if stderr is not a
/// terminal, nor beside [`verbose`](crate::Batched::verbose), which tells the same in words. It
/// needs the feature `progress`, which is on by default.
///
/// # Examples
///
/// ```
/// use amorsize::{process_in_batches, progress_bar};
///
/// let mut run = process_in_batches(|x: u64| x * x, 0..1000).progress(progress_bar());
/// let squares = run.collect::<Vec<_>>()?;
/// assert_eq!(squares[30], 900);
/// # Ok::<(), amorsize::Error>(())
/// ```
///
/// The attribute shows `resize ━━━━━━━━━━╸───── 236/360 28/s 5 s left, holds 120 MiB of 256 MiB,
/// made 1.37 GiB`:
///
/// ```
/// use amorsize::batched;
///
/// #[batched(progress)]
/// fn resize(side: usize) -> Vec<u8> {
///     vec![1; side * side]
/// }
///
/// assert_eq!(resize_batched([10, 20]).collect::<Vec<_>>()?[1].len(), 400);
/// # Ok::<(), amorsize::Error>(())
/// ```
pub fn progress_bar() -> impl FnMut(&Progress) + Send + 'static {
    let mut shown: Option<Shown> = None;
    move |progress: &Progress| {
        if progress.is_quiet() || !takes_a_bar() {
            return;
        }
        if progress.phase() == Phase::Planned {
            // Output between the plan and the run must begin on a line of its own.
            shown = None;
            return;
        }
        let shown = shown.get_or_insert_default();
        shown.draw(progress);
        if matches!(progress.phase(), Phase::Done | Phase::Stopped) {
            shown.keep();
        }
    }
}

/// True if stderr is a terminal where a line can be drawn again.
fn takes_a_bar() -> bool {
    let kind = std::env::var_os("TERM");
    let can_return = if cfg!(unix) { kind.is_some_and(|kind| kind != "dumb") } else { true };
    can_return && io::stderr().is_terminal()
}

/// The line that is on the screen now. It goes when it is dropped.
#[derive(Debug, Default)]
struct Shown {
    /// The columns of the line.
    width: usize,
    drawn: usize,
}

impl Shown {
    fn draw(&mut self, progress: &Progress) {
        // The last column stays free: a character there makes some terminals begin a new line.
        let columns = terminal_columns(&io::stderr()).unwrap_or(COLUMNS) - 1;
        let line = line(progress, self.drawn);
        let (line, width) = fit(&line, columns);
        // Spaces take away what is left of a longer line.
        write(&format!("\r{line}{:1$}", "", self.width.saturating_sub(width)));
        self.width = width;
        self.drawn += 1;
    }

    /// Leaves the line on the screen.
    fn keep(&mut self) {
        write("\n");
        self.width = 0;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.width > 0 {
            write(&format!("\r{:1$}\r", "", self.width));
        }
    }
}

/// A bar that can't be written is no reason to end a run.
fn write(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// As much of a line's beginning as `room` columns have room for, and the columns that it takes.
fn fit(line: &str, room: usize) -> (&str, usize) {
    let mut width = 0;
    for (at, char) in line.char_indices() {
        let wider = width + columns_of(char);
        if wider > room {
            return (&line[..at], width);
        }
        width = wider;
    }
    (line, width)
}

/// The columns of a character, rather too many: too few, and the terminal would break the line.
fn columns_of(char: char) -> usize {
    match char {
        // Hangul's letters, then all that East Asian scripts write; names can have both.
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'.. => 2,
        _ => 1,
    }
}

fn line(progress: &Progress, drawn: usize) -> String {
    let (name, done, figures) = (progress.name().unwrap_or("items"), progress.done(), figures(progress));
    match progress.total() {
        Some(total) => format!("{name} {} {done}/{total} {figures}", cells(done, total)),
        None => format!("{name} {} {done} {figures}", SPINNER[drawn % SPINNER.len()]),
    }
}

fn cells(done: usize, total: usize) -> String {
    // With its name and figures the bar fits a usual terminal.
    let all = COLUMNS / 5;
    let full = if total == 0 { all } else { (all as f64 * done as f64 / total as f64) as usize };
    let mut cells = "━".repeat(full.min(all));
    if full < all {
        cells.push(if done > 0 { '╸' } else { '─' });
        cells.push_str(&"─".repeat(all - full - 1));
    }
    cells
}

/// The figures beside the bar, the most wanted first: a narrow terminal cuts the line.
fn figures(progress: &Progress) -> String {
    let rate = rate(progress.items_per_second());
    let made = progress.result_bytes();
    match progress.phase() {
        Phase::Sampling => "sampling".into(),
        Phase::Done | Phase::Stopped => {
            format!("{} in {}, {rate}, made {made}", progress.phase(), Seconds(progress.seconds()))
        }
        Phase::Planned | Phase::Running => {
            let left = match progress.remaining_seconds() {
                Some(seconds) => format!("{rate} {} left", rough(seconds)),
                None => rate,
            };
            format!("{left}, holds {} of {}, made {made}", progress.bytes(), progress.budget())
        }
    }
}

fn rate(items_per_second: f64) -> String {
    match items_per_second {
        rate if rate >= 1e6 => format!("{:.1}M/s", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.0}k/s", rate / 1e3),
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.1}/s"),
    }
}

/// A time that is only an estimate.
fn rough(seconds: f64) -> String {
    match seconds.ceil() as u64 {
        seconds @ ..100 => format!("{seconds} s"),
        seconds @ ..6000 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        seconds => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{Counts, Teller};
    use crate::units::ByteSize;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    fn told(total: Option<usize>, phase: Phase) -> Progress {
        let (told, progress) = mpsc::channel();
        let tell = move |progress: &Progress| told.send(progress.clone()).unwrap();
        let mut teller = Teller::new(Box::new(tell), Some("resize"), Vec::new());
        let begun = Instant::now();
        let counts = |done| Counts { done, running: 2, held: 120 << 20, result_bytes: 3 << 30 };
        teller.begin(begun, begun, total, ByteSize::mib(256), counts(0), false);
        teller.tell(begun + Duration::from_secs(8), phase, counts(240));
        progress.try_iter().last().unwrap()
    }

    #[test]
    fn the_figures_are_those_of_the_phase() {
        assert_eq!(figures(&told(Some(360), Phase::Running)), "30/s 4 s left, holds 120 MiB of 256 MiB, made 3.00 GiB");
        assert_eq!(figures(&told(None, Phase::Running)), "30/s, holds 120 MiB of 256 MiB, made 3.00 GiB");
        assert_eq!(figures(&told(Some(240), Phase::Done)), "done in 8.00 s, 30/s, made 3.00 GiB");
        assert_eq!(figures(&told(Some(360), Phase::Stopped)), "stopped in 8.00 s, 30/s, made 3.00 GiB");
        assert_eq!(figures(&told(None, Phase::Sampling)), "sampling");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!([0.12, 9.5, 123.4, 43_210.0, 2.5e7].map(rate), ["0.1/s", "9.5/s", "123/s", "43k/s", "25.0M/s"]);
        assert_eq!([0.2, 99.0, 100.0, 5999.0, 7320.0].map(rough), ["1 s", "99 s", "1:40 min", "99:59 min", "2:02 h"]);
    }

    #[test]
    fn a_bar_has_the_part_that_is_done() {
        assert_eq!(cells(0, 360), "────────────────");
        assert_eq!(cells(1, 360), "╸───────────────");
        assert_eq!(cells(236, 360), "━━━━━━━━━━╸─────");
        assert_eq!(cells(359, 360), "━━━━━━━━━━━━━━━╸");
        assert_eq!([cells(360, 360), cells(400, 360), cells(0, 0)], ["━━━━━━━━━━━━━━━━"; 3].map(String::from));
    }

    #[test]
    fn a_line_is_cut_by_the_columns_that_it_takes() {
        assert_eq!(fit("図形を縮小する ━━╸─ ⠹ 240", 80), ("図形を縮小する ━━╸─ ⠹ 240", 25));
        assert_eq!(fit("図形を縮小する 240", 79), ("図形を縮小する 240", 18));
        assert_eq!(fit("図形を縮小する 240", 7), ("図形を", 6));
        assert_eq!(fit("축소 240", 5), ("축소 ", 5));
        // Letters that a terminal would put together.
        assert_eq!(fit("\u{110e}\u{116e}\u{11a8}", 5), ("\u{110e}\u{116e}", 4));
        assert_eq!([fit("größe", 5), fit("größe", 4), fit("", 0)], [("größe", 5), ("größ", 4), ("", 0)]);
    }

    #[test]
    fn a_line_has_a_bar_or_a_counter() {
        let known = line(&told(Some(360), Phase::Done), 0);
        assert_eq!(known, "resize ━━━━━━━━━━╸───── 240/360 done in 8.00 s, 30/s, made 3.00 GiB");
        let counted = line(&told(None, Phase::Done), 12);
        assert_eq!(counted, "resize ⠹ 240 done in 8.00 s, 30/s, made 3.00 GiB");
    }
}
