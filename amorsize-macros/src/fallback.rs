use proc_macro2::TokenStream;
use quote::quote;

use crate::expand;
use crate::normalize::Normalized;
use crate::options::Options;

/// A function in the place of the wrapper that was refused: without it rustc would report its calls
/// too.
pub(crate) fn stub(function: &Normalized, options: &Options) -> TokenStream {
    let signature = expand::stub_signature(function, options);
    quote!(#signature { ::core::unreachable!() })
}
