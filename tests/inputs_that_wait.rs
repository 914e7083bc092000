//! An input may wait: for another thread, a pipe, a socket. Before a run asks it for more, it calls
//! the function for the items that it has, and hands over the results that are ready.

#[path = "common/interview.rs"]
mod interview;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::spin_loop;
use std::iter::from_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvError, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use amorsize::{Batched, CancelToken, process_in_batches};
use interview::interview;

/// More than any of these runs takes on the busiest machine: a run that has not ended then hangs.
const HANGS: Duration = Duration::from_secs(600);

fn next(question: u64) -> u64 {
    question + 1
}

const QUESTIONS: u64 = 3_000;

#[test]
fn a_question_that_waits_for_the_last_answer_is_answered() {
    let answered = interview(HANGS, QUESTIONS, |questions, answers| {
        let mut run = process_in_batches(next, questions).batch_size(1);
        run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
    });
    assert_eq!(answered, QUESTIONS);
}

#[test]
fn with_one_in_flight_it_is_however_long_calls_take() {
    for (micros, count) in [(0, 2_000), (20, 2_000), (300, 500), (3_000, 100), (25_000, 20)] {
        let answered = interview(HANGS, count, move |questions, answers| {
            let long = |question: u64| {
                thread::sleep(Duration::from_micros(micros));
                question + 1
            };
            let mut run = process_in_batches(long, questions).in_flight(1);
            run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
        });
        assert_eq!(answered, count);
    }
}

/// Answers questions by calls that take `micros` microseconds and `finish`, which hands results
/// over.
fn answered(micros: u64, count: u64, finish: fn(Batched<Receiver<u64>, u64, Call>, Sender<u64>)) -> u64 {
    interview(HANGS, count, move |questions, answers| {
        finish(process_in_batches(busy(micros), questions), answers);
    })
}

/// Calls that compute for `micros` microseconds.
fn busy(micros: u64) -> Call {
    Box::new(move |question| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(micros) {
            spin_loop();
        }
        question + 1
    })
}

type Call = Box<dyn Fn(u64) -> u64 + Send + Sync>;

#[test]
fn so_is_it_whatever_calls_take_and_however_results_are_handed_over() {
    type Finish = fn(Batched<Receiver<u64>, u64, Call>, Sender<u64>);
    let finishes: [Finish; 6] = [
        |run, answers| {
            run.batch_size(1).for_each_batch(|batch| batch.into_iter().for_each(|x| answers.send(x).unwrap())).unwrap();
        },
        |mut run, answers| {
            run.for_each_batch(|batch| batch.into_iter().for_each(|x| answers.send(x).unwrap())).unwrap();
        },
        |run, answers| {
            let mut run = run.sample_size(1);
            run.for_each_batch(|batch| batch.into_iter().for_each(|x| answers.send(x).unwrap())).unwrap();
        },
        |run, answers| {
            let mut run = run.threads(2);
            run.for_each_batch(|batch| batch.into_iter().for_each(|x| answers.send(x).unwrap())).unwrap();
        },
        |run, answers| run.into_iter().for_each(|x| answers.send(x).unwrap()),
        |run, answers| run.unordered().for_each(|(_, x)| answers.send(x).unwrap()),
    ];
    for (micros, count) in [(0, 2_000), (2, 1_000), (20, 1_000), (200, 300), (2_000, 40)] {
        for (which, finish) in finishes.into_iter().enumerate() {
            println!("calls of {micros} us, handed over in way {which}");
            assert_eq!(answered(micros, count, finish), count);
        }
    }
}

