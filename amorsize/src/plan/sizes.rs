//! How many items are taken at a time, and how many results are handed over at a time.

use super::Situation;
use crate::sample::Learned;

/// A chunk is to last this long. Handing chunks between threads costs 5 to 20 us of wake-ups each at worst: with 1 ms a run of
/// 10 us items took 1.2 % longer than rayon's, with 2 ms 0.3 %, and the last chunks of a run still end close together.
pub(crate) const CHUNK_SECONDS: f64 = 2e-3;
/// What a chunk takes of the cores where threads wait: one that has an item of 5 ms each takes 7 us, and of 1 ms 15 us (`cargo bench
/// --bench prediction -- sleep`). Threads that compute wake each other less often.
pub(super) const WAITING_CHUNK: f64 = 12e-6;
/// That is to be no more than this part of the cores' time: 256 threads on two cores get chunks of 31 ms rather than 2 ms. 50,000 calls
/// that sleep 1 ms, most of which were a chunk each, took 0.85 to 1.19 s with 2 ms, 0.50 to 0.69 s with a tenth, and 0.35 to 0.49 s with
/// this, and no longer with half of it (`cargo bench -p amorsize --bench prediction -- sleep-1ms`).
const WAITING_PART: f64 = 0.05;
/// A chunk's items and results, as far as they lie in its buffers, stay within this, so that they stay within the second-level
/// cache of one core (1 MiB or more on the processors of the last years) between the thread that fills and the one that reads.
const CHUNK_BUFFER: usize = 256 << 10;
/// What the results of a chunk own stays within this: half of a second-level cache, so that the allocator gives memory out again that
/// is still in a cache, and that the system need not give anew. Some chunks lie ready for each thread, so this is also what few bytes
/// in flight come from. Results of 1 MiB, which chunks of an eighth of the budget took 0.4 to 1.5 s for (4 GiB on 2 busy cores), take
/// 0.11 to 0.24 s, with a tenth of the page faults and a third of the peak (`cargo bench --bench peers -- large`).
const CHUNK_BYTES: u64 = 512 << 10;
/// What the results of a batch own stays within this for the same reason, unless the items are slow: some batches are under way at a
/// time. With 4 MiB a run of 30,000 results of 1 KiB whose sink is as slow as the calls took a twentieth longer and held 9 MiB rather
/// than 2.
const BATCH_BYTES: u64 = 1 << 20;
/// No chunk is cut shorter than this at the end of the input, where a shorter one would cost more than it evens out.
const SHORTEST_CHUNK_SECONDS: f64 = 50e-6;
/// Results of this size go to the sink one by one: it takes 0.1 ms at least to fill one, and 5 us to hand it over.
pub(crate) const LARGE_RESULT: u64 = 4 << 20;
/// A batch is to last this long on the run's threads: its own cost, about 5 us, is a four-thousandth of it, and a sink gets its
/// first batch soon enough to work beside the calls.
const BATCH_SECONDS: f64 = 20e-3;
/// At most this part of the budget lies in one batch, because one is with the sink while the next ones are made.
const BATCH_PART: u64 = 8;
/// At most this part of the budget lies in one thread's chunk, for the same reason.
const CHUNK_PART: u64 = 8;
/// Where only few items may be in flight, a chunk has at most this part of them, divided by the
/// threads: each thread runs a chunk and another waits for it, which is half of the items, and the
/// other half is in batches.
const IN_FLIGHT_CHUNKS: usize = 4;
/// A batch has at most this part of what is left where each thread has one item: one batch is with
/// the sink, one is filled, and as much again waits for the threads.
const IN_FLIGHT_PARTS: usize = 4;
/// Moving results from chunks into a batch costs little as long as they fit a first-level cache and a bit; beyond this a chunk is
/// handed over as it is.
const BATCH_BUFFER: usize = 64 << 10;

/// Seconds that a chunk is to last on so many threads, of which as many can run as there are cores.
pub(crate) fn chunk_seconds(cores: usize, threads: usize) -> f64 {
    let for_each_core = if threads > cores { threads as f64 / cores as f64 } else { 0.0 };
    CHUNK_SECONDS.max(for_each_core * WAITING_CHUNK / WAITING_PART)
}

/// Items that one worker is to take at a time now.
pub(crate) fn chunk_items(learned: &Learned, situation: &Situation, threads: usize) -> usize {
    if learned.items == 0 {
        return 1;
    }
    let seconds = learned.recent_seconds().max(1e-10);
    let mut items = chunk_seconds(situation.threads, threads) / seconds;
    if let Some(remaining) = situation.remaining {
        // Towards the end chunks get shorter, so that no worker is left with a long one (guided self-scheduling, Polychronopoulos
        // and Kuck 1987).
        let share = remaining as f64 / (2 * threads) as f64;
        items = items.min(share.max(SHORTEST_CHUNK_SECONDS / seconds));
    }
    let in_buffers = (CHUNK_BUFFER / (situation.item_size + situation.result_size).max(1)).max(1);
    let bytes = learned.expected_bytes().max(situation.result_size as u64) + situation.item_bytes;
    let share = (situation.budget.as_u64() / (CHUNK_PART * threads as u64)).saturating_sub(learned.expected_working())
        / bytes.max(1);
    let share = share.min(CHUNK_BYTES / bytes.max(1));
    let in_flight = situation.in_flight.map_or(usize::MAX, |most| chunk_in_flight(most, threads));
    (items as usize).min(in_buffers).min(usize::try_from(share).unwrap_or(usize::MAX)).min(in_flight).max(1)
}

