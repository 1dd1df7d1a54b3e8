//! The shell of a page: one file that asks for nothing else.

use base64::prelude::{BASE64_STANDARD, Engine};
use std::fmt::Write;

/// Text as it may stand between tags and within double-quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Control characters have no place in HTML.
            c if c.is_control() && c != '\n' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Plain text in which words between backticks are commands, as HTML.
pub(crate) fn prose(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    // A lone backtick is one.
    let pairs = (parts.len() - 1) / 2;
    let mut html = String::new();
    for (i, part) in parts.iter().enumerate() {
        let mark = match i {
            0 => "",
            i if i > 2 * pairs => "`",
            i if i % 2 == 1 => "<code>",
            _ => "</code>",
        };
        html.push_str(mark);
        html.push_str(part);
    }
    html
}

/// The address of bytes that lie within the page.
pub(crate) fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", BASE64_STANDARD.encode(bytes))
}

/// A page in the making.
#[derive(Default)]
pub(crate) struct Page {
    /// Title of the window, as plain text.
    pub title: String,
    /// What stands above the sections, as HTML.
    pub head: String,
    /// Rules beside the common ones.
    pub style: String,
    /// Seconds after which the page asks for its successor.
    pub refresh_s: Option<u32>,
    /// Id, short name and HTML of each section.
    pub sections: Vec<(&'static str, &'static str, String)>,
}

impl Page {
    /// Appends a section; `lead` is one line of plain text below its title.
    pub fn section(&mut self, id: &'static str, short: &'static str, title: &str, lead: &str, body: &str) {
        let lead = if lead.is_empty() { String::new() } else { format!("<p class=\"sub\">{}</p>", prose(lead)) };
        let html = format!("<section id=\"{id}\"><h2>{}</h2>{lead}{body}</section>", escape(title));
        self.sections.push((id, short, html));
    }

    /// The file.
    pub fn finish(self, footer: &str) -> String {
        let refresh = self.refresh_s.map(|s| format!("<meta http-equiv=\"refresh\" content=\"{s}\">\n"));
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src \
             data:; media-src data:; script-src 'unsafe-inline'\">\n{}\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n\
             <header>{}</header>\n<nav><div>",
            refresh.unwrap_or_default(),
            escape(&self.title),
            include_str!("style.css"),
            self.style,
            self.head,
        );
        for (id, short, _) in &self.sections {
            let _ = write!(html, "<a href=\"#{id}\">{short}</a>");
        }
        html.push_str("</div></nav>\n<main>\n");
        for (.., section) in &self.sections {
            html.push_str(section);
            html.push('\n');
        }
        let script = include_str!("hover.js");
        let _ = write!(html, "</main>\n<footer>{footer}</footer>\n<script>\n{script}</script>\n</body>\n</html>\n");
        html
    }
}

/// A note in the place of what cannot be shown.
pub(crate) fn missing(what: &str) -> String {
    format!("<p class=\"missing\">{}</p>", prose(what))
}

/// Whole numbers, with thin spaces between thousands from five digits on; others with up to three significant digits.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.fract() == 0.0 && value.abs() < 1e15 || value.abs() >= 1000.0 {
        let digits = format!("{:.0}", value.abs());
        let mut grouped = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && digits.len() > 4 && (digits.len() - i).is_multiple_of(3) {
                grouped.push('\u{2009}');
            }
            grouped.push(digit);
        }
        return if value < 0.0 { format!("−{grouped}") } else { grouped };
    }
    let magnitude = value.abs().log10().floor();
    if magnitude < -4.0 {
        return format!("{value:.2e}").replace('-', "−");
    }
    let digits = format!("{value:.*}", (2.0 - magnitude).max(0.0) as usize).replace('-', "−");
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.').into() } else { digits }
}

/// A list of texts; nothing where there are none.
pub(crate) fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", prose(item))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

/// With a first capital, but for words like kNN.
pub(crate) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    if chars.clone().nth(1).is_some_and(char::is_uppercase) {
        return text.to_owned();
    }
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The end of a long id, which tells more than its beginning.
pub(crate) fn short(id: &str) -> String {
    let length = id.chars().count();
    if length <= 90 { id.to_owned() } else { format!("…{}", id.chars().skip(length - 89).collect::<String>()) }
}

/// What stands at the end of every page.
pub(crate) fn footer() -> String {
    "One file; it asks the network for nothing. Hovering needs JavaScript, nothing else does.".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_backticks_are_code() {
        assert_eq!(prose("see `selfsame diagnose a&b`: <x>"), "see <code>selfsame diagnose a&amp;b</code>: &lt;x&gt;");
        assert_eq!(prose("`a` and a lone ` stays"), "<code>a</code> and a lone ` stays");
        assert_eq!(prose("none"), "none");
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.07, "0.07"),
            (1.999, "2"),
            (3214.0, "3214"),
            (12345.0, "12\u{2009}345"),
            (-0.12345, "−0.123"),
            (12.345, "12.3"),
            (1.2345e-7, "1.23e−7"),
        ];
        cases.iter().for_each(|(value, expected)| assert_eq!(number(*value), *expected));
        assert_eq!(number(f64::NAN), "–");
    }
}
