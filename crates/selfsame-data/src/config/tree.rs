//! Raw settings: a tree of values in which every leaf knows where it came from.

use super::keys;
use crate::DataError;
use std::collections::BTreeMap;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

/// Where a value of a plan came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The default of this version.
    Default,
    /// The method's own default.
    Method,
    /// Found by looking at the data.
    Data,
    /// A `key=value` argument.
    CommandLine,
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
            Self::Method => f.write_str("method"),
            Self::Data => f.write_str("data"),
            Self::CommandLine => f.write_str("command line"),
            Self::File { name, line } => write!(f, "{name}:{line}"),
        }
    }
}

/// A setting that was given wrong, with the place where it was given.
pub(super) fn wrong(key: &str, problem: impl Into<String>, origin: &Origin) -> DataError {
    let origin = (*origin != Origin::Default).then(|| origin.to_string());
    DataError::Setting { key: key.into(), problem: problem.into(), origin }
}

/// A value, a table, or a list of tables.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Value, Origin),
    Table(BTreeMap<String, Node>, Origin),
    List(Vec<Node>, Origin),
}

impl Node {
    /// A tree whose leaves all have one origin.
    pub(super) fn new(value: Value, origin: &Origin) -> Self {
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
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, DataError> {
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

    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Leaf(_, origin) | Self::Table(_, origin) | Self::List(_, origin) => origin,
        }
    }

    /// What the user wrote, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Leaf(Value::String(text), _) => format!("the text {text:?}"),
            Self::Leaf(Value::Array(items), _) if items.is_empty() => "an empty list".into(),
            Self::Leaf(value, _) => value.to_string(),
            Self::Table(..) => "a table".into(),
            Self::List(..) => "a list of tables".into(),
        }
    }

    /// Lays `top` over this tree: tables are merged, everything else is replaced.
    pub(super) fn overlay(&mut self, top: Self) {
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

    /// Adds what is missing from `defaults`; what is there stays.
    pub(super) fn fill(&mut self, defaults: &Table, origin: &Origin) {
        if let Self::Table(entries, _) = self {
            for (key, value) in defaults {
                entries.entry(key.clone()).or_insert_with(|| Self::new(value.clone(), origin));
            }
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, segment| match node {
            Self::Table(entries, _) => entries.get(segment),
            Self::List(items, _) => items.get(segment.parse::<usize>().ok()?),
            Self::Leaf(..) => None,
        })
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.').try_fold(self, |node, segment| match node {
            Self::Table(entries, _) => entries.get_mut(segment),
            Self::List(items, _) => items.get_mut(segment.parse::<usize>().ok()?),
            Self::Leaf(..) => None,
        })
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.get(path)? {
            Self::Leaf(Value::String(text), _) => Some(text),
            _ => None,
        }
    }

    /// Puts `node` at `path`, laid over what is there. An element of a list is called by its index, or by its `name`.
    pub(super) fn set(&mut self, path: &str, node: Self) -> Result<(), DataError> {
        let mut place = self;
        for (depth, segment) in path.split('.').enumerate() {
            let here = || path.split('.').take(depth).collect::<Vec<_>>().join(".");
            place = match place {
                Self::Table(entries, _) => {
                    let empty = || Self::Table(BTreeMap::new(), Origin::CommandLine);
                    entries.entry(segment.into()).or_insert_with(empty)
                }
                Self::List(items, _) => {
                    let named = |item: &Self| item.text("name") == Some(segment);
                    let index = segment.parse().ok().or_else(|| items.iter().position(named));
                    let names: Vec<_> = items.iter().filter_map(|i| i.text("name")).map(str::to_owned).collect();
                    let count = items.len();
                    index.and_then(|i: usize| items.get_mut(i)).ok_or_else(|| {
                        let named =
                            if names.is_empty() { String::new() } else { format!(", or {}", keys::one_of(&names)) };
                        let problem =
                            format!("`{}` has the elements 0 to {}{named}; there is no `{segment}`", here(), count - 1);
                        wrong(path, problem, &Origin::CommandLine)
                    })?
                }
                Self::Leaf(..) => {
                    let problem = format!("`{}` is a value, it has no keys of its own", here());
                    return Err(wrong(path, problem, &Origin::CommandLine));
                }
            };
        }
        place.overlay(node);
        Ok(())
    }

    /// Visits every leaf, and every table that is empty, with its path.
    pub(super) fn visit(&self, path: &str, visitor: &mut dyn FnMut(&str, &Self)) {
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

    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Leaf(value, _) => value,
            Self::Table(entries, _) => Value::Table(entries.into_iter().map(|(k, v)| (k, v.into_value())).collect()),
            Self::List(items, _) => Value::Array(items.into_iter().map(Self::into_value).collect()),
        }
    }
}
