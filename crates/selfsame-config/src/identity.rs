//! What of a plan decides about the results of its training, and what is another plan.

use crate::draft::Draft;
use crate::schema::{Meaning, Schema};
use crate::tree::{Node, Origin};
use std::collections::BTreeMap;
use toml::{Table, Value};

impl Schema {
    /// What of a plan decides about the results of its training: `plan` without records, caches, evaluations.
    pub fn identity(&self, plan: &Table) -> Table {
        let tree = Node::new(Value::Table(plan.clone()), &Origin::Default);
        let mut kept = Node::empty();
        tree.visit("", &mut |path, node| {
            if self.changes_training(path, &tree) {
                kept.put(path, node.clone());
            }
        });
        match kept.into_value() {
            Value::Table(table) => table,
            _ => unreachable!("what was put in lies in tables"),
        }
    }

    /// The [`identity`](Self::identity) with which an older version's run began, with the keys that are new since then at their presets: what a
    /// new key is preset to must be what was done before there was that key. `None` where it has a key that `plan` lacks: these are two
    /// plans anyway.
    pub fn completed(&self, identity: &Table, plan: &Table) -> Option<Table> {
        let mut before = leaves(identity);
        let tree = Node::new(Value::Table(plan.clone()), &Origin::Default);
        let mut all = tree.clone();
        for (path, _) in leaves(plan).into_iter().filter(|(path, _)| self.changes_training(path, &tree)) {
            match before.remove(&path) {
                Some(node) => all.set(&path, node).ok()?,
                None => all.remove(&path),
            }
        }
        let Value::Table(all) = all.into_value() else { unreachable!("a plan is a table") };
        let resolved = Draft::over(self, all, "a checkpoint", &[]).and_then(|draft| draft.resolve(true)).ok()?;
        before.is_empty().then(|| self.identity(&resolved.table("")))
    }

    /// Whether another value at `path` of a plan makes another training.
    fn changes_training(&self, path: &str, plan: &Node) -> bool {
        !matches!(self.meaning(path, plan), Meaning::Key(key) if !key.changes_training)
    }
}

/// What is no table in a plan, by its path.
fn leaves(plan: &Table) -> BTreeMap<String, Node> {
    let mut leaves = BTreeMap::new();
    Node::new(Value::Table(plan.clone()), &Origin::Default)
        .visit("", &mut |path, node| drop(leaves.insert(path.to_owned(), node.clone())));
    leaves
}

/// `lines` of what differs between two plans, key by key: `train.epochs 7 → 20`.
pub fn differences(before: &Table, after: &Table) -> Vec<String> {
    let described = |plan: &Table| -> BTreeMap<String, String> {
        leaves(plan).into_iter().map(|(path, node)| (path, node.describe_value())).collect()
    };
    let (before, after) = (described(before), described(after));
    let mut paths: Vec<&String> =
        before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))).collect();
    paths.sort();
    let of = |value: Option<&String>| value.cloned().unwrap_or_else(|| "nothing".into());
    let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed.map(|path| format!("{path} {} → {}", of(before.get(path)), of(after.get(path)))).collect()
}
