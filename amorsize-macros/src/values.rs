//! The values of options, as far as they are known while macros are expanded.
//!
//! Each value is judged once: a literal here, at its token and with a help; any other expression by
//! the runtime, in a constant. A literal is such an expression too, where only the runtime knows
//! its limits.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote};
use syn::parse::Parser;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitBool, LitInt, Path, UnOp};

use crate::errors::{Mistake, mistake, nearest};

/// A value that was not refused.
pub(crate) enum Value {
    /// A literal that was found valid, in the runtime's terms. Where the option has a type of the
    /// runtime, this is its variant or the call of its constructor.
    Known(TokenStream),
    /// An expression that the runtime judges.
    Constant(Expr),
}

/// The value without parentheses and the groups that `macro_rules` wraps around what it inserts.
pub(crate) fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        value => value,
    }
}

/// The literal that a value is.
pub(crate) fn literal(value: &Expr) -> Option<&Lit> {
    match bare(value) {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        _ => None,
    }
}

/// True for a minus and a number.
pub(crate) fn is_negative(value: &Expr) -> bool {
    match bare(value) {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            matches!(literal(expr), Some(Lit::Int(_) | Lit::Float(_)))
        }
        _ => false,
    }
}

// The literal of the functions below is `None` for a negative number.

/// A whole number of 1 or more. `left_out` goes on with what happens without the option. The
/// runtime judges whether a number is too large; a help proposes none above `most`.
pub(crate) fn count(key: &Ident, literal: Option<&Lit>, left_out: &str, most: u32) -> Result<TokenStream, Mistake> {
    let is_taken = |number: f64| number >= 1.0 && number <= most.into();
    let help = match literal {
        // rustc says best that a number doesn't fit the type.
        Some(Lit::Int(int)) if !matches!(int.base10_parse::<u128>(), Ok(0)) => return Ok(int.to_token_stream()),
        Some(Lit::Int(_)) | None => {
            let help = format!("use 1 or more, or leave `{key}` out{left_out}");
            return Err(mistake(format!("`{key}` must be at least 1"), help));
        }
        Some(Lit::Str(text)) => {
            let number = text.parse::<LitInt>().ok();
            let number =
                number.filter(|number| number.suffix().is_empty() && number.base10_parse().is_ok_and(is_taken));
            number.map(|number| format!("write it without quotes: `{key} = {number}`"))
        }
        Some(Lit::Float(float)) => {
            let number = float.base10_parse::<f64>().ok().filter(|number| number.fract() == 0.0 && is_taken(*number));
            number.map(|number| format!("write it without a fraction: `{key} = {number}`"))
        }
        Some(_) => None,
    };
    let help = help.unwrap_or_else(|| format!("write a number of 1 or more, such as `{key} = 10`"));
    Err(mistake(format!("`{key}` takes a whole number"), help))
}

/// One of the `choices`: pairs of a text and the runtime's variant of that name.
pub(crate) fn choice(
    key: &Ident,
    literal: Option<&Lit>,
    choices: &[(&'static str, &str)],
) -> Result<TokenStream, Mistake> {
    let texts: Vec<&str> = choices.iter().map(|(text, _)| *text).collect();
    let use_one = || {
        let (last, others) = texts.split_last().expect("an option has choices");
        format!("use `\"{}\"` or `\"{last}\"`", others.join("\"`, `\""))
    };
    let Some(Lit::Str(text)) = literal else {
        return Err(mistake(format!("`{key}` takes a text"), use_one()));
    };
    let text = text.value();
    if let Some((_, variant)) = choices.iter().find(|(choice, _)| *choice == text) {
        return Ok(format_ident!("{variant}").into_token_stream());
    }
    let nearest = nearest(&text, &texts).map(|choice| format!("did you mean `\"{choice}\"`?"));
    Err(mistake(format!("`{key}` can't be {text:?}"), nearest.unwrap_or_else(use_one)))
}

/// `true` or `false`. `how` goes on with the way to write it.
pub(crate) fn flag<'l>(key: &Ident, literal: Option<&'l Lit>, how: &str) -> Result<&'l LitBool, Mistake> {
    let is_off = match literal {
        Some(Lit::Bool(flag)) => return Ok(flag),
        Some(Lit::Int(int)) => int.base10_digits() == "0",
        Some(Lit::Str(text)) => ["", "0", "false", "no", "off"].contains(&text.value().to_lowercase().as_str()),
        _ => false,
    };
    let help = if is_off {
        format!("leave `{key}` out to have it off")
    } else {
        format!("write `{key}` alone to switch it on")
    };
    Err(mistake(format!("`{key}` takes `true` or `false`{how}"), help))
}

