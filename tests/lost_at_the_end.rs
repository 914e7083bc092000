//! A run that ends early, for two reasons at once or while code of the user panics, loses nothing:
//! the next terminal gives what no terminal gave.

#[path = "common/caught.rs"]
mod caught;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use amorsize::on_error::Stop;
use amorsize::{ByteSize, CancelToken, ErrorKind, MemorySource, process_in_batches, with_memory_source};
use caught::caught;

#[test]
fn an_error_behind_a_batch_that_the_sink_refused_is_told_next() {
    for panics in [false, true] {
        let call = |x: u32| if x == 3 { Err("three") } else { Ok(x) };
        let mut run = process_in_batches(call, 0..6).on_error(Stop).batch_size(10);
        let sink = |_| if panics { panic!("full") } else { Err::<(), Box<dyn Error>>("full".into()) };
        let ended = caught(|| run.try_for_each_batch(sink).unwrap_err().to_string());
        assert_eq!(ended.is_err(), panics);
        assert!(ended.is_err() || ended.is_ok_and(|text| text == "full"));
        let mut got = Vec::new();
        let failed = run.for_each_batch(|batch| got.extend(batch)).unwrap_err();
        assert_eq!((failed.item(), &got[..]), (Some(3), &[][..]));
        run.for_each_batch(|batch| got.extend(batch)).unwrap();
        assert_eq!(got, [4, 5]);
    }
}

#[test]
fn results_do_not_go_to_a_sink_that_has_refused_a_batch() {
    // The input panics while results are ready that the sink then refuses.
    for _ in 0..50 {
        let broken = AtomicBool::new(false);
        let input = (0..1_500_u64).inspect(|&x| assert!(x != 1_000 || broken.swap(true, SeqCst), "input"));
        let call = |x: u64| {
            thread::sleep(Duration::from_micros(20));
            x
        };
        let mut run = process_in_batches(call, input).threads(2).batch_size(1).max_memory("64MiB");
        let (mut got, mut failed) = (Vec::new(), None);
        let first = caught(|| {
            run.try_for_each_batch(|batch| {
                if batch.first_index() > 900 {
                    // Results come in meanwhile.
                    thread::sleep(Duration::from_micros(500));
                }
                if broken.load(SeqCst) && failed.is_none() {
                    failed = Some(batch.first_index());
                    return Err("full".to_owned());
                }
                got.extend(batch.indices().zip(batch));
                Ok(())
            })
        });
        // If both come at once, the sink's error is told first, and the panic next.
        let mut ends = usize::from(first.is_err());
        while caught(|| run.for_each_batch(|batch| got.extend(batch.indices().zip(batch))).unwrap()).is_err() {
            ends += 1;
        }
        assert_eq!(ends, 1, "the panic comes once");
        assert!(got.iter().all(|&(index, x)| x == index as u64 + u64::from(index >= 1_000)), "{failed:?}");
        let indices = got.iter().map(|&(index, _)| index);
        assert!(indices.eq((0..1_499).filter(|&index| Some(index) != failed)), "{failed:?}");
    }
}

/// Panics if it is told to.
struct Source<'a>(&'a AtomicBool);

impl MemorySource for Source<'_> {
    fn available(&self) -> Option<ByteSize> {
        Some(ByteSize::gib(4))
    }

    fn resident(&self) -> Option<ByteSize> {
        assert!(!self.0.load(SeqCst), "source");
        Some(ByteSize::mib(64))
    }
}

static PANICS: AtomicBool = AtomicBool::new(false);

#[test]
fn a_memory_source_that_panics_takes_no_results_along() {
    let call = |x: u64| {
        thread::sleep(Duration::from_micros(200));
        if x == 50 {
            PANICS.store(true, SeqCst);
        }
        vec![x; 100]
    };
    let mut run = process_in_batches(call, 0..200).threads(1);
    let mut got = Vec::new();
    with_memory_source(Source(&PANICS), || {
        let ended = caught(|| run.for_each_batch(|batch| got.extend(batch.indices().zip(batch))));
        assert!(ended.is_err());
        PANICS.store(false, SeqCst);
        while caught(|| run.for_each_batch(|batch| got.extend(batch.indices().zip(batch))).unwrap()).is_err() {}
    });
    assert!(got.iter().all(|(index, values)| values[0] == *index as u64));
    assert!(got.iter().map(|&(index, _)| index).eq(0..200));
}

