//! A call may hold a lock while it waits for another run. Meanwhile its thread starts no second
//! call, which would ask for the same lock.

use std::sync::{Barrier, Mutex, Once, mpsc};
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;
use rayon::ThreadPoolBuilder;

/// More than any of these runs takes on the busiest machine.
const HANGS: Duration = Duration::from_secs(600);

fn within_time(run: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        run();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(HANGS).expect("the run ends");
}

fn spin(item: u64) -> u64 {
    (0..item % 50 * 20).fold(item, |state, step| std::hint::black_box(state.wrapping_mul(31) ^ step))
}

/// A call that holds `lock` while another run goes on.
fn locked(lock: &Mutex<u64>, item: u64) -> u64 {
    spin(item);
    let mut sum = lock.lock().unwrap();
    let inner = process_in_batches(spin, 0..200).threads(2).collect::<Vec<_>>().unwrap();
    *sum += inner.len() as u64;
    drop(sum);
    item
}

#[test]
fn a_call_holds_a_lock_while_it_waits_for_an_inner_run() {
    for threads in [1, 2, 3] {
        within_time(move || {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..20 {
                let lock = Mutex::new(0);
                let call = |item| locked(&lock, item);
                let run = || process_in_batches(call, 0..60).collect::<Vec<_>>().unwrap();
                assert!(pool.install(run).into_iter().eq(0..60));
                assert_eq!(lock.into_inner().unwrap(), 60 * 200);
            }
        });
    }
}

#[test]
fn so_do_calls_of_two_runs_that_share_it() {
    within_time(|| {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for _ in 0..20 {
            let lock = Mutex::new(0);
            let run = || {
                let call = |item| locked(&lock, item);
                pool.install(|| process_in_batches(call, 0..40).collect::<Vec<_>>().unwrap())
            };
            let (left, right) = thread::scope(|scope| {
                let (left, right) = (scope.spawn(run), scope.spawn(run));
                (left.join().unwrap(), right.join().unwrap())
            });
            assert!(left.into_iter().chain(right).eq((0..40).chain(0..40)));
        }
    });
}

#[test]
fn so_do_calls_of_a_run_outside_of_the_pool() {
    within_time(|| {
        for _ in 0..20 {
            let lock = Mutex::new(0);
            let results = process_in_batches(|item| locked(&lock, item), 0..60).threads(3).collect::<Vec<_>>().unwrap();
            assert!(results.into_iter().eq(0..60));
        }
    });
}

#[test]
fn runs_within_runs_within_runs_go_on_while_each_holds_its_lock() {
    within_time(|| {
        let (outer, middle) = (Mutex::new(()), Mutex::new(()));
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let innermost = |item: u64| locked(&Mutex::new(0), item);
        let inner = |item: u64| {
            let _middle = middle.lock().unwrap();
            spin(item) + process_in_batches(innermost, 0..5).collect::<Vec<_>>().unwrap().len() as u64
        };
        let call = |item: u64| {
            let _outer = outer.lock().unwrap();
            spin(item) + process_in_batches(inner, 0..5).collect::<Vec<_>>().unwrap().len() as u64
        };
        let results = pool.install(|| process_in_batches(call, 0..30).collect::<Vec<_>>()).unwrap();
        assert_eq!(results.len(), 30);
    });
}

/// Two calls of a run each start a run. That of the first call is on other threads, so that the
/// call's own thread looks for work in the pool. There it meets jobs of the second call's run,
/// which may ask for a lock that the first call holds.
#[test]
fn a_call_that_holds_a_lock_takes_up_none_of_a_run_that_another_call_started() {
    within_time(|| {
        let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let (both_begun, is_done, looked) = (Barrier::new(2), Barrier::new(2), Once::new());
        let hold = |item| {
            if item == 0 {
                is_done.wait();
            }
        };
        let ask = |asker| {
            let thread = thread::current().id();
            if thread == asker {
                looked.call_once(|| {
                    // The other thread takes the oldest work first: before this, it has met the job
                    // for the next call of this run.
                    let (looks, has_looked) = mpsc::channel();
                    rayon::spawn(move || looks.send(()).unwrap());
                    has_looked.recv_timeout(HANGS).expect("the other thread looks for work");
                });
            }
            thread
        };
        let call = |item| {
            both_begun.wait();
            if item == 0 {
                return process_in_batches(hold, 0..3).threads(3).for_each_batch(drop).map(drop).unwrap();
            }
            let asker = thread::current().id();
            let threads = process_in_batches(ask, [asker; 4]).threads(2).collect::<Vec<_>>().unwrap();
            is_done.wait();
            assert_eq!(threads, [asker; 4]);
        };
        let run = || process_in_batches(call, 0..2).threads(2).max_memory("1GiB").collect::<Vec<_>>();
        assert_eq!(pool.install(run).unwrap().len(), 2);
    });
}
