//! Values that take the same number of bytes whatever they are.

use std::fmt;

use serde::ser::{Impossible, Serialize, Serializer};

/// Gives the bytes of a value if values of its kind take `N` bytes, and refuses others. Nobody reads
/// the error.
pub(super) struct Fixed<const N: usize>;

/// `bytes` if they are `N`, which the compiler knows.
#[inline]
fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], fmt::Error> {
    bytes.try_into().map_err(|_| fmt::Error)
}

macro_rules! fixed {
    ($($method:ident($ty:ty) $value:ident => $bytes:expr;)*) => {$(
        #[inline]
        fn $method(self, $value: $ty) -> Result<[u8; N], fmt::Error> {
            exactly(&$bytes)
        }
    )*};
}

macro_rules! refused {
    ($($method:ident $(<$t:ident>)? ($($ty:ty),*) -> $ok:ty;)*) => {$(
        #[inline]
        fn $method $(<$t: Serialize + ?Sized>)? (self, $(_: $ty),*) -> Result<$ok, fmt::Error> {
            Err(fmt::Error)
        }
    )*};
}

impl<const N: usize> Serializer for Fixed<N> {
    type Ok = [u8; N];
    type Error = fmt::Error;
    type SerializeSeq = Impossible<[u8; N], fmt::Error>;
    type SerializeTuple = Self::SerializeSeq;
    type SerializeTupleStruct = Self::SerializeSeq;
    type SerializeTupleVariant = Self::SerializeSeq;
    type SerializeMap = Self::SerializeSeq;
    type SerializeStruct = Self::SerializeSeq;
    type SerializeStructVariant = Self::SerializeSeq;

    fixed! {
        serialize_bool(bool) value => [u8::from(value)];
        serialize_u8(u8) value => [value];
        serialize_i8(i8) value => value.to_le_bytes();
        serialize_f32(f32) value => value.to_le_bytes();
        serialize_f64(f64) value => value.to_le_bytes();
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<[u8; N], fmt::Error> {
        value.serialize(self)
    }

    refused! {
        serialize_i16(i16) -> [u8; N];
        serialize_i32(i32) -> [u8; N];
        serialize_i64(i64) -> [u8; N];
        serialize_i128(i128) -> [u8; N];
        serialize_u16(u16) -> [u8; N];
        serialize_u32(u32) -> [u8; N];
        serialize_u64(u64) -> [u8; N];
        serialize_u128(u128) -> [u8; N];
        serialize_char(char) -> [u8; N];
        serialize_str(&str) -> [u8; N];
        serialize_bytes(&[u8]) -> [u8; N];
        serialize_none() -> [u8; N];
        serialize_some<T>(&T) -> [u8; N];
        serialize_unit() -> [u8; N];
        serialize_unit_struct(&'static str) -> [u8; N];
        serialize_unit_variant(&'static str, u32, &'static str) -> [u8; N];
        serialize_newtype_variant<T>(&'static str, u32, &'static str, &T) -> [u8; N];
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeSeq;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeSeq;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeSeq;
        serialize_map(Option<usize>) -> Self::SerializeSeq;
        serialize_struct(&'static str, usize) -> Self::SerializeSeq;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeSeq;
    }

    /// Does not format the text.
    #[inline]
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<[u8; N], fmt::Error> {
        Err(fmt::Error)
    }

    /// Does not ask for elements.
    #[inline]
    fn collect_seq<I: IntoIterator<Item: Serialize>>(self, _: I) -> Result<[u8; N], fmt::Error> {
        Err(fmt::Error)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
