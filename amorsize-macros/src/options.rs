use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Lit, Path, Token, Type, parse_quote_spanned};

use crate::bytes;
use crate::errors::{Errors, Mistake, error, mistake, nearest};
use crate::max_memory;
use crate::types::{arguments, last_segment};
use crate::values::{self, Value};

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
    /// True if there is a key, even one that was refused.
    pub(crate) states_key: bool,
    /// Shared parameters that results don't depend on, without `r#`.
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

/// The values that an option takes.
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
    // All below are no options of the run.
    Name,
    Crate,
    InImpl,
    OnError,
    FallibleInput,
    Ignore,
}

const UNDECIDED: &str = " and let the run decide";
/// The runtime's largest number of threads.
const MOST_THREADS: u32 = 65_535;
/// The options, each with an example of its value.
const OPTIONS: [(&str, &str, Takes); 23] = [
    ("max_memory", "0.5", Takes::MaxMemory),
    ("batch_size", "100", Takes::Count(UNDECIDED)),
    ("sample_size", "5", Takes::Count(UNDECIDED)),
    ("threads", "4", Takes::Threads),
    ("in_flight", "64", Takes::Count(" for no bound but the budget's")),
    ("oversize", "\"error\"", Takes::Choice("Oversize", &[("alone", "Alone"), ("error", "Error")])),
    ("on_panic", "\"skip\"", Takes::Choice("OnPanic", &PANICS)),
    ("on_error", "\"skip\"", Takes::OnError),
    ("fallible_input", "true", Takes::FallibleInput),
    ("verbose", "true", Takes::Flag),
    ("progress", "true", Takes::Progress),
    ("retry", "3", Takes::Retry),
    ("checkpoint", "\"runs/thumbs\"", Takes::Directory),
    ("journal", "\"runs/thumbs\"", Takes::Directory),
    ("version", "1", Takes::Version),
    ("key", "id_of", Takes::Key),
    ("ignore", "client", Takes::Ignore),
    ("max_disk", "\"20GiB\"", Takes::Disk),
    ("spill_dir", "\"/var/tmp\"", Takes::Directory),
    ("remove_when_done", "true", Takes::DurableFlag),
    ("name", "many", Takes::Name),
    ("crate", "my_crate::amorsize", Takes::Crate),
    ("in_impl", "true", Takes::InImpl),
];
const PANICS: [(&str, &str); 3] = [("propagate", "Propagate"), ("skip", "Skip"), ("collect", "Collect")];
const ERRORS: [(&str, &str); 3] = [("stop", "Stop"), ("skip", "Skip"), ("collect", "Collect")];
/// The way to write a flag that the expansion depends on.
const AS_SUCH: &str = ", written as such";

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
        let Some((_, example, takes)) = OPTIONS.into_iter().find(|(option, ..)| *option == name) else {
            return Err(unknown(&key, &name));
        };
        if seen.contains(&name) {
            return Err(error(&key, format!("`{name}` is given twice"), "keep one of the two"));
        }
        let keeps = |name: &String| name == "checkpoint" || name == "journal";
        if takes.is_durable() && !cfg!(feature = "durable") {
            errors.at(
                &key,
                format!("`{key}` needs amorsize's feature `durable`"),
                "add it in Cargo.toml: `amorsize = { .., features = [\"durable\"] }`",
            );
        } else if let Some(other) = seen.iter().find(|other| keeps(other) && keeps(&name)) {
            errors.at(
                &key,
                format!("`{key}` can't be given beside `{other}`"),
                "keep `checkpoint` to have results stored, or `journal` where the sink stores them",
            );
        }
        seen.push(name);
        self.states_key |= matches!(takes, Takes::Key);
        if let Takes::Ignore = takes {
            self.ignored = parse_ignored(input, &key)?;
            return Ok(());
        }
        let value = parse_value(input, &key, takes, example)?;
        if let Err((wrong, help)) = self.take(takes, key, &value, example) {
            errors.at(value, wrong, help);
        }
        Ok(())
    }

    fn take(&mut self, takes: Takes, mut key: Ident, value: &Expr, example: &str) -> Result<(), Mistake> {
        let literal = values::literal(value);
        let known = match takes {
            Takes::Name => return values::name(value).map(|name| self.name = Some(name)),
            Takes::Crate => return values::path(value).map(|path| self.krate = Some(path)),
            // The expansion depends on these two: the value of a constant comes too late.
            Takes::InImpl => {
                return values::flag(&key, literal, AS_SUCH).map(|flag| self.in_impl = Some((key, flag.value)));
            }
            Takes::FallibleInput => {
                return values::flag(&key, literal, AS_SUCH).map(|flag| self.fallible_input = flag.value);
            }
            Takes::OnError if literal.is_none() && !values::is_negative(value) => {
                return Err(mistake(
                    "`on_error` takes a text, written as such: the type of the run follows from it",
                    "use `\"stop\"`, `\"skip\"` or `\"collect\"`; the run's method `on_error` can choose anew",
                ));
            }
            Takes::OnError => return values::choice(&key, literal, &ERRORS).map(|policy| self.on_error = Some(policy)),
            Takes::MaxMemory => max_memory::judge(value)?,
            _ if literal.is_none() && !values::is_negative(value) => None,
            Takes::Count(left_out) => Some(values::count(&key, literal, left_out, u32::MAX)?),
            Takes::Threads => {
                values::count(&key, literal, UNDECIDED, MOST_THREADS)?;
                None
            }
            Takes::Retry => {
                let times = values::count(&key, literal, ", so that no call is made again", u32::MAX)?;
                Some(quote!(new(#times)))
            }
            Takes::Choice(_, choices) => Some(values::choice(&key, literal, choices)?),
            Takes::Flag | Takes::DurableFlag => Some(values::flag(&key, literal, "")?.to_token_stream()),
            Takes::Progress if values::bar(literal)? => {
                key = Ident::new("bar", key.span());
                Some(TokenStream::new())
            }
            // No bar; and names, which are read already.
            Takes::Progress | Takes::Ignore => return Ok(()),
            Takes::Directory => Some(values::directory(&key, literal, example)?),
            Takes::Version => Some(values::version(literal)?),
            Takes::Disk => {
                let Some(Lit::Str(text)) = literal else {
                    let help = "write bytes with a unit, such as `\"20GiB\"`";
                    return Err(mistake("`max_disk` takes a number of bytes", help));
                };
                // The runtime reads numbers of bytes.
                bytes::refuse("max_disk", &text.value(), "20GiB")?;
                None
            }
            Takes::Key => {
                let help = "write a closure or the path of a function: `key = |photo: &Photo| photo.id`";
                return Err(mistake("`key` takes a function of the item", help));
            }
        };
        // It is refused already, and the runtime lacks its method.
        if takes.is_durable() && !cfg!(feature = "durable") {
            return Ok(());
        }
        let value = known.map_or_else(|| Value::Constant(value.clone()), Value::Known);
        self.settings.push(Setting { key, takes, value });
        Ok(())
    }

    /// True if there is a key and no directory. The run then shows in its type that it has the key,
    /// so that it takes a directory although its items need not be `Hash`.
    pub(crate) fn waits_for_directory(&self) -> bool {
        let states = |option: &str| self.settings.iter().any(|setting| setting.key == option);
        cfg!(feature = "durable") && states("key") && !states("checkpoint") && !states("journal")
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

    /// The part of a function's output that a checkpoint stores. A policy keeps the error of a
    /// `Result`.
    pub(crate) fn stored<'t>(&self, output: &'t Type) -> &'t Type {
        let value = self.on_error.as_ref().and_then(|_| arguments(last_segment(output)?).next());
        value.unwrap_or(output)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.key == name)
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
    Err(error(next(input)?, "expected a comma after the option", "separate the options by commas"))
}

impl Takes {
    /// True for options that only amorsize's feature `durable` has.
    pub(crate) fn is_durable(self) -> bool {
        matches!(self, Self::Directory | Self::Version | Self::Key | Self::Disk | Self::DurableFlag | Self::Ignore)
    }

    /// The runtime's type of the value, if it has one.
    pub(crate) fn typed(self) -> Option<&'static str> {
        match self {
            Self::MaxMemory => Some("MaxMemory"),
            Self::Retry => Some("Retry"),
            Self::Choice(ty, _) => Some(ty),
            Self::Version => Some("Version"),
            Self::Disk => Some("MaxDisk"),
            _ => None,
        }
    }
}

