use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Expr, GenericParam, Generics, Lifetime, LifetimeParam, ReceiverKind, ReturnType, Token, Type, TypeParam,
    TypeParamBound, TypeReference, parse_quote, parse_quote_spanned,
};

use crate::names::{Names, free};
use crate::options::Options;
use crate::signature::{Function, parameter_name};
use crate::spans;
use crate::types::{EachLifetime, Met, each_type, reference};

/// The function with names for elided lifetimes and `impl Trait` parameters. Types keep the user's
/// tokens, so that messages point there.
pub(crate) struct Normalized<'f> {
    pub(crate) function: &'f Function,
    pub(crate) options: &'f Options,
    /// The name of the wrapper.
    pub(crate) wrapper: Ident,
    pub(crate) generics: Generics,
    /// The type parameters of the wrapper that the function doesn't have.
    pub(crate) anonymous: Vec<Ident>,
    /// The type parameter of the wrapper for the input.
    pub(crate) items_type: Ident,
    pub(crate) items: Ident,
    /// The type parameter of the wrapper for the errors of the input, where that can fail.
    pub(crate) input_error: Option<Ident>,
    pub(crate) item: Type,
    /// `self`, if there is one, and the parameters after the item.
    pub(crate) shared: Vec<Shared>,
    pub(crate) output: Type,
    pub(crate) names: Names,
    /// True if rustc refuses the signature for an unknown lifetime. It reports the original; here
    /// `'static` is in place of the lifetime.
    pub(crate) refused: bool,
}

pub(crate) struct Shared {
    /// The name in messages of a run and in `ignore`. A pattern has that of the wrapper's
    /// parameter.
    pub(crate) known_as: String,
    /// The parameter of the wrapper, and an expression with its value.
    pub(crate) parameter: TokenStream,
    pub(crate) value: Ident,
    /// That of `self` is `&'this Self`.
    pub(crate) ty: Type,
}

