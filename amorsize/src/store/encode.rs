//! Results as bytes, in the format of postcard, and back.

use postcard::Deserializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bytes;

/// Appends a result. After an error the bytes are as before.
pub(crate) fn encode<R: Serialize + ?Sized>(result: &R, to: &mut Vec<u8>) -> Result<(), String> {
    let before = to.len();
    bytes::write(result, to).map_err(|refused| {
        to.truncate(before);
        refused.into_text()
    })
}

/// Refuses a result that can't be read back from its bytes. A result of more than 64 KiB is
/// accepted unread, as it would need its memory twice.
pub(crate) fn read_back<R: Serialize + DeserializeOwned>(result: &R) -> Result<(), String> {
    let mut bytes = vec![0; 64 << 10];
    let Ok(bytes) = postcard::to_slice(result, &mut bytes) else { return Ok(()) };
    let refused = |cause: &str| {
        Err(format!(
            "its bytes can't be read back ({cause}); they have no names, as `untagged`, `flatten` and `skip_serializing_if` of \
             serde need them, and types that hold any JSON"
        ))
    };
    match decode::<R>(bytes) {
        Ok((_, [])) => Ok(()),
        Ok((_, left)) => refused(&format!("{} bytes are left over", left.len())),
        Err(cause) => refused(&cause),
    }
}

/// The first result, and the bytes behind it.
pub(crate) fn decode<R: DeserializeOwned>(bytes: &[u8]) -> Result<(R, &[u8]), String> {
    let mut deserializer = Deserializer::from_bytes(bytes);
    let result = R::deserialize(&mut deserializer).map_err(text)?;
    Ok((result, deserializer.finalize().map_err(text)?))
}

#[cold]
fn text(error: postcard::Error) -> String {
    error.to_string()
}

/// The result at a place.
pub(crate) fn decode_nth<R: DeserializeOwned>(mut bytes: &[u8], place: usize) -> Result<R, String> {
    for _ in 0..place {
        bytes = decode::<R>(bytes)?.1;
    }
    decode(bytes).map(|(result, _)| result)
}

/// The first of `items` results, which fill `bytes`, and the bytes of the others. It stops behind
/// the result that brings it to `most` bytes.
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
    let mut results = Vec::with_capacity(expected + 1);
    for _ in 0..items {
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
