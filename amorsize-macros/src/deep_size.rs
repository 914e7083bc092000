use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Data, DeriveInput, Expr, Fields, Generics, Member, Meta, Path, Token, Type};

use crate::bounds::state;
use crate::errors::{Errors, error, nearest};
use crate::features;
use crate::options::separated;
use crate::spans::{after, before, here};
use crate::values;

/// The impl of `DeepSize`, and the mistakes. With mistakes the impl counts less, but it is there,
/// so that rustc reports nothing else.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => {
            let mut errors = Errors::default();
            errors.push(error);
            return errors.into_token_stream();
        }
    };
    let mut errors = Errors::default();
    let krate = Options::parse(&input.attrs, Place::Type, &mut errors).krate;
    let name = here(input.ident.span());
    let amorsize = krate.map_or_else(|| quote_spanned!(name=> ::amorsize), Path::into_token_stream);
    let counted = Counted::of(&input, &mut errors);
    let generics = bounded(&input.generics, &counted, &amorsize);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let ident = &input.ident;
    // Any other `allow` would be an error in a crate that forbids the lint.
    let names_deprecated = input.attrs.iter().any(|attr| attr.path().is_ident("deprecated"));
    let deprecated = names_deprecated.then(|| quote!(#[allow(deprecated)]));
    let owns_heap = counted.owns_heap(&amorsize);
    let heap_size = counted.heap_size(&amorsize);
    quote! {
        #errors
        #[automatically_derived]
        #deprecated
        impl #impl_generics #amorsize::DeepSize for #ident #type_generics #where_clause {
            const OWNS_HEAP: ::core::primitive::bool = #owns_heap;

            fn heap_size(&self) -> ::core::primitive::usize {
                #heap_size
            }
        }
    }
}

/// The fields that are counted.
enum Counted {
    Struct {
        fields: Vec<Field>,
        /// True if fields can't be borrowed, because they may not be aligned.
        packed: bool,
    },
    Enum(Vec<(Ident, Vec<Field>)>),
}

struct Field {
    member: Member,
    ty: Type,
}

