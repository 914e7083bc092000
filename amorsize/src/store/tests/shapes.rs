//! The shapes of results: they tell types apart, but not values of one type; and their cost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::super::encode::{decode, encode};
use super::super::shape::Shapes;
use super::*;

fn shape(value: &impl Serialize) -> String {
    Shape::of(value).to_string()
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Thumb {
    path: String,
    size: (u32, u32),
    tags: Vec<Option<u8>>,
    kind: Kind,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
enum Kind {
    Photo,
    Drawing(u8),
    Scan { pages: u16 },
    Two(u8, String),
}

fn thumb(kind: Kind) -> Thumb {
    Thumb { path: "a.jpg".into(), size: (3, 4), tags: vec![Some(1), None], kind }
}

#[test]
fn a_shape_reads_like_a_type() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Newtype(f32);
    #[derive(Serialize)]
    struct Pair(u8, char);

    let text = "Thumb { path: str, size: [u32; 2], tags: [Option<u8>], kind: Kind::";
    assert_eq!(shape(&thumb(Kind::Photo)), format!("{text}Photo }}"));
    assert_eq!(shape(&thumb(Kind::Drawing(1))), format!("{text}Drawing(u8) }}"));
    assert_eq!(shape(&thumb(Kind::Scan { pages: 2 })), format!("{text}Scan {{ pages: u16 }} }}"));
    assert_eq!(shape(&thumb(Kind::Two(1, String::new()))), format!("{text}Two(u8, str) }}"));
    assert_eq!(shape(&(Unit, Newtype(1.0), Pair(1, 'x'))), "(unit, f32, (u8, char))");
    assert_eq!(shape(&(Vec::<u8>::new(), None::<u8>, ())), "([?], Option<?>, unit)");
    assert_eq!(shape(&BTreeMap::from([(1u8, true)])), "{u8: bool}");
    assert_eq!(shape(&BTreeMap::<u8, bool>::new()), "{?: ?}");
    assert_eq!(shape(&[1i128; 20]), "[i128; 20]");
    assert_eq!(shape(&std::net::Ipv4Addr::LOCALHOST), "[u8; 4]");
    assert_eq!(shape(&format_args!("{}", 1)), "str");
}

#[test]
fn a_shape_survives_being_stored() {
    for kind in [Kind::Photo, Kind::Drawing(1), Kind::Scan { pages: 2 }, Kind::Two(1, String::new())] {
        let ours = Shape::of(&thumb(kind));
        assert_eq!(Shape::from_json(ours.json().to_owned()), ours);
    }
    assert_eq!(Shape::unknown().json(), "");
    for text in
        ["", "[", "[]", "7", "null", "[\"struct\"]", "[\"enum\", 1]", "[\"struct\", \"a\", \"b\"]", "[\"tuple\"]"]
    {
        let odd = Shape::from_json(text.to_owned());
        let _ = (odd.to_string(), odd.fits(&Shape::of(&thumb(Kind::Photo))), odd.fits(&odd));
    }
}

/// True if a directory with this result can be read as results of the other type. Goes by the
/// result's bytes, as the store does.
fn goes_on<Was: Serialize, Is: Serialize + DeserializeOwned + Debug>(was: &Was) -> bool {
    let mut bytes = Vec::new();
    encode(was, &mut bytes).unwrap();
    match decode::<Is>(&bytes) {
        Ok((is, _)) => Shape::from_json(Shape::of(was).json().to_owned()).fits(&Shape::of(&is)),
        Err(_) => false,
    }
}

#[test]
fn changed_types_are_told_apart() {
    macro_rules! declared {
        ($($module:ident { $($item:item)* })*) => {
            $(mod $module {
                use serde::{Deserialize, Serialize};
                $(#[derive(Serialize, Deserialize, Debug, Clone)] $item)*
            })*
        };
    }
    declared! {
        was { pub(super) struct R { pub(super) a: u32, pub(super) b: u32, pub(super) c: Option<String> } }
        swapped { pub(super) struct R { b: u32, a: u32, c: Option<String> } }
        renamed { pub(super) struct R { a: u32, d: u32, c: Option<String> } }
        wider { pub(super) struct R { a: u64, b: u32, c: Option<String> } }
        signed { pub(super) struct R { a: u32, b: i32, c: Option<String> } }
        bytes { pub(super) struct R { a: u32, b: u32, c: Option<Vec<u8>> } }
        removed { pub(super) struct R { a: u32, b: u32 } }
        added { pub(super) struct R { a: u32, b: u32, c: Option<String>, d: () } }
        other_name { pub(super) struct Renamed { a: u32, b: u32, c: Option<String> } }
        variants { pub(super) enum E { A(u32), B(u32) } }
        reordered { pub(super) enum E { B(u32), A(u32) } }
        retyped { pub(super) enum E { A(u64), B(u32) } }
        longer { pub(super) enum E { A(u32), B(u32), C } }
    }
    let was = was::R { a: 1, b: 2, c: Some("x".into()) };
    assert!(goes_on::<_, was::R>(&was));
    assert!(goes_on::<_, other_name::Renamed>(&was));
    assert!(!goes_on::<_, swapped::R>(&was));
    assert!(!goes_on::<_, renamed::R>(&was));
    assert!(!goes_on::<_, wider::R>(&was));
    assert!(!goes_on::<_, signed::R>(&was));
    assert!(!goes_on::<_, bytes::R>(&was));
    assert!(!goes_on::<_, removed::R>(&was));
    assert!(!goes_on::<_, added::R>(&was));
    assert!(!goes_on::<_, (u32, u32, Option<String>)>(&was));
    for was in [variants::E::A(1), variants::E::B(1)] {
        assert!(goes_on::<_, variants::E>(&was) && goes_on::<_, longer::E>(&was));
        assert!(!goes_on::<_, reordered::E>(&was));
        assert!(!goes_on::<_, Vec<reordered::E>>(&[was]));
    }
    assert!(!goes_on::<_, retyped::E>(&variants::E::A(1)));
    assert!(!goes_on::<_, Vec<u32>>(&vec![1u16]) && !goes_on::<_, (u8, u8)>(&(1u8, 1i8)));
    assert!(!goes_on::<_, [u8; 3]>(&[1u8; 4]) && !goes_on::<_, BTreeMap<u8, u8>>(&vec![(1u8, 2u8)]));
}

#[test]
fn values_of_one_type_are_not_told_apart() {
    fn again<R: Serialize + DeserializeOwned + Debug>(value: &R) {
        assert!(goes_on::<R, R>(value), "{value:?}");
    }
    // Each collection has another order when it is decoded.
    for seed in 0..50u32 {
        let kinds = [Kind::Photo, Kind::Drawing(1), Kind::Scan { pages: 2 }, Kind::Two(1, String::new())];
        again(&kinds.iter().cloned().enumerate().map(|(at, kind)| (at as u32 + seed, kind)).collect::<HashMap<_, _>>());
        again(&(0..9).map(|at| (at % 2 == 0).then_some(at + seed)).collect::<HashSet<_>>());
        again(&HashMap::from([(Some(seed), Some(1u8)), (None, None)]));
    }
    again(&vec![None, Some(thumb(Kind::Photo))]);
    again(&Ok::<u8, String>(1));
    again(&Err::<u8, String>("no".into()));
    again(&(std::time::Duration::ZERO, std::path::PathBuf::from("x"), 'x', "x".to_string(), -1i128));
    again(&f64::NAN.to_bits());
}

#[test]
fn a_long_value_is_looked_at_no_longer_than_a_short_one() {
    use std::cell::Cell;

    thread_local!(static SEEN: Cell<u32> = const { Cell::new(0) });
    struct Counts;
    impl Serialize for Counts {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            SEEN.set(SEEN.get() + 1);
            serializer.serialize_u8(1)
        }
    }
    let many = || (0..100_000).map(|_| Counts).collect::<Vec<_>>();
    #[derive(Serialize)]
    struct Long {
        first: Vec<Counts>,
        second: Vec<Vec<Counts>>,
        map: BTreeMap<u32, Vec<Counts>>,
        last: u8,
    }
    let map = (0..1000).map(|key| (key, vec![Counts])).collect();
    let long = Long { first: many(), second: vec![many(), many()], map, last: 1 };
    // The early end of one sequence does not end the value around it.
    assert_eq!(shape(&long), "Long { first: [u8], second: [[u8]], map: {u32: [u8]}, last: u8 }");
    assert_eq!(SEEN.get(), 3);
}

#[test]
fn deep_and_wide_values_are_cut() {
    #[derive(Serialize, Deserialize, Debug)]
    struct Tree {
        left: Option<Box<Tree>>,
        right: Option<Box<Tree>>,
    }
    fn tree(depth: u32) -> Option<Box<Tree>> {
        (depth > 0).then(|| Box::new(Tree { left: tree(depth - 1), right: tree(depth - 1) }))
    }
    let wide = tree(14).unwrap();
    let stored = Shape::of(&wide);
    assert!(stored.json().len() < 64 << 10, "{stored:?}");
    assert!(goes_on::<_, Tree>(&wide));

    #[derive(Serialize, Deserialize, Debug)]
    enum List {
        End,
        More { rest: Box<List> },
    }
    let deep = (0..500).fold(List::End, |rest, _| List::More { rest: Box::new(rest) });
    assert!(goes_on::<_, List>(&deep));
    assert!(Shape::of(&deep).json().contains('?'));
}

#[test]
fn names_may_have_any_letters() {
    #[derive(Serialize, Deserialize, Debug)]
    #[serde(rename = "a \"b\"")]
    struct Odd {
        #[serde(rename = "\\\u{1}\n")]
        field: u8,
    }
    assert_eq!(shape(&Odd { field: 1 }), "a \"b\" { \\\u{1}\n: u8 }");
    assert!(goes_on::<_, Odd>(&Odd { field: 1 }));
}

#[test]
fn a_serialize_that_makes_errors_of_its_own_has_no_shape() {
    struct Wraps;
    impl Serialize for Wraps {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq([1u8, 2]).map_err(serde::ser::Error::custom)
        }
    }
    assert_eq!(shape(&(Wraps, 1u8)), "(?, u8)");
    assert!(Shape::of(&Wraps).fits(&Shape::of(&thumb(Kind::Photo))));
}

