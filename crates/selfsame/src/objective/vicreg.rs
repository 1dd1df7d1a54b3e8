//! VICReg (Bardes, Ponce & LeCun 2022, eq. 1–6).

use super::{LossTerms, total};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Added to the variances under the root.
const EPSILON: f32 = 1e-4;

/// Weights of the three terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VicregWeights {
    /// λ
    pub invariance: f64,
    /// μ
    pub variance: f64,
    /// ν
    pub covariance: f64,
}

/// Three terms, each with its own duty: `invariance` (mean squared distance of the views) pulls together, `variance`
/// (hinge that keeps every dimension's standard deviation at 1 or more) forbids the constant, `covariance` (squared
/// off-diagonal covariances over the dimension) forbids dimensions that repeat each other. Unbiased variance; the
/// hinge is halved over the two views.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, at least two samples.
pub fn vicreg(a: Tensor<2>, b: Tensor<2>, weights: VicregWeights) -> LossTerms {
    let invariance = (a.clone() - b.clone()).square().mean_dim(1).mean();
    let (variance_a, covariance_a) = spread(a);
    let (variance_b, covariance_b) = spread(b);
    let variance = (variance_a + variance_b) / 2.0;
    let covariance = covariance_a + covariance_b;
    let sum = invariance.clone() * weights.invariance
        + variance.clone() * weights.variance
        + covariance.clone() * weights.covariance;
    LossTerms::new(sum, [("invariance", invariance), ("variance", variance), ("covariance", covariance)])
}

/// The variance hinge and the covariance penalty of one view, `[1]` each.
fn spread(z: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let [batch, dim] = z.dims();
    let device = z.device();
    let centered = z.clone() - z.mean_dim(0);
    let degrees = (batch - 1) as f64;
    let variance = centered.clone().square().sum_dim(0) / degrees; // [1, embedding]
    let hinge = (1.0_f32 - (variance + EPSILON).sqrt()).clamp_min(0.0).mean();
    let covariance = matmul(centered.clone().transpose(), centered) / degrees;
    let off_diagonal = covariance * (1.0_f32 - Tensor::<2>::eye(dim, &device));
    (hinge, total(off_diagonal.square()) / dim as f64)
}
