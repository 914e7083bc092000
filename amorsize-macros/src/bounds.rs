use std::collections::{BTreeSet, HashSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, GenericParam, Generics, Lifetime, Token, Type, TypeParamBound, TypePath, WherePredicate, parse_quote};

use crate::at_fault::{self, Auto, arguments, last_segment};
use crate::normalize::Normalized;
use crate::options::Options;
use crate::signature::parameter_name;
use crate::spans;

/// The generic parameters of the wrapper: those of the function, with the bounds that a run needs
/// beyond those of the function.
///
/// Without them a generic function would have to state `T: Send` itself. They stand on type
/// parameters and on types that depend on one, never on concrete types: rustc would report those
/// here, in fewer words than at the constructor.
pub(crate) fn stated(function: &Normalized, options: &Options) -> Generics {
    let mut needed = Needed { parameters: Parameters::of(function), types: Vec::new() };
    needed.walk(&function.item, Need::Auto(Auto::Send));
    if options.retry().is_some() {
        needed.walk(&function.item, Need::Clone);
    }
    needed.walk(&function.output, Need::Auto(Auto::Send));
    if options.keeps() {
        of_durable(function, options, &mut needed);
    }
    for shared in &function.shared {
        needed.walk(&shared.ty, Need::Auto(Auto::Sync));
        needed.walk(&shared.ty, Need::Clone);
    }
    if let Some(receiver) = &function.receiver {
        needed.walk(&receiver.ty, Need::Auto(Auto::Sync));
    }
    let mut generics = function.generics.clone();
    let known = known(&generics);
    for (ty, needs) in &needed.types {
        for need in needs.iter().filter(|need| !known.contains(&(text(ty), need))) {
            state(&mut generics, ty.to_token_stream(), bound(need, ty.span(), options));
        }
    }
    for (inner, outer) in outlives(function, &needed.parameters) {
        state(&mut generics, inner, outer.to_token_stream());
    }
    generics
}

/// The shared parameters that results depend on: the place among all, the name, and the type.
pub(crate) fn hashed<'n>(function: &'n Normalized, options: &Options) -> Vec<(usize, String, &'n Type)> {
    let receiver = function.receiver.iter().map(|receiver| ("self".to_owned(), &receiver.ty));
    let given = function.function.shared.iter().map(|shared| parameter_name(&shared.pat));
    let shared = function.shared.iter().zip(given).map(|(shared, given)| {
        // A pattern has the name that the wrapper gives it.
        (given.unwrap_or(&shared.name).unraw().to_string(), &shared.ty)
    });
    let ignored = |name: &str| options.ignored.iter().any(|ignored| ignored.unraw() == name);
    let all = receiver.chain(shared).enumerate();
    all.map(|(at, (name, ty))| (at, name, ty)).filter(|(_, name, _)| !ignored(name)).collect()
}

