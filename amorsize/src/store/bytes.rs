//! The serializer of results. It writes the bytes that postcard writes, which the page `format` of
//! the guide names, in half of postcard's time: it knows that they go to the end of a `Vec`.
//!
//! It refuses a value that leaves out a field, which postcard accepts. Such a value could not be
//! read back, since the bytes don't say which fields they have.

mod fixed;

use std::fmt::{self, Display, Write};

use serde::ser::{self, Serialize};

use self::fixed::Fixed;

/// Appends a value. After an error or a panic a part of it may have been appended.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>) -> Done {
    value.serialize(&mut Bytes::of(to))
}

/// Ends the text about a type that bytes can't hold, or give back.
pub(super) const WITHOUT_NAMES: &str = "results are stored as bytes without names, which serde's `tag`, `untagged`, `flatten` \
                                        and `skip_serializing_if` need, and types that hold any JSON, such as \
                                        `serde_json::Value`; return a type without these, or the JSON as a `String`";

/// The cause for which a value can't be written.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "as small as a pointer, since it is returned for each part of a value")]
pub(super) struct Refused(Box<String>);

impl Refused {
    #[cold]
    fn unknown_length() -> Self {
        ser::Error::custom(format_args!(
            "it does not tell the length of a sequence or a map, as with `flatten`: {WITHOUT_NAMES}"
        ))
    }
}

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl ser::Error for Refused {
    #[cold]
    fn custom<T: Display>(text: T) -> Self {
        Self(Box::new(text.to_string()))
    }
}

type Done = Result<(), Refused>;

/// Writes to the end of bytes that are there. It owns them meanwhile: then the compiler keeps their
/// length in a register while it writes a sequence.
struct Bytes<'a> {
    bytes: Vec<u8>,
    home: &'a mut Vec<u8>,
}

impl Drop for Bytes<'_> {
    #[inline]
    fn drop(&mut self) {
        std::mem::swap(self.home, &mut self.bytes);
    }
}

/// Makes room by value: a reference to the bytes would keep their length out of a register.
#[cold]
#[inline(never)]
fn with_room(mut bytes: Vec<u8>, more: usize) -> Vec<u8> {
    /// Of a small struct. Otherwise its first fields would each ask for more.
    const LEAST: usize = 64;

    bytes.reserve(more.max(LEAST));
    bytes
}

impl<'a> Bytes<'a> {
    #[inline]
    fn of(home: &'a mut Vec<u8>) -> Self {
        Self { bytes: std::mem::take(home), home }
    }

    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if self.bytes.capacity() - self.bytes.len() < N {
            self.bytes = with_room(std::mem::take(&mut self.bytes), N);
            // Tells the compiler that `extend_from_slice` needs no room.
            assert!(self.bytes.capacity() - self.bytes.len() >= N, "there is room");
        }
        self.bytes.extend_from_slice(&bytes);
    }

    /// Seven bits in each byte, the lowest first; the eighth bit says that more follow.
    #[inline]
    fn number(&mut self, number: u64) {
        const MORE: u64 = 0x8080_8080_8080_8080;

        let rest = (number >> 56) as u8;
        if number < 0x80 {
            self.put([number as u8]);
        } else if rest > 0 {
            self.put((spread(number) | MORE).to_le_bytes());
            if rest < 0x80 { self.put([rest]) } else { self.put([rest, 1]) }
        } else {
            let len = (u64::BITS - number.leading_zeros()) as usize * 9 / 64 + 1;
            let end = self.bytes.len() + len;
            // Copying all eight is faster than copying a number of bytes that the compiler does not
            // know.
            self.put((spread(number) | MORE >> (8 * (9 - len))).to_le_bytes());
            self.bytes.truncate(end);
        }
    }

    fn long_number(&mut self, mut number: u128) {
        while number >= 0x80 {
            self.put([number as u8 | 0x80]);
            number >>= 7;
        }
        self.put([number as u8]);
    }

    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends the rest of a sequence in which the first element took `N` bytes whatever its value.
    /// If all others do too, as those of a `Vec<f32>`, this is as fast as copying them.
    fn alike<const N: usize>(&mut self, elements: impl Iterator<Item: Serialize>) -> Done {
        let (start, mut odd) = (self.bytes.len(), Odd::default());
        self.bytes.extend(elements.enumerate().flat_map(|(place, element)| {
            element.serialize(Fixed::<N>).unwrap_or_else(|_| {
                odd.add(place, &element);
                [0; N]
            })
        }));
        if odd.elements.is_empty() { Ok(()) } else { odd.replace::<N>(&mut self.bytes, start) }
    }
}

/// The elements of a sequence that are not like its first one, each with its place.
#[derive(Default)]
struct Odd {
    elements: Vec<(usize, Vec<u8>)>,
    refused: Option<Refused>,
}

impl Odd {
    #[cold]
    fn add(&mut self, place: usize, element: &impl Serialize) {
        if self.refused.is_none() {
            let mut bytes = Vec::new();
            self.refused = write(element, &mut bytes).err();
            self.elements.push((place, bytes));
        }
    }

