//! What of a type can be seen to be neither `Send` nor `Sync`.
//!
//! A type is judged by rustc alone. But where what is at fault stands in the signature, its message speaks of the whole type in few
//! words. Where it doesn't, as with a field of a struct, rustc has to say where it is.

use syn::{GenericArgument, PathArguments, Type, TypeParamBound};

/// Types of the standard library that are never `Send`.
const NEVER_SENT: [&str; 5] = ["Rc", "MutexGuard", "RwLockReadGuard", "RwLockWriteGuard", "NonNull"];
/// Types of the standard library that are never `Sync`.
const NEVER_SHARED: [&str; 5] = ["Rc", "Cell", "RefCell", "OnceCell", "NonNull"];
/// The primitive types, and those of the standard library that functions return most.
const NO_RESULTS: [&str; 29] = [
    "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
    "f64", "String", "Vec", "VecDeque", "Option", "Box", "Arc", "HashMap", "HashSet", "BTreeMap", "BTreeSet",
    "PathBuf", "Cow", "Duration",
];

/// Whether something within the type is not `Send`, as far as it can be seen.
pub(crate) fn of_send(ty: &Type) -> bool {
    within(ty, Auto { never: &NEVER_SENT, says: "Send" })
}

/// Whether something within the type is not `Sync`, as far as it can be seen.
pub(crate) fn of_sync(ty: &Type) -> bool {
    within(ty, Auto { never: &NEVER_SHARED, says: "Sync" })
}

/// The same of a function's result. An alias such as `io::Result<u8>` doesn't show its error.
pub(crate) fn of_result(ty: &Type) -> bool {
    of_send(ty) || is_named_result(ty) && types_of(ty).len() < 2
}

/// Whether the type is no `Result`, as far as it can be seen. Of other names nobody knows what they are an alias of.
pub(crate) fn is_no_result(ty: &Type) -> bool {
    match ty {
        Type::Paren(paren) => is_no_result(&paren.elem),
        Type::Group(group) => is_no_result(&group.elem),
        Type::Path(path) => {
            path.qself.is_none()
                && path.path.segments.last().is_some_and(|last| NO_RESULTS.iter().any(|name| last.ident == name))
        }
        Type::Array(_) | Type::FnPtr(_) | Type::Ptr(_) | Type::Reference(_) | Type::Slice(_) | Type::Tuple(_) => true,
        _ => false,
    }
}

/// Whether the type has the name of a `Result`.
fn is_named_result(ty: &Type) -> bool {
    match ty {
        Type::Paren(paren) => is_named_result(&paren.elem),
        Type::Group(group) => is_named_result(&group.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident.to_string().ends_with("Result")),
        _ => false,
    }
}

#[derive(Clone, Copy)]
struct Auto {
    never: &'static [&'static str],
    /// The trait that a `dyn` has to say.
    says: &'static str,
}

/// Whether something that the type is made of is at fault. Of one that is itself at fault, rustc has nothing to explain.
fn within(ty: &Type, auto: Auto) -> bool {
    let part = |ty: &Type| is(ty, auto) || within(ty, auto);
    match ty {
        Type::Reference(reference) => is_dyn(&reference.elem, auto) || within(&reference.elem, auto),
        Type::Paren(paren) => within(&paren.elem, auto),
        Type::Group(group) => within(&group.elem, auto),
        Type::Tuple(tuple) => tuple.elems.iter().any(part),
        Type::Array(array) => part(&array.elem),
        Type::Slice(slice) => part(&slice.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| types(&last.arguments).into_iter().any(part)),
        _ => false,
    }
}

fn is(ty: &Type, auto: Auto) -> bool {
    match ty {
        Type::Paren(paren) => is(&paren.elem, auto),
        Type::Group(group) => is(&group.elem, auto),
        Type::Ptr(_) => true,
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|last| auto.never.iter().any(|name| last.ident == name))
        }
        ty => is_dyn(ty, auto),
    }
}

fn is_dyn(ty: &Type, auto: Auto) -> bool {
    match ty {
        Type::Paren(paren) => is_dyn(&paren.elem, auto),
        Type::Group(group) => is_dyn(&group.elem, auto),
        Type::TraitObject(object) => !object.bounds.iter().any(|bound| match bound {
            TypeParamBound::Trait(bound) => bound.path.segments.last().is_some_and(|last| last.ident == auto.says),
            _ => false,
        }),
        _ => false,
    }
}

/// The types in the brackets at the end of a path.
fn types_of(ty: &Type) -> Vec<&Type> {
    match ty {
        Type::Paren(paren) => types_of(&paren.elem),
        Type::Group(group) => types_of(&group.elem),
        Type::Path(path) => path.path.segments.last().map(|last| types(&last.arguments)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn types(arguments: &PathArguments) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return Vec::new() };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}
