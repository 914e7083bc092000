use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::*;
use crate::memory::measure::Heap;

/// A fill is not cut short, even on a busy machine.
const AT_ONCE: Way = Way::Inline { timed: false };

type Value = Arc<u32>;
type Both = Types<Value, Value>;

fn filled(types: Both, values: &[Value]) -> Box<RawChunk> {
    let mut chunk = types.chunk();
    types.fill(&mut chunk, &mut values.iter().cloned(), values.len(), None, (&mut Asks::at_once(), AT_ONCE));
    chunk
}

/// Runs `count` items of a chunk, in its own room or in the room that it was given.
fn run(types: Both, chunk: &mut RawChunk, count: usize) {
    chunk.results.ensure(count);
    types.quota(chunk, count).run(|item| item);
}

fn run_in(types: Both, room: Results, values: &[Value]) -> Results {
    let mut chunk = filled(types, values);
    chunk.results = room;
    run(types, &mut chunk, values.len());
    chunk.results.take()
}

fn values(count: u32) -> Vec<Value> {
    (0..count).map(Arc::new).collect()
}

fn all_dropped_but_mine(values: &[Value]) -> bool {
    values.iter().all(|value| Arc::strong_count(value) == 1)
}

fn add(all: &mut Collection, results: Results) {
    assert!(all.make_room(&results, 0), "credit of no ledger is free");
    all.add(results);
}

