use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Lit, Path, Token};

use crate::errors::{Errors, error, nearest};
use crate::max_memory;
use crate::values::{self, Form, Value};

/// The options in the parentheses of the attribute, as far as they could be read.
#[derive(Default)]
pub(crate) struct Options {
    /// Those of the run, in the user's order.
    pub(crate) settings: Vec<Setting>,
    pub(crate) name: Option<Ident>,
    pub(crate) krate: Option<Path>,
    /// The key, and its value.
    pub(crate) in_impl: Option<(Ident, bool)>,
    /// The name of the runtime's type that decides about errors.
    pub(crate) on_error: Option<TokenStream>,
    /// True if the items are `Result`s.
    pub(crate) fallible_input: bool,
    /// Shared parameters that results don't depend on.
    pub(crate) ignored: Vec<Ident>,
    /// All tokens of the options, for the names in them.
    pub(crate) tokens: TokenStream,
}

/// An option of the run.
pub(crate) struct Setting {
    pub(crate) key: Ident,
    pub(crate) takes: Takes,
    pub(crate) value: Value,
}

/// The values that an option of the run takes.
#[derive(Clone, Copy)]
pub(crate) enum Takes {
    MaxMemory,
    /// A whole number of 1 or more, and what happens without one.
    Count(&'static str),
    /// A count with a largest value, which the runtime knows.
    Threads,
    Retry,
    /// A type of the runtime, and the texts for its variants.
    Choice(&'static str, &'static [(&'static str, &'static str)]),
    Flag,
    /// A function, which the run calls, or a flag for a bar.
    Progress,
    /// A progress bar, and no value.
    Bar,
    /// The path of a directory, as a text.
    Directory,
    /// A number or a text.
    Version,
    /// A function of the item.
    Key,
    /// Bytes on disk.
    Disk,
    /// A flag of a durable run.
    DurableFlag,
}

#[derive(Clone, Copy)]
enum Kind {
    Run(Takes),
    Name,
    Crate,
    InImpl,
    OnError,
    FallibleInput,
    Ignore,
}

impl Kind {
    /// True for options that only amorsize's feature `durable` has.
    fn is_durable(self) -> bool {
        match self {
            Self::Ignore => true,
            Self::Run(takes) => takes.is_durable(),
            _ => false,
        }
    }
}

const UNDECIDED: &str = " and let the run decide";
/// The options, each with an example of its value.
const OPTIONS: [(&str, &str, Kind); 23] = [
    ("max_memory", "0.5", Kind::Run(Takes::MaxMemory)),
    ("batch_size", "100", Kind::Run(Takes::Count(UNDECIDED))),
    ("sample_size", "5", Kind::Run(Takes::Count(UNDECIDED))),
    ("threads", "4", Kind::Run(Takes::Threads)),
    ("in_flight", "64", Kind::Run(Takes::Count(" for no bound but the budget's"))),
    ("oversize", "\"error\"", Kind::Run(Takes::Choice("Oversize", &[("alone", "Alone"), ("error", "Error")]))),
    ("on_panic", "\"skip\"", Kind::Run(Takes::Choice("OnPanic", &PANICS))),
    ("on_error", "\"skip\"", Kind::OnError),
    ("fallible_input", "true", Kind::FallibleInput),
    ("verbose", "true", Kind::Run(Takes::Flag)),
    ("progress", "true", Kind::Run(Takes::Progress)),
    ("retry", "3", Kind::Run(Takes::Retry)),
    ("checkpoint", "\"runs/thumbs\"", Kind::Run(Takes::Directory)),
    ("journal", "\"runs/thumbs\"", Kind::Run(Takes::Directory)),
    ("version", "1", Kind::Run(Takes::Version)),
    ("key", "id_of", Kind::Run(Takes::Key)),
    ("ignore", "client", Kind::Ignore),
    ("max_disk", "\"20GiB\"", Kind::Run(Takes::Disk)),
    ("spill_dir", "\"/var/tmp\"", Kind::Run(Takes::Directory)),
    ("remove_when_done", "true", Kind::Run(Takes::DurableFlag)),
    ("name", "many", Kind::Name),
    ("crate", "my_crate::amorsize", Kind::Crate),
    ("in_impl", "true", Kind::InImpl),
];
const PANICS: [(&str, &str); 3] = [("propagate", "Propagate"), ("skip", "Skip"), ("collect", "Collect")];
const ERRORS: [(&str, &str); 3] = [("stop", "Stop"), ("skip", "Skip"), ("collect", "Collect")];

impl Options {
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut options = Self { tokens: tokens.clone(), ..Self::default() };
        let mut seen = Vec::new();
        separated(tokens, errors, |input, errors| options.parse_one(input, &mut seen, errors));
        options
    }

