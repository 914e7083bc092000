//! A crate that forbids and denies what it can, in which nothing else is in scope.

#![no_implicit_prelude]
#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unused, unused_qualifications, unreachable_pub, elided_lifetimes_in_paths)]

use ::amorsize::batched;
use ::std::clone::Clone;
use ::std::convert::From;
use ::std::string::String;
use ::std::vec::Vec;

/// A model.
struct Model<T>(T);

impl<T: Clone> Model<T> {
    /// A prediction.
    #[batched(max_memory = 0.5, batch_size = 2)]
    fn predict<'a>(&self, text: &'a str, _bias: T, prefix: &str) -> (T, &'a str) {
        (self.0.clone(), text.strip_prefix(prefix).unwrap_or(text))
    }
}

fn main() {
    let texts = [String::from("ab"), String::from("cd")];
    let model = Model(1);
    let all: Vec<(u8, &str)> =
        model.predict_batched(texts.each_ref().map(|text| text.as_str()), 0, "a").collect().unwrap();
    ::std::assert_eq!(all, [(1, "b"), (1, "cd")]);
}
