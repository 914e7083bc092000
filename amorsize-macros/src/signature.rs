use proc_macro2::{Delimiter, Group, Ident, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, FnArg, GenericParam, Meta, Pat, PatType, Receiver, ReceiverKind, ReturnType, Safety, Signature, Token,
    Type, TypeReference, Visibility,
};

use crate::at_fault::is_no_result;
use crate::code;
use crate::errors::{Errors, nearest};
use crate::options::Options;
use crate::types::{arguments, bare, last_segment, reference, text, transparent_arguments};

/// The annotated function, as the user wrote it. Its body stays unparsed: rustc reports its
/// mistakes best.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) item: PatType,
    pub(crate) shared: Vec<PatType>,
    /// True if it is seen from within to stand in an impl or a trait.
    pub(crate) in_impl: bool,
    /// The hash of its tokens.
    pub(crate) code: u64,
}

/// The runtime has one constructor for each number of shared parameters up to this.
const MOST_SHARED: usize = 12;

impl Function {
    /// Reads the function and refuses what can't be batched. A refused function comes back too, if
    /// enough of it is known for a stub.
    pub(crate) fn parse(tokens: &TokenStream, options: &Options, refusals: &mut Errors) -> Option<Self> {
        let (attrs, vis, sig, body) = match read_in_any_edition(tokens) {
            Ok(parts) => parts,
            Err(error) => {
                refuse_unreadable(tokens, error, refusals);
                return None;
            }
        };
        let mut parameters = sig.inputs.iter().cloned();
        let mut receiver = None;
        let mut first = parameters.next();
        if let Some(FnArg::Receiver(given)) = first {
            receiver = Some(given);
            first = parameters.next();
        }
        let typed = |parameter| match parameter {
            FnArg::Typed(parameter) => Some(parameter),
            // rustc refuses a `self` in second place.
            FnArg::Receiver(_) => None,
        };
        let item = first.and_then(typed);
        let shared: Vec<PatType> = parameters.filter_map(typed).collect();

        let twice = refuse_applied_twice(&attrs, refusals);
        refuse_qualifiers(&attrs, &sig, refusals);
        let conditional = refuse_cfg(&sig, refusals);
        refuse_receiver(receiver.as_ref(), refusals);
        refuse_parameters(&sig, item.as_ref(), &shared, refusals);
        refuse_never(&sig.output, refusals);
        refuse_options(&sig.ident, receiver.as_ref(), options, refusals);
        refuse_ignored(receiver.as_ref(), item.as_ref(), &shared, options, refusals);
        refuse_no_result(&sig, options, refusals);
        refuse_borrowed_result(&sig.output, options, refusals);
        let bodiless = body.clone().into_iter().next().is_none_or(|token| token.to_string() == ";");
        if bodiless {
            refusals.at(
                &sig.ident,
                "`#[batched]` needs a function with a body",
                "in a trait, annotate a method that has a default body, or a function that calls this one",
            );
        }

        let in_impl = match options.in_impl {
            Some((_, in_impl)) => in_impl,
            None => {
                receiver.is_some()
                    || says_self(sig.to_token_stream(), &[])
                    || says_self(body, &["impl", "trait", "struct", "enum"])
            }
        };
        // A foreign function has neither body nor receiver, and nothing may stand beside it. An
        // attribute that is applied twice writes the wrapper the second time. A parameter with a
        // condition may not exist.
        let known = !(bodiless && receiver.is_none() || twice || conditional);
        let code = code::hash(tokens);
        item.filter(|_| known).map(|item| Self { attrs, vis, sig, receiver, item, shared, in_impl, code })
    }
}

type Parts = (Vec<Attribute>, Visibility, Signature, TokenStream);

fn read(input: ParseStream) -> syn::Result<Parts> {
    let attrs = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    input.parse::<Option<Token![default]>>()?;
    Ok((attrs, vis, input.parse()?, input.parse()?))
}

/// Reads the function. `syn` takes no names that are keywords since the 2018 edition, but a crate
/// of 2015 can have them.
fn read_in_any_edition(tokens: &TokenStream) -> syn::Result<Parts> {
    let with_raw_names = || read.parse2(with_raw_names(tokens.clone()));
    read.parse2(tokens.clone()).or_else(|error| with_raw_names().map_err(|_| error))
}

