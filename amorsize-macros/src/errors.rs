use std::fmt::Display;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

/// A mistake in a value: what is wrong, and the way out.
pub(crate) type Mistake = (String, String);

pub(crate) fn mistake(wrong: impl Into<String>, help: impl Into<String>) -> Mistake {
    (wrong.into(), help.into())
}

/// The mistakes found so far, so that all of them are reported at once.
#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Adds a mistake at `tokens`: it says what is wrong, and the way out.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, wrong: impl Display, help: impl Display) {
        self.push(error(tokens, wrong, help));
    }

    pub(crate) fn append(&mut self, mut errors: Self) {
        self.0.append(&mut errors.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

impl ToTokens for Errors {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        for error in self.0.iter().flatten() {
            // `syn` writes `::core::compile_error!`, and a crate of the 2015 edition has no
            // `::core`.
            let is_path = |token: &_| !matches!(token, TokenTree::Ident(ident) if ident == "compile_error");
            tokens.extend(error.to_compile_error().into_iter().skip_while(is_path));
        }
    }
}

/// A mistake at `tokens`: it says what is wrong, and the way out.
pub(crate) fn error(tokens: impl ToTokens, wrong: impl Display, help: impl Display) -> syn::Error {
    // A stable macro can report the message of `compile_error!` alone. rustc indents the second
    // line of it under the first, where it reads like a help of rustc.
    syn::Error::new_spanned(tokens, format!("{wrong}\nhelp: {help}"))
}

/// The candidate that is nearest to `word`, if it is near enough to be meant; or the only one that
/// begins with it.
pub(crate) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let most = (word.chars().count() / 3).max(1);
    let (distance, candidate) = candidates.iter().map(|candidate| (distance(word, candidate), *candidate)).min()?;
    let mut longer = candidates.iter().copied().filter(|longer| longer.starts_with(word));
    let begun = longer.next().filter(|_| longer.next().is_none());
    if distance <= most { Some(candidate) } else { begun }
}

/// The number of letters to insert, delete, or replace between two words.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    #[test]
    fn the_distance_counts_letters() {
        for (from, to, letters) in
            [("", "abc", 3), ("abc", "abc", 0), ("bach_size", "batch_size", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), letters, "{from} {to}");
            assert_eq!(distance(to, from), letters, "{to} {from}");
        }
    }

    #[test]
    fn a_message_needs_no_crate_in_the_root() {
        let mut errors = Errors::default();
        errors.at(quote!(word), "wrong", "way out");
        errors.push(syn::parse2::<syn::Ident>(quote!(1)).unwrap_err());
        let tokens = errors.to_token_stream().to_string();
        assert!(tokens.starts_with("compile_error ! {"), "{tokens}");
        assert_eq!((tokens.matches("compile_error").count(), tokens.matches("::").count()), (2, 0), "{tokens}");
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        let options = ["batch_size", "max_memory", "name"];
        assert_eq!(nearest("bach_size", &options), Some("batch_size"));
        assert_eq!(nearest("maxmemory", &options), Some("max_memory"));
        assert_eq!(nearest("nmae", &options), None);
        assert_eq!(nearest("bananas", &options), None);
        // A shortened one.
        assert_eq!(nearest("max_mem", &options), Some("max_memory"));
        assert_eq!(nearest("max", &["max_memory", "max_disk"]), None);
    }
}