/// Adds the bounds that a run needs if it keeps what it finishes.
fn of_durable(function: &Normalized, options: &Options, needed: &mut Needed) {
    if !options.has("key") {
        needed.walk(&function.item, Need::Other("Hash"));
    }
    // `self` may be of a type without parameters, and rustc would report a false bound on it.
    for (_, _, ty) in hashed(function, options).into_iter().filter(|(_, name, _)| name != "self") {
        needed.walk(ty, Need::Other("Hash"));
    }
    if options.has("checkpoint") {
        let value = options.on_error.as_ref().and_then(|_| arguments(last_segment(&function.output)?).next());
        let stored = value.unwrap_or(&function.output);
        needed.walk(stored, Need::Other("Serialize"));
        needed.walk(stored, Need::Other("DeserializeOwned"));
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
    let subject_text = subject.to_string();
    let predicates = generics.where_clause.iter_mut().flat_map(|clause| &mut clause.predicates);
    let predicate = predicates.into_iter().find(|predicate| match predicate {
        WherePredicate::Lifetime(predicate) => predicate.lifetime.to_string() == subject_text,
        WherePredicate::Type(predicate) => predicate.lifetimes.is_none() && text(&predicate.bounded_ty) == subject_text,
        _ => false,
    });
    let declared = generics.params.iter_mut().find_map(|parameter| match parameter {
        GenericParam::Lifetime(parameter) if parameter.lifetime.to_string() == subject_text => {
            Some((Bounds::OfLifetime(&mut parameter.bounds), parameter.colon_token.is_some()))
        }
        GenericParam::Type(parameter) if parameter.ident == subject_text => {
            Some((Bounds::OfType(&mut parameter.bounds), parameter.colon_token.is_some()))
        }
        _ => None,
    });
    match (declared, predicate) {
        (Some((bounds, true)), _) | (Some((bounds, false)), None) => bounds.push(bound),
        (_, Some(WherePredicate::Lifetime(predicate))) => Bounds::OfLifetime(&mut predicate.bounds).push(bound),
        (_, Some(WherePredicate::Type(predicate))) => Bounds::OfType(&mut predicate.bounds).push(bound),
        _ => generics.make_where_clause().predicates.push(parse_quote!(#subject: #bound)),
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

#[derive(Clone, Copy)]
enum Need {
    Clone,
    Other(&'static str),
    Auto(Auto),
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Clone => "Clone",
            Self::Other(name) => name,
            Self::Auto(auto) => auto.name(),
        }
    }
}

/// Types that functions take and return most, and that implement `Send`, `Sync` and `Clone` if
/// their arguments do. A bound on the argument is shorter to read, in the docs and in messages.
const TRANSPARENT: [&str; 4] = ["Box", "Option", "Result", "Vec"];

/// The types that need a bound.
struct Needed {
    parameters: Parameters,
    /// Each with the names of the traits, in the order of the signature: the documentation shows
    /// them.
    types: Vec<(Type, BTreeSet<&'static str>)>,
}

impl Needed {
    fn add(&mut self, ty: &Type, need: Need) {
        match self.types.iter_mut().find(|(known, _)| text(known) == text(ty)) {
            Some((_, needs)) => drop(needs.insert(need.name())),
            None => self.types.push((ty.clone(), BTreeSet::from([need.name()]))),
        }
    }

    fn walk(&mut self, ty: &Type, need: Need) {
        match ty {
            Type::Reference(reference) => match (need, reference.mutability) {
                (Need::Clone, _) => {}
                (Need::Other(_), _) => self.walk(&reference.elem, need),
                (Need::Auto(Auto::Send), Some(_)) => self.walk(&reference.elem, need),
                _ => self.walk(&reference.elem, Need::Auto(Auto::Sync)),
            },
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| self.walk(ty, need)),
            Type::Array(array) => self.walk(&array.elem, need),
            Type::Slice(slice) => self.walk(&slice.elem, need),
            Type::Paren(paren) => self.walk(&paren.elem, need),
            Type::Group(group) => self.walk(&group.elem, need),
            Type::Path(path) => self.walk_path(ty, path, need),
            // Raw pointers are refused; trait objects and functions state their bounds themselves.
            _ => {}
        }
    }

    fn walk_path(&mut self, ty: &Type, path: &TypePath, need: Need) {
        if !self.parameters.mentioned_in(ty) {
            return;
        }
        let transparent =
            last_segment(ty).filter(|last| path.qself.is_none() && TRANSPARENT.iter().any(|name| last.ident == name));
        match (transparent, need) {
            (Some(last), _) => arguments(last).for_each(|ty| self.walk(ty, need)),
            // No bound makes up for it: the constructor refuses the type where it stands.
            (None, Need::Auto(auto)) if at_fault::is_itself(ty, auto) => {}
            (None, _) => self.add(ty, need),
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

    fn mentioned_in(&self, ty: &Type) -> bool {
        mentioned(ty).paths.iter().any(|ident| self.contain(ident))
    }
}

/// The lifetimes in a type, and the first identifier of each path.
#[derive(Default)]
struct Mentioned {
    lifetimes: Vec<Lifetime>,
    paths: Vec<Ident>,
}

fn mentioned(ty: &Type) -> Mentioned {
    let mut mentioned = Mentioned::default();
    // The other visitors of `syn` are not compiled.
    mentioned.visit_type_mut(&mut ty.clone());
    mentioned
}

impl VisitMut for Mentioned {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        self.lifetimes.push(lifetime.clone());
    }

    fn visit_type_path_mut(&mut self, path: &mut TypePath) {
        self.paths.extend(path.path.segments.first().filter(|_| path.qself.is_none()).map(|first| first.ident.clone()));
        visit_mut::visit_type_path_mut(self, path);
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}

    fn visit_trait_bound_mut(&mut self, bound: &mut syn::TraitBound) {
        if bound.lifetimes.is_none() {
            visit_mut::visit_trait_bound_mut(self, bound);
        }
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

/// True if a type mentions this type parameter.
pub(crate) fn mentions(ty: &Type, parameter: &Ident) -> bool {
    mentioned(ty).paths.contains(parameter)
}

/// The bounds that a reference in the item's type implies: the type behind it outlives it. A
/// parameter implies them by itself, but the wrapper has the item's type behind `IntoIterator`.
fn outlives(function: &Normalized, parameters: &Parameters) -> Vec<(TokenStream, Lifetime)> {
    let mut references = References::default();
    references.visit_type_mut(&mut function.item.clone());
    let known = |inner: &Lifetime, outer: &Lifetime| {
        let declared = function.generics.lifetimes().find(|declared| declared.lifetime == *inner);
        declared.is_some_and(|declared| declared.bounds.iter().any(|bound| bound == outer))
    };
    let mut predicates: Vec<(TokenStream, Lifetime)> = Vec::new();
    for (outer, referent) in references.found {
        let inner = mentioned(&referent);
        let lifetimes = inner.lifetimes.iter().filter(|inner| inner.ident != "static" && **inner != outer);
        let lifetimes = lifetimes.filter(|inner| !known(inner, &outer)).map(ToTokens::to_token_stream);
        let types = inner.paths.iter().filter(|ident| parameters.contain(ident)).map(ToTokens::to_token_stream);
        for inner in lifetimes.chain(types) {
            let known = predicates.iter().any(|(known, of)| known.to_string() == inner.to_string() && *of == outer);
            if !known {
                predicates.push((inner, outer.clone()));
            }
        }
    }
    predicates
}

#[derive(Default)]
struct References {
    found: Vec<(Lifetime, Type)>,
}

impl VisitMut for References {
    fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
        self.found.extend(reference.lifetime.clone().map(|lifetime| (lifetime, (*reference.elem).clone())));
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

/// The bounds that the function states itself: the text of the type and the name of the trait.
fn known(generics: &Generics) -> HashSet<(String, &'static str)> {
    let mut known = HashSet::new();
    let mut add = |ty: String, bounds: &mut dyn Iterator<Item = &TypeParamBound>| {
        for bound in bounds {
            let TypeParamBound::Trait(bound) = bound else { continue };
            match bound.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
                Some("Send") => drop(known.insert((ty.clone(), "Send"))),
                Some("Sync") => drop(known.insert((ty.clone(), "Sync"))),
                Some("Clone" | "Copy") => drop(known.insert((ty.clone(), "Clone"))),
                Some("Hash") => drop(known.insert((ty.clone(), "Hash"))),
                Some("Serialize") => drop(known.insert((ty.clone(), "Serialize"))),
                Some("DeserializeOwned") => drop(known.insert((ty.clone(), "DeserializeOwned"))),
                _ => {}
            }
        }
    };
    for parameter in generics.type_params() {
        add(parameter.ident.to_string(), &mut parameter.bounds.iter());
    }
    for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
        if let WherePredicate::Type(predicate) = predicate {
            add(text(&predicate.bounded_ty), &mut predicate.bounds.iter());
        }
    }
    known
}

fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}
