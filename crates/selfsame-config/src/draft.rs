//! Recipe text, then `key=value` arguments, then presets, then what the data tell: from a [`Draft`] to a [`Resolved`].

use crate::key::{Key, Preset, Settled};
use crate::recipe::Recipe;
use crate::render;
use crate::schema::{Choices, Meaning, NamePreset, Part, Schema, Variant, fits, joined};
use crate::settings::{Choice, Settings};
use crate::tree::{Node, Origin, wrong};
use selfsame_base::{DataError, lookup};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// What was asked for, every value checked and knowing where it came from; what nobody gave is filled in as far as it
/// follows from itself or from the rest. What the data must tell may be missing.
#[derive(Clone, Debug)]
pub struct Draft<'s> {
    schema: &'s Schema,
    tree: Node,
    notes: Vec<String>,
}

impl<'s> Draft<'s> {
    /// The draft of a recipe, or of presets alone, with `key=value` arguments laid over it.
    ///
    /// # Errors
    /// If a key is unknown, or its value is not what it holds: which, where, what was expected and what would work.
    pub fn new(schema: &'s Schema, recipe: Option<&Recipe>, arguments: &[String]) -> Result<Self, DataError> {
        let tree = recipe.map_or(Ok(Node::empty()), |recipe| Node::parse(&recipe.name, &recipe.text))?;
        Self::on(schema, tree, arguments)
    }

