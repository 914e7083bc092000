//! The bytes must be those that the page `format` of the guide says, and hashes must not change:
//! directories outlive versions of this crate and of the compiler.

use std::collections::{BTreeMap, BTreeSet, LinkedList, VecDeque};
use std::ffi::{CString, OsString};
use std::hash::Hash;
use std::num::{NonZeroU16, Wrapping};
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use twox_hash::XxHash3_64;

use super::super::frame::{CLOSING, END, Head, LZ4, PLACE, Press, Run, Spot};
use super::super::segment::Header;
use super::*;

/// First item, items, bytes of results, hash.
type Numbers = (u64, u32, u64, u64);

/// Flags, runs, bytes before compression, content.
type Parts<'a> = (u32, &'a [Numbers], u64, &'a [u8]);

/// The bytes of a frame, according to the page.
fn frame(offset: u64, flags: u32, runs: &[Numbers], raw: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = b"amf\x01".to_vec();
    bytes.extend((runs.len() as u32).to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(raw.to_le_bytes());
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(XxHash3_64::oneshot(content).to_le_bytes());
    bytes.extend([0; 8]);
    for (first, items, results, hash) in runs {
        bytes.extend(first.to_le_bytes());
        bytes.extend(items.to_le_bytes());
        bytes.extend(results.to_le_bytes());
        bytes.extend(hash.to_le_bytes());
    }
    let seed = (1 << 42) ^ offset;
    let hash = XxHash3_64::oneshot_with_seed(seed, &bytes).to_le_bytes();
    bytes[36..44].copy_from_slice(&hash);
    bytes.extend(content);
    bytes
}

fn segment(shape: &str, frames: &[Parts<'_>]) -> Vec<u8> {
    let mut bytes = b"\x93AMZ\r\n\x1a\n\x01\0\0\0".to_vec();
    bytes.extend((shape.len() as u32).to_le_bytes());
    bytes.extend(shape.as_bytes());
    bytes.extend(XxHash3_64::oneshot_with_seed(1, &bytes).to_le_bytes());
    for (flags, runs, raw, content) in frames {
        let offset = bytes.len() as u64;
        bytes.extend(frame(offset, *flags, runs, *raw, content));
    }
    bytes
}

#[test]
fn a_segment_of_results_has_the_bytes_that_the_page_says() {
    // The clock stands, so that they are in one frame.
    let _entered = Clock::standing().enter();
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(u64::MAX)).unwrap();
    // Two runs that become one, and one with a gap before it.
    for (first, items) in [(5, vec![(50, 7u16)]), (9, vec![(90, 300)]), (4, vec![(40, 1)])] {
        let mut encoded = Encoded::new(first);
        items.iter().for_each(|(hash, result)| encoded.push(*hash, result).unwrap());
        writer.put(encoded);
    }
    writer.end_of_input(10);
    writer.finish().unwrap();
    let factor = 0x9E37_79B1_85EB_CA87_u64;
    let joined = 40u64.wrapping_mul(factor).wrapping_add(50);
    let expected = segment(
        "\"u16\"",
        &[
            (0, &[(4, 2, 2, joined), (9, 1, 2, 90)], 4, &[1, 7, 0xAC, 0x02]),
            (8, &[], 8, &10u64.to_le_bytes()),
            (2, &[], 0, &[]),
        ],
    );
    assert_eq!(std::fs::read(scratch.run().join("000001.amz")).unwrap(), expected);
    // Catches a change of all hashes together.
    assert_eq!(XxHash3_64::oneshot(&expected), 0xd0f2_f604_1fc9_c1a6);
}

#[test]
fn a_journal_has_the_bytes_that_the_page_says() {
    let _entered = Clock::standing().enter();
    let scratch = Scratch::new();
    let store = Store::open(&scratch.run(), &identity(Kind::Journal)).unwrap();
    let writer = store.writer(Settings::new(u64::MAX)).unwrap();
    writer.go_on_from(100);
    writer.done([(0, 3, ItemsHash(7))], Some(120));
    writer.finish().unwrap();
    let [from, to] = [100u64, 120].map(u64::to_le_bytes);
    let expected = segment("", &[(16, &[], 8, &from), (16, &[(0, 3, 0, 7)], 8, &to), (2, &[], 0, &[])]);
    assert_eq!(std::fs::read(scratch.run().join("000001.amz")).unwrap(), expected);
}

#[test]
fn a_segment_of_another_format_is_refused() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..1]);
    let mut header = segment("", &[]);
    header[8] = 2;
    let hash = XxHash3_64::oneshot_with_seed(2, &header[..16]).to_le_bytes();
    header[16..].copy_from_slice(&hash);
    std::fs::write(scratch.run().join("000002.amz"), header).unwrap();
    let error = open(&scratch.run()).unwrap_err();
    let ErrorKind::CheckpointChanged { what, was, is, .. } = error.kind() else { panic!("{error}") };
    assert_eq!((what, was.as_str(), is.as_str()), (&crate::error::Changed::Format, "2", "1"));
}

