use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{CapturedParam, Expr, GenericParam, Generics, PreciseCapture, Type, TypeParam, parse_quote_spanned};

use crate::at_fault::{self, Auto};
use crate::bounds::{self, hashed};
use crate::normalize::{Normalized, Shared, in_every_lifetime};
use crate::options::{Options, Setting, Takes};
use crate::signature::inherited;
use crate::spans::{after, before, here};
use crate::values::Value;

/// Writes the wrapper: a function that prepares a run of the original over many items.
pub(crate) fn wrapper(function: &Normalized, options: &Options) -> TokenStream {
    let signature = signature(function, options, bounds::stated(function, options));
    let body = body(function, options);
    quote!(#signature { #body })
}

/// The wrapper without its body.
fn signature(function: &Normalized, options: &Options, generics: Generics) -> TokenStream {
    let Normalized { input_error, .. } = function;
    let can_fail = input_error.iter().map(|input_error| {
        let traits = options.traits(Span::call_site());
        // A bound can't hold an `impl Trait`, and this one needs the error alone.
        let output = without_impl(&function.output, |span| parse_quote_spanned!(span=> ()));
        let kept = options.retry().is_some().then(|| quote!(+ ::core::clone::Clone));
        quote!(#input_error: #traits::InputError<#output> #kept,)
    });
    let bound = quote!(#(#can_fail)*);
    signature_with(function, options, generics, &captured(function).to_token_stream(), &bound)
}

/// The same for a function that was refused. Where a policy needs a `Result` and there is none, it
/// returns one, so that rustc doesn't report its calls too.
pub(crate) fn stub_signature(function: &Normalized, options: &Options) -> TokenStream {
    let output = captured(function);
    let output = match options.on_error {
        Some(_) if at_fault::is_no_result(&output) => {
            quote!(::core::result::Result<#output, ::core::convert::Infallible>)
        }
        _ => output.to_token_stream(),
    };
    signature_with(function, options, function.generics.clone(), &output, &TokenStream::new())
}

fn signature_with(
    function: &Normalized,
    options: &Options,
    generics: Generics,
    output: &TokenStream,
    bound_of_input_error: &TokenStream,
) -> TokenStream {
    let Normalized { wrapper, items_type, items, input_error, .. } = function;
    let krate = options.krate(Span::call_site());
    let item = taken(function);
    let policy = policy(options);
    let attrs = inherited(&function.function.attrs);
    // Any other `allow` would be an error in a crate that forbids the lint.
    let calls_deprecated = attrs.iter().any(|attr| attr.to_string().contains("deprecated"));
    let deprecated = calls_deprecated.then(|| quote!(#[allow(deprecated)]));
    let doc = doc(function);
    let vis = function.vis();
    let parameters_of_type = generics.params.iter();
    let receiver = function.receiver.iter().map(|receiver| &receiver.tokens);
    let parameters = function.shared.iter().map(|Shared { name, ty, .. }| quote!(#name: #ty));
    let parameters = receiver.cloned().chain([quote!(#items: #items_type)]).chain(parameters);
    let shared = shared_types(function);
    let stated = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let input_error = input_error.iter();
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #deprecated
        #vis fn #wrapper<#(#parameters_of_type,)* #items_type #(, #input_error)*>(#(#parameters),*) -> #krate::Batched<#items_type, #output, (#(#shared,)*) #policy>
        where
            #items_type: ::core::iter::IntoIterator<Item = #item>,
            #bound_of_input_error
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

/// The last argument of the run's type, if it has a policy.
fn policy(options: &Options) -> Option<TokenStream> {
    let krate = options.krate(Span::call_site());
    options.on_error.as_ref().map(|policy| quote!(, #krate::on_error::#policy))
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

/// The types of the shared parameters.
fn shared_types<'n>(function: &'n Normalized) -> Vec<&'n Type> {
    let receiver = function.receiver.iter().map(|receiver| &receiver.ty);
    receiver.chain(function.shared.iter().map(|shared| &shared.ty)).collect()
}

fn body(function: &Normalized, options: &Options) -> TokenStream {
    let Normalized { items, items_type, .. } = function;
    let private = options.private(Span::call_site());
    let item = taken(function);
    let shared_types = shared_types(function);
    let receiver = function.receiver.iter().map(|_| quote!(self));
    let shared = function.shared.iter().map(|Shared { name, .. }| name.to_token_stream());
    let shared = receiver.chain(shared);
    let (new, retrying) =
        if options.fallible_input { ("fallible_new", "fallible_retrying") } else { ("new", "retrying") };
    let new = Ident::new(&format!("{new}{}", shared_types.len()), Span::call_site());
    let retrying = Ident::new(retrying, Span::call_site());
    let (plain_item, input_error) = (&function.item, function.input_error.iter());
    let items_types = quote!(#plain_item #(, #input_error)*);
    let output = inferred(&function.output);
    let Checks { checks, unmeasured } = checks(function, options, &output);
    let measure_output = match unmeasured {
        Some(unmeasured) => unmeasured.to_token_stream(),
        None => measure(&output, &output, &private),
    };
    let measure = [measure(&function.item, &item, &private), measure_output];
    let call = call(function, options);
    let RunOptions { constants, options: run_options, retry, durable } = run_options(function, options, &private);
    let run = quote! {
        #private::#new::<#items_types, #output, #(#shared_types,)* #items_type>(
            #items,
            (#(#shared,)*),
            #call,
            (#(#measure),*),
            #run_options,
        )
    };
    let run = coded(run, function, options, durable.version.as_ref());
    let run = match retry {
        Some(retry) => quote!(#private::#retrying::<#items_types, #output, _, _>(#run, #retry)),
        None => run,
    };
    let run = match &options.on_error {
        Some(policy) => {
            let krate = options.krate(Span::call_site());
            quote!(#private::on_error::<#output, #krate::on_error::#policy, _, _>(#run))
        }
        None => run,
    };
    let run = made_durable(run, function, options, &output, &durable);
    quote!(#constants #checks #run)
}

/// The run with the options for going on in a later process.
///
/// The calls that provide what a store needs check the types, at the user's own: so rustc says once
/// what is missing.
fn made_durable(
    run: TokenStream,
    function: &Normalized,
    options: &Options,
    output: &Type,
    durable: &Durable,
) -> TokenStream {
    let (private, traits) = (options.private(Span::call_site()), options.traits(Span::call_site()));
    let krate = options.krate(Span::call_site());
    let item = &function.item;
    let run = match &durable.key {
        Some((key, value)) => {
            let value = match &function.input_error {
                Some(input_error) => quote!(#private::key_if_given::<#item, #input_error, _>(#value)),
                None => value.clone(),
            };
            quote!(#private::without_mark(#run.#key(#value)))
        }
        None => run,
    };
    let hash = match (&durable.key, &function.input_error) {
        (Some(_), _) => quote!(::core::option::Option::None),
        (None, Some(input_error)) => quote!(<#item as #traits::HashedItem>::hash_if_given::<#input_error>()),
        (None, None) => quote!(<#item as #traits::HashedItem>::hash()),
    };
    let policy = options.on_error.as_ref().map_or_else(|| quote!(Each), Clone::clone);
    let run = match &durable.checkpoint {
        Some(directory) => {
            let codec = quote!(<#output as #traits::StoredOutput<#krate::on_error::#policy>>::codec());
            quote!(#private::checkpoint(#run, #directory, #hash, #codec))
        }
        None => run,
    };
    let run = match &durable.journal {
        Some(directory) => quote!(#private::journal(#run, #directory, #hash)),
        None => run,
    };
    let methods = &durable.methods;
    quote!(#run #methods)
}

/// The run with the code of its function, where amorsize has a use for it.
fn coded(run: TokenStream, function: &Normalized, options: &Options, version: Option<&TokenStream>) -> TokenStream {
    if !cfg!(feature = "durable") {
        return run;
    }
    let private = options.private(Span::call_site());
    let (name, tokens) = (function.function.sig.ident.unraw().to_string(), function.function.code);
    let version = version.map(|version| quote!(.version(#version)));
    let [shared, told] = ["shared", "told"].map(|name| Ident::new(name, Span::mixed_site()));
    let method = function.function.in_impl.then(|| quote!(#told.method_of::<Self>();));
    let parameters = hashed(function, options).into_iter().map(|(at, name, ty)| {
        let at = syn::Index::from(at);
        let probe = match in_every_lifetime(ty, function.names.clone()) {
            Some((lifetime, ty)) => quote! {
                #private::BorrowedHashProbe::<dyn for<#lifetime> #private::Borrowed<#lifetime, Type = #ty>>
            },
            None => quote!(#private::HashProbe::<#ty>),
        };
        quote!(#told.shared(#name, #probe::NEW.hash_fn(), &#shared.#at);)
    });
    let generics = told_generics(function, options).map(|parameter| match parameter {
        GenericParam::Const(parameter) => {
            let name = &parameter.ident;
            quote!(#told.generic_value(&#name);)
        }
        GenericParam::Type(parameter) => {
            let name = &parameter.ident;
            quote!(#told.generic_type::<#name>();)
        }
        GenericParam::Lifetime(_) => TokenStream::new(),
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

/// The generic parameters that results may depend on. The type of an `impl Trait` is in the hands
/// of its parameter alone, so `ignore` leaves out both.
fn told_generics<'n>(function: &'n Normalized, options: &Options) -> impl Iterator<Item = &'n GenericParam> {
    let hashed: Vec<usize> = hashed(function, options).into_iter().map(|(at, ..)| at).collect();
    let ignored: Vec<_> =
        shared_types(function).into_iter().enumerate().filter(|(at, _)| !hashed.contains(at)).collect();
    function.generics.params.iter().filter(move |parameter| match parameter {
        GenericParam::Lifetime(_) => false,
        GenericParam::Type(TypeParam { ident, .. }) => {
            !(function.anonymous.contains(ident) && ignored.iter().any(|(_, ty)| bounds::mentions(ty, ident)))
        }
        GenericParam::Const(_) => true,
    })
}

struct Checks {
    /// Statements that ask the function's types for the traits of `bounds`.
    checks: TokenStream,
    /// The variable that measures an output of a type that can't be written.
    unmeasured: Option<Ident>,
}

/// Each type is asked by itself before it is used. So rustc reports once that it can't do
/// something, at the place where the user wrote it, in words that speak of the function.
fn checks(function: &Normalized, options: &Options, output: &Type) -> Checks {
    let traits = options.traits(Span::call_site());
    let item = function.item.to_token_stream();
    let check = |ty: &TokenStream, name: &str| {
        let name = Ident::new(name, Span::call_site());
        quote!(<#ty as #traits::#name>::CHECKED)
    };
    let (of_items, of_output) = (at_fault::within(&function.item, Auto::Send), at_fault::within_result(output));
    let mut checks = vec![check(&item, if of_items { "SendItem" } else { "BatchItem" })];
    let mut unmeasured = None;
    let mut ask = TokenStream::new();
    if is_written_out(output) {
        checks.push(check(&output.to_token_stream(), if of_output { "SendOutput" } else { "BatchOutput" }));
    } else {
        let measure = Ident::new("measure", Span::mixed_site());
        ask = quote!(let #measure = <#output as #traits::BatchOutput>::unmeasured(););
        unmeasured = Some(measure);
    }
    for ty in shared_types(function) {
        checks.push(check(
            &ty.to_token_stream(),
            if at_fault::within(ty, Auto::Sync) { "SyncShared" } else { "BatchShared" },
        ));
    }
    if options.retry().is_some() {
        checks.push(check(&item, "RetryItem"));
    }
    if options.keeps() {
        let parameters = hashed(function, options);
        checks.extend(parameters.iter().map(|(_, _, ty)| check(&ty.to_token_stream(), "HashedShared")));
    }
    // Several options need a `Result`; an output is asked once.
    let asks_for_result = match (&options.on_error, options.fallible_input, options.retry()) {
        (Some(_), ..) => Some("OnErrorOutput"),
        (None, true, _) => Some("FallibleInputOutput"),
        (None, false, Some(_)) => Some("RetryOutput"),
        (None, false, None) => None,
    };
    // For a type that can't be written, the option's own call asks.
    let asks_for_result = asks_for_result.filter(|_| unmeasured.is_none());
    checks.extend(asks_for_result.map(|name| check(&output.to_token_stream(), name)));
    Checks { checks: quote!(#ask let _ = (#(#checks,)*);), unmeasured }
}

/// A function that captures nothing and calls the original for each item of a quota.
fn call(function: &Normalized, options: &Options) -> TokenStream {
    let (private, traits) = (options.private(Span::call_site()), options.traits(Span::call_site()));
    let sig = &function.function.sig;
    // Hygiene keeps these variables apart from the user's names.
    let [quota, shared, item] = ["quota", "shared", "item"].map(|name| Ident::new(name, Span::mixed_site()));
    let original = &sig.ident;
    let path = if function.function.in_impl { quote!(Self::#original) } else { quote!(#original) };
    let generics = sig.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Lifetime(_) => None,
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
    });
    let generics: Vec<_> = generics.collect();
    let turbofish = (!generics.is_empty()).then(|| quote!(::<#(#generics),*>));
    let receiver = function.receiver.iter().map(|_| None);
    let by_value = function.shared.iter().map(|shared| (!shared.by_reference).then_some(&shared.ty));
    let mut arguments: Vec<_> = receiver
        .chain(by_value)
        .enumerate()
        .map(|(index, by_value)| {
            let index = syn::Index::from(index);
            let Some(ty) = by_value else { return quote!(#shared.#index) };
            quote!(<#ty as #traits::BatchValue>::value(&#shared.#index))
        })
        .collect();
    let pattern = if arguments.is_empty() { quote!(_) } else { shared.to_token_stream() };
    arguments.insert(usize::from(function.receiver.is_some()), item.to_token_stream());
    let call = quote!(#path #turbofish(#(#arguments),*));
    let call = match &function.input_error {
        Some(_) => {
            let error = Ident::new("error", Span::mixed_site());
            let fails = if is_written_out(&inferred(&function.output)) {
                quote!(#traits::InputError::into_result)
            } else {
                quote!(#private::failed)
            };
            quote! {
                match #item {
                    ::core::result::Result::Ok(#item) => #call,
                    ::core::result::Result::Err(#error) => #fails(#error),
                }
            }
        }
        None => call,
    };
    quote!(|#quota, #pattern| #quota.run(|#item| #call))
}

/// Chooses how values of `ty` are measured. A type that can't be written can't be asked.
fn measure(written: &Type, ty: impl ToTokens, private: &TokenStream) -> TokenStream {
    if is_written_out(written) {
        quote!(#private::Probe::<#ty>::NEW.measure())
    } else {
        quote!(#private::Measure::unknown())
    }
}

fn is_written_out(ty: &Type) -> bool {
    struct Found(bool);
    impl VisitMut for Found {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            self.0 |= matches!(ty, Type::Infer(_));
            visit_mut::visit_type_mut(self, ty);
        }

        fn visit_expr_mut(&mut self, _: &mut Expr) {}
    }
    let mut found = Found(false);
    found.visit_type_mut(&mut ty.clone());
    !found.0
}

/// The output with `_` for each `impl Trait`, as it can stand in a function's body.
fn inferred(output: &Type) -> Type {
    without_impl(output, |span| parse_quote_spanned!(span=> _))
}

/// The output with another type for each `impl Trait`.
fn without_impl(output: &Type, instead: fn(Span) -> Type) -> Type {
    struct Without(fn(Span) -> Type);
    impl VisitMut for Without {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            match ty {
                Type::ImplTrait(impl_trait) => *ty = self.0(impl_trait.impl_token.span),
                ty => visit_mut::visit_type_mut(self, ty),
            }
        }

        fn visit_expr_mut(&mut self, _: &mut Expr) {}
    }
    let mut output = output.clone();
    Without(instead).visit_type_mut(&mut output);
    output
}

/// The output with the wrapper's own type parameters in each `use<..>`, which has to list them all.
fn captured(function: &Normalized) -> Type {
    struct Captured<'c>(Vec<&'c Ident>);
    impl VisitMut for Captured<'_> {
        fn visit_precise_capture_mut(&mut self, capture: &mut PreciseCapture) {
            capture.params.extend(self.0.iter().map(|&ident| CapturedParam::Ident(ident.clone())));
        }

        fn visit_expr_mut(&mut self, _: &mut Expr) {}
    }
    let mut output = function.output.clone();
    let own = function.anonymous.iter().chain([&function.items_type]).chain(&function.input_error).collect();
    Captured(own).visit_type_mut(&mut output);
    output
}

struct RunOptions {
    /// The constants in which the runtime judges values.
    constants: TokenStream,
    /// The options of the run.
    options: TokenStream,
    /// The option `retry`, which is no part of them.
    retry: Option<TokenStream>,
    durable: Durable,
}

/// The options of a durable run, as tokens.
#[derive(Default)]
struct Durable {
    version: Option<TokenStream>,
    checkpoint: Option<TokenStream>,
    journal: Option<TokenStream>,
    /// The option's name, and the function.
    key: Option<(Ident, TokenStream)>,
    /// Calls of the run's methods for all others.
    methods: TokenStream,
}

fn run_options(function: &Normalized, options: &Options, private: &TokenStream) -> RunOptions {
    let mut names = function.names.clone();
    let (mut constants, mut methods) = (TokenStream::new(), TokenStream::new());
    let (mut max_memory, mut retry) = (quote!(::core::option::Option::None), None);
    let mut durable = Durable::default();
    for Setting { key, takes, value } in &options.settings {
        let ty = takes.typed().map(|ty| Ident::new(ty, Span::call_site())).map(|ty| quote!(#private::#ty));
        let value = match value {
            Value::Known(value) => ty.map(|ty| quote!(#ty::#value)).unwrap_or_else(|| value.clone()),
            // A closure is no constant.
            Value::Constant(value) if matches!(takes, Takes::Key) => value.to_token_stream(),
            Value::Constant(value) => {
                let judged = judged(key, *takes, value, options);
                if depends_on_generics(function, value) {
                    judged
                } else {
                    // The compiler judges it at the definition, even if nothing calls the wrapper.
                    let name = names.ident(&key.to_string().to_uppercase(), Span::call_site());
                    let ty = ty.unwrap_or_else(|| type_of(*takes, options));
                    constants.extend(quote!(const #name: #ty = #judged;));
                    name.into_token_stream()
                }
            }
        };
        let span = if takes.is_durable() { key.span() } else { Span::call_site() };
        let key = Ident::new(&key.to_string(), span);
        match takes {
            Takes::Version => durable.version = Some(value),
            Takes::Key => durable.key = Some((key, value)),
            Takes::Directory if key == "checkpoint" => durable.checkpoint = Some(value),
            Takes::Directory if key == "journal" => durable.journal = Some(value),
            takes if takes.is_durable() => durable.methods.extend(quote!(.#key(#value))),
            Takes::MaxMemory => max_memory = quote!(::core::option::Option::Some(#value)),
            Takes::Retry => retry = Some(quote!(const { #value })),
            Takes::Bar => methods.extend(quote!(.bar())),
            _ => methods.extend(quote!(.#key(#value))),
        }
    }
    let name = function.function.sig.ident.unraw().to_string();
    let options = quote!(const { #private::Options::new(#max_memory).named(#name) #methods });
    RunOptions { constants, options, retry, durable }
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
    if let Some(ty) = takes.typed() {
        let traits = options.traits(start);
        let judge = format_ident!("{ty}Value", span = start);
        // rustc reports a foreign type at the value, and an unforeseen one at this name as well.
        let checked = Ident::new("checked", here(span));
        return quote_spanned!(end=> #traits::#judge::of(#value).#checked());
    }
    let private = options.private(start);
    let refusal = format!("`{key}` must be at least 1");
    let given = Ident::new("value", here(end));
    let (colons, last) = (quote_spanned!(here(start)=> ::), here(end));
    if let Takes::Directory = takes {
        let refusal = format!("`{key}` must not be empty");
        let judge = quote_spanned!(end=> #private::directory(#given, #refusal));
        return quote_spanned!(last=> { let #given: &'static #colons core::primitive::str = #value; #judge });
    }
    let judge = match takes {
        Takes::Count(_) => quote_spanned!(end=> #private::count(#given, #refusal)),
        Takes::Threads => quote_spanned!(end=> #private::threads(#given)),
        _ => return value.to_token_stream(),
    };
    quote_spanned!(last=> { let #given: #colons core::primitive::usize = #value; #judge })
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
