//! The free energy of a restricted Boltzmann machine (Smolensky 1986; Freund & Haussler 1992; Hinton 2002).

use crate::tensor::ops::matmul;
use burn::tensor::Tensor;
use burn::tensor::activation::softplus;

/// The distribution of a layer's units, given the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// On with probability `σ(a)`.
    Bernoulli,
    /// Normal around `a` with variance 1.
    Gaussian,
}

/// With all hidden units summed out, `p(v) ∝ exp(−F(v))`:
///
/// `F(v) = −bᵀv − Σ_j softplus(c_j + (vW)_j)` for Bernoulli visible units,
/// `F(v) = ½‖v − b‖² − Σ_j softplus(c_j + (vW)_j)` for Gaussian ones.
///
/// The gradient of `mean F(data) − mean F(model)` is that of the negative log-likelihood, with samples of the model in the
/// place of its expectation. Contrastive divergence takes the end of a short chain for such a sample: a constant.
///
/// # Shapes
/// `v`: `[batch, visible]`; `weight` W: `[visible, hidden]`; the biases b and c: `[visible]`, `[hidden]`; the result:
/// `[batch, 1]`.
pub fn free_energy(
    units: Units,
    v: Tensor<2>,
    weight: Tensor<2>,
    visible_bias: Tensor<1>,
    hidden_bias: Tensor<1>,
) -> Tensor<2> {
    let hidden = softplus(matmul(v.clone(), weight) + hidden_bias.unsqueeze(), 1.0).sum_dim(1); // [batch, 1]
    let visible = match units {
        Units::Bernoulli => -(v * visible_bias.unsqueeze()).sum_dim(1),
        Units::Gaussian => (v - visible_bias.unsqueeze()).square().sum_dim(1) / 2.0,
    };
    visible - hidden
}

impl Units {
    /// `−log p(states | a)`, without the constant of a Gaussian.
    ///
    /// # Shapes
    /// `states`, `a`: `[batch, units]`; the result: `[batch, 1]`.
    pub fn negative_log_likelihood(self, states: Tensor<2>, a: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Bernoulli => (softplus(a.clone(), 1.0) - states * a).sum_dim(1),
            Self::Gaussian => (states - a).square().sum_dim(1) / 2.0,
        }
    }
}
