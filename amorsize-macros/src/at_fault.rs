//! Finds parts of a type that are neither `Send` nor `Sync`, by how they are written.
//!
//! rustc alone judges a type. But where the part at fault stands in the signature, its message is
//! short and speaks of the whole type. Elsewhere, as with a field of a struct, rustc has to show
//! it.

use syn::{PathSegment, Type, TypeParamBound};

use crate::types::{arguments, bare, is_named, last_segment};

/// Types of the standard library that don't implement the trait with any arguments.
fn never(auto: &str) -> &'static [&'static str] {
    match auto {
        "Send" => &["Rc", "MutexGuard", "RwLockReadGuard", "RwLockWriteGuard", "NonNull", "Ref", "RefMut"],
        "Sync" => &["Rc", "Cell", "RefCell", "OnceCell", "NonNull", "Ref", "RefMut"],
        _ => &[],
    }
}

/// The primitive types, and those of the standard library that functions return most.
const NO_RESULTS: [&str; 29] = [
    "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
    "f64", "String", "Vec", "VecDeque", "Option", "Box", "Arc", "HashMap", "HashSet", "BTreeMap", "BTreeSet",
    "PathBuf", "Cow", "Duration",
];

/// True if a part of the type is seen to be at fault. A type that is at fault itself doesn't count:
/// rustc has nothing to explain there.
pub(crate) fn within(ty: &Type, auto: &str) -> bool {
    let part = |ty: &Type| is_itself(ty, auto) || within(ty, auto);
    match bare(ty) {
        Type::Reference(reference) => match bare(&reference.elem) {
            object @ Type::TraitObject(_) => is_itself(object, auto),
            referent => within(referent, auto),
        },
        Type::Tuple(tuple) => tuple.elems.iter().any(part),
        Type::Array(array) => part(&array.elem),
        Type::Slice(slice) => part(&slice.elem),
        ty => last_segment(ty).is_some_and(|last| arguments(last).any(part)),
    }
}

/// True if a part of a function's result is seen not to be `Send`. An alias such as
/// `io::Result<u8>` hides its error, which is the part at fault nearly always.
pub(crate) fn within_result(ty: &Type) -> bool {
    let hides_error = |last: &PathSegment| last.ident.to_string().ends_with("Result") && arguments(last).count() < 2;
    within(ty, "Send") || last_segment(ty).is_some_and(hides_error)
}

/// True if the type is seen to be no `Result`. Other names can be an alias of one.
pub(crate) fn is_no_result(ty: &Type) -> bool {
    match bare(ty) {
        Type::Path(path) => path.qself.is_none() && is_named(ty, &NO_RESULTS),
        Type::Array(_) | Type::FnPtr(_) | Type::Ptr(_) | Type::Reference(_) | Type::Slice(_) | Type::Tuple(_) => true,
        _ => false,
    }
}

/// True if the type itself is seen to be at fault, with any arguments.
pub(crate) fn is_itself(ty: &Type, auto: &str) -> bool {
    match bare(ty) {
        Type::Ptr(_) => true,
        Type::TraitObject(object) => !object.bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == auto),
            _ => false,
        }),
        ty => is_named(ty, never(auto)),
    }
}
