//! The plan: everything that a training depends on, every value resolved and checked. The same plan gives the same bytes.
//!
//! A plan is the sum of its parts' settings, each declared where the part is; [`crate::catalogue::Catalogue`] makes one of a
//! recipe, or of a run's `plan.toml`, through the same checks.

use crate::backbone::{BackboneEntry, ChosenBackbone};
use crate::device;
use crate::error::Error;
use crate::init::InitSettings;
use crate::memory::Needed;
use crate::optim::settings::{CommonSettings, OptimizerSettings, UpdateRule};
use crate::projector::ProjectorSettings;
use crate::tensor::layers::NormKind;
use crate::train_settings::TrainSettings;
use selfsame_base::text::readable;
use selfsame_base::{DataError, lookup};
use selfsame_config::{Choice, Draft, Kind, Range, Recipe, Resolved, Schema, Settled, differences, settings, value};
use selfsame_data::augment::image::TURNING;
use selfsame_data::augment::{Augmentations, Normalization, Pipeline, ViewShape};
use selfsame_data::dataset::Dataset;
use selfsame_data::image::Size;
use selfsame_data::loader::{Batching, EvalPlan, ViewPlan};
use selfsame_data::modality::Modality;
use selfsame_data::settings::{DataRequest, DataSettings, ViewSettings};
use selfsame_data::signal::SignalView;
use selfsame_evaluate::settings::EvaluateSettings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::{Table, Value};

settings! {
    /// Keys that lie in no table.
    pub struct RootSettings {
        /// seed of every random stream
        seed: u64 = 0, Kind::Integer(Range::Within(0.0, i64::MAX as f64));
        /// run folder
        #[serde(serialize_with = "readable")]
        out: PathBuf = (derived "runs/<method>-<data name>", default_out), Kind::Text, records;
        /// worker threads, 0: one per core; changes no result
        threads: usize = 0, Kind::Integer(Range::Within(0.0, 1024.0)), records;
        /// where the encoder is trained, e.g. cpu
        device: String = "cpu", Kind::Text;
    }
}

/// Everything a run depends on.
#[derive(Clone)]
pub struct Plan {
    /// Seed of every random stream.
    pub seed: u64,
    /// Run folder.
    pub out: PathBuf,
    /// Worker threads; 0: one per core. No result depends on it.
    pub threads: usize,
    /// Device: `cpu`.
    pub device: String,
    /// The data.
    pub data: DataSettings,
    /// What the encoder's weights start from.
    pub init: InitSettings,
    /// The encoder.
    pub backbone: ChosenBackbone,
    /// The head that is thrown away.
    pub projector: ProjectorSettings,
    /// The method and its own keys.
    pub method: Choice,
    /// Groups of views.
    pub views: Vec<ViewSettings>,
    /// Length, batch and records of the training.
    pub train: TrainSettings,
    /// The optimizer.
    pub optimizer: OptimizerSettings,
    /// The evaluation protocol.
    pub evaluate: EvaluateSettings,
    /// What the keys are, and on which of them results depend.
    pub(crate) schema: Arc<Schema>,
    /// The backbones of the catalogue that the plan was made by.
    pub(crate) backbones: Arc<[&'static BackboneEntry]>,
    /// Its augmentations.
    pub(crate) augmentations: Augmentations,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_toml())
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.to_table() == other.to_table()
    }
}

