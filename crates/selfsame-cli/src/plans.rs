//! From the command line's words to a plan and its data.

use crate::exit::bad_input;
use crate::terminal::note;
use anyhow::{Context, Result};
use selfsame::branch::Branch;
use selfsame::catalogue::{Catalogue, MethodEntry, Planned};
use selfsame::encoder_folder::{CONFIG, EncoderFolder};
use selfsame::finetune;
use selfsame::import;
use selfsame::plan::Plan;
use selfsame::run::Run;
use selfsame::weights::WeightsOf;
use selfsame_base::commands::Command;
use selfsame_base::lookup;
use selfsame_base::text::pasted;
use selfsame_config::{KeyRow, Origin, Recipe};
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataRequest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What a command is given besides `key=value`: a recipe's file, a recipe's name, or a run folder.
pub enum Given {
    /// A recipe.
    Recipe(Recipe),
    /// A run folder.
    Run(PathBuf),
}

/// Splits `words` into what is given first, if anything is, and the `key=value` arguments.
pub fn split(words: &[String]) -> Result<(Option<Given>, &[String])> {
    match words.split_first() {
        Some((first, rest)) if !first.contains('=') => Ok((Some(given(first)?), rest)),
        _ => Ok((None, words)),
    }
}

fn given(word: &str) -> Result<Given> {
    let path = Path::new(word);
    if import::is_foreign(path) {
        let start = pasted(format!("init={word}"));
        return Err(bad_input(format!(
            "{word}: weights that another tool wrote; a training starts from them with the keys {start} and data=…"
        )));
    }
    if path.is_dir() {
        check_run(path)?;
        return Ok(Given::Run(path.to_owned()));
    }
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            return Ok(Given::Recipe(Recipe::read(path)?));
        }
        return Err(bad_input(format!("{word}: not a recipe (.toml); to train on it: {}", Command::Train.of(path))));
    }
    let recipe = Recipe::builtin(word).with_context(|| format!("{word}: no file and no run folder"));
    Ok(Given::Recipe(recipe?))
}

/// Checks that `path` is a run folder or an encoder folder; an error says which are, or what else was meant.
fn check_run(path: &Path) -> Result<()> {
    if path.join("plan.toml").is_file() || path.join(CONFIG).is_file() {
        return Ok(());
    }
    let shown = path.display();
    if path.is_dir() {
        let train = Command::Train.of(path);
        return Err(bad_input(format!(
            "{shown}: neither a run folder (no plan.toml) nor an encoder folder (no {CONFIG}); to train on what it holds: {train}"
        )));
    }
    let is_run = |folder: &PathBuf| folder.join("plan.toml").is_file();
    let runs = std::fs::read_dir("runs").into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_run);
    let mut runs: Vec<String> = runs.map(|run| run.display().to_string()).collect();
    runs.sort();
    let meant = lookup::nearest(&Path::new("runs").join(path).display().to_string(), runs.iter().map(String::as_str))
        .or_else(|| lookup::nearest(&path.display().to_string(), runs.iter().map(String::as_str)));
    let hint = match (meant, runs.len()) {
        (Some(meant), _) => format!("did you mean {}?", pasted(meant)),
        (None, 0) => format!("`{}` says how one is made", Command::Help.of("pretrain")),
        (None, _) => format!("there are {}", runs.join(", ")),
    };
    Err(bad_input(format!("{shown}: no such run folder; {hint}")))
}

/// The plan of a run folder, wherever the folder lies now.
pub fn run(path: &Path) -> Result<Plan> {
    run_with(path, &[])
}

/// The plan of a run folder with arguments laid over it. Of what another tool wrote an encoder folder is made first.
pub fn run_with(path: &Path, arguments: &[String]) -> Result<Plan> {
    let path = if import::is_foreign(path) { &own_form(path)? } else { path };
    check_run(path)?;
    Ok(Catalogue::default().load(path, arguments)?)
}