    /// The draft of `table`, which came about as `how` says, with `key=value` arguments laid over it.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn over(schema: &'s Schema, table: Table, how: &'static str, arguments: &[String]) -> Result<Self, DataError> {
        Self::on(schema, Node::new(Value::Table(table), &Origin::Derived(how)), arguments)
    }

    fn on(schema: &'s Schema, tree: Node, arguments: &[String]) -> Result<Self, DataError> {
        let mut draft = Self { schema, tree, notes: Vec::new() };
        draft.correct_names()?;
        let split = |argument: &String| split_argument(schema, argument);
        let arguments = arguments.iter().map(split).collect::<Result<Vec<_>, _>>()?;
        // Names first, since they decide which keys there are.
        let (names, rest): (Vec<_>, Vec<_>) = arguments.into_iter().partition(|(path, _)| draft.is_name(path));
        for (path, text) in names {
            draft.choose(&path, &text)?;
        }
        draft.check()?;
        for (path, text) in rest {
            let value = draft.parse(&path, &text)?;
            draft.tree.set(&path, Node::new(value, &Origin::Arguments))?;
        }
        draft.correct_names()?;
        draft.check()?;
        draft.settle();
        Ok(draft)
    }

    /// Lets the data tell what nobody said of the table at `path`.
    pub fn add_facts(&mut self, path: &str, facts: &Table) {
        for (key, value) in facts {
            self.tree.put(&joined(path, key), Node::new(value.clone(), &Origin::Data));
        }
        self.settle();
    }

    /// Puts another value in the place of one that cannot work, and notes that for the person who gave it.
    pub fn replace(&mut self, path: &str, value: Value, how: &'static str, note: String) {
        if let Some(node) = self.tree.get_mut(path) {
            *node = Node::new(value, &Origin::Derived(how));
            self.notes.push(note);
        }
    }

    /// The value that an argument gave.
    pub fn given<T: DeserializeOwned>(&self, path: &str) -> Option<T> {
        let node = self.tree.get(path).filter(|node| *node.origin() == Origin::Arguments)?;
        node.clone().into_value().try_into().ok()
    }

    /// The table at `path`, with what is known so far.
    ///
    /// # Errors
    /// If `T` needs what is not known yet.
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, DataError> {
        let table = self.tree.get(path).map_or_else(|| Value::Table(Table::new()), |node| node.clone().into_value());
        table.try_into().map_err(|e: toml::de::Error| DataError::Data(e.message().replace('\n', "; ")))
    }

    /// Adds to an error about a key where that key's value came from.
    pub fn locate(&self, error: DataError) -> DataError {
        locate(&origins(&self.tree), error)
    }

    /// Puts the value for no data where data told none.
    fn go_without_data(&mut self) {
        let mut found = Vec::new();
        for part in self.schema.parts() {
            for table in self.tree.tables(part.path()) {
                let empty = Node::empty();
                let node = self.tree.get(&table).unwrap_or(&empty);
                for key in part.keys(node).filter(|key| matches!(key.preset, Preset::DataOr(..))) {
                    let value = key.preset_value().expect("it has one");
                    found.push((joined(&table, key.name), Node::new(value, &Origin::Default)));
                }
            }
        }
        for (path, node) in found {
            self.tree.put(&path, node);
        }
        self.settle();
    }

    /// Everything resolved. `of_run` says that the recipe is the `plan.toml` of a run, which states every value.
    ///
    /// # Errors
    /// If a value is missing, with what it is for.
    pub fn resolve(mut self, of_run: bool) -> Result<Resolved, DataError> {
        self.go_without_data();
        // Now that every name is known.
        self.check()?;
        // What must be given first: what follows from it is missing too.
        for required in [true, false] {
            for part in self.schema.parts() {
                for table in self.tree.tables(part.path()) {
                    self.check_whole(part, &table, required, of_run)?;
                }
            }
        }
        let origins = origins(&self.tree);
        Ok(Resolved { tree: self.tree, origins, notes: self.notes })
    }

    /// Checks that the table at `table` lacks no key that must be given, or no other.
    fn check_whole(&self, part: &Part, table: &str, required: bool, of_run: bool) -> Result<(), DataError> {
        let empty = Node::empty();
        let node = self.tree.get(table).unwrap_or(&empty);
        if part.choices().is_some() && node.text("name").is_none() {
            return Err(self.missing(&joined(table, "name"), node.origin(), "a name", false));
        }
        let lacking = |key: &&Key| node.get(key.name).is_none() && required == matches!(key.preset, Preset::Required);
        match part.keys(node).find(lacking) {
            None => Ok(()),
            Some(key) => Err(self.missing(&joined(table, key.name), node.origin(), key.meaning, of_run && !required)),
        }
    }

    fn missing(&self, path: &str, origin: &Origin, meaning: &str, of_run: bool) -> DataError {
        let hint =
            if of_run { "; a run's plan states it: put the line back, or start a new run with out=…" } else { "" };
        wrong(path, format!("missing: {meaning}{hint}"), origin)
    }

    /// Whether `path` is the name of a choice.
    fn is_name(&self, path: &str) -> bool {
        matches!(self.schema.meaning(path, &self.tree), Meaning::Name(_))
    }

    /// Makes another choice than the recipe did. The keys of the recipe's own choice mean nothing to it: they
    /// are dropped, unless both are of one family and know them.
    fn choose(&mut self, path: &str, text: &str) -> Result<(), DataError> {
        let Meaning::Name(choices) = self.schema.meaning(path, &self.tree) else { return Ok(()) };
        let value = self.parse(path, text)?;
        let chosen = choices.find(value.as_str().unwrap_or_default());
        let chosen = chosen.map_err(|problem| wrong(path, problem, &Origin::Arguments))?;
        let table = path.strip_suffix("name").unwrap_or_default().trim_end_matches('.').to_owned();
        let part = self.schema.part(&table).expect("a name lies in a part");
        let before = self.tree.get(&table).and_then(|node| part.variant(node)).copied();
        if let Some(before) = before.filter(|before| before.name != chosen.name) {
            let kept = |name: &str| {
                let shared = before.family == chosen.family && chosen.keys().any(|key| key.name == name);
                name == "name" || shared || part.common().iter().any(|key| key.name == name)
            };
            let mut dropped = Vec::new();
            if let Some(Node::Table(entries, _)) = self.tree.get_mut(&table) {
                entries.retain(|name, node| {
                    let kept = kept(name);
                    // What nobody wrote is not missed.
                    if !kept && matches!(node.origin(), Origin::File { .. }) {
                        dropped.push(name.clone());
                    }
                    kept
                });
            }
            if !dropped.is_empty() {
                self.notes.push(format!(
                    "{table}.name = \"{}\" takes the place of \"{}\", whose keys are dropped: {}",
                    chosen.name,
                    before.name,
                    dropped.join(", ")
                ));
            }
        }
        let node = Node::Leaf(Value::String(chosen.name.into()), Origin::Arguments);
        self.tree.set(path, node)
    }

    /// A value of the command line: TOML, or plain text where the key holds text.
    fn parse(&self, path: &str, text: &str) -> Result<Value, DataError> {
        let is_text = match self.schema.meaning(path, &self.tree) {
            Meaning::Key(key) => key.kind.is_text(),
            Meaning::Name(_) => true,
            Meaning::Table | Meaning::Unknown => false,
        };
        match format!("value = {text}").parse::<Table>().map(|mut table| table.remove("value")) {
            Ok(Some(value)) if value.is_str() || !is_text => Ok(value),
            Err(error) if text.starts_with(['[', '{', '"', '\'']) && !is_text => {
                let problem = format!("{text:?} is not a TOML value: {}", error.message().replace('\n', "; "));
                Err(wrong(path, problem, &Origin::Arguments))
            }
            _ => Ok(Value::String(text.into())),
        }
    }

    /// Writes names as the lists of choices do.
    fn correct_names(&mut self) -> Result<(), DataError> {
        for part in self.schema.parts() {
            let Some(choices) = part.choices() else { continue };
            for table in self.tree.tables(part.path()) {
                let path = joined(&table, "name");
                let Some(Node::Leaf(Value::String(name), origin)) = self.tree.get_mut(&path) else { continue };
                match choices.find(name) {
                    Ok(found) => *name = found.name.into(),
                    Err(problem) => return Err(wrong(&path, problem, origin)),
                }
            }
        }
        Ok(())
    }

    /// Checks every leaf for a known key and a fitting value.
    fn check(&mut self) -> Result<(), DataError> {
        for part in self.schema.parts() {
            if let Some(list) = part.list_path()
                && let Some(Node::Table(_, origin)) = self.tree.get(list)
            {
                let problem = format!("expected a list of groups: write [[{list}]] with double brackets");
                return Err(wrong(list, problem, origin));
            }
        }
        let (mut result, mut floating) = (Ok(()), Vec::new());
        self.tree.visit("", &mut |path, node| {
            if result.is_ok() {
                result = self.check_leaf(path, node).map(|key| {
                    if key.is_some_and(|key| key.kind.is_floating()) {
                        floating.push(path.to_owned());
                    }
                });
            }
        });
        for path in floating {
            if let Some(Node::Leaf(value, _)) = self.tree.get_mut(&path) {
                to_float(value);
            }
        }
        result
    }

    fn check_leaf(&self, path: &str, node: &Node) -> Result<Option<&'static Key>, DataError> {
        let fail = |problem: String| Err(wrong(path, problem, node.origin()));
        let table = path.rsplit_once('.').map_or("", |(table, _)| table);
        match self.schema.meaning(path, &self.tree) {
            Meaning::Key(key) => match node {
                Node::Leaf(value, _) if key.kind.admits(value) => Ok(Some(key)),
                _ => fail(format!("expected {}, got {}", key.kind, node.describe())),
            },
            // Unknown ones are told of when names are corrected.
            Meaning::Name(_) => match node {
                Node::Leaf(Value::String(_), _) => Ok(None),
                _ => fail(format!("expected text, got {}", node.describe())),
            },
            Meaning::Table => {
                let in_list =
                    self.schema.parts().iter().any(|part| part.list_path().is_some_and(|list| fits(list, path)));
                let empty = match node {
                    Node::Table(entries, _) => entries.is_empty(),
                    Node::Leaf(Value::Array(items), _) => items.is_empty() && in_list,
                    _ => false,
                };
                match (empty, in_list) {
                    (true, _) => Ok(None),
                    (false, true) => fail(format!(
                        "expected a list of tables such as {{ name = \"horizontal_flip\", p = 0.5 }}, got {}",
                        node.describe()
                    )),
                    (false, false) => fail(format!("expected a table, got {}", node.describe())),
                }
            }
            Meaning::Unknown => {
                if matches!(self.schema.meaning(table, &self.tree), Meaning::Key(_)) {
                    return fail(format!("`{table}` is a value, it has no keys of its own"));
                }
                let unnamed = self.tree.get(table).is_none_or(|node| node.text("name").is_none());
                let choices = self.schema.part(table).and_then(Part::choices).filter(|_| unnamed);
                let last = path.rsplit('.').next().unwrap_or(path);
                match choices.map(|choices| (choices, choices.preset)) {
                    Some((choices, NamePreset::Required)) => {
                        let names: Vec<&str> = choices.variants.iter().map(|variant| variant.name).collect();
                        let problem = format!("missing; expected {}", lookup::one_of(&names));
                        Err(wrong(&joined(table, "name"), problem, node.origin()))
                    }
                    // It is checked as soon as the name is known.
                    Some((choices, NamePreset::Derived(..))) if with_key(choices, last).is_some() => Ok(None),
                    _ => fail(self.unknown_key(path, table)),
                }
            }
        }
    }

    fn unknown_key(&self, path: &str, table: &str) -> String {
        let [here, elsewhere] = self.schema.candidates(table, &self.tree);
        // A key of the same table is meant far more often than one elsewhere.
        let meant = lookup::nearest(path, here.iter().map(String::as_str).filter(|_| !table.is_empty()))
            .or_else(|| lookup::nearest(path, here.iter().chain(&elsewhere).map(String::as_str)));
        let of_another = self.schema.part(table).and_then(Part::choices).and_then(|choices| {
            let last = path.rsplit('.').next().unwrap_or(path);
            let node = self.tree.get(table)?;
            let chosen = self.schema.part(table).and_then(|part| part.variant(node))?.name;
            let other = with_key(choices, last)?;
            Some(format!(
                "a key of {} `{}`, which `{chosen}` does not read; drop it (it reads {})",
                choices.noun,
                other.name,
                here.iter().map(|key| key.rsplit('.').next().unwrap_or(key)).collect::<Vec<_>>().join(", ")
            ))
        });
        match (of_another, meant) {
            (Some(of_another), _) => of_another,
            (None, Some(meant)) => format!("unknown key; did you mean `{meant}`?"),
            (None, None) if here.is_empty() || table.is_empty() => {
                format!("unknown key; the tables are {}", self.schema.tables().join(", "))
            }
            (None, None) => {
                let names: Vec<_> = here.iter().map(|c| c.rsplit('.').next().unwrap_or(c)).collect();
                format!("unknown key; `{table}` has {}", names.join(", "))
            }
        }
    }

    /// Fills in what nobody gave, as long as something more follows.
    fn settle(&mut self) {
        loop {
            let mut found: Vec<(String, Node)> = Vec::new();
            for part in self.schema.parts() {
                if let (Some(path), Some(list)) = (part.list_path(), part.list()) {
                    for path in self.tree.tables(path).into_iter().filter(|path| self.tree.get(path).is_none()) {
                        let value = list(&Settled(&self.tree));
                        found.extend(value.map(|value| (path, Node::new(value, &Origin::Default))));
                    }
                }
                for table in self.tree.tables(part.path()) {
                    self.missing_of(part, &table, &mut found);
                }
            }
            let mut changed = false;
            for (path, node) in found {
                changed |= self.tree.put(&path, node);
            }
            if !changed {
                return;
            }
        }
    }

    fn missing_of(&self, part: &Part, table: &str, found: &mut Vec<(String, Node)>) {
        let empty = Node::empty();
        let node = self.tree.get(table).unwrap_or(&empty);
        if let Some(choices) = part.choices().filter(|_| node.get("name").is_none()) {
            let preset = match choices.preset {
                NamePreset::Name(name) => Some((name, Origin::Default)),
                NamePreset::Derived(how, derive) => {
                    derive(&Settled(&self.tree)).map(|name| (name, Origin::Derived(how)))
                }
                NamePreset::Required => None,
            };
            let leaf = |(name, origin): (&str, Origin)| Node::Leaf(Value::String(name.into()), origin);
            found.extend(preset.map(|preset| (joined(table, "name"), leaf(preset))));
        }
        for key in part.keys(node).filter(|key| node.get(key.name).is_none()) {
            let (value, origin) = match key.preset {
                Preset::Value(_) => (key.preset_value(), Origin::Default),
                Preset::Derived(how, derive) => (derive(&Settled(&self.tree)), Origin::Derived(how)),
                Preset::Data(_) | Preset::DataOr(..) | Preset::Required => continue,
            };
            if let Some(mut value) = value {
                if key.kind.is_floating() {
                    to_float(&mut value);
                }
                found.push((joined(table, key.name), Node::new(value, &origin)));
            }
        }
    }
}

