use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 256 * MIB;
/// Resident memory before the run.
const BEFORE: u64 = 40 * MIB;
/// The number of looks for which a call runs.
const TICKS: u64 = 10;

/// A process with calls that need memory while they run. Each tick ends with a look at it.
struct Process {
    working: Working,
    threads: usize,
    /// The bytes that each running call needs, and the ticks for which it has run.
    running: Vec<(u64, u64)>,
    found: Bounds,
    ended: usize,
    /// Bytes of the sink or of other threads.
    others: u64,
    handed_over: u64,
    most_running: usize,
    peak: u64,
    /// True if the system tells the peak.
    tells_peak: bool,
}

impl Process {
    fn new(threads: usize) -> Self {
        Self {
            working: Working::new(BUDGET, BEFORE, 0),
            threads,
            running: Vec::new(),
            found: Bounds::NONE,
            ended: 0,
            others: 0,
            handed_over: 0,
            most_running: 0,
            peak: BEFORE,
            tells_peak: true,
        }
    }

    fn grown(&self) -> u64 {
        self.others + self.running.iter().map(|(needs, ticks)| needs * ticks.min(&TICKS) / TICKS).sum::<u64>()
    }

    fn look(&mut self) -> Bounds {
        let now = BEFORE + self.grown();
        self.peak = self.peak.max(now);
        let calls = Calls {
            running: self.running.len(),
            most_running: std::mem::replace(&mut self.most_running, self.running.len()),
            ended: self.ended,
            handed_over: self.handed_over,
            seconds: 0.1,
            threads: self.threads,
            ..Calls::default()
        };
        let peak = if self.tells_peak { self.peak } else { now };
        self.found = self.working.look(Resident { now, peak }, &calls);
        self.found
    }

    /// Starts as many calls as it may, with credit from three quarters of the budget, and lets time
    /// pass.
    fn tick(&mut self, needs: &mut dyn Iterator<Item = u64>) {
        while self.running.len() < self.threads && self.found.allows(self.running.len()) {
            let credit = (self.running.len() as u64 + 1) * self.found.working;
            if credit > BUDGET / 4 * 3 && !self.running.is_empty() {
                break;
            }
            let Some(needs) = needs.next() else { break };
            self.running.push((needs, 0));
            self.most_running = self.most_running.max(self.running.len());
        }
        self.running.iter_mut().for_each(|(_, ticks)| *ticks += 1);
        self.look();
        let before = self.running.len();
        self.running.retain(|&(_, ticks)| ticks < TICKS);
        self.ended += before - self.running.len();
        if self.running.is_empty() {
            self.look();
        }
    }

    /// Runs calls to their end, and returns the peak growth of the process and the number of ticks.
    fn run(&mut self, needs: impl IntoIterator<Item = u64>) -> (u64, usize) {
        let mut needs = needs.into_iter().peekable();
        let mut ticks = 0;
        self.look();
        while needs.peek().is_some() || !self.running.is_empty() {
            self.tick(&mut needs);
            ticks += 1;
        }
        (self.peak - BEFORE, ticks)
    }
}

#[test]
fn calls_that_can_need_little_are_not_bounded() {
    let mut working = Working::new(BUDGET, BEFORE, 0);
    let short = Calls { running: 16, most_running: 16, seconds: 10e-6, threads: 16, ..Calls::default() };
    // 400 KB each at most, however much the process grows.
    let resident = Resident { now: BEFORE + 999 * MIB, peak: BEFORE + 999 * MIB };
    assert_eq!(working.look(resident, &short), Bounds::NONE);
    assert_eq!(working.expected(), None);
}

#[test]
fn the_number_of_calls_doubles_as_the_process_confirms_it() {
    let mut process = Process::new(16);
    let mut levels = vec![process.look().calls];
    for _ in 0..80 {
        process.tick(&mut std::iter::repeat(MIB));
        if levels.last() != Some(&process.found.calls) {
            levels.push(process.found.calls);
        }
    }
    assert_eq!(levels, [2, 4, 8, 16]);
    assert_eq!(process.found.working / MIB, 1);
}

#[test]
fn calls_that_need_much_are_as_many_as_fit() {
    for tells_peak in [true, false] {
        let mut process = Process::new(16);
        process.tells_peak = tells_peak;
        let (peak, ticks) = process.run(std::iter::repeat_n(72 * MIB, 40));
        assert!(peak <= 3 * 72 * MIB, "{}", peak / MIB);
        assert_eq!(process.working.expected().map(|bytes| bytes.as_u64() / MIB), Some(72));
        // Two fit three quarters of the budget, so they take half of the time of one by one.
        assert!(ticks <= 24 * TICKS as usize, "{ticks}");
    }
}

#[test]
fn heavier_calls_are_met_by_fewer() {
    let mut process = Process::new(16);
    let few = std::iter::repeat_n(8 * MIB, 12);
    let (peak, _) = process.run(few.chain(std::iter::repeat_n(60 * MIB, 48)));
    assert!(peak <= BUDGET + 60 * MIB, "{}", peak / MIB);
}

