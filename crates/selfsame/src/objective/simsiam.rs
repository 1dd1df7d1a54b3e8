//! SimSiam (Chen & He 2021, eq. 2).

use super::{LossTerms, mean_cosine};
use burn::tensor::Tensor;

/// `½ D(pa, sg(zb)) + ½ D(pb, sg(za))`, `D` the negative mean cosine. The stop-gradient is part of the definition.
///
/// # Shapes
/// Predictions `pa`, `pb` and projections `za`, `zb`: `[batch, embedding]`.
pub fn simsiam(pa: Tensor<2>, pb: Tensor<2>, za: Tensor<2>, zb: Tensor<2>) -> LossTerms {
    let invariance = -(mean_cosine(pa, zb.detach()) + mean_cosine(pb, za.detach())) / 2.0;
    LossTerms::new(invariance.clone(), [("invariance", invariance)])
}
