//! Results as bytes, in the format of postcard, and back.

use postcard::Deserializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes::{self, WITHOUT_NAMES};

/// Appends a result. After an error the bytes are as before.
pub(crate) fn encode<R: Serialize + ?Sized>(result: &R, to: &mut Vec<u8>) -> Result<(), String> {
    let before = to.len();
    bytes::write(result, to).map_err(|refused| {
        to.truncate(before);
        refused.to_string()
    })
}

/// Refuses a result that can't be read back from its bytes.
pub(crate) fn read_back<R: Serialize + DeserializeOwned>(result: &R) -> Result<(), String> {
    let mut bytes = Vec::new();
    encode(result, &mut bytes)?;
    decode_whole::<R>(&bytes).map(drop)
}

/// The result that has all of these bytes. The text of an error says what type is needed.
pub(crate) fn decode_whole<R: DeserializeOwned>(bytes: &[u8]) -> Result<R, String> {
    match decode(bytes) {
        Ok((result, [])) => Ok(result),
        Ok((_, left)) => Err(unreadable(&format!("{} bytes are left over", left.len()))),
        Err(cause) => Err(unreadable(&cause)),
    }
}

/// The text about a type of results that can be written and not read.
fn unreadable(cause: &str) -> String {
    format!("its bytes can't be read back ({cause}): {WITHOUT_NAMES}")
}

/// The first result, and the bytes behind it.
pub(crate) fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<(R, &[u8]), String> {
    let mut deserializer = Deserializer::from_bytes(bytes);
    let result = R::deserialize(&mut deserializer).map_err(text)?;
    Ok((result, deserializer.finalize().map_err(text)?))
}

#[cold]
fn text(error: postcard::Error) -> String {
    match error {
        // Its own text is about postcard's plans.
        postcard::Error::WontImplement => "the type asks its bytes what they are".into(),
        error => error.to_string(),
    }
}

/// The result at a place.
pub(crate) fn decode_nth<R: DeserializeOwned>(mut bytes: &[u8], place: usize) -> Result<R, String> {
    for _ in 0..place {
        bytes = decode::<R>(bytes)?.1;
    }
    decode(bytes).map(|(result, _)| result)
}

/// The first of `items` results, which fill `bytes`, and the bytes of the others. It stops behind
/// the result that brings it to `most` bytes, encoded or in memory beside what results own: an
/// `Option` may take one byte there and hundreds here. A result of no size counts as a byte, so if
/// `most` is 0, it stops behind the first in any case.
pub(crate) fn decode_some<R: DeserializeOwned>(
    items: u32,
    mut bytes: &[u8],
    most: usize,
) -> Result<(Vec<R>, &[u8]), String> {
    let behind = bytes.len().saturating_sub(most);
    // A result may take no byte, and each takes memory: so never ask for more at once than there
    // are bytes. Only a part of them is read if they have more than `most` bytes.
    let part = u64::from(items).saturating_mul(most as u64) / bytes.len().max(1) as u64;
    let expected = part.min(items.into()).min(bytes.len().min(most) as u64) as usize;
    let fit = most.div_ceil(size_of::<R>().max(1)).max(1);
    let mut results = Vec::with_capacity(fit.min(expected + 1));
    for _ in 0..fit.min(items as usize) {
        // Not by `decode`: results would be moved twice more.
        let mut deserializer = Deserializer::from_bytes(bytes);
        results.push(R::deserialize(&mut deserializer).map_err(text)?);
        bytes = deserializer.finalize().map_err(text)?;
        if behind > 0 && bytes.len() <= behind {
            break;
        }
    }
    let is_all = results.len() == items as usize;
    if is_all && !bytes.is_empty() { Err(format!("{} bytes are left over", bytes.len())) } else { Ok((results, bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 byte on disk, 264 in memory.
    type Wide = Option<[u64; 32]>;

    #[test]
    fn results_are_decoded_up_to_a_number_of_bytes_on_disk_or_in_memory() {
        let bytes = [0; 50_000];
        let (wide, left) = decode_some::<Wide>(50_000, &bytes, 64 << 10).unwrap();
        assert_eq!((wide.len(), left.len()), (249, 50_000 - 249));
        assert!(wide.capacity() <= 250, "{}", wide.capacity());
        // Large on disk, small in memory.
        let texts: Vec<u8> = [&[100][..], &[b'x'; 100]].concat().repeat(500);
        let (texts, left) = decode_some::<String>(500, &texts, 10_000).unwrap();
        assert_eq!((texts.len(), left.len()), (100, 400 * 101));
        // All that there are.
        assert_eq!(decode_some::<Wide>(50_000, &bytes, usize::MAX).unwrap().0.len(), 50_000);
        assert_eq!(decode_some::<Wide>(10, &bytes[..10], 64 << 10).unwrap().0.len(), 10);
    }

    #[test]
    fn a_result_is_decoded_in_any_case_and_no_other_one_if_none_may() {
        let bytes = [0; 100];
        for most in [0, 1, 263, 264] {
            assert_eq!(decode_some::<Wide>(100, &bytes, most).unwrap().0.len(), 1, "{most}");
        }
        assert_eq!(decode_some::<()>(100, &[], 0).unwrap().0.len(), 1);
        assert_eq!(decode_some::<()>(100, &[], 64 << 10).unwrap().0.len(), 100);
        assert_eq!(decode_some::<()>(100, &[], usize::MAX).unwrap().0.len(), 100);
        assert_eq!(decode_some::<()>(0, &[], 0).unwrap().0.len(), 0);
    }

    #[test]
    fn results_without_bytes_that_take_memory_are_decoded_in_parts() {
        #[derive(serde::Deserialize)]
        struct Cached {
            #[serde(skip)]
            cache: [u64; 32],
        }

        let (some, left) = decode_some::<Cached>(10_000, &[], 64 << 10).unwrap();
        assert_eq!((some.len(), left.len()), (256, 0));
        assert!(some.iter().all(|cached| cached.cache == [0; 32]));
    }

    #[test]
    fn bytes_behind_the_last_result_are_refused() {
        let refused = decode_some::<Wide>(3, &[0; 5], 64 << 10).unwrap_err();
        assert_eq!(refused, "2 bytes are left over");
    }
}
