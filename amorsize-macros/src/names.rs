use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::Lifetime;

/// The names in the user's tokens. New names differ from them, and stay readable, because messages
/// and documentation show them. (Hygiene doesn't help: it covers local variables only.)
#[derive(Clone)]
pub(crate) struct Names {
    idents: HashSet<String>,
    lifetimes: HashSet<String>,
    /// True where names are out of sight: those of an impl's generic parameters, and those that a
    /// macro says. New names must be unusual there.
    unusual: bool,
}

impl Names {
    pub(crate) fn of(tokens: TokenStream, in_impl: bool) -> Self {
        let mut names = Self { idents: HashSet::new(), lifetimes: HashSet::new(), unusual: in_impl };
        names.collect(tokens);
        names
    }

    fn collect(&mut self, tokens: TokenStream) {
        let mut before = ' ';
        for token in tokens {
            let mut mark = ' ';
            match token {
                TokenTree::Ident(ident) if before == '\'' => drop(self.lifetimes.insert(ident.to_string())),
                TokenTree::Ident(ident) => drop(self.idents.insert(ident.to_string())),
                TokenTree::Group(group) => {
                    self.unusual |= before == '!';
                    self.collect(group.stream());
                }
                TokenTree::Punct(punct) => mark = punct.as_char(),
                TokenTree::Literal(_) => {}
            }
            before = mark;
        }
    }

    /// A lifetime for the references of the parameter `parameter`.
    pub(crate) fn lifetime(&mut self, parameter: &str, span: Span) -> Lifetime {
        let wanted = if self.unusual { format!("{parameter}_ref") } else { parameter.to_owned() };
        Lifetime::new(&format!("'{}", free(&mut self.lifetimes, &wanted)), span)
    }

    /// A type parameter.
    pub(crate) fn type_parameter(&mut self, wanted: &str, span: Span) -> Ident {
        let wanted = if self.unusual { format!("Batch{wanted}") } else { wanted.to_owned() };
        Ident::new(&free(&mut self.idents, &wanted), span)
    }
}

/// The wanted name, with a number if it is taken.
pub(crate) fn free(taken: &mut HashSet<String>, wanted: &str) -> String {
    let numbered = (2..).map(|n| format!("{wanted}{n}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| taken.insert(name.clone())).expect("there are more numbers than names")
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn a_name_in_use_is_numbered() {
        let mut names = Names::of(quote!(fn f<'item>(Items: &'item [item])), false);
        let span = Span::call_site();
        assert_eq!(names.lifetime("item", span).to_string(), "'item2");
        assert_eq!(names.lifetime("item", span).to_string(), "'item3");
        assert_eq!(names.lifetime("k", span).to_string(), "'k");
        assert_eq!(names.type_parameter("Items", span), "Items2");
    }

    #[test]
    fn names_are_unusual_where_others_are_out_of_sight() {
        for (tokens, in_impl) in [(TokenStream::new(), true), (quote!(fn f(x: (item!(), u8))), false)] {
            let mut names = Names::of(tokens, in_impl);
            assert_eq!(names.lifetime("a", Span::call_site()).to_string(), "'a_ref");
            assert_eq!(names.type_parameter("Items", Span::call_site()), "BatchItems");
        }
    }
}