impl Plan {
    /// Reads what was resolved, and checks what depends on several keys.
    pub(crate) fn read(
        resolved: &Resolved,
        backbones: &[&'static BackboneEntry],
        augmentations: Augmentations,
        schema: Arc<Schema>,
    ) -> Result<Self, Error> {
        let RootSettings { seed, out, threads, device } = resolved.read("")?;
        let plan = Self {
            seed,
            out,
            threads,
            device,
            data: resolved.read("data")?,
            init: resolved.read("init")?,
            backbone: ChosenBackbone::find(backbones, resolved.choice("backbone"))?,
            projector: resolved.read("projector")?,
            method: resolved.choice("method"),
            views: resolved.list("views")?,
            train: resolved.read("train")?,
            optimizer: OptimizerSettings::read(&resolved.choice("optimizer"))?,
            evaluate: resolved.read("evaluate")?,
            schema,
            backbones: backbones.into(),
            augmentations,
        };
        let modality = plan.data.modality;
        let plan = Self {
            backbone: plan.backbone.clone().on(plan.data.vector_columns()),
            data: DataSettings { size: modality.size(plan.data.size), ..plan.data },
            views: plan
                .views
                .into_iter()
                .map(|group| ViewSettings { size: modality.size(group.size), ..group })
                .collect(),
            ..plan
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |key: &str, problem: String| Err(Error::setting(key, problem));
        self.check_modality()?;
        device::check_name(&self.device)?;
        self.backbone.check(self.data.size, &self.sizes().collect::<Vec<_>>())?;
        if self.views.is_empty() {
            return wrong(
                "views",
                "expected at least one group, got an empty list; drop the key for the default views".into(),
            );
        }
        let TrainSettings { batch_size, chunk_size, .. } = self.train;
        if chunk_size > batch_size {
            let problem = format!("{chunk_size} is more than train.batch_size = {batch_size}; at most that works");
            return wrong("train.chunk_size", problem);
        }
        if chunk_size == 1 && self.has_batch_norm() {
            let problem = "1 sample has no statistics for batch norm, so nothing would be learned; at least 2 works, or another norm in [backbone] and [projector]";
            return wrong("train.chunk_size", problem.into());
        }
        let DataSettings { channels, mean, std, range, .. } = &self.data;
        let [low, high] = range;
        if low >= high {
            return wrong(
                "data.range",
                format!("expected two different values, the smaller first, got [{low}, {high}]"),
            );
        }
        for (key, constants) in [("data.mean", mean), ("data.std", std)] {
            if constants.len() != *channels {
                let problem = format!("expected one number per channel, {channels} in all, got {}", constants.len());
                return wrong(key, problem);
            }
        }
        let columns = self.data.vector_columns().channels();
        if self.data.modality == Modality::Vector && columns != *channels {
            let problem = format!("they have {columns} features, data.channels = {channels}; leave both keys out");
            return wrong("data.columns", problem);
        }
        for (key, constants) in
            [("data.mean", mean.as_slice()), ("data.std", std.as_slice()), ("data.range", range.as_slice())]
        {
            if !constants.iter().all(|v| v.is_finite()) {
                return wrong(key, format!("expected numbers within ±{:e}, got {constants:?}", f32::MAX));
            }
        }
        for (i, group) in self.views.iter().enumerate() {
            let path = format!("views.{i}.augmentations");
            let shape = ViewShape { size: group.size, channels: *channels, modality: self.data.modality };
            Pipeline::new(&self.augmentations, &group.augmentations, &path, shape, Normalization::none(*channels))?;
        }
        self.needed()?.check()
    }

    /// Whether backbone, channels and sides are those of images or of vectors, as the data are.
    fn check_modality(&self) -> Result<(), Error> {
        let (modality, entry) = (self.data.modality, self.backbone.entry);
        if !entry.modalities.contains(&modality) {
            let fitting = self.backbones.iter().filter(|other| other.modalities.contains(&modality));
            let names: Vec<&str> = fitting.map(|other| other.name).collect();
            let problem =
                format!("{} is not for {modality}, which the data are; {} works", entry.name, lookup::one_of(&names));
            return Err(Error::setting("backbone.name", problem));
        }
        let (channels, most) = (self.data.channels, modality.most_channels());
        if channels > most {
            return Err(Error::setting("data.channels", format!("{channels}, expected at most {most} of {modality}")));
        }
        match self.sizes().find(|(_, size)| !modality.admits(*size)) {
            Some((key, size)) => {
                let expected = modality.admitted();
                Err(Error::setting(key, format!("{size}, but the data are {modality}: expected {expected}")))
            }
            None => Ok(()),
        }
    }

    /// Sizes of samples and views, by key.
    fn sizes(&self) -> impl Iterator<Item = (String, Size)> {
        let groups = self.views.iter().enumerate().map(|(i, group)| (format!("views.{i}.size"), group.size));
        std::iter::once(("data.size".to_owned(), self.data.size)).chain(groups)
    }

    /// Whether a layer takes statistics over samples.
    fn has_batch_norm(&self) -> bool {
        let ProjectorSettings { layers, norm, last_norm, .. } = self.projector;
        let of_projector = norm == NormKind::Batch && (layers > 1 || (layers == 1 && last_norm));
        let of_backbone = self.backbone.to_choice().keys.get("norm").and_then(Value::as_str) == Some("batch");
        of_projector || of_backbone
    }

    /// What a person should know of a batch in chunks: they are exact only where samples do not see each other.
    pub fn note_on_chunks(&self) -> Option<String> {
        let TrainSettings { batch_size, chunk_size, .. } = self.train;
        (chunk_size < batch_size && self.has_batch_norm()).then(|| {
            format!(
                "batch norm takes its statistics per chunk of {chunk_size} samples, not over the batch of {batch_size}; without batch norm a batch in chunks has the gradients of the whole"
            )
        })
    }

    /// What a person should know of views of sounds that are made as views of photographs are.
    pub fn note_on_sounds(&self) -> Option<String> {
        let turning =
            self.views.iter().flat_map(|group| &group.augmentations).find(|step| TURNING.contains(&&*step.name))?;
        (self.data.view == SignalView::LogMel).then(|| {
            format!(
                "{} turns pictures of sounds around, in which time and frequency have a direction; method={} in place of a recipe for images brings views for sounds",
                turning.name, self.method.name
            )
        })
    }

    /// What a person should know of a training that does not start from drawn weights.
    pub fn note_on_init(&self) -> Option<String> {
        let path = self.init.path.display();
        let CommonSettings { warmup_epochs, .. } = self.optimizer.common;
        (!self.init.is_none()).then(|| {
            format!(
                "the encoder starts from {path}; heads and optimizer start anew, and the learning rate rises again over {warmup_epochs:.2} epochs"
            )
        })
    }

    /// The memory that a training needs at least.
    fn needed(&self) -> Result<Needed, Error> {
        /// Batches of views that exist at once: one in use, one in the queue, one that is being made.
        const BATCHES: f64 = 3.0;
        let moments = match self.optimizer.rule {
            UpdateRule::Adamw(_) => 2.0,
            UpdateRule::Sgd(_) | UpdateRule::Lars(_) => 1.0,
        };
        let (mut parameters, mut activations, mut pixels) = (0.0f64, 0.0, 0.0);
        for group in &self.views {
            let cost = self.backbone.cost(self.data.channels, group.size)?;
            parameters = parameters.max(cost.parameters);
            activations += group.count as f64 * cost.activations;
            pixels += group.count as f64 * (group.size.area() * self.data.channels) as f64;
        }
        parameters += self.projector.parameters();
        Ok(Needed {
            weights: parameters * (2.0 + moments),
            activations: activations * self.train.chunk_size as f64,
            views: pixels * self.train.batch_size as f64 * BATCHES,
        })
    }

    /// The backbones of the catalogue that the plan was made by, for what loads other encoders.
    pub fn backbones(&self) -> &[&'static BackboneEntry] {
        &self.backbones
    }

    /// The threads that its work runs on.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool, Error> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build();
        Ok(pool.map_err(|cause| DataError::threads(self.threads, cause))?)
    }

    /// How training makes batches.
    pub fn batching(&self) -> Batching {
        Batching { batch_size: self.train.batch_size, seed: self.seed, threads: self.threads }
    }

    /// How evaluation makes batches.
    pub fn evaluation_batching(&self) -> Batching {
        Batching { batch_size: self.evaluate.batch_size, ..self.batching() }
    }

    /// The views of a training.
    pub fn training_views(&self) -> Result<ViewPlan, Error> {
        Ok(ViewPlan::new(&self.data, &self.views, &self.augmentations, self.batching())?)
    }

    /// The plain view, for embedding and evaluation.
    pub fn plain_view(&self) -> Result<EvalPlan, Error> {
        Ok(EvalPlan::plain(&self.data, self.evaluation_batching())?)
    }

    /// Other data, seen as the plan's encoder sees its own: same channels, size and normalization. Decoded images stay in memory
    /// where they fit `cache_mb`.
    ///
    /// # Errors
    /// If they cannot be opened.
    pub fn sibling(&self, path: &Path, cache_mb: usize) -> Result<Dataset, Error> {
        let (labels, on_color) = (Some("any".into()), Some("convert".into()));
        let own = DataRequest::from(&self.data);
        Ok(Dataset::open(&DataRequest { path: path.into(), kind: None, labels, on_color, cache_mb, ..own })?)
    }

    /// `count` views of each sample as training draws them, for evaluation.
    pub fn augmented_views(&self, count: usize) -> Result<EvalPlan, Error> {
        Ok(EvalPlan::augmented(&self.data, &self.views, &self.augmentations, self.evaluation_batching(), count)?)
    }

    /// The values, table by table.
    pub fn to_table(&self) -> Table {
        fn table(settings: impl serde::Serialize) -> Table {
            Table::try_from(settings).expect("settings are tables, lists, text, flags and numbers within 63 bits")
        }
        let root = RootSettings { seed: 0, out: self.out.clone(), threads: self.threads, device: self.device.clone() };
        let mut all = table(root);
        // TOML has no numbers of 64 bits without a sign, which a library caller may give.
        all.insert("seed".into(), Value::Integer(self.seed as i64));
        let views = self.views.iter().map(|group| Value::Table(table(group))).collect();
        for (name, part) in [
            ("data", Value::Table(table(&self.data))),
            ("init", Value::Table(table(&self.init))),
            ("backbone", Value::Table(table(self.backbone.to_choice()))),
            ("projector", Value::Table(table(&self.projector))),
            ("method", Value::Table(table(&self.method))),
            ("views", Value::Array(views)),
            ("train", Value::Table(table(&self.train))),
            ("optimizer", Value::Table(table(self.optimizer.to_choice()))),
            ("evaluate", Value::Table(table(&self.evaluate))),
        ] {
            all.insert(name.into(), part);
        }
        all
    }

    /// The plan as TOML, which [`crate::catalogue::Catalogue::load`] reads back.
    pub fn to_toml(&self) -> String {
        self.schema.to_toml(&self.to_table())
    }

    /// What the results of the training depend on: all of the plan but records, caches, evaluations, `threads`, `out`, and
    /// where the data lie, as long as they are the same.
    pub fn identity(&self) -> Table {
        self.schema.identity(&self.to_table())
    }

    /// Hash of [`Self::identity`], 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.identity())
    }

