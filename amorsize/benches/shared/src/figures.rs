//! Figures in a text, between markers with the name of the bench that writes them.

/// Replaces the text between the lines `<!-- figures: begin NAME -->` and
/// `<!-- figures: end NAME -->`.
///
/// # Errors
///
/// When a marker is not there or is there more than once, or the end comes before the beginning: a
/// text that says so.
pub fn replace(text: &str, name: &str, figures: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- figures: begin {name} -->"), format!("<!-- figures: end {name} -->"));
    let place = |marker: &str| {
        let mut places = text
            .split_inclusive('\n')
            .scan(0, |next, line| {
                let start = *next;
                *next += line.len();
                Some((start, line))
            })
            .filter(|(_, line)| line.trim() == marker)
            .map(|(start, line)| (start, start + line.len()));
        let first = places.next().ok_or_else(|| format!("there is no line `{marker}`"))?;
        match places.count() {
            0 => Ok(first),
            others => Err(format!("there are {} lines `{marker}`; one was expected", 1 + others)),
        }
    };
    let ((_, after_begin), (before_end, _)) = (place(&begin)?, place(&end)?);
    if before_end < after_begin {
        return Err(format!("the line `{end}` comes before the beginning"));
    }
    Ok(format!("{}\n{}\n\n{}", &text[..after_begin], figures.trim(), &text[before_end..]))
}

/// Breaks a paragraph into lines of at most 100 columns, as all texts have them; words are never
/// cut.
#[must_use]
pub fn wrap(paragraph: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in paragraph.split_whitespace() {
        let width = word.chars().count();
        if column > 0 {
            let fits = column + 1 + width <= 100;
            text.push(if fits { ' ' } else { '\n' });
            column = if fits { column + 1 } else { 0 };
        }
        text.push_str(word);
        column += width;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "before\n\n<!-- figures: begin a -->\nold\n<!-- figures: end a -->\nbetween\n\
                        <!-- figures: begin b -->\n<!-- figures: end b -->\nafter";

    #[test]
    fn figures_are_replaced_between_their_own_markers_only() {
        let a = replace(TEXT, "a", "| new |\n").unwrap();
        assert_eq!(a, TEXT.replace("-->\nold\n<!--", "-->\n\n| new |\n\n<!--"));
        let both = replace(&a, "b", "other").unwrap();
        assert!(
            both.starts_with("before\n\n<!-- figures: begin a -->\n\n| new |\n\n<!-- figures: end a -->\nbetween\n")
        );
        assert!(both.ends_with("<!-- figures: begin b -->\n\nother\n\n<!-- figures: end b -->\nafter"));
    }

    #[test]
    fn replacing_again_changes_nothing_more() {
        let once = replace(TEXT, "a", "new").unwrap();
        assert_eq!(replace(&once, "a", "new").unwrap(), once);
        assert_eq!(replace(&once, "a", "newer").unwrap(), once.replace("new", "newer"));
    }

    #[test]
    fn a_name_that_another_one_begins_with_is_not_mistaken_for_it() {
        let text = TEXT.replace(" b ", " a-b ");
        assert!(replace(&text, "a-b", "new").unwrap().contains("<!-- figures: begin a -->\nold\n"));
        assert!(replace(&text, "b", "new").is_err());
    }

    #[test]
    fn what_is_wrong_with_markers_is_told() {
        let message = |text: &str, name| replace(text, name, "new").unwrap_err();
        assert_eq!(message(TEXT, "c"), "there is no line `<!-- figures: begin c -->`");
        let twice = format!("{TEXT}\n<!-- figures: end a -->\n");
        assert_eq!(message(&twice, "a"), "there are 2 lines `<!-- figures: end a -->`; one was expected");
        let reversed = "<!-- figures: end a -->\n<!-- figures: begin a -->\n";
        assert_eq!(message(reversed, "a"), "the line `<!-- figures: end a -->` comes before the beginning");
        // A marker within a sentence does not count.
        assert!(replace("see <!-- figures: begin a --> here\n<!-- figures: end a -->", "a", "new").is_err());
    }

    #[test]
    fn every_bench_that_writes_figures_finds_its_markers() {
        let page = std::fs::read_to_string(crate::machine::root().join(crate::readme::FIGURES)).unwrap();
        for name in ["oom", "peak-memory", "peers", "measuring", "tracking", "policies", "compile-time", "prediction"] {
            let written = replace(&page, name, "new").unwrap_or_else(|why| panic!("{why}"));
            assert!(written.contains(&format!("begin {name} -->\n\nnew\n\n<!-- figures: end {name} -->\n")));
        }
    }

    #[test]
    fn paragraphs_are_wrapped_at_100_columns() {
        let text = "word ".repeat(100);
        let wrapped = wrap(&text);
        assert!(wrapped.lines().all(|line| line.len() <= 100));
        // 20 words and the spaces between them are 99 columns.
        assert_eq!(wrapped.lines().next().unwrap().len(), 99);
        assert_eq!(wrapped.split_whitespace().count(), 100);
        let long = "x".repeat(130);
        assert_eq!(wrap(&format!("a {long} b")), format!("a\n{long}\nb"));
    }
}
