use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, Fields, Generics, Member, Meta, Path, Token, Type};

use crate::bounds::state;
use crate::errors::{Errors, error, nearest};
use crate::features;
use crate::options::{next, separated};
use crate::spans::{after, before, here};
use crate::types::{bare, each_type, paths};
use crate::values;

/// The impl of `DeepSize`, and the mistakes. With mistakes the impl counts less, but it is there,
/// so that rustc reports nothing else.
pub(crate) fn derive(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => {
            errors.push(error);
            return errors.into_token_stream();
        }
    };
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

/// The fields that are counted, of each variant. A struct has one, without a name.
struct Counted(Vec<(Option<Ident>, Vec<Field>)>);

struct Field {
    member: Member,
    ty: Type,
    /// The expression that borrows it.
    place: TokenStream,
}

impl Counted {
    fn of(input: &DeriveInput, errors: &mut Errors) -> Self {
        match &input.data {
            Data::Struct(data) => {
                // Fields that may not be aligned can't be borrowed.
                let packed = input.attrs.iter().any(is_packed);
                let place =
                    |_: usize, member: &Member| if packed { quote!(&{ self.#member }) } else { quote!(&self.#member) };
                Self(vec![(None, counted_fields(&data.fields, place, errors))])
            }
            Data::Enum(data) => {
                let variants = data.variants.iter().map(|variant| {
                    Options::parse(&variant.attrs, Place::Variant, errors);
                    let place = |at: usize, _: &Member| {
                        format_ident!("field{at}", span = Span::mixed_site()).into_token_stream()
                    };
                    (Some(variant.ident.clone()), counted_fields(&variant.fields, place, errors))
                });
                Self(variants.collect())
            }
            Data::Union(data) => {
                errors.at(
                    data.union_token,
                    "`DeepSize` can't be derived for a union",
                    "implement it by hand: only you know which field is in use",
                );
                Self(Vec::new())
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.0.iter().flat_map(|(_, fields)| fields)
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
        let (mut arms, mut nothing) = (TokenStream::new(), Vec::new());
        for (variant, fields) in &self.0 {
            let all = fields.iter().map(|field| {
                let (place, (asked, [_, owned])) = (&field.place, field.asked(amorsize));
                quote_spanned!(ends(&field.ty).1=> #asked::#owned(#place))
            });
            // A type may claim any number of bytes.
            match (variant, all.reduce(|sum, field| quote!(#sum.saturating_add(#field)))) {
                (None, all) => return all.unwrap_or_else(|| quote!(0)),
                (Some(variant), None) => nothing.push(quote!(Self::#variant { .. })),
                (Some(variant), Some(all)) => {
                    let members = fields.iter().map(|field| &field.member);
                    let names = fields.iter().map(|field| &field.place);
                    arms.extend(quote!(Self::#variant { #(#members: #names,)* .. } => #all,));
                }
            }
        }
        if arms.is_empty() {
            return quote!(0);
        }
        let nothing = joined(nothing.into_iter(), &quote!(|)).map(|variants| quote!(#variants => 0,));
        quote!(match self { #arms #nothing })
    }
}

impl Field {
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

fn counted_fields(fields: &Fields, place: impl Fn(usize, &Member) -> TokenStream, errors: &mut Errors) -> Vec<Field> {
    let fields = fields.iter().zip(fields.members()).enumerate().filter_map(|(at, (field, member))| {
        let options = Options::parse(&field.attrs, Place::Field, errors);
        // The user may have meant to leave out a field with wrong options: rustc could report it
        // again.
        let counts = !options.skip && !options.refused && !owns_nothing(&field.ty);
        counts.then(|| Field { place: place(at, &member), member, ty: field.ty.clone() })
    });
    fields.collect()
}

/// True for an address, which owns nothing. We can't implement a trait for all functions: those
/// that take any lifetime are out of reach.
fn owns_nothing(ty: &Type) -> bool {
    matches!(bare(ty), Type::Reference(_) | Type::Ptr(_) | Type::FnPtr(_))
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

/// The generic parameters, with a bound on the parts of counted fields' types that need one: type
/// parameters, and types that belong to one, such as `T::Item`.
///
/// A bound on the whole type would be more exact, but rustc would never end with a type that holds
/// itself.
fn bounded(generics: &Generics, counted: &Counted, amorsize: &TokenStream) -> Generics {
    let parameters: HashSet<&Ident> = generics.type_params().map(|parameter| &parameter.ident).collect();
    let mut found = Vec::new();
    for field in counted.fields() {
        each_type(&mut field.ty.clone(), |ty| {
            let Type::Path(path) = &*ty else {
                // Objects have no deep size.
                return !owns_nothing(ty) && !matches!(ty, Type::TraitObject(_) | Type::ImplTrait(_));
            };
            let segments = &path.path.segments;
            let asked = match &path.qself {
                Some(_) => paths(ty).iter().any(|ident| parameters.contains(ident)),
                None => path.path.leading_colon.is_none() && parameters.contains(&segments[0].ident),
            };
            if asked {
                found.push(path.to_token_stream());
            }
            !asked && path.qself.is_none() && segments.last().is_none_or(|last| last.ident != "PhantomData")
        });
    }
    let mut generics = generics.clone();
    let mut stated = HashSet::new();
    for subject in found {
        if stated.insert(subject.to_string()) {
            state(&mut generics, subject, quote!(#amorsize::DeepSize));
        }
    }
    generics
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

impl Options {
    fn parse(attrs: &[Attribute], place: Place, all_errors: &mut Errors) -> Self {
        let mut options = Self::default();
        let mut errors = Errors::default();
        let mut seen = Vec::new();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("deep_size")) {
            let Meta::List(list) = &attr.meta else {
                let example = if place == Place::Type { "crate = my_crate::amorsize" } else { "skip" };
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
        if !input.peek(Ident::peek_any) {
            return Err(error(next(input)?, "expected the name of an option", "the options are `skip` and `crate`"));
        }
        let key = input.call(Ident::parse_any)?;
        let name = key.to_string();
        match (name.as_str(), place) {
            ("skip", Place::Field) | ("crate", Place::Type) => {}
            ("skip", _) => {
                let help = "write it on each field that is not to be counted";
                return Err(error(&key, "`skip` stands on a field", help));
            }
            ("crate", _) => {
                let help = "write `#[deep_size(crate = my_crate::amorsize)]` there";
                return Err(error(&key, "`crate` stands on the type", help));
            }
            (name, place) => return Err(unknown(&key, name, place)),
        }
        if seen.contains(&name) {
            return Err(error(&key, format!("`{name}` is given twice"), "keep one of the two"));
        }
        seen.push(name);
        let equals: Option<Token![=]> = input.parse()?;
        match (place, equals) {
            (Place::Type, Some(_)) if !input.is_empty() => {
                let value: Expr = input.parse()?;
                match values::path(&value) {
                    Ok(path) => self.krate = Some(path),
                    Err((wrong, help)) => errors.at(value, wrong, help),
                }
            }
            (Place::Type, _) => {
                return Err(error(&key, "`crate` needs a value", "write `crate = my_crate::amorsize`"));
            }
            (_, Some(equals)) => return Err(error(equals, "`skip` takes no value", "write it alone")),
            (_, None) => self.skip = true,
        }
        Ok(())
    }
}

fn unknown(key: &Ident, name: &str, place: Place) -> syn::Error {
    let help = match (nearest(name, &["skip", "crate"]), place) {
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, Place::Field) => "the only option here is `skip`".to_owned(),
        (None, Place::Type) => "the only option here is `crate`".to_owned(),
        (None, Place::Variant) => "the options are `skip` on a field and `crate` on the type".to_owned(),
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
                    <u8 as ::amorsize::DeepSize>::heap_size(field0)
                        .saturating_add(<String as ::amorsize::DeepSize>::heap_size(field1)),
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
