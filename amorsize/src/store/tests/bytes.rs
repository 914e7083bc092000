//! The serializer must write the bytes that postcard writes, whatever a `Serialize` calls.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::super::encode;

/// A call of a serializer. The parts of a sequence may be of several kinds.
#[derive(Clone, Debug)]
enum Call {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    Bytes(Vec<u8>),
    Shown(String),
    None,
    Unit,
    UnitStruct,
    UnitVariant(u32),
    Some(Box<Call>),
    Newtype(Box<Call>),
    NewtypeVariant(u32, Box<Call>),
    /// By `collect_seq`.
    Collected(Vec<Call>),
    /// Element by element.
    Seq(Vec<Call>),
    Tuple(Vec<Call>),
    TupleStruct(Vec<Call>),
    TupleVariant(u32, Vec<Call>),
    Struct(Vec<Call>),
    StructVariant(u32, Vec<Call>),
    Map(Vec<(Call, Call)>),
    Fails,
    Panics,
}

/// A value that is shown in several parts.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|part| write!(f, "{part}"))
    }
}

impl Serialize for Call {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        macro_rules! all {
            ($begun:expr, $parts:expr, $method:ident $(, $key:literal)?) => {{
                let mut to = $begun?;
                $parts.iter().try_for_each(|part| to.$method($($key,)? part))?;
                to.end()
            }};
        }
        match self {
            Self::Bool(value) => to.serialize_bool(*value),
            Self::I8(value) => to.serialize_i8(*value),
            Self::I16(value) => to.serialize_i16(*value),
            Self::I32(value) => to.serialize_i32(*value),
            Self::I64(value) => to.serialize_i64(*value),
            Self::I128(value) => to.serialize_i128(*value),
            Self::U8(value) => to.serialize_u8(*value),
            Self::U16(value) => to.serialize_u16(*value),
            Self::U32(value) => to.serialize_u32(*value),
            Self::U64(value) => to.serialize_u64(*value),
            Self::U128(value) => to.serialize_u128(*value),
            Self::F32(value) => to.serialize_f32(*value),
            Self::F64(value) => to.serialize_f64(*value),
            Self::Char(value) => to.serialize_char(*value),
            Self::Str(value) => to.serialize_str(value),
            Self::Bytes(value) => to.serialize_bytes(value),
            Self::Shown(value) => to.collect_str(&Shown(value)),
            Self::None => to.serialize_none(),
            Self::Unit => to.serialize_unit(),
            Self::UnitStruct => to.serialize_unit_struct("A"),
            Self::UnitVariant(number) => to.serialize_unit_variant("A", *number, "B"),
            Self::Some(value) => to.serialize_some(value),
            Self::Newtype(value) => to.serialize_newtype_struct("A", value),
            Self::NewtypeVariant(number, value) => to.serialize_newtype_variant("A", *number, "B", value),
            Self::Collected(values) => to.collect_seq(values),
            Self::Seq(values) => all!(to.serialize_seq(Some(values.len())), values, serialize_element),
            Self::Tuple(values) => all!(to.serialize_tuple(values.len()), values, serialize_element),
            Self::TupleStruct(values) => all!(to.serialize_tuple_struct("A", values.len()), values, serialize_field),
            Self::TupleVariant(number, values) => {
                all!(to.serialize_tuple_variant("A", *number, "B", values.len()), values, serialize_field)
            }
            Self::Struct(values) => all!(to.serialize_struct("A", values.len()), values, serialize_field, "a"),
            Self::StructVariant(number, values) => {
                all!(to.serialize_struct_variant("A", *number, "B", values.len()), values, serialize_field, "a")
            }
            Self::Map(entries) => {
                let mut to = to.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| to.serialize_entry(key, value))?;
                to.end()
            }
            Self::Fails => Err(S::Error::custom("it fails")),
            Self::Panics => panic!("it panics"),
        }
    }
}

fn calls() -> impl Strategy<Value = Call> {
    // All lengths of numbers, and the numbers at which the length changes.
    let number = (any::<u128>(), 0..128u32).prop_map(|(number, shift)| number >> shift);
    let one = prop_oneof![
        any::<bool>().prop_map(Call::Bool),
        any::<i8>().prop_map(Call::I8),
        number.clone().prop_map(|number| Call::I16(number as i16)),
        number.clone().prop_map(|number| Call::I32(number as i32)),
        number.clone().prop_map(|number| Call::I64(number as i64)),
        number.clone().prop_map(|number| Call::I128(number as i128)),
        any::<u8>().prop_map(Call::U8),
        number.clone().prop_map(|number| Call::U16(number as u16)),
        number.clone().prop_map(|number| Call::U32(number as u32)),
        number.clone().prop_map(|number| Call::U64(number as u64)),
        number.prop_map(Call::U128),
        any::<f32>().prop_map(Call::F32),
        any::<f64>().prop_map(Call::F64),
        any::<char>().prop_map(Call::Char),
        ".{0,200}".prop_map(Call::Str),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Call::Bytes),
        ".{0,200}".prop_map(Call::Shown),
        Just(Call::None),
        Just(Call::Unit),
        Just(Call::UnitStruct),
        any::<u32>().prop_map(Call::UnitVariant),
    ];
    one.prop_recursive(3, 64, 8, |call| {
        let calls = prop::collection::vec(call.clone(), 0..8);
        prop_oneof![
            call.clone().prop_map(|call| Call::Some(Box::new(call))),
            call.clone().prop_map(|call| Call::Newtype(Box::new(call))),
            (any::<u32>(), call.clone()).prop_map(|(number, call)| Call::NewtypeVariant(number, Box::new(call))),
            calls.clone().prop_map(Call::Collected),
            calls.clone().prop_map(Call::Seq),
            calls.clone().prop_map(Call::Tuple),
            calls.clone().prop_map(Call::TupleStruct),
            (any::<u32>(), calls.clone()).prop_map(|(number, calls)| Call::TupleVariant(number, calls)),
            calls.clone().prop_map(Call::Struct),
            (any::<u32>(), calls).prop_map(|(number, calls)| Call::StructVariant(number, calls)),
            prop::collection::vec((call.clone(), call), 0..4).prop_map(Call::Map),
        ]
    })
}

