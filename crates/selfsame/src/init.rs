//! `[init]`: a training that starts from an encoder that is there, instead of from drawn weights.
//!
//! The encoder alone is taken: heads start anew, as the optimizer and its schedule do. Networks for other input are fitted by
//! two rules. Of the first layer's weights, `[kernel, kernel, in, out]`, the channels are taken in turn and scaled by old over
//! new count, so that a gray image gives what its color copy gave; one channel made of several is their sum. Positions of a
//! transformer become what the start gives to images of that size ([`Vit::positions_for`]).

use crate::backbone::Encoder;
use crate::backbones::vit::Vit;
use crate::checkpoint;
use crate::encoder_folder::{EncoderConfig, EncoderFolder};
use crate::error::Error;
use crate::plan::Plan;
use crate::run::Run;
use crate::tensor::parameters::{self, Array};
use crate::tensor::to_vec;
use burn::tensor::Device;
use selfsame_base::text::readable;
use selfsame_base::{DataError, atomic};
use selfsame_config::{Draft, Kind, settings};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The path of drawn weights.
const NONE: &str = "none";

/// The name of a transformer's positions.
const POSITIONS: &str = "pos_embed";

settings! {
    /// `[init]`
    pub struct InitSettings {
        /// run, encoder folder, or weights that another tool wrote: the start; none: drawn weights
        #[serde(serialize_with = "readable")]
        path: PathBuf = "none", Kind::Text, records;
        /// what tells its weights from others, wherever they lie
        weights: String = (data "computed", or "none"), Kind::Text;
    }
}

impl InitSettings {
    /// Whether the training starts from drawn weights.
    pub fn is_none(&self) -> bool {
        self.path == Path::new(NONE)
    }
}

/// Keys of `[data]` that say how an encoder is fed: a training that goes on from it feeds it likewise.
const FED: &[&str] = &[
    "modality",
    "channels",
    "columns",
    "size",
    "mean",
    "std",
    "range",
    "interpolation",
    "bands",
    "background",
    "rate",
    "view",
    "mel_bands",
    "mel_window",
    "mel_hop",
    "mel_floor",
    "normalize",
];

/// What `draft` names to start from, if it does.
pub(crate) fn named(draft: &Draft) -> Result<Option<EncoderFolder>, Error> {
    let table: Table = draft.read("init")?;
    let path = table.get("path").and_then(Value::as_str).unwrap_or(NONE);
    if path == NONE {
        return Ok(None);
    }
    let found = EncoderFolder::open(Path::new(path));
    found.map(Some).map_err(|error| draft.locate(DataError::setting("init.path", error.to_string())).into())
}

/// What the start tells of `[init]`.
pub(crate) fn facts(folder: &EncoderFolder) -> Table {
    [("weights".to_owned(), Value::String(folder.config().weights.blake3.clone()))].into_iter().collect()
}

/// `recipe` for the encoder of `folder`: its backbone, fed as it was where the recipe does not say otherwise, but for data of other
/// `channels`.
pub(crate) fn prescribe(recipe: &mut Table, folder: &EncoderFolder, channels: usize) {
    recipe.insert("backbone".into(), folder.config().backbone_table());
    let said = recipe.insert("data".into(), Value::Table(folder.config().data_table()));
    drop_unfit(recipe, folder, channels);
    if let (Some(Value::Table(said)), Some(data)) = (said, recipe.get_mut("data").and_then(Value::as_table_mut)) {
        data.extend(said);
    }
}

/// Where the images have another number of channels than the encoder was fed, the data tell again what depends on it.
pub(crate) fn drop_unfit(recipe: &mut Table, folder: &EncoderFolder, channels: usize) {
    if channels != folder.config().channels
        && let Some(data) = recipe.get_mut("data").and_then(Value::as_table_mut)
    {
        data.retain(|key, _| !["channels", "mean", "std", "bands"].contains(&key));
    }
}

/// The plan that the encoder of `folder` was trained by, as the recipe of a training that goes on from there on its data, or,
/// where `elsewhere`, on others.
pub(crate) fn recipe(folder: &EncoderFolder, elsewhere: bool) -> Result<Table, Error> {
    let mut table = folder.plan_table()?;
    for key in ["out", "init"] {
        table.remove(key);
    }
    // A batch in one chunk stays that, whatever the batch.
    if let Some(train) = table.get_mut("train").and_then(Value::as_table_mut)
        && train.get("chunk_size") == train.get("batch_size")
    {
        train.remove("chunk_size");
    }
    if let Some(data) = table.get_mut("data").and_then(Value::as_table_mut) {
        data.remove("fingerprint");
        if elsewhere {
            data.retain(|key, _| FED.contains(&key));
        }
    }
    Ok(table)
}

/// The weights that a training starts from.
#[derive(Debug)]
pub struct Start {
    path: PathBuf,
    backbone: String,
    imported: Vec<String>,
    encoder: Encoder,
}

