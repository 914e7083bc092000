//! An input that waits for the results of the items before it.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// Sends each question from another thread, after the answer to the one before, and has `run`
/// answer them. Returns the number of answers, and fails if that takes longer than `hangs`.
pub(crate) fn interview(
    hangs: Duration,
    count: u64,
    run: impl FnOnce(Receiver<u64>, Sender<u64>) + Send + 'static,
) -> u64 {
    let (ask, questions) = mpsc::channel();
    let (answer, answers) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut answered = 0;
        for question in 0..count {
            ask.send(question).unwrap();
            assert_eq!(answers.recv(), Ok(question + 1));
            answered += 1;
        }
        drop(ask);
        done.send(answered).unwrap();
    });
    let answers = thread::spawn(move || run(questions, answer));
    let answered = is_done.recv_timeout(hangs).expect("every question is answered");
    answers.join().unwrap();
    answered
}