/// True for a progress bar.
pub(crate) fn bar(literal: Option<&Lit>) -> Result<bool, Mistake> {
    match literal {
        Some(Lit::Bool(bar)) if !bar.value || cfg!(feature = "progress") => Ok(bar.value),
        Some(Lit::Bool(_)) => Err(mistake(
            "a progress bar needs amorsize's feature `progress`",
            "add it in Cargo.toml: `amorsize = { .., features = [\"progress\"] }`, or have a function told: \
             `progress = tell`",
        )),
        _ => Err(mistake(
            "`progress` takes `true`, `false` or a function",
            "write `progress` alone for a bar, or `progress = tell` to have a function \
             `fn tell(progress: &Progress)` told",
        )),
    }
}

/// The path of a directory.
pub(crate) fn directory(key: &Ident, literal: Option<&Lit>, example: &str) -> Result<TokenStream, Mistake> {
    let wrong = match literal {
        Some(Lit::Str(text)) if !text.value().is_empty() => return Ok(text.to_token_stream()),
        Some(Lit::Str(_)) => format!("`{key}` can't be empty"),
        _ => format!("`{key}` takes the path of a directory"),
    };
    Err(mistake(wrong, format!("write the path as a text, such as `{key} = {example}`")))
}

/// A number or a text.
pub(crate) fn version(literal: Option<&Lit>) -> Result<TokenStream, Mistake> {
    if let Some(Lit::Int(int)) = literal
        && let Ok(number) = int.base10_parse::<u64>()
    {
        // A suffix would be another type than the runtime's.
        return Ok(quote!(Number(#number)));
    }
    let (wrong, example) = match literal {
        Some(Lit::Str(text)) if !text.value().is_empty() => return Ok(quote!(Text(#text))),
        Some(Lit::Str(_)) => ("`version` can't be empty", "use a number or a text, such as `version = 1`"),
        Some(Lit::Float(_)) => {
            ("`version` takes a whole number or a text", "write a text, such as `version = \"1.2\"`")
        }
        _ => ("`version` takes a whole number or a text", "use a number or a text, such as `version = 1`"),
    };
    Err(mistake(wrong, example))
}

/// The name of a function.
pub(crate) fn name(value: &Expr) -> Result<Ident, Mistake> {
    syn::parse2(ungrouped(value)).map_err(|_| {
        let help = match literal(value) {
            Some(Lit::Str(text)) if text.parse::<Ident>().is_ok() => {
                format!("write it without quotes: `name = {}`", text.value())
            }
            _ => "write an identifier, such as `name = many`".to_owned(),
        };
        mistake("`name` takes the name of the function to add", help)
    })
}

/// The path of a crate.
pub(crate) fn path(value: &Expr) -> Result<Path, Mistake> {
    Path::parse_mod_style.parse2(ungrouped(value)).map_err(|_| {
        let help = match literal(value) {
            Some(Lit::Str(text)) if text.parse_with(Path::parse_mod_style).is_ok() => {
                format!("write it without quotes: `crate = {}`", text.value())
            }
            _ => "write the path at which your crate re-exports amorsize, such as `crate = my_crate::amorsize`"
                .to_owned(),
        };
        mistake("`crate` takes a path", help)
    })
}

/// The tokens of an expression without the group that `macro_rules` wraps around what it inserts.
pub(crate) fn ungrouped(value: &Expr) -> TokenStream {
    match value {
        Expr::Group(group) => ungrouped(&group.expr),
        value => value.to_token_stream(),
    }
}
