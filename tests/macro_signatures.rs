//! Every form of function that the attribute accepts, called both ways.

#![allow(
    clippy::needless_arbitrary_self_type,
    clippy::needless_lifetimes,
    clippy::ptr_arg,
    reason = "every form is tried, also where another would be nicer"
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard};

use amorsize::batched;

/// What the wrapper gives is what the function gives, item by item.
macro_rules! same {
    ($run:expr, $expected:expr) => {
        assert_eq!($run.collect::<Vec<_>>().unwrap(), $expected)
    };
}

mod free {
    use super::*;

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

    #[test]
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

    #[test]
    fn patterns() {
        same!(swap_batched([(1, 'a'), (2, 'b')], [10, 0], &100), [('a', 111), ('b', 112)]);
        same!(ignored_batched([1, 2], "", 0, 0), [1, 1]);
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

    #[test]
    fn odd_names() {
        same!(match_batched([1, 2], &3), [4, 5]);
        same!(item_batched([1, 2], &10, 100, 1_000, 10_000), [11_111, 11_112]);
        same!(late_batched([1, 2], &3), [4, 5]);
    }

    #[batched(name = everything)]
    fn one(x: u32) -> u32 {
        x
    }

    #[test]
    fn the_name_can_be_chosen() {
        same!(everything(0..3), [0, 1, 2]);
        assert_eq!(one(1), 1);
    }

    #[batched]
    #[allow(clippy::too_many_arguments, reason = "that is the point")]
    fn twelve(x: u8, a: u8, b: u8, c: &u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8, j: u8, k: u8, l: &u8) -> u8 {
        x + a + b + c + d + e + f + g + h + i + j + k + l
    }

    #[test]
    fn up_to_twelve_shared_parameters() {
        same!(twelve_batched([0, 1], 1, 1, &1, 1, 1, 1, 1, 1, 1, 1, 1, &1), [12, 13]);
    }

    #[test]
    fn in_a_function_body() {
        struct Local(u32);

        #[batched]
        fn inner(x: u32) -> Local {
            Local(x + 1)
        }

        let all: Vec<u32> =
            inner_batched([1, 2]).collect::<Vec<_>>().unwrap().into_iter().map(|local| local.0).collect();
        assert_eq!(all, [inner(1).0, inner(2).0]);
    }

    #[batched]
    fn parse(text: &str) -> Result<u32, std::num::ParseIntError> {
        text.parse()
    }

    #[test]
    fn fallible() {
        assert_eq!(parse_batched(["1", "2"]).try_collect::<Vec<u32>>().unwrap(), [1, 2]);
        assert!(parse_batched(["1", "x"]).try_collect::<Vec<u32>>().is_err());
    }
}

mod references {
    use super::*;

    #[batched]
    fn length(x: &str) -> usize {
        x.len()
    }

    #[batched]
    fn trim(x: &str) -> &str {
        x.trim()
    }