    /// A checkpoint's identity, with keys that its version did not know at their presets; unchanged where it is another plan anyway.
    pub(crate) fn completed(&self, identity: &Table) -> Table {
        self.schema.completed(identity, &self.to_table()).unwrap_or_else(|| identity.clone())
    }

    /// As [`Self::differences`], from a plan that some version wrote: keys that it did not know are at their presets.
    ///
    /// # Errors
    /// If it is no plan.
    pub(crate) fn differences_from(&self, written: &Recipe) -> Result<Vec<String>, Error> {
        let before = Draft::new(&self.schema, Some(written), &[])?.resolve(true)?;
        Ok(self.differences(&self.schema.identity(&before.table(""))))
    }

    /// What makes this another plan than the one of `identity`: a line per key, `train.epochs 7 → 20`; nothing where it is the
    /// same.
    pub fn differences(&self, identity: &Table) -> Vec<String> {
        differences(identity, &self.identity())
    }
}

/// Hash of [`Plan::identity`].
pub(crate) fn fingerprint(identity: &Table) -> String {
    blake3::hash(identity.to_string().as_bytes()).to_hex().to_string()
}

/// The message about a plan that differs by `lines` from the one that a run began with.
pub(crate) fn another_plan(lines: &[String]) -> String {
    format!(
        "{}: another plan than the run began with; start it as a new run with out=…, or put the old value back",
        listed(lines)
    )
}

/// The first of the lines of [`Plan::differences`], as one.
pub(crate) fn listed(lines: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", lines[..lines.len().min(SHOWN)].join(", "))
}

fn default_out(settled: &Settled) -> Option<Value> {
    let name = Path::new(settled.text("data.path")?).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("data").to_owned();
    value(format!("runs/{}-{stem}", settled.text("method.name")?))
}
