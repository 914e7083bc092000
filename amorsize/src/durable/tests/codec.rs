//! How much is decoded at once.

use super::*;

#[test]
fn a_result_that_takes_more_memory_than_its_value_is_counted_with_it() {
    let run = process_in_batches(|_: u8| Ok::<_, [u64; 15]>(()), 0..3).version(1).on_error(Collect).checkpoint("runs");
    let codec = run.shared().durable.as_ref().unwrap().checkpoint.as_ref().unwrap().1;
    let (directory, identity) = (Scratch::new("larger"), identity(&run));
    let writer = Store::open(&directory.0, &identity).unwrap().writer(Settings::new(u64::MAX)).unwrap();
    let mut encoded = Encoded::new(0);
    for _ in 0..1_000 {
        run.shared().push(&codec, &mut encoded, 7, &Ok(())).unwrap().unwrap();
    }
    writer.put(encoded);
    writer.finish().unwrap();
    let mut store = Store::open(&directory.0, &identity).unwrap();
    let done = store.found.done[0];
    let mut restored = store.read(&done).unwrap();
    let mut take = |most| (codec.take)(&mut restored, most).unwrap().len();
    assert_eq!((take(0), take(128), take(12_800), take(usize::MAX)), (1, 1, 100, 898));
}