fn is_as_postcard_writes(value: &(impl Serialize + ?Sized)) {
    let mut bytes = b"before".to_vec();
    encode(value, &mut bytes).unwrap();
    assert_eq!(&bytes[6..], postcard::to_stdvec(value).unwrap());
}

proptest! {
    #[test]
    fn every_call_writes_what_postcard_writes(call in calls()) {
        is_as_postcard_writes(&call);
    }

    /// Elements that take the same number of bytes are written together.
    #[test]
    fn a_sequence_may_have_odd_elements(
        kind in 0..3,
        places in prop::collection::vec(prop::option::weighted(0.2, calls()), 0..40),
    ) {
        let alike = |place: usize| match kind {
            0 => Call::U8(place as u8),
            1 => Call::Newtype(Box::new(Call::F32(place as f32))),
            _ => Call::F64(-(place as f64)),
        };
        let all = places.into_iter().enumerate().map(|(place, odd)| odd.unwrap_or_else(|| alike(place)));
        is_as_postcard_writes(&Call::Collected(all.collect()));
    }

    #[test]
    fn vectors_of_numbers_are_written_as_postcard_does(numbers in prop::collection::vec(any::<u64>(), 0..300)) {
        is_as_postcard_writes(&numbers);
        is_as_postcard_writes(&numbers.iter().map(|number| *number as u8).collect::<Vec<_>>());
        is_as_postcard_writes(&numbers.iter().map(|number| *number as i8).collect::<Vec<_>>());
        is_as_postcard_writes(&numbers.iter().map(|number| number % 2 == 0).collect::<Vec<_>>());
        is_as_postcard_writes(&numbers.iter().map(|number| f32::from_bits(*number as u32)).collect::<Vec<_>>());
        is_as_postcard_writes(&numbers.iter().map(|number| f64::from_bits(*number)).collect::<Vec<_>>());
        is_as_postcard_writes(&numbers.iter().map(|number| [*number as u8; 3]).collect::<Vec<_>>());
    }
}

#[test]
fn numbers_are_as_long_as_postcards() {
    let near = |power: u32| [(1u128 << power).wrapping_sub(1), 1 << power, (1 << power) + 1];
    for number in (0..128).flat_map(near).chain([u128::MAX]) {
        is_as_postcard_writes(&(number as u16, number as u32, number as u64, number));
        is_as_postcard_writes(&(number as i16, number as i32, number as i64, number as i128));
    }
}

#[test]
fn what_can_t_be_written_leaves_the_bytes_as_they_were_and_says_why() {
    let cause = |value: &Call| {
        let mut bytes = b"before".to_vec();
        let cause = encode(value, &mut bytes).unwrap_err();
        assert_eq!(bytes, b"before");
        cause
    };
    let seq = |calls: &[Call]| Call::Collected(calls.to_vec());
    assert_eq!(cause(&Call::Fails), "it fails");
    assert_eq!(cause(&Call::Struct(vec![Call::U8(1), Call::Fails])), "it fails");
    // Among elements that are written together, also behind others.
    assert_eq!(cause(&seq(&[Call::U8(1), Call::Fails])), "it fails");
    assert_eq!(cause(&seq(&[Call::F32(1.0), Call::Str("odd".into()), Call::Fails, Call::F32(1.0)])), "it fails");

    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq((0..9).filter(|number| number % 2 == 0))
        }
    }
    let cause = encode(&Endless, &mut Vec::new()).unwrap_err();
    assert_eq!(
        cause,
        "it does not tell the length of a sequence or a map, as with `flatten`: results are stored as bytes without names, \
         which serde's `tag`, `untagged`, `flatten` and `skip_serializing_if` need, and types that hold any JSON, such as \
         `serde_json::Value`; return a type without these, or the JSON as a `String`"
    );
}

#[test]
fn a_panic_loses_no_bytes_before_it() {
    for call in [Call::Panics, Call::Collected(vec![Call::U8(1), Call::U8(2), Call::Panics])] {
        let mut bytes = b"before".to_vec();
        catch_unwind(AssertUnwindSafe(|| encode(&call, &mut bytes))).unwrap_err();
        assert_eq!(&bytes[..6], b"before");
    }
}
