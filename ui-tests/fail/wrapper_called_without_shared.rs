use amorsize::batched;

#[batched]
fn count(text: &str, ignored: &[&str]) -> usize {
    text.split(' ').filter(|word| !ignored.contains(word)).count()
}

struct Model;

impl Model {
    #[batched(name = predict_all)]
    fn predict(&self, x: u32, weight: u32) -> u32 {
        weight * x
    }
}

fn main() {
    let _ = count_batched(["to be"]);
    let _ = Model.predict_all([1]);
}
