//! Finds the feature of this crate that counts a type of another crate, by the type's name.

use crate::memory::measure::TypeFacts;
use crate::units::measured_by::MeasuredBy;

/// A feature by which types of another crate tell their deep size.
#[derive(Clone, Copy, Debug)]
struct Feature {
    name: &'static str,
    /// The crate's name as it appears in the names of its types.
    krate: &'static str,
    /// The types that the feature counts, or parameters by which a counted type can be recognised.
    types: &'static [&'static str],
    is_on: bool,
}

macro_rules! features {
    ($($name:literal: $krate:literal [$($type:literal)*],)*) => {
        &[$(Feature { name: $name, krate: $krate, types: &[$($type),*], is_on: cfg!(feature = $name) }),*]
    };
}

/// The features with an `impl DeepSize` in this folder.
const FEATURES: &[Feature] = features! {
    "arrow": "arrow_array" [
        "Array" "BooleanArray" "DictionaryArray" "FixedSizeBinaryArray" "FixedSizeListArray" "GenericByteArray"
        "GenericByteViewArray" "GenericListArray" "GenericListViewArray" "MapArray" "NullArray" "PrimitiveArray"
        "RecordBatch" "RunArray" "StructArray" "UnionArray"
    ],
    "bytes": "bytes" ["Bytes" "BytesMut"],
    "chrono": "chrono" [
        "DateTime" "Days" "FixedOffset" "IsoWeek" "Month" "Months" "NaiveDate" "NaiveDateTime" "NaiveTime"
        "ParseError" "TimeDelta" "Utc" "Weekday"
    ],
    "hashbrown": "hashbrown" ["HashMap" "HashSet" "HashTable"],
    "image": "image" ["DynamicImage" "Frame" "ImageBuffer" "Luma" "LumaA" "Rgb" "Rgba"],
    "indexmap": "indexmap" ["IndexMap" "IndexSet"],
    "nalgebra": "nalgebra" ["Matrix"],
    // Recognised by the array's storage: an `ArcArray` is not counted.
    "ndarray": "ndarray" ["CowRepr" "OwnedRepr" "ViewRepr"],
    "num-complex": "num_complex" ["Complex"],
    "serde_json": "serde_json" ["Map" "Number" "Value"],
    "smallvec": "smallvec" ["SmallVec"],
    "uuid": "uuid" ["Braced" "Hyphenated" "Simple" "Urn" "Uuid"],
};

/// The names of a run's item and result types, empty for a type that can tell what its values own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unasked {
    pub(crate) item: &'static str,
    pub(crate) result: &'static str,
}

impl Unasked {
    pub(crate) fn of(item: TypeFacts, result: TypeFacts) -> Self {
        Self { item: name(item), result: name(result) }
    }

    /// The features that are off and would count these types, each with the name of its crate.
    pub(crate) fn missing(self) -> Vec<(&'static str, &'static str)> {
        missing(FEATURES, &[self.result, self.item])
    }
}

fn name(ty: TypeFacts) -> &'static str {
    if ty.measured_by == MeasuredBy::Resident { ty.name } else { "" }
}

fn missing(features: &'static [Feature], types: &[&str]) -> Vec<(&'static str, &'static str)> {
    let is_named = |feature: &&Feature| !feature.is_on && types.iter().any(|name| feature.is_named_in(name));
    features.iter().filter(is_named).map(|feature| (feature.name, feature.krate)).collect()
}

