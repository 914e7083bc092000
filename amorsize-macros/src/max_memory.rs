//! The option `max_memory`: the values that it takes, and the help for those that it doesn't take.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{BinOp, Expr, Lit, LitFloat};

use crate::bytes::{self, is_bytes, number_and_unit, with_unit};
use crate::errors::{Mistake, mistake};
use crate::values::{bare, is_negative, literal, ungrouped};

const HELP: &str =
    "use a fraction above 0 and up to 1 of the available memory, such as `0.5`, or bytes, such as `\"512MiB\"`";

/// A budget: a fraction or a number of bytes. The runtime judges what comes back as `None`.
pub(crate) fn judge(value: &Expr) -> Result<Option<TokenStream>, Mistake> {
    let can_t_be = |what: &str| mistake(format!("`max_memory` can't be {what}"), HELP);
    let without_unit =
        |number| mistake(format!("`max_memory = {}` has no unit", ungrouped(value)), help_without_unit(number));
    Err(match literal(value) {
        None if is_negative(value) => can_t_be("negative"),
        None => match whole_number(value) {
            Some(number) => without_unit(number),
            None => return Ok(None),
        },
        Some(Lit::Float(float)) => match float.base10_parse::<f64>() {
            Ok(fraction) if is_fraction(fraction) && is_f64(float) => return Ok(Some(quote!(fraction(#float)))),
            Ok(fraction) if is_fraction(fraction) => {
                mistake("`max_memory` is an `f64`", format!("write `{fraction:?}`"))
            }
            Ok(0.0) => can_t_be("0"),
            // A number such as `512e6` is never meant as a fraction.
            Ok(number) if number >= LEAST_BYTES as f64 && number < u64::MAX as f64 => without_unit(number as u64),
            _ => can_t_be("more than 1"),
        },
        Some(Lit::Str(text)) => match help_of_text(&text.value()) {
            Some(help) => mistake(format!("{:?} is not a number of bytes", text.value()), help),
            // The runtime reads numbers of bytes.
            None => return bytes::refuse("max_memory", &text.value(), "512MiB").map(|()| None),
        },
        Some(Lit::Int(int)) => match int.base10_parse::<u64>() {
            Ok(0) => can_t_be("0"),
            Ok(number) => without_unit(number),
            Err(_) => can_t_be("more than 64 bits hold"),
        },
        Some(_) => mistake("`max_memory` takes a fraction or a number of bytes", HELP),
    })
}

/// The help for a literal that stands where an option should, if it can be a budget.
pub(crate) fn help_of_budget(literal: &Lit) -> Option<String> {
    let is_budget = match literal {
        Lit::Int(int) => {
            let number = int.base10_parse().ok().filter(|number| *number >= LEAST_BYTES)?;
            return Some(format!("write `max_memory = {:?}`", with_unit(number)));
        }
        Lit::Float(float) => is_f64(float) && float.base10_parse().is_ok_and(is_fraction),
        Lit::Str(text) => is_bytes(&text.value()),
        _ => false,
    };
    is_budget.then(|| format!("write `max_memory = {}`", literal.to_token_stream()))
}

fn is_fraction(number: f64) -> bool {
    number > 0.0 && number <= 1.0
}

fn is_f64(float: &LitFloat) -> bool {
    matches!(float.suffix(), "" | "f64")
}

/// A number of this size or more is of bytes: as mebibytes it would be a terabyte.
const LEAST_BYTES: u64 = 1_000_000;
/// A number of this size or more can be of bytes: a budget of fewer makes no sense.
const LEAST_POSSIBLE_BYTES: u64 = 10_000;

/// The help for a number of bytes that has no unit.
fn help_without_unit(number: u64) -> String {
    match number {
        0 => HELP.to_owned(),
        1 => "write `1.0` for all of the available memory, or bytes, such as `\"512MiB\"`".to_owned(),
        LEAST_BYTES.. => format!("write bytes with a unit: `{:?}`", with_unit(number)),
        LEAST_POSSIBLE_BYTES.. => {
            format!("write bytes with a unit, such as `\"{number}B\"` or `\"{number}MiB\"`")
        }
        2..=100 => format!(
            "write bytes with a unit, such as `\"{number}MiB\"` or `\"{number}GiB\"`, or a fraction, such as `0.5`"
        ),
        _ => format!("write bytes with a unit, such as `\"{number}MiB\"`, or a fraction, such as `0.5`"),
    }
}

/// The help for a text that is no number of bytes, where it is a mistake that people make.
fn help_of_text(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(fraction) = text.parse()
        && is_fraction(fraction)
    {
        return Some(format!("write the fraction without quotes: `max_memory = {fraction:?}`"));
    }
    if let Ok(number @ 2..) = text.replace('_', "").parse() {
        return Some(help_without_unit(number));
    }
    if let Some(percent) = text.strip_suffix('%')
        && let Ok(percent) = percent.trim_end().parse::<f64>()
        && is_fraction(percent / 100.0)
    {
        return Some(format!("write a fraction without quotes: `max_memory = {:?}`", percent / 100.0));
    }
    // Java, Docker and Kubernetes write the prefix of a unit alone.
    let (number, unit) = number_and_unit(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "k" | "ki" => "KiB",
        "m" | "mi" => "MiB",
        "g" | "gi" => "GiB",
        "t" | "ti" => "TiB",
        _ => return None,
    };
    let whole = format!("{number}{unit}");
    is_bytes(&whole).then(|| format!("write the whole unit: `max_memory = {whole:?}`"))
}

/// The value of an expression of whole numbers alone, such as `512 * 1024 * 1024` or `512 << 20`.
fn whole_number(value: &Expr) -> Option<u64> {
    match bare(value) {
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
        value => match literal(value)? {
            Lit::Int(int) => int.base10_parse().ok(),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_is_what_is_meant() {
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
            (quote!("1"), "write the fraction without quotes: `max_memory = 1.0`"),
            (quote!(".5"), "write the fraction without quotes: `max_memory = 0.5`"),
            (quote!("+5e-1"), "write the fraction without quotes: `max_memory = 0.5`"),
            (quote!(1.0f32), "write `1.0`"),
            (quote!(2.0f32), HELP),
            (quote!(5 - 5), HELP),
            (quote!(1.5), HELP),
            (quote!(340282366920938463463374607431768211455), HELP),
        ] {
            let (_, given) = judge(&syn::parse2(value.clone()).unwrap()).unwrap_err();
            assert_eq!(given, help, "{value}");
        }
    }

    #[test]
    fn other_expressions_and_texts_are_left_to_the_runtime() {
        let texts = [quote!("512MiB"), quote!("20000000TiB"), quote!("0B"), quote!("1_B")];
        for value in texts.into_iter().chain([
            quote!(BUDGET),
            quote!(2.0 * QUARTER),
            quote!(ByteSize::mib(512)),
            quote!(1 / 2),
            quote!(MIB * 512),
        ]) {
            assert!(matches!(judge(&syn::parse2(value).unwrap()), Ok(None)));
        }
    }
}
