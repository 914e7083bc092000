//! The serializer that notes the calls. Where it has seen enough of a sequence it ends it by an
//! error, which carries the shape and is caught one level up: no iteration over a long `Vec` goes
//! on for nothing.

use std::cell::Cell;
use std::fmt;

use serde::ser::{self, Serialize};
use serde_json::{Value, json};

use super::{DEPTH, NODES, TUPLE};

pub(super) fn shape<R: Serialize + ?Sized>(value: &R) -> Value {
    Shaper { left: &Cell::new(NODES), depth: 0 }.see(value)
}

#[derive(Clone, Copy)]
struct Shaper<'a> {
    /// Values that may still be looked at.
    left: &'a Cell<usize>,
    depth: usize,
}

impl Shaper<'_> {
    /// The shape of a value within this one.
    fn see<R: Serialize + ?Sized>(self, value: &R) -> Value {
        let left = self.left.get();
        if left == 0 || self.depth == DEPTH {
            return cut();
        }
        self.left.set(left - 1);
        let within = Self { depth: self.depth + 1, ..self };
        match value.serialize(within) {
            Ok(shape) | Err(Enough(shape)) => shape,
        }
    }
}

fn cut() -> Value {
    "?".into()
}

/// Ends the serialization of a value of which enough is known.
#[derive(Debug)]
struct Enough(Value);

impl fmt::Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("enough of this value was seen")
    }
}

impl std::error::Error for Enough {}

/// A `Serialize` that fails, or makes an error of its own of ours: nothing is known of its value.
impl ser::Error for Enough {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(cut())
    }
}

/// The parts of a value that were seen.
struct Parts<'a> {
    shaper: Shaper<'a>,
    parts: Vec<Value>,
    /// The enum and the variant that these are the parts of.
    variant: Option<[Value; 3]>,
    /// Parts after which enough is known.
    most: usize,
}

impl<'a> Parts<'a> {
    fn new(shaper: Shaper<'a>, parts: Vec<Value>, most: usize) -> Self {
        Self { shaper, parts, variant: None, most }
    }

    fn add(&mut self, part: Value) -> Result<(), Enough> {
        self.parts.push(part);
        if self.parts.len() < self.most {
            return Ok(());
        }
        Err(Enough(self.shape()))
    }

    fn shape(&mut self) -> Value {
        let parts = Value::Array(std::mem::take(&mut self.parts));
        match self.variant.take() {
            None => parts,
            Some([name, number, variant]) => json!(["enum", name, number, variant, parts]),
        }
    }
}

/// Structs are as long as they were declared.
const NO_END: usize = usize::MAX;

macro_rules! without_parts {
    ($($method:ident: $type:ty => $name:literal),* $(,)?) => {
        $(fn $method(self, _: $type) -> Result<Value, Enough> {
            Ok($name.into())
        })*
    };
}

impl<'a> ser::Serializer for Shaper<'a> {
    type Ok = Value;
    type Error = Enough;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    without_parts! {
        serialize_bool: bool => "bool",
        serialize_i8: i8 => "i8",
        serialize_i16: i16 => "i16",
        serialize_i32: i32 => "i32",
        serialize_i64: i64 => "i64",
        serialize_i128: i128 => "i128",
        serialize_u8: u8 => "u8",
        serialize_u16: u16 => "u16",
        serialize_u32: u32 => "u32",
        serialize_u64: u64 => "u64",
        serialize_u128: u128 => "u128",
        serialize_f32: f32 => "f32",
        serialize_f64: f64 => "f64",
        serialize_char: char => "char",
        serialize_str: &str => "str",
        serialize_bytes: &[u8] => "bytes",
        serialize_unit_struct: &'static str => "unit",
    }

    fn serialize_unit(self) -> Result<Value, Enough> {
        Ok("unit".into())
    }

    fn serialize_none(self) -> Result<Value, Enough> {
        Ok(json!(["option", null]))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Enough> {
        Ok(json!(["option", self.see(value)]))
    }

    fn serialize_unit_variant(self, name: &'static str, number: u32, variant: &'static str) -> Result<Value, Enough> {
        Ok(json!(["enum", name, number, variant, "unit"]))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Value, Enough> {
        Ok(self.see(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Enough> {
        Ok(json!(["enum", name, number, variant, self.see(value)]))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Enough> {
        Ok(Parts::new(self, vec!["seq".into()], 2))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Enough> {
        Ok(Parts::new(self, vec!["map".into()], 3))
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'a>, Enough> {
        Ok(Parts::new(self, vec!["tuple".into(), len.into()], 2 + TUPLE))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Parts<'a>, Enough> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Enough> {
        let parts = self.serialize_tuple(len)?;
        Ok(Parts { variant: Some([name.into(), number.into(), variant.into()]), ..parts })
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a>, Enough> {
        Ok(Parts::new(self, vec!["struct".into(), name.into()], NO_END))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Enough> {
        let parts = self.serialize_struct("", len)?;
        Ok(Parts { variant: Some([name.into(), number.into(), variant.into()]), ..parts })
    }

    /// Not formatted, since the text is of no interest.
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<Value, Enough> {
        Ok("str".into())
    }

    /// As for postcard: types may serialize otherwise for people.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! of_elements {
    ($($trait:ident: $method:ident),* $(,)?) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = Value;
            type Error = Enough;

            fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Enough> {
                let shape = self.shaper.see(element);
                self.add(shape)
            }

            fn end(mut self) -> Result<Value, Enough> {
                if self.parts.len() == 1 {
                    self.parts.push(Value::Null);
                }
                Ok(self.shape())
            }
        })*
    };
}

of_elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! of_fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = Value;
            type Error = Enough;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Enough> {
                let shape = self.shaper.see(value);
                self.add(json!([name, shape]))
            }

            fn end(mut self) -> Result<Value, Enough> {
                Ok(self.shape())
            }
        })*
    };
}

of_fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_> {
    type Ok = Value;
    type Error = Enough;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Enough> {
        let shape = self.shaper.see(key);
        self.add(shape)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Enough> {
        let shape = self.shaper.see(value);
        self.add(shape)
    }

    fn end(mut self) -> Result<Value, Enough> {
        Ok(self.shape())
    }
}
