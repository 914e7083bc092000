//! Free functions: by value, with patterns, odd names, in function bodies, fallible.

use amorsize::batched;

/// The wrapper gives the same as the function, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

#[batched]
fn double(x: u32) -> u32 {
    2 * x
}

#[batched]
fn nothing(_: u32) {}

#[batched]
fn add(x: u32, y: u32) -> u32 {
    x + y
}

#[batched]
const fn constant(mut x: u32) -> u32 {
    x += 1;
    x
}

#[batched]
extern "C" fn foreign(x: i32) -> i32 {
    -x
}

fn by_value() {
    same!(double_batched(0..4), [0, 2, 4, 6]);
    same!(nothing_batched(0..2), [(), ()]);
    same!(add_batched(vec![1, 2], 10), [11, 12]);
    same!(constant_batched([1, 2]), [2, 3]);
    same!(foreign_batched([1, 2]), [-1, -2]);
    same!(double_batched(std::iter::empty()), [0_u32; 0]);
}

#[batched]
fn swap((a, b): (u32, char), [first, ..]: [u32; 2], &third: &u32) -> (char, u32) {
    (b, a + first + third)
}

#[batched]
fn ignored(_: u32, _: &str, _unused: u8, _: u8) -> u8 {
    1
}

#[batched]
fn keywords(x: u32, _type: &str, _self: &u8, _static: &u8, _crate: u8) -> u32 {
    x
}

fn patterns() {
    same!(swap_batched([(1, 'a'), (2, 'b')], [10, 0], &100), [('a', 111), ('b', 112)]);
    same!(ignored_batched([1, 2], "", 0, 0), [1, 1]);
    same!(keywords_batched([1, 2], "", &0, &0, 0), [1, 2]);
}

#[batched]
fn r#match(r#type: u32, r#dyn: &u32) -> u32 {
    r#type + *r#dyn
}

// Names that the expansion might use itself.
#[batched]
fn item(item: u32, items: &u32, shared: u32, chunk: u32, private: u32) -> u32 {
    item + items + shared + chunk + private
}

// A parameter of the function's own name.
#[batched]
fn late(x: u32, late: &u32) -> u32 {
    x + *late
}

fn odd_names() {
    same!(match_batched([1, 2], &3), [4, 5]);
    same!(item_batched([1, 2], &10, 100, 1_000, 10_000), [11_111, 11_112]);
    same!(late_batched([1, 2], &3), [4, 5]);
}

#[batched(name = everything)]
fn one(x: u32) -> u32 {
    x
}

fn the_name_can_be_chosen() {
    same!(everything(0..3), [0, 1, 2]);
    assert_eq!(one(1), 1);
}

#[batched]
#[allow(clippy::too_many_arguments, reason = "that is the point")]
fn twelve(x: u8, a: u8, b: u8, c: &u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: &u8) -> u8 {
    x + a + b + c + d + e + f + g + h + i + j + k + l
}

fn up_to_twelve_shared_parameters() {
    same!(twelve_batched([0, 1], 1, 1, &1, 1, 1, 1, 1, 1, 1, 1, 1, &1), [12, 13]);
}

fn in_a_function_body() {
    struct Local(u32);

    #[batched]
    fn inner(x: u32) -> Local {
        Local(x + 1)
    }

    let all: Vec<u32> = inner_batched([1, 2]).collect::<Vec<_>>().unwrap().into_iter().map(|local| local.0).collect();
    assert_eq!(all, [inner(1).0, inner(2).0]);
}

#[batched]
fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

fn fallible() {
    assert_eq!(parse_batched(["1", "2"]).try_collect::<Vec<u32>>().unwrap(), [1, 2]);
    assert!(parse_batched(["1", "x"]).try_collect::<Vec<u32>>().is_err());
}

pub(crate) fn main() {
    by_value();
    patterns();
    odd_names();
    the_name_can_be_chosen();
    up_to_twelve_shared_parameters();
    in_a_function_body();
    fallible();
}
