//! The hash of an input's items.

use std::cell::Cell;
use std::fmt;
use std::hash::Hasher;

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use twox_hash::XxHash3_64;

use super::encode::why;
use super::whole::Whole;

/// The hash of values, made from their bytes one after another.
pub struct ValuesHash {
    serializer: postcard::Serializer<Blocks>,
    skipped: Cell<Option<&'static str>>,
}

impl ValuesHash {
    /// Adds a value. After an error the hash is of no use.
    #[inline]
    pub(crate) fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), String> {
        let whole = Whole { value, skipped: &self.skipped };
        whole.serialize(&mut self.serializer).map_err(|error| why(&error, &self.skipped))
    }

    /// Adds a number that stands for a value.
    pub(crate) fn push_number(&mut self, number: u64) {
        self.serializer.output.add(&number.to_le_bytes());
    }

    pub(crate) fn finish(mut self) -> u64 {
        self.serializer.output.hash();
        self.serializer.output.hasher.finish()
    }
}

impl Default for ValuesHash {
    fn default() -> Self {
        let output = Blocks { block: Vec::with_capacity(BLOCK), hasher: XxHash3_64::new() };
        Self { serializer: postcard::Serializer { output }, skipped: Cell::default() }
    }
}

impl fmt::Debug for ValuesHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValuesHash").finish_non_exhaustive()
    }
}

/// The bytes that are hashed at once. To hash each number of an input by itself takes several times
/// as long.
const BLOCK: usize = 4096;

struct Blocks {
    block: Vec<u8>,
    hasher: XxHash3_64,
}

impl Blocks {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() > BLOCK - self.block.len() {
            return self.add_behind_a_block(bytes);
        }
        self.block.extend_from_slice(bytes);
    }

    #[cold]
    fn add_behind_a_block(&mut self, bytes: &[u8]) {
        self.hash();
        if bytes.len() > BLOCK {
            self.hasher.write(bytes);
        } else {
            self.block.extend_from_slice(bytes);
        }
    }

    fn hash(&mut self) {
        self.hasher.write(&self.block);
        self.block.clear();
    }
}

impl Flavor for Blocks {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.add(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.add(&[byte]);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
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
