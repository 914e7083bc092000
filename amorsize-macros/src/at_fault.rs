//! Finds parts of a type that are neither `Send` nor `Sync`, by how they are written.
//!
//! rustc alone judges a type. But where the part at fault stands in the signature, its message is
//! short and speaks of the whole type. Elsewhere, as with a field of a struct, rustc has to show
//! it.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeParamBound};

#[derive(Clone, Copy)]
pub(crate) enum Auto {
    Send,
    Sync,
}

impl Auto {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Send => "Send",
            Self::Sync => "Sync",
        }
    }

    /// Types of the standard library that don't implement it with any arguments.
    fn never(self) -> &'static [&'static str] {
        match self {
            Self::Send => &["Rc", "MutexGuard", "RwLockReadGuard", "RwLockWriteGuard", "NonNull", "Ref", "RefMut"],
            Self::Sync => &["Rc", "Cell", "RefCell", "OnceCell", "NonNull", "Ref", "RefMut"],
        }
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
pub(crate) fn within(ty: &Type, auto: Auto) -> bool {
    let part = |ty: &Type| is_itself(ty, auto) || within(ty, auto);
    match ty {
        Type::Reference(reference) => is_dyn(&reference.elem, auto) || within(&reference.elem, auto),
        Type::Paren(paren) => within(&paren.elem, auto),
        Type::Group(group) => within(&group.elem, auto),
        Type::Tuple(tuple) => tuple.elems.iter().any(part),
        Type::Array(array) => part(&array.elem),
        Type::Slice(slice) => part(&slice.elem),
        Type::Path(_) => last_segment(ty).is_some_and(|last| arguments(last).any(part)),
        _ => false,
    }
}

/// True if a part of a function's result is seen not to be `Send`. An alias such as
/// `io::Result<u8>` hides its error, which is the part at fault nearly always.
pub(crate) fn within_result(ty: &Type) -> bool {
    let hides_error = |last: &PathSegment| last.ident.to_string().ends_with("Result") && arguments(last).count() < 2;
    within(ty, Auto::Send) || last_segment(ty).is_some_and(hides_error)
}

/// True if the type is seen to be no `Result`. Other names can be an alias of one.
pub(crate) fn is_no_result(ty: &Type) -> bool {
    match ty {
        Type::Paren(paren) => is_no_result(&paren.elem),
        Type::Group(group) => is_no_result(&group.elem),
        Type::Path(path) => {
            path.qself.is_none()
                && last_segment(ty).is_some_and(|last| NO_RESULTS.iter().any(|name| last.ident == name))
        }
        Type::Array(_) | Type::FnPtr(_) | Type::Ptr(_) | Type::Reference(_) | Type::Slice(_) | Type::Tuple(_) => true,
        _ => false,
    }
}

/// The types between the brackets of a segment.
pub(crate) fn arguments(segment: &PathSegment) -> impl Iterator<Item = &Type> {
    let arguments = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The end of a path, which says most about the type.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Paren(paren) => last_segment(&paren.elem),
        Type::Group(group) => last_segment(&group.elem),
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// True if the type itself is seen to be at fault, with any arguments.
pub(crate) fn is_itself(ty: &Type, auto: Auto) -> bool {
    match ty {
        Type::Paren(paren) => is_itself(&paren.elem, auto),
        Type::Group(group) => is_itself(&group.elem, auto),
        Type::Ptr(_) => true,
        Type::Path(_) => last_segment(ty).is_some_and(|last| auto.never().iter().any(|name| last.ident == name)),
        ty => is_dyn(ty, auto),
    }
}

fn is_dyn(ty: &Type, auto: Auto) -> bool {
    match ty {
        Type::Paren(paren) => is_dyn(&paren.elem, auto),
        Type::Group(group) => is_dyn(&group.elem, auto),
        Type::TraitObject(object) => !object.bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == auto.name()),
            _ => false,
        }),
        _ => false,
    }
}
