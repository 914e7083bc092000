//! The shapes of several results as one. A single result may hide its type: by `None`, by an empty
//! sequence, or by one variant of many.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

use super::{ANY, Shape, is_open, variants};

/// The shapes of some results.
#[derive(Clone, Debug, Default)]
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
        if !self.is_complete() {
            self.add(Shape::of(result));
        }
    }

    /// Adds the shape of a result.
    pub(crate) fn add(&mut self, shape: Shape) {
        if !self.seen.contains(&shape) {
            self.is_complete = shape.is_complete();
            self.bytes += shape.0.len();
            self.seen.push(shape);
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete || self.bytes > Self::MOST
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
        let both = join(first.value(), second.value());
        Self(distinct.fold(both, |joined, shape| join(joined, shape.value())).to_string())
    }

    /// True if no other value of the type says more.
    fn is_complete(&self) -> bool {
        const HIDDEN: [&str; 4] = ["[\"option\",null]", "[\"seq\"]", "[\"map\"]", "[\"enum\""];
        !HIDDEN.iter().any(|hidden| self.0.contains(hidden))
    }
}

fn join(one: Value, other: Value) -> Value {
    if one == other || is_open(&other) && other != ANY {
        return one;
    }
    if is_open(&one) && one != ANY {
        return other;
    }
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => join_parts(one, other).map_or_else(|| ANY.into(), Value::Array),
        // Values of one type that serialize as several; what fits one of them may be any.
        _ => ANY.into(),
    }
}

/// `None` if no derived type has values of both shapes.
fn join_parts(one: Vec<Value>, other: Vec<Value>) -> Option<Vec<Value>> {
    if one.first() != other.first() {
        return None;
    }
    match one.first()?.as_str()? {
        "option" | "seq" | "map" => Some(join_each(one, other)),
        "tuple" => (one.get(1) == other.get(1)).then(|| join_each(one, other)),
        "struct" => {
            let name = |field: &Value| field.get(0).cloned();
            let are_same = one.len() == other.len() && one.iter().zip(&other).skip(2).all(|(a, b)| name(a) == name(b));
            let join_field = |(at, (mut one, mut other)): (usize, (Value, Value))| {
                if at > 1 {
                    one[1] = join(one[1].take(), other[1].take());
                }
                one
            };
            are_same.then(|| one.into_iter().zip(other).enumerate().map(join_field).collect())
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
                        known[2] = join(known[2].take(), shape.clone());
                    }
                }
            }
            Some(all)
        }
        _ => None,
    }
}

/// Joins the parts in pairs; the longer list has the rest.
fn join_each(one: Vec<Value>, other: Vec<Value>) -> Vec<Value> {
    let (mut long, short) = if one.len() >= other.len() { (one, other) } else { (other, one) };
    for (part, other) in long.iter_mut().zip(short) {
        *part = join(part.take(), other);
    }
    long
}
