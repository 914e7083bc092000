use std::collections::{BTreeSet, HashSet};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, GenericArgument, GenericParam, Generics, Lifetime, PathArguments, Type, TypeParamBound, TypePath,
    WherePredicate,
};

use crate::normalize::Normalized;

/// What the wrapper asks of the function's generic parameters beyond what the function itself asks.
///
/// Without them a generic function would have to state `T: Send` itself. They stand on type parameters and on what depends
/// on one, never on concrete types: rustc would report those here, in fewer words than at the constructor.
pub(crate) fn predicates(function: &Normalized) -> Vec<TokenStream> {
    let mut needed = Needed::new(function);
    needed.walk(&function.item, Need::Send);
    needed.walk(&function.output, Need::Send);
    for shared in &function.shared {
        needed.walk(&shared.ty, Need::Sync);
        needed.walk(&shared.ty, Need::Clone);
    }
    if let Some(receiver) = &function.receiver {
        needed.walk(&receiver.ty, Need::Sync);
    }
    let stated = stated(&function.generics);
    let sendable = needed.types.iter().filter_map(|(ty, needs)| {
        let missing: Vec<_> = needs.iter().filter(|need| !stated.contains(&(text(ty), need.name()))).collect();
        let span = ty.span();
        let bounds = missing.iter().map(|need| need.path(span));
        (!missing.is_empty()).then(|| quote!(#ty: #(#bounds)+*))
    });
    sendable.chain(outlives(function, &needed.parameters)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Clone,
    Send,
    Sync,
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Clone => "Clone",
            Self::Send => "Send",
            Self::Sync => "Sync",
        }
    }

    fn path(self, span: Span) -> TokenStream {
        match self {
            Self::Clone => quote_spanned!(span=> ::core::clone::Clone),
            Self::Send => quote_spanned!(span=> ::core::marker::Send),
            Self::Sync => quote_spanned!(span=> ::core::marker::Sync),
        }
    }
}

/// Types that are what their arguments are, as far as `Send`, `Sync` and `Clone` go.
const TRANSPARENT: [&str; 12] = [
    "Vec",
    "VecDeque",
    "Option",
    "Result",
    "Box",
    "HashMap",
    "HashSet",
    "BTreeMap",
    "BTreeSet",
    "LinkedList",
    "BinaryHeap",
    "PhantomData",
];
/// Types that no bound on their arguments makes `Send` and `Sync`: the constructor refuses them where they stand.
const HOPELESS: [&str; 6] = ["Rc", "MutexGuard", "RwLockReadGuard", "RwLockWriteGuard", "Ref", "RefMut"];

struct Needed {
    parameters: Parameters,
    /// In the order of the signature, so that the documentation reads like it.
    types: Vec<(Type, BTreeSet<Need>)>,
}

impl Needed {
    fn new(function: &Normalized) -> Self {
        Self { parameters: Parameters::of(function), types: Vec::new() }
    }

    fn add(&mut self, ty: &Type, need: Need) {
        match self.types.iter_mut().find(|(known, _)| text(known) == text(ty)) {
            Some((_, needs)) => drop(needs.insert(need)),
            None => self.types.push((ty.clone(), BTreeSet::from([need]))),
        }
    }

    fn walk(&mut self, ty: &Type, need: Need) {
        match ty {
            Type::Reference(reference) => match (need, reference.mutability) {
                (Need::Clone, _) => {}
                (Need::Send, Some(_)) => self.walk(&reference.elem, Need::Send),
                _ => self.walk(&reference.elem, Need::Sync),
            },
            Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| self.walk(ty, need)),
            Type::Array(array) => self.walk(&array.elem, need),
            Type::Slice(slice) => self.walk(&slice.elem, need),
            Type::Paren(paren) => self.walk(&paren.elem, need),
            Type::Group(group) => self.walk(&group.elem, need),
            Type::Path(path) => self.walk_path(ty, path, need),
            // Raw pointers are refused, trait objects and functions say themselves what they are.
            _ => {}
        }
    }

    fn walk_path(&mut self, ty: &Type, path: &TypePath, need: Need) {
        if self.parameters.is_one(path) {
            return self.add(ty, need);
        }
        let Some(last) = path.path.segments.last().filter(|_| self.parameters.mentioned_in(ty)) else { return };
        if HOPELESS.iter().any(|name| last.ident == name) {
            return;
        }
        let arguments = match &last.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter(),
            _ => return self.add(ty, need),
        };
        let types = arguments.filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        });
        if path.qself.is_none() && TRANSPARENT.iter().any(|name| last.ident == name) {
            types.for_each(|ty| self.walk(ty, need));
        } else if path.qself.is_none() && last.ident == "Arc" {
            if need != Need::Clone {
                types.for_each(|ty| [Need::Send, Need::Sync].into_iter().for_each(|need| self.walk(ty, need)));
            }
        } else {
            self.add(ty, need);
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

    /// The parameters of an impl are out of sight, so there a name in capitals such as `T` is taken for one. A bound on a
    /// concrete type of such a name does no harm: rustc judges it at once.
    pub(crate) fn contain(&self, ident: &Ident) -> bool {
        let name = ident.to_string();
        let in_capitals =
            || name.starts_with(char::is_uppercase) && name.chars().all(|c| c.is_uppercase() || c.is_numeric());
        self.idents.contains(&name) || name == "Self" || self.in_impl && in_capitals()
    }

    fn is_one(&self, path: &TypePath) -> bool {
        path.qself.is_none() && path.path.get_ident().is_some_and(|ident| self.contain(ident))
    }

    fn mentioned_in(&self, ty: &Type) -> bool {
        !mentioned(ty).paths.into_iter().all(|ident| !self.contain(&ident))
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
    // Only the visitor that changes what it visits is compiled.
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

/// What a reference in a parameter says by itself, that the type behind it outlives it, is lost where the item's type
/// stands behind `IntoIterator`; here it is said aloud.
fn outlives(function: &Normalized, parameters: &Parameters) -> Vec<TokenStream> {
    let mut references = References::default();
    references.visit_type_mut(&mut function.item.clone());
    let mut predicates: Vec<TokenStream> = Vec::new();
    for (outer, referent) in references.found {
        let inner = mentioned(&referent);
        let lifetimes = inner.lifetimes.iter().filter(|inner| inner.ident != "static" && inner.ident != outer.ident);
        let types = inner.paths.iter().filter(|ident| parameters.contain(ident));
        let stated = lifetimes.map(ToTokens::to_token_stream).chain(types.map(ToTokens::to_token_stream));
        for inner in stated {
            let predicate = quote!(#inner: #outer);
            if predicates.iter().all(|known| known.to_string() != predicate.to_string()) {
                predicates.push(predicate);
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

/// The bounds that the function states itself, by the text of the type and the name of the trait.
fn stated(generics: &Generics) -> HashSet<(String, &'static str)> {
    let mut stated = HashSet::new();
    let mut add = |ty: String, bounds: &mut dyn Iterator<Item = &TypeParamBound>| {
        for bound in bounds {
            let TypeParamBound::Trait(bound) = bound else { continue };
            match bound.path.segments.last().map(|last| last.ident.to_string()).as_deref() {
                Some("Send") => drop(stated.insert((ty.clone(), "Send"))),
                Some("Sync") => drop(stated.insert((ty.clone(), "Sync"))),
                Some("Clone" | "Copy") => drop(stated.insert((ty.clone(), "Clone"))),
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
    stated
}

fn text(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}
