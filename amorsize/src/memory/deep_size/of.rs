//! `DeepSize` for fields that may need a feature of this crate: the derive asks through these
//! traits, so the compiler's message names the feature if it is off.

macro_rules! by_feature {
    ($($module:ident $feature:literal $note:literal;)*) => {$(
        /// For the types that the feature of this name counts.
        pub mod $module {
            /// [`DeepSize`](crate::DeepSize) with a message of its own. Its items have other names;
            /// otherwise the compiler would propose this trait to users who call those of
            /// `DeepSize`.
            #[cfg_attr(not(feature = $feature), diagnostic::on_unimplemented(
                message = "the deep size of `{Self}` is not known",
                label = "this type does not implement `DeepSize`",
                note = $note,
                note = "otherwise implement or derive `DeepSize` for it, or write `#[deep_size(skip)]` on the field to leave out what \
                        it owns on the heap"
            ))]
            pub trait DeepSize {
                /// See [`DeepSize::OWNS_HEAP`](crate::DeepSize::OWNS_HEAP).
                const OWNS: bool;

                /// See [`DeepSize::heap_size`](crate::DeepSize::heap_size).
                fn owned(&self) -> usize;
            }

            // Without this the compiler would show the bound's own message.
            #[cfg_attr(not(feature = $feature), diagnostic::do_not_recommend)]
            impl<T: crate::DeepSize + ?Sized> DeepSize for T {
                const OWNS: bool = T::OWNS_HEAP;

                #[inline]
                fn owned(&self) -> usize {
                    self.heap_size()
                }
            }
        }
    )*};
}

by_feature! {
    arrow "arrow" "if it is a type of the crate `arrow-array`, amorsize's feature `arrow` has it counted: \
        `features = [\"arrow\"]` in Cargo.toml";
    bytes "bytes" "if it is a type of the crate `bytes`, amorsize's feature `bytes` has it counted: \
        `features = [\"bytes\"]` in Cargo.toml";
    chrono "chrono" "if it is a type of the crate `chrono`, amorsize's feature `chrono` has it counted: \
        `features = [\"chrono\"]` in Cargo.toml";
    hashbrown "hashbrown" "if it is a type of the crate `hashbrown`, amorsize's feature `hashbrown` has it counted: \
        `features = [\"hashbrown\"]` in Cargo.toml";
    image "image" "if it is a type of the crate `image`, amorsize's feature `image` has it counted: \
        `features = [\"image\"]` in Cargo.toml";
    indexmap "indexmap" "if it is a type of the crate `indexmap`, amorsize's feature `indexmap` has it counted: \
        `features = [\"indexmap\"]` in Cargo.toml";
    nalgebra "nalgebra" "if it is a type of the crate `nalgebra`, amorsize's feature `nalgebra` has it counted: \
        `features = [\"nalgebra\"]` in Cargo.toml";
    ndarray "ndarray" "if it is a type of the crate `ndarray`, amorsize's feature `ndarray` has it counted: \
        `features = [\"ndarray\"]` in Cargo.toml";
    num_complex "num-complex" "if it is a type of the crate `num-complex`, amorsize's feature `num-complex` has it counted: \
        `features = [\"num-complex\"]` in Cargo.toml";
    serde_json "serde_json" "if it is a type of the crate `serde_json`, amorsize's feature `serde_json` has it counted: \
        `features = [\"serde_json\"]` in Cargo.toml";
    smallvec "smallvec" "if it is a type of the crate `smallvec`, amorsize's feature `smallvec` has it counted: \
        `features = [\"smallvec\"]` in Cargo.toml";
    uuid "uuid" "if it is a type of the crate `uuid`, amorsize's feature `uuid` has it counted: \
        `features = [\"uuid\"]` in Cargo.toml";
}
