//! Looks into the types of signatures and fields.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    BoundLifetimes, Expr, GenericArgument, GenericParam, Lifetime, PathArguments, PathSegment, TraitBound, Type,
    TypeFnPtr, TypeReference,
};

/// The type without parentheses and the groups that `macro_rules` wraps around what it inserts.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => bare(&paren.elem),
        Type::Group(group) => bare(&group.elem),
        ty => ty,
    }
}

pub(crate) fn reference(ty: &Type) -> Option<&TypeReference> {
    match bare(ty) {
        Type::Reference(reference) => Some(reference),
        _ => None,
    }
}

/// The end of a path, which says most about the type.
pub(crate) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// True if the type is a path that ends with one of the names.
pub(crate) fn is_named(ty: &Type, names: &[&str]) -> bool {
    last_segment(ty).is_some_and(|last| names.iter().any(|name| last.ident == name))
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

/// Types that functions take and return most, and that implement a trait such as `Send`, `Clone` or
/// `Hash` if their arguments do. A bound on the argument is shorter to read, in the docs and in
/// messages.
const TRANSPARENT: [&str; 4] = ["Box", "Option", "Result", "Vec"];

/// The arguments of such a type; `None` for any other.
pub(crate) fn transparent_arguments(ty: &Type) -> Option<impl Iterator<Item = &Type>> {
    let Type::Path(path) = bare(ty) else { return None };
    let is_transparent = path.qself.is_none() && is_named(ty, &TRANSPARENT);
    last_segment(ty).filter(|_| is_transparent).map(arguments)
}

/// The first identifier of each path in a type.
pub(crate) fn paths(ty: &Type) -> Vec<Ident> {
    let mut paths = Vec::new();
    each_type(&mut ty.clone(), |ty| {
        if let Type::Path(path) = ty
            && path.qself.is_none()
        {
            paths.extend(path.path.segments.first().map(|first| first.ident.clone()));
        }
        true
    });
    paths
}

pub(crate) fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}

/// Shows each type in a type to `on`, from the outside in. Where `on` returns false, the types
/// within are left out.
pub(crate) fn each_type(ty: &mut Type, on: impl FnMut(&mut Type) -> bool) {
    struct Each<F>(F);

    // The other visitors of `syn` are not compiled.
    impl<F: FnMut(&mut Type) -> bool> VisitMut for Each<F> {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if (self.0)(ty) {
                visit_mut::visit_type_mut(self, ty);
            }
        }

        // The length of an array is no type.
        fn visit_expr_mut(&mut self, _: &mut Expr) {}
    }

    Each(on).visit_type_mut(ty);
}

/// A lifetime in a type.
pub(crate) struct Met<'t> {
    /// It is `'_` where the user left it out.
    pub(crate) lifetime: &'t Lifetime,
    /// The type behind the reference that has the lifetime.
    pub(crate) referent: Option<&'t Type>,
    /// True between the parentheses of `fn(..)` and `Fn(..)`, and in what these return.
    pub(crate) in_call: bool,
}

/// Shows each lifetime in a type to a function, which can return another one for it. Lifetimes
/// that belong to a part of the type alone are left out: those of `for<'a>`, and those that the
/// user left out in `fn(&str)` and `Fn(&str)`.
pub(crate) struct EachLifetime<F> {
    on: F,
    in_call: bool,
    declared: Vec<Lifetime>,
}

impl<F: FnMut(Met) -> Option<Lifetime>> EachLifetime<F> {
    pub(crate) fn new(on: F) -> Self {
        Self { on, in_call: false, declared: Vec::new() }
    }

    fn show(&mut self, lifetime: &Lifetime, referent: Option<&Type>) -> Option<Lifetime> {
        let in_call = self.in_call;
        let own = self.declared.contains(lifetime) || in_call && lifetime.ident == "_";
        if own { None } else { (self.on)(Met { lifetime, referent, in_call }) }
    }

    /// Visits a part that declares lifetimes, or the signature of a call.
    fn part(&mut self, declared: Option<BoundLifetimes>, in_call: bool, visit: impl FnOnce(&mut Self)) {
        let outside = (self.in_call, self.declared.len());
        let declared = declared.into_iter().flat_map(|declared| declared.lifetimes);
        self.declared.extend(declared.filter_map(|declared| match declared {
            GenericParam::Lifetime(declared) => Some(declared.lifetime),
            _ => None,
        }));
        self.in_call |= in_call;
        visit(self);
        self.in_call = outside.0;
        self.declared.truncate(outside.1);
    }
}

impl<F: FnMut(Met) -> Option<Lifetime>> VisitMut for EachLifetime<F> {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        let left_out = || Lifetime::new("'_", reference.and_token.span);
        let given = reference.lifetime.clone().unwrap_or_else(left_out);
        if let Some(other) = self.show(&given, Some(&reference.elem)) {
            reference.lifetime = Some(other);
        }
        self.visit_type_mut(&mut reference.elem);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if let Some(other) = self.show(lifetime, None) {
            *lifetime = other;
        }
    }

    fn visit_type_fn_ptr_mut(&mut self, ty: &mut TypeFnPtr) {
        self.part(ty.lifetimes.clone(), true, |visitor| visit_mut::visit_type_fn_ptr_mut(visitor, ty));
    }

    fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
        self.part(bound.lifetimes.clone(), false, |visitor| visit_mut::visit_trait_bound_mut(visitor, bound));
    }

    fn visit_path_arguments_mut(&mut self, arguments: &mut PathArguments) {
        let in_call = matches!(arguments, PathArguments::Parenthesized(_));
        self.part(None, in_call, |visitor| visit_mut::visit_path_arguments_mut(visitor, arguments));
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

/// The lifetimes in a type that are not a part's own.
pub(crate) fn lifetimes(ty: &Type) -> Vec<Lifetime> {
    let mut lifetimes = Vec::new();
    EachLifetime::new(|met: Met| {
        lifetimes.push(met.lifetime.clone());
        None
    })
    .visit_type_mut(&mut ty.clone());
    lifetimes
}
