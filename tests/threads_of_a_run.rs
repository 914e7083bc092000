//! The threads of a run: the number that stays after its end, and the depth to which a call may
//! recurse on them.
//!
//! Each test is a process of its own, because pools and threads belong to the process.

#[path = "common/child.rs"]
mod child;

use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use child::{is_inside, run_inside};

fn wait(x: u64) -> u64 {
    thread::sleep(Duration::from_millis(3));
    x + 1
}

/// Runs on `threads` threads. Each item waits, so that a run of more than one thread uses them.
fn run_on(threads: usize) {
    let results = process_in_batches(wait, 0..2 * threads as u64 + 8).threads(threads).collect::<Vec<_>>().unwrap();
    assert!(results.into_iter().eq(1..2 * threads as u64 + 9));
}

#[cfg(target_os = "linux")]
mod count {
    use std::fs;

    use super::child::run_inside_with;
    use super::*;

    /// The number of this process's threads with a name that begins so.
    fn threads(name: &str) -> usize {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        // A thread that has just ended has no name.
        tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|own| own.starts_with(name))).count()
    }

    #[test]
    fn many_numbers_of_threads_leave_those_of_a_few_pools() {
        // No run of these has as many threads as the program's own pool, which it would use.
        run_inside_with("count::inside_a_process_with_many_numbers_of_threads", &[("RAYON_NUM_THREADS", "65")]);
    }

    #[test]
    #[ignore = "another test starts it in a process of its own"]
    fn inside_a_process_with_many_numbers_of_threads() {
        if !is_inside() {
            return;
        }
        let mut next = 1;
        let mut kept = process_in_batches(wait, 0..2000).threads(29).batch_size(20).into_iter();
        while threads("amorsize-") == 0 {
            assert_eq!(kept.next(), Some(next));
            next += 1;
        }
        for count in 30..=64 {
            run_on(count);
        }
        for count in 1..=28 {
            run_on(count);
        }
        // The threads of the last pools, and of the run that has not ended. The others end by
        // themselves after a while, and the last ones may have no name yet.
        let expected = 29 + (25..=28).sum::<usize>();
        while threads("amorsize-") != expected {
            thread::yield_now();
        }
        assert!(kept.eq(next..=2000));
        while threads("amorsize-") > expected - 29 {
            thread::yield_now();
        }
        // A pool that was kept is used again.
        let names = |count| {
            let names = Mutex::new(HashSet::new());
            let call = |x| {
                names.lock().unwrap().insert(thread::current().id());
                wait(x)
            };
            process_in_batches(call, 0..300).threads(count).for_each_batch(drop).unwrap();
            names.into_inner().unwrap()
        };
        assert!(names(27).intersection(&names(27)).count() > 1);
    }
}

/// Takes `kib` KiB of the stack, and waits at the bottom.
fn deep(kib: usize) -> usize {
    let place = std::hint::black_box([1u8; 1024]);
    if kib == 0 {
        thread::sleep(Duration::from_millis(3));
        return 0;
    }
    deep(kib - 1) + usize::from(place[kib % 1024])
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
#[test]
fn a_run_s_own_threads_have_the_stack_of_the_pool_s() {
    run_inside("inside_a_program_with_large_stacks");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn inside_a_program_with_large_stacks() {
    if !is_inside() {
        return;
    }
    const STACK: usize = 64 << 20;
    rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global().unwrap();
    // This covers the calling thread too, which runs the first calls.
    let runs = || {
        let names = Mutex::new(HashSet::new());
        let call = |kib| {
            names.lock().unwrap().insert(thread::current().name().unwrap_or_default().to_owned());
            deep(kib)
        };
        // 16 MiB, and as much again for the rest of a frame. If other programs have the cores, a
        // run may not come to more threads.
        for _ in 0..100 {
            let depths = process_in_batches(call, [16 << 10; 300]).collect::<Vec<_>>().unwrap();
            assert_eq!(depths, [16 << 10; 300]);
            if names.lock().unwrap().iter().any(|name| name.starts_with("amorsize-own-")) {
                return;
            }
        }
        println!("skipped, there were no threads but the pool's: {:?}", names.lock().unwrap());
    };
    thread::Builder::new().stack_size(STACK).spawn(runs).unwrap().join().unwrap();
}

#[test]
fn a_stated_number_of_threads_is_of_one_pool() {
    run_inside("inside_a_program_that_states_threads");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn inside_a_program_that_states_threads() {
    if is_inside() {
        for threads in [2, 3, 40] {
            let call = |x| {
                let thread = thread::current();
                assert!(!thread.name().unwrap_or_default().starts_with("amorsize-own-"));
                wait(x)
            };
            process_in_batches(call, 0..400).threads(threads).for_each_batch(drop).unwrap();
        }
    }
}
