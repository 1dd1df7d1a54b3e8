//! Raw settings: a tree of values in which every leaf knows where it came from.

use selfsame_base::DataError;
use selfsame_base::lookup::one_of;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Where a value of a plan came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of this version.
    Default,
    /// Follows from other values: how.
    Derived(&'static str),
    /// Found by looking at the data.
    Data,
    /// A `key=value` argument.
    Arguments,
    /// A line of a recipe or a plan.
    File {
        /// The file as the user called it.
        name: Arc<str>,
        /// Line, from 1.
        line: usize,
    },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Derived(how) => f.write_str(how),
            Self::Data => f.write_str("data"),
            Self::Arguments => f.write_str("arguments"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
        }
    }
}

/// A setting that was given wrong, with the place where it was given.
pub(crate) fn wrong(key: &str, problem: impl Into<String>, origin: &Origin) -> DataError {
    let origin = (*origin != Origin::Default).then(|| origin.to_string());
    DataError::Setting { key: key.into(), problem: problem.into(), origin }
}

/// The segments of a dotted path; none of the empty one, which is the whole.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|segment| !segment.is_empty())
}

/// A value, a table, or a list of tables.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf(Value, Origin),
    Table(BTreeMap<String, Node>, Origin),
    List(Vec<Node>, Origin),
}

impl Node {
    /// A table without entries.
    pub(crate) fn empty() -> Self {
        Self::Table(BTreeMap::new(), Origin::Default)
    }

