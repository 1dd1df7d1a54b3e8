//! Recipe text, then `key=value` arguments, then defaults, then what the data tell: the making of a [`Plan`].

use super::keys::{self, KEYS, SHORT_FORMS};
use super::plan::{RESNET_KEYS, VIT_KEYS, is_vit};
use super::tree::{Node, Origin, wrong};
use super::{Plan, render};
use crate::DataError;
use crate::augment::{AugmentationEntry, IMAGE_AUGMENTATIONS};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The text of a recipe and what the user calls it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Shown as `NAME:LINE` where a value's origin is told.
    pub name: String,
    /// TOML.
    pub text: String,
}

impl Recipe {
    /// Reads a recipe, or the `plan.toml` of a run.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = std::fs::read_to_string(path).map_err(|e| DataError::io(path, e))?;
        Ok(Self { name: path.display().to_string(), text })
    }
}

/// A method, as far as its settings go.
#[derive(Clone, Debug)]
pub struct MethodKeys {
    /// Name in the catalogue.
    pub name: &'static str,
    /// Every key of its own with its default. A value given must be of the default's type.
    pub defaults: Table,
}

/// What the catalogues beside the tensor library know. This module only learns their names and keys.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Values of `method.name` and the other keys of `[method]`.
    pub methods: Vec<MethodKeys>,
    /// Values of `backbone.name`.
    pub backbones: Vec<&'static str>,
}

impl Known {
    fn method(&self, tree: &Node) -> Option<&MethodKeys> {
        let name = tree.text("method.name")?;
        self.methods.iter().find(|method| method.name == name)
    }
}

/// A plan, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The plan.
    pub plan: Plan,
    origins: BTreeMap<String, Origin>,
}

/// Makes a plan of a recipe (or of defaults alone) and `key=value` arguments. Keys that depend on the data are left
/// open until [`Resolved::complete`].
pub fn load(recipe: Option<&Recipe>, overrides: &[String], known: &Known) -> Result<Resolved, DataError> {
    let overrides = overrides.iter().map(|argument| parse_override(argument)).collect::<Result<Vec<_>, _>>()?;
    let mut tree = Node::new(Value::Table(table_of(&Plan::default())), &Origin::Default);
    if let Some(recipe) = recipe {
        let mut top = Node::parse(&recipe.name, &recipe.text)?;
        for (path, node) in &overrides {
            drop_keys_of_another(&mut top, path, node);
        }
        let mut whole = tree.clone();
        whole.overlay(top.clone());
        overrides.iter().filter(|(path, _)| path == "method.name").try_for_each(|(p, n)| whole.set(p, n.clone()))?;
        check_keys(&top, &whole, known)?;
        tree.overlay(top);
    }
    for (path, node) in overrides {
        tree.set(&path, node)?;
    }
    check_keys(&tree, &tree, known)?;
    fill_own_keys(&mut tree, known);
    fill_backbone(&mut tree);
    fill_out(&mut tree);
    fill_chunk_size(&mut tree);

    let mut origins = BTreeMap::new();
    tree.visit("", &mut |path, node| drop(origins.insert(path.to_owned(), node.origin().clone())));
    if let Some(Node::List(groups, _)) = tree.get("views")
        && let Some(i) = groups.iter().position(|group| group.get("count").is_none())
    {
        let problem = "missing; how many views of this group a sample has, e.g. count = 2";
        return Err(wrong(&format!("views.{i}.count"), problem, groups[i].origin()));
    }
    let plan = tree.into_value().try_into().map_err(|e: toml::de::Error| DataError::Data(e.message().to_owned()))?;
    let resolved = Resolved { plan, origins };
    resolved.plan.check().map_err(|e| resolved.locate(e))?;
    Ok(resolved)
}

impl Resolved {
    /// Lets `resolve` fill in what depends on the data (kind, channels, size, mean, std), then settles what follows
    /// from it: the stem and the sizes of views.
    pub fn complete(mut self, resolve: impl FnOnce(&mut Plan) -> Result<(), DataError>) -> Result<Self, DataError> {
        resolve(&mut self.plan).map_err(|e| self.locate(e))?;
        self.plan.settle();
        let found = Node::new(Value::Table(table_of(&self.plan)), &Origin::Data);
        found.visit("", &mut |path, _| {
            self.origins.entry(path.to_owned()).or_insert(Origin::Data);
        });
        self.plan.check().map_err(|e| self.locate(e))?;
        Ok(self)
    }

