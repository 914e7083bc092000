use super::*;

fn mistakes(tokens: TokenStream) -> Vec<String> {
    let mut errors = Errors::default();
    Options::parse(tokens, &mut errors);
    errors.messages()
}

fn parsed(tokens: TokenStream) -> Options {
    let mut errors = Errors::default();
    let options = Options::parse(tokens, &mut errors);
    assert_eq!(errors.messages(), Vec::<String>::new());
    options
}

/// The setting's value, if it is known.
fn known(setting: &Setting) -> Option<String> {
    match &setting.value {
        Value::Known(value) => Some(value.to_string()),
        Value::Constant(_) => None,
    }
}

#[test]
fn every_option_is_read() {
    let options = parsed(quote! {
        max_memory = "512MiB", batch_size = 100, sample_size = SAMPLE, threads = 4, in_flight = 64, verbose,
        oversize = "error", on_panic = "collect", retry = 3,
        name = many, crate = a::b, in_impl, on_error = "skip", fallible_input,
    });
    let given: Vec<_> = options.settings.iter().map(|setting| (setting.key.to_string(), known(setting))).collect();
    let expected = [
        ("max_memory", None),
        ("batch_size", Some("100")),
        ("sample_size", None),
        // The runtime knows the largest number.
        ("threads", None),
        ("in_flight", Some("64")),
        ("verbose", Some("true")),
        ("oversize", Some("Error")),
        ("on_panic", Some("Collect")),
        ("retry", Some("new (3)")),
    ];
    assert_eq!(given, expected.map(|(key, known)| (key.to_owned(), known.map(str::to_owned))));
    assert_eq!(options.name.unwrap(), "many");
    assert_eq!(options.krate.unwrap().segments.len(), 2);
    assert!(options.in_impl.unwrap().1);
    assert_eq!((options.on_error.unwrap().to_string().as_str(), options.fallible_input), ("Skip", true));
}

#[test]
fn progress_is_a_bar_or_a_function() {
    for tokens in [quote!(progress = tell), quote!(progress = progress::TELL), quote!(progress = |_| ())] {
        assert!(matches!(parsed(tokens).settings[..], [Setting { takes: Takes::Progress, .. }]));
    }
    assert!(parsed(quote!(progress = false)).settings.is_empty());
    for tokens in [quote!(progress), quote!(progress = true)] {
        if cfg!(feature = "progress") {
            assert!(matches!(&parsed(tokens).settings[..], [Setting { key, .. }] if key == "bar"));
        } else {
            assert!(mistakes(tokens)[0].starts_with("a progress bar needs amorsize's feature `progress`"));
        }
    }
    for tokens in [quote!(progress = "bar"), quote!(progress = 1), quote!(progress = -1)] {
        assert!(mistakes(tokens)[0].starts_with("`progress` takes `true`, `false` or a function"));
    }
}

