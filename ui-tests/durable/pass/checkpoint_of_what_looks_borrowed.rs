//! Results that look borrowed, and can be read back.

#![deny(warnings)]

use std::borrow::Cow;
use std::marker::PhantomData;

use amorsize::batched;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize)]
struct Name(u32);

static NAMES: [Name; 2] = [Name(0), Name(1)];

/// An interned value is read back as the one that lives for ever.
impl<'de> Deserialize<'de> for &'static Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<&'static Name, D::Error> {
        u32::deserialize(from).map(|at| &NAMES[at as usize])
    }
}

const RUNS: &str = concat!("runs", "/names");

const fn directory(at: usize) -> &'static str {
    ["runs/cut", "runs/marked"][at]
}

#[batched(checkpoint = RUNS)]
fn named(at: usize) -> &'static Name {
    &NAMES[at]
}

#[batched(checkpoint = directory(0))]
fn cut(text: &str) -> Cow<'_, str> {
    text.trim().into()
}

#[batched(checkpoint = { directory(1) }, on_error = "stop")]
fn marked(_: &str) -> Result<PhantomData<&'static str>, &'static str> {
    Ok(PhantomData)
}

/// The first argument is the error.
type Failing<E> = Result<u32, E>;

const DIRECTORIES: [&str; 2] = ["runs/failing", "runs/shown"];

#[batched(checkpoint = &DIRECTORIES[0], on_error = "stop")]
fn failing(x: u32) -> Failing<&'static str> {
    Ok(x)
}

trait Shape: Sync {
    fn number(&self) -> u32;
}

impl Shape for Name {
    fn number(&self) -> u32 {
        self.0
    }
}

impl Serialize for dyn Shape {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.number())
    }
}

impl<'de> Deserialize<'de> for &'static dyn Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<&'static dyn Shape, D::Error> {
        u32::deserialize(from).map(|at| &NAMES[at as usize] as _)
    }
}

#[batched(checkpoint = DIRECTORIES[1])]
fn shown(at: usize) -> &'static dyn Shape {
    &NAMES[at]
}

#[batched(spill_dir = if cfg!(unix) { "/var/tmp" } else { env!("CARGO_MANIFEST_DIR") })]
fn spilled(text: &str) -> &str {
    text
}

fn main() {
    let _ = (failing_batched(0..2), shown_batched(0..2));
    let _ = (named_batched(0..2), cut_batched(["a"]), marked_batched(["a"]), spilled_batched(["a"]));
}
