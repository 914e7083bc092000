//! The attribute and the derive of [`amorsize`](https://docs.rs/amorsize): use them as `amorsize::batched` and
//! `amorsize::DeepSize`, where they are documented.
//!
//! The attribute in the order of the work: `options` and `signature` read what the user wrote and refuse what can't be done,
//! `normalize` names what was left implicit, `expand` writes the wrapper, `fallback` what stands in its place. `docs` is what the
//! wrapper says of the original, `spans` where messages and editors see what was written for the user.
//! The derive is all in `deep_size`.

mod at_fault;
mod bounds;
mod deep_size;
mod errors;
mod expand;
mod fallback;
mod features;
mod max_memory;
mod names;
mod normalize;
mod options;
mod signature;
mod spans;
#[cfg(test)]
mod tests;
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

/// The original first, unless it is an expression, beside which nothing can stand; then the mistakes, and the wrapper or what stands in its place.
fn annotate(options: TokenStream, original: TokenStream) -> TokenStream {
    let (mut mistakes, mut refusals) = (Errors::default(), Errors::default());
    let options = Options::parse(options, &mut mistakes);
    let function = Function::parse(&original, &options, &mut refusals);
    let wrapper = function.as_ref().map(|function| {
        let normalized = Normalized::new(function, &options);
        let refused = !refusals.is_empty() || normalized.refused;
        if refused { fallback::stub(&normalized, &options) } else { expand::wrapper(&normalized, &options) }
    });
    if signature::is_closure(&original) {
        return quote!(#refusals);
    }
    quote!(#original #mistakes #refusals #wrapper)
}
