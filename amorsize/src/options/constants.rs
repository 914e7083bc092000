//! The types of constants that an option refuses: the compiler says so at the constant.

use super::choices::{OnPanic, OnPanicValue, Oversize, OversizeValue};
use super::retry::{Retry, RetryValue};
use crate::memory::max_memory::{MaxMemory, MaxMemoryValue};

/// A method for a type that is refused. Nothing looks at its value; but without the method the
/// compiler would report a second error.
macro_rules! refused {
    ($($ty:ty)*) => {$(
        refused!($ty: MaxMemoryValue => MaxMemory);
        refused!($ty: OversizeValue => Oversize);
        refused!($ty: OnPanicValue => OnPanic);
    )*};
    ($ty:ty: $value:ident => $checked:ty) => {
        impl $value<$ty> {
            /// Refuses the constant.
            ///
            /// # Panics
            ///
            /// Always.
            pub const fn checked(self) -> $checked {
                panic!("the constant's type is refused")
            }
        }
    };
}

refused!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 bool char);
refused!(String: MaxMemoryValue => MaxMemory);
refused!(f64: OversizeValue => Oversize);
refused!(f64: OnPanicValue => OnPanic);
refused!(u8: RetryValue => Retry);
refused!(u16: RetryValue => Retry);
refused!(u64: RetryValue => Retry);
refused!(u128: RetryValue => Retry);
refused!(usize: RetryValue => Retry);
refused!(i8: RetryValue => Retry);
refused!(i16: RetryValue => Retry);
refused!(i32: RetryValue => Retry);
refused!(i64: RetryValue => Retry);
refused!(i128: RetryValue => Retry);
refused!(isize: RetryValue => Retry);
refused!(f32: RetryValue => Retry);
refused!(f64: RetryValue => Retry);
refused!(bool: RetryValue => Retry);
refused!(&str: RetryValue => Retry);
