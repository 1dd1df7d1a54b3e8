//! TS2Vec: "TS2Vec: Towards Universal Representation of Time Series" (Yue, Wang, Duan, Yang, Huang, Tong & Xu 2022).
//!
//! *Contextual consistency: the same time stamp in two augmented contexts is a positive pair.* Two crops of a series overlap at
//! random; of each, steps are hidden after the first map. Where the crops overlap, the representation of a step must be the same
//! in both contexts, and differ from that of the other series at the step (instance) and from that of the series' other steps
//! (temporal). A maximum over pairs of steps makes a coarser series, of which the same is asked, up to one step for all: so a
//! representation serves for a step, a stretch or the whole.
//!
//! Crops and hidden steps need no knowledge of the data: nothing is flipped, scaled or shuffled that may matter.

use crate::backbone::Role;
use crate::backbones::tcn::Tcn;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, ts2vec};
use crate::outputs::Sequences;
use crate::plan::Plan;
use crate::require;
use crate::tensor::lengths::Lengths;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use selfsame_base::rng::StreamRng;
use selfsame_config::{Kind, Range, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[method] name = "ts2vec"`
    pub struct Ts2vecSettings {
        /// α: weight of the contrast across series; the rest is that across steps
        alpha: f64 = 0.5, Kind::SHARE;
        /// share of the steps that are hidden in each crop
        hidden: f64 = 0.5, Kind::MOMENTUM;
        /// steps of a crop, at most: what a step costs does not grow with the length of the series
        most_steps: usize = 256, Kind::Integer(Range::Within(2.0, 4096.0));
    }
}

/// Branch: its projector is the identity.
#[derive(Module, Debug)]
pub struct Ts2vec {
    branch: Branch,
    #[module(skip)]
    settings: Ts2vecSettings,
}

/// A part of a series, from `start` on, of whose steps some are hidden.
struct Crop {
    start: usize,
    seen: Vec<bool>,
}

/// Two crops of a series that overlap, in `common` steps from step `from` of the series on.
struct Pair {
    crops: [Crop; 2],
    from: usize,
    common: usize,
}

impl Pair {
    /// Of a series of `length` steps.
    fn draw(rng: &mut StreamRng, length: usize, settings: &Ts2vecSettings) -> Self {
        let least = length.min(2);
        let common = least + rng.below(length.min(settings.most_steps) - least + 1);
        let from = rng.below(length - common + 1);
        let (first, last) =
            ((from + common).saturating_sub(settings.most_steps), length.min(from + settings.most_steps));
        let start = first + rng.below(from - first + 1);
        let end = from + common + rng.below(last - from - common + 1);
        let mut crop = |start: usize, end: usize| Crop {
            start,
            seen: (start..end).map(|_| !rng.chance(settings.hidden as f32)).collect(),
        };
        Self { crops: [crop(start, from + common), crop(from, end)], from, common }
    }
}

/// Of each row `[batch, steps, width]`, the steps from `starts` on, at the front; what follows a row's end is its last step.
fn shifted(x: Tensor<3>, starts: &[usize], room: usize) -> Tensor<3> {
    let [batch, steps, width] = x.dims();
    let places = starts
        .iter()
        .enumerate()
        .flat_map(|(row, &start)| (0..room).map(move |step| (row * steps + (start + step).min(steps - 1)) as i64));
    let places = TensorData::new(places.collect::<Vec<i64>>(), [batch * room]);
    let places = Tensor::<1, Int>::from_data(places, &x.device());
    x.reshape([batch * steps, width]).select(0, places).reshape([batch, room, width])
}

impl Ts2vec {
    fn tcn(&self) -> &Tcn {
        self.branch.encoder.downcast_ref().expect("`build` refuses any other")
    }
}

impl Method for Ts2vec {
    const NAME: &'static str = "ts2vec";
    const MODALITIES: &'static [Modality] = &[Modality::Signal];
    type Config = Ts2vecSettings;
    type Outputs = Sequences;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, Ts2vec::NAME)?;
        match plan.backbone.entry.family {
            FAMILY => Ok(()),
            _ => Err(require::backbone(Ts2vec::NAME, FAMILY, plan.backbone.name())),
        }
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        if branch.encoder.downcast_ref::<Tcn>().is_none() {
            return Err(require::backbone(Ts2vec::NAME, FAMILY, cx.plan.backbone.name()));
        }
        Ok(Self { branch, settings: config.clone() })
    }

    /// The steps in which two crops of each series overlap, as each crop sees them.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Sequences {
        let (x, lengths) = Lengths::of(batch.views[0].clone());
        let [series, _, steps, channels] = x.dims();
        let x = x.reshape([series, steps, channels]);
        let each = lengths.each(series, steps).into_iter().zip(cx.pass.draw(series));
        let pairs: Vec<Pair> = each.map(|(length, mut rng)| Pair::draw(&mut rng, length, &self.settings)).collect();
        let room = steps.min(self.settings.most_steps);
        let mut h = None;
        let common = [0, 1].map(|crop| {
            let crops: Vec<&Crop> = pairs.iter().map(|pair| &pair.crops[crop]).collect();
            let lengths = Lengths::new(crops.iter().map(|crop| crop.seen.len()).collect(), room);
            let seen = crops.iter().flat_map(|crop| {
                (0..room).map(|step| f32::from(u8::from(crop.seen.get(step).copied().unwrap_or_default())))
            });
            let seen = TensorData::new(seen.collect::<Vec<f32>>(), [series, 1, room, 1]);
            let starts: Vec<usize> = crops.iter().map(|crop| crop.start).collect();
            let x = lengths.zero(shifted(x.clone(), &starts, room)).reshape([series, 1, room, channels]);
            let seen = Tensor::from_data(seen, &x.device());
            let made = self.tcn().steps(x, &lengths, Some(seen), cx.pass);
            h.get_or_insert_with(|| self.tcn().pooled(made.clone(), &lengths));
            let starts: Vec<usize> = pairs.iter().map(|pair| pair.from - pair.crops[crop].start).collect();
            shifted(made, &starts, room)
        });
        let lengths = Lengths::new(pairs.iter().map(|pair| pair.common).collect(), room);
        Sequences::new(common.into(), &lengths, h.expect("of the first crop"))
    }

    fn objective(&self, outputs: &Sequences) -> LossTerms {
        let (steps, lengths) = outputs.steps();
        ts2vec(steps[0].clone(), steps[1].clone(), &lengths, self.settings.alpha)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

const FAMILY: &str = "tcn";

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::Purpose;
    use selfsame_config::Settings;

    #[test]
    fn crops_lie_within_their_series_and_overlap_as_told() {
        let settings = Ts2vecSettings { most_steps: 7, ..Ts2vecSettings::defaults() };
        let (mut longest, mut context) = (0, false);
        for seed in 0..200 {
            for length in [1, 2, 3, 12] {
                let Pair { crops: [a, b], from, common } =
                    Pair::draw(&mut StreamRng::new(seed, Purpose::Step, 0, 0, 0), length, &settings);
                assert!(common <= 7 && common >= length.min(2), "{common} of {length}");
                assert!(a.start <= from && a.start + a.seen.len() == from + common);
                assert!(b.start == from && from + b.seen.len() <= length && b.seen.len() >= common);
                assert!(a.seen.len() <= 7 && b.seen.len() <= 7);
                longest = longest.max(common);
                context |= a.seen.len() > common;
            }
        }
        assert!(longest == 7 && context);
    }
}
