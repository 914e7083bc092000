use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    BoundLifetimes, Expr, GenericParam, Generics, Lifetime, LifetimeParam, PathArguments, ReceiverKind, ReturnType,
    TraitBound, Type, TypeParamBound, TypeReference, Visibility, parse_quote, parse_quote_spanned,
};

use crate::names::Names;
use crate::options::Options;
use crate::signature::{Function, parameter_name, reference};
use crate::spans;

/// The function with names for elided lifetimes and `impl Trait` parameters. Types keep the user's
/// tokens, so that messages point there.
pub(crate) struct Normalized<'f> {
    pub(crate) function: &'f Function,
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
    pub(crate) receiver: Option<Receiver>,
    pub(crate) item: Type,
    pub(crate) shared: Vec<Shared>,
    pub(crate) output: Type,
    pub(crate) names: Names,
    /// True if rustc refuses the signature for an unknown lifetime. It reports the original; here
    /// `'static` is in place of the lifetime.
    pub(crate) refused: bool,
}

pub(crate) struct Receiver {
    pub(crate) tokens: TokenStream,
    /// `&'this Self`.
    pub(crate) ty: Type,
}

/// A parameter after the item.
pub(crate) struct Shared {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) by_reference: bool,
}

impl<'f> Normalized<'f> {
    pub(crate) fn new(function: &'f Function, options: &Options) -> Self {
        let Function { sig, in_impl, .. } = function;
        let wrapper = match &options.name {
            Some(name) if *name != sig.ident => name.clone(),
            _ => format_ident!("{}_batched", sig.ident, span = sig.ident.span()),
        };
        let in_use = [sig.to_token_stream(), options.tokens.clone(), wrapper.to_token_stream()];
        let mut names = Names::of(in_use.into_iter().collect(), *in_impl);
        let mut generics = sig.generics.clone();
        let declared = (!in_impl).then(|| generics.lifetimes().map(|declared| declared.lifetime.clone()).collect());
        let mut lifetimes = Lifetimes { declared, ..Lifetimes::default() };
        let mut anonymous = Vec::new();

        let receiver =
            function.receiver.as_ref().map(|receiver| normalize_receiver(receiver, &mut names, &mut lifetimes));
        let of_receiver = lifetimes.only();

        let mut normalize = |ty: &Type, name: &str| {
            lifetimes.parameter += 1;
            let mut ty = ty.clone();
            let mut impls = ImplTraits { names: &mut names, parameter: name, found: Vec::new() };
            impls.visit_type_mut(&mut ty);
            let found = impls.found;
            let mut elided = Elided { names: &mut names, parameter: name, lifetimes: &mut lifetimes };
            elided.visit_type_mut(&mut ty);
            for (ident, mut bounds) in found {
                bounds.iter_mut().for_each(|bound| elided.visit_type_param_bound_mut(bound));
                generics.params.push(parse_quote!(#ident: #(#bounds)+*));
                anonymous.push(ident);
            }
            ty
        };
        let item = normalize(&function.item.ty, "item");
        let mut variables = HashSet::new();
        let shared: Vec<Shared> = function
            .shared
            .iter()
            .map(|parameter| {
                let (name, of_lifetime) = variable(parameter_name(&parameter.pat), &mut variables);
                let ty = normalize(&parameter.ty, &of_lifetime);
                Shared { name, by_reference: reference(&ty).is_some(), ty }
            })
            .collect();
        let items = unused("items", &mut variables, Span::mixed_site());

        let mut output = match &sig.output {
            ReturnType::Type(_, ty) => match &**ty {
                // Refused already; a stub returns nothing.
                Type::Never(never) => parse_quote_spanned!(never.bang_token.span=> ()),
                ty => ty.clone(),
            },
            ReturnType::Default => parse_quote_spanned!(sig.ident.span()=> ()),
        };
        let lifetime = of_receiver.or_else(|| lifetimes.only());
        ElidedOutput { lifetime, lifetimes: &mut lifetimes }.visit_type_mut(&mut output);
        let refused = lifetimes.unknown;

        let at = generics.params.iter().take_while(|parameter| matches!(parameter, GenericParam::Lifetime(_))).count();
        for lifetime in lifetimes.fresh.into_iter().rev() {
            generics.params.insert(at, GenericParam::Lifetime(LifetimeParam::new(lifetime)));
        }
        let at_name = spans::here(spans::before(sig.ident.span()));
        let items_type = names.type_parameter("Items", at_name);
        let input_error = options.fallible_input.then(|| names.type_parameter("InputError", at_name));
        Self {
            function,
            wrapper,
            generics,
            anonymous,
            items_type,
            items,
            input_error,
            receiver,
            item,
            shared,
            output,
            names,
            refused,
        }
    }

    pub(crate) fn vis(&self) -> &Visibility {
        &self.function.vis
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
    fn check(&mut self, lifetime: &mut Lifetime) {
        let declared = self.declared.as_ref().is_none_or(|declared| declared.contains(lifetime));
        if !declared && lifetime.ident != "static" {
            self.unknown = true;
            *lifetime = Lifetime::new("'static", lifetime.span());
        }
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

fn normalize_receiver(receiver: &syn::Receiver, names: &mut Names, lifetimes: &mut Lifetimes) -> Receiver {
    let span = receiver.self_token.span;
    let this = Ident::new("Self", span);
    let (and, given, mutability) = match &receiver.kind {
        ReceiverKind::Reference(and, lifetime, mutability) => (*and, lifetime, *mutability),
        ReceiverKind::Typed(_, ty) if let Some(ty) = reference(ty) => (ty.and_token, &ty.lifetime, ty.mutability),
        // Refused already; the stub takes it as it is.
        _ => return Receiver { tokens: receiver.to_token_stream(), ty: parse_quote_spanned!(span=> ()) },
    };
    let lifetime = match given {
        Some(lifetime) if lifetime.ident != "_" => {
            lifetimes.meet(lifetime);
            lifetime.clone()
        }
        _ => lifetimes.fresh(names, "this", and.span),
    };
    let self_token = receiver.self_token;
    let tokens = quote_spanned!(span=> #and #lifetime #mutability #self_token);
    let elem = parse_quote!(#this);
    let ty = TypeReference { attrs: Vec::new(), and_token: and, lifetime: Some(lifetime), mutability: None, elem };
    Receiver { tokens, ty: Type::Reference(ty) }
}

/// The name of a shared parameter of the wrapper, and the word in the names of its lifetimes.
fn variable(given: Option<&Ident>, variables: &mut HashSet<String>) -> (Ident, String) {
    // Hygiene keeps these variables apart from the function, which may have the same name.
    let span = |ident: &Ident| spans::here(ident.span());
    match given {
        Some(ident) if ident.unraw() != *ident => {
            variables.insert(ident.to_string());
            let mut name = ident.clone();
            name.set_span(span(ident));
            (name, "shared".to_owned())
        }
        Some(ident) => {
            let plain = ident.to_string();
            let plain = match plain.trim_start_matches('_') {
                "" => "shared",
                plain if plain.starts_with(char::is_numeric) => "shared",
                plain => plain,
            };
            (unused(plain, variables, span(ident)), plain.to_owned())
        }
        None => (unused("shared", variables, Span::mixed_site()), "shared".to_owned()),
    }
}

fn unused(wanted: &str, variables: &mut HashSet<String>, span: Span) -> Ident {
    let numbered = (2..).map(|n| format!("{wanted}{n}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    let name = names.find(|name| variables.insert(name.clone())).expect("there are more numbers than names");
    Ident::new(&name, span)
}

/// Turns each `impl Trait` into a type parameter.
struct ImplTraits<'n> {
    names: &'n mut Names,
    parameter: &'n str,
    found: Vec<(Ident, Vec<TypeParamBound>)>,
}

impl VisitMut for ImplTraits<'_> {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        if let Type::ImplTrait(impl_trait) = ty {
            let ident = self.names.type_parameter(&camel_case(self.parameter), impl_trait.impl_token.span);
            self.found.push((ident.clone(), impl_trait.bounds.iter().cloned().collect()));
            *ty = parse_quote!(#ident);
        }
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_').filter(|word| !word.is_empty()).map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    words.by_ref().collect()
}

/// Gives each elided lifetime of a parameter a name.
struct Elided<'n> {
    names: &'n mut Names,
    parameter: &'n str,
    lifetimes: &'n mut Lifetimes,
}

impl VisitMut for Elided<'_> {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        match &mut reference.lifetime {
            Some(lifetime) => self.visit_lifetime_mut(lifetime),
            None => {
                let fresh = self.lifetimes.fresh(self.names, self.parameter, reference.and_token.span);
                reference.lifetime = Some(fresh);
            }
        }
        self.visit_type_mut(&mut reference.elem);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.lifetimes.fresh(self.names, self.parameter, lifetime.span());
        } else {
            self.lifetimes.check(lifetime);
            self.lifetimes.meet(lifetime);
        }
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}

    fn visit_path_arguments_mut(&mut self, arguments: &mut PathArguments) {
        visit_unless_sugar(self, arguments);
    }

    fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
        visit_unless_higher_ranked(self, bound);
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

/// An elided lifetime between the parentheses of `Fn(&str)` belongs to the call that these
/// describe.
fn visit_unless_sugar(visitor: &mut impl VisitMut, arguments: &mut PathArguments) {
    if !matches!(arguments, PathArguments::Parenthesized(_)) {
        visit_mut::visit_path_arguments_mut(visitor, arguments);
    }
}

/// The lifetimes of `for<'a> Trait<'a>` belong to the bound alone.
fn visit_unless_higher_ranked(visitor: &mut impl VisitMut, bound: &mut TraitBound) {
    if !matches!(&bound.lifetimes, Some(BoundLifetimes { .. })) {
        visit_mut::visit_trait_bound_mut(visitor, bound);
    }
}

/// Writes out the elided lifetimes of the output.
struct ElidedOutput<'n> {
    lifetime: Option<Lifetime>,
    lifetimes: &'n mut Lifetimes,
}

impl ElidedOutput<'_> {
    fn resolved(&mut self, span: Span) -> Lifetime {
        self.lifetimes.unknown |= self.lifetime.is_none();
        let mut lifetime = self.lifetime.clone().unwrap_or_else(|| Lifetime::new("'static", span));
        lifetime.set_span(span);
        lifetime
    }
}

impl VisitMut for ElidedOutput<'_> {
    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        match &mut reference.lifetime {
            Some(lifetime) => self.visit_lifetime_mut(lifetime),
            None => reference.lifetime = Some(self.resolved(reference.and_token.span)),
        }
        self.visit_type_mut(&mut reference.elem);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident == "_" {
            *lifetime = self.resolved(lifetime.span());
        } else {
            self.lifetimes.check(lifetime);
        }
    }

    fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}

    fn visit_path_arguments_mut(&mut self, arguments: &mut PathArguments) {
        visit_unless_sugar(self, arguments);
    }

    fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
        visit_unless_higher_ranked(self, bound);
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