    /// Puts them where the sequence has `N` bytes for each.
    #[cold]
    fn replace<const N: usize>(self, bytes: &mut Vec<u8>, start: usize) -> Done {
        let (alike, mut next) = (bytes.split_off(start), 0);
        for (place, odd) in self.elements {
            bytes.extend_from_slice(&alike[N * next..N * place]);
            bytes.extend_from_slice(&odd);
            next = place + 1;
        }
        bytes.extend_from_slice(&alike[N * next..]);
        self.refused.map_or(Ok(()), Err)
    }
}

macro_rules! numbers {
    ($($method:ident($ty:ty) $value:ident => $writes:ident($number:expr);)*) => {$(
        #[inline]
        fn $method(self, $value: $ty) -> Done {
            self.$writes($number);
            Ok(())
        }
    )*};
}

impl<'a> ser::Serializer for &mut Bytes<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_bool(bool) value => put([value.into()]);
        serialize_u8(u8) value => put([value]);
        serialize_u16(u16) value => number(value.into());
        serialize_u32(u32) value => number(value.into());
        serialize_u64(u64) value => number(value);
        serialize_u128(u128) value => long_number(value);
        serialize_i8(i8) value => put(value.to_le_bytes());
        serialize_i16(i16) value => number(zigzag(value.into()));
        serialize_i32(i32) value => number(zigzag(value.into()));
        serialize_i64(i64) value => number(zigzag(value));
        serialize_i128(i128) value => long_number((value << 1 ^ value >> 127) as u128);
        serialize_f32(f32) value => put(value.to_le_bytes());
        serialize_f64(f64) value => put(value.to_le_bytes());
        serialize_char(char) value => bytes(value.encode_utf8(&mut [0; 4]).as_bytes());
        serialize_str(&str) value => bytes(value.as_bytes());
        serialize_bytes(&[u8]) value => bytes(value);
    }

    #[inline]
    fn serialize_none(self) -> Done {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.put([1]);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Done {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, number: u32, _: &'static str) -> Done {
        self.serialize_u32(number)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        self.number(number.into());
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Refused> {
        self.number(len.ok_or_else(Refused::unknown_length)? as u64);
        Ok(self)
    }

    #[inline]
    fn collect_seq<I: IntoIterator<Item: Serialize>>(self, elements: I) -> Done {
        let mut elements = elements.into_iter();
        let (least, most) = elements.size_hint();
        self.serialize_seq(most.filter(|most| *most == least))?;
        let Some(first) = elements.next() else { return Ok(()) };
        let mut own = Bytes::of(&mut self.bytes);
        first.serialize(&mut own)?;
        // The compiler knows which of these it is.
        if first.serialize(Fixed::<1>).is_ok() {
            own.alike::<1>(elements)
        } else if first.serialize(Fixed::<4>).is_ok() {
            own.alike::<4>(elements)
        } else if first.serialize(Fixed::<8>).is_ok() {
            own.alike::<8>(elements)
        } else {
            elements.try_for_each(|element| element.serialize(&mut own))
        }
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(self, _: &'static str, number: u32, _: &'static str, _: usize) -> Result<Self, Refused> {
        self.number(number.into());
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self, Refused> {
        self.serialize_seq(len)
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        number: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Refused> {
        self.number(number.into());
        Ok(self)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Done {
        struct Text<'a>(&'a mut Vec<u8>);

        impl Write for Text<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.extend_from_slice(text.as_bytes());
                Ok(())
            }
        }

        let start = self.bytes.len();
        write!(Text(&mut self.bytes), "{value}").map_err(ser::Error::custom)?;
        let end = self.bytes.len();
        // The length comes first, but is known only now.
        self.number((end - start) as u64);
        let len = self.bytes.len() - end;
        self.bytes[start..].rotate_right(len);
        Ok(())
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The lowest 56 bits, seven in each byte.
#[inline]
fn spread(number: u64) -> u64 {
    let number = number & 0x0fff_ffff | (number & 0x00ff_ffff_f000_0000) << 4;
    let number = number & 0x0000_3fff_0000_3fff | (number & 0x0fff_c000_0fff_c000) << 2;
    number & 0x007f_007f_007f_007f | (number & 0x3f80_3f80_3f80_3f80) << 1
}

/// Numbers near 0 of both signs become small ones.
#[inline]
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

macro_rules! parts {
    ($($trait:ident: $($method:ident)*;)*) => {$(
        impl ser::$trait for &mut Bytes<'_> {
            type Ok = ();
            type Error = Refused;

            $(#[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            })*

            #[inline]
            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
    SerializeMap: serialize_key serialize_value;
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl ser::$trait for &mut Bytes<'_> {
            type Ok = ();
            type Error = Refused;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
                value.serialize(&mut **self)
            }

            #[cold]
            fn skip_field(&mut self, key: &'static str) -> Done {
                Err(ser::Error::custom(format_args!(
                    "it leaves out its field `{key}`, as by `skip_serializing_if`, and so could not be read: {WITHOUT_NAMES}"
                )))
            }

            #[inline]
            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct SerializeStructVariant);