    fn parse_one(&mut self, input: ParseStream, seen: &mut Vec<String>, errors: &mut Errors) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(not_an_option(input)?);
        }
        let key = input.call(Ident::parse_any)?;
        let name = key.to_string();
        let Some((_, example, kind)) = OPTIONS.into_iter().find(|(option, ..)| *option == name) else {
            return Err(unknown(&key, &name));
        };
        if seen.contains(&name) {
            return Err(error(&key, format!("`{name}` is given twice"), "keep one of the two"));
        }
        let other = match name.as_str() {
            "checkpoint" => "journal",
            "journal" => "checkpoint",
            _ => "",
        };
        let beside = seen.iter().any(|seen| seen == other);
        seen.push(name);
        if kind.is_durable() && !cfg!(feature = "durable") {
            errors.at(
                &key,
                format!("`{key}` needs amorsize's feature `durable`"),
                "add it in Cargo.toml: `amorsize = { .., features = [\"durable\"] }`",
            );
        } else if beside {
            errors.at(
                &key,
                format!("`{key}` can't be given beside `{other}`"),
                "keep `checkpoint` to have results stored, or `journal` where the sink stores them",
            );
        }
        if let Kind::Ignore = kind {
            self.ignored = parse_ignored(input, &key)?;
            return Ok(());
        }
        let value = parse_value(input, &key, kind, example)?;
        match kind {
            Kind::Run(takes) => self.settings.extend(takes.judge(key, value, errors)),
            Kind::Name => self.name = values::name(&value, errors),
            Kind::Crate => self.krate = values::path(&value, errors),
            Kind::InImpl => self.in_impl = values::literal_flag(&key, &value, errors).map(|flag| (key, flag)),
            Kind::OnError => self.on_error = judge_on_error(&key, value, errors),
            Kind::FallibleInput => self.fallible_input = values::literal_flag(&key, &value, errors).unwrap_or(false),
            Kind::Ignore => {}
        }
        Ok(())
    }

    /// The path of amorsize. If it is wrong, rustc says so in the same words at the same place, and
    /// so once.
    pub(crate) fn krate(&self, span: Span) -> TokenStream {
        self.krate.as_ref().map_or_else(|| quote_spanned!(span=> ::amorsize), ToTokens::to_token_stream)
    }

    /// The module for the expansion alone.
    pub(crate) fn private(&self, span: Span) -> TokenStream {
        let krate = self.krate(span);
        quote_spanned!(span=> #krate::__private)
    }

    /// The module of the traits that messages name.
    pub(crate) fn traits(&self, span: Span) -> TokenStream {
        let krate = self.krate(span);
        quote_spanned!(span=> #krate::bounds)
    }

    /// True if the run keeps what it finishes, and so must be able to tell whether a later run is
    /// the same.
    pub(crate) fn keeps(&self) -> bool {
        self.has("checkpoint") || self.has("journal")
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == name)
    }

    /// The setting that makes a call again, if there is one.
    pub(crate) fn retry(&self) -> Option<&Setting> {
        self.settings.iter().find(|setting| matches!(setting.takes, Takes::Retry))
    }
}

