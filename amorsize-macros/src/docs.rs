//! What the wrapper's documentation says of the original's: its first paragraph, without links and code blocks.
//!
//! A link could lead nowhere from the wrapper's page, or be reported a second time where it leads nowhere at all; and an example
//! would be run twice.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The paragraph as a quotation, with the empty line after it.
pub(crate) fn quote(paragraph: &str) -> String {
    paragraph.lines().map(|line| format!("> {line}\n")).chain(["\n".to_owned()]).collect()
}

/// The first paragraph, if the documentation begins with one that stands for itself.
pub(crate) fn first_paragraph(attrs: &[Attribute]) -> Option<String> {
    let lines = lines(attrs)?;
    let definitions: Vec<_> = lines.iter().filter_map(|line| definition(line)).map(str::to_lowercase).collect();
    let mut lines = lines.iter().map(|line| line.trim()).skip_while(|line| line.is_empty());
    let paragraph: Vec<&str> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    // It makes the line above a heading or the head of a table.
    let is_rule = |line: &&&str| line.chars().all(|letter| "=-|: ".contains(letter));
    if paragraph.iter().find(|line| begins_block(line) || is_rule(line)).is_some_and(|line| is_rule(&line)) {
        return None;
    }
    let paragraph: Vec<&str> = paragraph.into_iter().take_while(|line| !begins_block(line)).collect();
    if paragraph.is_empty() { None } else { without_links(&paragraph.join("\n"), &definitions) }
}

/// The lines of the documentation; `None` where not all of it is known to a macro, as with `#[doc = include_str!(..)]`.
fn lines(attrs: &[Attribute]) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        let Meta::NameValue(doc) = &attr.meta else { continue };
        let text = text(&doc.value)?;
        let comment: Vec<&str> = text.lines().collect();
        // Those of `/** */` may have a star at their beginning, below the first.
        let stars = comment.iter().skip(1).all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
        let cut = |(at, line): (usize, &&str)| match line.trim_start().strip_prefix('*') {
            Some(line) if at > 0 && stars => line.to_owned(),
            _ => (*line).to_owned(),
        };
        lines.extend(comment.iter().enumerate().map(cut));
        if comment.is_empty() {
            lines.push(String::new());
        }
    }
    Some(lines)
}

fn text(value: &Expr) -> Option<String> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        // `macro_rules` wraps what it inserts.
        Expr::Group(group) => text(&group.expr),
        _ => None,
    }
}

/// Whether a line begins what is no paragraph: a code block, a heading, a list, a table, a quotation, HTML, a definition.
fn begins_block(line: &str) -> bool {
    let marks = ["```", "~~~", "# ", "## ", "### ", "- ", "* ", "+ ", ">", "|", "<", "---", "===", "***", "___"];
    let is_numbered = line.trim_start_matches(|letter: char| letter.is_ascii_digit()).starts_with(['.', ')'])
        && line.starts_with(|letter: char| letter.is_ascii_digit());
    marks.iter().any(|mark| line.starts_with(mark)) || is_numbered || definition(line).is_some()
}

/// The label of a line such as `[label]: destination`.
fn definition(line: &str) -> Option<&str> {
    let (label, rest) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    (!rest.trim().is_empty() && !label.contains(']')).then_some(label)
}

/// The text with each link replaced by its words. `None` where that can't be told, because of HTML.
fn without_links(text: &str, definitions: &[String]) -> Option<String> {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let taken = match letter {
            '\\' => rest.chars().take(2).map(char::len_utf8).sum(),
            '`' => code(rest),
            '<' if rest.starts_with("<http://") || rest.starts_with("<https://") => rest.find('>')? + 1,
            '<' if rest[1..].starts_with(|next: char| next.is_ascii_alphabetic() || "/!?".contains(next)) => {
                return None;
            }
            '!' if rest.starts_with("![") && bracketed(&rest[1..], ['[', ']']).is_some() => {
                // What follows is written like a link.
                rest = &rest[1..];
                continue;
            }
            '[' => match bracketed(rest, ['[', ']']) {
                Some(words) => {
                    let after = &rest[words.len() + 2..];
                    plain.push_str(&words_of_link(words, after, definitions)?);
                    let destination = bracketed(after, ['(', ')']).or_else(|| bracketed(after, ['[', ']']));
                    rest = &after[destination.map_or(0, |destination| destination.len() + 2)..];
                    continue;
                }
                None => 1,
            },
            letter => letter.len_utf8(),
        };
        let (same, next) = rest.split_at(taken);
        plain.push_str(same);
        rest = next;
    }
    Some(plain)
}

