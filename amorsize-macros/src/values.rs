//! The values of options, as far as they are known while macros are expanded.
//!
//! Each value is judged once: a literal here, at its token and with a help; any other expression by
//! the runtime, in a constant. A literal is such an expression too, where only the runtime knows
//! its limits.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::parse::Parser;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitFloat, LitStr, Path, UnOp};

use crate::errors::{Errors, nearest};

/// A value that was not refused.
pub(crate) enum Value {
    /// A literal that was found valid, in the runtime's terms. Where the option has a type of the
    /// runtime, this is its variant or the call of its constructor.
    Known(TokenStream),
    /// An expression that the runtime judges.
    Constant(Expr),
}

/// A value as it is written.
pub(crate) enum Form<'v> {
    Literal(&'v Lit),
    /// A minus and a number.
    Negative,
    Other,
}

impl<'v> Form<'v> {
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

/// The value of an option that stands alone.
pub(crate) fn switched_on(span: Span) -> Expr {
    Expr::Lit(ExprLit { attrs: Vec::new(), lit: Lit::Bool(syn::LitBool::new(true, span)) })
}

/// A whole number of 1 or more. `left_out` goes on with what happens without the option.
pub(crate) fn count(key: &Ident, value: Expr, left_out: &str, errors: &mut Errors) -> Option<Value> {
    let (wrong, help) = match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        // rustc says best that a number doesn't fit the type.
        Form::Literal(Lit::Int(int)) if !matches!(int.base10_parse::<u128>(), Ok(0)) => {
            return Some(Value::Known(value.into_token_stream()));
        }
        Form::Literal(Lit::Int(_)) | Form::Negative => {
            let wrong = format!("`{key}` must be at least 1");
            (wrong, format!("use 1 or more, or leave `{key}` out{left_out}"))
        }
        Form::Literal(literal) => {
            let help = match literal {
                Lit::Str(text) => number_in_quotes(key, text),
                Lit::Float(float) => number_with_fraction(key, float),
                _ => None,
            };
            let help = help.unwrap_or_else(|| format!("write a number of 1 or more, such as `{key} = 10`"));
            (format!("`{key}` takes a whole number"), help)
        }
    };
    errors.at(&value, wrong, help);
    None
}

fn number_in_quotes(key: &Ident, text: &LitStr) -> Option<String> {
    let number = text.value().replace('_', "").parse::<u64>();
    number.is_ok_and(|number| number > 0).then(|| format!("write it without quotes: `{key} = {}`", text.value()))
}

fn number_with_fraction(key: &Ident, float: &LitFloat) -> Option<String> {
    let number = float.base10_parse::<f64>().ok()?;
    // A larger float doesn't hold every whole number.
    let is_whole = number >= 1.0 && number.fract() == 0.0 && number < (1u64 << 53) as f64;
    is_whole.then(|| format!("write it without a fraction: `{key} = {number}`"))
}

/// One of the `choices`: pairs of a text and the runtime's variant of that name.
pub(crate) fn choice(key: &Ident, value: Expr, choices: &[(&'static str, &str)], errors: &mut Errors) -> Option<Value> {
    let use_one = || {
        let all: Vec<_> = choices.iter().map(|(text, _)| format!("`\"{text}\"`")).collect();
        let (last, others) = all.split_last().expect("an option has choices");
        format!("use {} or {last}", others.join(", "))
    };
    let (wrong, help) = match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        Form::Literal(Lit::Str(text)) => {
            let text = text.value();
            if let Some((_, variant)) = choices.iter().find(|(choice, _)| *choice == text) {
                return Some(Value::Known(format_ident!("{variant}").into_token_stream()));
            }
            let texts: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
            let nearest = nearest(&text, &texts).map(|choice| format!("did you mean `\"{choice}\"`?"));
            (format!("`{key}` can't be {text:?}"), nearest.unwrap_or_else(use_one))
        }
        Form::Literal(_) | Form::Negative => (format!("`{key}` takes a text"), use_one()),
    };
    errors.at(&value, wrong, help);
    None
}

/// `true` or `false`.
pub(crate) fn flag(key: &Ident, value: Expr, errors: &mut Errors) -> Option<Value> {
    match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        Form::Literal(Lit::Bool(_)) => return Some(Value::Known(value.into_token_stream())),
        Form::Literal(_) | Form::Negative => {}
    }
    errors.at(&value, format!("`{key}` takes `true` or `false`"), help_of_flag(key, &value));
    None
}

/// `true` or `false` where the expansion depends on it: the value of a constant comes too late.
pub(crate) fn literal_flag(key: &Ident, value: &Expr, errors: &mut Errors) -> Option<bool> {
    if let Form::Literal(Lit::Bool(flag)) = Form::of(value) {
        return Some(flag.value);
    }
    errors.at(value, format!("`{key}` takes `true` or `false`, written as such"), help_of_flag(key, value));
    None
}