#[test]
fn so_is_it_if_the_other_thread_looks_for_each_answer_before_it_sleeps() {
    for (micros, look, count) in [(0, 5, 5_000), (0, 30, 5_000), (2, 30, 5_000), (20, 30, 2_000), (20, 5, 1_000)] {
        println!("calls of {micros} us, {look} us of looking");
        let (ask, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        thread::spawn(move || {
            for question in 0..count {
                ask.send(question).unwrap();
                let begun = Instant::now();
                let found = loop {
                    match answers.try_recv() {
                        Err(TryRecvError::Empty) if begun.elapsed() < Duration::from_micros(look) => spin_loop(),
                        Err(TryRecvError::Empty) => break answers.recv(),
                        found => break found.map_err(|_| RecvError),
                    }
                };
                assert_eq!(found, Ok(question + 1));
            }
            done.send(()).unwrap();
        });
        let run = process_in_batches(busy(micros), questions);
        let answers = thread::spawn(move || run.into_iter().for_each(|found| answer.send(found).unwrap()));
        is_done.recv_timeout(HANGS).expect("every question is answered");
        answers.join().unwrap();
    }
}

#[test]
fn so_is_it_if_the_input_looks_for_the_question_and_the_sink_takes_its_time() {
    for (micros, sink, count) in [(60, 0, 3_000), (60, 20, 2_000), (300, 0, 1_000), (2_000, 0, 50), (0, 0, 5_000)] {
        for looks in [false, true] {
            println!("calls of {micros} us, a sink of {sink} us, the input looks: {looks}");
            let (ask, questions) = mpsc::channel();
            let found = Arc::new(AtomicU64::new(0));
            let (done, is_done) = mpsc::channel();
            let answers = Arc::clone(&found);
            let asker = thread::spawn(move || {
                for question in 0..count {
                    ask.send(question).unwrap();
                    while answers.swap(0, Ordering::SeqCst) != question + 1 {
                        thread::park();
                    }
                }
                done.send(()).unwrap();
            });
            let run = thread::spawn(move || {
                let next = move || loop {
                    match questions.try_recv() {
                        Ok(question) => break Some(question),
                        Err(TryRecvError::Disconnected) => break None,
                        Err(TryRecvError::Empty) if looks => thread::yield_now(),
                        Err(TryRecvError::Empty) => break questions.recv().ok(),
                    }
                };
                let answer = |result| {
                    found.store(result, Ordering::SeqCst);
                    asker.thread().unpark();
                    _ = busy(sink)(0);
                };
                let mut run = process_in_batches(busy(micros), from_fn(next));
                run.for_each_batch(|batch| batch.into_iter().for_each(answer)).unwrap();
            });
            is_done.recv_timeout(HANGS).expect("every question is answered");
            run.join().unwrap();
        }
    }
}

#[test]
fn so_is_it_by_an_iterator() {
    let answered = interview(HANGS, QUESTIONS, |questions, answers| {
        process_in_batches(next, questions).into_iter().for_each(|answer| answers.send(answer).unwrap());
    });
    assert_eq!(answered, QUESTIONS);
    let answered = interview(HANGS, QUESTIONS, |questions, answers| {
        process_in_batches(next, questions).unordered().for_each(|(_, answer)| answers.send(answer).unwrap());
    });
    assert_eq!(answered, QUESTIONS);
}

#[test]
fn so_is_it_with_a_sample_of_one() {
    let answered = interview(HANGS, QUESTIONS, |questions, answers| {
        let mut run = process_in_batches(next, questions).sample_size(1).batch_size(1);
        run.plan().unwrap();
        run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
    });
    assert_eq!(answered, QUESTIONS);
}

#[test]
fn so_is_it_where_errors_have_a_policy() {
    let answered = interview(HANGS, QUESTIONS, |questions, answers| {
        let run = process_in_batches(|question| Ok::<u64, String>(question + 1), questions);
        let mut run = run.on_error(amorsize::on_error::Skip).batch_size(1);
        run.for_each_batch(|batch| batch.into_iter().for_each(|answer| answers.send(answer).unwrap())).unwrap();
    });
    assert_eq!(answered, QUESTIONS);
}

type Run = Batched<Box<dyn Iterator<Item = u64> + Send>, u64, fn(u64) -> u64>;

/// Sends items, each `pause` after the run asked for it or all of them at once, and then nothing.
/// Returns the number of results that `change`d runs hand over.
fn handed_over_before_silence(count: u64, pause: Option<Duration>, change: fn(Run) -> Run) -> u64 {
    let (send, items) = mpsc::channel();
    let (ask, asks) = mpsc::channel();
    let (seen, results) = mpsc::channel();
    // On a busy machine, items of a sender with a clock of its own would come at once, too.
    let asking = std::iter::from_fn(move || {
        _ = ask.send(());
        items.recv().ok()
    });
    let running = thread::spawn(move || {
        let mut run: Run = change(process_in_batches(next as fn(u64) -> u64, Box::new(asking)));
        run.for_each_batch(|batch| batch.into_iter().for_each(|result| seen.send(result).unwrap())).unwrap();
    });
    for item in 0..count {
        if let Some(pause) = pause {
            asks.recv_timeout(HANGS).unwrap();
            thread::sleep(pause);
        }
        send.send(item).unwrap();
    }
    let handed_over = (0..count).map_while(|_| results.recv_timeout(HANGS).ok()).count() as u64;
    drop(send);
    running.join().unwrap();
    handed_over
}

#[test]
fn results_do_not_wait_for_an_input_that_gives_nothing_more() {
    for change in [|run: Run| run, |run: Run| run.batch_size(100), |run: Run| run.threads(1)] as [fn(Run) -> Run; 3] {
        for count in [1, 5, 16] {
            assert_eq!(handed_over_before_silence(count, None, change), count);
        }
        assert_eq!(handed_over_before_silence(60, Some(Duration::from_millis(2)), change), 60);
    }
}

#[test]
fn results_of_long_calls_do_not_wait_for_the_input_either() {
    // They run on threads, and a call ends before the next item comes.
    let change: fn(Run) -> Run = |run| run.threads(2);
    let (send, items) = mpsc::channel();
    let (seen, results) = mpsc::channel();
    let running = thread::spawn(move || {
        let long = |item: u64| {
            thread::sleep(Duration::from_millis(2));
            item
        };
        let mut run = process_in_batches(long, items).threads(2);
        run.for_each_batch(|batch| batch.into_iter().for_each(|result| seen.send(result).unwrap())).unwrap();
    });
    for item in 0..30 {
        thread::sleep(Duration::from_millis(30));
        send.send(item).unwrap();
    }
    assert_eq!((0..30).map_while(|_| results.recv_timeout(HANGS).ok()).count(), 30);
    drop(send);
    running.join().unwrap();
    assert_eq!(handed_over_before_silence(5, None, change), 5);
}

/// An input that sleeps before each item, and notes the times at which it was asked.
fn slow<'a>(asked: &'a RefCell<Vec<Instant>>, pause: Duration) -> impl Iterator<Item = u64> + 'a {
    std::iter::from_fn(move || {
        asked.borrow_mut().push(Instant::now());
        thread::sleep(pause);
        Some(1)
    })
}