/// A type that borrows a trait object, with one new lifetime in place of its own. Such an object can
/// be `Hash` for `'static` alone, and rustc would take the own lifetime for that.
pub(crate) fn in_every_lifetime(ty: &Type, mut names: Names) -> Option<(Lifetime, Type)> {
    struct Replace {
        by: Lifetime,
        has_object: bool,
        has_lifetime: bool,
    }

    impl VisitMut for Replace {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            self.has_object |= matches!(ty, Type::TraitObject(_));
            visit_mut::visit_type_mut(self, ty);
        }

        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                self.has_lifetime = true;
                *lifetime = self.by.clone();
            }
        }

        // These have lifetimes of their own.
        fn visit_type_fn_ptr_mut(&mut self, _: &mut syn::TypeFnPtr) {}

        fn visit_trait_bound_mut(&mut self, bound: &mut TraitBound) {
            if bound.lifetimes.is_none() {
                visit_mut::visit_trait_bound_mut(self, bound);
            }
        }

        fn visit_expr_mut(&mut self, _: &mut Expr) {}
    }

    let by = names.lifetime("any", Span::call_site());
    let (mut replace, mut ty) = (Replace { by, has_object: false, has_lifetime: false }, ty.clone());
    replace.visit_type_mut(&mut ty);
    (replace.has_object && replace.has_lifetime).then_some((replace.by, ty))
}
