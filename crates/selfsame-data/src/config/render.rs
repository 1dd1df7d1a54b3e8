//! Plans as TOML that a person likes to read: keys in the order of [`KEYS`], comments in one column.

use super::keys::{self, KEYS};
use toml::{Table, Value};

/// Comments start no further right than this; longer lines push only their own.
const COMMENT_COLUMN: usize = 64;

/// Writes a plan. `comment` gives, for the path of a leaf, what to say behind it.
pub(super) fn render(plan: &Table, comment: &dyn Fn(&str) -> Option<String>) -> String {
    let mut page = Page { lines: Vec::new(), comment };
    page.table("", plan);
    for section in keys::sections() {
        match plan.get(section) {
            Some(Value::Table(table)) => {
                page.header(format!("[{section}]"));
                page.table(section, table);
            }
            Some(Value::Array(groups)) => {
                for (i, group) in groups.iter().filter_map(Value::as_table).enumerate() {
                    page.header(format!("[[{section}]]"));
                    page.table(&format!("{section}.{i}"), group);
                }
            }
            _ => {}
        }
    }
    page.finish()
}

/// Leaves of a table: known keys in their order, `name` before a variant's own, which are alphabetical.
fn in_order<'a>(path: &str, table: &'a Table) -> Vec<(String, &'a String, &'a Value)> {
    let full = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let rank = |path: &str| {
        let known = KEYS.iter().position(|key| keys::find(path).is_some_and(|found| std::ptr::eq(found, key)));
        known.unwrap_or(KEYS.len())
    };
    let mut entries: Vec<_> = table.iter().map(|(key, value)| (full(key), key, value)).collect();
    entries.sort_by_cached_key(|(path, key, _)| (rank(path), key.to_string()));
    entries
}

struct Page<'a> {
    lines: Vec<(String, Option<String>)>,
    comment: &'a dyn Fn(&str) -> Option<String>,
}

impl Page<'_> {
    fn header(&mut self, header: String) {
        self.lines.push((String::new(), None));
        self.lines.push((header, None));
    }

    fn table(&mut self, path: &str, table: &Table) {
        for (path, key, value) in in_order(path, table) {
            match value {
                Value::Table(_) => {}
                Value::Array(items) if items.iter().any(Value::is_table) => {
                    // Groups at the top level have headers of their own; lists within them are written inline.
                    if path.contains('.') {
                        self.lines.push((format!("{key} = ["), None));
                        for (i, item) in items.iter().filter_map(Value::as_table).enumerate() {
                            self.inline(&format!("{path}.{i}"), item);
                        }
                        self.lines.push(("]".into(), None));
                    }
                }
                value => {
                    let comment = (self.comment)(&path);
                    self.lines.push((format!("{key} = {value}"), comment));
                }
            }
        }
    }

    /// A table on one line; its comment is that of its first key, then those of the keys that differ from it.
    fn inline(&mut self, path: &str, table: &Table) {
        let entries = in_order(path, table);
        let cells: Vec<_> = entries.iter().map(|(_, key, value)| format!("{key} = {value}")).collect();
        let comments: Vec<_> = entries.iter().map(|(path, key, _)| (key, (self.comment)(path))).collect();
        let first = comments.first().and_then(|(_, comment)| comment.clone());
        let comment = first.map(|first| {
            let mut parts = vec![first.clone()];
            let mut others: Vec<(&str, Vec<&str>)> = Vec::new();
            for (key, comment) in &comments {
                match comment.as_deref() {
                    Some(comment) if comment != first => match others.iter_mut().find(|(c, _)| *c == comment) {
                        Some((_, keys)) => keys.push(key),
                        None => others.push((comment, vec![key])),
                    },
                    _ => {}
                }
            }
            parts.extend(others.iter().map(|(comment, keys)| format!("{}: {comment}", keys.join(", "))));
            parts.join("; ")
        });
        self.lines.push((format!("  {{ {} }},", cells.join(", ")), comment));
    }

    fn finish(self) -> String {
        let width = |line: &str| line.chars().count();
        let column = self.lines.iter().filter(|(_, comment)| comment.is_some()).map(|(line, _)| width(line) + 2);
        let column = column.filter(|&c| c <= COMMENT_COLUMN).max().unwrap_or(0);
        let mut text = String::new();
        for (line, comment) in self.lines {
            text += &line;
            if let Some(comment) = comment {
                text += &" ".repeat(column.saturating_sub(width(&line)).max(2));
                text += "# ";
                text += &comment;
            }
            text.push('\n');
        }
        text
    }
}
