//! A plan measures in its sample the bytes that a call needs beside its result. This is a program
//! of its own, because other tests would change its resident memory meanwhile.
#![cfg(target_os = "linux")]

use amorsize::{ByteSize, Certainty, batched};

const MIB: u64 = 1 << 20;
const BUDGET: ByteSize = ByteSize::mib(256);

#[test]
fn a_plan_measures_it_in_the_sample() {
    #[batched]
    fn touch(index: usize) -> u8 {
        let memory = std::hint::black_box(vec![index as u8 | 1; 64 << 20]);
        memory[index]
    }

    let mut run = touch_batched(0..5).max_memory(BUDGET);
    let plan = run.plan().unwrap();
    let working = plan.working_bytes().as_u64() / MIB;
    assert!((60..=70).contains(&working), "{plan}");
    assert_eq!(plan.working_certainty(), Certainty::Estimate);
    assert!(plan.to_string().contains("while a call runs (an estimate)"), "{plan}");
    assert!(plan.explain().contains("working memory of a call: 6"), "{}", plan.explain());
}
