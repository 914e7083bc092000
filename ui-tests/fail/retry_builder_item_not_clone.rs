use amorsize::process_in_batches;

struct Job(u32);

fn main() {
    let run = process_in_batches(|job: Job| if job.0 > 0 { Ok(job.0) } else { Err(()) }, [Job(1)]);
    let _: Vec<u32> = run.retry(3).try_collect().unwrap();
}
