//! Texts in XML, and their widths.

use std::fmt::Write as _;

/// Writes elements of SVG one after the other.
#[derive(Debug, Default)]
pub(super) struct Markup {
    pub(super) text: String,
}

impl Markup {
    #[inline]
    pub(super) fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        self.open_rect(class, x, y, width, height);
        self.text.push_str("/>\n");
    }

    /// A rectangle with a text for the pointer.
    #[inline]
    pub(super) fn rect_telling(&mut self, class: &str, [x, y, width, height]: [f64; 4], told: &str) {
        self.open_rect(class, x, y, width, height);
        self.put(format_args!("><title>{}</title></rect>\n", escape(told)));
    }

    #[inline]
    fn open_rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let [x, y, width, height] = [x, y, width, height].map(place);
        self.put(format_args!(r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}""#));
    }

    #[inline]
    pub(super) fn circle(&mut self, class: &str, x: f64, y: f64, radius: f64) {
        let [x, y, radius] = [x, y, radius].map(place);
        self.put(format_args!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>\n"));
    }

    #[inline]
    pub(super) fn path(&mut self, class: &str, path: &Path) {
        self.put(format_args!("<path class=\"{class}\" d=\"{}\"/>\n", path.text));
    }

    #[inline]
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.path(class, &Path::along([from, to]));
    }

    #[inline]
    pub(super) fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        let ([x, y], text) = ([x, y].map(place), escape(text));
        self.put(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{text}</text>\n"));
    }

    #[inline]
    fn put(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.text.write_fmt(markup);
    }
}

/// The data of a path.
#[derive(Debug, Default)]
pub(super) struct Path {
    text: String,
}

impl Path {
    /// A line from point to point.
    #[inline]
    pub(super) fn along(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut text = String::new();
        for (x, y) in points {
            let step = if text.is_empty() { 'M' } else { 'L' };
            let _ = write!(text, "{step}{} {}", place(x), place(y));
        }
        Self { text }
    }

    #[inline]
    pub(super) fn close(&mut self) {
        self.text.push('Z');
    }

    #[inline]
    pub(super) fn rect(&mut self, [x, y, width, height]: [f64; 4]) {
        let [x, y, width, height] = [x, y, width, height].map(place);
        let _ = write!(self.text, "M{x} {y}h{width}v{height}h-{width}Z");
    }
}

/// A coordinate to a tenth: a unit is about a pixel.
#[inline]
fn place(coordinate: f64) -> f64 {
    let rounded = (coordinate * 10.0).round() / 10.0;
    // Adding zero removes the sign of a negative zero.
    if rounded.is_finite() { rounded + 0.0 } else { 0.0 }
}

/// A text for an element or an attribute of XML and HTML; characters that XML can't have become
/// U+FFFD.
#[inline]
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(char),
            // The first half of a line's end on Windows.
            '\r' => {}
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(char),
        }
    }
    escaped
}

/// The width of a text, rather too high: fonts differ, so this follows Verdana, the widest of the
/// common ones.
#[inline]
pub(super) fn width(text: &str, size: f64) -> f64 {
    let of = |char| match char {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | ' ' | '.' | ',' | ':' | ';' | '|' | '\'' | '(' | ')' | '!' => 0.42,
        'm' | 'w' | 'M' | 'W' | '%' | '@' => 1.0,
        'A'..='Z' | '_' | '&' | '<' | '>' | '=' | '+' => 0.76,
        '\0'..='\u{2fff}' => 0.62,
        _ => 1.05,
    };
    text.chars().map(of).sum::<f64>() * size
}

/// The text, or as much of its beginning as fits.
#[inline]
pub(super) fn fit(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let (mut kept, mut left) = (String::new(), room - width("…", size));
    for char in text.chars() {
        left -= width(char.encode_utf8(&mut [0; 4]), size);
        if left < 0.0 {
            break;
        }
        kept.push(char);
    }
    kept + "…"
}

/// The text in lines that fit, except for longer words.
#[inline]
pub(super) fn lines(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().filter(|line| !line.is_empty());
        match line.map(|line| format!("{line} {word}")) {
            Some(longer) if width(&longer, size) > room => lines.push(word.to_owned()),
            longer => *lines.last_mut().expect("there is one") = longer.unwrap_or_else(|| word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_markup_is_escaped() {
        assert_eq!(escape("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
        assert_eq!(escape("red \u{1b}[31m\0\u{ffff}\r\n"), "red \u{fffd}[31m\u{fffd}\u{fffd}\n");
        assert_eq!(escape("line\nline\tür 図"), "line\nline\tür 図");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(fit("resize", 10.0, 100.0), "resize");
        let long = "resize_with_a_very_long_name_indeed".repeat(10);
        let cut = fit(&long, 10.0, 100.0);
        assert!(cut.ends_with('…') && cut.len() > 8 && width(&cut, 10.0) <= 100.0, "{cut}");
        assert_eq!(fit("long", 10.0, 0.0), "…");
    }

    #[test]
    fn a_text_is_shared_out_among_lines() {
        assert_eq!(lines("a few words", 10.0, 40.0), ["a few", "words"]);
        assert_eq!(lines("a few words", 10.0, 400.0), ["a few words"]);
        assert_eq!(lines("", 10.0, 0.0), [""]);
        assert_eq!(lines("unbreakable ones", 10.0, 1.0), ["unbreakable", "ones"]);
    }

    #[test]
    fn places_are_rounded_and_never_undefined() {
        assert_eq!([1.25, -0.01, f64::NAN, f64::INFINITY].map(|at| place(at).to_string()), ["1.3", "0", "0", "0"]);
    }
}
