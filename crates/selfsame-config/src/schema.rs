//! The schema: the sum of what the parts say of their keys.

use crate::key::{Key, Settled};
use crate::tree::Node;
use selfsame_base::commands::Command;
use selfsame_base::lookup;
use toml::Value;

/// All keys, in the order in which plans are written.
#[derive(Debug)]
pub struct Schema {
    parts: Vec<Part>,
    short_forms: &'static [(&'static str, &'static str)],
}

/// One table of keys.
#[derive(Debug)]
pub struct Part {
    /// Dotted path; empty for the top, `*` for an element of a list: `views.*`.
    path: &'static str,
    /// Keys that it always has.
    keys: &'static [Key],
    /// What is chosen by its key `name`, where it has one.
    choices: Option<Choices>,
    /// What a list is when nobody gives one.
    list: Option<fn(&Settled) -> Option<Value>>,
}

/// What there is to choose from by name. What is chosen brings keys of its own.
#[derive(Debug)]
pub struct Choices {
    /// What an entry is: `method`.
    pub noun: &'static str,
    /// What the choice is for, one line.
    pub meaning: &'static str,
    /// The name when nobody gives one.
    pub preset: NamePreset,
    /// The entries.
    pub variants: Vec<Variant>,
}

/// Where a name comes from when nobody gives one.
#[derive(Clone, Copy, Debug)]
pub enum NamePreset {
    /// This.
    Name(&'static str),
    /// From other keys: how, in words, and by a function that knows those that are settled.
    Derived(&'static str, fn(&Settled) -> Option<&'static str>),
    /// From nowhere.
    Required,
}

impl std::fmt::Display for NamePreset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Derived(how, _) => f.write_str(how),
            Self::Required => f.write_str("must be given"),
        }
    }
}

/// One entry of a choices, as far as its keys go.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Value of `name`.
    pub name: &'static str,
    /// Entries of one family mean the same by the same key, so that one takes over another's.
    pub family: &'static str,
    /// The keys, in groups that entries may share.
    pub keys: &'static [&'static [Key]],
}

impl Variant {
    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().copied().flatten()
    }
}

impl Part {
    /// A table of keys.
    pub fn new(path: &'static str, keys: &'static [Key]) -> Self {
        Self { path, keys, choices: None, list: None }
    }

    /// With a key `name` that chooses from a choices.
    #[must_use]
    pub fn with_choices(self, choices: Choices) -> Self {
        Self { choices: Some(choices), ..self }
    }

    /// An element of a list that is `list` when nobody gives one.
    #[must_use]
    pub fn with_list(self, list: fn(&Settled) -> Option<Value>) -> Self {
        Self { list: Some(list), ..self }
    }

    /// Dotted path; `*` stands for an element of a list.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Path of the list that this is an element of.
    pub(crate) fn list_path(&self) -> Option<&'static str> {
        self.path.strip_suffix(".*")
    }

    pub(crate) fn list(&self) -> Option<fn(&Settled) -> Option<Value>> {
        self.list
    }

    pub(crate) fn choices(&self) -> Option<&Choices> {
        self.choices.as_ref()
    }

    pub(crate) fn common(&self) -> &'static [Key] {
        self.keys
    }

    /// The keys that the table `node` has: those of the part, and those of what is chosen in it.
    pub(crate) fn keys(&self, node: &Node) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().chain(self.variant(node).into_iter().flat_map(Variant::keys))
    }

    /// What is chosen in the table `node`.
    pub(crate) fn variant(&self, node: &Node) -> Option<&Variant> {
        let choices = self.choices.as_ref()?;
        let name = match (node.text("name"), choices.preset) {
            (Some(name), _) | (None, NamePreset::Name(name)) => name,
            (None, NamePreset::Derived(..) | NamePreset::Required) => return None,
        };
        choices.variants.iter().find(|variant| variant.name == name)
    }
}

/// What a dotted path means.
pub(crate) enum Meaning<'a> {
    /// A key with a value.
    Key(&'static Key),
    /// The name of what is chosen.
    Name(&'a Choices),
    /// A table, or a list of tables.
    Table,
    /// Nothing.
    Unknown,
}

/// A line of the list of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Dotted path.
    pub path: String,
    /// The choices that have the key, where not every one has.
    pub of: Vec<&'static str>,
    /// What it holds.
    pub kind: String,
    /// Its value when nobody gives one.
    pub preset: String,
    /// What it is for.
    pub meaning: &'static str,
}

impl Schema {
    /// The sum of `parts`. `short_forms` are words of the command line and the paths that they stand for.
    pub fn new(parts: Vec<Part>, short_forms: &'static [(&'static str, &'static str)]) -> Self {
        Self { parts, short_forms }
    }

