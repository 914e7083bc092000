//! The sizes of chunks and batches, in items.

use super::learned::Learned;
use super::situation::Situation;
use crate::memory::working::BATCH_PART;
use crate::system::page_faults::{FAULT_SECONDS, PAGE};

/// Seconds to pass an item and its result from thread to thread, beside taking and giving them: two
/// writes and two reads of memory that another core has in its cache. Measured as 0.5 to 1.5 ns for
/// 8-byte values.
pub(crate) const CROSSING_SECONDS: f64 = 1.5e-9;
/// Seconds by which the calling thread takes longer for an item that may own memory if another
/// thread frees it, with glibc: it gets none of that back for the next ones. Reading lines of 53
/// bytes took 60 to 100 ns each alone, and 125 to 185 while a second thread counted their spaces.
/// Items of a `Vec`, allocated before the run, lose less.
pub(crate) const FREEING_SECONDS: f64 = 80e-9;
/// Seconds for each byte that is written for the first time. A sample keeps its results, so all are
/// in fresh pages; a run with a sink that drops them uses the same pages again and again.
pub(crate) const FRESH_BYTE: f64 = FAULT_SECONDS / PAGE as f64;
/// The time that a chunk should last. Passing chunks between threads costs up to 5 to 20 us of
/// wake-ups each: with 1 ms a run of 10 us items took 1.2 % longer than rayon's, with 2 ms 0.3 %,
/// and the last chunks of a run still end close together.
pub(crate) const CHUNK_SECONDS: f64 = 2e-3;
/// Seconds that a chunk takes on the cores if threads wait: a chunk with an item of 5 ms takes 7
/// us, with an item of 1 ms 15 us (`cargo bench --bench prediction -- sleep`). Threads that compute
/// wake each other less often.
pub(crate) const WAITING_CHUNK: f64 = 12e-6;
/// The most of the cores' time that chunks of waiting threads take: 256 threads on two cores get
/// chunks of 31 ms rather than 2 ms. 50,000 calls that sleep 1 ms took 0.85 to 1.19 s with 2 ms, as
/// most were a chunk each; 0.50 to 0.69 s with a tenth; 0.35 to 0.49 s with this; and the same
/// with half of it (`cargo bench -p amorsize --bench prediction -- sleep-1ms`).
const WAITING_PART: f64 = 0.05;
/// The most bytes of a chunk's items and results, with what these own: half of the second-level
/// cache of one core (1 MiB or more on the processors of the last years). They stay there between
/// the thread that fills and the one that reads. The allocator hands out memory again that is still
/// in a cache, and the system need not give new memory. Some chunks lie ready for each thread, so
/// this also keeps the bytes in flight few. Results of 1 MiB (4 GiB on 2 busy cores) took 0.4 to
/// 1.5 s with chunks of an eighth of the budget, and take 0.11 to 0.24 s with a tenth of the page
/// faults and a third of the peak (`cargo bench --bench peers -- large`).
const CHUNK_BYTES: u64 = 512 << 10;
/// The most bytes that the results of a batch own, unless the items are slow: those of two chunks,
/// for the same reason, as some batches are under way at a time. With 4 MiB a run of 30,000 results
/// of 1 KiB, with a sink as slow as the calls, took a twentieth longer and held 9 MiB instead of 2.
pub(crate) const BATCH_BYTES: u64 = 2 * CHUNK_BYTES;
/// The shortest time of a chunk at the end of the input: a shorter one costs more than it evens
/// out.
const SHORTEST_CHUNK_SECONDS: f64 = 50e-6;
/// Results from this size on, in bytes, go to the sink one by one: filling one takes at least 0.1
/// ms, and handing it over 5 us.
pub(crate) const LARGE_RESULT: u64 = 4 << 20;
/// The time that a batch should last on the run's threads: its own cost, about 5 us, is a
/// four-thousandth of it, and a sink gets its first batch soon enough to work beside the calls.
const BATCH_SECONDS: f64 = 20e-3;
/// If only few items may be in flight, a quarter of them is in the batch that is with the sink, a
/// quarter in the one that is filled, a quarter runs, and a quarter waits for the threads.
const IN_FLIGHT_PARTS: usize = 4;
/// The most bytes that are moved from chunks into a batch, which costs little while they fit a
/// first-level cache and a bit. A larger chunk is handed over as it is.
const BATCH_BUFFER: usize = 64 << 10;

/// Limits the seconds in which the results of a stretch or chunk are handed over, as far as the
/// sink's speed is known.
pub(crate) const HANDED_SECONDS: f64 = 10e-3;

/// The sizes of a run: its threads, and the items of a chunk and of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) threads: usize,
    pub(crate) chunk_items: usize,
    pub(crate) batch_items: usize,
}

impl Sizes {
    /// The sizes for calls like those so far, on `threads` threads.
    pub(crate) fn new(learned: &Learned, situation: &Situation, threads: usize) -> Self {
        let chunk_items = chunk_items(learned, situation, threads);
        let mut sizes = Self { threads, chunk_items, batch_items: 1 };
        sizes.batch_items = sizes.batches(learned, situation);
        sizes
    }