#[test]
fn results_of_another_type_are_refused_before_any_is_read() {
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    let mut encoded = Encoded::new(0);
    encoded.push(hash(0), &(1u32, Some(String::from("x")))).unwrap();
    encoded.push(hash(1), &(2u32, None::<String>)).unwrap();
    writer.put(encoded);
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    store.check_results::<(u32, Option<String>)>().unwrap();
    let refused = |error: Error| match error.kind() {
        ErrorKind::CheckpointChanged { what: crate::error::Changed::Result, was, is, .. } => (was.clone(), is.clone()),
        other => panic!("{other:?}"),
    };
    let was = "`(u32, Option<str>)`";
    let error = store.check_results::<(i32, Option<String>)>().unwrap_err();
    assert_eq!(refused(error), (was.into(), "`(i32, Option<str>)`".into()));
    let error = store.check_results::<(u32, Option<char>, Vec<u64>, Vec<u64>)>().unwrap_err();
    assert!(refused(error).1.starts_with("one that can't be read from its bytes ("));
    // The second result is not of that type.
    let done = store.found.done[0];
    let error = store.read(&done).unwrap().results::<(u32, Option<u8>)>().unwrap_err();
    assert_eq!(refused(error).0, was);
}

/// True if a directory with these results can be read as results of the other type.
fn all_go_on<Was: Serialize, Is: Serialize + DeserializeOwned>(was: &[Was]) -> bool {
    let (mut bytes, mut shapes) = (Vec::new(), Shapes::default());
    for was in was {
        encode(was, &mut bytes).unwrap();
        shapes.see(was);
    }
    Shape::from_json(Shape::joined(shapes.iter()).json().to_owned()).check::<Is>(&bytes).is_ok()
}