impl Feature {
    /// True if the name of a type has one of the crate's types, alone or within others as in
    /// `alloc::vec::Vec<uuid::Uuid>`.
    fn is_named_in(&self, name: &str) -> bool {
        let is_path = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
        name.split(|letter| !is_path(letter)).any(|path| {
            // A module of the user's own with the crate's name comes after the user's crate in the
            // path.
            let rest = path.strip_prefix(self.krate).and_then(|rest| rest.strip_prefix("::"));
            rest.and_then(|rest| rest.rsplit("::").next()).is_some_and(|last| self.types.contains(&last))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::any::type_name;

    use super::*;

    const OFF: &[Feature] = &{
        let mut features = [FEATURES[0]; 12];
        let mut at = 0;
        while at < features.len() {
            features[at] = FEATURES[at];
            features[at].is_on = false;
            at += 1;
        }
        features
    };

    fn named(name: &str) -> Vec<&'static str> {
        missing(OFF, &[name]).into_iter().map(|(feature, _)| feature).collect()
    }

    #[test]
    fn a_type_is_found_wherever_it_stands() {
        assert_eq!(OFF.len(), FEATURES.len());
        assert_eq!(named("image::images::buffer::ImageBuffer<image::color::Rgb<u8>, alloc::vec::Vec<u8>>"), ["image"]);
        assert_eq!(named("core::result::Result<image::dynimage::DynamicImage, image::error::ImageError>"), ["image"]);
        assert_eq!(named("(u8, alloc::vec::Vec<core::option::Option<uuid::Uuid>>)"), ["uuid"]);
        assert_eq!(named("[bytes::bytes::Bytes; 4]"), ["bytes"]);
        assert_eq!(named("alloc::sync::Arc<dyn arrow_array::array::Array>"), ["arrow"]);
        assert_eq!(
            named("indexmap::map::IndexMap<alloc::string::String, serde_json::value::Value>"),
            ["indexmap", "serde_json"]
        );
        assert_eq!(named("num_complex::Complex<f64>"), ["num-complex"]);
    }

    #[test]
    fn what_no_feature_counts_is_not_named() {
        for name in [
            "",
            "alloc::vec::Vec<u8>",
            "std::collections::hash::map::HashMap<u8, u8>",
            // Types of the user, in a module and in a crate with such a name.
            "photos::image::ImageBuffer",
            "image_tools::ImageBuffer",
            "my::bytes::Bytes",
            "ImageBuffer",
            "image",
            // Types of these crates that their features don't count.
            "image::codecs::jpeg::decoder::JpegDecoder<std::fs::File>",
            "ndarray::ArrayBase<ndarray::data_repr::OwnedArcRepr<f32>, ndarray::dimension::dim::Dim<[usize; 1]>>",
            "app::main::{{closure}}",
        ] {
            assert_eq!(named(name), [""; 0], "{name}");
        }
    }

    #[test]
    fn a_feature_that_is_on_is_not_missed() {
        const ON: &[Feature] = &[Feature { is_on: true, ..FEATURES[1] }];
        assert_eq!(missing(ON, &["bytes::bytes::Bytes"]), []);
        assert_eq!(missing(OFF, &["u8", "bytes::bytes::Bytes"]), [("bytes", "bytes")]);
    }

    /// The names that the compiler gives to the types themselves.
    #[test]
    fn the_types_have_these_names() {
        #[expect(clippy::allow_attributes, reason = "only without these features nothing is checked")]
        #[allow(unused, reason = "only without these features nothing is checked")]
        fn check<T>(feature: &str) {
            assert_eq!(named(type_name::<T>()), [feature], "{}", type_name::<T>());
        }
        #[cfg(feature = "arrow")]
        {
            check::<arrow_array::Float32Array>("arrow");
            check::<arrow_array::StringArray>("arrow");
            check::<arrow_array::ArrayRef>("arrow");
            check::<arrow_array::RecordBatch>("arrow");
        }
        #[cfg(feature = "bytes")]
        {
            check::<bytes::Bytes>("bytes");
            check::<bytes::BytesMut>("bytes");
        }
        #[cfg(feature = "chrono")]
        {
            check::<Vec<chrono::DateTime<chrono::Utc>>>("chrono");
            check::<Vec<chrono::NaiveDate>>("chrono");
        }
        #[cfg(feature = "hashbrown")]
        check::<hashbrown::HashMap<u8, u8>>("hashbrown");
        #[cfg(feature = "image")]
        {
            check::<image::RgbImage>("image");
            check::<image::ImageResult<image::DynamicImage>>("image");
            check::<Vec<image::Frame>>("image");
        }
        #[cfg(feature = "indexmap")]
        check::<indexmap::IndexMap<u8, u8, ()>>("indexmap");
        #[cfg(feature = "nalgebra")]
        check::<nalgebra::DMatrix<f64>>("nalgebra");
        #[cfg(feature = "ndarray")]
        check::<ndarray::Array2<f32>>("ndarray");
        #[cfg(feature = "num-complex")]
        check::<Box<num_complex::Complex<f32>>>("num-complex");
        #[cfg(feature = "serde_json")]
        check::<serde_json::Value>("serde_json");
        #[cfg(feature = "smallvec")]
        check::<smallvec::SmallVec<[u8; 4]>>("smallvec");
        #[cfg(feature = "uuid")]
        check::<Vec<uuid::Uuid>>("uuid");
    }
}