/// The token that comes next, which stays unread.
pub(crate) fn next(input: ParseStream) -> syn::Result<TokenTree> {
    input.fork().parse()
}

fn not_an_option(input: ParseStream) -> syn::Result<syn::Error> {
    let token = next(input)?;
    let literal = syn::parse2::<Lit>(token.to_token_stream()).ok();
    let budget = literal.as_ref().and_then(max_memory::help_of_budget);
    let size = literal.filter(|literal| match literal {
        // Every machine's `usize` holds a number of 32 bits.
        Lit::Int(int) => int.suffix().is_empty() && int.base10_parse().is_ok_and(|size: u32| size > 0),
        _ => false,
    });
    let size = size.map(ToTokens::into_token_stream);
    let help = match (budget, size) {
        (Some(budget), Some(size)) => {
            format!("if this is the memory budget, {budget}; if it is the size of batches, `batch_size = {size}`")
        }
        (Some(budget), None) => format!("if this is the memory budget, {budget}"),
        (None, Some(size)) => format!("if this is the size of batches, write `batch_size = {size}`"),
        (None, None) => "an option is written as `name = value`, such as `max_memory = 0.5`".to_owned(),
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
fn parse_value(input: ParseStream, key: &Ident, takes: Takes, example: &str) -> syn::Result<Expr> {
    let help = format!("write `{key} = {example}`");
    let needs_a_value = format!("`{key}` needs a value");
    if input.is_empty() || input.peek(Token![,]) {
        return match takes {
            Takes::Flag | Takes::Progress | Takes::DurableFlag | Takes::InImpl | Takes::FallibleInput => {
                Ok(parse_quote_spanned!(key.span()=> true))
            }
            _ => Err(error(key, needs_a_value, help)),
        };
    }
    if !input.peek(Token![=]) || input.peek(Token![==]) {
        return Err(error(next(input)?, format!("expected `=` after `{key}`"), help));
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
    let wrong = |place: Span| error(quote_spanned!(place=> _), "`ignore` takes names in parentheses", help);
    let names = match next(input) {
        Ok(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => group.stream(),
        Ok(TokenTree::Punct(comma)) if comma.as_char() == ',' => TokenStream::new(),
        Ok(token) => return Err(wrong(token.span())),
        Err(_) => TokenStream::new(),
    };
    if names.is_empty() {
        return Err(wrong(key.span()));
    }
    input.parse::<TokenTree>()?;
    let parser = |names: ParseStream| names.parse_terminated(Ident::parse_any, Token![,]);
    let names = parser.parse2(names).map_err(|error| wrong(error.span()))?;
    Ok(names.iter().map(IdentExt::unraw).collect())
}

#[cfg(test)]
mod tests;
