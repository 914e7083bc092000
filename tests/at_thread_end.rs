//! A run works in the destructor of a thread-local, even if other thread-locals are gone by then. A
//! panic there would end the process, so each test is a process of its own.

#[path = "common/child.rs"]
mod child;
#[path = "common/terminals.rs"]
mod terminals;

#[path = "common/caught.rs"]
mod caught;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use amorsize::on_error::Skip;
use amorsize::{batched, process_in_batches, progress_bar};
use caught::caught;
use child::{is_inside, run_inside};
use terminals::add_one_by_each;

/// The number of runs that came to their end.
static ENDED: AtomicUsize = AtomicUsize::new(0);
const ITEMS: usize = 200;

fn slow(x: usize) -> usize {
    thread::sleep(Duration::from_micros(100));
    x + 1
}

#[batched]
fn shared(x: usize) -> Vec<Arc<String>> {
    // Both owners of the text are asked for their part of it.
    let text = Arc::new(slow(x).to_string());
    vec![Arc::clone(&text), text]
}

fn all_kinds_of_runs() {
    let expected: Vec<_> = (1..=ITEMS).collect();
    for threads in [None, Some(1), Some(2)] {
        let report = add_one_by_each(slow, ITEMS, threads);
        assert!(!report.explain().is_empty() && !report.to_svg().is_empty());
        let mut run = process_in_batches(slow, 0..ITEMS);
        if let Some(threads) = threads {
            run = run.threads(threads);
        }
        assert!(run.plan().unwrap().threads() >= 1);
    }
    assert_eq!(shared_batched(0..ITEMS).collect::<Vec<_>>().unwrap().len(), ITEMS);
    // A run within a call, a pipeline, a policy for errors, a panic.
    let outer = |x: usize| process_in_batches(slow, 0..x).collect::<Vec<_>>().unwrap().len();
    assert_eq!(process_in_batches(outer, [50; 20]).threads(2).collect::<Vec<_>>().unwrap(), [50; 20]);
    let parse = |x: usize| if x.is_multiple_of(2) { Ok(slow(x)) } else { Err("odd") };
    assert_eq!(process_in_batches(parse, 0..ITEMS).on_error(Skip).collect::<Vec<_>>().unwrap().len(), ITEMS / 2);
    let panics = |x: usize| if x == 100 { std::panic::resume_unwind(Box::new("as planned")) } else { slow(x) };
    let mut run = process_in_batches(panics, 0..ITEMS).threads(2);
    let mut finished = Vec::new();
    assert!(caught(|| run.collect_into(&mut finished)).is_err());
    assert_eq!(finished.len(), 100);
    let mut verbose = process_in_batches(slow, 0..ITEMS).verbose(true).threads(2);
    assert_eq!(verbose.collect::<Vec<_>>().unwrap(), expected);
    let mut told = process_in_batches(slow, 0..ITEMS).progress(progress_bar()).threads(2);
    assert_eq!(told.collect::<Vec<_>>().unwrap(), expected);
    ENDED.fetch_add(1, Ordering::SeqCst);
}

/// A value with a destructor that starts runs.
struct AtEnd(Cell<bool>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if self.0.get() {
            all_kinds_of_runs();
        }
    }
}

thread_local! {
    static BEFORE: AtEnd = const { AtEnd(Cell::new(false)) };
    static AFTER: AtEnd = const { AtEnd(Cell::new(false)) };
}

/// Makes runs start both before and after the thread-locals of a run are gone. The order of
/// destructors depends on the first use of each.
fn arm() {
    BEFORE.with(|at_end| at_end.0.set(true));
    all_kinds_of_runs();
    AFTER.with(|at_end| at_end.0.set(true));
}

#[test]
fn a_run_in_the_destructor_of_a_thread_local_works() {
    run_inside("inside_a_thread_that_ends");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn inside_a_thread_that_ends() {
    if is_inside() {
        thread::spawn(arm).join().unwrap();
        // A thread that has used nothing of the library before.
        thread::spawn(|| AFTER.with(|at_end| at_end.0.set(true))).join().unwrap();
        assert_eq!(ENDED.load(Ordering::SeqCst), 4);
    }
}

#[test]
fn so_does_one_of_a_pools_worker() {
    run_inside("inside_a_worker_that_ends");
}

#[test]
#[ignore = "another test starts it in a process of its own"]
fn inside_a_worker_that_ends() {
    if is_inside() {
        let (told, ended) = std::sync::mpsc::channel();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            // Joining these threads waits for their end.
            .spawn_handler(|worker| {
                let thread = thread::Builder::new().spawn(|| worker.run());
                thread.map(|thread| told.send(thread).unwrap())
            })
            .build()
            .unwrap();
        pool.broadcast(|_| arm());
        drop(pool);
        drop(told);
        ended.iter().for_each(|thread: thread::JoinHandle<()>| thread.join().unwrap());
        assert_eq!(ENDED.load(Ordering::SeqCst), 6);
    }
}