#[test]
fn options_of_durable_runs_need_the_feature() {
    let tokens = quote! {
        checkpoint = "runs/thumbs", version = 3, key = |photo: &Photo| photo.id, ignore(client, self), max_disk = "20GiB",
        spill_dir = SPILLS, remove_when_done,
    };
    if !cfg!(feature = "durable") {
        let names = ["checkpoint", "version", "key", "ignore", "max_disk", "spill_dir", "remove_when_done"];
        let expected = names.map(|name| {
            format!(
                "`{name}` needs amorsize's feature `durable`\nhelp: add it in Cargo.toml: `amorsize = {{ .., features = [\"durable\"] }}`"
            )
        });
        assert_eq!(mistakes(tokens), expected);
        return;
    }
    let options = parsed(tokens);
    let given: Vec<_> = options.settings.iter().map(|setting| (setting.key.to_string(), known(setting))).collect();
    let expected = [
        ("checkpoint", Some("\"runs/thumbs\"")),
        ("version", Some("Number (3u64)")),
        ("key", None),
        ("max_disk", None),
        ("spill_dir", None),
        ("remove_when_done", Some("true")),
    ];
    assert_eq!(given, expected.map(|(key, known)| (key.to_owned(), known.map(str::to_owned))));
    assert_eq!(options.ignored.iter().map(ToString::to_string).collect::<Vec<_>>(), ["client", "self"]);
    assert!(options.keeps() && options.has("key"));
    for (tokens, keeps) in [(quote!(journal = "runs"), true), (quote!(version = "1", max_disk = "1GiB"), false)] {
        assert_eq!(parsed(tokens).keeps(), keeps);
    }
    for version in [quote!(0), quote!(18446744073709551615), quote!(1_u8), quote!("1.2"), quote!(VERSION)] {
        assert_eq!(parsed(quote!(version = #version)).settings.len(), 1, "{version}");
    }
    for version in [quote!(18446744073709551616), quote!(-1), quote!(1.0), quote!(""), quote!('1'), quote!(true)] {
        assert_eq!(mistakes(quote!(version = #version)).len(), 1, "{version}");
    }
}

#[test]
fn ignore_takes_names_in_parentheses() {
    if !cfg!(feature = "durable") {
        return;
    }
    let help = "help: name shared parameters that results don't depend on: `ignore(client, pool)`";
    for tokens in [
        quote!(ignore),
        quote!(ignore()),
        quote!(ignore = client),
        quote!(ignore("client")),
        quote!(ignore(client pool)),
        quote!(ignore(client, 3)),
        quote!(ignore[client]),
    ] {
        let expected = format!("`ignore` takes names in parentheses\n{help}");
        assert_eq!(mistakes(quote!(#tokens, batch_size = 1)), [expected], "{tokens}");
    }
    let names = |tokens| parsed(tokens).ignored.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(quote!(ignore(client, r#type,), verbose)), ["client", "type"]);
}

#[test]
fn nothing_is_fine() {
    assert!(parsed(TokenStream::new()).settings.is_empty());
}

#[test]
fn expressions_keep_their_commas() {
    let options = parsed(quote!(batch_size = size::<u8, u16>(1, 2), threads = { 3 }));
    assert_eq!(options.settings.len(), 2);
}

#[test]
fn the_edges_of_max_memory() {
    for tokens in
        [quote!(1.0), quote!(0.000_1), quote!(1e-3), quote!(0.5f64), quote!("1B"), quote!((0.5)), quote!(HALF)]
    {
        assert_eq!(parsed(quote!(max_memory = #tokens)).settings.len(), 1);
    }
    for tokens in [
        quote!(0.0),
        quote!(1.000001),
        quote!(-0.5),
        quote!(0.5f32),
        quote!(1e999),
        quote!(1),
        quote!(0),
        quote!(512),
        quote!("0.5"),
        quote!(true),
        quote!('a'),
        quote!(b"1MiB"),
    ] {
        assert_eq!(mistakes(quote!(max_memory = #tokens)).len(), 1, "{tokens}");
    }
}

#[test]
fn the_edges_of_the_counts() {
    for tokens in [quote!(1), quote!(65_536), quote!(1usize), quote!((2)), quote!(COUNT), quote!(2 * COUNT)] {
        assert_eq!(parsed(quote!(threads = #tokens)).settings.len(), 1);
    }
    for tokens in [quote!(0), quote!(-1), quote!(1.5), quote!("4"), quote!(true)] {
        assert_eq!(mistakes(quote!(threads = #tokens)).len(), 1, "{tokens}");
    }
    assert_eq!(parsed(quote!(batch_size = 65_536)).settings.len(), 1);
    assert_eq!(parsed(quote!(in_flight = 65_536)).settings.len(), 1);
    for tokens in [quote!(0), quote!(-1)] {
        let expected = "`in_flight` must be at least 1\nhelp: use 1 or more, or leave `in_flight` out for no bound but the \
                        budget's";
        assert_eq!(mistakes(quote!(in_flight = #tokens)), [expected]);
    }
    for tokens in [quote!(1), quote!(100_000), quote!(TRIES), quote!(Retry::new(3).backoff(FIRST))] {
        assert!(parsed(quote!(retry = #tokens)).has("retry"));
    }
    for tokens in [quote!(0), quote!(-1), quote!(1.5), quote!("3"), quote!(true)] {
        assert_eq!(mistakes(quote!(retry = #tokens)).len(), 1, "{tokens}");
    }
}

#[test]
fn what_becomes_of_errors_is_written_as_such() {
    for (tokens, help) in [
        (quote!("skipp"), "did you mean `\"skip\"`?"),
        (quote!("ignore"), "use `\"stop\"`, `\"skip\"` or `\"collect\"`"),
        (quote!(true), "use `\"stop\"`, `\"skip\"` or `\"collect\"`"),
        (quote!(POLICY), "use `\"stop\"`, `\"skip\"` or `\"collect\"`; the run's method `on_error` can choose anew"),
    ] {
        let mistakes = mistakes(quote!(on_error = #tokens));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].ends_with(&format!("\nhelp: {help}")), "{}", mistakes[0]);
    }
    assert_eq!(parsed(quote!(on_error = ("stop"))).on_error.unwrap().to_string(), "Stop");
    assert!(!parsed(quote!(fallible_input = false)).fallible_input);
    assert_eq!(mistakes(quote!(fallible_input = YES)).len(), 1);
}

#[test]
fn every_mistake_is_reported() {
    let mistakes =
        mistakes(quote!(batch_size = 0, bach_size = 3, max_memory: 0.5, threads, threads = 2, name = "x", 7));
    let expected = [
        "`batch_size` must be at least 1\nhelp: use 1 or more, or leave `batch_size` out and let the run decide",
        "unknown option `bach_size`\nhelp: did you mean `batch_size`?",
        "expected `=` after `max_memory`\nhelp: write `max_memory = 0.5`",
        "`threads` needs a value\nhelp: write `threads = 4`",
        "`threads` is given twice\nhelp: keep one of the two",
        "`name` takes the name of the function to add\nhelp: write it without quotes: `name = x`",
        "expected the name of an option\nhelp: if this is the size of batches, write `batch_size = 7`",
    ];
    assert_eq!(mistakes, expected);
}

/// The parts of a message that can be written into the attribute as they stand: options, and values
/// of the option `key`.
fn proposals(message: &str, key: &str) -> Vec<TokenStream> {
    let (_, help) = message.split_once("\nhelp: ").unwrap();
    let proposed = help.split('`').skip(1).step_by(2).filter_map(|text| {
        let is_option = text.contains(" = ") && !text.contains("..");
        let is_value = || syn::parse_str::<Lit>(text).is_ok();
        if is_option { Some(text.to_owned()) } else { is_value().then(|| format!("{key} = {text}")) }
    });
    proposed.map(|option| option.parse().unwrap()).collect()
}

/// Fails if the attribute refuses an option, or the runtime a number or a text of it.
fn assert_accepted(option: TokenStream) {
    for Setting { takes, value, .. } in parsed(option.clone()).settings {
        let literal = match value {
            Value::Known(value) => syn::parse2(value).ok(),
            Value::Constant(value) => values::literal(&value).cloned(),
        };
        let most = if let Takes::Threads = takes { 65_535 } else { u32::MAX };
        match literal {
            Some(Lit::Int(number)) => {
                assert!(number.suffix().is_empty(), "{option}");
                assert!(number.base10_parse().is_ok_and(|number: u32| number > 0 && number <= most), "{option}");
            }
            Some(Lit::Str(text)) if matches!(takes, Takes::MaxMemory) => {
                assert!(bytes::is_bytes(&text.value()), "{option}");
            }
            _ => {}
        }
    }
}

#[test]
fn what_a_help_proposes_is_accepted() {
    const COUNTS: &str = r#""4" "+5" "_5" "5_" "1_000" "0" "-1" "007" "0x10" "5u8" "65_536" "9999999999" 1.0 2.5 1e3 1e5 1e10
        4.0f32 0.0 0 -1 true 'a'"#;
    const BUDGETS: &str = r#""1" ".5" "+0.5" "1." "5e-1" "0.50" "50%" "512" "65536" "512000000" "512M" ".5g" "5.k" "1_024Ki" "_5M"
        "._5M" "20000000T" "0.0001k" "0M" "1e3M" 0.5f32 1f32 2.0f32 0.0f32 5e8f32 1e999 512e6 0 1 2 512 65_536 512_000_000 (5-5)
        1024*1024 -0.5 true 'a'"#;
    const NAMELESS: &str = r#"0 7 7u8 0x10 1_000 512_000_000 5_000_000_000 340282366920938463463374607431768211455 0.5 1.5 0.5f32
        1f64 "512MiB" "512M" "0.5" "many" 'a' b"x" -1"#;
    let mut proposed = 0;
    for (key, values) in [
        ("batch_size", COUNTS),
        ("threads", COUNTS),
        ("retry", COUNTS),
        ("max_memory", BUDGETS),
        ("", NAMELESS),
        ("verbose", "0 \"on\" 1"),
        ("in_impl", "0 \"yes\""),
        ("oversize", "\"alon\" 3"),
        ("on_panic", "\"skipp\" true"),
        ("on_error", "\"skp\" 0 POLICY"),
        ("name", "\"many\" \"fn\" 1"),
        ("crate", "\"a::b\" \"a<b>\" \"fn\" 1"),
    ] {
        for value in values.split_whitespace() {
            let option = if key.is_empty() { value.to_owned() } else { format!("{key} = {value}") };
            for proposal in mistakes(option.parse().unwrap()).iter().flat_map(|message| proposals(message, key)) {
                assert_accepted(proposal);
                proposed += 1;
            }
        }
    }
    assert!(proposed > 100, "{proposed}");
}

/// The docs of the attribute stand beside the runtime, on its re-export.
#[test]
fn the_docs_of_the_attribute_have_every_option_and_no_other() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../amorsize/src/batched.md")).unwrap();
    let tables = docs
        .split("| option | takes |")
        .skip(1)
        .flat_map(|rest| rest.lines().skip(2).take_while(|line| line.starts_with('|')));
    let rows = tables.filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let mut documented: Vec<&str> = rows.collect();
    documented.sort_unstable();
    documented.dedup();
    let mut options: Vec<&str> = OPTIONS.iter().map(|(option, ..)| *option).collect();
    options.sort_unstable();
    assert_eq!(documented, options);
}
