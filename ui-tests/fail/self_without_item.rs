use amorsize::batched;

struct Model(u32);

impl Model {
    #[batched]
    fn f(&self) -> u32 {
        self.0
    }
}

fn main() {
    println!("{}", Model(0).f());
}