    #[batched]
    fn late<'a>(x: &'a str, k: &str) -> &'a str {
        x.strip_prefix(k).unwrap_or(x)
    }

    #[batched]
    fn from_shared<'k>(x: usize, k: &'k str) -> &'k str {
        &k[x..]
    }

    #[batched]
    fn only_shared(x: usize, k: &[u8]) -> &u8 {
        &k[x]
    }

    #[batched]
    fn one_lifetime<'a>(x: &'a str, k: &'a str) -> &'a str {
        if x.is_empty() { k } else { x }
    }

    #[batched]
    #[expect(mismatched_lifetime_syntaxes, reason = "it is allowed")]
    fn one_parameter<'a>(x: &'a [&'a str]) -> Option<&str> {
        x.first().copied()
    }

    #[batched]
    fn joined(words: &[&str]) -> String {
        words.join("-")
    }

    #[batched]
    fn first<'a>(words: &[&'a str]) -> &'a str {
        words[0]
    }

    #[batched]
    fn both<'a, 'b>(words: &'a Vec<&'b str>) -> (&'b str, &'a str) {
        (words[0], words[1])
    }

    #[batched]
    fn cow<'a>(x: &'a str, from: &str) -> Cow<'a, str> {
        if x.contains(from) { x.replace(from, "_").into() } else { x.into() }
    }

    #[batched]
    fn cow_item(x: Cow<'_, str>) -> Cow<'_, str> {
        x
    }

    #[batched]
    fn forever(x: &'static str) -> &'static str {
        x
    }

    #[batched]
    #[expect(mismatched_lifetime_syntaxes, reason = "it is allowed")]
    fn elided_forever(x: &'static str) -> &str {
        x
    }

    #[batched]
    fn guarded(x: u32, total: &Mutex<u32>) -> u32 {
        let mut total: MutexGuard<'_, u32> = total.lock().unwrap();
        *total += x;
        x
    }

    #[batched]
    fn dynamic(x: &(dyn Display + Sync), suffix: &(dyn Display + Sync)) -> String {
        format!("{x}{suffix}")
    }

    #[batched]
    fn boxed(x: Box<dyn Fn(&str) -> String + Send>, y: &str) -> String {
        x(y)
    }

    #[batched]
    fn pointer(x: u32, f: fn(&u32) -> &u32, g: &(dyn for<'x> Fn(&'x u32) -> &'x u32 + Sync)) -> u32 {
        *f(&x) + *g(&x)
    }

    #[batched]
    fn nested<'a, 'b: 'a>(x: &'a HashMap<&'b str, Vec<Option<&'b u32>>>, key: &str) -> Option<&'a u32> {
        x.get(key)?.first().copied().flatten()
    }

    struct Row<'a>(&'a [f64]);

    #[batched]
    fn row(x: Row<'_>) -> f64 {
        x.0.iter().sum()
    }

    #[batched]
    fn cell<'r>(row: &Row<'r>, at: usize) -> &'r f64 {
        &row.0[at]
    }

    #[test]
    fn items_and_results_borrow() {
        let texts = [String::from(" ab "), String::from("b")];
        let borrowed = || texts.iter().map(String::as_str);
        same!(length_batched(borrowed()), [4, 1]);
        same!(trim_batched(borrowed()), ["ab", "b"]);
        same!(late_batched(borrowed(), &String::from("b")), [" ab ", ""]);
        same!(from_shared_batched([0, 1], "ab"), ["ab", "b"]);
        same!(only_shared_batched([0, 1], b"ab"), [b'a', b'b'].each_ref());
        same!(one_lifetime_batched(["", "x"], "k"), ["k", "x"]);
        same!(one_parameter_batched([&["a"][..]]), [Some("a")]);
        same!(joined_batched([&["a", "b"][..], &["c"]]), ["a-b", "c"]);
        same!(first_batched([&["a", "b"][..], &["c"]]), ["a", "c"]);
        same!(both_batched(&[vec!["a", "b"]]), [("a", "b")]);
        same!(cow_batched(borrowed(), "a"), [" _b ", "b"]);
        same!(cow_item_batched([Cow::Borrowed("a")]), ["a"]);
        same!(forever_batched(["a"]), ["a"]);
        same!(elided_forever_batched(["a"]), ["a"]);
        let total = Mutex::new(0);
        same!(guarded_batched([1, 2], &total), [1, 2]);
        assert_eq!(*total.lock().unwrap(), 3);
        same!(dynamic_batched([&1 as &(dyn Display + Sync), &"a"], &'!'), ["1!", "a!"]);
        let shout: Box<dyn Fn(&str) -> String + Send> = Box::new(str::to_uppercase);
        same!(boxed_batched([shout], "a"), ["A"]);
        same!(pointer_batched([1], |x| x, &|x| x), [2]);
        same!(row_batched([Row(&[1.0, 2.0])]), [3.0]);
        let map = HashMap::from([("a", vec![Some(&7)])]);
        same!(nested_batched([&map], &String::from("a")), [Some(&7)]);
        same!(cell_batched([&Row(&[1.0, 2.0])], 1), [&2.0]);
    }
}

mod generic {
    use super::*;

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

    #[test]
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

    #[test]
    fn impl_trait() {
        same!(anonymous_batched(["a"], &1, |x| x.repeat(2)), ["a1a1"]);
        same!(mixed_batched::<u8, _, _, _, _>([vec![1, 2]], [1].iter()), ["02"]);
        let chars = opaque_batched(["ab", "c"]).collect::<Vec<_>>().unwrap();
        assert_eq!(chars.into_iter().flatten().collect::<String>(), "abc");
        assert_eq!(precise_batched(["ab"], &1).collect::<Vec<_>>().unwrap().remove(0).count(), 2);
        assert_eq!(fallible_opaque_batched([1]).try_collect::<Vec<_>>().unwrap()[0].to_string(), "1");
    }
}

mod methods {
    use super::*;

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

    struct Concrete;

    #[derive(Debug, PartialEq)]
    struct RGB(u8);

    impl Concrete {
        #[batched]
        fn color(&self, x: RGB, _: &RGB) -> RGB {
            x
        }
    }

    trait Named: Sync {
        #[batched]
        fn name(&self, x: u32) -> String {
            format!("{}{x}", self.prefix())
        }

        fn prefix(&self) -> String;
    }

    impl Named for Concrete {
        fn prefix(&self) -> String {
            "c".into()
        }
    }

    #[test]
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
        drop(view);
        assert_eq!(rest, ["bc"]);

        same!(Concrete.color_batched([RGB(1)], &RGB(2)), [RGB(1)]);
        same!(Concrete.name_batched([1]), ["c1"]);
    }
}

mod declared_by_macros {
    use super::*;

    macro_rules! named {
        ($(#[$meta:meta])* $vis:vis $name:ident($x:ident, $k:ident), $item:ty => $output:ty, $body:block, $size:literal, $count:expr) => {
            $(#[$meta])*
            #[batched(batch_size = $size, threads = $count)]
            $vis fn $name($x: $item, $k: &$item) -> $output $body
        };
    }

    named!(pub(super) sum(x, k), &str => usize, { x.len() + k.len() }, 3, 1 + 1);
    named!(#[must_use] longer(x, k), Vec<u32> => Option<Vec<u32>>, { (x.len() > k.len()).then_some(x) }, 3, 2);

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

    #[test]
    fn they_work_the_same() {
        same!(sum_batched(["a"], &"b"), [2]);
        same!(longer_batched([vec![1]], &vec![]), [Some(vec![1])]);
        same!(fixed_batched([1], &2), [3]);
        same!(whole_batched(&[1]), [&1]);
    }
}
