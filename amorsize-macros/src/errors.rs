use proc_macro2::TokenStream;
use quote::ToTokens;

/// The mistakes found so far, so that all of them are reported at once.
#[derive(Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// A mistake at `tokens`: what is wrong, and the way out.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, what: impl AsRef<str>, help: impl AsRef<str>) {
        // The message of `compile_error!` is all that a stable macro can say; rustc indents a second line under the first,
        // where it reads as a help of its own.
        let message = format!("{}\nhelp: {}", what.as_ref(), help.as_ref());
        self.push(syn::Error::new_spanned(tokens, message));
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
        tokens.extend(self.0.iter().map(syn::Error::to_compile_error));
    }
}

/// The candidate that `word` is most likely a slip of, if any is near enough.
pub(crate) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let most = (word.chars().count() / 3).max(1);
    let (distance, candidate) = candidates.iter().map(|candidate| (distance(word, candidate), *candidate)).min()?;
    (distance <= most).then_some(candidate)
}

/// How many letters must be inserted, deleted, or replaced to make one word of the other.
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
    fn only_a_near_word_is_suggested() {
        let options = ["batch_size", "max_memory", "name"];
        assert_eq!(nearest("bach_size", &options), Some("batch_size"));
        assert_eq!(nearest("maxmemory", &options), Some("max_memory"));
        assert_eq!(nearest("nmae", &options), None);
        assert_eq!(nearest("bananas", &options), None);
    }
}