#[test]
fn items_come_out_in_order_and_the_rest_is_dropped_once() {
    let (mine, types) = (values(10), Both::new());
    let mut chunk = filled(types, &mine);
    chunk.results.ensure(10);
    types.quota(&mut chunk, 4).run(|item| item);
    assert_eq!(
        (types.first_items_of(&chunk, chunk.items()), types.last_of(&chunk.results, 4)),
        (&mine[4..], &mine[..4])
    );
    drop(chunk);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn a_buffer_is_filled_again() {
    let types = Types::<u32, u32>::new();
    let mut chunk = types.chunk();
    for round in 0..3u32 {
        types.fill(&mut chunk, &mut (0..100).map(|i| i + round), 5, None, (&mut Asks::at_once(), AT_ONCE));
        chunk.results.ensure(5);
        types.quota(&mut chunk, 5).run(|item| item);
        assert_eq!(types.into_vec(chunk.results.take()), (round..round + 5).collect::<Vec<_>>());
    }
}

#[test]
fn splitting_moves_the_tail() {
    let (mine, types) = (values(10), Both::new());
    let mut chunk = filled(types, &mine);
    chunk.results.ensure(10);
    types.quota(&mut chunk, 3).run(|item| item);
    let rest = chunk.split_off(2, 7);
    assert_eq!(
        (types.first_items_of(&chunk, chunk.items()), types.first_items_of(&rest, rest.items())),
        (&mine[3..5], &mine[5..])
    );
    drop((chunk, rest));
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn places_are_not_taken_back_while_a_region_is_out() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    let (first, second) = (all.place(3), all.place(3));
    add(&mut all, run_in(types, first, &mine[..3]));
    assert!(catch_unwind(AssertUnwindSafe(|| all.reclaim())).is_err());
    drop(second);
    all.reclaim();
    let room = all.place(3);
    add(&mut all, run_in(types, room, &mine[3..]));
    assert_eq!(types.into_vec(all.into_results()), mine);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn a_panic_loses_its_item_alone() {
    let (mine, types) = (values(10), Both::new());
    let mut chunk = filled(types, &mine);
    chunk.results.ensure(10);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        types.quota(&mut chunk, 10).run(|item| if *item == 6 { panic!("six") } else { item });
    }));
    assert!(outcome.is_err());
    assert_eq!((chunk.results.len(), chunk.items()), (6, 3));
    drop(chunk);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn an_item_is_put_back_where_one_was_taken_out() {
    let (mine, types) = (values(4), Both::new());
    let mut chunk = filled(types, &mine);
    let refused = catch_unwind(AssertUnwindSafe(|| types.put_back(&mut chunk, Arc::clone(&mine[0]))));
    assert!(refused.is_err(), "none was taken out");
    chunk.results.ensure(4);
    types.quota(&mut chunk, 2).run(|item| item);
    assert_eq!(types.take_last(&mut chunk.results), mine[1]);
    types.put_back(&mut chunk, Arc::clone(&mine[3]));
    assert_eq!(types.take_item(&mut chunk), mine[3]);
    types.put_back(&mut chunk, Arc::clone(&mine[1]));
    assert_eq!(
        (types.last_of(&chunk.results, 1), types.first_items_of(&chunk, chunk.items())),
        (&mine[..1], &mine[1..])
    );
    types.quota(&mut chunk, 3).run(|item| item);
    assert_eq!(types.into_vec(chunk.results.take()), mine);
    let refused = catch_unwind(AssertUnwindSafe(|| types.take_item(&mut chunk)));
    assert!(refused.is_err(), "no item waits");
    drop(chunk);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn what_was_split_off_has_no_place_to_put_an_item_back() {
    let (mine, types) = (values(4), Both::new());
    let mut chunk = filled(types, &mine);
    chunk.results.ensure(4);
    types.quota(&mut chunk, 1).run(|item| item);
    let mut rest = chunk.split_off(1, 3);
    assert!(catch_unwind(AssertUnwindSafe(|| types.put_back(&mut rest, Arc::clone(&mine[0])))).is_err());
    types.put_back(&mut chunk, Arc::clone(&mine[0]));
    assert_eq!(
        (types.first_items_of(&chunk, chunk.items()), types.first_items_of(&rest, rest.items())),
        (&mine[..2], &mine[2..])
    );
    drop((chunk, rest));
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn an_item_that_is_taken_out_and_lost_is_dropped_once() {
    let (mine, types) = (values(4), Both::new());
    let mut chunk = filled(types, &mine);
    chunk.results.ensure(4);
    drop(types.take_item(&mut chunk));
    assert_eq!((chunk.items(), chunk.results.len()), (3, 0));
    types.quota(&mut chunk, 1).run(|item| item);
    drop(types.take_last(&mut chunk.results));
    assert_eq!((chunk.items(), chunk.results.len()), (2, 0));
    assert!(catch_unwind(AssertUnwindSafe(|| types.take_last(&mut chunk.results))).is_err(), "there is no result");
    drop(chunk);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn the_place_of_one_is_used_again_and_again_also_after_a_panic() {
    let (mine, types) = (values(4), Both::new());
    let mut chunk = types.place_of_one();
    for value in &mine {
        types.put_one(&mut chunk, Arc::clone(value));
        let refused = catch_unwind(AssertUnwindSafe(|| types.put_one(&mut chunk, Arc::clone(value))));
        assert!(refused.is_err(), "there is one already");
        if **value == 2 {
            let run = AssertUnwindSafe(|| types.quota(&mut chunk, 1).run(|_| panic!("two")));
            assert!(catch_unwind(run).is_err());
            assert_eq!((chunk.items(), chunk.results.len()), (0, 0));
            continue;
        }
        types.quota(&mut chunk, 1).run(|item| item);
        // An item for a second call.
        let result = types.take_last(&mut chunk.results);
        types.put_back(&mut chunk, result);
        types.quota(&mut chunk, 1).run(|item| item);
        assert_eq!(types.take_last(&mut chunk.results), *value);
    }
    types.put_one(&mut chunk, Arc::clone(&mine[0]));
    let others = Both::new();
    assert!(catch_unwind(AssertUnwindSafe(|| others.put_one(&mut chunk, Arc::clone(&mine[0])))).is_err());
    let mut no_room = types.chunk();
    assert!(catch_unwind(AssertUnwindSafe(|| types.put_one(&mut no_room, Arc::clone(&mine[0])))).is_err());
    drop((chunk, no_room));
    assert!(all_dropped_but_mine(&mine));
    let none = Types::<(), ()>::new();
    let mut chunk = none.place_of_one();
    none.put_one(&mut chunk, ());
    none.quota(&mut chunk, 1).run(|()| ());
    none.take_last(&mut chunk.results);
    assert_eq!((chunk.items(), chunk.results.len()), (0, 0));
}

#[test]
fn an_input_that_panics_keeps_what_it_gave() {
    let (mine, types) = (values(10), Both::new());
    let mut chunk = types.chunk();
    let mut input = mine.iter().map(|value| if **value == 7 { panic!("seven") } else { Arc::clone(value) });
    assert!(
        catch_unwind(AssertUnwindSafe(|| types.fill(
            &mut chunk,
            &mut input,
            10,
            None,
            (&mut Asks::at_once(), AT_ONCE)
        )))
        .is_err()
    );
    assert_eq!(chunk.items(), 7);
    drop(chunk);
    assert!(all_dropped_but_mine(&mine));
}

/// Takes up to ten of `values` into a chunk. `fitting` bytes fit.
fn filled_within(
    values: &[Vec<u8>],
    fitting: u64,
    heap: HeapOf<Vec<u8>>,
) -> (Box<RawChunk>, std::thread::Result<bool>) {
    let types = Types::<Vec<u8>, ()>::new();
    let (mut chunk, mut asks) = (types.chunk(), Asks::at_once());
    asks.fitting = fitting;
    let mut input = values.iter().cloned();
    let fill = || types.fill(&mut chunk, &mut input, 10, Some(heap), (&mut asks, AT_ONCE));
    let has_ended = catch_unwind(AssertUnwindSafe(fill));
    assert_eq!(types.first_items_of(&chunk, chunk.items()), &values[..chunk.items()]);
    assert_eq!(input.len(), values.len() - chunk.items());
    (chunk, has_ended)
}

#[test]
fn no_item_is_taken_after_one_that_does_not_fit() {
    let values: Vec<_> = [10, 10, 1000, 10].map(|bytes| vec![0; bytes]).into();
    let heap: HeapOf<Vec<u8>> = |values| Heap::of(values, Vec::len);
    let own = size_of::<Vec<u8>>() as u64;
    // At least one, in any case.
    for (fitting, expected) in [
        (0, (1, 10)),
        (10 + own, (2, 20)),
        (20 + 2 * own, (3, 1020)),
        (1019 + 3 * own, (3, 1020)),
        (1020 + 3 * own, (4, 1030)),
    ] {
        let (chunk, has_ended) = filled_within(&values, fitting, heap);
        assert_eq!((chunk.items(), chunk.heap.unwrap()), expected, "{fitting}");
        assert!(!has_ended.unwrap());
        assert_eq!(chunk.input_bytes(), Some(expected.1 + own * expected.0 as u64));
        assert!(!chunk.is_unmeasurable);
    }
}

#[test]
fn an_item_that_cannot_be_measured_is_in_the_chunk() {
    let values: Vec<_> = [10, 20, 7, 10].map(|bytes| vec![0; bytes]).into();
    let heap: HeapOf<Vec<u8>> =
        |values| Heap::of(values, |value| if value.len() == 7 { panic!("seven") } else { value.len() });
    let (chunk, has_ended) = filled_within(&values, u64::MAX, heap);
    assert!(has_ended.is_err() && chunk.is_unmeasurable);
    assert_eq!((chunk.items(), chunk.heap), (3, Some(30)));
}

#[test]
fn no_more_is_run_than_waits_or_has_room() {
    let (mine, types) = (values(4), Both::new());
    let mut chunk = filled(types, &mine);
    let mut refused =
        |quota| catch_unwind(AssertUnwindSafe(|| types.quota(&mut chunk, quota).run(|item| item))).is_err();
    assert!(refused(1), "no room");
    chunk.results.ensure(9);
    let mut refused =
        |quota| catch_unwind(AssertUnwindSafe(|| types.quota(&mut chunk, quota).run(|item| item))).is_err();
    assert!(refused(5), "no items");
    assert!(!refused(4));
}

#[test]
fn a_buffer_of_other_types_is_refused() {
    let (strings, numbers) = (Types::<String, String>::new(), Types::<u64, u64>::new());
    let mut chunk = numbers.chunk();
    numbers.fill(&mut chunk, &mut (0..3), 3, None, (&mut Asks::at_once(), AT_ONCE));
    let refused = |body: &mut dyn FnMut()| assert!(catch_unwind(AssertUnwindSafe(body)).is_err());
    refused(&mut || assert!(strings.first_items_of(&chunk, chunk.items())[0].is_empty()));
    refused(&mut || drop(strings.into_vec(numbers.in_buffer(vec![1]))));
    refused(&mut || drop(strings.take_item(&mut chunk)));
    refused(&mut || drop(strings.take_last(&mut chunk.results)));
    assert_eq!(numbers.take_item(&mut chunk), 0);
    refused(&mut || strings.put_back(&mut chunk, String::new()));
    refused(&mut || drop(strings.into_vec(numbers.collector().room_for(1).unwrap().into_results())));
    refused(&mut || {
        let asks = &mut Asks::at_once();
        strings.fill(&mut chunk, &mut std::iter::once(String::new()), 1, None, (asks, AT_ONCE));
    });
    refused(&mut || add(&mut strings.collector().room_for(1).unwrap(), numbers.in_buffer(Vec::new())));
    refused(&mut || add(&mut strings.collector().room_for(0).unwrap(), numbers.in_buffer(vec![1, 2])));
}

#[test]
fn regions_fill_one_allocation() {
    let (mine, types) = (values(10), Both::new());
    let mut all = types.collector().room_for(12).unwrap();
    let (first, second) = (all.place(7), all.place(3));
    let second = run_in(types, second, &mine[7..]);
    let mut chunk = filled(types, &mine[..7]);
    chunk.results = first;
    types.quota(&mut chunk, 4).run(|item| item);
    let mut rest = chunk.split_off(0, 7);
    types.quota(&mut rest, 3).run(|item| item);
    add(&mut all, chunk.results.take());
    add(&mut all, rest.results.take());
    add(&mut all, second);
    let all = types.into_vec(all.into_results());
    assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 12));
    drop((all, chunk, rest));
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn what_was_made_before_is_moved_into_place() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    add(&mut all, run_in(types, types.in_buffer(Vec::new()), &mine[..2]));
    let room = all.place(4);
    add(&mut all, run_in(types, room, &mine[2..]));
    let all = types.into_vec(all.into_results());
    assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 6));
    drop(all);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn what_does_not_fit_in_place_follows_in_order() {
    let (mine, types) = (values(100), Both::new());
    let mut all = types.collector().room_for(5).unwrap();
    for part in mine.chunks(3) {
        let room = all.place(part.len());
        add(&mut all, run_in(types, room, part));
    }
    assert_eq!(all.len(), 100);
    assert_eq!(types.into_vec(all.into_results()), mine);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn places_that_were_not_used_are_used_again() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    let room = all.place(6);
    add(&mut all, run_in(types, room, &mine[..2]));
    all.reclaim();
    let room = all.place(4);
    add(&mut all, run_in(types, room, &mine[2..]));
    assert_eq!(types.into_vec(all.into_results()), mine);
}

