//! Numbers of things in texts.

use std::fmt;

/// A number with the name of what it counts: `1 item`, `2 items`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted(pub(crate) usize, pub(crate) &'static str, pub(crate) &'static str);

impl Counted {
    pub(crate) fn items(count: usize) -> Self {
        Self(count, "item", "items")
    }

    pub(crate) fn batches(count: usize) -> Self {
        Self(count, "batch", "batches")
    }

    pub(crate) fn threads(count: usize) -> Self {
        Self(count, "thread", "threads")
    }

    pub(crate) fn cores(count: usize) -> Self {
        Self(count, "core", "cores")
    }

    /// The name alone, for a number that is written in another way.
    pub(crate) fn name(self) -> &'static str {
        let Self(count, one, several) = self;
        if count == 1 { one } else { several }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_things() {
        let texts = [0, 1, 2].map(|count| Counted::batches(count).to_string());
        assert_eq!(texts, ["0 batches", "1 batch", "2 batches"]);
    }
}
