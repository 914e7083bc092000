//! Places for tokens that the user did not write, so that messages and editors show what is meant.

use proc_macro2::Span;

/// The place of something that the user wrote, for tokens that are not.
pub(crate) fn here(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}

/// The empty place right before something that the user wrote.
///
/// What reaches from here to [`after`] is marked by a message like the thing itself. But no token of it is at the place of a token
/// that the user wrote: there an editor would show both, as with a type that tells of a helper as well when hovered over.
pub(crate) fn before(span: Span) -> Span {
    // In a unit test there is no compiler to be asked.
    if proc_macro::is_available() { span.unwrap().start().into() } else { span }
}

/// The empty place right after something that the user wrote.
pub(crate) fn after(span: Span) -> Span {
    if proc_macro::is_available() { span.unwrap().end().into() } else { span }
}
