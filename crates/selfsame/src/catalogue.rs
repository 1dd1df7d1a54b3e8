//! What there is to choose from, and how a plan is made of what was chosen.

use crate::backbone::{BackboneEntry, Role};
use crate::backbones;
use crate::branch::Branch;
use crate::encoder_folder::EncoderFolder;
use crate::error::Error;
use crate::events::Observer;
use crate::fitted_recipe::{self, Fit, FitMethod};
use crate::import;
use crate::init::{self, InitSettings};
use crate::method::{Method, TrivialLoss};
use crate::methods::{
    barlow_twins::BarlowTwins, byol::Byol, clusterfit::Clusterfit, cpc::Cpc, deep_belief_network::DeepBeliefNetwork,
    denoising_autoencoder::DenoisingAutoencoder, dino::Dino, inpainting::Inpainting, invariance_only::InvarianceOnly,
    masked_autoencoder::MaskedAutoencoder, moco::Moco, nnclr::Nnclr, rotation::Rotation, simclr::Simclr,
    simsiam::Simsiam, swav::Swav, ts2vec::Ts2vec, vicreg::Vicreg, vime::Vime,
};
use crate::optim;
use crate::plan::{Plan, RootSettings};
use crate::projector::ProjectorSettings;
use crate::run::{PLAN, read_plan};
use crate::train_settings::TrainSettings;
use crate::trainer::{self, Outcome};
use crate::weights::{self, WeightsOf};
use selfsame_base::lookup;
use selfsame_config::{Choice, Choices, Draft, Key, NamePreset, Part, Recipe, Resolved, Schema, Settings, Variant};
use selfsame_data::augment::{AugmentationEntry, Augmentations};
use selfsame_data::dataset::Dataset;
use selfsame_data::modality::Modality;
use selfsame_data::settings::{DataRequest, DataSettings, data_parts, view_parts};
use selfsame_evaluate::settings::EvaluateSettings;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use toml::{Table, Value};

/// [`trainer::pretrain`] of one method.
pub type PretrainFn = fn(&Plan, Arc<Dataset>, &mut dyn Observer, &AtomicBool) -> Result<Outcome, Error>;

/// Loads the branch of a plan; what should be known of its weights goes to the function.
pub type LoadBranch = fn(&Plan, WeightsOf, &mut dyn FnMut(String)) -> Result<Branch, Error>;

/// One line of the catalogue of methods: a name and the functions that know its type.
pub struct MethodEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// What it learns from; its recipe is written for the first.
    pub modalities: &'static [Modality],
    /// One line for people.
    pub summary: &'static str,
    /// The encoders that a training makes, of which the plan keeps one.
    pub encoders: &'static [Role],
    /// The keys of `[method]` besides `name`.
    pub keys: &'static [&'static [Key]],
    /// Changes the method's recipe to fit other data.
    pub fit: FitMethod,
    /// Whether the plan makes sense for the method.
    pub check: fn(&Plan) -> Result<(), Error>,
    /// [`Method::trivial_loss`] of the plan.
    pub trivial_loss: fn(&Plan) -> Result<Option<TrivialLoss>, Error>,
    /// Trains, or goes on training.
    pub pretrain: PretrainFn,
    /// [`weights::branch`]: the branch of a run, trained or fresh.
    pub branch: LoadBranch,
}

impl MethodEntry {
    /// The entry of a method.
    pub const fn of<M: Method>(summary: &'static str) -> Self {
        Self {
            name: M::NAME,
            modalities: M::MODALITIES,
            summary,
            encoders: M::ENCODERS,
            keys: M::Config::GROUP,
            fit: M::fit,
            check: |plan| M::check(&M::config(plan)?, plan),
            trivial_loss: |plan| Ok(M::trivial_loss(&M::config(plan)?, plan)),
            pretrain: trainer::pretrain::<M>,
            branch: weights::branch::<M>,
        }
    }
}