#[test]
fn a_deadline_is_heeded_between_two_items() {
    for threads in [None, Some(2)] {
        for known in [false, true] {
            let asked = RefCell::default();
            let mut input = slow(&asked, Duration::from_millis(30));
            // Some inputs know how many items they have.
            let input: Box<dyn Iterator<Item = u64>> =
                if known { Box::new((0..10_000).map(move |_| input.next().unwrap())) } else { Box::new(input) };
            let deadline = Instant::now() + Duration::from_millis(200);
            let mut run = process_in_batches(next, input).deadline(deadline);
            if let Some(threads) = threads {
                run = run.threads(threads);
            }
            assert!(run.for_each_batch(|_| ()).unwrap_err().is_timed_out());
            let late = asked.borrow().iter().filter(|&&at| at > deadline).count();
            // The system can take the thread from its core between its look at the clock and the
            // request.
            assert!(late <= 1, "{late} items were asked for after the deadline");
        }
    }
}

#[test]
fn a_token_is_heeded_between_two_items() {
    for threads in [None, Some(2)] {
        let (token, mut asked) = (CancelToken::new(), 0);
        let input = std::iter::from_fn(|| {
            asked += 1;
            thread::sleep(Duration::from_millis(5));
            if asked == 20 {
                token.cancel();
            }
            Some(1)
        });
        let mut run = process_in_batches(next, input).cancel_token(&token);
        if let Some(threads) = threads {
            run = run.threads(threads);
        }
        assert!(run.for_each_batch(|_| ()).unwrap_err().is_cancelled());
        assert_eq!(asked, 20);
    }
}

#[test]
fn a_timeout_counts_by_every_terminal() {
    let run = || process_in_batches(next, slow_forever()).timeout(Duration::from_millis(60));
    let mut results = run().into_iter();
    results.by_ref().for_each(drop);
    assert!(results.error().unwrap().is_timed_out());
    let mut results = run().unordered();
    results.by_ref().for_each(drop);
    assert!(results.error().unwrap().is_timed_out());
    assert!(run().collect::<Vec<_>>().unwrap_err().is_timed_out());
    assert!(run().for_each_batch(|_| ()).unwrap_err().is_timed_out());
    let skipping = || process_in_batches(Ok::<u64, String>, slow_forever()).timeout(Duration::from_millis(60));
    assert_eq!(skipping().on_error(amorsize::on_error::Skip).unordered().filter(|_| false).count(), 0);
}

