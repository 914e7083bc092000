//! Refuses values that leave out a field: they could not be read back, since the bytes don't say
//! which fields they have.

use std::cell::Cell;

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// A value that fails to be serialized if it leaves out a field, for example by
/// `skip_serializing_if`.
pub(super) struct Whole<'a, T: ?Sized> {
    pub(super) value: &'a T,
    /// The name of that field.
    pub(super) skipped: &'a Cell<Option<&'static str>>,
}

/// Passes everything on to another serializer, except for fields that are left out.
struct Watching<'a, S> {
    inner: S,
    skipped: &'a Cell<Option<&'static str>>,
}

impl<T: Serialize + ?Sized> Serialize for Whole<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Watching { inner: serializer, skipped: self.skipped })
    }
}

macro_rules! pass_on {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $name(self, $($arg: $ty),*) -> Result<S::Ok, S::Error> {
            self.inner.$name($($arg),*)
        }
    )*};
}

macro_rules! begin {
    ($($name:ident -> $kind:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[inline]
        fn $name(self, $($arg: $ty),*) -> Result<Self::$kind, S::Error> {
            Ok(Watching { inner: self.inner.$name($($arg),*)?, skipped: self.skipped })
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Watching<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Watching<'a, S::SerializeSeq>;
    type SerializeTuple = Watching<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Watching<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Watching<'a, S::SerializeTupleVariant>;
    type SerializeMap = Watching<'a, S::SerializeMap>;
    type SerializeStruct = Watching<'a, S::SerializeStruct>;
    type SerializeStructVariant = Watching<'a, S::SerializeStructVariant>;

    pass_on! {
        serialize_bool(value: bool);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_none();
        serialize_unit();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    begin! {
        serialize_seq -> SerializeSeq(len: Option<usize>);
        serialize_tuple -> SerializeTuple(len: usize);
        serialize_tuple_struct -> SerializeTupleStruct(name: &'static str, len: usize);
        serialize_tuple_variant -> SerializeTupleVariant(name: &'static str, index: u32, variant: &'static str, len: usize);
        serialize_map -> SerializeMap(len: Option<usize>);
        serialize_struct -> SerializeStruct(name: &'static str, len: usize);
        serialize_struct_variant -> SerializeStructVariant(name: &'static str, index: u32, variant: &'static str, len: usize);
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Whole { value, skipped: self.skipped })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Whole { value, skipped: self.skipped })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &Whole { value, skipped: self.skipped })
    }

    #[inline]
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! parts {
    ($($kind:ident: $name:ident($($key:ident)?), $($skip:ident)?;)*) => {$(
        impl<S: $kind> $kind for Watching<'_, S> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $name<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), S::Error> {
                self.inner.$name($($key,)? &Whole { value, skipped: self.skipped })
            }

            $(fn $skip(&mut self, key: &'static str) -> Result<(), S::Error> {
                self.skipped.set(Some(key));
                Err(S::Error::custom("a field is left out"))
            })?

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq: serialize_element(),;
    SerializeTuple: serialize_element(),;
    SerializeTupleStruct: serialize_field(),;
    SerializeTupleVariant: serialize_field(),;
    SerializeStruct: serialize_field(key), skip_field;
    SerializeStructVariant: serialize_field(key), skip_field;
}

impl<S: SerializeMap> SerializeMap for Watching<'_, S> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        self.inner.serialize_key(&Whole { value: key, skipped: self.skipped })
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        self.inner.serialize_value(&Whole { value, skipped: self.skipped })
    }

    #[inline]
    fn end(self) -> Result<S::Ok, S::Error> {
        self.inner.end()
    }
}
