//! The deep belief network: "A Fast Learning Algorithm for Deep Belief Nets" (Hinton, Osindero & Teh 2006).
//!
//! *Each layer models the distribution of the activations below it, which can be learned greedily, one layer after the
//! other.* A layer is a restricted Boltzmann machine, and learns by following
//!
//! `∂ (mean F(v) − mean F(v̂)) / ∂θ`, `F` the free energy,
//!
//! where `v̂` is the end of a chain of `gibbs_steps` rounds that began at `v` (contrastive divergence, Hinton 2002), or goes
//! on for ever (persistent: Tieleman 2008). At last the weights up and down may part and be tuned together, by a contrastive
//! version of the wake-sleep algorithm (Hinton et al. 2006, §5 and appendix B).

use crate::backbone::{Encoder, Role};
use crate::backbones::belief_network::{self, BeliefNetwork, BeliefNetworkSettings};
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, Units, squared_error};
use crate::outputs::{Loss, Losses};
use crate::picture::{Drawn, Picture, Scale, Tiles};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::rbm::Rbm;
use crate::require;
use crate::tensor::layers::Init;
use crate::tensor::ops::matmul;
use crate::tensor::unrecorded;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::{Kind, Range, settings};
use selfsame_data::modality::Modality;
use toml::Table;

/// Rounds of Gibbs sampling before a fantasy is shown.
const FANTASY_ROUNDS: usize = 1000;
/// Filters shown.
const FILTERS: usize = 100;

settings! {
    /// `[method] name = "deep_belief_network"`
    pub struct DeepBeliefNetworkSettings {
        /// units of the input: bernoulli, for pixels from 0 to 1, or gaussian, of variance 1, for normalized ones
        visible: String = "bernoulli", Kind::Word(&["bernoulli", "gaussian"]);
        /// rounds of a chain in a step (k); 1 to 10 are usual
        gibbs_steps: usize = 1, Kind::Integer(Range::Within(1.0, 1e6));
        /// whether the chains go on for ever, as many as a batch has samples, or begin at the data in each step
        persistent: bool = false, Kind::Flag;
        /// epochs of up-down fine-tuning after those of the layers, which share the rest equally
        fine_tune_epochs: usize = 0, Kind::COUNT_OR_ZERO;
    }
}

impl DeepBeliefNetworkSettings {
    fn units(&self) -> Units {
        if self.visible == "gaussian" { Units::Gaussian } else { Units::Bernoulli }
    }
}

fn needs_belief_network(backbone: &str) -> Error {
    let problem = format!(
        "method.name = \"{}\" trains the layers of a belief_network, not \"{backbone}\"; set backbone.name=belief_network",
        DeepBeliefNetwork::NAME
    );
    Error::setting("backbone.name", problem)
}

/// The way up is the encoder; the way down and the persistent chains stand beside it, one for each layer.
#[derive(Module, Debug)]
pub struct DeepBeliefNetwork {
    branch: Branch,
    down: Vec<Down>,
    /// Visible states `[chains, visible]`, of persistent chains.
    chains: Vec<Param<Tensor<2>>>,
    #[module(skip)]
    units: Units,
    #[module(skip)]
    settings: DeepBeliefNetworkSettings,
    #[module(skip)]
    seed: u64,
}

/// From a layer of hidden units to the one below.
#[derive(Module, Debug)]
pub struct Down {
    /// `[visible]`
    bias: Param<Tensor<1>>,
    /// `[hidden, visible]`, where it is not the transpose of the weight up: when there is fine-tuning, in all layers but
    /// the top, which stays a Boltzmann machine.
    weight: Option<Param<Tensor<2>>>,
}

/// What is trained at a point of the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// This layer alone.
    Layer(usize),
    /// All of them.
    FineTuning,
}

