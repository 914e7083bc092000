//! The option `max_memory`: what it takes, and what is most likely meant by what it doesn't take.

use proc_macro2::Ident;
use quote::ToTokens;
use syn::{BinOp, Expr, ExprLit, Lit};

use crate::bytes;
use crate::errors::Errors;
use crate::options::{Setting, Value};

const MAX_MEMORY_HELP: &str =
    "use a fraction above 0 and up to 1 of the available memory, such as `0.5`, or bytes, such as `\"512MiB\"`";

/// The option `max_memory`, if it is one.
pub(crate) fn judge(key: Ident, value: Expr, errors: &mut Errors) -> Option<Setting> {
    let mut refuse = |what: String, help: &str| {
        errors.at(&value, what, help);
        None
    };
    let literal = match Value::of(&value) {
        Value::Other => match whole_number(&value) {
            Some(number) => {
                let what = format!("`max_memory = {}` has no unit", written(&value));
                return refuse(what, &help_without_unit(number));
            }
            None => false,
        },
        Value::Negative => return refuse("`max_memory` can't be negative".into(), MAX_MEMORY_HELP),
        Value::Literal(Lit::Float(float)) => match float.base10_parse::<f64>() {
            _ if !matches!(float.suffix(), "" | "f64") => {
                return refuse("`max_memory` is an `f64`".into(), &format!("write `{}`", float.base10_digits()));
            }
            Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => true,
            Ok(0.0) => return refuse("`max_memory` can't be 0".into(), MAX_MEMORY_HELP),
            // Nobody means a share by a number such as `512e6`.
            Ok(number) if number >= MANY as f64 && number < u64::MAX as f64 => {
                let what = format!("`max_memory = {float}` has no unit");
                return refuse(what, &help_without_unit(number as u64));
            }
            _ => return refuse("`max_memory` can't be more than 1".into(), MAX_MEMORY_HELP),
        },
        Value::Literal(Lit::Str(text)) => match bytes::parse(&text.value()) {
            Some(0) => return refuse("`max_memory` can't be 0".into(), MAX_MEMORY_HELP),
            Some(_) => true,
            None => {
                return refuse(format!("{:?} is not a number of bytes", text.value()), &help_of_text(&text.value()));
            }
        },
        Value::Literal(Lit::Int(int)) => match int.base10_parse::<u64>() {
            Ok(0) => return refuse("`max_memory` can't be 0".into(), MAX_MEMORY_HELP),
            Ok(number) => return refuse(format!("`max_memory = {int}` has no unit"), &help_without_unit(number)),
            Err(_) => return refuse("`max_memory` can't be more than 64 bits hold".into(), MAX_MEMORY_HELP),
        },
        Value::Literal(_) => {
            return refuse("`max_memory` takes a fraction or a number of bytes".into(), MAX_MEMORY_HELP);
        }
    };
    Some(Setting { key, value, literal })
}

/// A number of this size or more is of bytes: as mebibytes it would be a terabyte.
pub(crate) const MANY: u64 = 1_000_000;
/// A number of this size or more can be of bytes: fewer are no budget.
const BYTES_PERHAPS: u64 = 10_000;

/// What to write for a number of bytes that has no unit.
fn help_without_unit(number: u64) -> String {
    match number {
        1 => "write `1.0` for all of the available memory, or bytes, such as `\"512MiB\"`".to_owned(),
        MANY.. => format!("write bytes with a unit: `{:?}`", bytes::with_unit(number)),
        BYTES_PERHAPS.. => format!("write bytes with a unit, such as `\"{number}B\"` or `\"{number}MiB\"`"),
        0..=100 => format!(
            "write bytes with a unit, such as `\"{number}MiB\"` or `\"{number}GiB\"`, or a fraction, such as `0.5`"
        ),
        _ => format!("write bytes with a unit, such as `\"{number}MiB\"`, or a fraction, such as `0.5`"),
    }
}