    /// Adds to an error about a key where that key's value came from.
    pub fn locate(&self, error: DataError) -> DataError {
        match error {
            DataError::Setting { key, problem, origin: None } => {
                let own = self.origins.get(&key);
                let within =
                    || self.origins.iter().find(|(path, _)| path.starts_with(&format!("{key}."))).map(|(_, o)| o);
                match own.or_else(within) {
                    Some(origin) => wrong(&key, problem, origin),
                    None => DataError::setting(key, problem),
                }
            }
            other => other,
        }
    }

    /// Where the value of a key came from, e.g. `train.epochs` or `views.0.augmentations.1.p`.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }

    /// The plan as TOML, each line with a trailing comment that tells where its value came from.
    pub fn to_annotated_toml(&self) -> String {
        render::render(&table_of(&self.plan), &|path| self.origins.get(path).map(ToString::to_string))
    }
}

impl Plan {
    /// The plan as TOML; [`load`] and [`Plan::load`] give the same plan back.
    pub fn to_toml(&self) -> String {
        render::render(&table_of(self), &|_| None)
    }

    /// Reads a `plan.toml` that [`Plan::to_toml`] wrote.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let recipe = Recipe::read(path)?;
        let plan: Self = toml::from_str(&recipe.text)
            .map_err(|e| DataError::Data(format!("{}: {}", recipe.name, e.message().replace('\n', "; "))))?;
        plan.check()?;
        Ok(plan)
    }

    /// Hash of everything that results depend on: all of the plan but `threads` and `out`. 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let canonical = Self { threads: 0, out: PathBuf::new(), ..self.clone() };
        blake3::hash(canonical.to_toml().as_bytes()).to_hex().to_string()
    }
}

fn table_of(plan: &Plan) -> Table {
    Table::try_from(plan).expect("a plan holds tables, lists, text, flags and numbers within 63 bits")
}

fn parse_override(argument: &str) -> Result<(String, Node), DataError> {
    let Some((key, text)) = argument.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
        return Err(DataError::Data(format!("`{argument}`: expected key=value, e.g. epochs=20 or data=photos/")));
    };
    let (key, text) = (key.trim(), text.trim());
    let path = SHORT_FORMS.iter().find(|(short, _)| *short == key).map_or(key, |(_, full)| full);
    let parsed = format!("value = {text}").parse::<Table>().map(|mut table| table.remove("value"));
    let plain = || Value::String(text.into());
    let is_text = keys::find(path).is_some_and(|key| key.kind.is_text());
    let value = match parsed {
        Ok(Some(value)) if value.is_str() || !is_text => value,
        Err(error) if text.starts_with(['[', '{', '"', '\'']) && !is_text => {
            let problem = format!("{text:?} is not a TOML value: {}", error.message().replace('\n', "; "));
            return Err(wrong(path, problem, &Origin::CommandLine));
        }
        _ => plain(),
    };
    Ok((path.to_owned(), Node::new(value, &Origin::CommandLine)))
}

/// When an argument names another method or backbone than the recipe, the keys that belong to the recipe's own choice
/// would be meaningless: they are dropped.
fn drop_keys_of_another(recipe: &mut Node, path: &str, node: &Node) {
    let Some(section) = path.strip_suffix(".name").filter(|section| ["method", "backbone"].contains(section)) else {
        return;
    };
    let Node::Leaf(Value::String(chosen), _) = node else { return };
    let Some(name) = recipe.text(path).filter(|name| name != chosen).map(str::to_owned) else { return };
    let Some(Node::Table(entries, _)) = recipe.get_mut(section) else { return };
    match section {
        "method" => entries.retain(|key, _| key == "name"),
        _ => {
            let another_family = is_vit(&name) != is_vit(chosen);
            let own: &[&str] = if is_vit(&name) { &VIT_KEYS } else { &RESNET_KEYS };
            let drop = |key: &str| OWN_SIZE_KEYS.contains(&key) || another_family && own.contains(&key);
            entries.retain(|key, _| !drop(key));
        }
    }
}

/// Keys of `[backbone]` that belong to one backbone, not to its family.
const OWN_SIZE_KEYS: [&str; 4] = ["widths", "dim", "depth", "heads"];

