use amorsize::batched;

struct S;

impl S {
    #[batched(on_error = "collect")]
    fn f<T: Clone>(&self, x: T) -> Vec<T> {
        vec![x]
    }
}

fn main() {}
