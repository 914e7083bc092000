use amorsize::batched;

trait Model {
    #[batched]
    fn f(&self, x: u32) -> u32;
}

struct Plain;

impl Model for Plain {
    fn f(&self, x: u32) -> u32 {
        x
    }
}

fn main() {
    let _: Vec<u32> = Plain.f_batched(0..3).batch_size(2).collect().unwrap();
}