fn slow_forever() -> impl Iterator<Item = u64> {
    std::iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(1));
        1
    })
}

#[test]
fn a_plan_heeds_the_timeout() {
    let asked = RefCell::default();
    let run = process_in_batches(next, slow(&asked, Duration::from_millis(5)));
    let mut run = run.sample_size(1_000_000).timeout(Duration::from_millis(50));
    assert!(run.plan().unwrap_err().is_timed_out());
    let items = asked.borrow().len();
    let mut finished = Vec::new();
    assert!(run.collect_into(&mut finished).unwrap_err().is_timed_out());
    // The sample's items are not lost. The last item came too late to be run.
    assert!((items.saturating_sub(1)..=items).contains(&finished.len()), "{} of {items}", finished.len());
}

#[test]
fn a_sample_of_an_endless_input_ends() {
    let mut run = process_in_batches(next, 0..).sample_size(usize::MAX);
    run.plan().unwrap();
    assert_eq!(run.into_iter().take(100_000).sum::<u64>(), (1..=100_000).sum::<u64>());
}

#[test]
fn a_token_is_heeded_while_a_slow_sink_has_what_was_made_before() {
    for (batch_size, threads) in [(1, 1), (10, 1), (10, 2), (100, 2)] {
        let token = CancelToken::new();
        let mut after = 0;
        let run = process_in_batches(|item: u64| item, 0..1_000_000).batch_size(batch_size).threads(threads);
        let error = run.cancel_token(&token).for_each_batch(|_| {
            thread::sleep(Duration::from_millis(2));
            after += usize::from(token.is_cancelled());
            if after == 0 {
                token.cancel();
            }
        });
        assert!(error.unwrap_err().is_cancelled());
        // As long as nothing is known of the sink, there may be as many further batches as the
        // first chunks have.
        assert!(after <= 400, "{after} more batches of {batch_size} on {threads} threads");
    }
}

/// Pages to come, and the number of pages that are given and not done.
#[derive(Default)]
struct Frontier {
    pages: Mutex<(VecDeque<u64>, usize)>,
    changed: Condvar,
}

impl Frontier {
    /// A frontier with the page 1.
    fn of_one_page() -> Self {
        let frontier = Self::default();
        frontier.pages.lock().unwrap().0.push_back(1);
        frontier
    }

    fn next(&self) -> Option<u64> {
        let pages = self.pages.lock().unwrap();
        let waits = |(queue, under_way): &mut (VecDeque<u64>, usize)| queue.is_empty() && *under_way > 0;
        let mut pages = self.changed.wait_while(pages, waits).unwrap();
        let page = pages.0.pop_front()?;
        pages.1 += 1;
        Some(page)
    }

    fn done(&self, leads_to: impl IntoIterator<Item = u64>) {
        let mut pages = self.pages.lock().unwrap();
        pages.0.extend(leads_to);
        pages.1 -= 1;
        self.changed.notify_all();
    }
}

/// Runs a crawl, and fails if it does not end.
fn assert_ends(crawl: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        crawl();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(HANGS).expect("the frontier is crawled");
}

#[test]
fn a_frontier_that_the_function_fills_is_crawled_to_its_end_whatever_calls_take() {
    assert_ends(|| {
        for (micros, in_flight) in
            [(0, 1), (0, 4), (0, 64), (20, 8), (20, 64), (200, 64), (2_000, 2), (2_000, 16), (25_000, 16)]
        {
            let pages = if micros > 10_000 { 100 } else { 1_000 };
            let frontier = Frontier::of_one_page();
            let visit = |page: u64| {
                if micros > 0 {
                    thread::sleep(Duration::from_micros(micros));
                }
                frontier.done([2 * page, 2 * page + 1].into_iter().filter(|&page| page < pages));
            };
            let mut seen = 0;
            let mut run = process_in_batches(visit, std::iter::from_fn(|| frontier.next())).in_flight(in_flight);
            run.for_each_batch(|batch| seen += batch.len() as u64).unwrap();
            assert_eq!(seen, pages - 1);
        }
    });
}

