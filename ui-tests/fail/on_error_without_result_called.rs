use amorsize::batched;

#[batched(on_error = "collect")]
fn f(x: u32) -> Vec<u32> {
    vec![x]
}

#[batched(on_error = "skip", retry = 2)]
fn g(x: u32) -> Option<u32> {
    Some(x)
}

#[batched(on_error = "stop")]
fn nothing(x: u32) {
    println!("{x}");
}

struct Model;

impl Model {
    #[batched(on_error = "stop")]
    fn f(&self, x: u32) -> (u32, u32) {
        (x, x)
    }
}

fn main() {
    let (values, failures) = f_batched([1]).collect::<Vec<_>>().unwrap().into_parts();
    println!("{} {}", values[0].len(), failures.len());
    let found: Vec<Option<u32>> = g_batched([1]).collect().unwrap();
    println!("{}", found.len());
    nothing_batched([1]).for_each_batch(|batch| drop(batch)).unwrap();
    for pair in Model.f_batched([1]) {
        println!("{}", pair.unwrap().0);
    }
}
