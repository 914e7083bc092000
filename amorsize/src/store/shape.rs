//! The shape of a result: the calls that its `Serialize` makes, without the values.
//!
//! postcard reads most changed types without an error: swapped fields, `String` for `Vec<u8>`,
//! `u32` for `i32`. So each segment has the shape of its first results, joined into one. A later
//! run decodes those results as the type of today, and their shape must fit. Both are of the same
//! values, so shapes may differ from one result to the next: `None` here and `Some` there, one
//! variant or another.
//!
//! Two causes could still make the shapes of an unchanged type differ, and are no difference:
//!
//! - A hash set or hash map of the decoded value may begin with another element. So `None` fits
//!   everything. Two variants of an enum fit each other, except for the same number with another
//!   name, or the same name with another number. An empty sequence fits any sequence.
//! - A long shape is cut: after the first element of a sequence, after [`REACH`] elements of a
//!   tuple, at that depth, and after [`NODES`] in all. Whatever is cut off fits everything. So a
//!   result of 1 MiB takes no longer than one of 10 bytes.
//!
//! Names of structs and newtypes are shown, but not compared: bytes don't depend on them.

mod serializer;
mod several;

pub(crate) use self::several::Shapes;

use std::fmt::{self, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::encode::decode;
use super::frame::FRAME;

/// The elements of a tuple or an array that are looked at, and the depth to which nested values
/// are: more elements mostly have one type, and a list of boxes may be long.
const REACH: usize = 32;
/// The number of values that are looked at in all: trees are wide.
const NODES: usize = 1000;

/// The results at the beginning of a segment that its shape is made of. All are of its first frame.
pub(super) const LOOKED_AT: usize = 1000;

/// The shape of a type with values that serialize in different ways.
const ANY: &str = "any";

/// The shape of a value. In JSON it is a text for a value without parts, else an array that begins
/// with its kind.
///
/// | | |
/// | --- | --- |
/// | `"u32"`, `"str"`, `"unit"`, .. | what has no parts; `"?"` for what was cut off |
/// | `["option", shape or null]` | |
/// | `["seq", shape]`, `["seq"]` | the first element, if there is one |
/// | `["map", key, value]`, `["map"]` | the first entry, if there is one |
/// | `["tuple", elements, shape, ..]` | also arrays |
/// | `["struct", name, [field, shape], ..]` | |
/// | `["enum", name, number, variant, shape]` | number, variant and shape for each variant seen |
///
/// The shape of a variant is that of a unit, a tuple, a struct or one value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape(String);

impl Shape {
    /// The shape of a value. This takes about as long as encoding a small value, however large this
    /// one is.
    pub(crate) fn of<R: Serialize + ?Sized>(value: &R) -> Self {
        Self(serializer::shape(value))
    }

    /// The shape of no result, which fits every shape.
    pub(crate) fn unknown() -> Self {
        Self(String::new())
    }

    /// The text to store, which is empty if there is nothing to store.
    pub(crate) fn json(&self) -> &str {
        &self.0
    }

    pub(crate) fn from_json(text: String) -> Self {
        Self(text)
    }

    /// The path of the first part that is one of these, such as `camera.lens`; empty if it is the
    /// value itself.
    #[cfg(feature = "parquet")]
    pub(crate) fn path_of(&self, kinds: &[&str]) -> Option<String> {
        path_of(&self.value(), kinds).map(|names| names.join("."))
    }

    #[cfg(feature = "parquet")]
    pub(crate) fn is_struct(&self) -> bool {
        self.value().get(0).is_some_and(|kind| kind == "struct")
    }

    /// True if both may be shapes of one value.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        several::fit(self.value(), other.value())
    }

    /// Compares the shape with that of the results in a segment's first frame, read as the type of
    /// today. The text of an error says what they are.
    pub(crate) fn check<R: Serialize + DeserializeOwned>(&self, content: &[u8]) -> Result<(), String> {
        let (mut shapes, mut left, mut unread) = (Shapes::default(), content, None);
        for _ in 0..LOOKED_AT {
            match decode::<R>(left) {
                Ok((result, rest)) => {
                    shapes.see(&result);
                    left = rest;
                }
                Err(cause) => {
                    unread = Some(cause);
                    break;
                }
            }
            // Large results are read later anyway, and then show a type that has changed.
            if left.is_empty() || shapes.is_complete() || content.len() - left.len() >= FRAME {
                break;
            }
        }
        let is = Self::joined(shapes.iter());
        match unread {
            _ if !self.fits(&is) => Err(format!("`{is}`")),
            Some(cause) => Err(format!("one that can't be read from its bytes ({cause})")),
            None => Ok(()),
        }
    }

    /// The JSON in parsed form. Anything that is no JSON is of no known type.
    fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

#[cfg(feature = "parquet")]
fn path_of(shape: &Value, kinds: &[&str]) -> Option<Vec<String>> {
    let below = |name: &str, shape: &Value| {
        let mut names = path_of(shape, kinds)?;
        names.insert(0, name.to_owned());
        Some(names)
    };
    let parts = match shape {
        Value::String(kind) => return kinds.contains(&kind.as_str()).then(Vec::new),
        Value::Array(parts) => parts,
        _ => return None,
    };
    match parts.first()?.as_str()? {
        "struct" => parts.iter().skip(2).find_map(|field| below(field[0].as_str()?, &field[1])),
        "tuple" => parts.iter().skip(2).enumerate().find_map(|(at, shape)| below(&at.to_string(), shape)),
        "map" => ["key", "value"].iter().zip(&parts[1..]).find_map(|(name, shape)| below(name, shape)),
        _ => parts.iter().skip(1).find_map(|shape| path_of(shape, kinds)),
    }
}

/// The number, name and shape of each variant of an enum.
fn variants(shape: &[Value]) -> &[[Value; 3]] {
    shape.get(2..).unwrap_or_default().as_chunks().0
}

/// The type as a person would write it: `Thumb { path: str, size: (u32, u32), tags: [str] }`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A longer text doesn't help to find what differs.
        const MOST: usize = 400;

        let mut text = String::new();
        write(&self.value(), &mut text)?;
        match text.char_indices().nth(MOST) {
            Some((cut, _)) => write!(f, "{}..", &text[..cut]),
            None => f.write_str(&text),
        }
    }
}

