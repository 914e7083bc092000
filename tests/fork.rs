//! A child that was made by `fork` runs as its parent does, although it has no thread of the
//! parent's pools.
//!
//! A process keeps its pools to its end, so each test is a process of its own, and forks from
//! there.
#![cfg(any(target_os = "linux", target_vendor = "apple"))]
#![expect(unsafe_code, reason = "`fork` is what is tested")]

#[path = "common/child.rs"]
mod child;
#[path = "common/folder.rs"]
mod folder;
#[path = "common/terminals.rs"]
mod terminals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use child::{is_inside, run_inside, run_inside_with};
use folder::Folder;
use rayon::prelude::*;
use terminals::add_one_by_each;

const ITEMS: usize = 100;
/// The seconds after which a child that hangs is ended: far more than any child needs.
const PATIENCE: u32 = 600;

fn slow(x: usize) -> usize {
    thread::sleep(Duration::from_micros(200));
    x + 1
}

/// Runs on the pool that a run finds, and on pools of several sizes.
fn runs() {
    for threads in [None, Some(2), Some(3)] {
        _ = add_one_by_each(slow, ITEMS, threads);
    }
    // A run within a call of another, and calls that wait, which run on the run's own threads.
    let outer = |x| process_in_batches(slow, 0..x).collect::<Vec<_>>().unwrap().len();
    assert_eq!(process_in_batches(outer, [50; 20]).collect::<Vec<_>>().unwrap(), [50; 20]);
    let wait = |x| thread::sleep(Duration::from_millis(x));
    assert_eq!(process_in_batches(wait, [5; 40]).for_each_batch(drop).unwrap().items(), 40);
}

