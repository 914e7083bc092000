//! Methods and associated functions of generic and plain types, and default methods of traits.

#![allow(
    clippy::needless_arbitrary_self_type,
    clippy::needless_lifetimes,
    clippy::upper_case_acronyms,
    reason = "every form is tried, also where another would be nicer"
)]

use std::collections::BTreeSet;

use amorsize::batched;

/// The wrapper gives the same as the function, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

struct Model<T> {
    weight: T,
}

impl<T: Copy + std::ops::Mul<Output = T>> Model<T> {
    #[batched]
    fn predict(&self, x: T) -> T {
        self.weight * x
    }

    #[batched]
    fn predict_reference(&self, x: &T, y: &T) -> T {
        self.weight * *x * *y
    }

    #[batched]
    fn weight(&self, _: u8) -> &T {
        &self.weight
    }

    #[batched]
    fn explicit<'s>(self: &'s Self, _: &u8) -> &'s T {
        &self.weight
    }

    #[batched]
    fn typed(self: &Self, _: &u8) -> &T {
        &self.weight
    }

    #[batched]
    fn new(weight: T) -> Self {
        Self { weight }
    }

    #[batched]
    fn from_body(weight: T, x: T) -> T {
        Self { weight }.predict(x)
    }

    #[batched(in_impl)]
    fn square(x: T) -> T {
        x * x
    }

    #[batched]
    fn merged(&self, other: Self) -> Self {
        Self { weight: self.weight * other.weight }
    }

    #[batched]
    fn generic<U: Into<T>>(&self, x: U, y: Vec<U>, z: &[U]) -> (T, usize) {
        (self.weight * x.into(), y.len() + z.len())
    }
}

struct View<'a> {
    text: &'a str,
}

// The lifetime of the impl is out of the attribute's sight, and so are names like it.
impl<'a> View<'a> {
    #[batched]
    fn find(&self, x: &str, a: &str) -> Option<usize> {
        self.text.find(x).or_else(|| self.text.find(a))
    }

    #[batched]
    fn slice(&self, x: usize) -> &'a str {
        &self.text[x..]
    }

    #[batched]
    fn over(text: &'a str) -> Self {
        Self { text }
    }
}

struct Named<Input>(Input);

// Parameters of an impl are known by their capitals only; others say what they must be.
impl<Input: Clone> Named<Input> {
    #[batched]
    fn pair(&self, x: Input) -> (Input, Input)
    where
        Input: Send,
    {
        (self.0.clone(), x)
    }
}

struct Concrete;

#[derive(Debug, PartialEq)]
struct RGB(u8);

impl Concrete {
    #[batched]
    fn color(&self, x: RGB, _: &RGB) -> RGB {
        x
    }
}

// `Self` stands behind words with which an item could begin.
impl RGB {
    #[batched]
    fn shades(x: u8) -> impl Iterator<Item = Self> {
        (0..x).map(RGB)
    }

    #[batched]
    fn united(x: u8, with: &BTreeSet<u8>) -> Vec<RGB> {
        with.union(&BTreeSet::from([x])).copied().map(Self).collect()
    }
}

trait WithDefault: Sync {
    #[batched]
    fn name(&self, x: u32) -> String {
        format!("{}{x}", self.prefix())
    }

    fn prefix(&self) -> String;
}

impl WithDefault for Concrete {
    fn prefix(&self) -> String {
        "c".into()
    }
}

fn of_generic_and_plain_types() {
    let model = Model { weight: 3 };
    same!(model.predict_batched([1, 2]), [3, 6]);
    same!(model.predict_reference_batched(&[1, 2], &10), [30, 60]);
    same!(model.weight_batched([1, 2]), [&3, &3]);
    same!(model.explicit_batched(&[1]), [&3]);
    same!(model.typed_batched(&[1]), [&3]);
    assert_eq!(Model::new_batched([5]).collect::<Vec<_>>().unwrap()[0].weight, 5);
    same!(Model::from_body_batched([5], 2), [10]);
    same!(Model::<u32>::square_batched([5]), [25]);
    assert_eq!(model.merged_batched([Model { weight: 2 }]).collect::<Vec<_>>().unwrap()[0].weight, 6);
    same!(Model { weight: 2_u32 }.generic_batched([4_u8], vec![1], &[1]), [(8, 2)]);

    let text = String::from("abc");
    let view = View { text: &text };
    same!(view.find_batched(["b", "x"], "c"), [Some(1), Some(2)]);
    let rest = view.slice_batched([1]).collect::<Vec<_>>().unwrap();
    assert_eq!(View::over_batched([text.as_str()]).collect::<Vec<_>>().unwrap()[0].text, "abc");
    assert_eq!(rest, ["bc"]);

    same!(Concrete.color_batched([RGB(1)], &RGB(2)), [RGB(1)]);
    assert_eq!(RGB::shades_batched([1, 2]).collect::<Vec<_>>().unwrap().into_iter().flatten().count(), 3);
    same!(RGB::united_batched([2], &BTreeSet::from([1])), [vec![RGB(1), RGB(2)]]);
    same!(Concrete.name_batched([1]), ["c1"]);
    same!(Named(1).pair_batched([2]), [(1, 2)]);
}

struct Sum(u8);

impl Sum {
    #[batched]
    #[allow(clippy::too_many_arguments, reason = "that is the point")]
    fn twelve(
        &self,
        x: u8,
        a: u8,
        b: u8,
        c: &u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: &u8,
    ) -> u8 {
        self.0 + x + a + b + c + d + e + f + g + h + i + j + k + l
    }
}

#[batched]
fn called(x: u32, self_: impl Fn(u32) -> u32 + Copy + Sync) -> u32 {
    self_(x)
}

fn of_self_and_others() {
    same!(Sum(1).twelve_batched([0, 1], 1, 1, &1, 1, 1, 1, 1, 1, 1, 1, 1, &1), [13, 14]);
    same!(called_batched([1, 2], |x| x + 1), [2, 3]);
}

pub(crate) fn main() {
    of_generic_and_plain_types();
    of_self_and_others();
}
