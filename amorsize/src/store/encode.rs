//! Results as bytes, by postcard, and back.

use std::cell::Cell;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::whole::Whole;

/// Lets postcard write to the end of bytes that are there. It owns them meanwhile, so that the
/// compiler need not look up their address for each byte; that would take a quarter more time for a
/// `Vec<u8>`.
struct To<'a> {
    bytes: Vec<u8>,
    home: &'a mut Vec<u8>,
}

impl Drop for To<'_> {
    fn drop(&mut self) {
        std::mem::swap(self.home, &mut self.bytes);
    }
}

impl Flavor for To<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.bytes.push(byte);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends a result. After an error the bytes are as before.
pub(crate) fn encode<R: Serialize + ?Sized>(result: &R, to: &mut Vec<u8>) -> Result<(), String> {
    let before = to.len();
    let bytes = std::mem::take(to);
    let skipped = Cell::new(None);
    let whole = Whole { value: result, skipped: &skipped };
    let written = postcard::serialize_with_flavor(&whole, To { bytes, home: &mut *to });
    written.map_err(|error| {
        to.truncate(before);
        why(&error, &skipped)
    })
}

/// The reason why a value could not become bytes.
pub(super) fn why(error: &postcard::Error, skipped: &Cell<Option<&'static str>>) -> String {
    match skipped.take() {
        Some(field) => {
            format!("it leaves out its field `{field}`, as by `skip_serializing_if`, and so could not be read")
        }
        None => error.to_string(),
    }
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
    postcard::take_from_bytes(bytes).map_err(|error| error.to_string())
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
    // are bytes.
    let mut results = Vec::with_capacity((items as usize).min(bytes.len().min(most) + 1));
    for _ in 0..items {
        let (result, rest) = decode(bytes)?;
        results.push(result);
        bytes = rest;
        if behind > 0 && bytes.len() <= behind {
            break;
        }
    }
    let is_all = results.len() == items as usize;
    if is_all && !bytes.is_empty() { Err(format!("{} bytes are left over", bytes.len())) } else { Ok((results, bytes)) }
}
