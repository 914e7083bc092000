//! A progress bar for people.

use indicatif::{ProgressBar, ProgressStyle};

use super::{Phase, Progress};
use crate::units::seconds::Seconds;

/// The parts that fit a terminal of 80 columns beside the figures.
const BAR: &str = "{prefix} {bar:16} {pos}/{len} {msg}";
/// For an input that doesn't know its length.
const COUNTER: &str = "{prefix} {spinner} {pos} {msg}";

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
/// The attribute shows `resize ━━━━━━━━━━╸━━━━━ 236/360 28/s 4.4 s left, holds 120 MiB of 256 MiB,
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
    let mut shown: Option<ProgressBar> = None;
    move |progress: &Progress| {
        if progress.is_quiet() {
            return;
        }
        if progress.phase() == Phase::Planned {
            // Output between the plan and the run must begin on a line of its own.
            shown.take().inspect(ProgressBar::finish_and_clear);
            return;
        }
        show(shown.get_or_insert_with(|| make(progress)), progress);
    }
}

fn make(progress: &Progress) -> ProgressBar {
    let bar = match progress.total() {
        Some(total) => ProgressBar::new(total as u64),
        None => ProgressBar::no_length(),
    };
    let template = if progress.total().is_some() { BAR } else { COUNTER };
    let style = ProgressStyle::with_template(template).expect("it was read by a test");
    bar.set_style(style.progress_chars("━╸─"));
    bar.set_prefix(progress.name().unwrap_or("items"));
    bar
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_message(figures(progress));
    bar.set_position(progress.done() as u64);
    if matches!(progress.phase(), Phase::Done | Phase::Stopped) {
        // The final figures stay on the screen.
        bar.abandon();
    } else {
        bar.tick();
    }
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
        let counts = |done| Counts { done, held: 120 << 20, result_bytes: 3 << 30 };
        teller.begin(begun, begun, total, ByteSize::mib(256), counts(0));
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
    fn both_styles_can_be_read() {
        for total in [Some(360), None] {
            let progress = told(total, Phase::Done);
            let bar = make(&progress);
            show(&bar, &progress);
            assert_eq!(
                (bar.position(), bar.length(), bar.prefix()),
                (240, total.map(|total| total as u64), "resize".into())
            );
            assert!(bar.is_finished());
        }
    }
}
