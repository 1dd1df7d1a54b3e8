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
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, mask_estimation, value_estimation};
use crate::outputs::{Loss, Losses};
use crate::picture::{Drawn, Picture, Rows};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::{Linear, Pass};
use crate::tensor::{to_vec, view_to_device};
use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use selfsame_config::{Kind, settings};
use selfsame_data::modality::{Columns, Modality};
use toml::Value;

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
    #[module(skip)]
    change: Change,
}

/// What is done to the second view.
#[derive(Clone, Debug)]
struct Change {
    /// Share of the columns.
    rate: f32,
    /// How often anything is done.
    p: f64,
    /// Whether they are set to their mean, and not to what another row has there.
    leaves_out: bool,
}

impl Change {
    /// Of a plan that was checked.
    fn of(plan: &Plan) -> Self {
        let change =
            plan.views.last().and_then(|group| group.augmentations.first()).expect("a second view with a change");
        let number = |key| change.keys.get(key).and_then(Value::as_float).expect("both changes have it");
        Self { rate: number("rate") as f32, p: number("p"), leaves_out: change.name == "feature_dropout" }
    }
}

/// Rows that a picture shows.
const PICTURED: usize = 6;

impl Method for Vime {
    const NAME: &'static str = "vime";
    const MODALITIES: &'static [Modality] = &[Modality::Vector];
    type Config = VimeSettings;
    type Outputs = Losses;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::plain_and_corrupted(plan, Vime::NAME)
    }

    /// A constant score for each column has the entropy of its mask, a constant value the column's own spread: of numbers the variance,
    /// of categories the entropy of how often each value is there, which are the means in the plan. How often a number takes the place
    /// of its like is not known; if never, the masks have their most entropy.
    fn trivial_loss(config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        let (columns, change) = (plan.data.vector_columns(), Change::of(plan));
        let count = columns.len();
        let changed = change.p * columns.part(change.rate) as f64 / count as f64;
        let entropy = |shares: &[f64]| -> f64 { shares.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum() };
        let of_mask = |share: f64| entropy(&[share, 1.0 - share]);
        let (mut mask, mut values) = (0.0, 0.0);
        for place in columns.iter() {
            let shares: Vec<f64> = plan.data.mean[place.channels.clone()].iter().map(|&p| f64::from(p)).collect();
            values += if place.is_category { entropy(&shares) } else { 1.0 };
            mask += match place.is_category {
                true if !change.leaves_out => of_mask(changed * (1.0 - shares.iter().map(|p| p * p).sum::<f64>())),
                true => of_mask(changed),
                false => of_mask(changed.min(0.5)),
            };
        }
        let (mask, values) = (mask / count as f64, values / count as f64);
        let formula =
            format!("at most {mask:.3}, the entropy of the masks, + {}·{values:.3}, the columns' spread", config.alpha);
        Some(TrivialLoss { value: mask + config.alpha * values, formula })
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
            change: Change::of(cx.plan),
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

    /// Rows, the same corrupted, where that is suspected, and what is given back.
    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let clean = samples.views[0].clone();
        let corrupted = self.corrupted(&clean, cx.pass);
        let z = self.branch.forward(corrupted.clone(), cx.pass);
        let (mask, _) = self.targets(clean.clone(), corrupted.clone());
        let shown = samples.samples.len().min(PICTURED);
        let rows = |x: Tensor<2>| x.narrow(0, 0, shown);
        vec![Picture {
            name: "values_given_back",
            caption: "some columns of a row were replaced before the encoder saw it: which of them the mask head suspects, and what the value \
                      head gives back, in the data's own units; of many columns the first 40",
            drawn: Drawn::Rows(Rows {
                samples: samples.samples[..shown].to_vec(),
                values: vec![
                    ("value", rows(clean.flatten(1, 3))),
                    ("shown to the encoder", rows(corrupted.flatten(1, 3))),
                    ("given back", self.likeliest(rows(self.values.forward(z.clone())))),
                ],
                marks: vec![("replaced", rows(mask))],
                shares: vec![("suspected", rows(sigmoid(self.mask.forward(z))))],
            }),
        }]
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl Vime {
    /// `x̃`, as the plan's second view has it, but that what takes a value's place is another row's of this batch.
    fn corrupted(&self, clean: &Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [rows, height, width, channels] = clean.dims();
        let values = to_vec(clean.clone());
        let mut corrupted = values.clone();
        for (row, mut rng) in corrupted.chunks_exact_mut(channels).zip(pass.draw(rows)) {
            let mut order: Vec<usize> = (0..self.columns.len()).collect();
            rng.shuffle(&mut order);
            for &column in &order[..self.columns.part(self.change.rate)] {
                let (place, other) = (self.columns.channels_of(column), rng.below(rows) * channels);
                match self.change.leaves_out {
                    true => row[place].fill(0.0),
                    false => row[place.clone()].copy_from_slice(&values[other..][place]),
                }
            }
        }
        view_to_device(corrupted, [height, width, channels], &clean.device())
    }

    /// What the value head says, `[rows, channels]`: of a category 1 in the channel of the highest score, −1 in the others.
    fn likeliest(&self, values: Tensor<2>) -> Tensor<2> {
        let (shape, device) = (values.dims(), values.device());
        let mut values = to_vec(values);
        for row in values.chunks_exact_mut(shape[1]) {
            for place in self.columns.iter().filter(|place| place.is_category) {
                let scores = &mut row[place.channels.clone()];
                let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                scores.iter_mut().for_each(|score| *score = if *score == best { 1.0 } else { -1.0 });
            }
        }
        Tensor::from_data(TensorData::new(values, shape), &device)
    }

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
    use crate::tensor::layers::Draws;
    use burn::tensor::Device;
    use selfsame_base::rng::{Purpose, StreamRng};

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

    /// Of rows that nothing hangs together in, corrupted as the pictures are, by the best constants there are.
    #[test]
    fn the_trivial_loss_is_that_of_the_best_constants() {
        const ROWS: usize = 20_000;
        let shares = [0.1, 0.3, 0.6];
        let mut rng = StreamRng::new(0, Purpose::Survey, 0, 0, 0);
        for (change, rate) in [("feature_corruption", 0.4), ("feature_dropout", 0.4), ("feature_corruption", 0.7)] {
            let views = format!("views=[{{count=1}}, {{count=1, augmentations=[{{name=\"{change}\", rate={rate}}}]}}]");
            let columns = r#"data.columns=["a", "b", "c\tx\ty\tz"]"#;
            let mean = "data.mean=[0, 0, 0.1, 0.3, 0.6]";
            let more = ["data.modality=vector", columns, "method=vime", "backbone=mlp", &views, mean];
            let plan = testing::plan(5, 1, &more);
            let config = Vime::config(&plan).unwrap();
            let device = Device::flex();
            let vime = Vime::build(&config, &BuildContext { plan: &plan, device: &device, start: None }).unwrap();
            let pixels = (0..ROWS).flat_map(|_| {
                let at = rng.unit();
                let value = [0.1, 0.4].iter().filter(|&&bound| at >= bound).count();
                let category = (0..3).map(move |k| {
                    let p: f32 = shares[k];
                    (f32::from(u8::from(k == value)) - p) / (p * (1.0 - p)).sqrt()
                });
                [rng.normal(), rng.normal()].into_iter().chain(category)
            });
            let clean = view_to_device(pixels.collect(), [1, 1, 5], &device);
            let samples: Vec<usize> = (0..ROWS).collect();
            let pass = Pass::evaluate_with(Draws::new(0, 0, &samples));
            let corrupted = vime.corrupted(&clean, &pass);
            let (mask, target) = vime.targets(clean, corrupted);
            let often = mask.clone().mean_dim(0); // [1, columns]
            let scores = (often.clone() / (often * -1.0 + 1.0)).log().repeat(&[ROWS, 1]);
            let constants = [0.0, 0.0, shares[0].ln(), shares[1].ln(), shares[2].ln()];
            let values = Tensor::<1>::from_floats(constants, &device).unsqueeze().repeat(&[ROWS, 1]);
            let mean = |losses: Tensor<2>| f64::from(losses.mean().into_scalar::<f32>());
            let found = mean(mask_estimation(scores, mask))
                + config.alpha * mean(value_estimation(&values, target, &vime.columns));
            let TrivialLoss { value, formula } = Vime::trivial_loss(&config, &plan).unwrap();
            // At most, where more than half of the columns are replaced.
            let least = if rate > 0.5 { 0.9 } else { 0.99 };
            assert!((least..1.01).contains(&(found / value)), "{change} {rate}: {found}, expected {value}, {formula}");
        }
    }
}
