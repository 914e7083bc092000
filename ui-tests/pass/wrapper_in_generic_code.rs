//! Callers of a wrapper need no bounds but those of its function, and `Send`.

use std::fmt::Display;

use amorsize::batched;

#[batched]
fn show<T: Display>(x: T, prefix: &str) -> String {
    format!("{prefix}{x}")
}

fn show_all<T: Display + Send>(items: Vec<T>) -> Vec<String> {
    show_batched(items, "-").collect().unwrap()
}

struct Model<T> {
    weight: T,
}

impl<T: Copy + Into<f64>> Model<T> {
    #[batched]
    fn weigh(&self, x: T) -> f64 {
        self.weight.into() * x.into()
    }
}

fn weigh_all<T: Copy + Into<f64> + Send + Sync>(model: &Model<T>, items: &[T]) -> Vec<f64> {
    model.weigh_batched(items.iter().copied()).collect().unwrap()
}

fn main() {
    assert_eq!(show_all(vec![1, 2]), ["-1", "-2"]);
    assert_eq!(weigh_all(&Model { weight: 2 }, &[1, 2]), [2.0, 4.0]);
}
