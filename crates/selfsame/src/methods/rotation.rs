//! Rotation prediction: "Unsupervised Representation Learning by Predicting Image Rotations" (Gidaris, Singh & Komodakis
//! 2018).
//!
//! *To tell by how many quarter turns an image was rotated, a network must recognise what is in it.* A classical pretext
//! task and a cheap baseline: it cannot collapse, since it has targets, and it learns nothing where up is as good as down.

use crate::error::Error;
use crate::method::{Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, cross_entropy};
use crate::tensor::layers::Linear;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// Quarter turns told apart.
const TURNS: usize = 4;

/// `[method] name = "rotation"`; it has no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RotationSettings {}

impl Settings for RotationSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        let turned = |table: &toml::Table| table.get("name").and_then(toml::Value::as_str) == Some("rotate");
        match plan.views.iter().position(|group| group.augmentations.iter().any(turned)) {
            Some(group) => Err(Error::setting(
                format!("views.{group}.augmentations"),
                "`rotate` hides what method.name = \"rotation\" is to predict; drop it",
            )),
            None => Ok(()),
        }
    }
}

/// Branch and a linear classifier of the four turns.
#[derive(Module, Debug)]
pub struct Rotation {
    branch: Branch,
    classifier: Linear,
}

impl Method for Rotation {
    const NAME: &'static str = "rotation";
    type Config = RotationSettings;

    fn build(_config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let classifier = Linear::new(&cx.init("classifier"), [branch.projector.width(), TURNS], true);
        Ok(Self { branch, classifier })
    }

    /// Logits of every view in all four turns, as in the paper: `[batch, 4]` each, turn by turn. One pass for the four, since
    /// batch statistics of one turn alone would give it away.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let logits = |view: &Tensor<4>| {
            let turned = Tensor::cat((0..TURNS).map(|turns| quarter_turns(view.clone(), turns)).collect(), 0);
            self.classifier.forward(self.branch.forward(turned, cx.pass)).chunk(TURNS, 0)
        };
        Embeddings { online: batch.views.iter().flat_map(logits).collect(), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let targets = embeddings.online.iter().enumerate().map(|(i, logits)| {
            let turn = (i % TURNS) as f32;
            Tensor::full([logits.dims()[0], 1], turn, &logits.device())
        });
        cross_entropy(Tensor::cat(embeddings.online.clone(), 0), Tensor::cat(targets.collect(), 0))
    }

    fn branch(&self) -> &Branch {
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