/// The function with raw identifiers for names that are keywords since the 2018 edition: rustc
/// reads both as the same name.
fn with_raw_names(tokens: TokenStream) -> TokenStream {
    const KEYWORDS: [&str; 4] = ["async", "await", "dyn", "try"];
    let mut tokens = tokens.into_iter().peekable();
    let mut before = String::new();
    let mut raw = TokenStream::new();
    while let Some(token) = tokens.next() {
        let text = token.to_string();
        raw.extend([match token {
            TokenTree::Ident(ident) if KEYWORDS.contains(&&*text) && before != "'" => {
                let is_name = before == "fn" || ends_name(&ident, tokens.peek());
                TokenTree::Ident(if is_name { Ident::new_raw(&text, ident.span()) } else { ident })
            }
            // The body stays as it is.
            TokenTree::Group(group) if group.delimiter() != Delimiter::Brace => {
                let mut named = Group::new(group.delimiter(), with_raw_names(group.stream()));
                named.set_span(group.span());
                TokenTree::Group(named)
            }
            token => token,
        }]);
        before = text;
    }
    raw
}

/// True if no keyword can stand before `next`: another word or a type follows those.
fn ends_name(ident: &Ident, next: Option<&TokenTree>) -> bool {
    match next {
        None => true,
        // `dyn ::Trait` begins with a keyword.
        Some(TokenTree::Punct(next)) if next.as_char() == ':' => ident != "dyn" || next.spacing() == Spacing::Alone,
        Some(TokenTree::Punct(next)) => !['\'', '?', '<', '|'].contains(&next.as_char()),
        Some(_) => false,
    }
}

/// True if the attribute stands on a closure itself, and not on a statement with one.
pub(crate) fn is_closure(tokens: &TokenStream) -> bool {
    let qualifiers = ["move", "static", "async", "const"];
    let first = tokens.clone().into_iter().find(|token| match token {
        TokenTree::Ident(ident) => !qualifiers.iter().any(|qualifier| ident == qualifier),
        _ => true,
    });
    matches!(first, Some(TokenTree::Punct(punct)) if punct.as_char() == '|')
}

fn refuse_unreadable(tokens: &TokenStream, error: syn::Error, refusals: &mut Errors) {
    let words = tokens.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(ident) => Some(ident),
        _ => None,
    });
    let words: Vec<Ident> = words.collect();
    let mut all = tokens.clone().into_iter();
    let bar = all.find(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '|'));
    // rustc reports before that attributes on expressions and on `let` are unstable.
    if let Some(bar) = bar.filter(|_| is_closure(tokens) || words.first().is_some_and(|first| first == "let")) {
        return refusals.at(
            bar,
            "`#[batched]` stands on functions only, and this is a closure",
            "call `amorsize::process_in_batches(closure, items)`, which gives the same run",
        );
    }
    let is_one_of = |word: &Ident, all: &str| all.split(' ').any(|other| word == other);
    let first = words.iter().find(|word| !is_one_of(word, "pub default const async safe unsafe extern"));
    let items = "struct enum union trait impl mod type use static const extern macro_rules let";
    let keyword = words.iter().find(|word| is_one_of(word, items));
    let Some(keyword) = keyword.filter(|_| first.is_none_or(|first| first != "fn")) else {
        return refusals.push(error);
    };
    let help = match keyword.to_string().as_str() {
        "impl" | "trait" => "annotate each method that is to be batched",
        _ => "annotate the function that is to be called for each item",
    };
    refusals.at(keyword, "`#[batched]` stands on functions only", help);
}

fn refuse_applied_twice(attrs: &[Attribute], refusals: &mut Errors) -> bool {
    let is_batched = |attr: &&Attribute| attr.path().segments.last().is_some_and(|last| last.ident == "batched");
    let second = attrs.iter().find(is_batched);
    if let Some(second) = second {
        refusals.at(second, "`#[batched]` is applied twice", "remove one of the two, and give the other all options");
    }
    second.is_some()
}

