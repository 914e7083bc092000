//! A run works on every thread, and never waits for a thread that waits for the run.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amorsize::process_in_batches;
use rayon::prelude::*;

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn slow(x: u64) -> u64 {
    std::thread::sleep(Duration::from_micros(200));
    x + 1
}

fn expected(items: u64) -> Vec<u64> {
    (1..=items).collect()
}

#[test]
fn in_the_callers_pool_whatever_its_size() {
    for threads in 1..=4 {
        pool(threads).install(|| {
            assert_eq!(process_in_batches(slow, 0..500).collect::<Vec<_>>().unwrap(), expected(500));
            let mut batched = Vec::new();
            process_in_batches(slow, 0..500).batch_size(7).for_each_batch(|batch| batched.extend(batch)).unwrap();
            assert_eq!(batched, expected(500));
            assert_eq!(process_in_batches(slow, 0..500).into_iter().collect::<Vec<_>>(), expected(500));
        });
    }
}

#[test]
fn the_function_stays_in_the_callers_pool() {
    let pool = pool(3);
    let sizes = Mutex::new(HashSet::new());
    pool.install(|| {
        let call = |x: u64| {
            sizes.lock().unwrap().insert(rayon::current_num_threads());
            slow(x)
        };
        assert_eq!(process_in_batches(call, 0..500).collect::<Vec<_>>().unwrap().len(), 500);
    });
    assert_eq!(*sizes.lock().unwrap(), HashSet::from([3]));
}

#[test]
fn threads_gives_a_pool_of_that_size_which_is_kept() {
    let names = Mutex::new(HashSet::new());
    for _ in 0..2 {
        let call = |x: u64| {
            slow(x);
            if rayon::current_thread_index().is_some() {
                assert_eq!(rayon::current_num_threads(), 3);
                names.lock().unwrap().insert(std::thread::current().id());
            }
        };
        process_in_batches(call, 0..300).threads(3).for_each_batch(|_| ()).unwrap();
    }
    let names = names.lock().unwrap().len();
    assert!((1..=3).contains(&names), "{names} threads");
}

#[test]
fn no_more_calls_run_at_a_time_than_threads() {
    for threads in 1..=4 {
        let running = AtomicUsize::new(0);
        let most = AtomicUsize::new(0);
        let call = |x: u64| {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            slow(x);
            running.fetch_sub(1, Ordering::SeqCst);
        };
        process_in_batches(call, 0..400).threads(threads).for_each_batch(|_| ()).unwrap();
        assert!(most.load(Ordering::SeqCst) <= threads);
    }
}

#[test]
fn the_function_may_use_rayon_itself() {
    let call = |x: u64| {
        slow(x);
        (0..100u64).into_par_iter().map(|y| x * y).sum::<u64>()
    };
    for threads in 1..=3 {
        let sums: Vec<_> = pool(threads).install(|| process_in_batches(call, 0..300).collect().unwrap());
        assert!(sums.iter().enumerate().all(|(x, &sum)| sum == 4_950 * x as u64));
    }
    let other = pool(2);
    let sums: Vec<_> = process_in_batches(|x| other.install(|| call(x)), 0..300).collect().unwrap();
    assert_eq!(sums[7], 7 * 4_950);
}

#[test]
fn a_run_inside_a_run() {
    let inner = |x: u64| -> u64 {
        process_in_batches(slow, 0..x % 20).for_each_batch(|_| ()).unwrap();
        process_in_batches(slow, 0..x % 20).into_iter().sum()
    };
    for threads in 1..=3 {
        let outer: Vec<u64> = pool(threads).install(|| process_in_batches(inner, 0..100).collect().unwrap());
        assert!(outer.iter().enumerate().all(|(x, &sum)| sum == (1..=x as u64 % 20).sum::<u64>()));
    }
    let own_pools = |x: u64| -> u64 { process_in_batches(slow, 0..x % 20).threads(2).into_iter().sum() };
    let outer: Vec<u64> = process_in_batches(own_pools, 0..100).threads(3).collect().unwrap();
    assert_eq!(outer[19], (1..=19).sum::<u64>());
}

#[test]
fn two_pools_that_call_each_other_do_not_wait_for_ever() {
    let outer = pool(1);
    let total: u64 = outer.install(|| {
        let call = |x: u64| {
            slow(x);
            outer.install(|| x)
        };
        process_in_batches(call, 0..200).threads(2).into_iter().sum()
    });
    assert_eq!(total, (0..200).sum::<u64>());
}

#[test]
fn nor_do_they_within_a_call() {
    let outer = pool(1);
    let calls = AtomicUsize::new(0);
    let nested = |_: u64| {
        let call = |x: u64| {
            slow(x);
            outer.install(|| calls.fetch_add(1, Ordering::Relaxed))
        };
        process_in_batches(call, 0..200).threads(2).into_iter().count()
    };
    let counts: Vec<usize> = outer.install(|| process_in_batches(nested, 0..3).collect().unwrap());
    assert_eq!((counts, calls.into_inner()), (vec![200; 3], 600));
}

#[test]
fn many_callers_at_once() {
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(process_in_batches(slow, 0..100).collect::<Vec<_>>().unwrap(), expected(100));
                }
            });
        }
    });
}

#[test]
fn iterating_runs_on_threads_as_well() {
    let on_workers = AtomicUsize::new(0);
    let call = |x: u64| {
        on_workers.fetch_add(usize::from(rayon::current_thread_index().is_some()), Ordering::Relaxed);
        slow(x)
    };
    assert_eq!(process_in_batches(call, 0..500).threads(2).into_iter().collect::<Vec<_>>(), expected(500));
    assert!(on_workers.swap(0, Ordering::Relaxed) > 400);
    assert_eq!(process_in_batches(call, 0..500).threads(2).unordered().count(), 500);
    assert!(on_workers.load(Ordering::Relaxed) > 400);
}
