//! Alignment and uniformity: "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
//! Hypersphere" (Wang & Isola 2020).
//!
//! *Views of one sample should lie close together, and samples should lie spread over the sphere.* With embeddings `a`, `b`
//! of the two views on the unit sphere:
//!
//! `mean_i ‖a_i − b_i‖² + λ · ½ Σ_z log mean_{i≠j} exp(−t ‖z_i − z_j‖²)`, `z` each of `a` and `b`.
//!
//! A constant is perfectly aligned, and the least uniform thing there is: the second term stops the collapse.

use burn::module::Module;
use burn::tensor::Tensor;
use selfsame::Error;
use selfsame::backbone::Role;
use selfsame::batch::Batch;
use selfsame::branch::Branch;
use selfsame::method::{BuildContext, EmbedContext, Method};
use selfsame::objective::{LossTerms, normalize_rows};
use selfsame::outputs::TwoViews;
use selfsame::plan::Plan;
use selfsame::require;
use selfsame::tensor::ops::matmul;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "alignment_uniformity"`
    pub struct AlignmentUniformitySettings {
        /// λ: weight of the uniformity; the alignment's is 1
        uniformity_weight: f64 = 1.0, Kind::NOT_NEGATIVE;
        /// t: with a higher one, only near samples repel each other
        t: f64 = 2.0, Kind::POSITIVE;
    }
}

/// Encoder, projector and the two terms.
#[derive(Module, Debug)]
pub struct AlignmentUniformity {
    branch: Branch,
    #[module(skip)]
    settings: AlignmentUniformitySettings,
}

impl Method for AlignmentUniformity {
    const NAME: &'static str = "alignment_uniformity";
    type Config = AlignmentUniformitySettings;
    type Outputs = TwoViews;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Self::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, settings: config.clone() })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        TwoViews::new(self.branch.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let [a, b] = outputs.z.clone();
        alignment_uniformity(a, b, &self.settings)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

/// The objective above; its terms are `alignment` and, without λ, `uniformity`.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, at least two samples.
pub fn alignment_uniformity(a: Tensor<2>, b: Tensor<2>, settings: &AlignmentUniformitySettings) -> LossTerms {
    let (a, b) = (normalize_rows(a), normalize_rows(b));
    let alignment = (a.clone() - b.clone()).square().sum_dim(1).mean();
    let uniformity = (potential(a, settings.t) + potential(b, settings.t)) / 2.0;
    let total = alignment.clone() + uniformity.clone() * settings.uniformity_weight;
    LossTerms::new(total, [("alignment", alignment), ("uniformity", uniformity)])
}

/// `log mean_{i≠j} exp(−t ‖z_i − z_j‖²)` of rows on the unit sphere, `[1]`.
fn potential(z: Tensor<2>, t: f64) -> Tensor<1> {
    let ([batch, _], device) = (z.dims(), z.device());
    let distances = matmul(z.clone(), z.transpose()) * -2.0 + 2.0; // [batch, batch]
    let others = Tensor::<2>::eye(batch, &device) * -1.0 + 1.0;
    let kernel = (distances * -t).exp() * others;
    (kernel.sum_dim(1).sum() / (batch * (batch - 1)) as f64).log()
}