impl Start {
    /// What the plan starts from; `None` if from drawn weights, or where the run has a checkpoint to go on from.
    ///
    /// # Errors
    /// If it is gone, or not what it was when the plan was made.
    pub fn of(plan: &Plan) -> Result<Option<Self>, Error> {
        let InitSettings { path, weights } = &plan.init;
        let begun = || Run::existing(&plan.out).is_ok_and(|run| checkpoint::any(&run.checkpoints()).unwrap_or(true));
        if plan.init.is_none() || begun() {
            return Ok(None);
        }
        let folder = EncoderFolder::open(path).map_err(|error| Error::setting("init.path", error.to_string()))?;
        if folder.config().weights.blake3 != *weights {
            let problem = format!(
                "{} holds other weights than when the plan was made; start a new run with out=…",
                path.display()
            );
            return Err(Error::setting("init.path", problem));
        }
        let encoder = folder.load_with(plan.backbones(), &Device::flex())?;
        let EncoderConfig { backbone, imported, .. } = folder.into_config();
        Ok(Some(Self { path: path.clone(), backbone: backbone.name, imported, encoder }))
    }

    /// The encoder with these weights.
    ///
    /// # Errors
    /// If the encoder is another network than the one that the weights are of.
    pub fn apply(&self, encoder: Encoder) -> Result<Encoder, Error> {
        let wrong = |problem: String| {
            let (path, own) = (self.path.display(), &self.backbone);
            Error::setting("init.path", format!("{path}, a {own}, is another network than [backbone] says: {problem}"))
        };
        let (own, mut from) = (parameters::arrays(&encoder), parameters::arrays(&self.encoder));
        if let Some(name) = from.keys().find(|name| !own.contains_key(*name)) {
            return Err(wrong(format!(
                "it has {name}, the backbone has not; drop the backbone's keys to take its own"
            )));
        }
        if let (Some(start), Some(vit)) = (self.encoder.downcast_ref::<Vit>(), encoder.downcast_ref::<Vit>()) {
            let positions = start.positions_for(vit);
            from.insert(POSITIONS.into(), Array { shape: positions.dims().to_vec(), values: to_vec(positions) });
        }
        let fitted = |(name, array): (String, Array)| {
            let Some(start) = from.remove(&name) else {
                return Err(wrong(format!("it has no {name}; drop the backbone's keys to take its own")));
            };
            if start.shape == array.shape {
                return Ok((name, start));
            }
            let fitted = with_channels(&start, &array.shape).ok_or_else(|| {
                wrong(format!("its {name} has shape {:?}, the backbone's {:?}", start.shape, array.shape))
            })?;
            Ok((name, fitted))
        };
        let arrays = own.into_iter().map(fitted).collect::<Result<_, Error>>()?;
        parameters::with_arrays(encoder, arrays).map_err(wrong)
    }

    /// How the weights were read, where another tool wrote them, and which were fitted to become those of `encoder`, a line each.
    pub fn notes(&self, encoder: &Encoder) -> Vec<String> {
        let own = parameters::arrays(&self.encoder);
        let note = |(name, array): (String, Array)| {
            let from = &own.get(&name).filter(|start| start.shape != array.shape)?.shape;
            Some(format!("{}: {name} is fitted from shape {from:?} to {:?}", self.path.display(), array.shape))
        };
        let read = self.imported.iter().map(|line| format!("{}: {line}", self.path.display()));
        read.chain(parameters::arrays(encoder).into_iter().filter_map(note)).collect()
    }
}

/// Keeps in a run's folder what [`Start::notes`] told, if anything.
pub(crate) fn keep(run: &Path, notes: &[String]) -> Result<(), Error> {
    if notes.is_empty() {
        return Ok(());
    }
    Ok(atomic::write(&run.join("init.txt"), (notes.join("\n") + "\n").as_bytes())?)
}

/// Weights `[kernel, kernel, in, out]` for another number of input channels.
fn with_channels(array: &Array, shape: &[usize]) -> Option<Array> {
    let (&[height, width, from, out], &[to_height, to_width, to, to_out]) = (&array.shape[..], shape) else {
        return None;
    };
    if (height, width, out) != (to_height, to_width, to_out) || from == to {
        return None;
    }
    let mut values = Vec::with_capacity(height * width * to * out);
    for of_pixel in array.values.chunks_exact(from * out) {
        for channel in 0..to {
            if to == 1 {
                values.extend((0..out).map(|o| (0..from).map(|c| of_pixel[c * out + o]).sum::<f32>()));
            } else {
                let scale = from as f32 / to as f32;
                values.extend(of_pixel[channel % from * out..][..out].iter().map(|v| v * scale));
            }
        }
    }
    Some(Array { shape: shape.to_vec(), values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(shape: &[usize], values: &[f32]) -> Array {
        Array { shape: shape.to_vec(), values: values.to_vec() }
    }

    #[test]
    fn channels_are_taken_in_turn_so_that_gray_gives_what_its_color_copy_gave() {
        let color = array(&[1, 1, 3, 2], &[1.0, 10.0, 2.0, 20.0, 3.0, 30.0]);
        let gray = with_channels(&color, &[1, 1, 1, 2]).unwrap();
        assert_eq!(gray, array(&[1, 1, 1, 2], &[6.0, 60.0]));
        let back = with_channels(&gray, &[1, 1, 3, 2]).unwrap();
        let sums: Vec<f32> = (0..2).map(|o| (0..3).map(|c| back.values[c * 2 + o]).sum()).collect();
        assert_eq!(sums, [6.0, 60.0]);
        let four = with_channels(&color, &[1, 1, 4, 2]).unwrap();
        assert_eq!(four.values, [0.75, 7.5, 1.5, 15.0, 2.25, 22.5, 0.75, 7.5]);
        assert_eq!(with_channels(&color, &[3, 3, 1, 2]), None);
    }
}
