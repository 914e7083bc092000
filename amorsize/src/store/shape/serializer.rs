//! The serializer that notes the calls, as JSON. When it has seen enough of a sequence, it ends it
//! by an error, which is caught one level up. So it does not iterate over the rest of a long `Vec`.

use std::fmt;

use serde::ser::{self, Serialize};

use super::{NODES, REACH};

pub(super) fn shape<R: Serialize + ?Sized>(value: &R) -> String {
    let mut to = Json { text: String::new(), left: NODES };
    to.see(value, 0);
    to.text
}

struct Json {
    text: String,
    /// Values that may still be looked at.
    left: usize,
}

impl Json {
    /// Adds the shape of a value.
    fn see<R: Serialize + ?Sized>(&mut self, value: &R, depth: usize) {
        if self.left == 0 || depth == REACH {
            return self.text.push_str(CUT);
        }
        self.left -= 1;
        let start = self.text.len();
        if let Err(Enough { is_unknown: true }) = value.serialize(Shaper { to: self, depth }) {
            self.text.truncate(start);
            self.text.push_str(CUT);
        }
    }

    fn add_text(&mut self, text: &str) {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.text.extend(["\"", text, "\""]);
        } else {
            self.text.push_str(&serde_json::Value::from(text).to_string());
        }
    }

    fn add_number(&mut self, number: usize) {
        self.text.push_str(&number.to_string());
    }

    /// The beginning of a variant; its content and `]` follow.
    fn add_variant(&mut self, name: &str, number: u32, variant: &str) {
        self.text.push_str("[\"enum\",");
        self.add_text(name);
        self.text.push(',');
        self.add_number(number as usize);
        self.text.push(',');
        self.add_text(variant);
        self.text.push(',');
    }
}

/// The shape of a value that is not looked at.
const CUT: &str = "\"?\"";

/// Ends the serialization of a value when enough is known of it.
#[derive(Debug)]
struct Enough {
    is_unknown: bool,
}

impl fmt::Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("enough of this value was seen")
    }
}

impl std::error::Error for Enough {}

/// Made by a `Serialize` that fails, or that makes our error itself: nothing is known of its value.
impl ser::Error for Enough {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { is_unknown: true }
    }
}

type Seen = Result<(), Enough>;

struct Shaper<'a> {
    to: &'a mut Json,
    depth: usize,
}

impl<'a> Shaper<'a> {
    /// A value within brackets that are already open.
    fn within<T: Serialize + ?Sized>(self, value: &T) -> Seen {
        self.to.see(value, self.depth + 1);
        self.to.text.push(']');
        Ok(())
    }

    fn parts(self, most: usize, closing: &'static str) -> Parts<'a> {
        Parts { to: self.to, depth: self.depth + 1, seen: 0, most, closing }
    }

    fn tuple(self, len: usize, closing: &'static str) -> Parts<'a> {
        self.to.text.push_str("[\"tuple\",");
        self.to.add_number(len);
        self.parts(REACH, closing)
    }

    fn fields(self, name: &str, closing: &'static str) -> Parts<'a> {
        self.to.text.push_str("[\"struct\",");
        self.to.add_text(name);
        // As long as its declared type.
        self.parts(usize::MAX, closing)
    }
}

/// The parts of a value.
struct Parts<'a> {
    to: &'a mut Json,
    depth: usize,
    seen: usize,
    /// The number of parts after which enough is known.
    most: usize,
    closing: &'static str,
}

impl Parts<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, part: &T) -> Seen {
        self.to.text.push(',');
        self.to.see(part, self.depth);
        self.seen += 1;
        if self.seen < self.most {
            return Ok(());
        }
        self.to.text.push_str(self.closing);
        Err(Enough { is_unknown: false })
    }

    fn close(self) -> Seen {
        self.to.text.push_str(self.closing);
        Ok(())
    }
}

macro_rules! without_parts {
    ($($method:ident: $type:ty => $name:literal),* $(,)?) => {
        $(fn $method(self, _: $type) -> Seen {
            self.to.text.push_str(concat!("\"", $name, "\""));
            Ok(())
        })*
    };
}

impl<'a> ser::Serializer for Shaper<'a> {
    type Ok = ();
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

    fn serialize_unit(self) -> Seen {
        self.serialize_unit_struct("")
    }

    fn serialize_none(self) -> Seen {
        self.to.text.push_str("[\"option\",null]");
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Seen {
        self.to.text.push_str("[\"option\",");
        self.within(value)
    }

    fn serialize_unit_variant(self, name: &'static str, number: u32, variant: &'static str) -> Seen {
        self.serialize_newtype_variant(name, number, variant, &())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Seen {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        value: &T,
    ) -> Seen {
        self.to.add_variant(name, number, variant);
        self.within(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Enough> {
        self.to.text.push_str("[\"seq\"");
        Ok(self.parts(1, "]"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Enough> {
        self.to.text.push_str("[\"map\"");
        // A key and a value.
        Ok(self.parts(2, "]"))
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'a>, Enough> {
        Ok(self.tuple(len, "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Parts<'a>, Enough> {
        Ok(self.tuple(len, "]"))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'a>, Enough> {
        self.to.add_variant(name, number, variant);
        Ok(self.tuple(len, "]]"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'a>, Enough> {
        Ok(self.fields(name, "]"))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Enough> {
        self.to.add_variant(name, number, variant);
        Ok(self.fields("", "]]"))
    }

    /// Does not format the text, which is not needed.
    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Seen {
        self.serialize_str("")
    }

    /// False, as for postcard: types may serialize otherwise for people.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! of_elements {
    ($($trait:ident: $($method:ident)*;)*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Enough;

            $(fn $method<T: Serialize + ?Sized>(&mut self, element: &T) -> Seen {
                self.add(element)
            })*

            fn end(self) -> Seen {
                self.close()
            }
        })*
    };
}

of_elements! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
    SerializeTupleVariant: serialize_field;
    SerializeMap: serialize_key serialize_value;
}

macro_rules! of_fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Enough;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Seen {
                self.to.text.push_str(",[");
                self.to.add_text(name);
                self.to.text.push(',');
                self.to.see(value, self.depth);
                self.to.text.push(']');
                Ok(())
            }

            fn end(self) -> Seen {
                self.close()
            }
        })*
    };
}

of_fields!(SerializeStruct, SerializeStructVariant);
