//! Places for tokens that the user did not write: messages and editors show them.

use proc_macro2::Span;

/// The place of a token of the user, for tokens of ours.
pub(crate) fn here(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// The empty place right before a token of the user.
///
/// A message marks the tokens from here to [`after`] like the user's token itself. But none of ours
/// is at its place: an editor would show both there, for one when it hovers over a type.
pub(crate) fn before(span: Span) -> Span {
    // A unit test has no compiler to ask.
    if proc_macro::is_available() { span.unwrap().start().into() } else { span }
}

/// The empty place right after a token of the user.
pub(crate) fn after(span: Span) -> Span {
    if proc_macro::is_available() { span.unwrap().end().into() } else { span }
}