/// The backbone's family decides which keys it has, and so which defaults.
fn fill_backbone(tree: &mut Node) {
    if !tree.text("backbone.name").is_some_and(is_vit) {
        return;
    }
    let Some(Node::Table(entries, _)) = tree.get_mut("backbone") else { return };
    entries.retain(|key, node| *node.origin() != Origin::Default || !RESNET_KEYS.contains(&key.as_str()));
    let (pool, positions) = (super::Pool::default(), super::Positions::default());
    for (key, value) in [
        ("pool", Value::try_from(pool).expect("a word")),
        ("positions", Value::try_from(positions).expect("a word")),
        ("drop_path", Value::Float(0.0)),
    ] {
        entries.entry(key.into()).or_insert(Node::Leaf(value, Origin::Default));
    }
}

/// Adds the defaults of the method and of each augmentation, and turns whole numbers into floating-point ones where
/// floating-point ones are meant, so that `p = 1` and `p = 1.0` are one plan.
fn fill_own_keys(tree: &mut Node, known: &Known) {
    if let (Some(method), Some(node)) = (known.method(tree), tree.get_mut("method")) {
        for (key, default) in &method.defaults {
            if let (Some(Node::Leaf(value, _)), Value::Float(_)) = (node.get_mut(key), default) {
                to_float(value);
            }
        }
        node.fill(&method.defaults, &Origin::Method);
    }
    let Some(Node::List(groups, _)) = tree.get_mut("views") else { return };
    for group in groups {
        let Some(Node::List(augmentations, _)) = group.get_mut("augmentations") else { continue };
        for node in augmentations {
            if let Some(entry) = augmentation(node) {
                node.fill(&entry.defaults(), &Origin::Default);
            }
            if let Node::Table(entries, _) = node {
                entries.values_mut().for_each(|node| {
                    if let Node::Leaf(value, _) = node {
                        to_float(value);
                    }
                });
            }
        }
    }
}

fn augmentation(node: &Node) -> Option<&'static AugmentationEntry> {
    let name = node.text("name")?;
    IMAGE_AUGMENTATIONS.iter().find(|entry| entry.name == name)
}

fn to_float(value: &mut Value) {
    match value {
        Value::Integer(whole) => *value = Value::Float(*whole as f64),
        Value::Array(values) => values.iter_mut().for_each(to_float),
        _ => {}
    }
}

/// Checks every leaf of `part` for a known key and a fitting value; `whole` tells which method and augmentations the
/// keys belong to. Values of augmentations are left to the augmentations, which need to know the images' channels.
fn check_keys(part: &Node, whole: &Node, known: &Known) -> Result<(), DataError> {
    if let Some(Node::Table(_, origin)) = part.get("views") {
        return Err(wrong("views", "expected a list of groups: write [[views]] with double brackets", origin));
    }
    let mut result = Ok(());
    part.visit("", &mut |path, node| {
        // Defaults are ours; some are open until the end.
        if result.is_ok() && *node.origin() != Origin::Default {
            result = check_key(path, node, whole, known);
        }
    });
    result
}

fn check_key(path: &str, node: &Node, whole: &Node, known: &Known) -> Result<(), DataError> {
    let fail = |problem: String| Err(wrong(path, problem, node.origin()));
    if let Some(key) = keys::find(path) {
        return match node {
            Node::Leaf(value, _) if key.kind.admits(value) => check_name(path, value, known).or_else(fail),
            _ => fail(format!("expected {}, got {}", key.kind, node.describe())),
        };
    }
    let (table, last) = path.rsplit_once('.').unwrap_or(("", path));
    if table == "method" {
        match known.method(whole).map(|method| method.defaults.get(last)) {
            Some(Some(default)) => return check_type(node, default).or_else(fail),
            Some(None) => {}
            // A name that is unknown is told of where it stands.
            None => return Ok(()),
        }
    }
    if is_augmentation(table) {
        let element = whole.get(table).unwrap_or(node);
        if element.text("name").is_none() {
            let problem = format!("missing; expected {}", keys::one_of(&augmentation_names()));
            return Err(wrong(&format!("{table}.name"), problem, node.origin()));
        }
        if augmentation(element).is_none_or(|entry| entry.keys.iter().any(|key| key.name == last)) {
            return Ok(());
        }
    }
    let empty = match node {
        Node::Table(entries, _) => entries.is_empty(),
        Node::Leaf(Value::Array(items), _) => items.is_empty() && path.starts_with("views"),
        _ => false,
    };
    match keys::is_table(path) {
        true if empty => Ok(()),
        true if path.ends_with("augmentations") => fail(format!(
            "expected a list of tables such as {{ name = \"horizontal_flip\", p = 0.5 }}, got {}",
            node.describe()
        )),
        true => fail(format!("expected a table, got {}", node.describe())),
        false => fail(unknown_key(path, table, whole, known)),
    }
}

