//! The encoder of contrastive predictive coding (van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive
//! Predictive Coding", §2.2 and 3.1).
//!
//! Strided convolutions make a code `z_t` of each short stretch of a signal, and a recurrent network reads the codes one after the
//! other: its state `c_t` is the context, all that is known at a time. For speech at 16 kHz the paper's strides are 5, 4, 2, 2 and
//! 2, the kernels twice as long, the codes 512 wide and the contexts 256. A convolution sees its own stretch and the one before
//! it, so any signal has a code, and none looks ahead.

use super::signal::{self, StepPool};
use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Gru, Init, Norm, NormKind, Pass};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops::{Span, Window};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings, value};
use selfsame_data::modality::Modality;

settings! {
    /// `[backbone] name = "cpc_encoder"`
    pub struct CpcEncoderSettings {
        /// strides of the convolutions, one after the other; a code is as many steps as their product
        strides: Vec<usize> = (derived "[5, 4, 2, 2, 2] from 4096 steps, [4, 2, 2] from 256, [2, 2] below", |s| {
            let [_, steps] = s.sides("data.size")?;
            let strides: &[i64] = if steps >= 4096 { &[5, 4, 2, 2, 2] } else if steps >= 256 { &[4, 2, 2] } else { &[2, 2] };
            value(strides)
        }), Kind::Integers(Range::Within(1.0, 64.0), None);
        /// width of the codes z_t, and of all convolutions
        width: usize = 128, Kind::WIDTH;
        /// width of the contexts c_t, and of h; 0: there is no recurrent network, each code is its own context
        context: usize = 128, Kind::Integer(Range::Within(0.0, 65536.0));
        /// normalization layers
        norm: NormKind = "batch", Kind::Word(NormKind::WORDS);
        /// h is the mean of the contexts, their maximum or the last one
        pool: StepPool = "mean", Kind::Word(StepPool::WORDS);
    }
}

/// Its line in the catalogue.
pub(super) const CPC_ENCODER: BackboneEntry = BackboneEntry {
    name: "cpc_encoder",
    family: "cpc_encoder",
    modalities: &[Modality::Signal],
    summary: "strided convolutions, and a recurrent network on their codes, as CPC has them",
    keys: CpcEncoderSettings::GROUP,
    build,
    check: |site, _, _| strides(&site.read()?).map(drop),
    cost,
};

/// Convolutions and recurrence, up to the pooled contexts.
#[derive(Module, Debug)]
pub struct CpcEncoder {
    layers: Vec<(Conv2d, Norm)>,
    gru: Option<Gru>,
    #[module(skip)]
    pool: StepPool,
    #[module(skip)]
    widths: [usize; 2],
}

fn strides(settings: &CpcEncoderSettings) -> Result<&[usize], Error> {
    match &settings.strides[..] {
        [] => Err(Error::setting("backbone.strides", "expected one stride or more, got []; e.g. [4, 2, 2]")),
        strides => Ok(strides),
    }
}

/// Steps of codes of a signal of `steps`.
pub(crate) fn codes(settings: &CpcEncoderSettings, steps: usize) -> usize {
    settings.strides.iter().fold(steps, |steps, &stride| steps.div_ceil(stride))
}

fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let settings: CpcEncoderSettings = site.read()?;
    let CpcEncoderSettings { width, context, norm, pool, .. } = settings;
    let layer = |(index, &stride): (usize, &usize)| {
        let (init, inputs) = (init.child(format!("layers.{index}")), if index == 0 { site.channels } else { width });
        // The stretch before and its own, of which the last may be short.
        let window = Window::in_time(Span { kernel: 2 * stride, stride, before: stride, after: stride - 1 });
        let conv = Conv2d::with_window(&init.child(0), [inputs, width], window, norm == NormKind::None);
        (conv, Norm::new(&init.child(1), norm, width, 1.0))
    };
    Ok(Encoder::new(CpcEncoder {
        layers: strides(&settings)?.iter().enumerate().map(layer).collect(),
        gru: (context > 0).then(|| Gru::new(&init.child("gru"), [width, context])),
        pool,
        widths: [width, if context > 0 { context } else { width }],
    }))
}

fn cost(site: &Site) -> Result<Cost, Error> {
    let settings: CpcEncoderSettings = site.read()?;
    let (width, context) = (settings.width as f64, settings.context as f64);
    let mut cost = Cost { parameters: 3.0 * context * (width + context), activations: 0.0 };
    let (mut steps, mut inputs) = (site.size.width, site.channels as f64);
    for stride in settings.strides {
        steps = steps.div_ceil(stride);
        cost.parameters += 2.0 * stride as f64 * inputs * width;
        cost.activations += steps as f64 * width;
        inputs = width;
    }
    cost.activations += steps as f64 * 7.0 * context;
    Ok(cost)
}

impl CpcEncoder {
    /// The codes `z_t`, zeros where there is no signal, and their numbers.
    ///
    /// # Shapes
    /// `[batch, 1, steps, channels]` with zeros after each signal's end to `[batch, codes, width]`
    pub fn codes(&self, x: Tensor<4>, lengths: &Lengths, pass: &Pass) -> (Tensor<3>, Lengths) {
        let (x, lengths) = self.layers.iter().fold((x, lengths.clone()), |(x, lengths), (conv, norm)| {
            let lengths = conv.lengths(&lengths);
            (norm.conv_act_within(conv, x, None, true, &lengths, pass), lengths)
        });
        (signal::steps(x), lengths)
    }

    /// The contexts `c_t`, each of all codes up to its own: `[batch, codes, width]` to `[batch, codes, width of h]`. A state of a
    /// signal that has ended is no part of anything.
    pub fn contexts(&self, codes: Tensor<3>) -> Tensor<3> {
        match &self.gru {
            Some(gru) => gru.forward(codes),
            None => codes,
        }
    }

    /// The representation of a signal, of its contexts: `[batch, codes, width of h]` to `[batch, width of h]`.
    pub fn pooled(&self, contexts: Tensor<3>, lengths: &Lengths) -> Tensor<2> {
        self.pool.of(contexts, lengths)
    }

    /// Width of the codes, and of the contexts.
    pub fn widths(&self) -> [usize; 2] {
        self.widths
    }
}

impl Backbone for CpcEncoder {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let (x, lengths) = Lengths::of(x);
        let (codes, lengths) = self.codes(x, &lengths, pass);
        self.pooled(self.contexts(codes), &lengths)
    }

    fn width(&self) -> usize {
        self.widths[1]
    }

    /// Every batch norm is folded into its convolution.
    fn for_inference(mut self) -> Self {
        self.layers.iter_mut().for_each(|(conv, norm)| norm.fold_into(conv));
        self
    }

    /// Convolution by convolution, then the recurrent network.
    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layers.").unwrap_or(self.layers.len())
    }
}