/// Every method.
pub static METHODS: &[MethodEntry] = &[
    MethodEntry::of::<Simclr>("contrastive: NT-Xent against the rest of the batch"),
    MethodEntry::of::<Moco>("contrastive: a slow teacher's keys, in a queue (v2) or of the batch (v3)"),
    MethodEntry::of::<Nnclr>("contrastive: nearest neighbors of past batches as positives"),
    MethodEntry::of::<Byol>("asymmetric: predicts a slow teacher's embedding of the other view"),
    MethodEntry::of::<Simsiam>("asymmetric: predicts its own embedding of the other view, gradient stopped"),
    MethodEntry::of::<BarlowTwins>("non-contrastive: cross-correlation of the views toward the identity"),
    MethodEntry::of::<Vicreg>("non-contrastive: variance kept up, covariances kept down, view by view"),
    MethodEntry::of::<Swav>(
        "clustering: predicts the other views' prototypes, shared out equally; takes small crops too",
    ),
    MethodEntry::of::<Dino>("self-distillation: matches a slow, centered and sharpened teacher; takes small crops too"),
    MethodEntry::of::<Clusterfit>(
        "clustering: a fresh encoder learns the k-means clusters of a finished run's features",
    ),
    MethodEntry::of::<Rotation>("pretext: predicts by how many quarter turns a view was rotated"),
    MethodEntry::of::<MaskedAutoencoder>("generative: reconstructs the patches that a ViT did not see"),
    MethodEntry::of::<DenoisingAutoencoder>("generative: reconstructs a view from a noisy copy with pixels missing"),
    MethodEntry::of::<Inpainting>("generative: fills in squares that were cut out of a view"),
    MethodEntry::of::<DeepBeliefNetwork>(
        "generative: a stack of restricted Boltzmann machines, layer by layer; it can dream",
    ),
    MethodEntry::of::<Vime>(
        "generative, for tables: tells which features of a row are other rows', and what was there",
    ),
    MethodEntry::of::<Cpc>("contrastive, for signals: predicts the codes of the next steps from the context so far"),
    MethodEntry::of::<Ts2vec>("contrastive, for signals: a step in two overlapping crops, at every scale of time"),
    MethodEntry::of::<InvarianceOnly>("a demonstration: nothing stops it from collapsing, and the diagnosis says so"),
];

/// The methods, backbones and augmentations that plans may name.
#[derive(Clone)]
pub struct Catalogue {
    methods: Vec<&'static MethodEntry>,
    backbones: Vec<&'static BackboneEntry>,
    augmentations: Augmentations,
}

impl Default for Catalogue {
    /// Those of this workspace.
    fn default() -> Self {
        let augmentations = Augmentations::default();
        Self { methods: METHODS.iter().collect(), backbones: backbones::all(), augmentations }
    }
}

/// A plan, where its values came from, and the data that it is about.
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Where its values came from.
    pub resolved: Resolved,
    /// The data, open.
    pub dataset: Arc<Dataset>,
}

impl Planned {
    /// The plan as TOML, each line with a trailing comment that tells where its value came from.
    pub fn to_annotated_toml(&self) -> String {
        self.resolved.to_annotated_toml(&self.plan.schema, &self.plan.to_table())
    }

    /// What a person should know of how the plan came about, one line each.
    pub fn notes(&self) -> Vec<String> {
        self.resolved
            .notes()
            .iter()
            .cloned()
            .chain(self.plan.note_on_init())
            .chain(self.plan.note_on_chunks())
            .chain(self.plan.note_on_sounds())
            .collect()
    }
}

/// Words of the command line that stand for dotted keys.
const SHORT_FORMS: &[(&str, &str)] = &[
    ("data", "data.path"),
    ("init", "init.path"),
    ("method", "method.name"),
    ("backbone", "backbone.name"),
    ("optimizer", "optimizer.name"),
    ("epochs", "train.epochs"),
    ("batch_size", "train.batch_size"),
    ("chunk_size", "train.chunk_size"),
    ("size", "data.size"),
];