impl Counted {
    fn of(input: &DeriveInput, errors: &mut Errors) -> Self {
        match &input.data {
            Data::Struct(data) => {
                let packed = input.attrs.iter().any(is_packed);
                Self::Struct { fields: counted_fields(&data.fields, errors), packed }
            }
            Data::Enum(data) => {
                let variants = data.variants.iter().map(|variant| {
                    Options::parse(&variant.attrs, Place::Variant, errors);
                    (variant.ident.clone(), counted_fields(&variant.fields, errors))
                });
                Self::Enum(variants.collect())
            }
            Data::Union(data) => {
                errors.at(
                    data.union_token,
                    "`DeepSize` can't be derived for a union",
                    "implement it by hand: only you know which field is in use",
                );
                Self::Struct { fields: Vec::new(), packed: false }
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        let (of_struct, of_enum) = match self {
            Self::Struct { fields, .. } => (fields.as_slice(), &[][..]),
            Self::Enum(variants) => (&[][..], variants.as_slice()),
        };
        of_struct.iter().chain(of_enum.iter().flat_map(|(_, fields)| fields))
    }

    /// The expression that asks each field. It ends for a type that holds itself: the type does so
    /// behind a pointer, and the answer for a pointer doesn't depend on the type behind it.
    fn owns_heap(&self, amorsize: &TokenStream) -> TokenStream {
        let all = self.fields().map(|field| {
            let (asked, [owns, _]) = field.asked(amorsize);
            quote_spanned!(ends(&field.ty).1=> #asked::#owns)
        });
        joined(all, &quote!(||)).unwrap_or_else(|| quote!(false))
    }

    fn heap_size(&self, amorsize: &TokenStream) -> TokenStream {
        let zero = || quote!(0);
        match self {
            Self::Struct { fields, packed } => {
                let all = fields.iter().map(|field| {
                    let member = &field.member;
                    let place = if *packed { quote!(&{ self.#member }) } else { quote!(&self.#member) };
                    field.heap_size(&place, amorsize)
                });
                joined(all, &quote!(+)).unwrap_or_else(zero)
            }
            Self::Enum(variants) if variants.iter().all(|(_, fields)| fields.is_empty()) => zero(),
            Self::Enum(variants) => {
                let (nothing, something): (Vec<_>, Vec<_>) = variants.iter().partition(|(_, fields)| fields.is_empty());
                let arms = something.into_iter().map(|(variant, fields)| {
                    let names = (0..fields.len()).map(|index| Ident::new(&format!("field{index}"), Span::mixed_site()));
                    let names: Vec<_> = names.collect();
                    let members = fields.iter().map(|field| &field.member);
                    let all = fields.iter().zip(&names).map(|(field, name)| field.heap_size(&quote!(#name), amorsize));
                    let all = joined(all, &quote!(+));
                    quote!(Self::#variant { #(#members: #names,)* .. } => #all,)
                });
                let nothing = nothing.iter().map(|(variant, _)| quote!(Self::#variant { .. }));
                let nothing = joined(nothing, &quote!(|)).map(|variants| quote!(#variants => 0,));
                quote!(match self { #(#arms)* #nothing })
            }
        }
    }
}

impl Field {
    fn heap_size(&self, place: &TokenStream, amorsize: &TokenStream) -> TokenStream {
        let (asked, [_, owned]) = self.asked(amorsize);
        quote_spanned!(ends(&self.ty).1=> #asked::#owned(#place))
    }

    /// The type as one with a deep size, and the names of the trait's items. For a type that may
    /// need a feature it is a trait with a message that names the feature.
    fn asked(&self, amorsize: &TokenStream) -> (TokenStream, [Ident; 2]) {
        let ty = &self.ty;
        let (start, end) = ends(ty);
        let open = quote_spanned!(start=> <);
        let names = |names: [&str; 2]| names.map(|name| Ident::new(name, end));
        match features::module_for(ty).map(|module| Ident::new(module, end)) {
            None => (quote_spanned!(end=> #open #ty as #amorsize::DeepSize>), names(["OWNS_HEAP", "heap_size"])),
            Some(module) => {
                (quote_spanned!(end=> #open #ty as #amorsize::bounds::of::#module::DeepSize>), names(["OWNS", "owned"]))
            }
        }
    }
}

fn counted_fields(fields: &Fields, errors: &mut Errors) -> Vec<Field> {
    let fields = fields.iter().zip(fields.members()).filter_map(|(field, member)| {
        let options = Options::parse(&field.attrs, Place::Field, errors);
        // The user may have meant to leave out a field with wrong options: rustc could report it
        // again.
        let counts = !options.skip && !options.refused && !owns_nothing(&field.ty);
        counts.then(|| Field { member, ty: field.ty.clone() })
    });
    fields.collect()
}

/// True for an address, which owns nothing. We can't implement a trait for all functions: those
/// that take any lifetime are out of reach.
fn owns_nothing(ty: &Type) -> bool {
    match ty {
        Type::Reference(_) | Type::Ptr(_) | Type::FnPtr(_) => true,
        Type::Paren(paren) => owns_nothing(&paren.elem),
        Type::Group(group) => owns_nothing(&group.elem),
        _ => false,
    }
}

fn is_packed(attr: &Attribute) -> bool {
    let Meta::List(list) = &attr.meta else { return false };
    let says = |token: TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "packed");
    list.path.is_ident("repr") && list.tokens.clone().into_iter().any(says)
}

fn joined(parts: impl Iterator<Item = TokenStream>, by: &TokenStream) -> Option<TokenStream> {
    parts.reduce(|joined, part| quote!(#joined #by #part))
}

/// The places right before and right after a type.
fn ends(ty: &Type) -> (Span, Span) {
    let mut tokens = ty.to_token_stream().into_iter();
    let first = tokens.next().map_or_else(|| ty.span(), |token| token.span());
    let last = tokens.last().map_or(first, |token| token.span());
    (here(before(first)), here(after(last)))
}

/// The generic parameters, with a bound on those in the types of counted fields.
fn bounded(generics: &Generics, counted: &Counted, amorsize: &TokenStream) -> Generics {
    let parameters = generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
    let mut asked = Asked { parameters, found: Vec::new() };
    for field in counted.fields() {
        asked.visit_type_mut(&mut field.ty.clone());
    }
    let mut generics = generics.clone();
    let mut stated = HashSet::new();
    for subject in asked.found {
        if stated.insert(subject.to_string()) {
            state(&mut generics, subject, quote!(#amorsize::DeepSize));
        }
    }
    generics
}

/// The parts of types that need a bound: type parameters, and types that belong to one, such as
/// `T::Item`.
///
/// A bound on the whole type would be more exact, but rustc would never end with a type that holds
/// itself.
struct Asked {
    parameters: HashSet<String>,
    found: Vec<TokenStream>,
}

impl Asked {
    fn is_parameter(&self, ident: &Ident) -> bool {
        self.parameters.contains(&ident.to_string())
    }

    fn mentioned_in(&self, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(ident) => self.is_parameter(&ident),
            TokenTree::Group(group) => self.mentioned_in(group.stream()),
            _ => false,
        })
    }
}

impl VisitMut for Asked {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        match ty {
            ty if owns_nothing(ty) => {}
            // These have no deep size.
            Type::TraitObject(_) | Type::ImplTrait(_) => {}
            Type::Path(path) => {
                let segments = &path.path.segments;
                let of_parameter = segments.first().is_some_and(|first| self.is_parameter(&first.ident));
                let asked = match &path.qself {
                    Some(_) => self.mentioned_in(path.to_token_stream()),
                    None => of_parameter && path.path.leading_colon.is_none(),
                };
                if asked {
                    self.found.push(path.to_token_stream());
                } else if path.qself.is_none() && segments.last().is_none_or(|last| last.ident != "PhantomData") {
                    visit_mut::visit_type_path_mut(self, path);
                }
            }
            ty => visit_mut::visit_type_mut(self, ty),
        }
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Type,
    Variant,
    Field,
}

/// The options in `#[deep_size(..)]`.
#[derive(Default)]
struct Options {
    krate: Option<Path>,
    skip: bool,
    /// True if one of them was a mistake.
    refused: bool,
}

const CRATE_EXAMPLE: &str = "crate = my_crate::amorsize";

impl Options {
    fn parse(attrs: &[Attribute], place: Place, all_errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let mut errors = Errors::default();
        let mut seen = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("deep_size")) {
            let Meta::List(list) = &attr.meta else {
                let example = if place == Place::Type { CRATE_EXAMPLE } else { "skip" };
                let help = format!("write `#[deep_size({example})]`");
                errors.at(&attr.meta, "`deep_size` takes its options in parentheses", help);
                continue;
            };
            let tokens = list.tokens.clone();
            separated(tokens, &mut errors, |input, errors| options.parse_one(input, place, &mut seen, errors));
        }
        options.refused = !errors.is_empty();
        all_errors.append(errors);
        options
    }

    fn parse_one(
        &mut self,
        input: ParseStream,
        place: Place,
        seen: &mut Vec<String>,
        errors: &mut Errors,
    ) -> syn::Result<()> {
        let keys: &[&str] = match place {
            Place::Type => &["crate"],
            Place::Variant => &[],
            Place::Field => &["skip"],
        };
        if !input.peek(Ident::peek_any) {
            let token: TokenTree = input.fork().parse()?;
            return Err(error(token, "expected the name of an option", "the options are `skip` and `crate`"));
        }
        let key = input.call(Ident::parse_any)?;
        let name = key.to_string();
        match name.as_str() {
            _ if seen.contains(&name) => {
                return Err(error(&key, format!("`{name}` is given twice"), "keep one of the two"));
            }
            name if keys.contains(&name) => {}
            "skip" => {
                return Err(error(
                    &key,
                    "`skip` stands on a field",
                    "write it on each field that is not to be counted",
                ));
            }
            "crate" => {
                return Err(error(
                    &key,
                    "`crate` stands on the type",
                    format!("write `#[deep_size({CRATE_EXAMPLE})]` there"),
                ));
            }
            name => return Err(unknown(&key, name, keys)),
        }
        seen.push(name);
        let equals: Option<Token![=]> = input.parse()?;
        match (place, equals) {
            (Place::Type, Some(_)) if !input.is_empty() => self.krate = values::path(&input.parse()?, errors),
            (Place::Type, _) => return Err(error(&key, "`crate` needs a value", format!("write `{CRATE_EXAMPLE}`"))),
            (_, Some(equals)) => return Err(error(equals, "`skip` takes no value", "write it alone")),
            (_, None) => self.skip = true,
        }
        Ok(())
    }
}

fn unknown(key: &Ident, name: &str, keys: &[&str]) -> syn::Error {
    let help = match (nearest(name, &["skip", "crate"]), keys) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, [only]) => format!("the only option here is `{only}`"),
        (None, _) => "the options are `skip` on a field and `crate` on the type".to_owned(),
    };
    error(key, format!("unknown option `{name}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(tokens: TokenStream) -> String {
        tokens.to_string().split_whitespace().collect()
    }

    #[track_caller]
    fn assert_head(input: TokenStream, head: TokenStream) {
        let text = squeezed(derive(input));
        let head = squeezed(head);
        assert!(text.contains(&head), "\n{head}\nis not in\n{text}");
    }

    #[test]
    fn only_what_is_counted_is_asked_for() {
        assert_head(
            quote! {
                struct S<'a, A, B: ?Sized, C, D, E: Iterator, F, G: Copy, const N: usize = 3>
                where
                    G: Send,
                {
                    a: Vec<(A, [A; N])>,
                    b: &'a B,
                    c: PhantomData<C>,
                    d: fn(D) -> D,
                    e: Option<E::Item>,
                    #[deep_size(skip)]
                    f: F,
                    g: <G as Tr<A>>::Out,
                }
            },
            quote! {
                impl<'a, A: ::amorsize::DeepSize, B: ?Sized, C, D, E: Iterator, F, G: Copy, const N: usize>
                    ::amorsize::DeepSize for S<'a, A, B, C, D, E, F, G, N>
                where
                    G: Send,
                    E::Item: ::amorsize::DeepSize,
                    <G as Tr<A>>::Out: ::amorsize::DeepSize
            },
        );
    }

    #[test]
    fn bounds_stand_together() {
        assert_head(
            quote!(
                struct S<T>(T)
                where
                    T: Clone;
            ),
            quote!(impl<T> ::amorsize::DeepSize for S<T> where T: Clone + ::amorsize::DeepSize),
        );
    }

    #[test]
    fn variants_that_own_nothing_share_an_arm() {
        let text = squeezed(derive(quote!(
            enum E {
                A,
                B(u8, String),
                C {},
            }
        )));
        let arms = quote! {
            match self {
                Self::B { 0: field0, 1: field1, .. } =>
                    <u8 as ::amorsize::DeepSize>::heap_size(field0) + <String as ::amorsize::DeepSize>::heap_size(field1),
                Self::A { .. } | Self::C { .. } => 0,
            }
        };
        assert!(text.contains(&squeezed(arms)), "{text}");
    }

    #[test]
    fn a_mistake_leaves_an_impl() {
        for input in [
            quote!(
                union U {
                    a: u8,
                }
            ),
            quote!(
                #[deep_size(skip)]
                struct S(u8);
            ),
            quote!(
                struct S(#[deep_size(skp)] Opaque);
            ),
            quote!(
                enum E {
                    #[deep_size(crate = a)]
                    A,
                }
            ),
            quote!(
                #[deep_size]
                struct S;
            ),
        ] {
            let text = squeezed(derive(input));
            assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
            assert!(text.contains("::amorsize::DeepSizefor") && !text.contains("Opaque"), "{text}");
        }
    }
}