    /// The parts, in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The tables, in their order.
    pub(crate) fn tables(&self) -> Vec<&'static str> {
        let mut tables: Vec<&str> = self.parts.iter().filter_map(|part| part.path.split('.').next()).collect();
        tables.retain(|table| !table.is_empty());
        tables.dedup();
        tables
    }

    /// The path that a word of the command line stands for.
    pub fn long_form<'a>(&self, word: &'a str) -> &'a str {
        self.short_forms.iter().find(|(short, _)| *short == word).map_or(word, |(_, long)| long)
    }

    /// A line per key, in the order of plans; choices that have the same one share a line.
    pub fn rows(&self) -> Vec<KeyRow> {
        let row = |part: &Part, key: &'static Key| KeyRow {
            path: joined(part.path, key.name),
            of: Vec::new(),
            kind: key.kind.to_string(),
            preset: key.preset.to_string(),
            meaning: key.meaning,
        };
        let of_part = |part: &Part| {
            let name = part.choices.as_ref().map(|choices| KeyRow {
                path: joined(part.path, "name"),
                of: Vec::new(),
                kind: format!("a name: {}", Command::List.of(format!("{}s", choices.noun))),
                preset: choices.preset.to_string(),
                meaning: choices.meaning,
            });
            let mut rows: Vec<KeyRow> = name.into_iter().collect();
            rows.extend(part.keys.iter().map(|key| row(part, key)));
            let mut of_choices: Vec<KeyRow> = Vec::new();
            for variant in part.choices.iter().flat_map(|choices| &choices.variants) {
                for row in variant.keys().map(|key| row(part, key)) {
                    match of_choices.iter_mut().find(|known| KeyRow { of: Vec::new(), ..(*known).clone() } == row) {
                        Some(known) => known.of.push(variant.name),
                        None => of_choices.push(KeyRow { of: vec![variant.name], ..row }),
                    }
                }
            }
            rows.append(&mut of_choices);
            rows
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    /// The part whose table lies at the concrete path `table`, e.g. `views.0`.
    pub(crate) fn part(&self, table: &str) -> Option<&Part> {
        self.parts.iter().find(|part| fits(part.path, table))
    }

    /// What `path` means in `tree`, which tells what is chosen.
    pub(crate) fn meaning(&self, path: &str, tree: &Node) -> Meaning<'_> {
        let (table, last) = path.rsplit_once('.').unwrap_or(("", path));
        if let Some(part) = self.part(table) {
            if let Some(choices) = part.choices.as_ref().filter(|_| last == "name") {
                return Meaning::Name(choices);
            }
            let empty = Node::empty();
            let found = part.keys(tree.get(table).unwrap_or(&empty)).find(|key| key.name == last);
            if let Some(key) = found {
                return Meaning::Key(key);
            }
        }
        if self.is_table(path) { Meaning::Table } else { Meaning::Unknown }
    }

    /// Whether `path` is a table (or a list of tables) that holds keys.
    fn is_table(&self, path: &str) -> bool {
        let depth = path.split('.').count();
        self.parts.iter().any(|part| {
            let head: Vec<_> = part.path.split('.').take(depth).collect();
            !part.path.is_empty() && head.len() == depth && fits(&head.join("."), path)
        })
    }

    /// Paths that a person may have meant, given what `tree` chooses: of the concrete table `table`, and elsewhere.
    pub(crate) fn candidates(&self, table: &str, tree: &Node) -> [Vec<String>; 2] {
        let empty = Node::empty();
        let mut all = [Vec::new(), Vec::new()];
        for part in &self.parts {
            let here = fits(part.path, table);
            let path = if here { table.to_owned() } else { part.path.replace('*', "0") };
            let node = tree.get(&path).unwrap_or(&empty);
            // What is not chosen yet may become any of them.
            let open = part
                .choices
                .as_ref()
                .filter(|choices| matches!(choices.preset, NamePreset::Derived(..)) && part.variant(node).is_none());
            let of_any = open.into_iter().flat_map(|choices| &choices.variants).flat_map(Variant::keys);
            let names = part.keys(node).chain(of_any).map(|key| key.name);
            for name in names.chain(part.choices.as_ref().map(|_| "name")).map(|name| joined(&path, name)) {
                if !all[usize::from(!here)].contains(&name) {
                    all[usize::from(!here)].push(name);
                }
            }
            if !part.path.is_empty() && !part.path.contains('*') {
                all[1].push(part.path.to_owned());
            }
        }
        all
    }
}

impl Choices {
    /// The entry of that name, case and joints forgiven.
    pub(crate) fn find(&self, name: &str) -> Result<&Variant, String> {
        lookup::find(&self.variants, |variant| variant.name, self.noun, name)
    }
}

pub(crate) fn joined(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Whether a concrete path is one of those that `pattern` stands for.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(index)) if index.parse::<usize>().is_ok() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}