fn refuse_qualifiers(attrs: &[Attribute], sig: &Signature, refusals: &mut Errors) {
    if let Some(asyncness) = &sig.asyncness {
        refusals.at(
            asyncness,
            "`#[batched]` can't run an `async fn`: calling one does none of its work",
            "annotate a plain function; a `block_on` in it panics within a runtime: `amorsize::guide::async_code` says what to \
             write instead",
        );
    }
    if let Some(attr) = attrs.iter().find(|attr| attr.path().is_ident("target_feature")) {
        refusals.at(
            attr,
            "`#[batched]` can't call a function with `#[target_feature]`: the processor may lack the feature",
            "annotate a function that asks for the feature, such as by `is_x86_feature_detected!`, and calls this one",
        );
    }
    // A variadic function is always unsafe.
    if let (Safety::Unsafe(unsafety), None) = (&sig.safety, &sig.variadic) {
        refusals.at(
            unsafety,
            "`#[batched]` can't call an `unsafe fn`: nobody would vouch for each of its calls",
            "annotate a safe function that calls this one",
        );
    }
    if let Some(variadic) = &sig.variadic {
        refusals.at(
            variadic.dots,
            "`#[batched]` can't pass on variadic arguments",
            "annotate a function that calls this one",
        );
    }
}

fn refuse_cfg(sig: &Signature, refusals: &mut Errors) -> bool {
    let of_parameters = sig.inputs.iter().flat_map(|parameter| match parameter {
        FnArg::Receiver(receiver) => &receiver.attrs,
        FnArg::Typed(parameter) => &parameter.attrs,
    });
    let of_generics = sig.generics.params.iter().flat_map(|parameter| match parameter {
        GenericParam::Lifetime(parameter) => &parameter.attrs,
        GenericParam::Type(parameter) => &parameter.attrs,
        GenericParam::Const(parameter) => &parameter.attrs,
    });
    let mut conditional = false;
    for attr in of_parameters.chain(of_generics).filter(|attr| is_condition(&attr.meta)) {
        conditional = true;
        refusals.at(
            attr,
            "`#[batched]` can't follow a `#[cfg]` on a parameter: it is expanded before the condition is known",
            "put the `#[cfg]` on the function, and write one function for each case",
        );
    }
    conditional
}

fn is_condition(meta: &Meta) -> bool {
    meta.path().is_ident("cfg")
        || meta.path().is_ident("cfg_attr") && metas(meta).is_some_and(|metas| metas.iter().skip(1).any(is_condition))
}

/// The parts of a list such as `cfg_attr(unix, inline)`.
fn metas(meta: &Meta) -> Option<Punctuated<Meta, Token![,]>> {
    let Meta::List(list) = meta else { return None };
    list.parse_args_with(Punctuated::parse_terminated).ok()
}

fn refuse_receiver(receiver: Option<&Receiver>, refusals: &mut Errors) {
    let Some(receiver) = receiver else { return };
    let is_mutable = match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => Some(mutability.is_some()),
        ReceiverKind::Typed(_, ty) => match reference(ty) {
            Some(TypeReference { mutability: Some(_), .. }) => Some(true),
            Some(TypeReference { elem, .. }) if text(bare(elem)) == "Self" => Some(false),
            _ => None,
        },
        _ => None,
    };
    let (wrong, help) = match is_mutable {
        Some(false) => return,
        Some(true) => (
            "`#[batched]` can't take `&mut self`: all calls use it at the same time",
            "take `&self`, and keep what changes in a `Mutex` or an atomic",
        ),
        None => (
            "`#[batched]` can't take `self` by value: all calls use it at the same time",
            "take `&self`; for an `Arc` or `Box`, `&self` is what it points to",
        ),
    };
    // The message doesn't mark the parameter's attributes.
    refusals.at(Receiver { attrs: Vec::new(), ..receiver.clone() }, wrong, help);
}

