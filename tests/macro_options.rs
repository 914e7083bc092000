//! The options of the attribute, in every form that is accepted.

use amorsize::{ByteSize, OnPanic, Oversize, batched};
use proptest::prelude::*;

/// What the attribute itself knows of numbers of bytes.
#[path = "../amorsize-macros/src/bytes/text.rs"]
mod attribute;

const SHARE: f64 = 0.25;
const BUDGET: ByteSize = ByteSize::mib(64);
const TEXT: &str = "64MiB";
const ITEMS: usize = 3;
const LOUD: bool = false;
const ALONE: &str = "alone";
const TOO_LARGE: Oversize = Oversize::Error;
const GO_ON: OnPanic = OnPanic::Skip;

macro_rules! accepted {
    ($($name:ident($($options:tt)*);)*) => {$(
        #[test]
        fn $name() {
            #[batched($($options)*)]
            fn double(x: u32) -> u32 {
                2 * x
            }

            assert_eq!(double_batched(0..3).collect::<Vec<_>>().unwrap(), [0, 2, 4]);
            // The run can replace the values of the attribute.
            let mut run = double_batched(0..3).batch_size(1).max_memory("1GiB");
            assert_eq!(run.collect::<Vec<_>>().unwrap(), [0, 2, 4]);
        }
    )*};
}

accepted! {
    nothing();
    max_memory_all(max_memory = 1.0);
    max_memory_tiny(max_memory = 1e-6);
    max_memory_typed(max_memory = 0.5_f64);
    max_memory_bytes(max_memory = "512MiB");
    max_memory_decimal_bytes(max_memory = "1.5 GB");
    max_memory_spaced_bytes(max_memory = "  1_000 MB ");
    max_memory_bytes_in_lower_case(max_memory = "512mib");
    max_memory_bytes_after_a_point(max_memory = ".5kB");
    max_memory_bytes_before_a_point(max_memory = "5.kB");
    max_memory_bytes_of_a_terabyte(max_memory = "0.5 TiB");
    max_memory_constant_fraction(max_memory = SHARE);
    max_memory_constant_bytes(max_memory = BUDGET);
    max_memory_constant_text(max_memory = TEXT);
    max_memory_expression(max_memory = ByteSize::mib(8 * 8));
    max_memory_computed(max_memory = 2.0 * SHARE);
    batch_size_literal(batch_size = 1);
    batch_size_typed(batch_size = 1_000_usize);
    batch_size_constant(batch_size = ITEMS);
    batch_size_block(batch_size = { ITEMS * 2 });
    batch_size_call(batch_size = usize::pow(2, 10));
    sample_size(sample_size = ITEMS);
    threads_literal(threads = 2);
    threads_constant(threads = ITEMS - 1);
    in_flight_literal(in_flight = 1);
    in_flight_constant(in_flight = ITEMS);
    in_flight_block(in_flight = { ITEMS * 2 });
    verbose_off(verbose = false);
    verbose_constant(verbose = LOUD);
    oversize_alone(oversize = "alone");
    oversize_error(oversize = "error");
    oversize_constant_text(oversize = ALONE);
    oversize_constant(oversize = TOO_LARGE);
    on_panic_propagate(on_panic = "propagate");
    on_panic_skip(on_panic = "skip");
    on_panic_constant(on_panic = GO_ON);
    in_impl_off(in_impl = false);
    everything(max_memory = "1GiB", batch_size = 2, sample_size = 1, threads = ITEMS, in_flight = 2, verbose = LOUD,);
}

struct Model<const N: usize>;

trait Sized {
    const SIZE: usize;
}

impl<const N: usize> Model<N> {
    const SIZE: usize = N;

    // These values can't go into a constant, which may not mention generic parameters.
    #[batched(batch_size = Self::SIZE, threads = N, in_flight = N)]
    fn of_self(&self, x: u32) -> u32 {
        x
    }
}

struct Grid<const SIZE: usize>;

impl<const SIZE: usize> Grid<SIZE> {
    const PER_BATCH: usize = SIZE;

    // The attribute takes `SIZE` itself for a constant.
    #[batched(batch_size = Self::PER_BATCH)]
    fn of_long_name(&self, x: u32) -> u32 {
        x
    }
}

struct Typed<T>(T);

impl<T: Sized + Sync> Typed<T> {
    #[batched(batch_size = T::SIZE)]
    fn of_parameter(&self, x: u32) -> u32 {
        let _ = &self.0;
        x
    }

    #[batched(batch_size = ITEMS)]
    fn of_neither(&self, x: u32) -> u32 {
        x
    }
}

impl Sized for u8 {
    const SIZE: usize = 2;
}

#[batched(batch_size = T::SIZE, sample_size = N + 1)]
fn generic<T: Sized, const N: usize>(x: T) -> T {
    x
}

#[test]
fn expressions_can_depend_on_generic_parameters() {
    assert_eq!(Model::<2>.of_self_batched([1, 2]).collect::<Vec<_>>().unwrap(), [1, 2]);
    assert_eq!(Grid::<2>.of_long_name_batched([1, 2]).collect::<Vec<_>>().unwrap(), [1, 2]);
    assert_eq!(Typed(1_u8).of_parameter_batched([1, 2]).collect::<Vec<_>>().unwrap(), [1, 2]);
    assert_eq!(Typed(1_u8).of_neither_batched([1, 2]).collect::<Vec<_>>().unwrap(), [1, 2]);
    assert_eq!(generic_batched::<u8, 3, _>([1, 2]).collect::<Vec<_>>().unwrap(), [1, 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn the_attribute_refuses_no_text_that_the_runtime_reads(
        text in "[ 0-9_.-]{0,5}[ 0-9_.e%]{0,2}([kmgtpKMGT]?[iI]?[bB])?[ x]{0,2}"
    ) {
        let read = text.parse::<ByteSize>();
        let fault = attribute::fault(&text);
        prop_assert_eq!(read.is_ok(), fault.is_none(), "{:?} {:?} {:?}", text, read, fault);
        prop_assert!(!attribute::is_bytes(&text) || read.is_ok_and(|bytes| bytes > ByteSize::ZERO));
    }
}

#[test]
fn the_attribute_leaves_it_to_the_runtime_whether_bytes_are_too_many() {
    for (text, fits) in [("18446744073709551615B", true), ("18446744073709551616B", false), ("20000000TiB", false)] {
        assert_eq!(text.parse::<ByteSize>().is_ok(), fits, "{text}");
        assert_eq!(attribute::fault(text), None, "{text}");
    }
}

#[test]
fn both_know_the_same_units() {
    for (size, name) in attribute::UNITS {
        let unit: ByteSize = format!("1{name}").parse().unwrap();
        assert_eq!(unit, size, "{name}");
        assert_eq!(attribute::with_unit(size).parse::<ByteSize>().unwrap(), size);
    }
}