/// Reads options between commas. `parse_one` adds a mistake in a value to the errors; an error that
/// it returns leaves the rest of the option unread.
pub(crate) fn separated(
    tokens: TokenStream,
    errors: &mut Errors,
    mut parse_one: impl FnMut(ParseStream, &mut Errors) -> syn::Result<()>,
) {
    let parser = |input: ParseStream| {
        while !input.is_empty() {
            if let Err(error) = parse_one(input, errors).and_then(|()| expect_comma(input)) {
                errors.push(error);
                while !input.is_empty() && !input.peek(Token![,]) {
                    input.parse::<TokenTree>()?;
                }
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        errors.push(error);
    }
}

fn expect_comma(input: ParseStream) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    let token: TokenTree = input.fork().parse()?;
    Err(error(token, "expected a comma after the option", "separate the options by commas"))
}

impl Takes {
    fn judge(self, key: Ident, value: Expr, errors: &mut Errors) -> Option<Setting> {
        let value = match self {
            Self::MaxMemory => max_memory::judge(value, errors),
            Self::Count(left_out) => values::count(&key, value, left_out, errors),
            Self::Threads => values::count(&key, value.clone(), UNDECIDED, errors).map(|_| Value::Constant(value)),
            Self::Retry => {
                let times = values::count(&key, value, ", so that no call is made again", errors);
                times.map(|times| match times {
                    Value::Known(times) => Value::Known(quote!(new(#times))),
                    constant => constant,
                })
            }
            Self::Choice(_, choices) => values::choice(&key, value, choices, errors),
            Self::Flag => values::flag(&key, value, errors),
            Self::Progress => return judge_progress(key, value, errors),
            Self::Bar => None,
            Self::Directory => values::directory(&key, value, errors),
            Self::Version => values::version(value, errors),
            Self::Key => values::key(value, errors),
            Self::Disk => values::disk(value, errors),
            Self::DurableFlag => values::flag(&key, value, errors),
        };
        value.map(|value| Setting { key, takes: self, value })
    }

    /// True for options that only amorsize's feature `durable` has.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Directory | Self::Version | Self::Key | Self::Disk | Self::DurableFlag)
    }

    /// The runtime's type of the value, if it has one.
    pub(crate) fn typed(self) -> Option<&'static str> {
        match self {
            Self::MaxMemory => Some("MaxMemory"),
            Self::Retry => Some("Retry"),
            Self::Choice(ty, _) => Some(ty),
            Self::Version => Some("Version"),
            Self::Disk => Some("MaxDisk"),
            Self::Count(_) | Self::Threads | Self::Flag | Self::Progress | Self::Bar => None,
            Self::Directory | Self::Key | Self::DurableFlag => None,
        }
    }
}

fn not_an_option(input: ParseStream) -> syn::Result<syn::Error> {
    let token: TokenTree = input.fork().parse()?;
    let help = match &token {
        TokenTree::Literal(literal) => match syn::parse2::<Lit>(literal.to_token_stream()) {
            Ok(Lit::Int(int)) => match int.base10_parse().ok().and_then(max_memory::help_of_budget) {
                Some(help) => {
                    format!("if this is the memory budget, {help}; if it is the size of batches, `batch_size = {int}`")
                }
                None => format!("if this is the size of batches, write `batch_size = {int}`"),
            },
            _ => format!("if this is the memory budget, write `max_memory = {literal}`"),
        },
        _ => "an option is written as `name = value`, such as `max_memory = 0.5`".to_owned(),
    };
    Ok(error(token, "expected the name of an option", help))
}

/// Methods of the run that are no options: each run decides for itself.
const METHODS: [(&str, &str); 4] = [
    ("timeout", "Duration::from_secs(60)"),
    ("deadline", "deadline"),
    ("cancel_token", "token"),
    ("skip_first", "items"),
];

fn unknown(key: &Ident, name: &str) -> syn::Error {
    if let Some((method, value)) = METHODS.into_iter().find(|(method, _)| *method == name) {
        let wrong = format!("`{method}` is no option of the attribute: each run has its own");
        return error(key, wrong, format!("call the method of the run: `.{method}({value})`"));
    }
    let names = OPTIONS.map(|(name, ..)| name);
    let help = match nearest(name, &names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("the options are `{}`", names.join("`, `")),
    };
    error(key, format!("unknown option `{name}`"), help)
}

/// The value after the `=`, or `true` for an option that stands alone.
fn parse_value(input: ParseStream, key: &Ident, kind: Kind, example: &str) -> syn::Result<Expr> {
    let help = format!("write `{key} = {example}`");
    let needs_a_value = format!("`{key}` needs a value");
    if input.is_empty() || input.peek(Token![,]) {
        return match kind {
            Kind::Run(Takes::Flag | Takes::Progress | Takes::DurableFlag) | Kind::InImpl | Kind::FallibleInput => {
                Ok(values::switched_on(key.span()))
            }
            _ => Err(error(key, needs_a_value, help)),
        };
    }
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        let token: TokenTree = input.fork().parse()?;
        return Err(error(token, format!("expected `=` after `{key}`"), help));
    }
    let equals: Token![=] = input.parse()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(error(equals, needs_a_value, help));
    }
    input.parse()
}