impl<'f> Normalized<'f> {
    pub(crate) fn new(function: &'f Function, options: &'f Options) -> Self {
        let Function { sig, in_impl, .. } = function;
        let wrapper = match &options.name {
            Some(name) if name.unraw() != sig.ident.unraw() => name.clone(),
            _ => format_ident!("{}_batched", sig.ident, span = sig.ident.span()),
        };
        let in_use = [sig.to_token_stream(), options.tokens.clone(), wrapper.to_token_stream()];
        let mut names = Names::of(in_use.into_iter().collect(), *in_impl);
        let mut generics = sig.generics.clone();
        let declared = (!in_impl).then(|| generics.lifetimes().map(|declared| declared.lifetime.clone()).collect());
        let mut lifetimes = Lifetimes { declared, ..Lifetimes::default() };
        let mut anonymous = Vec::new();

        let receiver = function.receiver.as_ref().map(|receiver| normalize_self(receiver, &mut names, &mut lifetimes));
        let of_receiver = lifetimes.only();

        let mut normalize = |ty: &Type, name: &str| {
            lifetimes.parameter += 1;
            let mut ty = ty.clone();
            let mut impls = ImplTraits { names: &mut names, parameter: name, found: Vec::new() };
            impls.visit_type_mut(&mut ty);
            let found = impls.found;
            let mut elided = EachLifetime::new(|met: Met| {
                if met.lifetime.ident == "_" {
                    return Some(lifetimes.fresh(&mut names, name, met.lifetime.span()));
                }
                if !met.in_call {
                    lifetimes.meet(met.lifetime);
                }
                lifetimes.check(met.lifetime)
            });
            elided.visit_type_mut(&mut ty);
            for (ident, mut bounds) in found {
                bounds.iter_mut().for_each(|bound| elided.visit_type_param_bound_mut(bound));
                anonymous.push(ident.clone());
                let colon_token = Some(<Token![:]>::default());
                generics.params.push(GenericParam::Type(TypeParam { bounds, colon_token, ..ident.into() }));
            }
            ty
        };
        let item = normalize(&function.item.ty, "item");
        let mut variables = HashSet::new();
        let mut shared: Vec<Shared> = receiver.into_iter().collect();
        for parameter in &function.shared {
            let given = parameter_name(&parameter.pat);
            let (name, of_lifetime) = variable(given, &mut variables);
            let ty = normalize(&parameter.ty, &of_lifetime);
            let known_as = given.unwrap_or(&name).unraw().to_string();
            shared.push(Shared { known_as, parameter: quote!(#name: #ty), value: name, ty });
        }
        let items = Ident::new(&free(&mut variables, "items"), Span::mixed_site());

        let mut output = match &sig.output {
            ReturnType::Type(_, ty) => match &**ty {
                // Refused already; a stub returns nothing.
                Type::Never(never) => parse_quote_spanned!(never.bang_token.span=> ()),
                ty => ty.clone(),
            },
            ReturnType::Default => parse_quote_spanned!(sig.ident.span()=> ()),
        };
        let elided = of_receiver.or_else(|| lifetimes.only());
        EachLifetime::new(|met: Met| {
            if met.lifetime.ident != "_" {
                return lifetimes.check(met.lifetime);
            }
            lifetimes.unknown |= elided.is_none();
            let mut resolved = elided.clone().unwrap_or_else(|| Lifetime::new("'static", Span::call_site()));
            resolved.set_span(met.lifetime.span());
            Some(resolved)
        })
        .visit_type_mut(&mut output);
        let refused = lifetimes.unknown;

        let at = generics.lifetimes().count();
        for lifetime in lifetimes.fresh.into_iter().rev() {
            generics.params.insert(at, GenericParam::Lifetime(LifetimeParam::new(lifetime)));
        }
        let at_name = spans::here(spans::before(sig.ident.span()));
        let items_type = names.type_parameter("Items", at_name);
        let input_error = options.fallible_input.then(|| names.type_parameter("InputError", at_name));
        Self {
            function,
            options,
            wrapper,
            generics,
            anonymous,
            items_type,
            items,
            input_error,
            item,
            shared,
            output,
            names,
            refused,
        }
    }

    /// The place of the item among the parameters.
    pub(crate) fn place_of_item(&self) -> usize {
        usize::from(self.function.receiver.is_some())
    }

    /// The places of the shared parameters, and those on which results depend.
    pub(crate) fn hashed(&self) -> impl Iterator<Item = (usize, &Shared)> {
        self.shared.iter().enumerate().filter(|(_, shared)| !self.ignores(shared))
    }

    /// True if results don't depend on it.
    pub(crate) fn ignores(&self, shared: &Shared) -> bool {
        self.options.ignored.iter().any(|ignored| *ignored == shared.known_as)
    }
}

#[derive(Default)]
struct Lifetimes {
    /// Those of each parameter, once. An elided lifetime of the output can mean one of them.
    in_use: HashSet<(usize, Lifetime)>,
    /// The number of the current parameter.
    parameter: usize,
    fresh: Vec<Lifetime>,
    /// Those that the function declares; `None` in an impl, which can declare more.
    declared: Option<Vec<Lifetime>>,
    /// True if one isn't declared, or is elided where it could mean several.
    unknown: bool,
}

impl Lifetimes {
    /// The lifetime in place of one that isn't declared.
    fn check(&mut self, lifetime: &Lifetime) -> Option<Lifetime> {
        let declared = self.declared.as_ref().is_none_or(|declared| declared.contains(lifetime));
        if declared || lifetime.ident == "static" {
            return None;
        }
        self.unknown = true;
        Some(Lifetime::new("'static", lifetime.span()))
    }

    fn fresh(&mut self, names: &mut Names, parameter: &str, span: Span) -> Lifetime {
        let lifetime = names.lifetime(parameter, span);
        self.fresh.push(lifetime.clone());
        self.meet(&lifetime);
        lifetime
    }

    fn meet(&mut self, lifetime: &Lifetime) {
        self.in_use.insert((self.parameter, lifetime.clone()));
    }

    /// The only lifetime that the parameters use. (Rust counts one that two parameters share as
    /// two.)
    fn only(&self) -> Option<Lifetime> {
        let mut in_use = self.in_use.iter();
        in_use.next().filter(|_| in_use.next().is_none()).map(|(_, lifetime)| lifetime.clone())
    }
}

fn normalize_self(receiver: &syn::Receiver, names: &mut Names, lifetimes: &mut Lifetimes) -> Shared {
    let (self_token, span) = (receiver.self_token, receiver.self_token.span);
    // A macro may have taken it from its caller: any other `self` would be unknown there.
    let value = Ident::new("self", Span::call_site().resolved_at(span));
    let reference = match &receiver.kind {
        ReceiverKind::Reference(and, lifetime, mutability) => Some((*and, lifetime, *mutability)),
        ReceiverKind::Typed(_, ty) => reference(ty).map(|ty| (ty.and_token, &ty.lifetime, ty.mutability)),
        _ => None,
    };
    // Refused already; the stub takes it as it is.
    let Some((and_token, given, mutability)) = reference else {
        let (parameter, ty) = (receiver.to_token_stream(), parse_quote_spanned!(span=> ()));
        return Shared { known_as: "self".to_owned(), parameter, value, ty };
    };
    let lifetime = match given {
        Some(lifetime) if lifetime.ident != "_" => {
            lifetimes.meet(lifetime);
            lifetime.clone()
        }
        _ => lifetimes.fresh(names, "this", and_token.span),
    };
    let parameter = quote_spanned!(span=> #and_token #lifetime #mutability #self_token);
    let elem = parse_quote_spanned!(span=> Self);
    let ty = TypeReference { attrs: Vec::new(), and_token, lifetime: Some(lifetime), mutability: None, elem };
    Shared { known_as: "self".to_owned(), parameter, value, ty: Type::Reference(ty) }
}

/// The name of a shared parameter of the wrapper, and the word in the names of its lifetimes.
fn variable(given: Option<&Ident>, variables: &mut HashSet<String>) -> (Ident, String) {
    // Hygiene keeps these variables apart from the function, which may have the same name.
    let span = given.map_or_else(Span::mixed_site, |given| spans::here(given.span()));
    if let Some(raw) = given.filter(|given| given.unraw() != **given) {
        variables.insert(raw.to_string());
        return (Ident::new_raw(&raw.unraw().to_string(), span), "shared".to_owned());
    }
    let given = given.map(ToString::to_string).unwrap_or_default();
    let word = match given.trim_start_matches('_') {
        // A keyword in the edition of this crate, but not in each caller's.
        "gen" => "shared",
        word if word == given && !word.is_empty() => word,
        // Without the underscores it may be a keyword, a number or nothing.
        word if syn::parse_str::<Ident>(word).is_ok() => word,
        _ => "shared",
    };
    (Ident::new(&free(variables, word), span), word.to_owned())
}

/// Turns each `impl Trait` into a type parameter.
struct ImplTraits<'n> {
    names: &'n mut Names,
    parameter: &'n str,
    found: Vec<(Ident, Punctuated<TypeParamBound, Token![+]>)>,
}

impl VisitMut for ImplTraits<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        // Around a name, the parentheses of `&(impl A + B)` would cause a warning.
        if let Type::Paren(paren) = ty
            && let Type::ImplTrait(_) = *paren.elem
        {
            *ty = (*paren.elem).clone();
        }
        visit_mut::visit_type_mut(self, ty);
        if let Type::ImplTrait(impl_trait) = ty {
            let wanted = match camel_case(self.parameter) {
                // A keyword, for a parameter such as `self_`.
                word if word == "Self" => "Shared".to_owned(),
                name => name,
            };
            let ident = self.names.type_parameter(&wanted, impl_trait.impl_token.span);
            self.found.push((ident.clone(), impl_trait.bounds.clone()));
            *ty = parse_quote!(#ident);
        }
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

fn camel_case(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    words.collect()
}

/// A type that borrows a trait object, with one new lifetime in place of its own. Such an object
/// can be `Hash` for `'static` alone, and rustc would take the own lifetime for that.
pub(crate) fn in_every_lifetime(ty: &Type, mut names: Names) -> Option<(Lifetime, Type)> {
    let (mut ty, any) = (ty.clone(), names.lifetime("any", Span::call_site()));
    let (mut has_object, mut has_lifetime) = (false, false);
    each_type(&mut ty, |ty| {
        has_object |= matches!(ty, Type::TraitObject(_));
        !matches!(ty, Type::FnPtr(_))
    });
    EachLifetime::new(|met: Met| {
        let own = (met.lifetime.ident != "static").then(|| any.clone());
        has_lifetime |= own.is_some();
        own
    })
    .visit_type_mut(&mut ty);
    (has_object && has_lifetime).then_some((any, ty))
}
