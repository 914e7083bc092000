//! A model of the calling thread that gives batches and the thread that takes their values.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p amorsize --profile loom --lib loom`

use std::sync::Weak;

use ::loom::sync::Arc;
use ::loom::thread;

use super::super::batch::Places;
use super::*;

/// Two batches of two values.
const VALUES: usize = 4;

fn batch(first: usize) -> Batch<usize> {
    let mut places = Places::default();
    places.note(0, first, 2);
    Batch { results: vec![first, first + 1], places, is_restored: false, bin: Weak::new() }
}

/// Gives all batches, as far as they are wanted. The result has the values that were not taken.
fn give_all(exchange: &Exchange<usize>) -> Vec<usize> {
    let _close = exchange.close_on_drop();
    for first in (0..VALUES).step_by(2) {
        let left = match exchange.give(batch(first)) {
            Taken::Whole => continue,
            Taken::Last => Vec::new(),
            Taken::Part(rest) => {
                let values = rest.to_vec();
                assert!(rest.indices().eq(values.iter().copied()));
                values
            }
        };
        return left.into_iter().chain(first + 2..VALUES).collect();
    }
    Vec::new()
}

#[test]
fn each_value_is_taken_once_or_left() {
    for most in 0..=VALUES + 1 {
        ::loom::model(move || {
            let exchange = Arc::new(Exchange::new());
            let of_taker = Arc::clone(&exchange);
            let taker = thread::spawn(move || Iterate::new(of_taker).take(most).collect::<Vec<_>>());
            let left = give_all(&exchange);
            let taken = taker.join().unwrap();
            assert_eq!(taken.len(), most.min(VALUES));
            assert!(taken.into_iter().chain(left).eq(0..VALUES));
        });
    }
}
