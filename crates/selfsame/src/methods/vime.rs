//! VIME: "VIME: Extending the Success of Self- and Semi-supervised Learning to Tabular Domain" (Yoon, Zhang, Jordon & van der Schaar
//! 2020), its self-supervised part.
//!
//! *To tell which features of a row are not its own, and what they were, one must know how features hang together.* Some columns are
//! replaced by values that other rows have there; from what the encoder makes of that, one linear head tells where, the other what
//! was there:
//!
//! `L = mean_i BCE(s_m(f(x̃_i)), m_i) + α · error(s_r(f(x̃_i)), x_i)`, `x̃ = (1 − m) ⊙ x + m ⊙ x̄`, each `x̄_j` of another row.
//!
//! The error is the squared one of numbers, the cross-entropy of categories. As in the authors' code, `m` says where `x̃` differs from
//! `x`: a value that was replaced by its like is none that could be told. Which columns those are is drawn by `feature_corruption`, so
//! many of them, where the paper draws each by itself.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, mask_estimation, value_estimation};
use crate::outputs::{Loss, Losses};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::Linear;
use crate::tensor::to_vec;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use selfsame_config::{Kind, settings};
use selfsame_data::modality::{Columns, Modality};

settings! {
    /// `[method] name = "vime"`
    pub struct VimeSettings {
        /// α: weight of the values beside the mask
        alpha: f64 = 2.0, Kind::NOT_NEGATIVE;
    }
}

/// Encoder and the two heads.
#[derive(Module, Debug)]
pub struct Vime {
    branch: Branch,
    /// `s_m`: a score for each column.
    mask: Linear,
    /// `s_r`: a value for each channel.
    values: Linear,
    #[module(skip)]
    columns: Columns,
    #[module(skip)]
    alpha: f64,
}

impl Method for Vime {
    const NAME: &'static str = "vime";
    const MODALITIES: &'static [Modality] = &[Modality::Vector];
    type Config = VimeSettings;
    type Outputs = Losses;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::plain_and_corrupted(plan, Vime::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let (columns, width) = (cx.plan.data.vector_columns(), branch.projector.width());
        Ok(Self {
            mask: Linear::new(&cx.init("mask"), [width, columns.len()], true),
            values: Linear::new(&cx.init("values"), [width, columns.channels()], true),
            branch,
            columns,
            alpha: config.alpha,
        })
    }

    /// The two errors of each sample, `[batch, 1]`.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let [clean, corrupted] = [0, 1].map(|view| batch.views[view].clone());
        let h = self.branch.encoder.forward(corrupted.clone(), cx.pass);
        let z = self.branch.projector.forward(h.clone(), cx.pass);
        let (mask, target) = self.targets(clean, corrupted);
        let mask = mask_estimation(self.mask.forward(z.clone()), mask);
        let values = value_estimation(&self.values.forward(z), target, &self.columns);
        let losses =
            vec![Loss { name: "mask", weight: 1.0, values: mask }, Loss { name: "values", weight: self.alpha, values }];
        Losses::new(losses, h.inner())
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl Vime {
    /// Where the views differ, `[batch, columns]`, and what is to be given back, `[batch, channels]`.
    fn targets(&self, clean: Tensor<4>, corrupted: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
        let (device, channels) = (clean.device(), self.columns.channels());
        let (mut clean, corrupted) = (to_vec(clean), to_vec(corrupted));
        let rows = clean.len() / channels;
        let mut mask = Vec::with_capacity(rows * self.columns.len());
        for (clean, corrupted) in clean.chunks_exact_mut(channels).zip(corrupted.chunks_exact(channels)) {
            for place in self.columns.iter() {
                let (clean, corrupted) = (&mut clean[place.channels.clone()], &corrupted[place.channels.clone()]);
                mask.push(f32::from(u8::from(clean != corrupted)));
                if place.is_category {
                    // Standardized, what was 1 is above the mean, what was 0 below.
                    clean.iter_mut().for_each(|value| *value = f32::from(u8::from(*value > 0.0)));
                }
            }
        }
        let tensor = |values: Vec<f32>| {
            let width = values.len() / rows;
            Tensor::from_data(TensorData::new(values, [rows, width]), &device)
        };
        (tensor(mask), tensor(clean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::tensor::view_to_device;
    use burn::tensor::Device;

    /// Two numbers, the first of which can miss, and a category of three values, one of which is that it is missing.
    fn model() -> Vime {
        let columns = r#"data.columns=["a\t", "b", "c\tx\ty\t"]"#;
        let views = "views=[{ count = 1 }, { count = 1, augmentations = [{ name = \"feature_corruption\" }] }]";
        let plan = testing::plan(6, 1, &["data.modality=vector", columns, "method=vime", "backbone=mlp", views]);
        let cx = BuildContext { plan: &plan, device: &Device::flex(), start: None };
        Vime::build(&Vime::config(&plan).unwrap(), &cx).unwrap()
    }

    #[test]
    fn a_column_is_masked_as_one_and_a_category_is_told_by_its_place() {
        let clean = [[0.5, -0.1, 1.0, -0.7, 1.4, -0.2], [0.5, -0.1, 1.0, 1.4, -0.7, -0.2]];
        let corrupted = [[0.5, 4.0, 1.0, 1.4, -0.7, -0.2], [0.5, -0.1, 3.0, 1.4, -0.7, -0.2]];
        let view = |rows: [[f32; 6]; 2]| view_to_device(rows.concat(), [1, 1, 6], &Device::flex());
        let (mask, target) = model().targets(view(clean), view(corrupted));
        assert_eq!(to_vec(mask), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(to_vec(target), [0.5, -0.1, 1.0, 0.0, 1.0, 0.0, 0.5, -0.1, 1.0, 1.0, 0.0, 0.0]);
    }
}
