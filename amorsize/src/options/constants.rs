//! The types of constants that an option refuses: the compiler says so at the constant.

use super::choices::{OnPanic, OnPanicValue, Oversize, OversizeValue};
use super::retry::{Retry, RetryValue};
use crate::memory::max_memory::{MaxMemory, MaxMemoryValue};

/// A method for types that are refused. Nothing looks at its value; but without the method the
/// compiler would report a second error.
macro_rules! refused {
    ($($value:ident: $($ty:ty)* => $checked:ty;)*) => {$($(
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
    )*)*};
}
#[cfg(feature = "durable")]
pub(crate) use refused;

refused! {
    MaxMemoryValue: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 bool char String => MaxMemory;
    OversizeValue: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char => Oversize;
    OnPanicValue: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool char => OnPanic;
    RetryValue: u8 u16 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 bool &str => Retry;
}
