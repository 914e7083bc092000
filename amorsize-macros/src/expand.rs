use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{
    CapturedParam, ConstParam, Expr, GenericParam, Generics, Type, TypeParam, TypeParamBound, parse_quote,
    parse_quote_spanned,
};

use crate::at_fault;
use crate::bounds;
use crate::normalize::{Normalized, Shared, in_every_lifetime};
use crate::options::{Options, Setting, Takes};
use crate::signature::inherited;
use crate::spans::{after, before, here};
use crate::types::{each_type, paths, reference};
use crate::values::Value;

/// Writes the wrapper: a function that prepares a run of the original over many items.
pub(crate) fn wrapper(function: &Normalized) -> TokenStream {
    let mut generics = bounds::stated(function);
    if let Some(input_error) = &function.input_error {
        let traits = function.options.traits(Span::call_site());
        // A bound can't hold an `impl Trait`, and this one needs the error alone.
        let output = without_impl(&function.output, |span| parse_quote_spanned!(span=> ()));
        let kept = function.options.has("retry").then(|| quote!(+ ::core::clone::Clone));
        let bound = parse_quote!(#input_error: #traits::InputError<#output> #kept);
        generics.make_where_clause().predicates.insert(0, bound);
    }
    let signature = signature(function, &generics, &captured(function));
    let body = body(function);
    quote!(#signature { #body })
}

/// A function in the place of a wrapper that was refused: without it rustc would report its calls
/// too. Where a policy needs a `Result` and there is none, it returns one, for the same reason.
pub(crate) fn stub(function: &Normalized) -> TokenStream {
    let mut output = captured(function);
    if function.options.on_error.is_some() && at_fault::is_no_result(&output) {
        output = parse_quote!(::core::result::Result<#output, ::core::convert::Infallible>);
    }
    let signature = signature(function, &function.generics, &output);
    quote!(#signature { ::core::unreachable!() })
}

fn signature(function: &Normalized, generics: &Generics, output: &Type) -> TokenStream {
    let Normalized { wrapper, items_type, items, input_error, shared, .. } = function;
    let krate = function.options.krate(Span::call_site());
    let item = taken(function);
    let policy = policy(function.options);
    let policy = if function.options.waits_for_directory() {
        let policy = policy.unwrap_or_else(|| each(&krate));
        Some(quote!(, #krate::Keyed<#policy>))
    } else {
        policy.map(|policy| quote!(, #policy))
    };
    let attrs = inherited(&function.function.attrs);
    // Any other `allow` would be an error in a crate that forbids the lint.
    let calls_deprecated = attrs.iter().any(|attr| attr.to_string().contains("deprecated"));
    let deprecated = calls_deprecated.then(|| quote!(#[allow(deprecated)]));
    let doc = doc(function);
    let vis = &function.function.vis;
    let parameters_of_type = generics.params.iter();
    let mut parameters: Vec<_> = shared.iter().map(|shared| shared.parameter.clone()).collect();
    parameters.insert(function.place_of_item(), quote!(#items: #items_type));
    let types = shared.iter().map(|shared| &shared.ty);
    let stated = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let input_error = input_error.iter();
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #deprecated
        #vis fn #wrapper<#(#parameters_of_type,)* #items_type #(, #input_error)*>(#(#parameters),*) -> #krate::Batched<#items_type, #output, (#(#types,)*) #policy>
        where
            #items_type: ::core::iter::IntoIterator<Item = #item>,
            #(#stated,)*
    }
}

/// The type of the input's items.
fn taken(function: &Normalized) -> TokenStream {
    let item = &function.item;
    match &function.input_error {
        Some(input_error) => quote!(::core::result::Result<#item, #input_error>),
        None => item.to_token_stream(),
    }
}

/// The runtime's type of the policy for errors, if there is one.
fn policy(options: &Options) -> Option<TokenStream> {
    let krate = options.krate(Span::call_site());
    options.on_error.as_ref().map(|policy| quote!(#krate::on_error::#policy))
}

/// The policy of results that are handed over as they are.
fn each(krate: &TokenStream) -> TokenStream {
    quote!(#krate::on_error::Each)
}

fn doc(function: &Normalized) -> String {
    let original = function.function.sig.ident.unraw();
    // A module or a type can have the same name.
    let link = if function.function.in_impl { format!("Self::{original}") } else { format!("fn@{original}") };
    format!(
        "Runs [`{original}`]({link}) over many items: on all cores, in batches that fit a memory budget.\n\n\
         It gives a run. Nothing happens before one of its methods starts it, such as `collect`, which gives the \
         results in the order of the items."
    )
}

fn body(function: &Normalized) -> TokenStream {
    let Normalized { options, items, items_type, shared, .. } = function;
    let private = options.private(Span::call_site());
    let item = taken(function);
    let (types, values) = (shared.iter().map(|shared| &shared.ty), shared.iter().map(|shared| &shared.value));
    let fallible = if options.fallible_input { "fallible_" } else { "" };
    let new = format_ident!("{fallible}new{}", shared.len());
    let (plain_item, input_error) = (&function.item, function.input_error.iter());
    let items_types = quote!(#plain_item #(, #input_error)*);
    let output = inferred(&function.output);
    let checks = checks(function, &output);
    let measure_output = if is_written_out(&output) {
        quote!(#private::Probe::<#output>::NEW.measure())
    } else {
        unwritten_measure().into_token_stream()
    };
    let call = call(function);
    let settings = Settings::of(function);
    let Settings { constants, run: run_options, .. } = &settings;
    let mut run = quote! {
        #private::#new::<#items_types, #output, #(#types,)* #items_type>(
            #items,
            (#(#values,)*),
            #call,
            (#private::Probe::<#item>::NEW.measure(), #measure_output),
            #run_options,
        )
    };
    if cfg!(feature = "durable") {
        run = coded(&run, function, settings.version.as_ref());
    }
    if let Some(retry) = &settings.retry {
        let retrying = format_ident!("{fallible}retrying");
        run = quote!(#private::#retrying::<#items_types, #output, _, _>(#run, #retry));
    }
    if let Some(policy) = policy(options) {
        run = quote!(#private::on_error::<#output, #policy, _, _>(#run));
    }
    let run = made_durable(run, function, &output, &settings);
    quote!(#constants #checks #run)
}

/// The run with the options that are methods of it, and those for going on in a later process.
///
/// The calls that provide what a store needs check the types, at the user's own: so rustc says once
/// what is missing.
fn made_durable(mut run: TokenStream, function: &Normalized, output: &Type, settings: &Settings) -> TokenStream {
    let Normalized { options, item, input_error, .. } = function;
    let (private, traits) = (options.private(Span::call_site()), options.traits(Span::call_site()));
    if let Some((key, value)) = &settings.key {
        let value = match input_error {
            Some(input_error) => quote!(#private::key_if_given::<#item, #input_error, _>(#value)),
            None => value.clone(),
        };
        run = quote!(#run.#key(#value));
        if !options.waits_for_directory() {
            run = quote!(#private::without_mark(#run));
        }
    }
    if let Some((kept, directory)) = &settings.keeps {
        let hash = match input_error {
            _ if options.states_key => quote!(::core::option::Option::None),
            Some(input_error) => quote!(<#item as #traits::HashedItem>::hash_if_given::<#input_error>()),
            None => quote!(<#item as #traits::HashedItem>::hash()),
        };
        let codec = (kept == "checkpoint").then(|| {
            let krate = options.krate(Span::call_site());
            let policy = policy(options).unwrap_or_else(|| each(&krate));
            quote!(, <#output as #traits::StoredOutput<#policy>>::codec())
        });
        run = quote!(#private::#kept(#run, #directory, #hash #codec));
    }
    let methods = &settings.methods;
    quote!(#run #methods)
}

/// The run with the code of its function.
fn coded(run: &TokenStream, function: &Normalized, version: Option<&TokenStream>) -> TokenStream {
    let private = function.options.private(Span::call_site());
    let (name, tokens) = (function.function.sig.ident.unraw().to_string(), function.function.code);
    let version = version.map(|version| quote!(.version(#version)));
    let [shared, told] = ["shared", "told"].map(|name| Ident::new(name, Span::mixed_site()));
    let method = function.function.in_impl.then(|| quote!(#told.method_of::<Self>();));
    let parameters = function.hashed().map(|(at, Shared { known_as, ty, .. })| {
        let at = syn::Index::from(at);
        let probe = match in_every_lifetime(ty, function.names.clone()) {
            Some((lifetime, ty)) => quote! {
                #private::BorrowedHashProbe::<dyn for<#lifetime> #private::Borrowed<#lifetime, Type = #ty>>
            },
            None => quote!(#private::HashProbe::<#ty>),
        };
        quote!(#told.shared(#known_as, #probe::NEW.hash_fn(), &#shared.#at);)
    });
    // The type of an `impl Trait` is in the hands of its parameter alone, so `ignore` leaves out
    // both.
    let ignored: Vec<_> =
        function.shared.iter().filter(|shared| function.ignores(shared)).flat_map(|shared| paths(&shared.ty)).collect();
    let generics = function.generics.params.iter().map(|parameter| match parameter {
        GenericParam::Const(ConstParam { ident, .. }) => quote!(#told.generic_value(&#ident);),
        GenericParam::Type(TypeParam { ident, .. })
            if !(function.anonymous.contains(ident) && ignored.contains(ident)) =>
        {
            quote!(#told.generic_type::<#ident>();)
        }
        _ => TokenStream::new(),
    });
    let tell = quote!(#method #(#generics)* #(#parameters)*);
    let tell = if tell.is_empty() { quote!(|_, _| {}) } else { quote!(|#shared, #told| { let _ = #shared; #tell }) };
    quote! {
        #private::coded(
            #run,
            const { &#private::Code::new(::core::concat!(::core::module_path!(), "::", #name), #tokens) #version },
            #tell,
        )
    }
}

/// Statements that ask the function's types for the traits of `bounds`.
///
/// Each type is asked by itself before it is used. So rustc reports once that it can't do
/// something, at the place where the user wrote it, in words that speak of the function.
fn checks(function: &Normalized, output: &Type) -> TokenStream {
    let Normalized { options, item, shared, .. } = function;
    let traits = options.traits(Span::call_site());
    let check = |ty: &Type, name: &str| {
        let name = Ident::new(name, Span::call_site());
        quote!(<#ty as #traits::#name>::CHECKED)
    };
    let written_out = is_written_out(output);
    let mut checks = vec![check(item, if at_fault::within(item, "Send") { "SendItem" } else { "BatchItem" })];
    let mut ask = TokenStream::new();
    if written_out {
        checks.push(check(output, if at_fault::within_result(output) { "SendOutput" } else { "BatchOutput" }));
    } else {
        let measure = unwritten_measure();
        ask = quote!(let #measure = <#output as #traits::BatchOutput>::unmeasured(););
    }
    checks.extend(
        shared.iter().map(|Shared { ty, .. }| {
            check(ty, if at_fault::within(ty, "Sync") { "SyncShared" } else { "BatchShared" })
        }),
    );
    if options.has("retry") {
        checks.push(check(item, "RetryItem"));
    }
    if options.keeps() {
        checks.extend(function.hashed().map(|(_, shared)| check(&shared.ty, "HashedShared")));
    }
    // Several options need a `Result`; an output is asked once.
    let asks_for_result = match (&options.on_error, options.fallible_input, options.has("retry")) {
        (Some(_), ..) => Some("OnErrorOutput"),
        (None, true, _) => Some("FallibleInputOutput"),
        (None, false, true) => Some("RetryOutput"),
        (None, false, false) => None,
    };
    // For a type that can't be written, the option's own call asks.
    checks.extend(asks_for_result.filter(|_| written_out).map(|name| check(output, name)));
    quote!(#ask let _ = (#(#checks,)*);)
}

/// The variable that measures an output of a type that can't be written.
fn unwritten_measure() -> Ident {
    Ident::new("measure", Span::mixed_site())
}

/// A function that captures nothing and calls the original for each item of a quota.
fn call(function: &Normalized) -> TokenStream {
    let (private, traits) = (function.options.private(Span::call_site()), function.options.traits(Span::call_site()));
    let sig = &function.function.sig;
    // Hygiene keeps these variables apart from the user's names.
    let [quota, shared, item, error] =
        ["quota", "shared", "item", "error"].map(|name| Ident::new(name, Span::mixed_site()));
    let original = &sig.ident;
    let path = if function.function.in_impl { quote!(Self::#original) } else { quote!(#original) };
    let generics = sig.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(TypeParam { ident, .. }) | GenericParam::Const(ConstParam { ident, .. }) => Some(ident),
    });
    let generics: Vec<_> = generics.collect();
    let turbofish = (!generics.is_empty()).then(|| quote!(::<#(#generics),*>));
    let arguments = function.shared.iter().enumerate().map(|(at, Shared { ty, .. })| {
        let at = syn::Index::from(at);
        match reference(ty) {
            Some(_) => quote!(#shared.#at),
            None => quote!(<#ty as #traits::BatchValue>::value(&#shared.#at)),
        }
    });
    let mut arguments: Vec<_> = arguments.collect();
    let pattern = if arguments.is_empty() { quote!(_) } else { shared.to_token_stream() };
    arguments.insert(function.place_of_item(), item.to_token_stream());
    let mut call = quote!(#path #turbofish(#(#arguments),*));
    if function.input_error.is_some() {
        let fails = if is_written_out(&inferred(&function.output)) {
            quote!(#traits::InputError::into_result)
        } else {
            quote!(#private::failed)
        };
        call = quote! {
            match #item {
                ::core::result::Result::Ok(#item) => #call,
                ::core::result::Result::Err(#error) => #fails(#error),
            }
        };
    }
    quote!(|#quota, #pattern| #quota.run(|#item| #call))
}

fn is_written_out(ty: &Type) -> bool {
    let mut written_out = true;
    each_type(&mut ty.clone(), |ty| {
        written_out &= !matches!(ty, Type::Infer(_));
        written_out
    });
    written_out
}

/// The output with `_` for each `impl Trait`, as it can stand in a function's body.
fn inferred(output: &Type) -> Type {
    without_impl(output, |span| parse_quote_spanned!(span=> _))
}

/// The output with another type for each `impl Trait`.
fn without_impl(output: &Type, instead: fn(Span) -> Type) -> Type {
    let mut output = output.clone();
    each_type(&mut output, |ty| {
        let Type::ImplTrait(impl_trait) = ty else { return true };
        *ty = instead(impl_trait.impl_token.span);
        false
    });
    output
}

/// The output with the wrapper's own type parameters in each `use<..>`, which has to list them all.
fn captured(function: &Normalized) -> Type {
    let own = function.anonymous.iter().chain([&function.items_type]).chain(&function.input_error);
    let mut output = function.output.clone();
    each_type(&mut output, |ty| {
        let Type::ImplTrait(impl_trait) = ty else { return true };
        for bound in &mut impl_trait.bounds {
            if let TypeParamBound::PreciseCapture(capture) = bound {
                capture.params.extend(own.clone().cloned().map(CapturedParam::Ident));
            }
        }
        true
    });
    output
}

/// The options, as tokens.
#[derive(Default)]
struct Settings {
    /// The constants in which the runtime judges values.
    constants: TokenStream,
    /// The options of any run.
    run: TokenStream,
    retry: Option<TokenStream>,
    version: Option<TokenStream>,
    /// The name of the option that keeps something, and the directory.
    keeps: Option<(Ident, TokenStream)>,
    /// The option's name, and the function.
    key: Option<(Ident, TokenStream)>,
    /// Calls of the run's methods for all other options.
    methods: TokenStream,
}

impl Settings {
    fn of(function: &Normalized) -> Self {
        let private = function.options.private(Span::call_site());
        let (mut settings, mut of_any) = (Self::default(), TokenStream::new());
        let mut max_memory = quote!(::core::option::Option::None);
        for Setting { key, takes, value } in &function.options.settings {
            let ty = takes.typed().map(|ty| Ident::new(ty, Span::call_site())).map(|ty| quote!(#private::#ty));
            let value = match value {
                Value::Known(value) => ty.map_or_else(|| value.clone(), |ty| quote!(#ty::#value)),
                // A closure is no constant.
                Value::Constant(value) if matches!(takes, Takes::Key) => value.to_token_stream(),
                Value::Constant(value) if depends_on_generics(function, value) => {
                    judged(key, *takes, value, function.options)
                }
                Value::Constant(value) => {
                    // The compiler judges it at the definition, even if nothing calls the wrapper.
                    let judged = judged(key, *takes, value, function.options);
                    // The expression may call a macro that says any name: items have no hygiene.
                    let name = format_ident!("__AMORSIZE_{}", key.to_string().to_uppercase());
                    let ty = ty.unwrap_or_else(|| type_of(*takes, function.options));
                    settings.constants.extend(quote!(const #name: #ty = #judged;));
                    name.into_token_stream()
                }
            };
            let span = if takes.is_durable() { key.span() } else { Span::call_site() };
            let key = Ident::new(&key.to_string(), span);
            match takes {
                Takes::Version => settings.version = Some(value),
                Takes::Key => settings.key = Some((key, value)),
                Takes::Directory if key != "spill_dir" => {
                    settings.keeps = Some((Ident::new(&key.to_string(), Span::call_site()), value));
                }
                takes if takes.is_durable() || matches!(takes, Takes::Flag) => {
                    settings.methods.extend(quote!(.#key(#value)));
                }
                Takes::MaxMemory => max_memory = quote!(::core::option::Option::Some(#value)),
                Takes::Retry => settings.retry = Some(quote!(const { #value })),
                _ => of_any.extend(quote!(.#key(#value))),
            }
        }
        let name = function.function.sig.ident.unraw().to_string();
        settings.run = quote!(const { #private::Options::new(#max_memory).named(#name) #of_any });
        settings
    }
}

/// The type of an option that has none of the runtime.
fn type_of(takes: Takes, options: &Options) -> TokenStream {
    match takes {
        Takes::Progress => {
            let krate = options.krate(Span::call_site());
            quote!(fn(&#krate::Progress))
        }
        Takes::Flag | Takes::DurableFlag => quote!(::core::primitive::bool),
        Takes::Directory => quote!(&'static ::core::primitive::str),
        _ => quote!(::core::primitive::usize),
    }
}

/// An expression as the runtime judges it. rustc reports at the expression that its value is
/// refused or its type doesn't fit, and doesn't speak of a macro: the calls have the user's own
/// context.
fn judged(key: &Ident, takes: Takes, value: &Expr, options: &Options) -> TokenStream {
    let span = value.span();
    let (start, end) = (before(span), after(span));
    let value = unlinted(value);
    // rustc reports a foreign type at the value, and an unforeseen one at this name as well.
    let checked = Ident::new("checked", here(span));
    if let Some(ty) = takes.typed() {
        let traits = options.traits(start);
        let judge = format_ident!("{ty}Value", span = start);
        return quote_spanned!(end=> #traits::#judge::of(#value).#checked());
    }
    if let Takes::Directory = takes {
        let (traits, refusal) = (options.traits(start), format!("`{key}` must not be empty"));
        return quote_spanned!(end=> #traits::DirectoryValue::of(#value, #refusal).#checked());
    }
    let private = options.private(start);
    let given = Ident::new("value", here(end));
    let (colons, last) = (quote_spanned!(here(start)=> ::), here(end));
    let number = quote_spanned!(last=> #colons core::primitive::usize);
    let (ty, judge) = match takes {
        Takes::Count(_) => {
            let refusal = format!("`{key}` must be at least 1");
            (number, quote_spanned!(end=> #private::count(#given, #refusal)))
        }
        Takes::Threads => (number, quote_spanned!(end=> #private::threads(#given))),
        _ => return value,
    };
    quote_spanned!(last=> { let #given: #ty = #value; #judge })
}

/// The value with its braces, if it has some, as ours. As the user's they would cause a warning
/// where the value is an argument.
fn unlinted(value: &Expr) -> TokenStream {
    let tokens = value.to_token_stream().into_iter().map(|token| match token {
        TokenTree::Group(mut group) if group.delimiter() == Delimiter::Brace && matches!(value, Expr::Block(_)) => {
            group.set_span(here(group.span()));
            TokenTree::Group(group)
        }
        token => token,
    });
    tokens.collect()
}

/// True if an expression needs the function's generic parameters, which a constant doesn't have.
fn depends_on_generics(function: &Normalized, value: &Expr) -> bool {
    fn says_any(tokens: TokenStream, parameters: &bounds::Parameters) -> bool {
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let path_follows = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
            let says = match token {
                TokenTree::Ident(ident) => parameters.contain_value(&ident, path_follows),
                TokenTree::Group(group) => says_any(group.stream(), parameters),
                _ => false,
            };
            if says {
                return true;
            }
        }
        false
    }
    says_any(value.to_token_stream(), &bounds::Parameters::of(function))
}