/// Calls `body` in a child made by `fork`, and returns true if it came to its end.
fn forked(body: impl FnOnce()) -> bool {
    // SAFETY: the child goes on with this thread alone, and always ends with `_exit`. Other threads
    // of the parent may hold locks, but the child takes only those of the allocator, which are free
    // after a `fork`, and those that are tested.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "{}", std::io::Error::last_os_error());
    if child == 0 {
        // SAFETY: this ends the process if it takes too long.
        unsafe { libc::alarm(PATIENCE) };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
        // SAFETY: nobody needs anything of this process any longer.
        unsafe { libc::_exit(if ended { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a number that is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

macro_rules! in_a_process_of_its_own {
    ($($(#[$meta:meta])* fn $test:ident as $inside:ident $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $test() {
            run_inside(stringify!($inside));
        }

        #[test]
        #[ignore = "another test starts it in a process of its own"]
        fn $inside() {
            if is_inside() $body
        }
    )*};
}

in_a_process_of_its_own! {
    fn a_child_runs_whose_parent_has_run_nothing as inside_a_parent_that_has_run_nothing {
        assert!(forked(runs));
        runs();
    }

    fn a_child_runs_whose_parent_has as inside_a_parent_that_has_run {
        runs();
        for _ in 0..2 {
            assert!(forked(runs));
            runs();
        }
    }

    fn a_child_runs_whose_parent_has_used_rayon_alone as inside_a_parent_that_has_used_rayon {
        assert_eq!((0..ITEMS).into_par_iter().map(slow).count(), ITEMS);
        if cfg!(target_os = "linux") {
            assert!(forked(runs));
        }
        runs();
    }

    fn a_childs_child_runs as inside_a_parent_with_a_grandchild {
        runs();
        assert!(forked(|| {
            runs();
            assert!(forked(runs));
            runs();
        }));
        // The parent of this one runs nothing.
        assert!(forked(|| assert!(forked(runs))));
    }

    fn a_child_that_a_worker_made_runs as inside_a_parent_that_forks_on_a_worker {
        runs();
        // A worker of the global pool, one of the program's own pool, and a call on each kind of
        // thread.
        assert!(rayon::broadcast(|worker| worker.index() > 0 || forked(runs)).into_iter().all(|ended| ended));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert!(pool.install(|| forked(runs)));
        for threads in [1, 2, 3] {
            let call = |x: usize| {
                slow(x);
                !x.is_multiple_of(50) || forked(runs)
            };
            let ended = process_in_batches(call, 0..ITEMS).threads(threads).collect::<Vec<_>>().unwrap();
            assert!(ended.into_iter().all(|ended| ended), "{threads} threads");
        }
        runs();
    }

    fn a_child_that_a_worker_of_rayon_made_runs as inside_a_parent_that_forks_on_a_worker_of_rayon {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        if cfg!(target_os = "linux") {
            assert!(pool.install(|| forked(runs)));
        }
        pool.install(runs);
    }

    fn a_child_runs_that_is_made_while_others_run as inside_a_parent_that_is_busy {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for threads in [2, 5] {
                let over = &over;
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let few = process_in_batches(slow, 0..20);
                        few.threads(threads).batch_size(3).for_each_batch(drop).unwrap();
                    }
                });
            }
            let all_ended = (0..5).all(|_| forked(runs));
            over.store(true, Ordering::Relaxed);
            assert!(all_ended);
        });
    }

    fn an_iterator_goes_on_in_the_child_and_in_the_parent as inside_a_parent_that_iterates {
        for threads in [2, 3] {
            let mut results = process_in_batches(slow, 0..5 * ITEMS).threads(threads).batch_size(20).into_iter();
            let begun: Vec<_> = results.by_ref().take(ITEMS).collect();
            assert!(begun.into_iter().eq(1..=ITEMS));
            assert!(forked(|| assert!(results.by_ref().eq(ITEMS + 1..=5 * ITEMS))));
            // The child had a copy.
            assert!(results.by_ref().eq(ITEMS + 1..=5 * ITEMS));
            // The child drops this run half way.
            let mut dropped = Some(process_in_batches(slow, 0..5 * ITEMS).threads(threads).into_iter());
            assert_eq!(dropped.as_mut().unwrap().next(), Some(1));
            assert!(forked(|| {
                drop(dropped.take());
                runs();
            }));
        }
    }

    fn a_pool_that_the_child_makes_is_used as inside_a_parent_whose_child_makes_a_pool {
        runs();
        assert!(forked(|| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            pool.install(|| {
                let call = |x| {
                    slow(x);
                    rayon::current_num_threads()
                };
                let threads = process_in_batches(call, 0..ITEMS).collect::<Vec<_>>().unwrap();
                assert!(threads.into_iter().all(|threads| threads == 3));
            });
        }));
    }

    fn a_child_leaves_the_checkpoint_to_its_parent as inside_a_parent_with_a_checkpoint {
        let folder = Folder::new("fork-checkpoint");
        let run = || process_in_batches(slow, 0..5 * ITEMS).version(1).checkpoint(folder.file("run"));
        for threads in [1, 3] {
            let mut results = run().threads(threads).batch_size(20).into_iter();
            assert!(results.by_ref().take(ITEMS).eq(1..=ITEMS));
            // The child goes on with the run, and another one drops it.
            assert!(forked(|| {
                let all = catch_unwind(AssertUnwindSafe(|| results.by_ref().for_each(drop)));
                let payload = all.expect_err("the child can't write the results");
                let says = payload.downcast_ref::<String>().expect("a message");
                assert!(says.contains("a child that it forked; let the parent go on"), "{says}");
            }));
            let mut dropped = Some(results);
            assert!(forked(|| drop(dropped.take())));
            let mut results = dropped.take().unwrap();
            // The lock is the parent's as before.
            let busy = run().collect::<Vec<_>>().unwrap_err().to_string();
            assert!(busy.contains("is in use by another run"), "{busy}");
            assert!(results.by_ref().eq(ITEMS + 1..=5 * ITEMS));
            drop(results);
            let report = run().for_each_batch(drop).unwrap();
            assert_eq!(report.restored(), 5 * ITEMS);
            std::fs::remove_dir_all(folder.file("run")).unwrap();
        }
    }

    fn a_child_that_drops_results_removes_none_of_its_parents as inside_a_parent_with_results {
        let folder = Folder::new("fork-results");
        let run = process_in_batches(slow, 0..ITEMS).version(1);
        let spilled = run.checkpoint(folder.file("run")).remove_when_done(true).spill().unwrap();
        let mut spilled = Some(spilled);
        assert!(forked(|| drop(spilled.take())));
        let spilled = spilled.unwrap();
        assert!(spilled.iter().map(Result::unwrap).eq(1..=ITEMS));
        drop(spilled);
        assert!(!folder.file("run").exists());
    }
}

/// The threads of the global pool in the next test. Starting them takes some milliseconds.
#[cfg(target_os = "linux")]
const MANY: usize = 200;

#[test]
#[cfg(target_os = "linux")]
fn a_child_runs_that_is_made_while_the_global_pool_starts() {
    run_inside_with("inside_a_parent_that_starts_the_global_pool", &[("RAYON_NUM_THREADS", &MANY.to_string())]);
}

#[test]
#[ignore = "another test starts it in a process of its own"]
#[cfg(target_os = "linux")]
fn inside_a_parent_that_starts_the_global_pool() {
    if !is_inside() {
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    thread::scope(|scope| {
        let run = || process_in_batches(slow, 0..ITEMS).threads(MANY).for_each_batch(drop).unwrap();
        scope.spawn(run);
        while threads() < before + 10 {
            std::hint::spin_loop();
        }
        assert!(forked(runs));
    });
}