    /// The most items of a batch of such chunks.
    pub(crate) fn batches(&self, learned: &Learned, situation: &Situation) -> usize {
        let threads = self.threads;
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
        // A batch of slow items has at least two for each thread, and three on threads beyond the
        // cores: the second one alone shows if an iterator's run pays.
        let rounds = if threads > situation.threads { 3 } else { 2 };
        let least = if situation.hands_over && bytes_per_item >= LARGE_RESULT { 1 } else { rounds * threads };
        let in_flight = situation.in_flight.map_or(usize::MAX, |most| batch_in_flight(most, threads));
        by_time.min(by_cache).max(least).min(by_copying.max(self.chunk_items)).min(by_memory).min(in_flight).max(1)
    }
}

/// Seconds that a chunk should last on `threads` threads, while `cores` of them can run at a time.
pub(crate) fn chunk_seconds(cores: usize, threads: usize) -> f64 {
    let for_each_core = if threads > cores { threads as f64 / cores as f64 } else { 0.0 };
    CHUNK_SECONDS.max(for_each_core * WAITING_CHUNK / WAITING_PART)
}

/// Items that a worker should take at a time now.
pub(crate) fn chunk_items(learned: &Learned, situation: &Situation, threads: usize) -> usize {
    if learned.items == 0 {
        return 1;
    }
    let seconds = learned.recent_seconds().max(1e-10);
    let mut items = chunk_seconds(situation.threads, threads) / seconds;
    if let Some(remaining) = situation.remaining {
        // Chunks get shorter towards the end, so that no worker is left with a long one (guided
        // self-scheduling, Polychronopoulos and Kuck 1987).
        let share = remaining as f64 / (2 * threads) as f64;
        items = items.min(share.max(SHORTEST_CHUNK_SECONDS / seconds));
    }
    let bytes = learned.expected_bytes().max(situation.result_size as u64) + situation.item_bytes;
    let share = (situation.budget.as_u64() / (BATCH_PART * threads as u64)).saturating_sub(learned.expected_working())
        / bytes.max(1);
    let share = share.min(CHUNK_BYTES / bytes.max(1));
    let in_flight = situation.in_flight.map_or(usize::MAX, |most| chunk_in_flight(most, threads));
    (items as usize).min(usize::try_from(share).unwrap_or(usize::MAX)).min(in_flight).max(1)
}

/// The most items of a chunk if `most` may be in flight.
fn chunk_in_flight(most: usize, threads: usize) -> usize {
    (most / (IN_FLIGHT_PARTS * threads)).max(1)
}

/// Seconds per item for passing chunks, if the items in flight are bounded so that threads wait for
/// each chunk.
pub(crate) fn handing_in_flight(situation: &Situation, threads: usize) -> f64 {
    situation.in_flight.map_or(0.0, |most| WAITING_CHUNK / chunk_in_flight(most, threads) as f64)
}

/// The most items of a batch if `most` may be in flight and each thread has one of them.
pub(crate) fn batch_in_flight(most: usize, threads: usize) -> usize {
    (most.saturating_sub(threads) / IN_FLIGHT_PARTS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::plan::tests::{learned, situation};

    #[test]
    fn chunks_and_batches_of_large_results_fit_caches() {
        let plan = |seconds, bytes| {
            let plan = Plan::new(&learned(seconds, bytes), &situation(Some(1_000_000)));
            (plan.chunk_size(), plan.batch_size())
        };
        // 64 KiB in 5 us: 2 ms would be 25 MiB.
        assert_eq!(plan(5e-6, 64 << 10), (7, 16));
        // Large ones are handed over one by one.
        assert_eq!(plan(50e-6, 4 << 20), (1, 1));
        // A result that does not fit is a chunk by itself, and a batch has two for each thread.
        assert_eq!(plan(50e-6, 2 << 20), (1, 8));
        // Slow items don't fill a cache, so only memory bounds them.
        assert_eq!(plan(1e-3, 64 << 10), (2, 16));
    }

    #[test]
    fn where_few_items_may_be_in_flight_all_threads_and_the_sink_get_some() {
        let learned = learned(1e-6, 24);
        let sizes = |most, threads| {
            let situation = Situation { in_flight: Some(most), ..situation(Some(1_000_000)) };
            let sizes = Sizes::new(&learned, &situation, threads);
            (sizes.chunk_items, sizes.batch_items)
        };
        assert_eq!(sizes(usize::MAX, 4), (2000, 2730));
        assert_eq!(sizes(64, 4), (4, 15));
        assert_eq!(sizes(64, 2), (8, 15));
        // Each thread has one of them, and none waits in a batch.
        assert_eq!([(8, 8), (4, 8), (1, 1)].map(|(most, threads)| sizes(most, threads)), [(1, 1); 3]);
        // 5 us are worth a thread only if several are passed at a time.
        let threads = [8, 64].map(|most| {
            let situation = Situation { in_flight: Some(most), ..situation(Some(1_000_000)) };
            Plan::new(&crate::plan::tests::learned(5e-6, 24), &situation).threads()
        });
        assert_eq!(threads, [1, 4]);
        let asked = Situation { in_flight: Some(64), batch_items: Some(64), ..situation(None) };
        assert_eq!(Sizes::new(&learned, &asked, 4).batch_items, 64);
    }

    #[test]
    fn chunks_get_shorter_towards_the_end() {
        let learned = learned(1e-6, 24);
        assert_eq!(chunk_items(&learned, &situation(Some(1_000_000)), 4), 2000);
        assert_eq!(chunk_items(&learned, &situation(Some(4_000)), 4), 500);
        assert_eq!(chunk_items(&learned, &situation(Some(100)), 4), 50);
    }
}
