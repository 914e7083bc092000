use amorsize::batched;

struct Model(u32);

impl Model {
    #[batched]
    fn f(self, x: u32) -> u32 {
        self.0 + x
    }
}

fn main() {
    let _: Vec<u32> = Model(0).f_batched(0..3).batch_size(2).collect().unwrap();
}
