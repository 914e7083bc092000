use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitBool, Path, Token, UnOp};

use crate::bytes;
use crate::errors::{Errors, nearest};
use crate::max_memory::{self, MANY};

/// What stands in the parentheses of the attribute, as far as it could be read.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) max_memory: Option<Setting>,
    /// `batch_size`, `sample_size`, `threads`, `in_flight`, `oversize` and `verbose`, in the user's
    /// order.
    pub(crate) settings: Vec<Setting>,
    pub(crate) retry: Option<Setting>,
    pub(crate) progress: Option<Progress>,
    pub(crate) name: Option<Ident>,
    pub(crate) krate: Option<Path>,
    pub(crate) in_impl: Option<(Ident, bool)>,
    /// The name of the runtime's type that says what becomes of errors.
    pub(crate) on_error: Option<&'static str>,
    /// Whether the items are `Result`s.
    pub(crate) fallible_input: bool,
    /// Everything that was given, for the names in it.
    pub(crate) tokens: TokenStream,
}

/// An option of the run: handed on to the runtime's method of the same name.
pub(crate) struct Setting {
    pub(crate) key: Ident,
    pub(crate) value: Expr,
    /// Whether the value is a literal, and so was judged here. Others are judged by a const assertion.
    pub(crate) literal: bool,
}

/// How the progress of the run is told.
pub(crate) enum Progress {
    /// By a bar, if so.
    Bar(bool),
    /// By a function.
    Function(Setting),
}

#[derive(Clone, Copy)]
enum Kind {
    MaxMemory,
    Count,
    /// One of some names, as a text.
    Choice(&'static [&'static str]),
    Verbose,
    Progress,
    Retry,
    Name,
    Crate,
    InImpl,
    OnError,
    TryInput,
}

/// The options, each with an example of its value.
const OPTIONS: [(&str, Kind, &str); 15] = [
    ("max_memory", Kind::MaxMemory, "0.5"),
    ("batch_size", Kind::Count, "100"),
    ("sample_size", Kind::Count, "5"),
    ("threads", Kind::Count, "4"),
    ("in_flight", Kind::Count, "64"),
    ("oversize", Kind::Choice(&["alone", "error"]), "\"error\""),
    ("on_panic", Kind::Choice(&["propagate", "skip", "collect"]), "\"skip\""),
    ("on_error", Kind::OnError, "\"skip\""),
    ("fallible_input", Kind::TryInput, "true"),
    ("verbose", Kind::Verbose, "true"),
    ("progress", Kind::Progress, "true"),
    ("retry", Kind::Retry, "3"),
    ("name", Kind::Name, "many"),
    ("crate", Kind::Crate, "my_crate::amorsize"),
    ("in_impl", Kind::InImpl, "true"),
];

/// More threads than any machine has cores. The runtime refuses more, too.
const MOST_THREADS: u128 = 65_535;

impl Options {
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self { tokens: tokens.clone(), ..Self::default() };
        let mut seen = Vec::new();
        let parser = |input: ParseStream| {
            while !input.is_empty() {
                if let Err(error) = options.parse_one(input, &mut seen, errors) {
                    errors.push(error);
                    skip_to_comma(input)?;
                }
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        };
        if let Err(error) = parser.parse2(tokens) {
            errors.push(error);
        }
        options
    }