/// Values in which nothing is missing, each with where it came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    tree: Node,
    origins: BTreeMap<String, Origin>,
    notes: Vec<String>,
}

impl Resolved {
    /// The settings at `path`.
    pub fn read<T: Settings>(&self, path: &str) -> Result<T, DataError> {
        T::read(&self.table(path))
    }

    /// What is chosen at `path`, with its keys.
    pub fn choice(&self, path: &str) -> Choice {
        let mut keys = self.table(path);
        let name = keys.remove("name").and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default();
        Choice { name, keys }
    }

    /// The elements of the list at `path`, as `read` reads each.
    pub fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, DataError> {
        let list = self.tree.get(path).map_or_else(|| Value::Array(Vec::new()), |node| node.clone().into_value());
        list.try_into().map_err(|e: toml::de::Error| DataError::setting(path, e.message().replace('\n', "; ")))
    }

    /// The table at `path`; the whole with an empty path.
    pub fn table(&self, path: &str) -> Table {
        let node = if path.is_empty() { Some(&self.tree) } else { self.tree.get(path) };
        match node.map(|node| node.clone().into_value()) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        }
    }

    /// What a person should know of how the values came about, one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds to an error about a key where that key's value came from.
    pub fn locate(&self, error: DataError) -> DataError {
        locate(&self.origins, error)
    }

    /// Where the value of a key came from, e.g. `train.epochs` or `views.0.augmentations.1.p`.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }

    /// `plan`, which these values became, as TOML; each line says where its value came from.
    pub fn to_annotated_toml(&self, schema: &Schema, plan: &Table) -> String {
        render::render(schema, plan, &|path| self.origins.get(path).map(ToString::to_string))
    }
}