/// The names in the parentheses after `ignore`.
fn parse_ignored(input: ParseStream, key: &Ident) -> syn::Result<Vec<Ident>> {
    let help = "name shared parameters that results don't depend on: `ignore(client, pool)`";
    let wrong = |token: &dyn ToTokens| error(token, "`ignore` takes names in parentheses", help);
    if !input.peek(syn::token::Paren) {
        let token: Option<TokenTree> = input.fork().parse().ok();
        return Err(match token {
            Some(TokenTree::Punct(comma)) if comma.as_char() == ',' => wrong(key),
            Some(token) => wrong(&token),
            None => wrong(key),
        });
    }
    let names;
    syn::parenthesized!(names in input);
    if names.is_empty() {
        return Err(wrong(key));
    }
    let mut ignored = Vec::new();
    while !names.is_empty() {
        if !names.peek(Ident::peek_any) {
            let token: TokenTree = names.parse()?;
            names.parse::<TokenStream>()?;
            return Err(wrong(&token));
        }
        ignored.push(names.call(Ident::parse_any)?);
        if !names.is_empty() && names.parse::<Token![,]>().is_err() {
            let token: TokenTree = names.parse()?;
            names.parse::<TokenStream>()?;
            return Err(wrong(&token));
        }
    }
    Ok(ignored)
}

fn judge_progress(key: Ident, value: Expr, errors: &mut Errors) -> Option<Setting> {
    let (place, wrong, help) = match Form::of(&value) {
        Form::Other => return Some(Setting { key, takes: Takes::Progress, value: Value::Constant(value) }),
        Form::Literal(Lit::Bool(bar)) if !bar.value => return None,
        Form::Literal(Lit::Bool(_)) if cfg!(feature = "progress") => {
            return Some(Setting { key, takes: Takes::Bar, value: Value::Known(TokenStream::new()) });
        }
        Form::Literal(Lit::Bool(_)) => (
            key.into_token_stream(),
            "a progress bar needs amorsize's feature `progress`",
            "add it in Cargo.toml: `amorsize = { .., features = [\"progress\"] }`, or have a function told: \
             `progress = tell`",
        ),
        Form::Literal(_) | Form::Negative => (
            value.into_token_stream(),
            "`progress` takes `true`, `false` or a function",
            "write `progress` alone for a bar, or `progress = tell` to have a function \
             `fn tell(progress: &Progress)` told",
        ),
    };
    errors.at(place, wrong, help);
    None
}

fn judge_on_error(key: &Ident, value: Expr, errors: &mut Errors) -> Option<TokenStream> {
    match values::choice(key, value, &ERRORS, errors)? {
        Value::Known(policy) => Some(policy),
        Value::Constant(value) => {
            errors.at(
                value,
                "`on_error` takes a text, written as such: the type of the run follows from it",
                "use `\"stop\"`, `\"skip\"` or `\"collect\"`; the run's method `on_error` can choose anew",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