    /// One option and its value. What is wrong with the value alone goes to `errors`; an error that comes back leaves the
    /// rest of the option unread.
    fn parse_one(&mut self, input: ParseStream, seen: &mut Vec<String>, errors: &mut Errors) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(not_an_option(input)?);
        }
        let key = input.call(Ident::parse_any)?;
        let name = key.to_string();
        let Some((_, kind, example)) = OPTIONS.into_iter().find(|(option, ..)| *option == name) else {
            return Err(unknown(&key, &name));
        };
        if seen.contains(&name) {
            return Err(error(&key, format!("`{name}` is given twice"), "keep one of the two"));
        }
        seen.push(name.clone());
        let Some(value) = parse_value(input, &key, kind, example)? else {
            self.set_flag(key, kind, errors);
            return Ok(());
        };
        match kind {
            Kind::MaxMemory => self.max_memory = max_memory::judge(key, value, errors),
            Kind::Count => self.settings.extend(judge_count(key, value, errors)),
            Kind::Choice(choices) => self.settings.extend(judge_choice(key, value, choices, errors)),
            Kind::Verbose => self.settings.extend(judge_verbose(key, value, errors)),
            Kind::Progress => self.progress = judge_progress(key, value, errors),
            Kind::Retry => self.retry = judge_count(key, value, errors),
            Kind::Name => self.name = judge_name(&value, errors),
            Kind::Crate => self.krate = judge_crate(&value, errors),
            Kind::InImpl => self.in_impl = judge_flag(&key, &value, errors).map(|flag| (key, flag)),
            Kind::OnError => self.on_error = judge_on_error(key, value, errors),
            Kind::TryInput => self.fallible_input = judge_flag(&key, &value, errors).unwrap_or(false),
        }
        if input.is_empty() || input.peek(Token![,]) {
            return Ok(());
        }
        let token: TokenTree = input.fork().parse()?;
        Err(error(token, "expected a comma after the option's value", "separate the options by commas"))
    }

    fn set_flag(&mut self, key: Ident, kind: Kind, errors: &mut Errors) {
        match kind {
            Kind::InImpl => self.in_impl = Some((key, true)),
            Kind::TryInput => self.fallible_input = true,
            Kind::Progress => self.progress = judge_bar(&key, true, errors),
            _ => {
                let lit = Lit::Bool(LitBool::new(true, key.span()));
                let value = Expr::Lit(ExprLit { attrs: Vec::new(), lit });
                self.settings.push(Setting { key, value, literal: true });
            }
        }
    }
}

pub(crate) fn error(tokens: impl ToTokens, what: impl AsRef<str>, help: impl AsRef<str>) -> syn::Error {
    syn::Error::new_spanned(tokens, format!("{}\nhelp: {}", what.as_ref(), help.as_ref()))
}

fn not_an_option(input: ParseStream) -> syn::Result<syn::Error> {
    let token: TokenTree = input.fork().parse()?;
    let help = match &token {
        TokenTree::Literal(literal) => match syn::parse2::<Lit>(literal.to_token_stream()) {
            Ok(Lit::Int(int)) => match int.base10_parse::<u64>() {
                Ok(number @ MANY..) => format!(
                    "if this is the memory budget, write `max_memory = {:?}`; if it is the size of batches, `batch_size = {int}`",
                    bytes::with_unit(number)
                ),
                _ => format!("if this is the size of batches, write `batch_size = {int}`"),
            },
            _ => format!("if this is the memory budget, write `max_memory = {literal}`"),
        },
        _ => "an option is written as `name = value`, such as `max_memory = 0.5`".to_owned(),
    };
    Ok(error(token, "expected the name of an option", help))
}

/// What each run decides for itself, and only its methods set.
const METHODS: [(&str, &str); 3] =
    [("timeout", "Duration::from_secs(60)"), ("deadline", "deadline"), ("cancel_token", "token")];

fn unknown(key: &Ident, name: &str) -> syn::Error {
    if let Some((method, value)) = METHODS.into_iter().find(|(method, _)| *method == name) {
        let what = format!("`{method}` is no option of the attribute: each run has its own");
        return error(key, what, format!("call the method of the run: `.{method}({value})`"));
    }
    let names = OPTIONS.map(|(name, ..)| name);
    let help = match nearest(name, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the options are `{}`", names.join("`, `")),
    };
    error(key, format!("unknown option `{name}`"), help)
}

