//! The attribute and the derive of [`amorsize`](https://docs.rs/amorsize): use and read them as
//! `amorsize::batched` and `amorsize::DeepSize`.
//!
//! The attribute, in the order of its work: `options` reads its options, `signature` reads the
//! function and refuses it where it can't be batched, `normalize` names what its author left
//! implicit, `expand` writes the wrapper or a stub. The derive is in `deep_size`.

mod at_fault;
mod bounds;
mod bytes;
mod code;
mod deep_size;
mod errors;
mod expand;
mod features;
mod max_memory;
mod names;
mod normalize;
mod options;
mod signature;
mod spans;
#[cfg(test)]
mod tests;
mod types;
mod values;

use errors::Errors;
use normalize::Normalized;
use options::Options;
use proc_macro2::TokenStream;
use quote::quote;
use signature::Function;

/// Adds a function that runs the annotated one over many items: see `amorsize::batched`.
#[proc_macro_attribute]
pub fn batched(options: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    annotate(options.into(), item.into()).into()
}

/// Implements `DeepSize` for a type by its fields: see `amorsize::DeepSize`.
#[proc_macro_derive(DeepSize, attributes(deep_size))]
pub fn deep_size(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    deep_size::derive(input.into()).into()
}

/// The original, the mistakes, and the wrapper or a stub. An original that is an expression is left
/// out, because nothing can stand beside it.
fn annotate(options: TokenStream, original: TokenStream) -> TokenStream {
    let (mut mistakes, mut refusals) = (Errors::default(), Errors::default());
    let options = Options::parse(options, &mut mistakes);
    let function = Function::parse(&original, &options, &mut refusals);
    let wrapper = function.as_ref().map(|function| {
        let normalized = Normalized::new(function, &options);
        let refused = !refusals.is_empty() || normalized.refused;
        if refused { expand::stub(&normalized) } else { expand::wrapper(&normalized) }
    });
    if signature::is_closure(&original) {
        return quote!(#refusals);
    }
    quote!(#original #mistakes #refusals #wrapper)
}
