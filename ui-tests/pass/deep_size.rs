//! Every form that the derive takes, in a crate that forbids much.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use std::borrow::Cow;
use std::marker::PhantomData;

use amorsize::DeepSize;

/// Fields that only this module can see, of names that are keywords.
pub mod private {
    /// A name.
    #[derive(amorsize::DeepSize, Default)]
    pub struct Name<'a> {
        r#type: std::borrow::Cow<'a, str>,
        r#fn: Private,
    }

    #[derive(amorsize::DeepSize, Default)]
    struct Private(Vec<u8>);

    impl Name<'_> {
        /// What is in it.
        pub fn content(&self) -> (&str, &[u8]) {
            (&self.r#type, &self.r#fn.0)
        }
    }
}

/// Nothing.
#[derive(DeepSize)]
pub struct Unit;

/// Nobody.
#[derive(DeepSize)]
pub enum Never {}

/// A list.
#[derive(DeepSize)]
pub enum List<T> {
    /// Its end.
    End,
    /// Its beginning.
    Node(T, Box<List<T>>),
}

/// One half of a type that holds itself.
#[derive(DeepSize, Clone)]
pub struct Chicken {
    /// The other half.
    pub egg: Option<Box<Egg>>,
}

/// The other half.
#[derive(DeepSize, Clone)]
pub struct Egg(pub Vec<Chicken>, pub [Option<Cow<'static, [Chicken]>>; 2]);

/// All kinds of parameters.
#[derive(DeepSize)]
pub struct Generic<'a, T: ?Sized, I, S = u8, const N: usize = 3>
where
    I: Iterator,
    S: Clone,
{
    /// What need not be counted.
    pub borrowed: &'a T,
    /// A type of a parameter.
    pub item: Option<I::Item>,
    /// Another.
    pub same: Option<<I as Iterator>::Item>,
    /// Of a length.
    pub several: [S; N],
    /// Of nothing.
    pub marker: PhantomData<I>,
    /// A pointer.
    pub function: fn(&str) -> u8,
}

/// A type without a size.
#[derive(DeepSize)]
pub struct Tail<T: ?Sized> {
    /// Before.
    pub head: Vec<u8>,
    /// After.
    pub tail: T,
}

/// Without gaps.
#[derive(DeepSize, Clone, Copy)]
#[repr(C, packed)]
pub struct Packed {
    /// Not aligned.
    pub number: u64,
    /// Aligned.
    pub byte: u8,
}

struct Opaque;

/// Skips.
#[derive(DeepSize)]
pub enum Skips {
    /// One of two.
    Some(String, #[deep_size(skip)] Opaques),
    /// All.
    All {
        /// Left out.
        #[deep_size(skip,)]
        all: Opaques,
    },
}

/// Not measurable.
pub struct Opaques {
    _opaque: Opaque,
}

/// At another path.
pub mod again {
    /// Here.
    pub use amorsize as measuring;
}

/// Measured from there.
#[derive(DeepSize)]
#[deep_size(crate = crate::again::measuring)]
pub struct Renamed(pub String);

macro_rules! make {
    ($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* }) => {
        $(#[$meta])*
        #[derive(DeepSize)]
        pub struct $name {
            $(/// A field.
            pub $field: $type,)*
        }
    };
}

make!(/// Made.
    Made { a: Vec<u8>, b: (u8, String) });

fn main() {
    let name = private::Name::default();
    assert_eq!((name.heap_size(), name.content()), (0, ("", &[][..])));
    assert_eq!(Unit.heap_size(), 0);
    const { assert!(!Never::OWNS_HEAP && !Packed::OWNS_HEAP && !Unit::OWNS_HEAP && Chicken::OWNS_HEAP) };
    let list = List::Node(1u8, Box::new(List::Node(2, Box::new(List::End))));
    assert_eq!(list.heap_size(), 2 * size_of::<List<u8>>());
    let chicken = Chicken { egg: Some(Box::new(Egg(Vec::with_capacity(3), [None, None]))) };
    assert_eq!(chicken.heap_size(), size_of::<Egg>() + 3 * size_of::<Chicken>());
    // What is neither measurable nor asked for stands behind a reference or is a marker.
    let generic: Generic<'_, dyn Fn(), std::vec::IntoIter<String>> = Generic {
        borrowed: &|| (),
        item: Some(String::with_capacity(5)),
        same: None,
        several: [1; 3],
        marker: PhantomData,
        function: |_| 1,
    };
    assert_eq!((generic.heap_size(), (generic.function)("")), (5, 1));
    let tail: &Tail<[String]> = &Tail { head: vec![1; 10], tail: [String::with_capacity(1), String::with_capacity(2)] };
    assert_eq!(tail.heap_size(), 13);
    assert_eq!(Packed { number: 1, byte: 1 }.deep_size(), 9);
    assert_eq!(Skips::Some(String::with_capacity(7), Opaques { _opaque: Opaque }).heap_size(), 7);
    assert_eq!(Skips::All { all: Opaques { _opaque: Opaque } }.heap_size(), 0);
    assert_eq!(Renamed(String::with_capacity(7)).heap_size(), 7);
    assert_eq!(Made { a: Vec::with_capacity(1), b: (0, String::with_capacity(2)) }.heap_size(), 3);
}
