//! The `#[batched]` attribute of amorsize.

use proc_macro::TokenStream;

/// See `amorsize::batched`.
#[proc_macro_attribute]
pub fn batched(_options: TokenStream, item: TokenStream) -> TokenStream {
    item
}
