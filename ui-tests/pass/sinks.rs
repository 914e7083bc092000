//! Whatever a sink is that returns nothing: its type is inferred as that of any closure is.
#![deny(warnings)]
#![allow(dead_code, reason = "what ends the process is compiled alone")]

use std::io;
use std::sync::mpsc::channel;

use amorsize::on_error::{Collect, Skip, Stop};
use amorsize::{Batch, Batched, Report, process_in_batches};

type Run = Batched<std::ops::Range<u32>, u32, fn(u32) -> u32>;

fn run() -> Run {
    process_in_batches(|x: u32| x + 1, 0..10)
}

fn diverging() {
    run().for_each_batch(|_| panic!("never called")).unwrap();
    run().for_each_batch(|_| todo!()).unwrap();
    run().for_each_batch(|batch| std::process::exit(i32::from(batch.is_empty()))).unwrap();
    let _ = run().for_each_batch(|_| unreachable!());
    let parse = str::parse::<u32>;
    process_in_batches(parse, ["1"]).on_error(Stop).for_each_batch(|_| panic!()).unwrap();
    process_in_batches(parse, ["1"]).on_error(Skip).for_each_batch(|_| panic!()).unwrap();
    let _ = process_in_batches(parse, ["1"]).on_error(Collect).for_each_batch(|_| panic!()).unwrap();
}

/// The type of the error is that of the result.
fn stated_by_the_result() -> io::Result<Report> {
    run().try_for_each_batch(|batch| {
        batch.iter().try_for_each(|_| Ok::<_, io::Error>(()))?;
        Ok(())
    })
}

fn main() {
    let (mut all, mut count, mut sizes) = (Vec::new(), 0, Vec::new());
    run().for_each_batch(|batch| all.extend(batch)).unwrap();
    run().for_each_batch(|batch| count += batch.len()).unwrap();
    run().for_each_batch(|batch| if batch.is_empty() { return } else { sizes.push(batch.len()) }).unwrap();
    run().for_each_batch(drop).unwrap();
    run().for_each_batch(|_| {}).unwrap();
    run().for_each_batch(|batch| batch.into_iter().for_each(drop)).unwrap();
    run()
        .for_each_batch(|batch| match batch.len() {
            0 => unreachable!("a batch holds something"),
            1 => (),
            _ => return,
        })
        .unwrap();
    run()
        .for_each_batch(|batch| {
            loop {
                if !batch.is_empty() {
                    break;
                }
            }
        })
        .unwrap();
    let (sender, receiver) = channel();
    run().for_each_batch(|batch| sender.send(batch.into_vec()).unwrap()).unwrap();
    let mut boxed: Box<dyn FnMut(Batch<u32>)> = Box::new(drop);
    run().for_each_batch(&mut boxed).unwrap();
    run().for_each_batch(boxed).unwrap();
    assert_eq!((all.len(), count, sizes.iter().sum::<usize>()), (10, 10, 10));
    assert_eq!(receiver.try_iter().flatten().count(), 10);
    assert_eq!(stated_by_the_result().unwrap().items(), 10);
}