fn is_augmentation(table: &str) -> bool {
    keys::find(&format!("{table}.name")).is_some_and(|key| key.path.contains("augmentations"))
}

fn augmentation_names() -> Vec<&'static str> {
    IMAGE_AUGMENTATIONS.iter().map(|entry| entry.name).collect()
}

/// Checks that what is named at a `….name` key is in its catalogue.
fn check_name(path: &str, value: &Value, known: &Known) -> Result<(), String> {
    let (what, names) = match path {
        "method.name" => ("method", known.methods.iter().map(|method| method.name).collect()),
        "backbone.name" => ("backbone", known.backbones.clone()),
        _ if path.contains("augmentations") => ("augmentation", augmentation_names()),
        _ => return Ok(()),
    };
    let name = value.as_str().unwrap_or_default();
    if names.contains(&name) {
        return Ok(());
    }
    let meant =
        keys::nearest(name, names.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Err(format!("there is no {what} `{name}`{meant} (there are {})", names.join(", ")))
}

/// The default tells the type that a value must have.
fn check_type(node: &Node, default: &Value) -> Result<(), String> {
    let (fits, what) = match (node, default) {
        (Node::Leaf(value, _), Value::Float(_)) => {
            (value.is_integer() || value.as_float().is_some_and(f64::is_finite), "a number")
        }
        (Node::Leaf(value, _), Value::Integer(_)) => (value.is_integer(), "a whole number"),
        (Node::Leaf(value, _), Value::Boolean(_)) => (value.is_bool(), "true or false"),
        (Node::Leaf(value, _), Value::String(_)) => (value.is_str(), "text"),
        (Node::Leaf(value, _), Value::Array(_)) => (value.is_array(), "a list"),
        _ => (false, "a value"),
    };
    if fits { Ok(()) } else { Err(format!("expected {what} such as {default}, got {}", node.describe())) }
}

fn unknown_key(path: &str, table: &str, whole: &Node, known: &Known) -> String {
    let mut candidates: Vec<String> = KEYS.iter().map(|key| key.path.replace('*', "0")).collect();
    candidates.extend(keys::sections().into_iter().map(str::to_owned));
    let own = known.method(whole).into_iter().flat_map(|method| method.defaults.keys());
    candidates.extend(own.map(|key| format!("method.{key}")));
    if let Some(entry) = whole.get(table).filter(|_| is_augmentation(table)).and_then(augmentation) {
        candidates.push(format!("{table}.name"));
        candidates.extend(entry.keys.iter().map(|key| format!("{table}.{}", key.name)));
    }
    let beside: Vec<_> = candidates.iter().filter(|c| c.rsplit_once('.').map_or("", |(t, _)| t) == table).collect();
    // A key of the same table is meant far more often than one elsewhere.
    let meant = keys::nearest(path, beside.iter().map(|c| c.as_str()).filter(|_| !table.is_empty()))
        .or_else(|| keys::nearest(path, candidates.iter().map(String::as_str)));
    match meant {
        Some(meant) => format!("unknown key; did you mean `{meant}`?"),
        None if beside.is_empty() || table.is_empty() => "unknown key; `selfsame list keys` shows all".into(),
        None => {
            let names: Vec<_> = beside.iter().map(|c| c.rsplit('.').next().unwrap_or(c)).collect();
            format!("unknown key; `{table}` has {}", names.join(", "))
        }
    }
}

/// `out` defaults to `runs/<method>-<data name>`.
fn fill_out(tree: &mut Node) {
    if !tree.text("out").is_none_or(str::is_empty) {
        return;
    }
    let path = tree.text("data.path").unwrap_or_default();
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("data");
    let out = format!("runs/{}-{stem}", tree.text("method.name").unwrap_or_default());
    if let Node::Table(entries, _) = tree {
        entries.insert("out".into(), Node::Leaf(Value::String(out), Origin::Default));
    }
}

/// `train.chunk_size` defaults to the batch.
fn fill_chunk_size(tree: &mut Node) {
    let Some(Node::Leaf(batch, _)) = tree.get("train.batch_size").cloned() else { return };
    if let Some(Node::Table(entries, _)) = tree.get_mut("train") {
        entries.entry("chunk_size".into()).or_insert(Node::Leaf(batch, Origin::Default));
    }
}