#[test]
fn what_the_first_result_hides_is_seen_in_later_ones() {
    #[derive(Serialize, Deserialize)]
    enum Was {
        Good,
        Bad,
        Unknown(Option<u8>),
    }
    #[derive(Serialize, Deserialize)]
    enum Sorted {
        Bad,
        Good,
        Unknown(Option<u8>),
    }
    #[derive(Serialize, Deserialize)]
    enum Longer {
        Good,
        Bad,
        Unknown(Option<u8>),
        New,
    }
    let all = || [Was::Unknown(None), Was::Good, Was::Unknown(Some(1)), Was::Bad];
    assert!(all_go_on::<_, Was>(&all()) && all_go_on::<_, Longer>(&all()));
    assert!(!all_go_on::<_, Sorted>(&all()));
    assert!(all_go_on::<_, Vec<Vec<u8>>>(&[vec![], vec![vec![1_u8]]]));
    assert!(!all_go_on::<_, Vec<Vec<u8>>>(&[vec![], vec![vec![1_i8]]]));
    assert!(!all_go_on::<_, Option<i32>>(&[None, None, Some(10_u32)]));
    let maps = [BTreeMap::new(), BTreeMap::from([(1_u8, 2_u32)])];
    assert!(all_go_on::<_, BTreeMap<u8, u32>>(&maps) && !all_go_on::<_, BTreeMap<u8, i32>>(&maps));
    // Each result hides another field.
    let pairs = [(None, Some(1_u8)), (Some(2_u32), None)];
    assert!(all_go_on::<_, (Option<u32>, Option<u8>)>(&pairs));
    assert!(!all_go_on::<_, (Option<i32>, Option<u8>)>(&pairs) && !all_go_on::<_, (Option<u32>, Option<i8>)>(&pairs));

    let mut shapes = Shapes::default();
    all().iter().for_each(|result| shapes.see(result));
    assert_eq!(Shape::joined(shapes.iter()).to_string(), "Was::{Unknown(Option<u8>), Good, Bad}");
}

#[test]
fn a_type_that_serializes_as_several_fits_itself() {
    /// The byte in the middle says if the last one is a number or a `bool`.
    #[derive(Deserialize)]
    struct Either(Option<u8>, u8, u8);
    impl Serialize for Either {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let Self(hidden, kind, value) = self;
            if *kind == 0 {
                (hidden, kind, value).serialize(serializer)
            } else {
                (hidden, kind, *value == 1).serialize(serializer)
            }
        }
    }
    let all: Vec<_> = (0..9).map(|x| Either(None, x % 2, 1)).collect();
    let mut bytes = Vec::new();
    all.iter().for_each(|result| encode(result, &mut bytes).unwrap());
    for looked_at in 1..4 {
        let mut shapes = Shapes::default();
        all[..looked_at].iter().for_each(|result| shapes.see(result));
        let stored = Shape::joined(shapes.iter());
        stored.check::<Either>(&bytes).unwrap();
        assert_eq!(stored.json().contains("\"any\""), looked_at > 1);
    }
}
