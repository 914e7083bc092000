use proc_macro2::TokenStream;
use quote::quote;

use crate::expand;
use crate::normalize::Normalized;
use crate::options::Options;

/// What stands in the place of the wrapper of a function that was refused: its calls would be reported as well otherwise,
/// at least those of methods.
pub(crate) fn stub(function: &Normalized, options: &Options) -> TokenStream {
    let signature = expand::stub_signature(function, options);
    quote!(#signature { ::core::unreachable!() })
}