fn write(shape: &Value, out: &mut String) -> fmt::Result {
    let Value::Array(parts) = shape else {
        out.push_str(shape.as_str().unwrap_or("?"));
        return Ok(());
    };
    let text = |at: usize| parts.get(at).and_then(Value::as_str).unwrap_or("?");
    let inner = |at: usize| parts.get(at).unwrap_or(&Value::Null);
    match text(0) {
        "option" => {
            out.push_str("Option<");
            write(inner(1), out)?;
            out.push('>');
        }
        "seq" => {
            out.push('[');
            write(inner(1), out)?;
            out.push(']');
        }
        "map" => {
            out.push('{');
            write(inner(1), out)?;
            out.push_str(": ");
            write(inner(2), out)?;
            out.push('}');
        }
        "tuple" => write_tuple(inner(1), parts.get(2..).unwrap_or_default(), out)?,
        "struct" => {
            out.push_str(text(1));
            write_fields(parts.get(2..).unwrap_or_default(), out)?;
        }
        "enum" => {
            write!(out, "{}::", text(1))?;
            let all = variants(parts);
            out.push_str(if all.len() > 1 { "{" } else { "" });
            for (at, [_, name, shape]) in all.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                out.push_str(name.as_str().unwrap_or("?"));
                write_variant(shape, out)?;
            }
            out.push_str(if all.len() > 1 { "}" } else { "" });
        }
        _ => out.push('?'),
    }
    Ok(())
}

fn write_variant(shape: &Value, out: &mut String) -> fmt::Result {
    match shape {
        Value::String(unit) if unit == "unit" => {}
        Value::Array(tuple) if tuple.first().is_some_and(|kind| kind == "tuple") => write(shape, out)?,
        Value::Array(fields) if fields.starts_with(&["struct".into(), "".into()]) => write_fields(&fields[2..], out)?,
        one => {
            out.push('(');
            write(one, out)?;
            out.push(')');
        }
    }
    Ok(())
}

fn write_tuple(len: &Value, elements: &[Value], out: &mut String) -> fmt::Result {
    let all_same = elements.iter().all(|element| element == &elements[0]);
    if elements.len() > 1 && all_same {
        out.push('[');
        write(&elements[0], out)?;
        return write!(out, "; {len}]");
    }
    out.push('(');
    for (at, element) in elements.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write(element, out)?;
    }
    out.push(')');
    Ok(())
}

fn write_fields(fields: &[Value], out: &mut String) -> fmt::Result {
    out.push_str(" { ");
    for (at, field) in fields.iter().enumerate() {
        out.push_str(if at > 0 { ", " } else { "" });
        write!(out, "{}: ", field[0].as_str().unwrap_or("?"))?;
        write(&field[1], out)?;
    }
    out.push_str(if fields.is_empty() { "}" } else { " }" });
    Ok(())
}
