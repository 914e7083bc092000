//! The expansion needs nothing from the place where it stands, and its names clash with none there.

#![no_implicit_prelude]

/// Names of the standard library, of amorsize and of the expansion, with other meanings here.
mod shadowed {
    #![allow(non_camel_case_types, dead_code, unused_macros, reason = "that is the point")]

    use ::amorsize::batched;

    struct usize;
    struct bool;
    struct Option;
    struct Some;
    struct Send;
    struct Sync;
    struct Clone;
    struct IntoIterator;
    struct Batched;
    struct Options;
    struct Measure;
    mod core {}
    mod std {}
    mod amorsize {}
    const OPTIONS: u32 = 1;
    const BATCH_SIZE: ::core::primitive::usize = 2;

    macro_rules! size {
        () => {
            BATCH_SIZE
        };
    }

    macro_rules! assert {
        ($($tokens:tt)*) => {
            ::core::compile_error!("the user's `assert!` was called")
        };
    }

    #[batched(batch_size = BATCH_SIZE, threads = { let value = BATCH_SIZE; 2 * value }, verbose = false, max_memory = 0.5)]
    pub(crate) fn shadowing<T: ::core::clone::Clone>(x: u32, y: T, z: &T) -> u32 {
        let _ = (y, z);
        x + OPTIONS
    }

    /// The expansion sees no name that another macro says.
    #[batched(batch_size = size!())]
    pub(crate) fn sized(x: u32) -> u32 {
        x
    }

    struct DeepSize;

    #[derive(::amorsize::DeepSize)]
    pub(crate) struct Counted<T> {
        pub(crate) field0: T,
        pub(crate) heap_size: ::std::vec::Vec<u8>,
    }

    #[derive(::amorsize::DeepSize)]
    #[allow(dead_code, reason = "only its impl matters")]
    pub(crate) enum Kind {
        Option(u8, ::std::string::String),
        Some { field1: ::std::string::String, field0: u8 },
        None,
    }

    pub(crate) struct Model;

    impl Model {
        #[batched]
        pub(crate) fn method(&self, x: u32) -> u32 {
            x
        }
    }
}

#[test]
fn shadowed_names_do_no_harm() {
    use ::std::vec::Vec;

    let all: Vec<u32> = shadowed::shadowing_batched([1, 2], 0, &0).collect().unwrap();
    ::std::assert_eq!(all, [2, 3]);
    let all: Vec<u32> = shadowed::sized_batched([1, 2]).collect().unwrap();
    ::std::assert_eq!(all, [1, 2]);
    let all: Vec<u32> = shadowed::Model.method_batched([1, 2]).collect().unwrap();
    ::std::assert_eq!(all, [1, 2]);
    let counted = shadowed::Counted { field0: Vec::<u8>::with_capacity(2), heap_size: Vec::with_capacity(3) };
    ::std::assert_eq!(::amorsize::DeepSize::heap_size(&counted), 5);
    ::std::assert_eq!(::amorsize::DeepSize::heap_size(&shadowed::Kind::None), 0);
}

/// Types in a signature with the names that the expansion would choose.
mod taken {
    use ::amorsize::batched;

    pub(crate) struct Items;
    macro_rules! items {
        () => {
            Items
        };
    }

    #[batched]
    pub(crate) fn by_macro(_: u32, k: &items!()) -> &items!() {
        k
    }

    #[expect(dead_code, reason = "only its lifetime matters")]
    pub(crate) struct Item<'item>(pub(crate) &'item u32);

    #[batched]
    pub(crate) fn same<'item>(_: &Item<'item>, k: &'item Items, y: impl ::core::marker::Copy) -> &'item Items {
        let _ = y;
        k
    }
}

#[test]
fn names_in_use_are_not_taken() {
    ::std::assert_eq!(
        taken::same_batched([&taken::Item(&1)], &taken::Items, 1).collect::<::std::vec::Vec<_>>().unwrap().len(),
        1
    );
    ::std::assert_eq!(taken::by_macro_batched([1], &taken::Items).collect::<::std::vec::Vec<_>>().unwrap().len(), 1);
}

/// amorsize at another path.
mod elsewhere {
    pub(crate) mod deep {
        pub(crate) use ::amorsize;
    }

    #[deep::amorsize::batched(crate = deep::amorsize, batch_size = 2, threads = 1 + 1, max_memory = HALF)]
    pub(crate) fn double(x: u32, y: u32, z: &u32) -> u32 {
        2 * x + y + *z
    }

    const HALF: f64 = 0.5;

    #[derive(deep::amorsize::DeepSize)]
    #[deep_size(crate = deep::amorsize)]
    pub(crate) struct Counted(pub(crate) ::std::vec::Vec<u8>);
}

#[test]
fn the_crate_can_be_re_exported() {
    let all: ::std::vec::Vec<u32> = elsewhere::double_batched([1, 2], 0, &0).collect().unwrap();
    ::std::assert_eq!(all, [2, 4]);
    ::std::assert_eq!(::amorsize::DeepSize::heap_size(&elsewhere::Counted(::std::vec::Vec::with_capacity(3))), 3);
}