/// The value after the `=`; `None` for a flag that stands alone.
fn parse_value(input: ParseStream, key: &Ident, kind: Kind, example: &str) -> syn::Result<Option<Expr>> {
    let help = format!("write `{key} = {example}`");
    if input.is_empty() || input.peek(Token![,]) {
        return match kind {
            Kind::Verbose | Kind::Progress | Kind::InImpl | Kind::TryInput => Ok(None),
            _ => Err(error(key, format!("`{key}` needs a value"), help)),
        };
    }
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        let token: TokenTree = input.fork().parse()?;
        return Err(error(token, format!("expected `=` after `{key}`"), help));
    }
    let equals: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(error(equals, format!("`{key}` needs a value"), help));
    }
    input.parse().map(Some)
}

pub(crate) fn skip_to_comma(input: ParseStream) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// A value as the judges see it.
pub(crate) enum Value<'v> {
    Literal(&'v Lit),
    /// A minus and a number.
    Negative,
    Other,
}

impl<'v> Value<'v> {
    pub(crate) fn of(value: &'v Expr) -> Self {
        match value {
            // `macro_rules` wraps what it inserts.
            Expr::Group(group) => Self::of(&group.expr),
            Expr::Paren(paren) => Self::of(&paren.expr),
            Expr::Lit(ExprLit { lit, .. }) => Self::Literal(lit),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => match Self::of(expr) {
                Self::Literal(Lit::Int(_) | Lit::Float(_)) => Self::Negative,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

fn judge_count(key: Ident, value: Expr, errors: &mut Errors) -> Option<Setting> {
    let leave_out = match key.to_string().as_str() {
        "retry" => "use 1 or more, or leave `retry` out, so that no call is made again".to_owned(),
        "in_flight" => "use 1 or more, or leave `in_flight` out for no bound but the budget's".to_owned(),
        _ => format!("use 1 or more, or leave `{key}` out and let the run decide"),
    };
    let mut refuse = |what: String, help: &str| {
        errors.at(&value, what, help);
        None
    };
    let literal = match Value::of(&value) {
        Value::Other => false,
        Value::Negative => return refuse(format!("`{key}` must be at least 1"), &leave_out),
        Value::Literal(Lit::Int(int)) => match int.base10_parse::<u128>() {
            Ok(0) => return refuse(format!("`{key}` must be at least 1"), &leave_out),
            Ok(threads) if key == "threads" && threads > MOST_THREADS => {
                return refuse(
                    format!("`threads` must be at most {MOST_THREADS}"),
                    "leave `threads` out to use all cores",
                );
            }
            // Whether it fits the type, rustc says best.
            _ => true,
        },
        Value::Literal(other) => {
            let help = match other {
                Lit::Str(text) if text.value().replace('_', "").parse::<u64>().is_ok_and(|number| number > 0) => {
                    format!("write it without quotes: `{key} = {}`", text.value())
                }
                Lit::Float(float) => match float.base10_parse::<f64>() {
                    // Above it a float holds no longer every whole number.
                    Ok(number) if number >= 1.0 && number.fract() == 0.0 && number < (1u64 << 53) as f64 => {
                        format!("write it without a fraction: `{key} = {number}`")
                    }
                    _ => format!("write a number of 1 or more, such as `{key} = 10`"),
                },
                _ => format!("write a number of 1 or more, such as `{key} = 10`"),
            };
            return refuse(format!("`{key}` takes a whole number"), &help);
        }
    };
    Some(Setting { key, value, literal })
}

fn judge_choice(key: Ident, value: Expr, choices: &[&str], errors: &mut Errors) -> Option<Setting> {
    let all = choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>();
    let all = match all.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => all.join(""),
    };
    let (what, help) = match Value::of(&value) {
        Value::Other => return Some(Setting { key, value, literal: false }),
        Value::Literal(Lit::Str(text)) if choices.contains(&text.value().as_str()) => {
            return Some(Setting { key, value, literal: true });
        }
        Value::Literal(Lit::Str(text)) => {
            let help = match nearest(&text.value(), choices) {
                Some(choice) => format!("did you mean `\"{choice}\"`?"),
                None => format!("use {all}"),
            };
            (format!("`{key}` can't be {:?}", text.value()), help)
        }
        Value::Literal(_) | Value::Negative => (format!("`{key}` takes a text"), format!("use {all}")),
    };
    errors.at(&value, what, help);
    None
}

fn judge_verbose(key: Ident, value: Expr, errors: &mut Errors) -> Option<Setting> {
    let literal = match Value::of(&value) {
        Value::Other => false,
        Value::Literal(Lit::Bool(_)) => true,
        Value::Literal(_) | Value::Negative => {
            errors.at(&value, "`verbose` takes `true` or `false`", help_of_flag(&key, &value));
            return None;
        }
    };
    Some(Setting { key, value, literal })
}

fn judge_progress(key: Ident, value: Expr, errors: &mut Errors) -> Option<Progress> {
    match Value::of(&value) {
        Value::Other => Some(Progress::Function(Setting { key, value, literal: false })),
        Value::Literal(Lit::Bool(bar)) => judge_bar(&key, bar.value, errors),
        Value::Literal(_) | Value::Negative => {
            let help = "write `progress` alone for a bar, or `progress = tell` to have a function `fn tell(progress: &Progress)` told";
            errors.at(&value, "`progress` takes `true`, `false` or a function", help);
            None
        }
    }
}

fn judge_bar(key: &Ident, bar: bool, errors: &mut Errors) -> Option<Progress> {
    if bar && !cfg!(feature = "progress") {
        let help = "add it in Cargo.toml: `amorsize = { .., features = [\"progress\"] }`, or have a function told: `progress = tell`";
        errors.at(key, "a progress bar needs amorsize's feature `progress`", help);
        return None;
    }
    Some(Progress::Bar(bar))
}

fn judge_name(value: &Expr, errors: &mut Errors) -> Option<Ident> {
    let name = syn::parse2::<Ident>(ungrouped(value)).ok();
    if name.is_none() {
        let help = match Value::of(value) {
            Value::Literal(Lit::Str(text)) if syn::parse_str::<Ident>(&text.value()).is_ok() => {
                format!("write it without quotes: `name = {}`", text.value())
            }
            _ => "write an identifier, such as `name = many`".to_owned(),
        };
        errors.at(value, "`name` takes the name of the function to add", help);
    }
    name
}

pub(crate) fn judge_crate(value: &Expr, errors: &mut Errors) -> Option<Path> {
    let path = Path::parse_mod_style.parse2(ungrouped(value)).ok();
    if path.is_none() {
        let help = match Value::of(value) {
            Value::Literal(Lit::Str(text)) if syn::parse_str::<Path>(&text.value()).is_ok() => {
                format!("write it without quotes: `crate = {}`", text.value())
            }
            _ => "write the path at which your crate re-exports amorsize, such as `crate = my_crate::amorsize`"
                .to_owned(),
        };
        errors.at(value, "`crate` takes a path", help);
    }
    path
}

fn judge_flag(key: &Ident, value: &Expr, errors: &mut Errors) -> Option<bool> {
    if let Value::Literal(Lit::Bool(flag)) = Value::of(value) {
        return Some(flag.value);
    }
    // A constant's value is not known while macros are expanded.
    errors.at(value, format!("`{key}` takes `true` or `false`, written as such"), help_of_flag(key, value));
    None
}

fn help_of_flag(key: &Ident, value: &Expr) -> String {
    let is_off = match Value::of(value) {
        Value::Literal(Lit::Int(int)) => int.base10_digits() == "0",
        Value::Literal(Lit::Str(text)) => {
            ["", "0", "false", "no", "off"].contains(&text.value().to_lowercase().as_str())
        }
        _ => false,
    };
    if is_off { format!("leave `{key}` out to have it off") } else { format!("write `{key}` alone to switch it on") }
}

/// The policies by their names in the attribute, and the runtime's types.
const POLICIES: [(&str, &str); 3] = [("stop", "Stop"), ("skip", "Skip"), ("collect", "Collect")];

fn judge_on_error(key: Ident, value: Expr, errors: &mut Errors) -> Option<&'static str> {
    let setting = judge_choice(key, value, &POLICIES.map(|(name, _)| name), errors)?;
    let Value::Literal(Lit::Str(text)) = Value::of(&setting.value) else {
        errors.at(
            &setting.value,
            "`on_error` takes a text, written as such: the type of the run follows from it",
            "use `\"stop\"`, `\"skip\"` or `\"collect\"`; the run's method `on_error` can choose anew",
        );
        return None;
    };
    POLICIES.into_iter().find(|(name, _)| *name == text.value()).map(|(_, policy)| policy)
}

fn ungrouped(value: &Expr) -> TokenStream {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        value => value.to_token_stream(),
    }
}

impl Setting {
    pub(crate) fn span(&self) -> proc_macro2::Span {
        self.value.span()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

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

    #[test]
    fn every_option_is_read() {
        let options = parsed(quote! {
            max_memory = "512MiB", batch_size = 100, sample_size = SAMPLE, threads = 4, in_flight = 64, verbose, retry = 3,
            name = many, crate = a::b, in_impl, on_error = "skip", fallible_input,
        });
        assert!(options.max_memory.unwrap().literal);
        let settings: Vec<_> = options.settings.iter().map(|s| (s.key.to_string(), s.literal)).collect();
        let expected =
            [("batch_size", true), ("sample_size", false), ("threads", true), ("in_flight", true), ("verbose", true)];
        assert_eq!(settings, expected.map(|(key, literal)| (key.to_owned(), literal)));
        assert!(options.retry.unwrap().literal);
        assert_eq!(options.name.unwrap(), "many");
        assert_eq!(options.krate.unwrap().segments.len(), 2);
        assert!(options.in_impl.unwrap().1);
        assert_eq!((options.on_error, options.fallible_input), (Some("Skip"), true));
    }

    #[test]
    fn progress_is_a_bar_or_a_function() {
        for tokens in [quote!(progress = tell), quote!(progress = progress::TELL), quote!(progress = |_| ())] {
            assert!(matches!(parsed(tokens).progress, Some(Progress::Function(Setting { literal: false, .. }))));
        }
        assert!(matches!(parsed(quote!(progress = false)).progress, Some(Progress::Bar(false))));
        for tokens in [quote!(progress), quote!(progress = true)] {
            if cfg!(feature = "progress") {
                assert!(matches!(parsed(tokens).progress, Some(Progress::Bar(true))));
            } else {
                assert!(mistakes(tokens)[0].starts_with("a progress bar needs amorsize's feature `progress`"));
            }
        }
        for tokens in [quote!(progress = "bar"), quote!(progress = 1), quote!(progress = -1)] {
            assert!(mistakes(tokens)[0].starts_with("`progress` takes `true`, `false` or a function"));
        }
    }

    #[test]
    fn nothing_is_fine() {
        assert!(parsed(TokenStream::new()).max_memory.is_none());
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
            assert!(parsed(quote!(max_memory = #tokens)).max_memory.is_some());
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
            quote!(""),
            quote!("0B"),
            quote!("12 bananas"),
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
        for tokens in [quote!(1), quote!(65_535), quote!(1usize), quote!((2)), quote!(COUNT), quote!(2 * COUNT)] {
            assert_eq!(parsed(quote!(threads = #tokens)).settings.len(), 1);
        }
        for tokens in [quote!(0), quote!(65_536), quote!(-1), quote!(1.5), quote!("4"), quote!(true)] {
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
            assert!(parsed(quote!(retry = #tokens)).retry.is_some());
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
            (
                quote!(POLICY),
                "use `\"stop\"`, `\"skip\"` or `\"collect\"`; the run's method `on_error` can choose anew",
            ),
        ] {
            let mistakes = mistakes(quote!(on_error = #tokens));
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].ends_with(&format!("\nhelp: {help}")), "{}", mistakes[0]);
        }
        assert_eq!(parsed(quote!(on_error = ("stop"))).on_error, Some("Stop"));
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
}