impl Catalogue {
    /// With another method.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn with_method(mut self, entry: &'static MethodEntry) -> Self {
        assert!(self.methods.iter().all(|other| other.name != entry.name), "two methods are called {}", entry.name);
        self.methods.push(entry);
        self
    }

    /// With another backbone.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn with_backbone(mut self, entry: &'static BackboneEntry) -> Self {
        assert!(self.backbones.iter().all(|other| other.name != entry.name), "two backbones are called {}", entry.name);
        self.backbones.push(entry);
        self
    }

    /// With another augmentation.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn with_augmentation(self, entry: &'static AugmentationEntry) -> Self {
        Self { augmentations: self.augmentations.with(entry), ..self }
    }

    /// Every method.
    pub fn methods(&self) -> &[&'static MethodEntry] {
        &self.methods
    }

    /// Every backbone.
    pub fn backbones(&self) -> &[&'static BackboneEntry] {
        &self.backbones
    }

    /// All keys of plans, in their order.
    pub fn schema(&self) -> Schema {
        let methods = self.methods.iter().map(|m| Variant { name: m.name, family: m.name, keys: m.keys });
        let methods = Choices {
            noun: "method",
            meaning: "how the encoder learns",
            preset: NamePreset::Name("simclr"),
            variants: methods.collect(),
        };
        let backbones = Choices {
            noun: "backbone",
            meaning: "the encoder",
            preset: NamePreset::Derived("resnet_micro; of vectors mlp, of signals resnet1d_micro", |settled| {
                Some(match settled.text("data.modality")? {
                    "vector" => "mlp",
                    "signal" => "resnet1d_micro",
                    _ => "resnet_micro",
                })
            }),
            variants: self.backbones.iter().map(|backbone| backbone.variant()).collect(),
        };
        let mut parts = vec![Part::new("", RootSettings::KEYS)];
        parts.extend(data_parts());
        parts.push(Part::new("init", InitSettings::KEYS));
        parts.extend([
            Part::new("backbone", &[]).with_choices(backbones),
            Part::new("projector", ProjectorSettings::KEYS),
            Part::new("method", &[]).with_choices(methods),
        ]);
        parts.extend(view_parts(&self.augmentations));
        parts.extend([
            Part::new("train", TrainSettings::KEYS),
            optim::settings::part(),
            Part::new("evaluate", EvaluateSettings::KEYS),
        ]);
        Schema::new(parts, SHORT_FORMS)
    }

    /// The plan of a recipe (or of presets alone) and `key=value` arguments, and its data, which are opened to tell what
    /// nobody said.
    pub fn plan(&self, recipe: Option<&Recipe>, arguments: &[String]) -> Result<Planned, Error> {
        self.as_given(recipe, None, arguments)
    }

    fn as_given(
        &self,
        recipe: Option<&Recipe>,
        dataset: Option<Dataset>,
        arguments: &[String],
    ) -> Result<Planned, Error> {
        let schema = Arc::new(self.schema());
        let mut draft = Draft::new(&schema, recipe, arguments)?;
        let start = init::named(&draft)?;
        let dataset = dataset.map_or_else(|| open_data(&draft), Ok)?;
        // A recipe that says no backbone goes on with that of its start.
        if let (Some(start), Some(recipe)) = (&start, recipe) {
            let mut table: Table = recipe.text.parse().expect("read before");
            if !table.contains_key("backbone") && draft.given::<String>("backbone.name").is_none() {
                init::prescribe(&mut table, start, dataset.channels());
                draft = Draft::over(&schema, table, "the recipe, for the encoder of init.path", arguments)?;
            }
        }
        self.planned(draft, dataset, &schema, start.as_ref())
    }

    /// As [`Self::plan`] with a recipe, as [`Self::plan_fitted`] without; on `dataset`, where that is open.
    pub fn plan_on(
        &self,
        recipe: Option<&Recipe>,
        dataset: Option<Dataset>,
        arguments: &[String],
    ) -> Result<Planned, Error> {
        if recipe.is_some() {
            return self.as_given(recipe, dataset, arguments);
        }
        let schema = Arc::new(self.schema());
        let draft = Draft::new(&schema, None, arguments)?;
        let start = init::named(&draft)?;
        let (method, data) = (draft.given::<String>("method.name"), draft.given::<String>("data.path"));
        let own_method = |start: &EncoderFolder| {
            let own = &start.config().method;
            own != import::METHOD && method.as_ref().is_none_or(|name| name == own)
        };
        let opened = |draft: &Draft, dataset: Option<Dataset>| dataset.map_or_else(|| open_data(draft), Ok);
        if let Some(start) = start.as_ref().filter(|start| own_method(start)) {
            let mut table = init::recipe(start, data.is_some())?;
            if let Some(channels) = draft.given("data.channels") {
                init::drop_unfit(&mut table, start, channels);
            }
            let draft = Draft::over(&schema, table, "the plan of init.path", arguments)?;
            let dataset = opened(&draft, dataset)?;
            return self.planned(draft, dataset, &schema, Some(start));
        }
        let dataset = opened(&draft, dataset)?;
        let draft = match self.fitted_recipe(&draft, &dataset, start.as_ref())? {
            None => draft,
            Some(table) => Draft::over(&schema, table, "the method's recipe, fitted to the data", arguments)?,
        };
        self.planned(draft, dataset, &schema, start.as_ref())
    }

    /// The plan of `key=value` arguments alone, and its data: of the recipe of the method that they name, fitted to the data;
    /// of presets where there is none. With an encoder to start from, and no other method than its own, of the plan that it was
    /// trained by.
    pub fn plan_fitted(&self, arguments: &[String]) -> Result<Planned, Error> {
        self.plan_on(None, None, arguments)
    }

    /// The recipe of the method that `draft` names, if it has one, fitted to the data and to the encoder that is the start.
    fn fitted_recipe(
        &self,
        draft: &Draft,
        dataset: &Dataset,
        start: Option<&EncoderFolder>,
    ) -> Result<Option<Table>, Error> {
        let name = draft.read::<Choice>("method")?.name;
        let method = lookup::find(self.methods.iter().copied(), |entry| entry.name, "method", &name);
        // A method can have a recipe of its own for a modality.
        let of_data = Recipe::builtin(&format!("{}_{name}", dataset.modality().word()));
        let is_for_data = of_data.is_ok();
        let (Ok(method), Ok(recipe)) = (method, of_data.or_else(|_| Recipe::builtin(&name))) else { return Ok(None) };
        let data: Table = draft.read("data")?;
        let size = data.get("size").and_then(|size| size.clone().try_into().ok());
        let to = Fit {
            samples: dataset.len(),
            channels: dataset.channels(),
            size: size.unwrap_or_else(|| dataset.default_size()).shorter(),
            batch_size: draft.given("train.batch_size"),
            epochs: draft.given("train.epochs"),
            modality: dataset.modality(),
            of_sounds: data.get("view").and_then(Value::as_str) == Some("log_mel"),
        };
        let mut table: Table = recipe.text.parse().expect("recipes of the binary are TOML");
        let serves = |name: &str| {
            let own = self.backbones.iter().find(|entry| entry.name == name);
            own.is_some_and(|entry| entry.modalities.contains(&to.modality))
        };
        let named = table.get("backbone").and_then(|backbone| backbone.get("name")?.as_str());
        let written_for = if is_for_data { to.modality } else { method.modalities[0] };
        if written_for != to.modality && !named.is_some_and(serves) {
            table.remove("backbone");
        }
        fitted_recipe::fit(&mut table, written_for, method.fit, &to);
        if let Some(start) = start {
            init::prescribe(&mut table, start, dataset.channels());
        }
        Ok(Some(table))
    }

    fn planned(
        &self,
        mut draft: Draft,
        dataset: Dataset,
        schema: &Arc<Schema>,
        start: Option<&EncoderFolder>,
    ) -> Result<Planned, Error> {
        let given: Table = draft.read("data")?;
        let facts = dataset.facts(&given).map_err(|error| draft.locate(error))?;
        let told = given.get("fingerprint").and_then(Value::as_str);
        let found = facts["fingerprint"].as_str().expect("text");
        if let Some(told) = told.filter(|&told| told != found) {
            if given.get("on_data_change").and_then(Value::as_str) != Some("warn") {
                let problem = "the data are not those of this fingerprint: names, sizes or contents differ; drop data.fingerprint, data.mean, data.std and data.range, or go on with what is there by data.on_data_change=warn";
                return Err(draft.locate(selfsame_base::DataError::setting("data.fingerprint", problem)).into());
            }
            let note =
                format!("the data are not those of data.fingerprint = \"{told}\": names, sizes or contents differ");
            draft.replace("data.fingerprint", found.into(), "the data", note);
        }
        draft.add_facts("data", &facts);
        if let Some(start) = start {
            draft.add_facts("init", &init::facts(start));
        }
        let (plan, resolved) = self.resolve(draft, Arc::clone(schema), false)?;
        Ok(Planned { plan, resolved, dataset: Arc::new(dataset) })
    }

    /// The plan of a recipe and arguments that state every value that the data would tell; no data are opened.
    pub fn plan_as_stated(&self, recipe: Option<&Recipe>, arguments: &[String]) -> Result<Plan, Error> {
        let schema = Arc::new(self.schema());
        let draft = Draft::new(&schema, recipe, arguments)?;
        Ok(self.resolve(draft, schema.clone(), false)?.0)
    }

    /// The plan of a run folder or an encoder folder, wherever it lies now, with `key=value` arguments laid over it.
    pub fn load(&self, run: &Path, arguments: &[String]) -> Result<Plan, Error> {
        match run.join(PLAN).exists() {
            true => self.planned_before(run, &read_plan(run)?, arguments),
            // An encoder folder without its run.
            false => self.planned_before(run, &EncoderFolder::open(run)?.plan_recipe()?, arguments),
        }
    }

    /// As [`Self::load`], of a folder that is open.
    pub fn load_encoder(&self, folder: &EncoderFolder) -> Result<Plan, Error> {
        match folder.path().join(PLAN).exists() {
            true => self.load(folder.path(), &[]),
            false => self.planned_before(folder.path(), &folder.plan_recipe()?, &[]),
        }
    }

    /// The plan that `recipe` states, every value of it, of the run or encoder folder at `path`.
    fn planned_before(&self, path: &Path, recipe: &Recipe, arguments: &[String]) -> Result<Plan, Error> {
        let schema = Arc::new(self.schema());
        let draft = Draft::new(&schema, Some(recipe), arguments)?;
        Ok(Plan { out: path.to_owned(), ..self.resolve(draft, schema.clone(), true)?.0 })
    }

    fn resolve(&self, mut draft: Draft, schema: Arc<Schema>, of_run: bool) -> Result<(Plan, Resolved), Error> {
        scale_warmup(&mut draft);
        let resolved = draft.resolve(of_run)?;
        let locate = |error| match error {
            Error::Data(error) => Error::Data(resolved.locate(error)),
            other => other,
        };
        let method = self.method_called(&resolved.choice("method").name)?;
        let DataSettings { modality, .. } = resolved.read("data")?;
        self.check_modality(method, modality).map_err(locate)?;
        let plan = Plan::read(&resolved, &self.backbones, self.augmentations.clone(), schema).map_err(locate)?;
        self.check_kept(method, plan.train.keep).map_err(locate)?;
        (method.check)(&plan).map_err(locate)?;
        Ok((plan, resolved))
    }

    fn check_modality(&self, method: &MethodEntry, modality: Modality) -> Result<(), Error> {
        if method.modalities.contains(&modality) {
            return Ok(());
        }
        let own: Vec<String> = method.modalities.iter().map(ToString::to_string).collect();
        let fitting = self.methods.iter().filter(|other| other.modalities.contains(&modality));
        let names: Vec<&str> = fitting.map(|other| other.name).collect();
        let problem = format!(
            "{} is for {}, the data are {modality}; {} works on them",
            method.name,
            own.join(" and "),
            lookup::one_of(&names)
        );
        Err(Error::setting("method.name", problem))
    }

    fn check_kept(&self, method: &MethodEntry, keep: Role) -> Result<(), Error> {
        if method.encoders.contains(&keep) {
            return Ok(());
        }
        let (word, has) = (keep.word(), |other: &&&MethodEntry| other.encoders.contains(&keep));
        let names: Vec<&str> = self.methods.iter().filter(has).map(|other| other.name).collect();
        let problem = format!(
            "method.name = \"{}\" has no {word}, {} has; train.keep={} works",
            method.name,
            lookup::one_of(&names),
            Role::Student.word()
        );
        Err(Error::setting("train.keep", problem))
    }

    /// The method that the plan names.
    pub fn method(&self, plan: &Plan) -> Result<&'static MethodEntry, Error> {
        self.method_called(&plan.method.name)
    }

    fn method_called(&self, name: &str) -> Result<&'static MethodEntry, Error> {
        lookup::find(self.methods.iter().copied(), |entry| entry.name, "method", name)
            .map_err(|problem| Error::setting("method.name", problem))
    }
}