    /// A tree whose leaves all have one origin.
    pub(crate) fn new(value: Value, origin: &Origin) -> Self {
        match value {
            Value::Table(table) => {
                let entries = table.into_iter().map(|(key, v)| (key, Self::new(v, origin)));
                Self::Table(entries.collect(), origin.clone())
            }
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_table) => {
                Self::List(items.into_iter().map(|v| Self::new(v, origin)).collect(), origin.clone())
            }
            leaf => Self::Leaf(leaf, origin.clone()),
        }
    }

    /// The tree of a TOML text that the user calls `name`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, DataError> {
        let line_of = |byte: usize| 1 + text[..byte].matches('\n').count();
        let broken = |error: &toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(span.start));
            DataError::Data(format!("{name}:{line}: {}", error.message().replace('\n', "; ")))
        };
        let spanned = DeTable::parse(text).map_err(|e| broken(&e))?;
        let values: Table = text.parse().map_err(|e| broken(&e))?;
        let at = |byte| Origin::File { name: name.into(), line: line_of(byte) };
        Ok(Self::located(Value::Table(values), &DeValue::Table(spanned.into_inner()), 0, &at))
    }

    /// `value` with the origins that `spanned`, the same value with its place in the text, tells.
    fn located(value: Value, spanned: &DeValue<'_>, start: usize, at: &dyn Fn(usize) -> Origin) -> Self {
        match (value, spanned) {
            (Value::Table(table), DeValue::Table(spans)) => {
                let entries = table.into_iter().map(|(key, v)| {
                    let (name, inner) = spans.iter().find(|(k, _)| *k.get_ref() == key).expect("both parsed one text");
                    (key, Self::located(v, inner.get_ref(), name.span().start, at))
                });
                Self::Table(entries.collect(), at(start))
            }
            (Value::Array(items), DeValue::Array(spans)) if !items.is_empty() && items.iter().all(Value::is_table) => {
                let items = items.into_iter().zip(spans.iter());
                let located =
                    |(v, s): (Value, &Spanned<DeValue<'_>>)| Self::located(v, s.get_ref(), s.span().start, at);
                Self::List(items.map(located).collect(), at(start))
            }
            (leaf, _) => Self::Leaf(leaf, at(start)),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        match self {
            Self::Leaf(_, origin) | Self::Table(_, origin) | Self::List(_, origin) => origin,
        }
    }

    /// What the user wrote, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Leaf(Value::String(text), _) => format!("the text {text:?}"),
            Self::Leaf(Value::Array(items), _) if items.is_empty() => "an empty list".into(),
            Self::Leaf(value, _) => value.to_string(),
            Self::Table(..) => "a table".into(),
            Self::List(..) => "a list of tables".into(),
        }
    }

    /// Lays `top` over this tree: tables are merged, everything else is replaced.
    pub(crate) fn overlay(&mut self, top: Self) {
        match (self, top) {
            (Self::Table(below, origin), Self::Table(above, from)) => {
                for (key, node) in above {
                    match below.get_mut(&key) {
                        Some(old) => old.overlay(node),
                        None => drop(below.insert(key, node)),
                    }
                }
                *origin = from;
            }
            (below, above) => *below = above,
        }
    }

    /// Puts `node` at `path`, in tables that are made where they are missing, if nothing is there. Whether it was put.
    pub(crate) fn put(&mut self, path: &str, node: Self) -> bool {
        let mut place = self;
        let mut segments = path.split('.').peekable();
        while let Some(segment) = segments.next() {
            place = match place {
                Self::Table(entries, _) if segments.peek().is_none() => {
                    let free = !entries.contains_key(segment);
                    entries.entry(segment.into()).or_insert(node);
                    return free;
                }
                Self::Table(entries, _) => entries.entry(segment.into()).or_insert_with(Self::empty),
                Self::List(items, _) => match segment.parse().ok().and_then(|index: usize| items.get_mut(index)) {
                    Some(item) => item,
                    None => return false,
                },
                Self::Leaf(..) => return false,
            };
        }
        false
    }

    /// Takes out what is at `path`.
    pub(crate) fn remove(&mut self, path: &str) {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        if let Some(Self::Table(entries, _)) = self.get_mut(table) {
            entries.remove(key);
        }
    }

    /// Concrete paths of the tables that `pattern` stands for: itself, or one for each element of its lists.
    pub(crate) fn tables(&self, pattern: &str) -> Vec<String> {
        let mut found: Vec<(String, Option<&Self>)> = vec![(String::new(), Some(self))];
        for segment in segments(pattern) {
            let mut below = Vec::new();
            for (path, node) in found {
                let joined = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                match (segment, node) {
                    ("*", Some(Self::List(items, _))) => {
                        below.extend(items.iter().enumerate().map(|(i, item)| (joined(&i.to_string()), Some(item))));
                    }
                    ("*", _) => {}
                    (key, node) => below.push((joined(key), node.and_then(|node| node.get(key)))),
                }
            }
            found = below;
        }
        found.into_iter().map(|(path, _)| path).collect()
    }

    /// The value alone, for messages.
    pub(crate) fn describe_value(&self) -> String {
        match self {
            Self::Leaf(value, _) => value.to_string(),
            other => other.describe(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Self> {
        segments(path).try_fold(self, |node, segment| match node {
            Self::Table(entries, _) => entries.get(segment),
            Self::List(items, _) => items.get(segment.parse::<usize>().ok()?),
            Self::Leaf(..) => None,
        })
    }

    pub(crate) fn get_mut(&mut self, path: &str) -> Option<&mut Self> {
        segments(path).try_fold(self, |node, segment| match node {
            Self::Table(entries, _) => entries.get_mut(segment),
            Self::List(items, _) => items.get_mut(segment.parse::<usize>().ok()?),
            Self::Leaf(..) => None,
        })
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            Self::Leaf(Value::String(text), _) => Some(text),
            _ => None,
        }
    }

    /// Puts `node` at `path`, laid over what is there. An element of a list is called by its index, or by its `name`.
    pub(crate) fn set(&mut self, path: &str, node: Self) -> Result<(), DataError> {
        let mut place = self;
        for (depth, segment) in path.split('.').enumerate() {
            let here = || path.split('.').take(depth).collect::<Vec<_>>().join(".");
            place = match place {
                Self::Table(entries, _) => {
                    let empty = || Self::Table(BTreeMap::new(), Origin::Arguments);
                    entries.entry(segment.into()).or_insert_with(empty)
                }
                Self::List(items, _) => {
                    let named = |item: &Self| item.text("name") == Some(segment);
                    let index = segment.parse().ok().or_else(|| items.iter().position(named));
                    let names: Vec<_> = items.iter().filter_map(|i| i.text("name")).map(str::to_owned).collect();
                    let count = items.len();
                    index.and_then(|i: usize| items.get_mut(i)).ok_or_else(|| {
                        let named = if names.is_empty() { String::new() } else { format!(", or {}", one_of(&names)) };
                        let problem =
                            format!("`{}` has the elements 0 to {}{named}; there is no `{segment}`", here(), count - 1);
                        wrong(path, problem, &Origin::Arguments)
                    })?
                }
                Self::Leaf(..) => {
                    let problem = format!("`{}` is a value, it has no keys of its own", here());
                    return Err(wrong(path, problem, &Origin::Arguments));
                }
            };
        }
        place.overlay(node);
        Ok(())
    }

    /// Visits every leaf, and every table that is empty, with its path.
    pub(crate) fn visit(&self, path: &str, visitor: &mut dyn FnMut(&str, &Self)) {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match self {
            Self::Table(entries, _) if !entries.is_empty() => {
                entries.iter().for_each(|(key, node)| node.visit(&below(key), visitor));
            }
            Self::List(items, _) => {
                items.iter().enumerate().for_each(|(i, node)| node.visit(&below(&i.to_string()), visitor));
            }
            _ if path.is_empty() => {}
            _ => visitor(path, self),
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value, _) => value,
            Self::Table(entries, _) => Value::Table(entries.into_iter().map(|(k, v)| (k, v.into_value())).collect()),
            Self::List(items, _) => Value::Array(items.into_iter().map(Self::into_value).collect()),
        }
    }
}
