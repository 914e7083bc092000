use amorsize::batched;

struct Scale(f64);

impl Scale {
    #[batched]
    fn scale(&self, x: f64) -> f64 {
        x * self.0
    }
}

#[batched]
fn scale(x: f64, by: f64) -> f64 {
    x * by
}

fn main() {
    let run = scale_batched([1.0, 2.0], 2.0);
    let _: Vec<f64> = run.then(scale_batched).collect().unwrap();
    let run = scale_batched([1.0, 2.0], 2.0);
    for x in run.then(Scale::scale_batched) {
        println!("{x}");
    }
}
