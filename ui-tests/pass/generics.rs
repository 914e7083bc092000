//! Generic functions, and `impl Trait` in parameters and results.

use std::fmt::Display;
use std::sync::Arc;

use amorsize::batched;

/// The wrapper gives the same as the function, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

#[batched]
fn identity<T>(x: T) -> T {
    x
}

#[batched]
fn default_of<T, const N: usize>(x: u32) -> (u32, usize)
where
    T: Default + Into<u32>,
{
    (x + T::default().into(), N)
}

#[batched]
fn by_reference<T: Display>(x: &T) -> String {
    x.to_string()
}

#[batched]
fn wrapped<T, E>(x: Option<T>, y: Arc<T>) -> Result<(T, Arc<T>), E>
where
    T: Clone,
{
    Ok((x.unwrap_or_else(|| T::clone(&y)), y))
}

trait Shape {
    type Out;
    fn out(&self) -> Self::Out;
}

impl Shape for u32 {
    type Out = String;
    fn out(&self) -> String {
        self.to_string()
    }
}

#[batched]
fn projected<S: Shape>(x: S) -> S::Out {
    x.out()
}

#[batched]
fn projected_items<S: Shape>(x: <S as Shape>::Out, y: &S) -> (S::Out, S::Out) {
    (x, y.out())
}

#[batched]
fn projected_reference<'a, S: Shape>(x: &'a S::Out, _: &S) -> &'a S::Out {
    x
}

#[batched]
fn array<T: Copy, const N: usize>(x: [T; N]) -> T {
    x[0]
}

#[batched]
fn cloned<T: Clone + PartialEq>(x: &[T], y: Vec<T>) -> bool {
    x == y
}

#[batched]
fn called<F: Fn(u32) -> u32>(x: u32, f: F, g: &F) -> u32 {
    f(x) + g(x)
}

fn type_parameters() {
    same!(identity_batched(["a", "b"]), ["a", "b"]);
    same!(default_of_batched::<u8, 3, _>([1]), [(1, 3)]);
    same!(by_reference_batched(&[1, 2]), ["1", "2"]);
    same!(wrapped_batched::<u32, (), _>([Some(1), None], Arc::new(2)), [Ok((1, 2.into())), Ok((2, 2.into()))]);
    same!(projected_batched([1, 2]), ["1", "2"]);
    same!(projected_items_batched(["a".to_owned()], &1), [("a".to_owned(), "1".to_owned())]);
    same!(projected_reference_batched(&["a".to_owned()], &1), ["a"]);
    same!(array_batched([[1, 2], [3, 4]]), [1, 3]);
    same!(cloned_batched([&[1][..], &[2]], vec![1]), [true, false]);
    let offset = 5;
    let add = |x| x + offset;
    same!(called_batched([1], add, &add), [12]);
}

#[batched]
fn anonymous(x: impl AsRef<str>, y: &impl Display, f: impl Fn(&str) -> String) -> String {
    f(&format!("{}{y}", x.as_ref()))
}

#[batched]
fn mixed<T: Default + Display>(x: Vec<impl Display>, _y: impl Iterator<Item = impl Display> + Clone) -> String {
    format!("{}{}", T::default(), x.len())
}

#[batched]
fn opaque(x: &str) -> impl Iterator<Item = char> {
    x.chars()
}

#[batched]
fn precise<'a, T>(x: &'a str, _: &T) -> impl Iterator<Item = char> + use<'a, T> {
    x.chars()
}

#[batched]
fn fallible_opaque(x: u32) -> Result<impl Display, String> {
    if x > 0 { Ok(x) } else { Err("zero".into()) }
}

fn impl_trait() {
    same!(anonymous_batched(["a"], &1, |x| x.repeat(2)), ["a1a1"]);
    same!(mixed_batched::<u8, _, _, _, _>([vec![1, 2]], [1].iter()), ["02"]);
    let chars = opaque_batched(["ab", "c"]).collect::<Vec<_>>().unwrap();
    assert_eq!(chars.into_iter().flatten().collect::<String>(), "abc");
    assert_eq!(precise_batched(["ab"], &1).collect::<Vec<_>>().unwrap().remove(0).count(), 2);
    assert_eq!(fallible_opaque_batched([1]).try_collect::<Vec<_>>().unwrap()[0].to_string(), "1");
}

pub(crate) fn main() {
    type_parameters();
    impl_trait();
}
