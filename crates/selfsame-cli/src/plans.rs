//! From the command line's words to a plan and its data.

use anyhow::{Context, Result, bail};
use selfsame::catalogue;
use selfsame_data::config::{self, Plan, Recipe, Resolved};
use selfsame_data::dataset::Dataset;
use std::path::Path;
use std::sync::Arc;

/// What a command is given besides `key=value`: a recipe's file, a recipe's name, or a run folder.
pub enum Subject {
    /// A recipe.
    Recipe(Recipe),
    /// A run folder's plan.
    Run(Box<Plan>),
}

/// Splits `words` into an optional first subject and the `key=value` arguments.
pub fn split(words: &[String]) -> Result<(Option<Subject>, &[String])> {
    match words.split_first() {
        Some((first, rest)) if !first.contains('=') => Ok((Some(subject(first)?), rest)),
        _ => Ok((None, words)),
    }
}

fn subject(word: &str) -> Result<Subject> {
    let path = Path::new(word);
    if path.is_dir() {
        return Ok(Subject::Run(Box::new(run(path)?)));
    }
    Ok(Subject::Recipe(if path.is_file() { Recipe::read(path)? } else { Recipe::builtin(word)? }))
}

/// The plan of a run folder, wherever the folder lies now.
pub fn run(path: &Path) -> Result<Plan> {
    let file = path.join("plan.toml");
    if !file.is_file() {
        bail!("{}: not a run folder (it has no plan.toml); `selfsame pretrain` makes one", path.display());
    }
    Ok(Plan { out: path.to_owned(), ..Plan::load(&file)? })
}

/// A plan with everything resolved, and the data it is about.
pub fn resolve(recipe: Option<&Recipe>, overrides: &[String]) -> Result<(Resolved, Arc<Dataset>)> {
    let mut dataset = None;
    let resolved = config::load(recipe, overrides, &catalogue::known())?.complete(|plan| {
        let opened = Dataset::open(&plan.data)?;
        opened.resolve(&mut plan.data)?;
        dataset = Some(Arc::new(opened));
        Ok(())
    })?;
    let method = catalogue::method(&resolved.plan)?;
    (method.check)(&resolved.plan).map_err(|error| match error {
        selfsame::Error::Data(error) => anyhow::Error::from(resolved.locate(error)),
        error => error.into(),
    })?;
    Ok((resolved, dataset.expect("opened while resolving")))
}

/// The plan and the data that `words` name: a run's, or a recipe's with `key=value` arguments.
pub fn open(words: &[String]) -> Result<(Plan, Arc<Dataset>)> {
    let (recipe, overrides) = match split(words)? {
        (Some(Subject::Run(plan)), []) => {
            let dataset = Arc::new(Dataset::open(&plan.data)?);
            return Ok((*plan, dataset));
        }
        (Some(Subject::Run(plan)), _) => bail!(
            "{} is a run, and a run's plan is fixed; drop the key=value arguments, or start another with out=…",
            plan.out.display()
        ),
        (Some(Subject::Recipe(recipe)), overrides) => (Some(recipe), overrides),
        (None, overrides) => (None, overrides),
    };
    let (resolved, dataset) = resolve(recipe.as_ref(), overrides)?;
    Ok((resolved.plan, dataset))
}

/// The values of the keys `names` among `key=value` words; any other key is an error.
pub fn values<const N: usize>(words: &[String], names: [&str; N]) -> Result<[Option<String>; N]> {
    let mut values = [const { None }; N];
    for word in words {
        let (key, value) = word.split_once('=').with_context(|| format!("{word}: expected key=value"))?;
        match names.iter().position(|name| *name == key) {
            Some(index) => values[index] = Some(value.to_owned()),
            None => bail!("{key}: unknown here; this command takes {}", names.map(|n| format!("{n}=…")).join(" ")),
        }
    }
    Ok(values)
}

/// Another data set, seen as the plan's encoder sees its own: same channels, size and normalisation.
pub fn sibling(plan: &Plan, path: &str) -> Result<Arc<Dataset>> {
    let settings = config::DataSettings { path: path.into(), kind: None, labels: None, ..plan.data.clone() };
    let labelled = config::DataSettings { labels: Some("folder".into()), ..settings.clone() };
    // Labels are taken where there are any; a folder has them when its first level names the classes.
    let folder = Path::new(path).is_dir();
    let opened =
        if folder { Dataset::open(&labelled).or_else(|_| Dataset::open(&settings)) } else { Dataset::open(&settings) };
    Ok(Arc::new(opened?))
}
