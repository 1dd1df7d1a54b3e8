//! CPC: "Representation Learning with Contrastive Predictive Coding" (van den Oord, Li & Vinyals 2018).
//!
//! *Predict the future in latent space.* An encoder makes codes `z_t` of stretches of a signal, a recurrent network a context
//! `c_t` of all codes so far, and from the context the codes of the next K steps are predicted, `W_k c_t`: not their values, of
//! which most are noise, but what tells the true one from others. So what is learned is what stretches have in common with their
//! future: the speaker, the phoneme, the phase of a heart beat.
//!
//! The loss is InfoNCE, a noise-contrastive estimation: one of N candidates was drawn from `p(z | c)`, the others from `p(z)`, and
//! a softmax of the scores `f_k = exp(z · W_k c)` says which. Its best score is the ratio `p(z | c) / p(z)`, and `log N − ℓ` is a
//! lower bound on the mutual information of code and context, which can never say more than `log N`. NT-Xent is the special case
//! with the other view of the sample in the place of the future, no context, the cosine over a temperature in the place of
//! `z · W c`, and N = 2B − 1 candidates: the batch alone.
//!
//! What the paper takes away, keys take away: `future_steps = 1` predicts the next step only, `backbone.context = 0` leaves the
//! code itself for a context.

use crate::backbone::Role;
use crate::backbones::cpc_encoder::{self, CpcEncoder, CpcEncoderSettings};
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, Negatives, cpc};
use crate::outputs::Sequences;
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::Linear;
use crate::tensor::lengths::Lengths;
use burn::module::Module;
use selfsame_config::{Kind, Range, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[method] name = "cpc"`
    pub struct CpcSettings {
        /// K: codes ahead that are predicted, each by a map of its own; 12 for speech
        future_steps: usize = 4, Kind::Integer(Range::Within(1.0, 256.0));
        /// whose codes a prediction is held against: of the batch at the same time, of its own sequence at other times, or both
        negatives: Negatives = "both", Kind::Word(Negatives::WORDS);
    }
}

/// Branch (its projector is the identity) and a linear map for each step ahead.
#[derive(Module, Debug)]
pub struct Cpc {
    branch: Branch,
    /// `W_k`
    predictors: Vec<Linear>,
    #[module(skip)]
    settings: CpcSettings,
}

impl Cpc {
    fn encoder(&self) -> &CpcEncoder {
        self.branch.encoder.downcast_ref().expect("`build` refuses any other")
    }
}

/// Codes of a view.
fn codes(plan: &Plan) -> Result<usize, Error> {
    let Some(settings) = plan.backbone.read::<CpcEncoderSettings>().filter(|_| plan.backbone.entry.family == FAMILY)
    else {
        return Err(require::backbone(Cpc::NAME, FAMILY, plan.backbone.name()));
    };
    Ok(cpc_encoder::codes(&settings, plan.views[0].size.width))
}

const FAMILY: &str = "cpc_encoder";

impl Method for Cpc {
    const NAME: &'static str = "cpc";
    const MODALITIES: &'static [Modality] = &[Modality::Signal];
    type Config = CpcSettings;
    type Outputs = Sequences;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, Cpc::NAME)?;
        let codes = codes(plan)?;
        if config.future_steps < codes {
            return Ok(());
        }
        let problem = format!(
            "{} steps ahead of a view of {} steps, which has {codes} codes; expected 1 to {}, or smaller backbone.strides",
            config.future_steps,
            plan.views[0].size.width,
            codes.saturating_sub(1)
        );
        Err(Error::setting("method.future_steps", problem))
    }

    fn trivial_loss(config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        let (batch, steps) = (plan.train.batch_size, codes(plan).ok()?);
        let formula = match config.negatives {
            Negatives::Batch => batch.to_string(),
            Negatives::Sequence => steps.to_string(),
            Negatives::Both => format!("{batch} + {steps} − 1"),
        };
        Some(TrivialLoss::ln(config.negatives.candidates(batch, steps), formula))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let Some(encoder) = branch.encoder.downcast_ref::<CpcEncoder>() else {
            return Err(require::backbone(Cpc::NAME, FAMILY, cx.plan.backbone.name()));
        };
        let ([code, context], init) = (encoder.widths(), cx.init("predictors"));
        let predictors =
            (0..config.future_steps).map(|k| Linear::new(&init.child(k), [context, code], false)).collect();
        Ok(Self { branch, predictors, settings: config.clone() })
    }

    /// Codes and contexts of each sequence.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Sequences {
        let (x, lengths) = Lengths::of(batch.views[0].clone());
        let (codes, lengths) = self.encoder().codes(x, &lengths, cx.pass);
        let contexts = self.encoder().contexts(codes.clone());
        let h = self.encoder().pooled(contexts.clone(), &lengths);
        Sequences::new(vec![codes, contexts], &lengths, h)
    }

    fn objective(&self, outputs: &Sequences) -> LossTerms {
        let (steps, lengths) = outputs.steps();
        let (codes, contexts) = (&steps[0], &steps[1]);
        let [batch, count, _] = codes.dims();
        let ahead = (1..).zip(&self.predictors);
        let predictions: Vec<_> =
            ahead.map(|(k, map)| map.forward(contexts.clone().slice([0..batch, 0..count - k]))).collect();
        cpc(codes, &predictions, &lengths.each(batch, count), self.settings.negatives)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