/// The encoder folder, among the runs, of what another tool wrote: what is found out about it has its place there.
fn own_form(path: &Path) -> Result<PathBuf> {
    let folder = EncoderFolder::open(path)?;
    folder.config().imported.iter().for_each(|line| note!("note: {}: {line}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = if path.is_dir() { &name } else { name.split('.').find(|part| !part.is_empty()).unwrap_or("imported") };
    let base = Path::new("runs").join(name);
    let numbered =
        |number: usize| if number == 1 { base.clone() } else { format!("{}-{number}", base.display()).into() };
    for out in (1..).map(numbered) {
        if out.symlink_metadata().is_err() {
            folder.save(&out, Vec::new())?;
            note!("note: {} is its encoder folder", out.display());
            return Ok(out);
        }
        let same = |there: &EncoderFolder| there.config() == folder.config() && !out.join("plan.toml").exists();
        if EncoderFolder::open(&out).is_ok_and(|there| same(&there)) {
            return Ok(out);
        }
    }
    unreachable!("numbers do not end")
}

/// The method of a plan.
pub fn method(plan: &Plan) -> Result<&'static MethodEntry> {
    Ok(Catalogue::default().method(plan)?)
}

/// The branch of a run; what should be known of it goes to standard error.
pub fn branch(plan: &Plan, weights: WeightsOf) -> Result<Branch> {
    Ok((method(plan)?.branch)(plan, weights, &mut |line| note!("warning: {line}"))?)
}

/// A plan with everything resolved, and the data it is about. What a person should know of it goes to standard error.
pub fn resolve(recipe: Option<&Recipe>, arguments: &[String]) -> Result<Planned> {
    let catalogue = Catalogue::default();
    let mut planned = catalogue.plan_on(recipe, None, arguments)?;
    planned.plan.out = own_folder(&planned)?;
    for note in planned.notes() {
        note!("note: {note}");
    }
    tell_notes(&planned.dataset);
    Ok(planned)
}

/// The run folder of a plan: as it says, or, where nobody said and another plan's run is there, the next that is free.
fn own_folder(planned: &Planned) -> Result<PathBuf> {
    let out = &planned.plan.out;
    if !matches!(planned.resolved.origin("out"), Some(Origin::Derived(_))) {
        return Ok(out.clone());
    }
    let is_free = |folder: &Path| -> Result<bool> {
        if !folder.join("plan.toml").is_file() {
            return Ok(true);
        }
        let same = |other: &Plan| planned.plan.differences(&other.identity()).is_empty();
        // As long as nothing has come of it, training tries another plan.
        Ok(run(folder).is_ok_and(|other| same(&other)) || Run::existing(folder)?.is_blank()?)
    };
    if is_free(out)? {
        return Ok(out.clone());
    }
    let numbered = |number: usize| PathBuf::from(format!("{}-{number}", out.display()));
    for folder in (2..).map(numbered) {
        if is_free(&folder)? {
            let differences = run(out).map(|other| planned.plan.differences(&other.identity()).join(", "));
            let differences = differences.map_or(String::new(), |lines| format!(" ({lines})"));
            note!(
                "note: {} is the run of another plan{differences}; this one's is {}",
                out.display(),
                folder.display()
            );
            return Ok(folder);
        }
    }
    unreachable!("numbers do not end")
}

/// What of data is not read, and how the rest is; each line once, as often as the data may be opened.
fn tell_notes(dataset: &Dataset) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for note in dataset.notes() {
        if told.insert(note.clone()) {
            note!("note: {note}");
        }
    }
}

/// Tells of the samples that a command could not read.
pub fn tell_skipped(dataset: &Dataset) {
    if let Some(skipped) = dataset.skipped() {
        note!("warning: {}: {skipped}", dataset.path().display());
    }
}

/// The plan and the data that `words` name: a run's, or a recipe's with `key=value` arguments. Arguments to a run may change
/// what does not change its results, such as `threads`.
pub fn open(words: &[String]) -> Result<(Plan, Arc<Dataset>)> {
    let (recipe, arguments) = match split(words)? {
        (Some(Given::Run(path)), arguments) => {
            let (before, plan) = (run(&path)?, run_with(&path, arguments)?);
            let changed = plan.differences(&before.identity());
            // As long as nothing has come of it, training tries another plan.
            if !changed.is_empty() && !Run::existing(&path)?.is_blank()? {
                return Err(bad_input(format!(
                    "{}: {}: a run's plan is fixed; drop the argument, or start a new run with out=…",
                    path.display(),
                    changed.join(", ")
                )));
            }
            let dataset = Arc::new(Dataset::open(&DataRequest::from(&plan.data))?);
            tell_notes(&dataset);
            return Ok((plan, dataset));
        }
        (Some(Given::Recipe(recipe)), arguments) => (Some(recipe), arguments),
        (None, arguments) => (None, arguments),
    };
    let planned = resolve(recipe.as_ref(), arguments)?;
    Ok((planned.plan, planned.dataset))
}

/// The values of the keys `names` among `key=value` words; any other key is an error.
pub fn values<const N: usize>(words: &[String], names: [&'static str; N]) -> Result<[Option<String>; N]> {
    let mut values = [const { None }; N];
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| bad_input(format!("{word}: expected key=value")))?;
        let found = lookup::find(&names, |name| name, "key", key).map_err(bad_input)?;
        let index = names.iter().position(|name| name == found).unwrap_or_default();
        values[index] = Some(value.to_owned());
    }
    Ok(values)
}

/// Another data set, seen as the plan's encoder sees its own: same channels, size and normalization. No image is kept: see
/// [`kept_sibling`].
pub fn sibling(plan: &Plan, path: &str) -> Result<Arc<Dataset>> {
    open_sibling(plan, path, 0)
}

/// As [`sibling`], with images that stay in memory where they fit: for commands that read each of them many times.
pub fn kept_sibling(plan: &Plan, path: &str) -> Result<Arc<Dataset>> {
    open_sibling(plan, path, plan.data.cache_mb)
}

fn open_sibling(plan: &Plan, path: &str, cache_mb: usize) -> Result<Arc<Dataset>> {
    let dataset = plan.sibling(Path::new(path), cache_mb)?;
    tell_notes(&dataset);
    Ok(Arc::new(dataset))
}

/// The keys of plans.
pub fn plan_keys() -> Vec<KeyRow> {
    Catalogue::default().schema().rows()
}

/// The keys of a fine-tuning.
pub fn finetune_keys() -> Vec<KeyRow> {
    finetune::settings::schema().rows()
}

/// The end of a long help: examples, and what every key is for that does not depend on what is chosen.
pub fn long_help(examples: &str, keys: &[KeyRow]) -> String {
    let shown = || keys.iter().filter(|row| row.of.is_empty());
    let width = shown().map(|row| row.path.len()).max().unwrap_or(0);
    let lines: String =
        shown().map(|row| format!("  {:width$}  {} (default: {})\n", row.path, row.meaning, row.preset)).collect();
    format!(
        "{examples}\n\nKeys (`{}` has those of each method, backbone, augmentation and optimizer too):\n{lines}",
        Command::List.of("keys")
    )
}