/// Items of a chunk at most where `most` may be in flight.
fn chunk_in_flight(most: usize, threads: usize) -> usize {
    (most / (IN_FLIGHT_CHUNKS * threads)).max(1)
}

/// Seconds that handing chunks over takes for each item, where so few may be in flight that threads
/// wait for each chunk.
pub(super) fn handing_in_flight(situation: &Situation, threads: usize) -> f64 {
    situation.in_flight.map_or(0.0, |most| WAITING_CHUNK / chunk_in_flight(most, threads) as f64)
}

/// Items that a batch is to hold at most.
pub(crate) fn batch_items(learned: &Learned, situation: &Situation, threads: usize, chunk_size: usize) -> usize {
    if let Some(asked) = situation.batch_items {
        return asked;
    }
    let seconds = learned.recent_seconds().max(1e-10) / threads as f64;
    let by_time = (BATCH_SECONDS / seconds) as usize;
    let bytes_per_item = learned.expected_bytes().max(situation.result_size as u64);
    let by_memory = situation.budget.as_u64() / BATCH_PART / bytes_per_item.max(1);
    let by_cache = usize::try_from(BATCH_BYTES / bytes_per_item.max(1)).unwrap_or(usize::MAX);
    let by_copying = BATCH_BUFFER / situation.result_size.max(1);
    let by_memory = usize::try_from(by_memory).unwrap_or(usize::MAX);
    // Of slow items each thread has one in a batch at least, and another; of threads beyond the cores' one more, because an
    // iterator's run is seen to pay or not by the second one alone.
    let rounds = if threads > situation.threads { 3 } else { 2 };
    let least = if situation.hands_over && bytes_per_item >= LARGE_RESULT { 1 } else { rounds * threads };
    let in_flight = situation.in_flight.map_or(usize::MAX, |most| batch_in_flight(most, threads));
    by_time.min(by_cache).max(least).min(by_copying.max(chunk_size)).min(by_memory).min(in_flight).max(1)
}

/// Items of a batch at most where `most` may be in flight and each thread is to have one of them.
pub(crate) fn batch_in_flight(most: usize, threads: usize) -> usize {
    (most.saturating_sub(threads) / IN_FLIGHT_PARTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::Plan;
    use super::super::tests::{learned, situation};
    use super::*;

    #[test]
    fn chunks_and_batches_of_large_results_fit_caches() {
        let plan = |seconds, bytes| {
            let plan = Plan::new(&learned(seconds, bytes), &situation(Some(1_000_000)), true);
            (plan.chunk_size(), plan.batch_size())
        };
        // 64 KiB in 5 us: 2 ms would be 25 MiB.
        assert_eq!(plan(5e-6, 64 << 10), (7, 16));
        // Large ones come one by one.
        assert_eq!(plan(50e-6, 4 << 20), (1, 1));
        // A result that does not fit is a chunk by itself, and a batch has two for each thread.
        assert_eq!(plan(50e-6, 2 << 20), (1, 8));
        // Who makes them slowly fits anyway.
        assert_eq!(plan(1e-3, 64 << 10), (2, 16));
    }

    #[test]
    fn where_few_items_may_be_in_flight_all_threads_and_the_sink_get_some() {
        let learned = learned(1e-6, 24);
        let sizes = |most, threads| {
            let situation = Situation { in_flight: Some(most), ..situation(Some(1_000_000)) };
            let chunk_size = chunk_items(&learned, &situation, threads);
            (chunk_size, batch_items(&learned, &situation, threads, chunk_size))
        };
        assert_eq!(sizes(usize::MAX, 4), (2000, 2730));
        assert_eq!(sizes(64, 4), (4, 15));
        assert_eq!(sizes(64, 2), (8, 15));
        // Each thread has one of them, and none waits in a batch.
        assert_eq!([(8, 8), (4, 8), (1, 1)].map(|(most, threads)| sizes(most, threads)), [(1, 1); 3]);
        // 5 us are worth a thread only where several are handed over at a time.
        let threads = [8, 64].map(|most| {
            let situation = Situation { in_flight: Some(most), ..situation(Some(1_000_000)) };
            Plan::new(&super::super::tests::learned(5e-6, 24), &situation, true).threads()
        });
        assert_eq!(threads, [1, 4]);
        let asked = Situation { in_flight: Some(64), batch_items: Some(64), ..situation(None) };
        assert_eq!(batch_items(&learned, &asked, 4, 4), 64);
    }

    #[test]
    fn chunks_get_shorter_towards_the_end() {
        let learned = learned(1e-6, 24);
        assert_eq!(chunk_items(&learned, &situation(Some(1_000_000)), 4), 2000);
        assert_eq!(chunk_items(&learned, &situation(Some(4_000)), 4), 500);
        assert_eq!(chunk_items(&learned, &situation(Some(100)), 4), 50);
    }
}
