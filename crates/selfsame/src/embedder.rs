//! The front door of an encoder for programs: files or values in, rows of features out.

use crate::branch::Branch;
use crate::catalogue::Catalogue;
use crate::device;
use crate::embed::{Tables, Wanted};
use crate::encoder_folder::{EncoderConfig, EncoderFolder};
use crate::error::Error;
use crate::plan::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::Image;
use selfsame_data::source::Memory;
use selfsame_evaluate::features::FeatureTable;
use std::path::Path;
use std::sync::Arc;

/// A trained encoder, ready to be fed: its weights in memory, and how samples are brought to what it has seen.
///
/// # Examples
/// See [`Pretrain`](crate::Pretrain).
pub struct Embedder {
    folder: EncoderFolder,
    plan: Plan,
    branch: Branch,
}

impl Embedder {
    /// The encoder of a finished run, or of an encoder folder, wherever that lies.
    ///
    /// # Errors
    /// If there is none, or it is not what was written.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(&Catalogue::default(), path)
    }

    /// As [`Self::load`], with other backbones than those of this crate.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_with(catalogue: &Catalogue, path: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = EncoderFolder::open(path.as_ref())?;
        let plan = catalogue.load_encoder(&folder)?;
        let encoder = folder.load_with(plan.backbones(), &device::open(&plan.device)?)?;
        Ok(Self { folder, plan, branch: Branch::without_projector(encoder) })
    }

    /// What the encoder is and how it is fed.
    pub fn config(&self) -> &EncoderConfig {
        self.folder.config()
    }

    /// Writes an encoder folder: all that is needed to use the encoder without its run, and a model card.
    ///
    /// # Errors
    /// If there is something in the way.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.folder.save(path.as_ref(), Vec::new())
    }

    /// `h = f(x)` of every sample of the folder or file at `path`.
    ///
    /// # Errors
    /// If the data cannot be read, or not enough of them.
    pub fn embed_path(&self, path: impl AsRef<Path>) -> Result<FeatureTable, Error> {
        self.embed(&Arc::new(self.plan.sibling(path.as_ref(), 0)?))
    }

    /// `h = f(x)` of images in memory, `[images, width of h]`.
    ///
    /// # Errors
    /// If there are none, or they have other channels than the encoder's.
    pub fn embed_images(&self, images: Vec<Image>) -> Result<FeatureTable, Error> {
        self.embed(&Arc::new(Dataset::in_memory(Memory::new(images)?)?))
    }

    /// `h = f(x)` of every sample that can be read of data that are open.
    ///
    /// # Errors
    /// If not enough of them can be.
    pub fn embed(&self, dataset: &Arc<Dataset>) -> Result<FeatureTable, Error> {
        if dataset.channels() != self.plan.data.channels {
            let (found, expected) = (dataset.channels(), self.plan.data.channels);
            return Err(Error::setting("data.channels", format!("{found}, the encoder sees {expected}")));
        }
        Ok(Tables::embed(&self.branch, dataset, &self.plan, None, Wanted::default(), &mut |_| {})?.h)
    }
}
