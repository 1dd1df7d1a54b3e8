//! A restricted Boltzmann machine: a layer of visible and a layer of hidden units, each independent given the other
//! (Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence").

use crate::objective::{self, Units};
use crate::tensor::ops::matmul;
use crate::tensor::to_vec;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use selfsame_base::rng::StreamRng;

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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use selfsame_base::rng::Purpose;

    const VISIBLE: usize = 6;
    const HIDDEN: usize = 4;
    const STATES: usize = 1 << VISIBLE;

    fn rng(stream: u64) -> StreamRng {
        StreamRng::new(5, Purpose::Survey, stream, 0, 0)
    }

    fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// A machine of ten units, with weights of the standard deviation `scale`.
    fn machine(scale: f32) -> Rbm {
        let mut rng = rng(0);
        let mut draw = |count: usize| (0..count).map(|_| scale * rng.normal()).collect::<Vec<_>>();
        Rbm {
            units: Units::Bernoulli,
            weight: tensor(draw(VISIBLE * HIDDEN), [VISIBLE, HIDDEN]),
            visible_bias: tensor(draw(VISIBLE), [VISIBLE]),
            hidden_bias: tensor(draw(HIDDEN), [HIDDEN]),
        }
    }

    /// The bits of `state` as units.
    fn units(state: usize, count: usize) -> Vec<f32> {
        (0..count).map(|unit| (state >> unit & 1) as f32).collect()
    }

    /// Every visible state, `[2^visible, visible]`.
    fn all_states() -> Tensor<2> {
        tensor((0..STATES).flat_map(|state| units(state, VISIBLE)).collect(), [STATES, VISIBLE])
    }

    /// `p(v)` of every visible state, from the energies of all joint states.
    fn probabilities(rbm: &Rbm) -> Vec<f64> {
        let [weight, b, c] =
            [to_vec(rbm.weight.clone()), to_vec(rbm.visible_bias.clone()), to_vec(rbm.hidden_bias.clone())];
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let boltzmann = |v: &[f32], h: &[f32]| {
            let interaction: f64 =
                v.iter().zip(weight.chunks(HIDDEN)).map(|(v, row)| f64::from(*v) * dot(row, h)).sum();
            (dot(&b, v) + dot(&c, h) + interaction).exp()
        };
        let weights = (0..STATES).map(|state| {
            let v = units(state, VISIBLE);
            (0..1 << HIDDEN).map(|hidden| boltzmann(&v, &units(hidden, HIDDEN))).sum::<f64>()
        });
        let weights: Vec<f64> = weights.collect();
        let partition: f64 = weights.iter().sum();
        weights.iter().map(|w| w / partition).collect()
    }

    /// `rows` states drawn from probabilities of states, `[rows, visible]`.
    fn draw(probabilities: &[f64], rows: usize, stream: u64) -> Tensor<2> {
        let mut rng = rng(stream);
        let state = |_| {
            let mut left = f64::from(rng.unit());
            let found = probabilities.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            units(found.unwrap_or(STATES - 1), VISIBLE)
        };
        tensor((0..rows).flat_map(state).collect(), [rows, VISIBLE])
    }

    fn streams(rows: usize, step: u64) -> Vec<StreamRng> {
        (0..rows as u64).map(|row| StreamRng::new(5, Purpose::Chain, step, row, 0)).collect()
    }

    /// Two patterns and their noisy copies: far from what a random machine models.
    fn data(rows: usize) -> Tensor<2> {
        let mut rng = rng(9);
        let row = |row: usize| {
            let pattern: [u8; VISIBLE] = if row.is_multiple_of(2) { [1, 1, 1, 0, 0, 0] } else { [0, 0, 1, 1, 0, 1] };
            pattern.map(|on| f32::from(on ^ u8::from(rng.chance(0.1))))
        };
        tensor((0..rows).flat_map(row).collect(), [rows, VISIBLE])
    }

    /// `∂ (mean F(data) − Σ_v q(v) F(v)) / ∂(W, b, c)`, one after the other.
    fn gradient(rbm: &Rbm, data: &Tensor<2>, model: &Tensor<2>, q: Tensor<2>) -> Vec<f32> {
        let leaf = |t: Tensor<1>| Tensor::from_inner(t).require_grad();
        let (weight, b, c) = (
            Tensor::<2>::from_inner(rbm.weight.clone()).require_grad(),
            leaf(rbm.visible_bias.clone()),
            leaf(rbm.hidden_bias.clone()),
        );
        let rbm = Rbm { units: rbm.units, weight: weight.clone(), visible_bias: b.clone(), hidden_bias: c.clone() };
        let energy = |v: &Tensor<2>| rbm.free_energy(Tensor::from_inner(v.clone()));
        let total = energy(data).mean() - (energy(model) * Tensor::from_inner(q)).sum();
        let gradients = total.backward();
        let mut all = to_vec(weight.grad(&gradients).unwrap());
        all.extend(to_vec(b.grad(&gradients).unwrap()));
        all.extend(to_vec(c.grad(&gradients).unwrap()));
        all
    }

    fn column(values: Vec<f32>) -> Tensor<2> {
        let rows = values.len();
        tensor(values, [rows, 1])
    }

    fn log_likelihood(rbm: &Rbm, data: &Tensor<2>) -> f64 {
        let (p, data) = (probabilities(rbm), to_vec(data.clone()));
        let state = |row: &[f32]| row.iter().enumerate().map(|(unit, on)| (*on as usize) << unit).sum::<usize>();
        let rows: Vec<f64> = data.chunks(VISIBLE).map(|row| p[state(row)].ln()).collect();
        rows.iter().sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn the_free_energy_is_that_of_the_hidden_states_summed_out() {
        let rbm = machine(1.0);
        let free: Vec<f64> = to_vec(rbm.free_energy(all_states())).iter().map(|&f| f64::from(-f).exp()).collect();
        let partition: f64 = free.iter().sum();
        for (f, p) in free.iter().zip(probabilities(&rbm)) {
            assert!((f / partition - p).abs() <= 1e-5 * p, "{} for {p}", f / partition);
        }
    }

    /// The exact gradient is that of the data's log-likelihood; CD-1's, over many chains, points the same way.
    #[test]
    fn contrastive_divergence_follows_the_likelihood() {
        let rbm = machine(0.5);
        let (rows, data) = (8192, data(8192));
        let exact_q = column(probabilities(&rbm).iter().map(|&p| p as f32).collect());
        let exact = gradient(&rbm, &data, &all_states(), exact_q);
        let ends = rbm.gibbs(data.clone(), 1, &mut streams(rows, 0));
        let cd = gradient(&rbm, &data, &ends, column(vec![1.0 / rows as f32; rows]));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&exact, &cd) / (dot(&exact, &exact) * dot(&cd, &cd)).sqrt();
        assert!(cosine > 0.8, "{cosine}");

        // The exact one, held against the difference quotient of the enumerated log-likelihood.
        let moved = |by: f32| {
            let mut weight = to_vec(rbm.weight.clone());
            weight[5] += by;
            log_likelihood(&Rbm { weight: tensor(weight, [VISIBLE, HIDDEN]), ..rbm.clone() }, &data)
        };
        let quotient = (moved(0.01) - moved(-0.01)) / 0.02;
        assert!((quotient + f64::from(exact[5])).abs() < 1e-3, "{quotient} for {}", -exact[5]);
    }

    /// Chains that are where the model is stay there: chi-square with 63 degrees of freedom, under 103.4 with probability
    /// 0.999. Those that begin elsewhere come there.
    #[test]
    fn persistent_chains_rest_at_the_model_and_find_it() {
        let rbm = machine(0.7);
        let (p, rows) = (probabilities(&rbm), 20_000);
        let distance = |states: Tensor<2>| {
            let mut counts = [0.0; STATES];
            let states = to_vec(states);
            states.chunks(VISIBLE).for_each(|row| {
                counts[row.iter().enumerate().map(|(unit, on)| (*on as usize) << unit).sum::<usize>()] += 1.0;
            });
            counts.iter().zip(&p).map(|(n, p)| (n - p * rows as f64).powi(2) / (p * rows as f64)).sum::<f64>()
        };
        let step = |states: Tensor<2>, step: u64| rbm.gibbs(states, 1, &mut streams(rows, step));
        let rest = (0..5).fold(draw(&p, rows, 1), step);
        assert!(distance(rest.clone()) < 103.4, "{}", distance(rest));
        let start = tensor(vec![0.0; rows * VISIBLE], [rows, VISIBLE]);
        assert!(distance(start.clone()) > 1e4);
        let found = (10..60).fold(start, step);
        assert!(distance(found.clone()) < 103.4, "{}", distance(found));
    }

    /// By CD-1 and by persistent chains, steps of plain gradient descent.
    #[test]
    fn the_likelihood_of_the_data_rises_towards_its_entropy() {
        let (rows, data) = (400, data(400));
        let uniform = column(vec![1.0 / rows as f32; rows]);
        for persistent in [false, true] {
            let mut rbm = machine(0.01);
            let mut course = vec![log_likelihood(&rbm, &data)];
            let mut chains = data.clone();
            for step in 0..300 {
                let from = if persistent { chains } else { data.clone() };
                chains = rbm.gibbs(from, 1, &mut streams(rows, step));
                let g = gradient(&rbm, &data, &chains, uniform.clone());
                let (w, rest) = g.split_at(VISIBLE * HIDDEN);
                let (b, c) = rest.split_at(VISIBLE);
                rbm.weight = rbm.weight - tensor(w.to_vec(), [VISIBLE, HIDDEN]) * 0.2;
                rbm.visible_bias = rbm.visible_bias - tensor(b.to_vec(), [VISIBLE]) * 0.2;
                rbm.hidden_bias = rbm.hidden_bias - tensor(c.to_vec(), [HIDDEN]) * 0.2;
                if step % 100 == 99 {
                    course.push(log_likelihood(&rbm, &data));
                }
            }
            // Two patterns of six bits that flip with probability 0.1 have an entropy of about 2.6 nats.
            assert!(course.windows(2).all(|pair| pair[1] > pair[0]), "persistent {persistent}: {course:?}");
            assert!(course[3] > -3.0 && course[0] < -4.0, "persistent {persistent}: {course:?}");
        }
    }
}
