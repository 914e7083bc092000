use std::collections::{BTreeSet, HashSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{GenericParam, Generics, Lifetime, Token, Type, TypeParamBound, WherePredicate, parse_quote};

use crate::at_fault;
use crate::normalize::Normalized;
use crate::options::Options;
use crate::spans;
use crate::types::{EachLifetime, Met, bare, lifetimes, paths, text, transparent_arguments};

/// The generic parameters of the wrapper: those of the function, with the bounds that a run needs
/// beyond those of the function.
///
/// Without them a generic function would have to state `T: Send` itself. They stand on type
/// parameters and on types that depend on one, never on concrete types: rustc would report those
/// here, in fewer words than at the constructor.
pub(crate) fn stated(function: &Normalized) -> Generics {
    let options = function.options;
    let mut needed = Needed { parameters: Parameters::of(function), types: Vec::new() };
    needed.walk(&function.item, "Send");
    if options.has("retry") {
        needed.walk(&function.item, "Clone");
    }
    needed.walk(&function.output, "Send");
    if options.keeps() {
        of_durable(function, &mut needed);
    }
    for shared in &function.shared {
        needed.walk(&shared.ty, "Sync");
        needed.walk(&shared.ty, "Clone");
    }
    let mut generics = function.generics.clone();
    let known = known(&generics);
    for (ty, needs) in &needed.types {
        for need in needs.iter().filter(|need| !known.contains(&(text(ty), need.to_string()))) {
            state(&mut generics, ty.to_token_stream(), bound(need, ty.span(), options));
        }
    }
    for (inner, outer) in outlives(function, &needed.parameters) {
        state(&mut generics, inner, outer.to_token_stream());
    }
    generics
}

/// Adds the bounds that a run needs if it keeps what it finishes.
fn of_durable(function: &Normalized, needed: &mut Needed) {
    let options = function.options;
    if !options.states_key {
        needed.walk(&function.item, "Hash");
    }
    // `self` may be of a type without parameters, and rustc would report a false bound on it.
    for (_, shared) in function.hashed().filter(|(_, shared)| shared.known_as != "self") {
        needed.walk(&shared.ty, "Hash");
    }
    if options.has("checkpoint") {
        let stored = options.stored(&function.output);
        needed.walk(stored, "Serialize");
        needed.walk(stored, "DeserializeOwned");
    }
}

/// A trait as the bound of a type. The path leads through amorsize, because a crate of the 2015
/// edition has no `::core`.
fn bound(need: &str, span: Span, options: &Options) -> TokenStream {
    let (start, end) = (spans::before(span), spans::after(span));
    let (private, need) = (options.private(start), Ident::new(need, end));
    quote_spanned!(end=> #private::#need)
}

/// Adds a bound where the parameter has bounds already: bounds in two places confuse.
pub(crate) fn state(generics: &mut Generics, subject: TokenStream, bound: TokenStream) {
    let name = subject.to_string();
    let declared = generics.params.iter_mut().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(declared) if declared.lifetime.to_string() == name => {
            Some((declared.colon_token.is_some(), Bounds::OfLifetime(&mut declared.bounds)))
        }
        GenericParam::Type(declared) if declared.ident == name => {
            Some((declared.colon_token.is_some(), Bounds::OfType(&mut declared.bounds)))
        }
        _ => None,
    });
    let predicates = generics.where_clause.iter_mut().flat_map(|clause| &mut clause.predicates);
    let predicates = predicates.filter_map(|predicate| match predicate {
        WherePredicate::Lifetime(of) if of.lifetime.to_string() == name => {
            Some((true, Bounds::OfLifetime(&mut of.bounds)))
        }
        WherePredicate::Type(of) if of.lifetimes.is_none() && text(&of.bounded_ty) == name => {
            Some((true, Bounds::OfType(&mut of.bounds)))
        }
        _ => None,
    });
    match declared.chain(predicates).min_by_key(|(has_bounds, _)| !has_bounds) {
        Some((_, bounds)) => bounds.push(bound),
        None => generics.make_where_clause().predicates.push(parse_quote!(#subject: #bound)),
    }
}

enum Bounds<'b> {
    OfLifetime(&'b mut Punctuated<Lifetime, Token![+]>),
    OfType(&'b mut Punctuated<TypeParamBound, Token![+]>),
}

impl Bounds<'_> {
    fn push(self, bound: TokenStream) {
        match self {
            Self::OfLifetime(bounds) => bounds.push(parse_quote!(#bound)),
            Self::OfType(bounds) => bounds.push(parse_quote!(#bound)),
        }
    }
}

/// The types that need a bound.
struct Needed {
    parameters: Parameters,
    /// Each with the names of the traits, in the order of the signature: the documentation shows
    /// them.
    types: Vec<(Type, BTreeSet<&'static str>)>,
}

impl Needed {
    fn add(&mut self, ty: &Type, need: &'static str) {
        match self.types.iter_mut().find(|(known, _)| text(known) == text(ty)) {
            Some((_, needs)) => drop(needs.insert(need)),
            None => self.types.push((ty.clone(), BTreeSet::from([need]))),
        }
    }

    fn walk(&mut self, ty: &Type, need: &'static str) {
        let ty = bare(ty);
        match ty {
            Type::Reference(reference) => match (need, reference.mutability) {
                ("Clone", _) => {}
                ("Send", None) => self.walk(&reference.elem, "Sync"),
                _ => self.walk(&reference.elem, need),
            },
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| self.walk(ty, need)),
            Type::Array(array) => self.walk(&array.elem, need),
            Type::Slice(slice) => self.walk(&slice.elem, need),
            Type::Path(_) if paths(ty).iter().any(|ident| self.parameters.contain(ident)) => {
                match transparent_arguments(ty) {
                    Some(arguments) => arguments.for_each(|ty| self.walk(ty, need)),
                    // No bound makes up for it: the constructor refuses the type where it stands.
                    None if at_fault::is_itself(ty, need) => {}
                    None => self.add(ty, need),
                }
            }
            // Raw pointers are refused; trait objects and functions state their bounds themselves.
            _ => {}
        }
    }
}

/// The generic parameters in scope.
pub(crate) struct Parameters {
    idents: HashSet<String>,
    in_impl: bool,
}

impl Parameters {
    pub(crate) fn of(function: &Normalized) -> Self {
        let idents = function.generics.params.iter().filter_map(|parameter| match parameter {
            GenericParam::Lifetime(_) => None,
            GenericParam::Type(parameter) => Some(parameter.ident.to_string()),
            GenericParam::Const(parameter) => Some(parameter.ident.to_string()),
        });
        Self { idents: idents.collect(), in_impl: function.function.in_impl }
    }

    /// The parameters of an impl are out of sight, so there a name in capitals such as `T` counts
    /// as one. A bound on a concrete type of such a name does no harm: rustc judges it at once.
    fn contain(&self, ident: &Ident) -> bool {
        let name = ident.to_string();
        let in_capitals =
            || name.starts_with(char::is_uppercase) && name.chars().all(|c| c.is_uppercase() || c.is_numeric());
        self.idents.contains(&name) || name == "Self" || self.in_impl && in_capitals()
    }

    /// The same within an expression, where most names in capitals are constants.
    pub(crate) fn contain_value(&self, ident: &Ident, path_follows: bool) -> bool {
        let name = ident.to_string();
        let can_be = self.idents.contains(&name) || name == "Self" || path_follows || name.chars().count() == 1;
        can_be && self.contain(ident)
    }
}

/// The bounds that a reference in the item's type implies: the type behind it outlives it. A
/// parameter implies them by itself, but the wrapper has the item's type behind `IntoIterator`.
fn outlives(function: &Normalized, parameters: &Parameters) -> Vec<(TokenStream, Lifetime)> {
    let known = |inner: &Lifetime, outer: &Lifetime| {
        let declared = function.generics.lifetimes().find(|declared| declared.lifetime == *inner);
        declared.is_some_and(|declared| declared.bounds.iter().any(|bound| bound == outer))
    };
    let mut predicates: Vec<(TokenStream, Lifetime)> = Vec::new();
    EachLifetime::new(|met: Met| {
        let outer = met.lifetime;
        let referent = met.referent?;
        let inner = lifetimes(referent).into_iter().filter(|inner| inner.ident != "static" && inner != outer);
        let inner = inner.filter(|inner| !known(inner, outer)).map(Lifetime::into_token_stream);
        let types = paths(referent).into_iter().filter(|ident| parameters.contain(ident)).map(Ident::into_token_stream);
        for inner in inner.chain(types) {
            if !predicates.iter().any(|(known, of)| known.to_string() == inner.to_string() && of == outer) {
                predicates.push((inner, outer.clone()));
            }
        }
        None
    })
    .visit_type_mut(&mut function.item.clone());
    predicates
}

/// The bounds that the function states itself: the text of the type and the name of the trait.
fn known(generics: &Generics) -> HashSet<(String, String)> {
    let of_parameters = generics.type_params().map(|parameter| (parameter.ident.to_string(), &parameter.bounds));
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let of_predicates = predicates.filter_map(|predicate| match predicate {
        WherePredicate::Type(predicate) => Some((text(&predicate.bounded_ty), &predicate.bounds)),
        _ => None,
    });
    let mut known = HashSet::new();
    for (ty, bounds) in of_parameters.chain(of_predicates) {
        known.extend(bounds.iter().filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => {
                let name = bound.path.segments.last()?.ident.to_string();
                Some((ty.clone(), if name == "Copy" { "Clone".to_owned() } else { name }))
            }
            _ => None,
        }));
    }
    known
}
