//! Texts that do not parse as a number of bytes.

use std::str::FromStr;

use super::Error;
use crate::units::{BYTES_SYNTAX, ByteSize, MOST_BYTES};

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse_const(text).ok_or_else(|| {
            let expected = if Self::is_too_many(text) { MOST_BYTES } else { BYTES_SYNTAX };
            Error::invalid_option(Error::TEXT_OF_BYTES, format!("{text:?}"), expected)
        })
    }
}
