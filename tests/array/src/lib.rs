//! The functions of the tested program, and what the tests share.

mod helpers;
mod work;

pub use helpers::*;
pub use work::*;
