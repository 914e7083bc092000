use amorsize::batched;

struct Model;

impl Model {
    #[batched]
    fn scale(x: u32) -> u32 {
        2 * x
    }
}

fn main() {
    let _: Vec<u32> = Model::scale_batched(0..3).batch_size(2).collect().unwrap();
}
