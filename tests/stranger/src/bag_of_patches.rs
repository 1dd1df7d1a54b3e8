//! A bag of patches, after BagNet: "Approximating CNNs with Bag-of-local-Features models works surprisingly well on ImageNet"
//! (Brendel & Bethge 2019).
//!
//! Every patch is looked at alone, by the same two layers, and `h` is the mean over the patches: what is where does not
//! matter.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use selfsame::Error;
use selfsame::backbone::{Backbone, BackboneEntry, Cost, Encoder, Modality, Role, Site, Size};
use selfsame::tensor::layers::{Conv2d, Init, Linear, Norm, NormKind, Pass};
use selfsame::tensor::ops;
use selfsame_config::{Kind, Range, Settings, settings};

settings! {
    /// `[backbone] name = "bag_of_patches"`
    pub struct BagOfPatchesSettings {
        /// side of a patch, px
        patch_size: usize = 4, Kind::Integer(Range::Within(1.0, 256.0));
        /// width of both layers, and of h
        width: usize = 64, Kind::WIDTH;
    }
}

/// Its line in a catalogue.
pub const BAG_OF_PATCHES: BackboneEntry = BackboneEntry {
    name: "bag_of_patches",
    family: "bag_of_patches",
    modalities: &[Modality::Image],
    summary: "two layers on each patch, and the mean over the patches (patch_size and width can be set)",
    keys: BagOfPatchesSettings::GROUP,
    build,
    check,
    cost,
};

/// `h = mean_p relu(norm(W₂ relu(W₁ p + b₁)))`, `p` the patches.
#[derive(Module, Debug)]
pub struct BagOfPatches {
    patches: Conv2d,
    hidden: Linear,
    norm: Norm,
    #[module(skip)]
    width: usize,
}

fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let BagOfPatchesSettings { patch_size, width } = site.read()?;
    Ok(Encoder::new(BagOfPatches {
        patches: Conv2d::patches(&init.child("patches"), [site.channels, width], patch_size),
        hidden: Linear::new(&init.child("hidden"), [width, width], false),
        norm: Norm::new(&init.child("norm"), NormKind::Batch, width, 1.0),
        width,
    }))
}

/// Images and views must be whole patches.
fn check(site: &Site, key: &str, size: Size) -> Result<(), Error> {
    let BagOfPatchesSettings { patch_size, .. } = site.read()?;
    let broken = size.sides().into_iter().find(|side| !side.is_multiple_of(patch_size));
    let Some(side) = broken else { return Ok(()) };
    let problem = format!(
        "{side} is not a multiple of backbone.patch_size = {patch_size}; {} would work",
        side.next_multiple_of(patch_size)
    );
    Err(Error::setting(key, problem))
}

fn cost(site: &Site) -> Result<Cost, Error> {
    let BagOfPatchesSettings { patch_size, width } = site.read()?;
    let (inputs, width) = ((patch_size * patch_size * site.channels) as f64, width as f64);
    let patches = site.size.area() as f64 / (patch_size as f64).powi(2);
    Ok(Cost { parameters: (inputs + width) * width, activations: 2.0 * patches * width })
}

impl Backbone for BagOfPatches {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let seen = relu(self.patches.forward(x)); // [batch, rows, columns, width]
        ops::mean_pool(self.norm.act(self.hidden.forward(seen), None, true, pass))
    }

    fn width(&self) -> usize {
        self.width
    }

    fn stage(&self, name: &str) -> usize {
        usize::from(!name.starts_with("patches."))
    }
}