static PANICS_AT_THE_END: AtomicBool = AtomicBool::new(false);

#[test]
fn nor_when_the_run_has_ended() {
    let call = |x: u64| {
        if x == 500 && !PANICS_AT_THE_END.swap(true, SeqCst) {
            panic!("call");
        }
        vec![x; 10]
    };
    let mut run = process_in_batches(call, 0..1_000).threads(2);
    let mut all: Vec<Vec<u64>> = Vec::new();
    with_memory_source(Source(&PANICS_AT_THE_END), || {
        assert!(caught(|| run.collect::<Vec<_>>()).is_err());
        PANICS_AT_THE_END.store(false, SeqCst);
        while caught(|| run.collect_into(&mut all).map(drop).unwrap()).is_err() {
            PANICS_AT_THE_END.store(false, SeqCst);
        }
    });
    assert!(all.iter().map(|values| values[0]).eq((0..1_000).filter(|&x| x != 500)));
}

#[test]
fn items_that_a_run_skips_are_skipped_once() {
    for panics_in_drop in [false, true] {
        struct Item(u64, bool);

        impl Drop for Item {
            fn drop(&mut self) {
                assert!(!self.1, "drop");
            }
        }

        let mut once = true;
        let input = (0..100_u64).map(move |x| {
            let panics = x == 5 && std::mem::take(&mut once);
            assert!(!panics || panics_in_drop, "input");
            Item(x, panics)
        });
        let call = |item: Item| item.0;
        let mut run = process_in_batches(call, input).skip_first(10);
        let mut got = Vec::new();
        assert!(caught(|| run.for_each_batch(|batch| got.extend(batch.indices().zip(batch)))).is_err());
        run.for_each_batch(|batch| got.extend(batch.indices().zip(batch))).unwrap();
        // A panic of the input is an item that it did not give.
        let missing = u64::from(!panics_in_drop);
        let expected: Vec<_> = (10 + missing..100).map(|x| ((x - missing) as usize, x)).collect();
        assert_eq!(got, expected);
    }
}

#[test]
fn a_panic_of_the_last_item_that_is_skipped_is_told() {
    struct Item(bool);

    impl Drop for Item {
        fn drop(&mut self) {
            assert!(!self.0, "drop");
        }
    }

    let items: Vec<_> = (0..10).map(|x| Item(x == 9)).collect();
    let mut run = process_in_batches(|_: Item| (), items).skip_first(10);
    assert!(caught(|| run.for_each_batch(drop)).is_err());
    assert_eq!(run.for_each_batch(drop).unwrap().items(), 0);
}

#[test]
fn an_error_of_the_sink_is_told_although_a_memory_source_panics_with_it() {
    static IS_BROKEN: AtomicBool = AtomicBool::new(false);
    struct Broken;

    impl MemorySource for Broken {
        fn available(&self) -> Option<ByteSize> {
            Some(ByteSize::gib(4))
        }

        fn resident(&self) -> Option<ByteSize> {
            assert!(!IS_BROKEN.load(SeqCst), "source");
            Some(ByteSize::mib(64))
        }
    }

    for threads in [1, 2] {
        IS_BROKEN.store(false, SeqCst);
        let call = |x: u64| {
            thread::sleep(Duration::from_millis(1));
            x
        };
        let mut run = process_in_batches(call, 0..500).threads(threads).batch_size(5);
        with_memory_source(Broken, || {
            let ended = caught(|| {
                run.try_for_each_batch(|batch| -> Result<(), Box<dyn Error>> {
                    if batch.first_index() < 100 {
                        return Ok(());
                    }
                    IS_BROKEN.store(true, SeqCst);
                    Err("full".into())
                })
            });
            assert_eq!(ended.expect("no panic").unwrap_err().to_string(), "full");
        });
    }
}

#[test]
fn a_cancel_counts_the_calls_that_were_in_flight() {
    for threads in [1, 2, 3] {
        let token = CancelToken::new();
        let call = |x: u64| {
            if x == 6 {
                token.cancel();
            }
            thread::sleep(Duration::from_millis(20));
            x
        };
        let run = process_in_batches(call, 0..1_000).threads(threads).batch_size(1);
        let mut given = 0;
        let ended = run.cancel_token(&token).for_each_batch(|batch| given += batch.len()).unwrap_err();
        let ErrorKind::Cancelled { items_done, .. } = *ended.kind() else { panic!("{ended}") };
        assert!(given <= items_done, "{given} of {items_done}");
    }
}