fn refuse_parameters(sig: &Signature, item: Option<&PatType>, shared: &[PatType], refusals: &mut Errors) {
    match item {
        None if sig.variadic.is_none() => refusals.at(
            quote_spanned!(sig.paren_token.span.join()=> ()),
            "`#[batched]` needs a parameter for the item",
            "make the item the first parameter after `self`, if there is one",
        ),
        Some(PatType { ty, .. }) if is_mutable_reference(ty) => refusals.at(
            ty,
            "`#[batched]` can't take items as `&mut`",
            "take the item by value and return it, or take `&T` and return what is new",
        ),
        _ => {}
    }
    for PatType { ty, .. } in shared.iter().filter(|shared| is_mutable_reference(&shared.ty)) {
        refusals.at(
            ty,
            "`#[batched]` can't share a `&mut` parameter: all calls use it at the same time",
            "take a `&Mutex<T>` or an atomic, or return what was found and gather the results",
        );
    }
    if let Some(thirteenth) = shared.get(MOST_SHARED) {
        refusals.at(
            thirteenth,
            format!("`#[batched]` takes at most {MOST_SHARED} parameters beside the item"),
            "put them in a struct and pass a reference to it",
        );
    }
}

fn refuse_never(output: &ReturnType, refusals: &mut Errors) {
    if let ReturnType::Type(_, ty) = output
        && let Type::Never(_) = &**ty
    {
        refusals.at(
            ty,
            "`#[batched]` needs a function that returns",
            "return `()`, or a `Result` that says what went wrong",
        );
    }
}

/// Refuses options that don't go with this function.
fn refuse_options(ident: &Ident, receiver: Option<&Receiver>, options: &Options, refusals: &mut Errors) {
    if let Some(name) = options.name.as_ref().filter(|name| name.unraw() == ident.unraw()) {
        refusals.at(
            name,
            format!("`{name}` is the name of the function itself"),
            format!("choose another, or leave `name` out for `{name}_batched`"),
        );
    }
    if let (Some((key, _)), Some(_)) = (&options.in_impl, receiver) {
        refusals.at(
            key,
            "`in_impl` is for functions without `self`: a method is known to stand in an impl",
            "remove `in_impl`",
        );
    }
}

/// Refuses names in `ignore` that are no shared parameters.
fn refuse_ignored(
    receiver: Option<&Receiver>,
    item: Option<&PatType>,
    shared: &[PatType],
    options: &Options,
    refusals: &mut Errors,
) {
    let names = shared.iter().filter_map(|shared| parameter_name(&shared.pat)).map(|name| name.unraw().to_string());
    let names: Vec<String> = receiver.iter().map(|_| "self".to_owned()).chain(names).collect();
    let item = item.and_then(|item| parameter_name(&item.pat));
    for (at, ignored) in options.ignored.iter().enumerate() {
        let name = ignored.to_string();
        if options.ignored[..at].contains(ignored) {
            refusals.at(ignored, format!("`{name}` is ignored twice"), "keep one of the two");
        } else if item.is_some_and(|item| item.unraw() == *ignored) {
            refusals.at(
                ignored,
                format!("`{name}` is the item, which can't be ignored"),
                "state by `key` what tells items apart",
            );
        } else if !names.contains(&name) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let help = match (nearest(&name, &names), names.as_slice()) {
                (Some(name), _) => format!("did you mean `{name}`?"),
                (None, []) => "leave `ignore` out: this function has none".to_owned(),
                (None, names) => format!("the shared parameters are `{}`", names.join("`, `")),
            };
            refusals.at(ignored, format!("`{name}` is no shared parameter of this function"), help);
        }
    }
}

/// Refuses options that need a `Result` from the function. rustc judges a name that may be an alias
/// of one.
fn refuse_no_result(sig: &Signature, options: &Options, refusals: &mut Errors) {
    let (option, what_for) = match (&options.on_error, options.fallible_input) {
        (Some(_), _) => ("on_error", "`on_error` decides about its error"),
        (None, true) => ("fallible_input", "an error of the input becomes its error"),
        (None, false) => return,
    };
    let what = format!("`{option}` needs a function that returns a `Result`");
    let help = format!("return a `Result`: {what_for}; or remove `{option}`");
    match &sig.output {
        ReturnType::Default => refusals.at(&sig.ident, what, help),
        ReturnType::Type(_, ty) if is_no_result(ty) => refusals.at(ty, what, help),
        ReturnType::Type(..) => {}
    }
}

