//! The functions of the tested program, and the helpers of the tests.

pub mod format;
mod helpers;
mod work;

pub use helpers::*;
pub use work::*;
