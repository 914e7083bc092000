//! The hash of a function's tokens, which shows whether results of an earlier build are still
//! valid.
//!
//! It is the same where the function is laid out, documented or published in another way: white
//! space, comments, docs, lints, attributes of the function, visibility and trailing commas don't
//! count. All else does. It must stay the same in later versions of amorsize, because stored
//! results depend on it.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// The hash of the tokens of a function's signature and body.
pub(crate) fn hash(function: &TokenStream) -> u64 {
    let tokens = flat(function.clone());
    let begins = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if BEGIN.iter().any(|word| ident == word));
    // Before it are attributes, the visibility and `default`.
    let begin = tokens.iter().position(begins).unwrap_or(0);
    // This number and that of `add` are those of FNV-1a.
    let mut hash = 0xCBF2_9CE4_8422_2325;
    hash_all(&tokens[begin..], Inside::Nothing, &mut hash);
    hash
}

/// The words with which a signature begins.
const BEGIN: [&str; 6] = ["const", "async", "safe", "unsafe", "extern", "fn"];

/// Attributes that don't change what a function computes.
const IDLE: [&str; 6] = ["doc", "allow", "expect", "warn", "deny", "forbid"];

/// Words after which parentheses hold a tuple rather than arguments.
const KEYWORDS: [&str; 18] = [
    "as", "await", "box", "break", "dyn", "else", "for", "if", "impl", "in", "let", "match", "move", "mut", "ref",
    "return", "where", "while",
];

/// The place of tokens.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    Braces,
    Brackets,
    Arguments,
    Tuple,
}

/// The tokens without the groups that `macro_rules` wraps around what it inserts.
fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => all.extend(flat(group.stream())),
            token => all.push(token),
        }
    }
    all
}

fn hash_all(tokens: &[TokenTree], inside: Inside, hash: &mut u64) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some(length) = idle_attribute(&tokens[at..]) {
            at += length;
            continue;
        }
        let (all_before, behind) = (&tokens[..at], &tokens[at + 1..]);
        let before = all_before.last();
        at += 1;
        match token {
            TokenTree::Punct(punct)
                if punct.as_char() == ',' && is_trailing(before, &tokens[at - 1..], inside, tokens) => {}
            TokenTree::Punct(punct) => {
                // Nowhere else does white space change what two characters mean.
                let joins = ['&', '|', '<'].contains(&punct.as_char()) && punct.spacing() == Spacing::Joint;
                let joins = joins && behind.first().is_some_and(|next| is(next, punct.as_char()));
                add(hash, if joins { b'j' } else { b'p' }, &punct.to_string());
            }
            TokenTree::Ident(ident) => add(hash, b'i', &ident.to_string()),
            TokenTree::Literal(literal) => add(hash, b'l', &literal.to_string()),
            TokenTree::Group(group) => {
                let (open, inside) = match group.delimiter() {
                    Delimiter::Parenthesis if holds_arguments(all_before) => ("(", Inside::Arguments),
                    Delimiter::Parenthesis => ("(", Inside::Tuple),
                    Delimiter::Bracket => ("[", Inside::Brackets),
                    Delimiter::Brace | Delimiter::None => ("{", Inside::Braces),
                };
                add(hash, b'g', open);
                hash_all(&flat(group.stream()), inside, hash);
                add(hash, b'e', "");
            }
        }
    }
}

/// The length of the attribute that the tokens begin with, if it changes nothing.
fn idle_attribute(tokens: &[TokenTree]) -> Option<usize> {
    let inner = usize::from(is(tokens.get(1)?, '!'));
    let TokenTree::Group(group) = tokens.get(1 + inner)? else { return None };
    let first = group.stream().into_iter().next()?;
    let is_idle = matches!(&first, TokenTree::Ident(ident) if IDLE.iter().any(|idle| ident == idle));
    (is(&tokens[0], '#') && group.delimiter() == Delimiter::Bracket && is_idle).then_some(2 + inner)
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// True if parentheses after these tokens hold the arguments of a call, and no tuple. Without a
/// token they hold neither, or a tuple.
fn holds_arguments(before: &[TokenTree]) -> bool {
    match before {
        [.., TokenTree::Ident(word)] => !KEYWORDS.iter().any(|keyword| word == keyword),
        [.., TokenTree::Group(group)] => group.delimiter() != Delimiter::Brace,
        // That of `=>` and of `->` closes no generic arguments.
        [.., TokenTree::Punct(arrow), end] if is(end, '>') && arrow.spacing() == Spacing::Joint => {
            !['=', '-'].contains(&arrow.as_char())
        }
        [.., TokenTree::Punct(punct)] => ['>', '!', '?'].contains(&punct.as_char()),
        [.., TokenTree::Literal(_)] | [] => false,
    }
}

/// True if a comma can be left out, or be written where it is not. `from` begins with it.
fn is_trailing(before: Option<&TokenTree>, from: &[TokenTree], inside: Inside, all: &[TokenTree]) -> bool {
    match from.get(1) {
        // `(x,)` is a tuple, and `(x)` is none.
        None => inside != Inside::Tuple || all[..all.len() - 1].iter().any(|token| is(token, ',')),
        Some(next) => {
            // `fn f<T,>()`, `where T: Copy, {` and, between the arms of a match, `=> {},`.
            is(next, '>')
                || inside == Inside::Nothing && is_braces(next)
                || inside == Inside::Braces && before.is_some_and(is_braces)
        }
    }
}

/// Adds a token: its kind, its text, and a byte that is in no text.
fn add(hash: &mut u64, kind: u8, text: &str) {
    let bytes = [kind].into_iter().chain(text.bytes()).chain([0xFF]);
    *hash = bytes.fold(*hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
}

#[cfg(test)]
mod tests;
