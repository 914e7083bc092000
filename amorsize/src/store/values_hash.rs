//! The hash of an input's items.

use std::fmt;
use std::hash::Hasher;

use serde::Serialize;
use twox_hash::XxHash3_64;

use super::bytes;

/// The bytes that are hashed at once. To hash each number of an input by itself takes several times
/// as long.
const BLOCK: usize = 4096;

/// The hash of values, made from their bytes one after another.
#[derive(Default)]
pub struct ValuesHash {
    block: Vec<u8>,
    hasher: XxHash3_64,
}

impl ValuesHash {
    /// Adds a value. After an error the hash is of no use.
    #[inline]
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), String> {
        bytes::write(value, &mut self.block).map_err(bytes::Refused::into_text)?;
        self.hash_if_full();
        Ok(())
    }

    /// Adds a number that stands for a value.
    pub(crate) fn push_number(&mut self, number: u64) {
        self.block.extend_from_slice(&number.to_le_bytes());
        self.hash_if_full();
    }

    fn hash_if_full(&mut self) {
        if self.block.len() >= BLOCK {
            self.hasher.write(&self.block);
            self.block.clear();
        }
    }

    pub(crate) fn finish(mut self) -> u64 {
        self.hasher.write(&self.block);
        self.hasher.finish()
    }
}

impl fmt::Debug for ValuesHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValuesHash").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash<T: Serialize>(values: &[T]) -> u64 {
        let mut hash = ValuesHash::default();
        values.iter().for_each(|value| hash.push(value).unwrap());
        hash.finish()
    }

    #[test]
    fn the_hash_is_that_of_all_bytes_one_after_another() {
        for lengths in [vec![1, 0, 4094, 1, 1, 4096, 5000], vec![4096, 4097], vec![], vec![10_000, 3]] {
            let texts: Vec<String> = lengths.iter().map(|&length| "x".repeat(length)).collect();
            let bytes: Vec<u8> = texts.iter().flat_map(|text| postcard::to_stdvec(text).unwrap()).collect();
            assert_eq!(hash(&texts), XxHash3_64::oneshot(&bytes), "{lengths:?}");
        }
        let mut numbers = ValuesHash::default();
        (0..1000).for_each(|number| numbers.push_number(number));
        let bytes: Vec<u8> = (0..1000_u64).flat_map(u64::to_le_bytes).collect();
        assert_eq!(numbers.finish(), XxHash3_64::oneshot(&bytes));
    }

    #[test]
    fn a_value_that_leaves_out_a_field_is_refused() {
        #[derive(Serialize)]
        struct Photo {
            #[serde(skip_serializing_if = "Option::is_none")]
            title: Option<u32>,
        }

        let mut hash = ValuesHash::default();
        assert!(hash.push(&Photo { title: Some(1) }).is_ok());
        assert!(hash.push(&Photo { title: None }).unwrap_err().contains("its field `title`"));
    }
}