/// The words of a link, or of what is in brackets and no link, such as the interval `[0, 1]`.
fn words_of_link(words: &str, after: &str, definitions: &[String]) -> Option<String> {
    if words.starts_with('^') {
        // A footnote, which is explained further down.
        return Some(String::new());
    }
    let inner = without_links(words, definitions)?;
    let is_code = words.starts_with('`') && code(words) == words.len();
    // What rustdoc takes for the path of an item.
    let is_path = || words.chars().all(|letter| letter.is_alphanumeric() || "_:!()@<>&#.".contains(letter));
    let is_link = is_code || after.starts_with(['(', '[']) || is_path() || definitions.contains(&words.to_lowercase());
    if !is_link {
        return Some(format!("\\[{inner}\\]"));
    }
    // As plain words an address would be reported for not being a link.
    let is_address = inner.starts_with("http://") || inner.starts_with("https://");
    Some(if is_address { format!("<{inner}>") } else { inner })
}

/// How much of the text, which begins with a backtick, is code.
fn code(text: &str) -> usize {
    let ticks = text.len() - text.trim_start_matches('`').len();
    let mut at = ticks;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let run = text[start..].len() - text[start..].trim_start_matches('`').len();
        at = start + run;
        if run == ticks {
            return at;
        }
    }
    ticks
}

/// What stands between the bracket at the beginning of the text and the one that closes it.
fn bracketed(text: &str, [open, close]: [char; 2]) -> Option<&str> {
    let mut depth = 0;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '`' => {
                at += code(&text[at..]);
                continue;
            }
            '\\' => at += 1,
            letter if letter == open => depth += 1,
            letter if letter == close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then(|| &text[1..at]);
        }
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn paragraph(lines: &[&str]) -> Option<String> {
        let attrs: Vec<Attribute> = lines.iter().map(|line| parse_quote!(#[doc = #line])).collect();
        first_paragraph(&attrs)
    }

    fn plain(text: &str) -> String {
        paragraph(&[text]).unwrap()
    }

    #[test]
    fn the_first_paragraph_ends_where_another_block_begins() {
        for next in ["", " ```", " # Examples", " - one", " | a | b |", " > quoted", " [guide]: x.html", " 1. one"] {
            let found = paragraph(&["", " Decodes one photo", " and scales it.", next, " More."]);
            assert_eq!(found.as_deref(), Some("Decodes one photo\nand scales it."), "{next:?}");
        }
        assert_eq!(paragraph(&[" Alone."]).as_deref(), Some("Alone."));
    }

    #[test]
    fn what_begins_otherwise_is_not_quoted() {
        for lines in [
            &[][..],
            &[""],
            &[" ```", " run();", " ```", " Text."],
            &[" # Title", " Text."],
            &[" - one"],
            &[" <div>", " Text."],
            &[" Title", " ====="],
            &[" a | b", " --|--"],
            &[" With <b>HTML</b>."],
            &[" [guide]: x.html"],
        ] {
            assert_eq!(paragraph(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn of_links_the_words_stay() {
        for (text, expected) in [
            ("See [the guide](../guide.html#top) and more.", "See the guide and more."),
            ("See [the guide][guide], [`Size`], [Size::new()].", "See the guide, `Size`, Size::new()."),
            ("See [`Size`](struct@Size \"A (nice) size\").", "See `Size`."),
            ("![a photo](photo.png)", "a photo"),
            ("[![badge](b.svg)](https://x.org)", "badge"),
            ("In [0, 1], or `a[0]`, or ``b`[1]``.", "In \\[0, 1\\], or `a[0]`, or ``b`[1]``."),
            ("Not \\[a link\\](b).", "Not \\[a link\\](b)."),
            ("See <https://x.org>, [https://y.org](https://y.org).", "See <https://x.org>, <https://y.org>."),
            ("Known[^1], and [open", "Known, and [open"),
            ("Is a < b or `<b>`?", "Is a < b or `<b>`?"),
            ("Größe [`Maß`] ö", "Größe `Maß` ö"),
            ("Open ` tick, trailing \\", "Open ` tick, trailing \\"),
        ] {
            assert_eq!(plain(text), expected);
        }
        let defined = paragraph(&[" See [the guide].", "", " [The Guide]: guide.html"]);
        assert_eq!(defined.as_deref(), Some("See the guide."));
        let undefined = paragraph(&[" See [the guide]."]);
        assert_eq!(undefined.as_deref(), Some("See \\[the guide\\]."));
    }

    #[test]
    fn comments_of_all_forms_are_read() {
        let attrs: Vec<Attribute> = vec![parse_quote!(#[doc = "\n * Decodes.\n * Scales.\n *\n * More.\n "])];
        assert_eq!(first_paragraph(&attrs).as_deref(), Some("Decodes.\nScales."));
        let attrs: Vec<Attribute> = vec![parse_quote!(#[doc(hidden)]), parse_quote!(#[doc = "Decodes."])];
        assert_eq!(first_paragraph(&attrs).as_deref(), Some("Decodes."));
        let attrs: Vec<Attribute> =
            vec![parse_quote!(#[doc = " Decodes."]), parse_quote!(#[doc = include_str!("a.md")])];
        assert_eq!(first_paragraph(&attrs), None);
    }

    #[test]
    fn it_is_quoted_line_by_line() {
        assert_eq!(quote("Decodes.\nScales."), "> Decodes.\n> Scales.\n\n");
    }
}