impl Method for DeepBeliefNetwork {
    const NAME: &'static str = "deep_belief_network";
    const MODALITIES: &'static [Modality] = &[Modality::Image, Modality::Vector];
    type Config = DeepBeliefNetworkSettings;
    type Outputs = Losses;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        let Some(BeliefNetworkSettings { widths }) = belief_network::settings_of(&plan.backbone) else {
            return Err(needs_belief_network(plan.backbone.name()));
        };
        require::one_view_of_h(plan, DeepBeliefNetwork::NAME)?;
        let (epochs, layers) = (plan.train.epochs, widths.len());
        if config.fine_tune_epochs > 0 && (config.fine_tune_epochs >= epochs || layers < 2) {
            let problem = format!(
                "{} of train.epochs = {epochs} with {layers} layers in backbone.widths; fine-tuning needs at least two layers, and at least one epoch before it",
                config.fine_tune_epochs
            );
            return Err(Error::setting("method.fine_tune_epochs", problem));
        }
        let (mean, std) = (&plan.data.mean, &plan.data.std);
        let as_they_are = mean.iter().all(|&m| m == 0.0) && std.iter().all(|&s| s == 1.0);
        // No number between 0 and 1 that has the mean m varies by more than m(1 − m).
        let unit = mean.iter().zip(std).all(|(m, s)| s * s <= m * (1.0 - m) + 1e-4);
        match config.units() {
            Units::Gaussian if as_they_are => Err(Error::setting(
                "method.visible",
                "\"gaussian\" units have variance 1, so they need normalized data, but data.mean = 0 and data.std = 1 leave the pixels as they are; drop data.mean and data.std, or set method.visible=bernoulli for pixels from 0 to 1",
            )),
            Units::Bernoulli if !as_they_are && !unit => Err(Error::setting(
                "method.visible",
                format!(
                    "\"bernoulli\" units need pixels from 0 to 1, which cannot have data.mean = {mean:?} and data.std = {std:?}; set method.visible=gaussian"
                ),
            )),
            _ => Ok(()),
        }
    }

    fn fit(keys: &mut Table, to: Batches) {
        if to.modality == Modality::Vector {
            keys.insert("visible".into(), "gaussian".into());
        }
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let (units, data) = (config.units(), &cx.plan.data);
        let Branch { encoder, projector } = cx.branch()?;
        let Ok(mut net) = encoder.downcast::<BeliefNetwork>() else {
            return Err(needs_belief_network(cx.plan.backbone.name()));
        };
        if units == Units::Bernoulli {
            net = net.on(&data.std, &data.mean);
        }
        let (layers, init) = (net.layers().len(), cx.init("down"));
        let untied = |layer: usize| config.fine_tune_epochs > 0 && layer + 1 < layers;
        let down = net.layers().iter().enumerate().map(|(layer, up)| {
            let [visible, hidden] = up.weight.dims();
            Down {
                bias: init.constant([visible], 0.0),
                weight: untied(layer).then(|| init.constant([hidden, visible], 0.0)),
            }
        });
        let (down, init) = (down.collect(), cx.init("chains"));
        let chains = net.layers().iter().enumerate().filter(|_| config.persistent).map(|(layer, up)| {
            let units = if layer == 0 { units } else { Units::Bernoulli };
            random_states(units, [cx.plan.train.batch_size, up.weight.dims()[0]], &init.child(layer))
        });
        let (chains, seed) = (chains.collect(), cx.plan.seed);
        let branch = Branch { encoder: Encoder::new(net), projector };
        Ok(Self { branch, down, chains, units, settings: config.clone(), seed })
    }

    /// Free energies of the data and of the chains, `[batch, 1]` each, then, in fine-tuning, the wake and the sleep phase's
    /// losses. To be watched: `h`, and the error of the running layer's reconstruction.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let plain = self.net().valid();
        let pixels = plain.pixels(batch.views[0].clone());
        let mut streams = cx.pass.draw(batch.samples.len());
        let means = plain.means(pixels.clone());
        let h = Tensor::cat(means.clone(), 1);
        let (rbm, v, losses) = match self.phase(cx.progress) {
            Phase::Layer(layer) => {
                let v = if layer == 0 { pixels } else { means[layer - 1].clone() };
                let rbm = self.rbm(layer);
                let model = match self.chains.get(layer) {
                    // The same for every sample, so that chunks of a batch have the batch's mean.
                    Some(chains) => {
                        let mean = rbm.free_energy(chains.val().inner()).mean_dim(0);
                        mean.expand([batch.samples.len(), 1])
                    }
                    None => {
                        let end = rbm.inner().gibbs(v.clone(), self.settings.gibbs_steps, &mut streams);
                        rbm.free_energy(end)
                    }
                };
                let data = rbm.free_energy(v.clone());
                (rbm, v, free_energies(data, model))
            }
            Phase::FineTuning => self.up_down(pixels, &mut streams),
        };
        let rbm = rbm.inner();
        let error = squared_error(rbm.visible(rbm.hidden(v.clone())), v.clone(), v.ones_like());
        Losses { losses, h, told: vec![("reconstruction", error)] }
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    /// Chains go on under the new weights; the weights down of a layer that is done begin as those up.
    fn after_step(mut self, _outputs: &Losses, progress: Progress) -> Self {
        let (before, now) = (self.phase(Progress { step: progress.step - 1, ..progress }), self.phase(progress));
        if let Phase::Layer(done) = before
            && now != before
        {
            let up = self.net().layers()[done].weight.val();
            self.down[done].weight = self.down[done].weight.take().map(|down| {
                down.map(|old| {
                    let copy = up.inner().transpose();
                    if old.device().is_autodiff() { Tensor::from_inner(copy).require_grad() } else { copy }
                })
            });
        }
        if let Phase::Layer(layer) = now
            && layer < self.chains.len()
        {
            let (rbm, rounds, chain) = (self.rbm(layer).inner(), self.settings.gibbs_steps, self.chains.remove(layer));
            let mut streams: Vec<_> = (0..chain.dims()[0] as u64)
                .map(|chain| StreamRng::new(self.seed, Purpose::Chain, progress.step, chain, 0))
                .collect();
            let chain = chain.map(|states| unrecorded(states, |states| rbm.gibbs(states, rounds, &mut streams)));
            self.chains.insert(layer, chain);
        }
        self
    }

    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let (net, top) = (self.net(), self.down.len() - 1);
        let filters = net.layers()[0].weight.val().transpose();
        let shown = filters.dims()[0].min(FILTERS);
        let filters = net.views(filters.narrow(0, 0, shown));

        let pixels = net.pixels(samples.views[0].clone());
        let mut h = net.means(pixels.clone()).pop().expect("at least one layer");
        h = (0..=top).rev().fold(h, |h, layer| self.units(layer).mean(self.activation_below(layer, h)));
        let reconstructions = Tensor::cat(vec![samples.views[0].clone(), net.views(h)], 0);

        let mut streams = cx.pass.draw(samples.samples.len());
        let rbm = self.rbm(top);
        let start = rbm.visible_bias.clone().unsqueeze().repeat_dim(0, samples.samples.len());
        let start = rbm.units.draw(rbm.units.mean(start), &mut streams);
        let h = rbm.hidden(rbm.gibbs(start, FANTASY_ROUNDS, &mut streams));
        let h = Units::Bernoulli.draw(h, &mut streams);
        let fantasies = (0..=top).rev().fold(h, |h, layer| self.units(layer).mean(self.activation_below(layer, h)));

        let picture = |name, caption, columns, tiles, scale| Picture {
            name,
            caption,
            drawn: Drawn::Tiles(Tiles { columns, tiles, scale }),
        };
        vec![
            picture("filters", "weights of the first layer, one tile per hidden unit", 10, filters, Scale::Tile),
            picture(
                "reconstructions",
                "above: samples; below: the same after a pass up to the top layer and down again",
                samples.samples.len(),
                reconstructions,
                Scale::Data,
            ),
            picture(
                "fantasies",
                "fantasies: chains of the top layer that began at random, brought down to pixels",
                8,
                net.views(fantasies),
                Scale::Data,
            ),
        ]
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl DeepBeliefNetwork {
    fn net(&self) -> &BeliefNetwork {
        self.branch.encoder.downcast_ref().expect("`build` refuses any other")
    }

    /// Layers train for equal parts of the steps before the fine-tuning.
    fn phase(&self, progress: Progress) -> Phase {
        let Progress { step, steps, steps_per_epoch } = progress;
        let layers = self.down.len() as u64;
        let greedy = steps - self.settings.fine_tune_epochs as u64 * steps_per_epoch;
        if step < greedy { Phase::Layer((step * layers / greedy) as usize) } else { Phase::FineTuning }
    }

    /// Units that a layer sees.
    fn units(&self, layer: usize) -> Units {
        if layer == 0 { self.units } else { Units::Bernoulli }
    }

    /// A layer as a Boltzmann machine, its weights up and down one.
    fn rbm(&self, layer: usize) -> Rbm {
        let up = &self.net().layers()[layer];
        Rbm {
            units: self.units(layer),
            weight: up.weight.val(),
            visible_bias: self.down[layer].bias.val(),
            hidden_bias: up.bias.as_ref().expect("a layer of units has one").val(),
        }
    }

    /// Activation of what a layer sees, given its states: `[batch, hidden]` to `[batch, visible]`.
    fn activation_below(&self, layer: usize, states: Tensor<2>) -> Tensor<2> {
        let Down { bias, weight } = &self.down[layer];
        let weight = match weight {
            Some(weight) => weight.val(),
            None => self.net().layers()[layer].weight.val().transpose(),
        };
        matmul(states, weight) + bias.val().unsqueeze()
    }

    /// The wake phase draws states up to what the top layer sees, and teaches the weights down to expect them. A chain
    /// moves on from there in the top layer. The sleep phase draws states from its end down, and teaches the weights up to
    /// tell where they came from.
    fn up_down(&self, pixels: Tensor<2>, streams: &mut [StreamRng]) -> (Rbm, Tensor<2>, Vec<Loss>) {
        let (plain, top) = (self.valid(), self.down.len() - 1);
        let mut wake = Vec::new();
        let mut v = pixels;
        for layer in 0..top {
            let above = Units::Bernoulli.draw(plain.rbm(layer).hidden(v.clone()), streams);
            let below = self.activation_below(layer, above.clone());
            wake.push(self.units(layer).negative_log_likelihood(v, below));
            v = above;
        }

        let rbm = self.rbm(top);
        let end = rbm.inner().gibbs(v.clone(), self.settings.gibbs_steps, streams);
        let (data, model) = (rbm.free_energy(v.clone()), rbm.free_energy(end.clone()));

        let mut sleep = Vec::new();
        let mut above = end;
        for layer in (0..top).rev() {
            let units = self.units(layer);
            let below = units.draw(units.mean(plain.activation_below(layer, above.clone())), streams);
            let up = self.net().layers()[layer].forward(below.clone());
            sleep.push(Units::Bernoulli.negative_log_likelihood(above, up));
            above = below;
        }
        let sum = |losses: Vec<Tensor<2>>| losses.into_iter().reduce(|a, b| a + b).expect("two layers or more");
        let mut losses = free_energies(data, model);
        losses.push(Loss { name: "wake", weight: 1.0, values: sum(wake) });
        losses.push(Loss { name: "sleep", weight: 1.0, values: sum(sleep) });
        (rbm, v, losses)
    }
}

/// What a Boltzmann machine minimizes: the data's free energy, above the model's own.
fn free_energies(data: Tensor<2>, model: Tensor<2>) -> Vec<Loss> {
    vec![
        Loss { name: "free_energy_data", weight: 1.0, values: data },
        Loss { name: "free_energy_model", weight: -1.0, values: model },
    ]
}

/// Where chains begin: each unit by itself, at an activation of 0.
fn random_states(units: Units, shape: [usize; 2], init: &Init) -> Param<Tensor<2>> {
    let states = match units {
        Units::Bernoulli => init.uniform("states", shape, 1.0).map(|u| u.greater_elem(0).float()),
        Units::Gaussian => init.normal("states", shape, 1.0),
    };
    states.no_grad()
}