fn open_data(draft: &Draft) -> Result<Dataset, Error> {
    let request: DataRequest = draft.read("data").map_err(|_| no_data())?;
    Ok(Dataset::open(&request).map_err(|error| draft.locate(error))?)
}

fn no_data() -> Error {
    Error::setting("data.path", "missing; say what to train on, e.g. data=photos/ or data=demo")
}

/// A warm-up that is longer than the training would never end: it becomes a tenth of it, told.
fn scale_warmup(draft: &mut Draft) {
    let Ok(optimizer) = draft.read::<Table>("optimizer") else { return };
    let Ok(train) = draft.read::<Table>("train") else { return };
    let (Some(warmup), Some(epochs)) =
        (optimizer.get("warmup_epochs").and_then(Value::as_float), train.get("epochs").and_then(Value::as_integer))
    else {
        return;
    };
    if warmup > epochs as f64 {
        let scaled = 0.1 * epochs as f64;
        let note = format!(
            "optimizer.warmup_epochs = {warmup} is more than train.epochs = {epochs}: the warm-up is {scaled} epochs, a tenth"
        );
        draft.replace("optimizer.warmup_epochs", scaled.into(), "a tenth of train.epochs", note);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A plan for images that need not be there, with a small network unless `more` says otherwise.
    pub(crate) fn plan(channels: usize, size: usize, more: &[&str]) -> Plan {
        let ones = |value: &str| vec![value; channels].join(", ");
        let mut arguments: Vec<String> = [
            "data=unused".into(),
            "data.kind=folder".into(),
            "data.labels=none".into(),
            "data.fingerprint=none".into(),
            format!("data.channels={channels}"),
            format!("data.size={size}"),
            format!("data.mean=[{}]", ones("0.5")),
            format!("data.std=[{}]", ones("0.25")),
        ]
        .to_vec();
        if !more.iter().any(|word| word.starts_with("backbone")) {
            arguments.push("backbone.widths=[4, 6]".into());
        }
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        Catalogue::default().plan_as_stated(None, &arguments).unwrap()
    }
}
