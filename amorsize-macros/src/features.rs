//! Types of other crates that amorsize counts only with a feature. They are found by how a field's
//! type is written.

use syn::Type;

use crate::types::each_type;

/// The modules of `amorsize::bounds::of`, each with its crate's name in a path, and names under
/// which programs import its types. Names such as `HashMap` are left out: other crates have types
/// of that name with a deep size.
const FEATURES: &[(&str, &str, &[&str])] = &[
    ("arrow", "arrow_array", &["ArrayRef", "RecordBatch", "Float32Array", "Float64Array", "Int64Array", "StringArray"]),
    ("bytes", "bytes", &["Bytes", "BytesMut"]),
    ("chrono", "chrono", &["DateTime", "NaiveDate", "NaiveDateTime", "NaiveTime", "TimeDelta"]),
    ("hashbrown", "hashbrown", &["HashTable"]),
    ("image", "image", &["DynamicImage", "GrayImage", "ImageBuffer", "Rgb32FImage", "RgbImage", "RgbaImage"]),
    ("indexmap", "indexmap", &["IndexMap", "IndexSet"]),
    ("nalgebra", "nalgebra", &["DMatrix", "DVector", "Matrix3", "Matrix4", "Vector2", "Vector3", "Vector4"]),
    ("ndarray", "ndarray", &["Array1", "Array2", "Array3", "Array4", "ArrayD"]),
    ("num_complex", "num_complex", &["Complex", "Complex32", "Complex64"]),
    ("serde_json", "serde_json", &["Value"]),
    ("smallvec", "smallvec", &["SmallVec"]),
    ("uuid", "uuid", &["Uuid"]),
];

/// The module of the `DeepSize` with a message that names the feature, if the type may need one.
pub(crate) fn module_for(ty: &Type) -> Option<&'static str> {
    let mut found = None;
    each_type(&mut ty.clone(), |ty| {
        let Type::Path(path) = ty else { return true };
        // With a `Self` type in front the macro can't tell which type that is.
        let segments = path.qself.is_none().then_some(&path.path.segments);
        let feature = segments.and_then(|segments| {
            let (first, last) = (segments.first()?, segments.last()?);
            FEATURES.iter().find(|(_, krate, types)| match segments.len() {
                1 => types.iter().any(|name| last.ident == name),
                _ => first.ident == krate,
            })
        });
        found = found.or(feature.map(|(module, ..)| *module));
        segments.is_some()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;
    use syn::parse_quote;

    #[test]
    fn crates_are_found_in_paths_and_by_their_types() {
        let of = |ty: Type| module_for(&ty);
        assert_eq!(of(parse_quote!(image::RgbImage)), Some("image"));
        assert_eq!(of(parse_quote!(::image::Frame)), Some("image"));
        assert_eq!(of(parse_quote!(Vec<Option<RgbImage>>)), Some("image"));
        assert_eq!(of(parse_quote!([(u8, Bytes); 4])), Some("bytes"));
        assert_eq!(of(parse_quote!(num_complex::Complex<f32>)), Some("num_complex"));
        assert_eq!(of(parse_quote!(HashMap<String, Uuid>)), Some("uuid"));
    }

    #[test]
    fn other_types_have_none() {
        let of = |ty: Type| module_for(&ty);
        for ty in [
            parse_quote!(Vec<u8>),
            parse_quote!(std::collections::HashMap<u8, u8>),
            parse_quote!(HashMap<u8, u8>),
            parse_quote!(crate::image::RgbImage),
            parse_quote!(my::Bytes),
            parse_quote!(<image::RgbImage as Tr>::Out),
        ] {
            let ty: Type = ty;
            assert_eq!(of(ty.clone()), None, "{}", ty.to_token_stream());
        }
    }
}
