use amorsize::DeepSize;

#[derive(DeepSize)]
struct Tree<T> {
    content: T,
    children: Vec<Tree<T>>,
}

struct Window;

fn main() {
    let tree = Tree { content: Window, children: Vec::new() };
    println!("{}", tree.heap_size());
}
