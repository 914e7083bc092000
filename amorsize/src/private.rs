//! What the expansion of `#[batched]` calls. Not part of the public interface: it changes with any release.

pub use crate::bounds::{BatchItem, BatchOutput, BatchShared, ByValue};
pub use crate::execute::chunk::Chunk;
pub use crate::memory::measure::{Measure, Probe};
pub use crate::options::{MaxMemory, MaxMemoryValue, Options};
use crate::run::Batched;

/// The traits by which a [`Probe`] finds the means of measuring; without names, so that importing all of them hides nothing
/// of the user's and none of them counts as unused.
pub mod via {
    pub use crate::memory::measure::{ViaDeepSize as _, ViaOkDeepSize as _, ViaUnknown as _};
}

/// One constructor for each number of shared parameters. All bounds stand here, each on a line of its own because messages
/// show it, and the expansion gives every type in the user's own words: so each type that is at fault gets one message, at
/// the place where the user wrote it.
macro_rules! constructors {
    ($($(#[$meta:meta])* $name:ident($($shared:ident),*);)*) => {$(
        /// A run of `kernel` over `items`.
        #[expect(clippy::allow_attributes, reason = "only some of the constructors have many parameters")]
        #[allow(clippy::type_complexity, reason = "the types are those of the user's function")]
        pub fn $name<
            T: BatchItem,
            R: BatchOutput,
            $($shared: BatchShared,)*
            I: IntoIterator<Item = T>,
        >(
            items: I,
            shared: ($($shared,)*),
            kernel: fn(&mut Chunk<T, R>, &($($shared,)*)),
            measure: (Measure<T>, Measure<R>),
            options: Options,
        ) -> Batched<I, R, ($($shared,)*)> {
            Batched::new(items, shared, kernel, measure, options)
        }
    )*};
}

constructors! {
    new0();
    new1(A);
    new2(A, B);
    new3(A, B, C);
    new4(A, B, C, D);
    new5(A, B, C, D, E);
    new6(A, B, C, D, E, F);
    new7(A, B, C, D, E, F, G);
    new8(A, B, C, D, E, F, G, H);
    new9(A, B, C, D, E, F, G, H, J);
    new10(A, B, C, D, E, F, G, H, J, K);
    new11(A, B, C, D, E, F, G, H, J, K, L);
    new12(A, B, C, D, E, F, G, H, J, K, L, M);
}
