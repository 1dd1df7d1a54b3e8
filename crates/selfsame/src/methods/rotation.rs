//! Rotation prediction: "Unsupervised Representation Learning by Predicting Image Rotations" (Gidaris, Singh &
//! Komodakis 2018).
//!
//! *To tell by how many quarter turns an image was rotated, a network must recognize what is in it.* A classical
//! pretext task and a cheap baseline: it cannot collapse, since it has targets, and it learns nothing from images that
//! look right in any rotation.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, cross_entropy};
use crate::outputs::Logits;
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::Linear;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::settings;
use selfsame_data::modality::Modality;

/// Quarter turns told apart.
const TURNS: usize = 4;

settings! {
    /// `[method] name = "rotation"`; it has no keys.
    pub struct RotationSettings {}
}

/// Branch and a linear classifier of the four turns.
#[derive(Module, Debug)]
pub struct Rotation {
    branch: Branch,
    classifier: Linear,
}

impl Method for Rotation {
    const NAME: &'static str = "rotation";
    const MODALITIES: &'static [Modality] = &[Modality::Image];
    type Config = RotationSettings;
    type Outputs = Logits;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::squares(plan, Rotation::NAME)?;
        match plan.views.iter().position(|group| group.augmentations.iter().any(|choice| choice.name == "rotate")) {
            Some(group) => Err(Error::setting(
                format!("views.{group}.augmentations"),
                "`rotate` hides what method.name = \"rotation\" is to predict; drop it",
            )),
            None => Ok(()),
        }
    }

    fn trivial_loss(_config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        Some(TrivialLoss::ln(TURNS, TURNS))
    }

    fn build(_config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let classifier = Linear::new(&cx.init("classifier"), [branch.projector.width(), TURNS], true);
        Ok(Self { branch, classifier })
    }

    /// Logits of every view in all four turns, as in the paper: `[batch, 4]` each, turn by turn. All four in one pass: the
    /// batch statistics of one turn alone would tell which turn it is.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Logits {
        let of_view = |view: &Tensor<4>| {
            let turned = Tensor::cat((0..TURNS).map(|turns| quarter_turns(view.clone(), turns)).collect(), 0);
            self.classifier.forward(self.branch.forward(turned, cx.pass)).chunk(TURNS, 0)
        };
        let logits: Vec<_> = batch.views.iter().flat_map(of_view).collect();
        let classes = logits
            .iter()
            .enumerate()
            .map(|(i, logits)| Tensor::full([logits.dims()[0], 1], (i % TURNS) as f32, &logits.device()));
        Logits { classes: classes.collect(), logits }
    }

    fn objective(&self, outputs: &Logits) -> LossTerms {
        cross_entropy(Tensor::cat(outputs.logits.clone(), 0), Tensor::cat(outputs.classes.clone(), 0))
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

/// Turns square images counter-clockwise, `[batch, side, side, channels]`.
fn quarter_turns(x: Tensor<4>, turns: usize) -> Tensor<4> {
    match turns {
        1 => x.swap_dims(1, 2).flip([1]),
        2 => x.flip([1, 2]),
        3 => x.swap_dims(1, 2).flip([2]),
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{to_vec, view_to_device};
    use burn::tensor::Device;

    #[test]
    fn quarter_turns_are_counter_clockwise_and_add_up() {
        let image = view_to_device(vec![1.0, 2.0, 3.0, 4.0], [2, 2, 1], &Device::flex());
        assert_eq!(to_vec(quarter_turns(image.clone(), 1)), [2.0, 4.0, 1.0, 3.0]);
        let twice = quarter_turns(quarter_turns(image.clone(), 1), 1);
        assert_eq!(to_vec(twice.clone()), to_vec(quarter_turns(image.clone(), 2)));
        assert_eq!(to_vec(quarter_turns(twice, 1)), to_vec(quarter_turns(image.clone(), 3)));
        assert_eq!(to_vec(quarter_turns(quarter_turns(image.clone(), 3), 1)), to_vec(image));
    }
}
