use amorsize::batched;

struct Model {
    weight: f64,
}

impl Model {
    #[batched(checkpoint = "runs/predictions")]
    fn predict(&self, x: u32) -> f64 {
        self.weight * f64::from(x)
    }
}

fn main() {
    let _ = Model { weight: 0.5 }.predict_batched(0..3).for_each_batch(|_| ());
}
