use amorsize::batched;

#[batched]
fn f(x: &str, y: &str) -> &str {
    x
}

fn main() {
    let _: Vec<&str> = f_batched(["a"], "b").batch_size(2).collect().unwrap();
}
