use amorsize::batched;

pub struct Job(pub u32);

pub struct Runner;

impl Runner {
    #[batched(retry = 3)]
    pub fn run(&self, jobs: Vec<Job>, scale: u32) -> Result<u32, String> {
        Ok(jobs.len() as u32 * scale)
    }
}

fn main() {
    let _: Vec<u32> = Runner.run_batched([vec![Job(1)]], 2).try_collect().unwrap();
}