#[test]
fn a_region_that_is_not_added_drops_what_it_holds_even_after_the_collection() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    let (first, second) = (all.place(3), all.place(3));
    add(&mut all, run_in(types, first, &mine[..3]));
    let second = run_in(types, second, &mine[3..5]);
    drop(all);
    assert_eq!(second.len(), 2);
    drop(second);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn values_without_a_size_are_collected_behind_a_stretch_that_ended_early() {
    let types = Types::<u32, ()>::new();
    let mut all = types.collector().room_for(6).unwrap();
    for count in [2, 4] {
        let mut chunk = types.chunk();
        types.fill(&mut chunk, &mut (0..4), 4, None, (&mut Asks::at_once(), AT_ONCE));
        chunk.results = all.place(4);
        types.quota(&mut chunk, count).run(|_| ());
        add(&mut all, chunk.results.take());
        all.reclaim();
    }
    assert_eq!(all.len(), 6);
}

#[test]
fn a_region_is_no_vec_while_others_have_places() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    let (first, second) = (all.place(3), all.place(3));
    let (first, second) = (run_in(types, first, &mine[..3]), run_in(types, second, &mine[3..]));
    assert!(catch_unwind(AssertUnwindSafe(|| types.into_vec(first))).is_err());
    drop(all);
    // The last of its block, but not the first in it.
    assert!(catch_unwind(AssertUnwindSafe(|| types.into_vec(second))).is_err());
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn regions_are_added_in_order_and_to_their_own_collection() {
    let (mine, types) = (values(4), Both::new());
    let mut all = types.collector().room_for(4).unwrap();
    let (first, second) = (all.place(2), all.place(2));
    let (first, second) = (run_in(types, first, &mine[..2]), run_in(types, second, &mine[2..]));
    assert!(catch_unwind(AssertUnwindSafe(|| add(&mut all, second))).is_err());
    let mut others = types.collector().room_for(4).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| add(&mut others, first))).is_err());
    assert_eq!((all.len(), others.len()), (0, 0));
    drop((all, others));
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn a_region_that_holds_less_than_its_room_lets_none_be_added_behind() {
    let (mine, types) = (values(6), Both::new());
    let mut all = types.collector().room_for(6).unwrap();
    let (first, second) = (all.place(3), all.place(3));
    add(&mut all, run_in(types, first, &mine[..2]));
    let second = run_in(types, second, &mine[3..]);
    assert!(catch_unwind(AssertUnwindSafe(|| add(&mut all, second))).is_err());
    all.reclaim();
    add(&mut all, run_in(types, types.in_buffer(Vec::new()), &mine[2..4]));
    let room = all.place(2);
    add(&mut all, run_in(types, room, &mine[4..]));
    let all = types.into_vec(all.into_results());
    assert_eq!((all.as_slice(), all.capacity()), (&mine[..], 6));
    drop(all);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn more_regions_than_there_are_bytes_for_are_none() {
    let types = Types::<u8, u64>::new();
    for count in [5, usize::MAX, usize::MAX / 8 + 2] {
        let mut all = types.collector().room_for(4).unwrap();
        assert_eq!(all.place(4).seq.room(), 4);
        assert_eq!(all.place(count).seq.room(), 0, "{count}");
        let mut all = types.collector().room_for(4).unwrap();
        assert_eq!(all.place(count).seq.room(), 0, "{count}");
    }
}

#[test]
fn a_chunk_that_leaves_its_collection_keeps_its_results_and_items() {
    let (mine, types) = (values(10), Both::new());
    let mut all = types.collector().room_for(10).unwrap();
    let (first, second) = (all.place(4), all.place(6));
    add(&mut all, run_in(types, first, &mine[..4]));
    let mut chunk = filled(types, &mine[4..]);
    chunk.results = second;
    types.quota(&mut chunk, 2).run(|item| item);
    chunk.results.leave_collection();
    // All regions are gone, so the collection can become a `Vec`.
    assert_eq!(types.into_vec(all.into_results()), mine[..4]);
    assert_eq!(
        (types.last_of(&chunk.results, 2), types.first_items_of(&chunk, chunk.items())),
        (&mine[4..6], &mine[6..])
    );
    let done = types.into_vec(chunk.results.take());
    assert_eq!(done, mine[4..6]);
    run(types, &mut chunk, 4);
    assert_eq!(types.into_vec(chunk.results.take()), mine[6..]);
    drop((chunk, done));
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn a_vec_is_used_again_and_comes_back_whole() {
    let (mine, types) = (values(3), Both::new());
    let back = types.into_vec(run_in(types, types.in_buffer(mine.clone()), &mine));
    assert_eq!((back.as_slice(), back.capacity()), (&mine[..], 3));
    drop(back);
    assert!(all_dropped_but_mine(&mine));
}

#[test]
fn the_results_of_a_vec_come_back_or_are_dropped() {
    let (mine, types) = (values(5), Both::new());
    let results = types.results_of(mine.clone(), Credit::NONE);
    assert_eq!(results.len(), 5);
    assert_eq!(types.into_vec(results), mine);
    drop(types.results_of(mine.clone(), Credit::NONE));
    assert!(all_dropped_but_mine(&mine));
    let none = Types::<(), ()>::new();
    assert_eq!(none.into_vec(none.results_of(vec![(); 3], Credit::NONE)).len(), 3);
}

/// Fills a collection of `count` results from regions of `sizes` in turn, on two threads at once,
/// and looks at each result.
fn fill_together<R: Send + PartialEq>(count: usize, sizes: &[usize], result: fn(usize) -> R) {
    let types = Types::<usize, R>::new();
    let mut all = types.collector().room_for(count).unwrap();
    let mut jobs = Vec::new();
    let mut start = 0;
    for &size in sizes.iter().cycle() {
        if start == count {
            break;
        }
        let items = start..count.min(start + size);
        start = items.end;
        jobs.push((all.place(items.len()), items));
    }
    let fill = |(mut room, items): (Results, Range<usize>)| {
        let mut chunk = types.chunk();
        types.fill(&mut chunk, &mut items.clone(), items.len(), None, (&mut Asks::at_once(), AT_ONCE));
        // As in a chunk that is started a second time.
        room.ensure(items.len() / 2);
        chunk.results = room;
        chunk.results.ensure(items.len());
        types.quota(&mut chunk, items.len()).run(result);
        chunk.results.take()
    };
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    jobs.into_iter().enumerate().for_each(|(index, job)| if index % 2 == 0 { even.push(job) } else { odd.push(job) });
    let [even, odd] = std::thread::scope(|scope| {
        let run = |jobs: Vec<_>| scope.spawn(|| jobs.into_iter().map(fill).collect::<Vec<_>>());
        [run(even), run(odd)].map(|thread| thread.join().unwrap())
    });
    let mut odd = odd.into_iter();
    for results in even {
        add(&mut all, results);
        odd.next().into_iter().for_each(|results| add(&mut all, results));
    }
    let all = types.into_vec(all.into_results());
    assert_eq!(all.len(), count);
    assert!(all.iter().enumerate().all(|(index, value)| *value == result(index)));
}

#[test]
fn a_large_collection_is_whole_whatever_regions_it_is_filled_from() {
    // 16 MB and more, in regions that are smaller than a page, about as large as a chunk of cheap
    // calls, and of several MB.
    fill_together(2_000_003, &[16_384], |index| index);
    fill_together(2_000_003, &[100, 1, 20_000, 511, 600_000], |index| !index);
    // Results that lie across pages, and regions that begin and end within one.
    fill_together(1_000_001, &[5_000, 333, 70_000], |index| [index as u8; 17]);
    fill_together(9_000_000, &[131_072, 10, 3_000_000], |index| index as u8);
    fill_together(300, &[1, 7], |index| [index; 8_192]);
    // These have no memory, in any number.
    fill_together(9_000_000, &[131_072], |_| ());
}

#[test]
fn a_large_collection_lies_in_one_allocation_of_its_size() {
    let types = Types::<u64, u64>::new();
    let count = 2_000_003;
    let mut all = types.collector().room_for(count).unwrap();
    for part in 0..3 {
        let mut chunk = types.chunk();
        let items = (part * count as u64 / 3..(part + 1) * count as u64 / 3).collect::<Vec<_>>();
        types.fill(&mut chunk, &mut items.iter().copied(), items.len(), None, (&mut Asks::at_once(), AT_ONCE));
        chunk.results = all.place(items.len());
        types.quota(&mut chunk, items.len()).run(|item| !item);
        add(&mut all, chunk.results.take());
    }
    let all = types.into_vec(all.into_results());
    assert_eq!(all.capacity(), count);
    assert!(all.iter().zip(0..).all(|(&result, item): (_, u64)| result == !item));
}

#[test]
fn impossible_room_is_refused() {
    assert!(Types::<u8, u64>::new().collector().room_for(usize::MAX).is_none());
    assert!(Types::<u8, u64>::new().collector().room_for(usize::MAX / 8).is_none());
}

#[test]
fn values_of_no_size_are_counted() {
    let types = Types::<(), ()>::new();
    let mut chunk = types.chunk();
    types.fill(&mut chunk, &mut std::iter::repeat_n((), 5), 5, None, (&mut Asks::at_once(), AT_ONCE));
    let mut all = types.collector().room_for(5).unwrap();
    chunk.results = all.place(5);
    types.quota(&mut chunk, 5).run(|()| ());
    add(&mut all, chunk.results.take());
    assert_eq!(types.into_vec(all.into_results()).len(), 5);
    assert_eq!(types.into_vec(types.in_buffer(vec![(); 3])).len(), 0);
}