impl Schema {
    /// `plan` as TOML, in the order of the schema.
    pub fn to_toml(&self, plan: &Table) -> String {
        render::render(self, plan, &|_| None)
    }
}

fn origins(tree: &Node) -> BTreeMap<String, Origin> {
    let mut origins = BTreeMap::new();
    tree.visit("", &mut |path, node| drop(origins.insert(path.to_owned(), node.origin().clone())));
    origins
}

fn locate(origins: &BTreeMap<String, Origin>, error: DataError) -> DataError {
    match error {
        DataError::Setting { key, problem, origin: None } => {
            let own = origins.get(&key);
            let within = || origins.iter().find(|(path, _)| path.starts_with(&format!("{key}."))).map(|(_, o)| o);
            match own.or_else(within) {
                Some(origin) => wrong(&key, problem, origin),
                None => DataError::setting(key, problem),
            }
        }
        other => other,
    }
}

/// The path and the text of a `key=value` argument.
fn split_argument(schema: &Schema, argument: &str) -> Result<(String, String), DataError> {
    match argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()) {
        Some((key, text)) => Ok((schema.long_form(key.trim()).to_owned(), text.trim().to_owned())),
        None => Err(DataError::Data(format!("`{argument}`: expected key=value, e.g. epochs=20 or data=photos/"))),
    }
}

/// The first entry that has a key of that name.
fn with_key<'a>(choices: &'a Choices, name: &str) -> Option<&'a Variant> {
    choices.variants.iter().find(|variant| variant.keys().any(|key| key.name == name))
}

fn to_float(value: &mut Value) {
    match value {
        Value::Integer(whole) => *value = Value::Float(*whole as f64),
        Value::Array(values) => values.iter_mut().for_each(to_float),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
