use amorsize::batched;

struct Job(u32);

#[batched(retry = 3)]
fn run(job: Job) -> std::io::Result<u32> {
    Ok(job.0)
}

fn main() {
    let _: Vec<u32> = run_batched([Job(1)]).batch_size(2).try_collect().unwrap();
}
