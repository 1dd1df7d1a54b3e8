//! Plans as TOML that a person likes to read: keys in the order of the schema, comments in one column.

use crate::schema::{Meaning, Schema, joined};
use crate::tree::{Node, Origin};
use toml::{Table, Value};

/// Comments start no further right than this; longer lines push only their own.
const COMMENT_COLUMN: usize = 64;

/// Writes a plan. `comment` gives, for the path of a leaf, what to say behind it.
pub(crate) fn render(schema: &Schema, plan: &Table, comment: &dyn Fn(&str) -> Option<String>) -> String {
    let tree = Node::new(Value::Table(plan.clone()), &Origin::Default);
    let mut page = Page { lines: Vec::new(), schema, tree, comment };
    page.table("", plan);
    let mut sections: Vec<&str> = schema.parts().iter().filter_map(|part| part.path().split('.').next()).collect();
    sections.retain(|section| !section.is_empty());
    sections.dedup();
    for section in sections {
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

struct Page<'a> {
    lines: Vec<(String, Option<String>)>,
    schema: &'a Schema,
    tree: Node,
    comment: &'a dyn Fn(&str) -> Option<String>,
}

impl Page<'_> {
    fn header(&mut self, header: String) {
        self.lines.push((String::new(), None));
        self.lines.push((header, None));
    }

    /// Entries of a table: `name` first, then keys in the order of the schema.
    fn in_order<'t>(&self, path: &str, table: &'t Table) -> Vec<(String, &'t String, &'t Value)> {
        let empty = Node::empty();
        let keys: Vec<&str> = self.schema.part(path).map_or_else(Vec::new, |part| {
            part.keys(self.tree.get(path).unwrap_or(&empty)).map(|key| key.name).collect()
        });
        let rank = |key: &String| match self.schema.meaning(&joined(path, key), &self.tree) {
            Meaning::Name(_) => 0,
            _ => 1 + keys.iter().position(|known| known == key).unwrap_or(keys.len()),
        };
        let mut entries: Vec<_> = table.iter().map(|(key, value)| (joined(path, key), key, value)).collect();
        entries.sort_by_cached_key(|(_, key, _)| (rank(key), (*key).clone()));
        entries
    }

    fn table(&mut self, path: &str, table: &Table) {
        for (path, key, value) in self.in_order(path, table) {
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
        let entries = self.in_order(path, table);
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
