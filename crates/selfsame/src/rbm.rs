//! A restricted Boltzmann machine: a layer of visible and a layer of hidden units, each independent given the other
//! (Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence").

use crate::objective::{self, Units};
use crate::tensor::ops::matmul;
use crate::tensor::to_vec;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use selfsame_data::rng::StreamRng;

/// `E(v, h) = −bᵀv − cᵀh − vᵀWh` over binary `h`; for Gaussian visible units `½‖v − b‖²` in the place of `−bᵀv`.
#[derive(Clone, Debug)]
pub struct Rbm {
    /// The visible units' kind.
    pub units: Units,
    /// `[visible, hidden]`
    pub weight: Tensor<2>,
    /// `[visible]`
    pub visible_bias: Tensor<1>,
    /// `[hidden]`
    pub hidden_bias: Tensor<1>,
}

impl Rbm {
    /// The same machine outside any graph: what it draws is a constant.
    pub fn inner(&self) -> Self {
        Self {
            units: self.units,
            weight: self.weight.clone().inner(),
            visible_bias: self.visible_bias.clone().inner(),
            hidden_bias: self.hidden_bias.clone().inner(),
        }
    }

    /// `F(v)`: `[batch, visible]` to `[batch, 1]`.
    pub fn free_energy(&self, v: Tensor<2>) -> Tensor<2> {
        let (b, c) = (self.visible_bias.clone(), self.hidden_bias.clone());
        objective::free_energy(self.units, v, self.weight.clone(), b, c)
    }

    /// `E[h | v]`: `[batch, visible]` to `[batch, hidden]`.
    pub fn hidden(&self, v: Tensor<2>) -> Tensor<2> {
        sigmoid(matmul(v, self.weight.clone()) + self.hidden_bias.clone().unsqueeze())
    }

    /// `E[v | h]`: `[batch, hidden]` to `[batch, visible]`.
    pub fn visible(&self, h: Tensor<2>) -> Tensor<2> {
        self.units.mean(matmul(h, self.weight.clone().transpose()) + self.visible_bias.clone().unsqueeze())
    }

    /// The chain `v → h → v → …` after `steps` rounds, each row with its own stream: `[batch, visible]`.
    pub fn gibbs(&self, v: Tensor<2>, steps: usize, streams: &mut [StreamRng]) -> Tensor<2> {
        (0..steps).fold(v, |v, _| {
            let h = Units::Bernoulli.draw(self.hidden(v), streams);
            self.units.draw(self.visible(h), streams)
        })
    }
}

impl Units {
    /// The expectation at activation `a`.
    pub fn mean(self, a: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Bernoulli => sigmoid(a),
            Self::Gaussian => a,
        }
    }

    /// States of expectation `mean`, `[batch, units]`, each row with its own stream; outside any graph.
    pub fn draw(self, mean: Tensor<2>, streams: &mut [StreamRng]) -> Tensor<2> {
        let ([rows, units], device) = (mean.dims(), mean.device().inner());
        assert_eq!(rows, streams.len(), "a stream for each row");
        let mut values = to_vec(mean);
        for (row, rng) in values.chunks_exact_mut(units.max(1)).zip(streams) {
            match self {
                Self::Bernoulli => row.iter_mut().for_each(|p| *p = f32::from(u8::from(rng.chance(*p)))),
                Self::Gaussian => row.iter_mut().for_each(|mean| *mean += rng.normal()),
            }
        }
        Tensor::from_data(TensorData::new(values, [rows, units]), &device)
    }
}
