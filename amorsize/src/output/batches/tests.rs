//! Tests of the credit that outlets hold.

use crate::durable::Handle;
use proptest::prelude::*;

use super::*;
use crate::log::verbose::Verbose;
use crate::memory::budget::Ledger;
use crate::output::pull::Buffer;
use crate::policy::on_error::{Each, Skip, Stop};
use crate::units::ByteSize;

type Number = Result<u32, String>;

fn results(are_good: &[bool]) -> Vec<Number> {
    are_good.iter().map(|&is_good| if is_good { Ok(1) } else { Err("no number".into()) }).collect()
}

/// Hands chunks of results over in batches of `asked`, with a sink that ends the run at a batch, and
/// may leave some of its values. In all cases the results that exist hold credit, and no others
/// do, and each is given once or left.
fn check_batches<P: Policy<Number>>(chunks: &[Vec<bool>], asked: usize, last_batch: usize, leaves: usize) {
    let ledger = Ledger::new(ByteSize::kib(1));
    let types = Types::<u32, Number>::new();
    let (mut seen, mut batches, mut given) = (Seen::NONE, 0, 0);
    let mut sink = |mut batch: Batch<P::Value>| {
        batches += 1;
        given += batch.len();
        if batches < last_batch || leaves == 0 {
            return Taken::whole(batches < last_batch);
        }
        let taken = batch.len().saturating_sub(leaves);
        given -= batch.len() - taken;
        batch.results.drain(..taken);
        batch.places = batch.places.split_off(taken);
        Taken::Part(Box::new(batch))
    };
    let handover = Handover::new(Verbose::new(false), &ledger);
    let mut outlet = Batches::<_, _, P>::new(types, (Some(asked), handover, Handle::default()), &mut seen, &mut sink);
    let (mut start, mut flow) = (0, Flow::Continue);
    for chunk in chunks {
        let credit = Credit::of_results(&ledger, chunk.len(), 10 * chunk.len() as u64, 0);
        flow = outlet.accept(types.results_of(results(chunk), credit), start);
        start += chunk.len();
        let left = outlet.left.as_ref().map_or(0, |(results, _)| results.len());
        let (there, held) = (outlet.open.len() + left, ledger.results());
        assert!(held.results >= there, "{held:?} of {there} results");
        assert_eq!(held.bytes > 0, there > 0, "{held:?} of {there} results");
        assert_eq!(ledger.held().as_u64(), held.bytes);
        if flow != Flow::Continue {
            break;
        }
    }
    if flow == Flow::Continue && outlet.flush() == Flow::Continue {
        assert_eq!((ledger.held(), ledger.results().results), (ByteSize::ZERO, 0));
    }
    let Ending { handed_over, left, .. } = outlet.finish();
    let there = left.iter().map(|(results, _)| results.len()).sum::<usize>();
    assert_eq!(ledger.results().results, there);
    assert_eq!(handed_over.items, given);
    drop(left);
    assert_eq!((ledger.held(), ledger.results().results), (ByteSize::ZERO, 0));
}

/// Adds chunks of results to an iterator's buffer, and takes `given` of them out.
fn check_buffer(chunks: &[Vec<bool>], given: usize) {
    let ledger = Ledger::new(ByteSize::kib(1));
    let types = Types::<u32, Number>::new();
    let mut buffer = Buffer::new(types);
    let mut all = 0;
    for chunk in chunks {
        let credit = Credit::of_results(&ledger, chunk.len(), 10 * chunk.len() as u64, 0);
        buffer.accept(types.results_of(results(chunk), credit), all);
        all += chunk.len();
    }
    let given = (0..given).map_while(|_| buffer.next()).count();
    let there = all - given;
    assert!(ledger.results().results >= there);
    let left = buffer.into_left();
    assert_eq!(left.iter().map(|(results, _)| results.len()).sum::<usize>(), there);
    let held = ledger.results();
    assert_eq!((held.results, held.bytes > 0), (there, there > 0));
    drop(left);
    assert_eq!((ledger.held(), ledger.results().results), (ByteSize::ZERO, 0));
}

proptest! {
    #[test]
    fn results_hold_their_credit_until_they_are_handed_over(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 1..6), 1..6),
        asked in 1..8usize,
        last_batch in 1..8usize,
        given in 0..30usize,
        leaves in 0..8usize,
    ) {
        check_batches::<Each>(&chunks, asked, last_batch, leaves);
        check_batches::<Skip>(&chunks, asked, last_batch, leaves);
        check_batches::<Stop>(&chunks, asked, last_batch, leaves);
        check_buffer(&chunks, given);
    }
}

#[test]
fn a_failure_behind_what_is_open_takes_no_credit_from_it() {
    check_batches::<Skip>(&[vec![true, false], vec![true]], 5, 8, 0);
    check_batches::<Stop>(&[vec![true, false, true]], 5, 8, 0);
}

#[test]
fn a_sink_that_panics_gives_back_the_credit_of_its_batch() {
    let ledger = Ledger::new(ByteSize::kib(1));
    let types = Types::<u32, Number>::new();
    let mut seen = Seen::NONE;
    let mut sink = |_: Batch<Number>| -> Taken<Number> { std::panic::resume_unwind(Box::new(())) };
    let handover = Handover::new(Verbose::new(false), &ledger);
    let mut outlet = Batches::<_, _, Each>::new(types, (Some(2), handover, Handle::default()), &mut seen, &mut sink);
    let credit = Credit::of_results(&ledger, 3, 30, 0);
    assert_eq!(outlet.accept(types.results_of(results(&[true; 3]), credit), 0), Flow::Stop);
    let ending = outlet.finish();
    // The third result is left, with all bytes.
    assert!(ending.panic.is_some());
    assert_eq!((ledger.held(), ledger.results().results), (ByteSize::new(30), 1));
    drop(ending);
    assert_eq!(ledger.held(), ByteSize::ZERO);
}
