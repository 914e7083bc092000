//! The text of expansions, for shapes that a user of the attribute can't see.

use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;

use crate::annotate;

/// The expansion without white space: the tests compare words only.
fn expansion(options: TokenStream, function: TokenStream) -> String {
    squeezed(&annotate(options, function).to_string())
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[track_caller]
fn assert_says(expansion: &str, part: TokenStream) {
    let part = squeezed(&part.to_string());
    assert!(expansion.contains(&part), "\n{part}\nis not in\n{expansion}");
}

#[test]
fn the_original_comes_first_and_untouched() {
    let original = quote! {
        #[must_use] pub(crate) const fn f(mut x: u32) -> u32 { x += 1; not even syntax }
    };
    let squeezed = squeezed(&original.to_string());
    for options in [quote!(), quote!(batch_size = 0, bach_size = 3)] {
        assert!(expansion(options, original.clone()).starts_with(&squeezed));
    }
    let refused = quote!(
        async fn f(self) -> ! {}
    );
    assert!(expansion(quote!(), refused.clone()).starts_with(&self::squeezed(&refused.to_string())));
}

#[test]
fn elided_lifetimes_are_named() {
    let text = expansion(
        quote!(),
        quote!(
            pub fn late(x: &str, k: &str, n: Config) -> usize {
                0
            }
        ),
    );
    assert_says(
        &text,
        quote! {
            pub fn late_batched<'item, 'k, Items>(items: Items, k: &'k str, n: Config)
                -> ::amorsize::Batched<Items, usize, (&'k str, Config,)>
            where Items: ::core::iter::IntoIterator<Item = &'item str>,
        },
    );
    assert_says(
        &text,
        quote! {
            ::amorsize::__private::new2::<&'item str, usize, &'k str, Config, Items>
        },
    );
    assert_says(
        &text,
        quote! {
            |quota, shared| quota.run(|item| late(item, shared.0, <Config as ::amorsize::bounds::BatchValue>::value(&shared.1)))
        },
    );
}

#[test]
fn fresh_names_differ_from_the_users() {
    let function = quote!(
        fn f<'item>(x: &Items<'item>, items: &str, y: impl Item) {}
    );
    assert_says(
        &expansion(quote!(), function),
        quote! {
            fn f_batched<'item: 'item2, 'item2, 'items, Y: Item + ::amorsize::__private::Clone + ::amorsize::__private::Sync, Items2>(
                items2: Items2, items: &'items str, y: Y)
        },
    );
}

#[test]
fn what_references_imply_is_said() {
    let function = quote!(
        fn f<T: Clone, U>(x: &[&T], y: Vec<U>) {}
    );
    assert_says(
        &expansion(quote!(), function),
        quote! {
            fn f_batched<'item, 'item2: 'item,
                T: Clone + ::amorsize::__private::Sync + 'item + 'item2,
                U: ::amorsize::__private::Clone + ::amorsize::__private::Sync, Items>
        },
    );
}

#[test]
fn bounds_stand_on_what_depends_on_a_parameter() {
    let function = quote!(
        fn f<T: Shape>(x: T::Out, y: &Page<T>) -> Option<Arc<T>> {
            None
        }
    );
    assert_says(
        &expansion(quote!(), function),
        quote! {
            where
                Items: ::core::iter::IntoIterator<Item = T::Out>,
                T::Out: ::amorsize::__private::Send,
                Arc<T>: ::amorsize::__private::Send,
                Page<T>: ::amorsize::__private::Sync,
        },
    );
}

#[test]
fn the_lifetime_of_self_is_that_of_the_output() {
    let function = quote!(
        fn f(&self, x: &str) -> &str {
            ""
        }
    );
    let text = expansion(quote!(), function);
    assert_says(&text, quote!(fn f_batched<'this_ref, 'item_ref, BatchItems>(&'this_ref self, items: BatchItems)));
    assert_says(&text, quote!(::amorsize::Batched<BatchItems, &'this_ref str, (&'this_ref Self,)>));
    assert_says(&text, quote!(Self::f(shared.0, item)));
}

#[test]
fn self_is_looked_for_in_the_function_itself() {
    for (function, in_impl) in [
        (
            quote!(
                fn f(x: u32) -> Self {
                    x
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) -> impl Iterator<Item = Self> {
                    x
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) {
                    vec![Self::new()];
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) {
                    x.union(y).map(Self::g);
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) {
                    struct A;
                    impl A {
                        fn a() -> Self {
                            A
                        }
                    }
                }
            ),
            false,
        ),
        (
            quote!(
                fn f(x: u32) {
                    struct A;
                    impl A {
                        fn a() -> Self {
                            A
                        }
                    }
                    Self::b()
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) {
                    struct A;
                    Self::b()
                }
            ),
            true,
        ),
        (
            quote!(
                fn f(x: u32) {}
            ),
            false,
        ),
    ] {
        let text = function.to_string();
        assert_eq!(expansion(quote!(), function).contains("Self::f(item)"), in_impl, "{text}");
    }
    assert_says(
        &expansion(
            quote!(in_impl),
            quote!(
                fn f(x: u32) {}
            ),
        ),
        quote!(Self::f(item)),
    );
    let written = expansion(
        quote!(in_impl = false),
        quote!(
            fn f(x: u32) {
                quote!(Self)
            }
        ),
    );
    assert_says(&written, quote!(quota.run(|item| f(item))));
}

#[test]
fn a_mistake_in_a_function_is_rustcs() {
    for function in [
        quote!(fn f(x u32) -> impl Sized { x }),
        quote!(
            pub(crate) extern "C" fn f(x: u32) -> impl {
                x
            }
        ),
    ] {
        let text = expansion(quote!(), function);
        assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
        assert!(!text.contains("standsonfunctionsonly"), "{text}");
    }
}

#[test]
fn raw_names_are_the_same_names() {
    let function = quote!(
        fn f(x: u32, r#client: u8) {}
    );
    let text = expansion(quote!(name = r#f), function.clone());
    assert!(text.contains("isthenameofthefunctionitself"), "{text}");
    if cfg!(feature = "durable") {
        let text = expansion(quote!(ignore(client)), function);
        assert!(!text.contains("compile_error!") && !text.contains("told.shared"), "{text}");
    }
}

#[test]
fn a_condition_within_a_condition_is_one() {
    let function = quote!(
        fn f(x: u32, #[cfg_attr(unix, allow(unused), cfg(windows))] y: u8, #[cfg_attr(unix, allow(unused))] z: u8) {}
    );
    let text = expansion(quote!(), function);
    assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
}

#[test]
fn each_expression_is_written_once() {
    let text = expansion(
        quote!(batch_size = MANY, max_memory = SHARE),
        quote!(
            fn f(x: u32) {}
        ),
    );
    assert_eq!(text.matches("MANY").count(), 1, "{text}");
    assert_eq!(text.matches("SHARE").count(), 1, "{text}");
}

#[test]
fn a_refused_function_has_a_stub() {
    for function in [
        quote!(
            fn f(&mut self, x: u32) -> u32 {
                0
            }
        ),
        quote!(
            fn f(self: Box<Self>, x: u32) -> u32 {
                0
            }
        ),
    ] {
        let text = expansion(quote!(), function);
        assert_eq!(text.matches("compile_error!").count(), 1, "{text}");
        assert_says(&text, quote!({ ::core::unreachable!() }));
    }
}

#[test]
fn inherited_attributes() {
    let text = expansion(
        quote!(),
        quote! {
            #[cfg(unix)]
            #[doc(hidden, alias = "g")]
            /// Text.
            #[must_use]
            #[expect(dead_code, clippy::ptr_arg)]
            #[cfg_attr(all(), deprecated, inline)]
            #[allow(unused)]
            fn f(x: u32) {}
        },
    );
    let wrapper = &text[text.find("fnf(").unwrap()..];
    assert_says(
        wrapper,
        quote! {
            #[cfg(unix)]
            #[doc(hidden)]
            #[allow(clippy::ptr_arg)]
            #[cfg_attr(all(), deprecated)]
            #[allow(unused)]
        },
    );
    assert!(!wrapper.contains("must_use"), "{wrapper}");
}

#[test]
fn a_run_knows_the_name_of_its_function() {
    for (options, function, name) in [
        (
            quote!(),
            quote!(
                fn decode(x: u32) {}
            ),
            "decode",
        ),
        (
            quote!(name = all, batch_size = 3),
            quote!(
                fn r#try(&self, x: u32) {}
            ),
            "try",
        ),
    ] {
        let text = expansion(options, function);
        assert_says(&text, quote!(Options::new(::core::option::Option::None).named(#name)));
    }
}

#[test]
fn a_run_knows_its_code_where_amorsize_has_a_use_for_it() {
    let function = quote!(
        fn f(&self, x: u32, by: &[u8], client: Client, (a, b): (u8, u8)) -> u32 {
            0
        }
    );
    let text = expansion(quote!(), function.clone());
    if !cfg!(feature = "durable") {
        assert!(!text.contains("coded"), "{text}");
        return;
    }
    let tokens = crate::code::hash(&function);
    assert_says(
        &text,
        quote! {
            const { &::amorsize::__private::Code::new(::core::concat!(::core::module_path!(), "::", "f"), #tokens) },
            |shared, told| {
                let _ = shared;
                told.method_of::<Self>();
                told.shared("self", ::amorsize::__private::HashProbe::<&'this_ref Self>::NEW.hash_fn(), &shared.0);
                told.shared("by", ::amorsize::__private::HashProbe::<&'by_ref [u8]>::NEW.hash_fn(), &shared.1);
                told.shared("client", ::amorsize::__private::HashProbe::<Client>::NEW.hash_fn(), &shared.2);
                told.shared("shared", ::amorsize::__private::HashProbe::<(u8, u8)>::NEW.hash_fn(), &shared.3);
            },
        },
    );
    // Nothing is asked of types before the run is to keep something.
    assert!(!text.contains("HashedShared") && !text.contains("HashedItem"), "{text}");
    let ignoring = expansion(quote!(ignore(client, self), journal = "runs", version = 3), function);
    assert!(!ignoring.contains("told.shared(\"client\"") && !ignoring.contains("told.shared(\"self\""), "{ignoring}");
    assert_says(&ignoring, quote!(<&'by_ref [u8] as ::amorsize::bounds::HashedShared>::CHECKED));
    assert!(!ignoring.contains("<Clientas::amorsize::bounds::HashedShared>"), "{ignoring}");
    assert_says(&ignoring, quote!(#tokens));
    assert_says(&ignoring, quote!(.version(::amorsize::__private::Version::Number(3u64))));
    assert_says(&ignoring, quote!("runs", <u32 as ::amorsize::bounds::HashedItem>::hash()));
}

#[test]
fn a_run_knows_its_generic_arguments_but_for_ignored_ones() {
    if !cfg!(feature = "durable") {
        return;
    }
    let function = quote!(
        fn f<'a, T, const N: usize>(x: &'a T, by: impl Ord, client: impl Get) {}
    );
    let text = expansion(quote!(ignore(client)), function);
    assert_says(
        &text,
        quote! {
            let _ = shared;
            told.generic_type::<T>();
            told.generic_value(&N);
            told.generic_type::<By>();
            told.shared(
                "by",
                ::amorsize::__private::HashProbe::<By>::NEW.hash_fn(),
                &shared.0
            );
        },
    );
}

#[test]
fn the_wrapper_states_what_a_durable_run_needs() {
    if !cfg!(feature = "durable") {
        return;
    }
    let function = quote!(
        fn f<T: Hash, U, V: Clone>(x: Vec<T>, with: &Page<U>, pool: V) -> Result<Option<T>, io::Error> {
            x
        }
    );
    assert_says(
        &expansion(quote!(checkpoint = "runs", on_error = "stop", ignore(pool)), function),
        quote! {
            fn f_batched<'with,
                T: Hash + ::amorsize::__private::DeserializeOwned + ::amorsize::__private::Send
                    + ::amorsize::__private::Serialize,
                U, V: Clone + ::amorsize::__private::Sync, Items>
        },
    );
}

#[test]
fn a_policy_is_part_of_the_type() {
    let text = expansion(
        quote!(on_error = "skip"),
        quote!(
            fn f(x: u32) -> io::Result<u8> {}
        ),
    );
    assert_says(&text, quote!(-> ::amorsize::Batched<Items, io::Result<u8>, (), ::amorsize::on_error::Skip>));
    assert_says(&text, quote!(::amorsize::__private::on_error::<io::Result<u8>, ::amorsize::on_error::Skip, _, _>));
}

#[test]
fn an_input_that_can_fail_has_its_own_error() {
    let text = expansion(
        quote!(fallible_input),
        quote!(
            fn f<InputError>(x: &InputError) -> Result<impl Sized, ()> {}
        ),
    );
    assert_says(
        &text,
        quote! {
            Items: ::core::iter::IntoIterator<Item = ::core::result::Result<&'item InputError, InputError2> >,
            InputError2: ::amorsize::bounds::InputError<Result<(), ()> >,
        },
    );
    assert_says(&text, quote!(::core::result::Result::Err(error) => ::amorsize::__private::failed(error)));
}

/// The files of the crate: each uses only files before it. `lib.rs` joins them.
const ORDER: [&str; 16] = [
    "types",
    "errors",
    "bytes",
    "values",
    "max_memory",
    "options",
    "at_fault",
    "code",
    "signature",
    "names",
    "spans",
    "normalize",
    "bounds",
    "expand",
    "features",
    "deep_size",
];

#[test]
fn files_use_only_files_before_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (at, file) in ORDER.iter().enumerate() {
        let text = fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
        for later in &ORDER[at..] {
            assert!(!text.contains(&format!("crate::{later}")), "{file} uses {later}");
        }
    }
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name.ends_with(".rs") && !["lib.rs", "tests.rs"].contains(&name.as_str()));
    assert_eq!(files.count(), ORDER.len(), "a file is not in the order");
}