#[test]
fn so_it_is_where_memory_has_room_for_two_results() {
    assert_ends(|| {
        for _ in 0..5 {
            let frontier = Frontier::of_one_page();
            let visit = |page: u64| {
                thread::sleep(Duration::from_millis(20));
                frontier.done((5 * page - 3..5 * page + 2).filter(|&page| page < 40));
                vec![0; 1 << 20]
            };
            let run = process_in_batches(visit, from_fn(|| frontier.next())).weigh(|page: &Vec<u8>| page.len());
            let mut run = run.max_memory("2500KiB").in_flight(16).threads(4);
            let mut seen = 0;
            run.for_each_batch(|batch| seen += batch.len()).unwrap();
            assert_eq!(seen, 39);
        }
    });
}

#[test]
fn so_it_is_within_calls_that_have_all_threads() {
    assert_ends(|| {
        let crawl = |_: u8| {
            let frontier = Frontier::of_one_page();
            let visit = |page: u64| {
                thread::sleep(Duration::from_millis(5));
                frontier.done((page < 20).then_some(page + 1));
            };
            let mut run = process_in_batches(visit, from_fn(|| frontier.next())).in_flight(4);
            run.for_each_batch(drop).unwrap().items()
        };
        let pages: Vec<_> = process_in_batches(crawl, [0; 8]).threads(2).collect().unwrap();
        assert_eq!(pages, [20; 8]);
    });
}

#[test]
fn a_frontier_that_the_sink_fills_is_crawled_to_its_end() {
    // With `in_flight(1)` a result is handed over before the next item is asked for, however
    // quickly items come.
    let frontier = RefCell::new(VecDeque::from([1u64]));
    let mut seen = 0;
    let pages = std::iter::from_fn(|| frontier.borrow_mut().pop_front());
    process_in_batches(|page: u64| [2 * page, 2 * page + 1], pages)
        .in_flight(1)
        .for_each_batch(|batch| {
            seen += batch.len();
            frontier.borrow_mut().extend(batch.into_iter().flatten().filter(|&page| page < 5_000));
        })
        .unwrap();
    assert_eq!(seen, 4_999);
}

/// The length that an iterator reports, by the number of items that are left.
type Hint = fn(usize) -> (usize, Option<usize>);

/// An iterator that gives `items` items, and reports other numbers.
struct Wrong {
    given: usize,
    items: usize,
    says: Hint,
}

impl Iterator for Wrong {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        (self.given < self.items).then(|| {
            self.given += 1;
            self.given - 1
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.says)(self.items - self.given)
    }
}

#[test]
fn both_bounds_of_a_size_hint_are_hints() {
    let wrong: [Hint; 12] = [
        |_| (0, Some(0)),
        |left| (left / 2, Some(left / 2)),
        |_| (1, Some(1)),
        |left| (left + 7, Some(left + 7)),
        |left| (0, Some(left / 3)),
        |_| (usize::MAX, None),
        |_| (usize::MAX, Some(usize::MAX)),
        |_| (usize::MAX / 2, Some(usize::MAX / 2)),
        |_| (1 << 40, Some(1 << 40)),
        |_| (0, Some(usize::MAX)),
        // One that changes its report, and one with bounds that contradict each other.
        |left| if left % 2 == 0 { (0, Some(0)) } else { (left, None) },
        |left| (left + 5, Some(left / 2)),
    ];
    for (which, &says) in wrong.iter().enumerate() {
        for items in [0, 1, 2, 7, 300, 5_000] {
            for threads in [None, Some(1), Some(2)] {
                let run = || {
                    let mut run = process_in_batches(|item: usize| item, Wrong { given: 0, items, says });
                    if let Some(threads) = threads {
                        run = run.threads(threads);
                    }
                    run
                };
                let case = format!("{items} items, hint {which}, threads {threads:?}");
                assert!(run().collect::<Vec<_>>().unwrap().into_iter().eq(0..items), "{case}");
                assert!(run().into_iter().eq(0..items), "{case}");
                let mut seen = 0;
                run().for_each_batch(|batch| seen += batch.len()).unwrap();
                assert_eq!(seen, items, "{case}");
                let mut planned = run();
                planned.plan().unwrap();
                assert_eq!(planned.unordered().count(), items, "{case}");
            }
        }
    }
}
