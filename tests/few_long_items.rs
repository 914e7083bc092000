//! Few items, with a stated number of threads: calls that wait need not wait for the first one. It
//! has a file of its own, because the process should do nothing else.
//!
//! Windows does not tell how long a thread waited, so that there only the first calls of each core
//! begin before one has ended.

#![cfg(unix)]

use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use amorsize::process_in_batches;

/// More than this takes on the busiest machine.
const HANGS: Duration = Duration::from_secs(600);

#[test]
fn as_many_calls_as_threads_wait_at_the_same_time() {
    for threads in [2, 3, 8, 20] {
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            // Each call waits for all others.
            let barrier = Barrier::new(threads);
            let call = |item: usize| {
                barrier.wait();
                item
            };
            let items =
                process_in_batches(call, 0..threads).threads(threads).max_memory("1GiB").collect::<Vec<_>>().unwrap();
            done.send(items).unwrap();
        });
        let items = is_done.recv_timeout(HANGS).expect("all calls are under way together");
        assert!(items.into_iter().eq(0..threads));
    }
}