fn help_of_flag(key: &Ident, value: &Expr) -> String {
    let is_off = match Form::of(value) {
        Form::Literal(Lit::Int(int)) => int.base10_digits() == "0",
        Form::Literal(Lit::Str(text)) => {
            ["", "0", "false", "no", "off"].contains(&text.value().to_lowercase().as_str())
        }
        _ => false,
    };
    if is_off { format!("leave `{key}` out to have it off") } else { format!("write `{key}` alone to switch it on") }
}

/// The path of a directory.
pub(crate) fn directory(key: &Ident, value: Expr, errors: &mut Errors) -> Option<Value> {
    let example = if key == "spill_dir" { "/var/tmp" } else { "runs/thumbs" };
    let help = format!("write the path as a text, such as `{key} = {example:?}`");
    let wrong = match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        Form::Literal(Lit::Str(text)) if !text.value().is_empty() => {
            return Some(Value::Known(value.into_token_stream()));
        }
        Form::Literal(Lit::Str(_)) => format!("`{key}` can't be empty"),
        Form::Literal(_) | Form::Negative => format!("`{key}` takes the path of a directory"),
    };
    errors.at(&value, wrong, help);
    None
}

/// A number or a text.
pub(crate) fn version(value: Expr, errors: &mut Errors) -> Option<Value> {
    let (wrong, help) = match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        Form::Literal(Lit::Int(int)) if int.base10_parse::<u64>().is_ok() => {
            // A suffix would be another type than the runtime's.
            let number = proc_macro2::Literal::u64_suffixed(int.base10_parse().unwrap_or(0));
            return Some(Value::Known(quote::quote!(number(#number))));
        }
        Form::Literal(Lit::Str(text)) if !text.value().is_empty() => {
            return Some(Value::Known(quote::quote!(text(#text))));
        }
        Form::Literal(Lit::Str(_)) => ("`version` can't be empty", "use a number or a text, such as `version = 1`"),
        Form::Literal(Lit::Float(_)) => {
            ("`version` takes a whole number or a text", "write a text, such as `version = \"1.2\"`")
        }
        Form::Literal(_) | Form::Negative => {
            ("`version` takes a whole number or a text", "use a number or a text, such as `version = 1`")
        }
    };
    errors.at(&value, wrong, help);
    None
}

/// A function of the item, written as a path or a closure.
pub(crate) fn key(value: Expr, errors: &mut Errors) -> Option<Value> {
    match Form::of(&value) {
        Form::Other => return Some(Value::Constant(value)),
        Form::Literal(_) | Form::Negative => {}
    }
    let help = "write a closure or the path of a function: `key = |photo: &Photo| photo.id`";
    errors.at(&value, "`key` takes a function of the item", help);
    None
}

/// A number of bytes on disk.
pub(crate) fn disk(value: Expr, errors: &mut Errors) -> Option<Value> {
    match Form::of(&value) {
        // The runtime reads numbers of bytes.
        Form::Other | Form::Literal(Lit::Str(_)) => return Some(Value::Constant(value)),
        Form::Literal(_) | Form::Negative => {}
    }
    errors.at(&value, "`max_disk` takes a number of bytes", "write bytes with a unit, such as `\"20GiB\"`");
    None
}

/// The name of a function.
pub(crate) fn name(value: &Expr, errors: &mut Errors) -> Option<Ident> {
    let name = syn::parse2::<Ident>(ungrouped(value)).ok();
    if name.is_none() {
        let help = match Form::of(value) {
            Form::Literal(Lit::Str(text)) if syn::parse_str::<Ident>(&text.value()).is_ok() => {
                format!("write it without quotes: `name = {}`", text.value())
            }
            _ => "write an identifier, such as `name = many`".to_owned(),
        };
        errors.at(value, "`name` takes the name of the function to add", help);
    }
    name
}

/// The path of a crate.
pub(crate) fn path(value: &Expr, errors: &mut Errors) -> Option<Path> {
    let path = Path::parse_mod_style.parse2(ungrouped(value)).ok();
    if path.is_none() {
        let help = match Form::of(value) {
            Form::Literal(Lit::Str(text)) if syn::parse_str::<Path>(&text.value()).is_ok() => {
                format!("write it without quotes: `crate = {}`", text.value())
            }
            _ => "write the path at which your crate re-exports amorsize, such as `crate = my_crate::amorsize`"
                .to_owned(),
        };
        errors.at(value, "`crate` takes a path", help);
    }
    path
}

/// The tokens of an expression without the group that `macro_rules` wraps around what it inserts.
pub(crate) fn ungrouped(value: &Expr) -> TokenStream {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        value => value.to_token_stream(),
    }
}
