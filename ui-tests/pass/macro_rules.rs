//! Functions that `macro_rules` write, or pass on.

use amorsize::batched;

/// The wrapper gives the same as the function, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

macro_rules! named {
    ($(#[$meta:meta])* $vis:vis $name:ident($x:ident, $k:ident), $item:ty => $output:ty, $body:block, $size:literal, $count:expr) => {
        $(#[$meta])*
        #[batched(batch_size = $size, threads = $count)]
        $vis fn $name($x: $item, $k: &$item) -> $output $body
    };
}

named!(pub(crate) sum(x, k), &str => usize, { x.len() + k.len() }, 3, 1 + 1);
named!(#[must_use] larger(x, k), [u32; 2] => Option<[u32; 2]>, { (x > *k).then_some(x) }, 3, 2);

macro_rules! fixed {
    () => {
        #[batched]
        fn fixed(x: u32, k: &u32) -> u32 {
            x + *k
        }
    };
}

fixed!();

macro_rules! whole {
    ($item:item) => {
        #[batched]
        $item
    };
}

whole! {
    fn whole(x: &u32) -> &u32 {
        x
    }
}

struct Scale(u32);

macro_rules! method {
    ($this:ident) => {
        impl Scale {
            #[batched]
            fn times(&$this, x: u32) -> u32 {
                $this.0 * x
            }
        }
    };
}

method!(self);

fn they_work_the_same() {
    same!(sum_batched(["a"], &"b"), [2]);
    same!(larger_batched([[1, 2]], &[0, 0]), [Some([1, 2])]);
    same!(fixed_batched([1], &2), [3]);
    same!(whole_batched(&[1]), [&1]);
    same!(Scale(3).times_batched([1, 2]), [3, 6]);
}

pub(crate) fn main() {
    they_work_the_same();
}