#[test]
fn a_manifest_of_another_format_may_have_any_keys() {
    let scratch = Scratch::new();
    store(&scratch.run(), &[0..1]);
    let path = scratch.run().join("manifest.json");
    let told = || {
        let of_reader = Found::open(&scratch.run()).unwrap_err();
        [open(&scratch.run()).unwrap_err(), of_reader].map(|error| match error.kind() {
            ErrorKind::CheckpointChanged { what: crate::error::Changed::Format, was, is, .. } => {
                (was.clone(), is.clone())
            }
            other => panic!("{other:?}"),
        })
    };
    for text in ["{\"format\": 2}", "{\"format\": 2, \"keeps\": [], \"version\": 1, \"tokens\": 7}"] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(told(), [("2".into(), "1".into()), ("2".into(), "1".into())]);
    }
}

#[test]
fn the_manifest_has_the_keys_that_the_page_says() {
    let scratch = Scratch::new();
    drop(open(&scratch.run()).unwrap());
    let text = std::fs::read_to_string(scratch.run().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = manifest.as_object().unwrap().keys().map(String::as_str).collect();
    let page = include_str!("../../guide/format.md");
    for key in &keys {
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
    }
    assert_eq!(keys.len(), 12);
    // A version, and not the text for an unknown one.
    assert!(manifest["rustc"].as_str().unwrap().starts_with("1."), "{manifest}");
    assert!(!scratch.run().join("manifest.json.new").exists());
}

#[test]
fn content_is_compressed_where_it_shrinks() {
    let mut press = Press::default();
    let text = "all work and no play ".repeat(10_000);
    let shrunk = press.shrink(&[text.as_bytes()]).unwrap().to_vec();
    assert!(shrunk.len() < text.len() / 10);
    let head = Head::new(LZ4, Vec::new(), text.len() as u64, &[&shrunk]);
    let mut content = Vec::new();
    let mut opened =
        |head: &Head, shrunk: &[u8]| head.open(&mut shrunk.to_vec(), &mut content).map(|()| content.clone());
    assert_eq!(opened(&head, &shrunk).unwrap(), text.as_bytes());
    let other = Head { raw: head.raw + 1, ..head.clone() };
    assert!(opened(&other, &shrunk).is_err() && opened(&head, &shrunk[1..]).is_err());
    let noise: Vec<u8> = (0..100_000u64).map(|at| hash(at) as u8).collect();
    // Pieces are compressed together.
    let (begin, end) = text.as_bytes().split_at(70_001);
    assert_eq!(Press::default().shrink(&[begin, &[], end]).unwrap(), shrunk);
    assert_eq!(press.shrink(&[&noise]), None);
    assert_eq!(press.shrink(&[]), None);
    // The first 64 KiB decide, whatever is behind them.
    let tried = 64 << 10;
    let (zeros, noise) = (vec![0; 1 << 20], &noise[..tried]);
    assert_eq!(press.shrink(&[noise, &zeros]), None);
    assert_eq!(press.shrink(&[&[noise, &zeros].concat()]), None);
    let shrinks = press.shrink(&[&zeros[..tried], noise]).unwrap().len();
    assert!((tried..2 * tried).contains(&shrinks), "{shrinks}");
    // 80 % of a shorter content.
    assert_eq!(press.shrink(&[&noise[..1000], &zeros[..100]]), None);
    assert!(press.shrink(&[&noise[..1000], &zeros[..1000]]).is_some());

    // The same through a directory.
    let scratch = Scratch::new();
    let store = open(&scratch.run()).unwrap();
    let writer = store.writer(Settings::new(1)).unwrap();
    let mut encoded = Encoded::new(0);
    encoded.push(hash(0), &text).unwrap();
    writer.put(encoded);
    writer.finish().unwrap();
    drop(store);
    let mut store = open(&scratch.run()).unwrap();
    assert!(store.found.bytes < text.len() as u64 / 10);
    let done = store.found.done[0];
    assert_eq!(store.read(&done).unwrap().results::<String>().unwrap(), [text]);
}

#[test]
fn hashes_of_values_stay_what_they_are() {
    fn hash(value: impl Hash) -> u64 {
        StableHasher::default().of(&value)
    }
    #[derive(Hash)]
    struct Struct {
        name: &'static str,
        size: (u32, u32),
        kind: Kind,
    }
    #[derive(Hash)]
    enum Kind {
        #[expect(dead_code, reason = "so that the other is not the first")]
        Photo,
        Drawing(Option<bool>),
    }
    let value = Struct { name: "a.jpg", size: (3, 4), kind: Kind::Drawing(Some(true)) };
    let long = "x".repeat(100_000);
    for (name, hash, expected) in [
        ("()", hash(()), 0x2D06_8005_38D3_94C2),
        ("u8", hash(1u8), 0xE12E_F9D2_EB86_CEEB),
        ("u16", hash(1u16), 0xAB94_AC0A_CE72_76C0),
        ("u32", hash(1u32), 0xDB02_334E_96D6_5708),
        ("u64", hash(1u64), 0x2FBC_5935_64DB_792E),
        ("usize", hash(1usize), 0x2FBC_5935_64DB_792E),
        ("u128", hash(1u128), 0x26F2_A114_8CF5_2011),
        ("i8", hash(-1i8), 0xD6BC_EC3C_6B29_D72E),
        ("i16", hash(-1i16), 0xB258_05C5_94DE_C06B),
        ("i32", hash(-1i32), 0xCD6B_1C92_0D3F_662C),
        ("i64", hash(-1i64), 0x5111_C7E4_7D78_4413),
        ("isize", hash(-1isize), 0x5111_C7E4_7D78_4413),
        ("i128", hash(-1i128), 0x722A_202F_07A4_B313),
        ("bool", hash(true), 0xE12E_F9D2_EB86_CEEB),
        ("char", hash('x'), 0xF3F4_80D4_9A7D_18DD),
        ("str", hash("x"), 0x4BDA_6B8A_1427_4DDE),
        ("String", hash(String::from("photo.jpg")), 0xCDC2_62CE_2D4B_4E45),
        ("a long String", hash(&long), 0x9B31_7A16_480A_5242),
        ("PathBuf", hash(PathBuf::from("photos/2026/a.jpg")), 0xD5F5_1487_9358_EE27),
        ("OsString", hash(OsString::from("x")), 0xD333_7EC6_E027_8868),
        ("CString", hash(CString::new("x").unwrap()), 0x2FF4_0B1B_B7B5_F10F),
        ("Vec", hash(vec![1u8, 2, 3]), 0xC703_05C8_5A04_4CDE),
        ("array", hash([1u16, 2, 3]), 0xE781_CA61_B60F_9BB8),
        ("VecDeque", hash(VecDeque::from([1u32, 2])), 0xEBD5_CA5A_8A57_BC2A),
        ("LinkedList", hash(LinkedList::from([1u32, 2])), 0xEBD5_CA5A_8A57_BC2A),
        ("BTreeMap", hash(BTreeMap::from([(1u8, "x"), (2, "y")])), 0x228B_D99E_4776_1938),
        ("BTreeSet", hash(BTreeSet::from([1u64, 2])), 0xBE0C_5419_3987_E9F3),
        ("Option", hash(Some(1u32)), 0xBC51_E9C7_E72F_4789),
        ("None", hash(None::<u32>), 0xC77B_3ABB_6F87_ACD9),
        ("Result", hash(Err::<u8, u16>(1)), 0x3B8B_326B_BCF9_4F2F),
        ("tuple", hash((1u8, "x", 2u64)), 0x3D87_8829_B60B_EFAE),
        ("Box", hash(Box::new(1u32)), 0xDB02_334E_96D6_5708),
        ("Cow", hash(std::borrow::Cow::Borrowed("x")), 0x4BDA_6B8A_1427_4DDE),
        ("NonZero", hash(NonZeroU16::MIN), 0xAB94_AC0A_CE72_76C0),
        ("Wrapping", hash(Wrapping(1u32)), 0xDB02_334E_96D6_5708),
        ("Reverse", hash(std::cmp::Reverse(1u32)), 0xDB02_334E_96D6_5708),
        ("Range", hash(1u32..2), 0x0389_E2C8_892D_5450),
        ("Ordering", hash(std::cmp::Ordering::Less), 0xD6BC_EC3C_6B29_D72E),
        ("Duration", hash(Duration::from_millis(1500)), 0x9BAC_BEF8_4D18_5954),
        ("Ipv4Addr", hash(std::net::Ipv4Addr::LOCALHOST), 0xAB57_9567_62B0_28C1),
        ("IpAddr", hash(std::net::IpAddr::from([1, 2, 3, 4])), 0xE354_6AA9_AC58_C0E1),
        ("SocketAddr", hash(std::net::SocketAddr::from(([1, 2, 3, 4], 80))), 0x8F22_7B90_4140_D4FA),
        ("struct", hash(value), 0xE1AB_035C_7C05_55AA),
    ] {
        assert_eq!(hash, expected, "{name}: {hash:#018x}");
    }
}

#[test]
fn a_value_has_one_hash_in_parts_and_at_once() {
    use std::hash::Hasher;

    let bytes: Vec<u8> = (0..20_000u32).map(|at| (at * at) as u8).collect();
    for len in [0, 1, 8, 100, 4095, 4096, 4097, 20_000] {
        let expected = XxHash3_64::oneshot(&bytes[..len]);
        for part in [1, 7, 1000, 20_000] {
            let mut hasher = StableHasher::default();
            bytes[..len].chunks(part).for_each(|part| hasher.write(part));
            assert_eq!(hasher.finish(), expected, "{len} in parts of {part}");
            #[cfg(feature = "array")]
            {
                let mut hasher = StableHasher::default();
                bytes[..len].chunks(part).for_each(|part| hasher.gather(|all| all.extend_from_slice(part)));
                assert_eq!(hasher.finish(), expected, "{len} gathered in parts of {part}");
            }
        }
    }
    // A hasher forgets earlier values.
    let mut hasher = StableHasher::default();
    let first = hasher.of(&bytes);
    hasher.of("between");
    assert_eq!(hasher.of(&bytes), first);
    assert_ne!(hasher.of(&1u8), hasher.of(&1u16));
}

#[test]
fn runs_next_to_each_other_have_the_hash_of_all() {
    for middle in 0..=20 {
        let joined = hash_of(0..middle).join(hash_of(middle..20), 20 - middle as u32);
        assert_eq!(joined, hash_of(0..20));
    }
    assert_ne!(hash_of(0..3), hash_of(1..4));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heads_are_read_as_they_are_written(
        flags in prop::sample::select(vec![0, CLOSING, END, PLACE]),
        runs in proptest::collection::vec((0u64..1 << 40, 1u32.., 0u64..1000, any::<u64>()), 0..9),
        segment in any::<u32>(),
        offset in 0usize..300,
    ) {
        let has_results = flags == 0;
        let run = |(first, items, bytes, hash)| Run { first, items, bytes: if has_results { bytes } else { 0 }, hash };
        let runs: Vec<_> = runs.into_iter().map(run).collect();
        let content = vec![7; runs.iter().map(|run| run.bytes).sum::<u64>() as usize];
        let head = Head::new(flags, runs, content.len() as u64, &[&content]);
        let spot = Spot { segment, offset: offset as u64 };
        let mut bytes = vec![1; offset];
        head.write(spot, &mut bytes);
        let len = bytes.len() as u64;
        let mut file = std::io::Cursor::new(bytes);
        prop_assert_eq!(Head::read(&mut file, spot, len).unwrap(), Some(head));
        // The head is valid neither at another place nor in another segment.
        let other = Spot { segment: segment ^ 1, ..spot };
        prop_assert_eq!(Head::read(&mut file, other, len).unwrap(), None);
        prop_assert_eq!(Head::read(&mut file, spot, len - 1).unwrap(), None);
    }

    /// Heads with the right hash, and numbers that don't fit each other.
    #[test]
    fn bytes_that_are_no_head_are_none(mut bytes in proptest::collection::vec(any::<u8>(), 44..200), runs in 0u32..9) {
        let len = bytes.len() as u64;
        let spot = Spot { segment: 1, offset: 0 };
        bytes[..4].copy_from_slice(b"amf\x01");
        bytes[4..8].copy_from_slice(&runs.to_le_bytes());
        let head = 44 + 28 * runs as usize;
        if head <= bytes.len() {
            bytes[36..44].fill(0);
            let hash = XxHash3_64::oneshot_with_seed(1 << 42, &bytes[..head]);
            bytes[36..44].copy_from_slice(&hash.to_le_bytes());
        }
        let mut file = std::io::Cursor::new(bytes);
        if let Some(head) = Head::read(&mut file, spot, len).unwrap() {
            let _ = (head.total(), head.open(&mut Vec::new(), &mut Vec::new()), head.runs.iter().map(Run::end).max());
        }
        let _ = Header::read(&mut file, 1, len).unwrap();
    }
}
