//! A model of threads, cores and a device, stepped through by a clock of its own. It tells a climb
//! what a run on such a machine would tell it. So the tests find what pays on that machine, not on
//! this one.

use std::time::{Duration, Instant};

use super::climb::Climb;
use super::waits::Waits;
use crate::system::thread_time::Use;

/// Seconds per step of the model: a tenth of the shortest part of a call.
const STEP: f64 = 0.1e-3;

/// Seconds that a call runs on a core, and then waits for the device.
#[derive(Clone, Copy)]
struct Call {
    runs: f64,
    waits: f64,
}

#[derive(Clone, Copy)]
struct Machine {
    cores: usize,
    /// Threads of other programs, which always have something to run.
    others: usize,
    /// Calls that the device takes at the same time.
    permits: usize,
}

/// A thread of the run, in a call.
struct Thread {
    call: Call,
    used: Use,
    has_permit: bool,
}

impl Thread {
    fn new(call: Call) -> Self {
        let used = Use { seconds: 0.0, ran: 0.0, queued: 0.0, process_ran: 0.0 };
        Self { call, used, has_permit: false }
    }
}

/// The most threads of a run, and their mean number over the last quarter of the items.
#[derive(Debug)]
struct Found {
    most: usize,
    late: f64,
    /// Items that were made when the run first had the most threads.
    reached_at: usize,
}

impl Machine {
    /// Runs `items` items with one call each.
    fn run(self, items: usize, call: impl Fn(usize) -> Call) -> Found {
        let (mut waits, mut climb) = (Waits::default(), Climb::new(self.cores, self.cores, 256));
        let (mut level, mut threads, mut next, mut done) = (self.cores, Vec::new(), 0, 0);
        let (begun, mut now, mut all_ran, mut in_device) = (Instant::now(), 0.0, 0.0, 0);
        let mut found = Found { most: 0, late: 0.0, reached_at: 0 };
        let mut late = (0, 0);
        while done < items {
            while threads.len() < level && next < items {
                threads.push(Thread::new(call(next)));
                next += 1;
            }
            if threads.len() > found.most {
                (found.most, found.reached_at) = (threads.len(), done);
            }
            if done >= items - items / 4 {
                late = (late.0 + 1, late.1 + threads.len());
            }
            now += STEP;
            let running = threads.iter().filter(|thread| thread.call.runs > 0.0).count();
            let share = (self.cores as f64 / (running + self.others) as f64).min(1.0);
            for thread in &mut threads {
                thread.used.seconds += STEP;
                if thread.call.runs > 0.0 {
                    thread.call.runs -= STEP * share;
                    thread.used.ran += STEP * share;
                    thread.used.queued += STEP * (1.0 - share);
                    all_ran += STEP * share;
                } else if thread.has_permit {
                    thread.call.waits -= STEP;
                } else if in_device < self.permits {
                    in_device += 1;
                    thread.has_permit = true;
                }
            }
            let ended = threads.extract_if(.., |Thread { call, .. }| call.runs <= 0.0 && call.waits <= 0.0);
            for Thread { used, has_permit, .. } in ended {
                done += 1;
                in_device -= usize::from(has_permit);
                waits.add(Use { process_ran: used.ran, ..used }, false);
                let at = begun + Duration::from_secs_f64(now);
                let ran = || Some(Duration::from_secs_f64(all_ran));
                level = climb.chunk_ended(at, (1, used.seconds), &waits, true, &ran).unwrap_or(level);
            }
        }
        found.late = late.1 as f64 / late.0 as f64;
        found
    }
}

fn sleeps(_: usize) -> Call {
    Call { runs: 0.0, waits: 5e-3 }
}

const MANY: usize = usize::MAX;

#[test]
fn a_function_that_waits_finds_threads_on_a_busy_machine_too() {
    for cores in [1, 2, 16] {
        for others in [0, 2 * cores, 20 * cores] {
            let found = Machine { cores, others, permits: MANY }.run(4000, sleeps);
            assert!(found.most == 256 && found.reached_at < 1500, "{found:?} on {cores} beside {others}");
        }
    }
}

#[test]
fn a_function_that_computes_gets_no_more_threads_than_cores_on_a_busy_machine_either() {
    for cores in [1, 2, 16] {
        for others in [0, 2 * cores, 20 * cores] {
            for (items, runs) in [(300, 1e-3), (40, 10e-3)] {
                let machine = Machine { cores, others, permits: MANY };
                let found = machine.run(items, |_| Call { runs, waits: 0.0 });
                assert_eq!(found.most, cores, "beside {others}");
            }
        }
    }
}

#[test]
fn a_mixed_function_gets_about_what_keeps_the_cores_busy() {
    let mixed = |_| Call { runs: 1e-3, waits: 4e-3 };
    for cores in [1, 2, 16] {
        let found = Machine { cores, others: 0, permits: MANY }.run(200 * cores, mixed);
        // Five for each core, and some to spare, because their calls don't take turns to wait.
        assert!((5 * cores..=11 * cores).contains(&found.most), "{found:?} on {cores}");
    }
}

#[test]
fn a_device_that_takes_a_few_calls_at_a_time_ends_the_climb() {
    for cores in [1, 2, 4] {
        for permits in [1, 8] {
            let found = Machine { cores, others: 0, permits }.run(400 * permits, sleeps);
            // A step of four times from twice the device's calls is tried, and undone.
            assert!(found.most <= 8 * permits.max(cores), "{found:?} on {cores} for {permits}");
            assert!(found.late <= 3.0 * permits.max(cores) as f64, "{found:?} on {cores} for {permits}");
        }
    }
}

#[test]
fn a_function_that_begins_to_compute_loses_the_threads() {
    for cores in [2, 16] {
        for others in [0, 2 * cores] {
            let machine = Machine { cores, others, permits: MANY };
            let late = |item| if item < 1000 { sleeps(item) } else { Call { runs: 1e-3, waits: 0.0 } };
            let found = machine.run(3000, late);
            assert!(found.most >= 64 && found.late <= 1.5 * cores as f64, "{found:?} on {cores} beside {others}");
        }
    }
}