/// What to write for a text that is no number of bytes.
fn help_of_text(text: &str) -> String {
    let text = text.trim();
    let is_share = |number: &f64| *number > 0.0 && *number <= 1.0;
    if let Ok(fraction) = text.parse::<f64>()
        && is_share(&fraction)
    {
        return format!("write the fraction without quotes: `max_memory = {text}`");
    }
    if let Ok(number) = text.replace('_', "").parse::<u64>()
        && number > 1
    {
        return help_without_unit(number);
    }
    if let Some(Ok(percent)) = text.strip_suffix('%').map(|number| number.trim_end().parse::<f64>())
        && is_share(&(percent / 100.0))
    {
        return format!("write a fraction without quotes: `max_memory = {:?}`", percent / 100.0);
    }
    // The units of Java, Docker and Kubernetes, where a prefix stands alone.
    for (unit, whole) in [("ki", "KiB"), ("mi", "MiB"), ("gi", "GiB"), ("ti", "TiB")].into_iter().chain([
        ("k", "KiB"),
        ("m", "MiB"),
        ("g", "GiB"),
        ("t", "TiB"),
    ]) {
        let end = text.len().wrapping_sub(unit.len());
        let Some((number, end)) = text.split_at_checked(end) else { continue };
        let with_unit = format!("{}{whole}", number.trim_end());
        if end.eq_ignore_ascii_case(unit) && bytes::parse(&with_unit).is_some_and(|bytes| bytes > 0) {
            return format!("write the whole unit: `max_memory = {with_unit:?}`");
        }
    }
    "use a number with a unit, such as `\"512MiB\"`, `\"2GiB\"` or `\"1.5 GB\"`".to_owned()
}

/// The value of an expression of whole numbers alone, such as `512 * 1024 * 1024` or `512 << 20`.
fn whole_number(value: &Expr) -> Option<u64> {
    match value {
        Expr::Group(group) => whole_number(&group.expr),
        Expr::Paren(paren) => whole_number(&paren.expr),
        Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) => int.base10_parse().ok(),
        Expr::Binary(binary) => {
            let (left, right) = (whole_number(&binary.left)?, whole_number(&binary.right)?);
            match binary.op {
                BinOp::Add(_) => left.checked_add(right),
                BinOp::Sub(_) => left.checked_sub(right),
                BinOp::Mul(_) => left.checked_mul(right),
                BinOp::Shl(_) => left.checked_mul(1u64.checked_shl(u32::try_from(right).ok()?)?),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The expression as the user is likely to have written it.
fn written(value: &Expr) -> String {
    match value {
        Expr::Group(group) => written(&group.expr),
        value => value.to_token_stream().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use quote::quote;

    #[test]
    fn what_is_meant_is_proposed() {
        for (value, help) in [
            (quote!(512_000_000), "write bytes with a unit: `\"512MB\"`"),
            (quote!(536_870_912), "write bytes with a unit: `\"512MiB\"`"),
            (quote!(512_000_000_usize), "write bytes with a unit: `\"512MB\"`"),
            (quote!(1_000_001), "write bytes with a unit: `\"1000001B\"`"),
            (quote!(512 * 1024 * 1024), "write bytes with a unit: `\"512MiB\"`"),
            (quote!(2 << 30), "write bytes with a unit: `\"2GiB\"`"),
            (quote!(512e6), "write bytes with a unit: `\"512MB\"`"),
            (quote!(65_536), "write bytes with a unit, such as `\"65536B\"` or `\"65536MiB\"`"),
            (quote!(512), "write bytes with a unit, such as `\"512MiB\"`, or a fraction, such as `0.5`"),
            (quote!(8), "write bytes with a unit, such as `\"8MiB\"` or `\"8GiB\"`, or a fraction, such as `0.5`"),
            (quote!(1), "write `1.0` for all of the available memory, or bytes, such as `\"512MiB\"`"),
            (quote!("512000000"), "write bytes with a unit: `\"512MB\"`"),
            (quote!("512"), "write bytes with a unit, such as `\"512MiB\"`, or a fraction, such as `0.5`"),
            (quote!("50%"), "write a fraction without quotes: `max_memory = 0.5`"),
            (quote!("512M"), "write the whole unit: `max_memory = \"512MiB\"`"),
            (quote!("2g"), "write the whole unit: `max_memory = \"2GiB\"`"),
            (quote!("512 Mi"), "write the whole unit: `max_memory = \"512MiB\"`"),
            (quote!("0.5"), "write the fraction without quotes: `max_memory = 0.5`"),
            (quote!(1.5), MAX_MEMORY_HELP),
            (quote!(340282366920938463463374607431768211455), MAX_MEMORY_HELP),
        ] {
            let mut errors = Errors::default();
            Options::parse(quote!(max_memory = #value), &mut errors);
            let messages = errors.messages();
            assert_eq!(messages.len(), 1, "{value}: {messages:?}");
            assert!(messages[0].ends_with(&format!("\nhelp: {help}")), "{value}: {}", messages[0]);
        }
    }

    #[test]
    fn expressions_that_are_no_plain_numbers_are_left_to_the_compiler() {
        for value in [quote!(BUDGET), quote!(2.0 * QUARTER), quote!(Bytes::mib(512)), quote!(1 / 2), quote!(MIB * 512)]
        {
            let mut errors = Errors::default();
            assert!(Options::parse(quote!(max_memory = #value), &mut errors).max_memory.is_some());
            assert!(errors.is_empty());
        }
    }
}