/// Refuses a checkpoint of results that are seen to be borrowed. rustc would mark the whole
/// attribute, with a lifetime that the user did not write.
fn refuse_borrowed_result(output: &ReturnType, options: &Options, refusals: &mut Errors) {
    let ReturnType::Type(_, ty) = output else { return };
    if !options.has("checkpoint") {
        return;
    }
    let value = match last_segment(ty) {
        // A policy may keep the error.
        Some(last) if last.ident == "Result" => arguments(last).next(),
        // The value of an alias may be any of its arguments, or none.
        _ if options.on_error.is_some() => None,
        _ => Some(&**ty),
    };
    if let Some(borrowed) = value.and_then(borrowed_part) {
        refusals.at(
            borrowed,
            "`checkpoint` can't store a result that is borrowed",
            "return an owned value, such as `String` for `&str`; or use `journal`, which stores no results",
        );
    }
}

/// A reference that a result consists of, and that can't be read back. References to a type of the
/// user's own can be: to a value that lives for ever.
fn borrowed_part(ty: &Type) -> Option<&Type> {
    match bare(ty) {
        ty @ Type::Reference(TypeReference { elem, .. }) => match bare(elem) {
            Type::Slice(_) | Type::Tuple(_) => Some(ty),
            elem => last_segment(elem).filter(|last| last.ident == "str").map(|_| ty),
        },
        Type::Tuple(tuple) => tuple.elems.iter().find_map(borrowed_part),
        Type::Array(array) => borrowed_part(&array.elem),
        ty => transparent_arguments(ty)?.find_map(borrowed_part),
    }
}

fn is_mutable_reference(ty: &Type) -> bool {
    reference(ty).is_some_and(|reference| reference.mutability.is_some())
}

/// True if the tokens say `Self` outside of items, which begin with one of these words.
fn says_self(tokens: TokenStream, items: &[&str]) -> bool {
    let mut in_item = false;
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) if ident == "Self" => !in_item,
        TokenTree::Ident(ident) => {
            in_item |= items.iter().any(|item| ident == item);
            false
        }
        TokenTree::Group(group) => {
            let own = in_item;
            in_item &= group.delimiter() != Delimiter::Brace;
            !own && says_self(group.stream(), items)
        }
        TokenTree::Punct(punct) => {
            in_item &= punct.as_char() != ';';
            false
        }
        TokenTree::Literal(_) => false,
    })
}

/// The attributes of the original that the wrapper needs too.
pub(crate) fn inherited(attrs: &[Attribute]) -> Vec<TokenStream> {
    attrs.iter().filter_map(|attr| inherited_meta(&attr.meta)).map(|meta| quote!(#[#meta])).collect()
}

fn inherited_meta(meta: &Meta) -> Option<TokenStream> {
    let is = |name: &str| meta.path().is_ident(name);
    if is("cfg") || is("deprecated") || is("allow") {
        return Some(meta.to_token_stream());
    }
    let mut metas = metas(meta)?.into_iter();
    if is("doc") {
        return metas.any(|meta| meta.path().is_ident("hidden")).then(|| quote!(doc(hidden)));
    }
    if is("expect") {
        // The wrapper need not cause the lint that is expected of the original. To allow that it is
        // dead would keep the original alive, which breaks the expectation.
        let kept: Vec<_> =
            metas.filter(|lint| !["dead_code", "unused"].iter().any(|dead| lint.path().is_ident(dead))).collect();
        return (!kept.is_empty()).then(|| quote!(allow(#(#kept),*)));
    }
    if is("cfg_attr") {
        let condition = metas.next()?;
        let kept: Vec<_> = metas.filter_map(|meta| inherited_meta(&meta)).collect();
        return (!kept.is_empty()).then(|| quote!(cfg_attr(#condition, #(#kept),*)));
    }
    None
}

/// The name of a parameter, if its pattern is a name.
pub(crate) fn parameter_name(pat: &Pat) -> Option<&Ident> {
    match pat {
        Pat::Ident(ident) => Some(&ident.ident),
        Pat::Paren(paren) => parameter_name(&paren.pat),
        Pat::Type(typed) => parameter_name(&typed.pat),
        _ => None,
    }
}