#[test]
fn a_freed_peak_of_the_first_call_is_a_first_guess() {
    let mut process = Process::new(16);
    process.peak = BEFORE + 100 * MIB;
    let first = process.look();
    assert_eq!((first.calls, first.working), (1, 100 * MIB));
    // An older peak says nothing once a round has told more.
    process.run(std::iter::repeat_n(MIB, 100));
    assert!(process.found.working < 2 * MIB && process.found.calls == 16, "{:?}", process.found);
}

#[test]
fn what_a_sink_keeps_is_not_the_calls() {
    let mut process = Process::new(8);
    process.run(std::iter::repeat_n(4 * MIB, 60));
    // The sink keeps all its results.
    for _ in 0..40 {
        (process.others, process.handed_over) = (process.others + 20 * MIB, process.handed_over + 20 * MIB);
        process.run(std::iter::repeat_n(4 * MIB, 8));
    }
    assert!(process.others > 2 * BUDGET);
    assert!(process.found.working < 16 * MIB, "{:?}", process.found);
    assert_eq!(process.found.calls, 8);
}

#[test]
fn what_other_threads_take_is_not_the_calls_for_long() {
    let mut process = Process::new(8);
    process.run(std::iter::repeat_n(4 * MIB, 60));
    process.others = 2 * BUDGET;
    process.run(std::iter::repeat_n(4 * MIB, 60));
    assert!(process.found.working < 32 * MIB, "{:?}", process.found);
}

#[test]
fn items_that_can_t_be_measured_stay_within_a_quarter() {
    let mut working = Working::new(BUDGET, BEFORE, 0);
    let mut items = Items { wanted: 10_000, seconds: 200e-6, ..Items::default() };
    let mut most = Vec::new();
    for _ in 0..12 {
        let now = BEFORE + items.now as u64 * MIB;
        let calls = Calls { seconds: 10e-6, threads: 2, items: Some(items), ..Calls::default() };
        let found = working.look(Resident { now, peak: now }, &calls);
        most.push(found.items);
        items.ended += items.now;
        (items.now, items.most) = (found.items, found.items);
    }
    assert_eq!(most[..5], [4, 4, 8, 8, 16]);
    // Sixty-four of them are a quarter.
    assert!((60..=75).contains(most.last().unwrap()), "{most:?}");
    // Items that own nothing are not bounded.
    let cheap = Items { seconds: 1e-9, ..items };
    let calls = Calls { seconds: 1e-9, threads: 2, items: Some(cheap), ..Calls::default() };
    assert_eq!(working.look(Resident { now: BEFORE, peak: BEFORE }, &calls), Bounds::NONE);
}

#[test]
fn before_a_call_has_ended_two_start_and_more_where_those_only_wait() {
    let mut working = Working::new(BUDGET, BEFORE, 0);
    let calls = |only_wait| Calls { running: 2, most_running: 2, threads: 16, only_wait, ..Calls::default() };
    let mut most = |now, only_wait| working.look(Resident { now, peak: now }, &calls(only_wait)).calls;
    assert_eq!(
        [most(BEFORE, Some(false)), most(BEFORE + MIB / 2, Some(true))],
        [2, 16.min((BUDGET / PRESUMED) as usize)]
    );
    // Code that is loaded, or stacks, keep no call from starting.
    assert_eq!(most(BEFORE + 2 * MIB, Some(true)), 16.min((BUDGET / PRESUMED) as usize));
    // A call that has written much may write more.
    assert_eq!(most(BEFORE + BUDGET / 16, Some(true)), 6);
    assert_eq!(most(BEFORE + BUDGET / 2, Some(true)), 2);
}

proptest! {
    #[test]
    fn calls_that_are_alike_keep_the_budget_but_for_one(needs in 1u64..200, threads in 1usize..=32, tells_peak: bool) {
        let mut process = Process::new(threads);
        process.tells_peak = tells_peak;
        let (peak, _) = process.run(std::iter::repeat_n(needs * MIB, 100));
        prop_assert!(peak <= BUDGET + needs * MIB, "{} MiB", peak / MIB);
    }

    #[test]
    fn whatever_calls_need_all_of_them_end(needs in prop::collection::vec(0u64..600, 1..200), threads in 1usize..=32) {
        let mut process = Process::new(threads);
        let (_, ticks) = process.run(needs.iter().map(|needs| needs * MIB));
        prop_assert!(ticks <= needs.len() * TICKS as usize);
        prop_assert_eq!(process.ended, needs.len());
    }

    #[test]
    fn no_figures_make_it_panic(figures in prop::collection::vec(any::<[u64; 6]>(), 1..20), seconds in any::<f64>()) {
        let mut working = Working::new(figures[0][0], figures[0][1], figures[0][2]);
        for [now, peak, results, known, numbers, handed_over] in figures {
            let number = |shift: u32| (numbers >> shift) as u16 as usize;
            let items = Items { now: number(0), most: number(16), ended: number(32), wanted: number(48), seconds, have_results: true };
            let calls = Calls {
                running: number(0),
                most_running: number(16),
                results,
                known,
                ended: number(32),
                handed_over,
                seconds,
                threads: number(48),
                items: Some(items),
                only_wait: [None, Some(false), Some(true)][number(8) % 3],
            };
            working.look(Resident { now, peak: peak.max(now) }, &calls);
        }
    }
}
