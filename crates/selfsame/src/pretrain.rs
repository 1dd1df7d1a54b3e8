//! The front door of a training for programs: what `selfsame pretrain` is for people.

use crate::catalogue::{Catalogue, Planned};
use crate::error::Error;
use crate::events::Observer;
use crate::trainer::Outcome;
use selfsame_config::Recipe;
use selfsame_data::dataset::Dataset;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use toml::Value;

/// A training that is being described. What is not said follows from the method, the data and the presets; [`Self::plan`] tells
/// what that comes to.
///
/// # Examples
/// ```
/// use selfsame::events::Silent;
/// use selfsame::{Embedder, Pretrain};
///
/// # fn main() -> Result<(), selfsame::Error> {
/// # let folder = std::env::temp_dir().join(format!("selfsame-doc-{}", std::process::id()));
/// # let out = folder.join("run");
/// let run = Pretrain::new("simclr")
///     .data("demo/test")
///     .set("backbone.widths", vec![4, 8])
///     .epochs(1)
///     .out(&out)
///     .run(&mut Silent)?;
/// let features = Embedder::load(run.path())?.embed_path("demo/test")?;
/// assert_eq!(features.dim, 8);
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok(())
/// # }
/// ```
pub struct Pretrain {
    catalogue: Catalogue,
    recipe: Option<Recipe>,
    dataset: Option<Dataset>,
    arguments: Vec<String>,
}

impl Pretrain {
    /// By a method of the catalogue, with the recipe that belongs to it, fitted to the data.
    pub fn new(method: &str) -> Self {
        Self { catalogue: Catalogue::default(), recipe: None, dataset: None, arguments: Vec::new() }
            .set("method.name", method)
    }

    /// By a recipe.
    pub fn by_recipe(recipe: Recipe) -> Self {
        Self { catalogue: Catalogue::default(), recipe: Some(recipe), dataset: None, arguments: Vec::new() }
    }

    /// With other methods and backbones than those of this crate to choose from.
    #[must_use]
    pub fn with_catalogue(self, catalogue: Catalogue) -> Self {
        Self { catalogue, ..self }
    }

    /// On the folder or file at `path`; `demo` names the bundled images.
    #[must_use]
    pub fn data(self, path: impl AsRef<Path>) -> Self {
        self.set("data.path", path.as_ref().to_string_lossy().into_owned())
    }

    /// On data that are open, e.g. [in memory](Dataset::in_memory).
    #[must_use]
    pub fn dataset(self, dataset: Dataset) -> Self {
        let path = dataset.path().to_owned();
        Self { dataset: Some(dataset), ..self }.data(path)
    }

    /// From the encoder of a run or an encoder folder, instead of from drawn weights.
    #[must_use]
    pub fn init(self, path: impl AsRef<Path>) -> Self {
        self.set("init.path", path.as_ref().to_string_lossy().into_owned())
    }

    /// So many passes over the data.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        self.set("train.epochs", epochs as i64)
    }

    /// Into this run folder.
    #[must_use]
    pub fn out(self, path: impl AsRef<Path>) -> Self {
        self.set("out", path.as_ref().to_string_lossy().into_owned())
    }

    /// With another value of a key of plans; `docs/keys.md` lists them.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.arguments.push(format!("{key}={}", value.into()));
        self
    }

    /// What all of this comes to: the plan, where its values came from, and the data.
    ///
    /// # Errors
    /// If a key or a value is none, the data cannot be read, or the parts do not fit each other.
    pub fn plan(self) -> Result<Planned, Error> {
        let Self { catalogue, recipe, dataset, arguments } = self;
        catalogue.plan_on(recipe.as_ref(), dataset, &arguments)
    }

    /// Trains, or goes on where the run folder stands. `observer` is told of everything that happens.
    ///
    /// # Errors
    /// As for [`Self::plan`], and whatever ends a training.
    pub fn run(self, observer: &mut dyn Observer) -> Result<Outcome, Error> {
        self.run_until(observer, &AtomicBool::new(false))
    }

    /// As [`Self::run`]; `stop` ends it after the running step, saved.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn run_until(self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, Error> {
        let catalogue = self.catalogue.clone();
        let Planned { plan, dataset, .. } = self.plan()?;
        (catalogue.method(&plan)?.pretrain)(&plan, dataset, observer, stop)
    }
}
