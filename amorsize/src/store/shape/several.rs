//! The shapes of several results as one. A single result may hide its type: by `None`, by an empty
//! sequence, or by one variant of many.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

use super::{ANY, Shape, variants};

/// The shapes of some results.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    /// No two are equal.
    seen: Vec<Shape>,
    bytes: usize,
    /// True if further results would show nothing new.
    is_complete: bool,
}

impl Shapes {
    /// The bytes of text that all shapes together may take. A shape has mostly a few hundred.
    const MOST: usize = 16 << 10;

    /// Looks at a result, unless enough is known.
    pub(crate) fn see<R: Serialize + ?Sized>(&mut self, result: &R) {
        if self.is_complete() {
            return;
        }
        let shape = Shape::of(result);
        if !self.seen.contains(&shape) {
            self.is_complete = shape.is_complete();
            self.bytes += shape.0.len();
            self.seen.push(shape);
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete || self.bytes > Self::MOST
    }

    /// The bytes that they own.
    pub(crate) fn memory(&self) -> usize {
        let texts: usize = self.seen.iter().map(|shape| shape.0.capacity()).sum();
        self.seen.capacity() * size_of::<Shape>() + texts
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shape> {
        self.seen.iter()
    }
}

impl Shape {
    /// One shape that says what all of these say.
    pub(crate) fn joined<'s>(all: impl IntoIterator<Item = &'s Self>) -> Self {
        let (mut known, mut bytes) = (HashSet::new(), 0);
        let mut distinct = all.into_iter().filter(|shape| known.insert(&shape.0)).take_while(|shape| {
            let before = bytes;
            bytes += shape.0.len();
            before <= Shapes::MOST
        });
        let Some(first) = distinct.next() else { return Self::unknown() };
        let Some(second) = distinct.next() else { return first.clone() };
        let join = |one, other: &Self| join(one, other.value(), &mut false);
        Self(distinct.fold(join(first.value(), second), join).to_string())
    }

    /// True if no other value of the type says more.
    fn is_complete(&self) -> bool {
        const HIDDEN: [&str; 4] = ["[\"option\",null]", "[\"seq\"]", "[\"map\"]", "[\"enum\""];
        !HIDDEN.iter().any(|hidden| self.0.contains(hidden))
    }
}

/// True if both may be shapes of one value: then no part of one is at odds with that of the other.
pub(super) fn fit(one: Value, other: Value) -> bool {
    let mut differ = false;
    join(one, other, &mut differ);
    !differ
}

/// True for a shape that fits everything.
fn is_open(shape: &Value) -> bool {
    shape.is_null() || shape == "?" || shape == ANY
}

/// Joins two shapes. Where no derived type has both, the joined one is [`ANY`], and `differ` true.
fn join(one: Value, other: Value, differ: &mut bool) -> Value {
    if one == other || one == ANY || is_open(&other) && other != ANY {
        return one;
    }
    if other == ANY || is_open(&one) {
        return other;
    }
    let joined = match (one, other) {
        (Value::Array(one), Value::Array(other)) => join_parts(one, other, differ),
        // Values of one type that serialize as several; what fits one of them may be any.
        _ => None,
    };
    *differ |= joined.is_none();
    joined.map_or_else(|| ANY.into(), Value::Array)
}

/// `None` if no derived type has values of both shapes.
fn join_parts(one: Vec<Value>, other: Vec<Value>, differ: &mut bool) -> Option<Vec<Value>> {
    if one.first() != other.first() {
        return None;
    }
    match one.first()?.as_str()? {
        "option" | "seq" | "map" => Some(join_each(one, other, differ)),
        "tuple" => (one.get(1) == other.get(1)).then(|| join_each(one, other, differ)),
        "struct" => {
            let name = |field: &Value| field.get(0).cloned();
            let mut fields = one;
            let pairs = || fields.iter().zip(&other).skip(2);
            if fields.len() != other.len() || pairs().any(|(one, other)| name(one) != name(other)) {
                return None;
            }
            for (field, mut other) in fields.iter_mut().zip(other).skip(2) {
                if let (Some(one), Some(other)) = (field.get_mut(1), other.get_mut(1)) {
                    *one = join(one.take(), other.take(), differ);
                }
            }
            Some(fields)
        }
        "enum" => {
            let mut all = one;
            for [number, name, shape] in variants(&other) {
                let same = |known: &[Value; 3]| &known[0] == number || &known[1] == name;
                match variants(&all).iter().position(same) {
                    None => all.extend([number.clone(), name.clone(), shape.clone()]),
                    Some(at) => {
                        let known = &mut all[2 + 3 * at..][..3];
                        if &known[0] != number || &known[1] != name {
                            return None;
                        }
                        known[2] = join(known[2].take(), shape.clone(), differ);
                    }
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// Joins the parts in pairs; the longer list has the rest.
fn join_each(one: Vec<Value>, other: Vec<Value>, differ: &mut bool) -> Vec<Value> {
    let (mut long, short) = if one.len() >= other.len() { (one, other) } else { (other, one) };
    for (part, other) in long.iter_mut().zip(short) {
        *part = join(part.take(), other, differ);
    }
    long
}
