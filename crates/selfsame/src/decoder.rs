//! A small decoder: from a representation back to an image.
//!
//! A linear layer turns the representation into a small map. Then the side is doubled and a 3×3 convolution follows,
//! again and again until the image's side is reached. Of a vector, whose side is 1, the convolution is a second linear layer. The decoder is thrown away after the training, and it is small on
//! purpose: the less it can do, the more the encoder has to.

use crate::method::BuildContext;
use crate::tensor::layers::{Conv2d, Linear, Norm, NormKind, Pass};
use burn::module::Module;
use burn::tensor::Tensor;

/// The first map is of at most this side, px.
const FIRST_SIDE: usize = 8;
/// Channels double toward the first map, up to this many.
const MOST_CHANNELS: usize = 256;

/// `[batch, width of h]` to `[batch, size, size, channels]`.
#[derive(Module, Debug)]
pub struct ImageDecoder {
    first: Linear,
    first_norm: Norm,
    /// One for each doubling of the side.
    stages: Vec<(Conv2d, Norm)>,
    last: (Conv2d, Norm),
    #[module(skip)]
    first_side: usize,
    #[module(skip)]
    size: usize,
}

impl ImageDecoder {
    /// A decoder from representations of `input` to the plan's images; its last map has `width` channels.
    pub fn new(cx: &BuildContext, input: usize, width: usize) -> Self {
        let (init, norm, data) = (cx.init("decoder"), cx.plan.backbone.norm(), &cx.plan.data);
        let (size, channels) = (data.size, data.channels);
        let bias = norm == NormKind::None;
        let (mut side, mut doublings) = (size, 0);
        while side > FIRST_SIDE {
            (side, doublings) = (side.div_ceil(2), doublings + 1);
        }
        let channels_of = |doubling: usize| (width << (doublings - doubling).min(16)).min(MOST_CHANNELS).max(width);
        let stages = (0..doublings).map(|stage| {
            let (init, widths) = (init.child(format!("stages.{stage}")), [channels_of(stage), channels_of(stage + 1)]);
            let norm = Norm::new(&init.child(1), norm, widths[1], 1.0);
            (Conv2d::new(&init.child(0), widths, 3, 1, bias), norm)
        });
        let last = init.child("last");
        let kernel = if size == 1 { 1 } else { 3 };
        Self {
            first: Linear::new(&init.child("first"), [input, side * side * channels_of(0)], bias),
            first_norm: Norm::new(&init.child("first_norm"), norm, channels_of(0), 1.0),
            stages: stages.collect(),
            last: (
                Conv2d::new(&last.child(0), [width, channels], kernel, 1, true),
                Norm::new(&last.child(1), NormKind::None, channels, 1.0),
            ),
            first_side: side,
            size,
        }
    }

    /// The image of each representation, `[batch, size, size, channels]`.
    pub fn forward(&self, h: Tensor<2>, pass: &Pass) -> Tensor<4> {
        let (batch, side) = (h.dims()[0], self.first_side);
        let first = self.first.forward(h).reshape([batch as i32, side as i32, side as i32, -1]);
        let first = self.first_norm.act(first, None, true, pass);
        let map = self.stages.iter().fold(first, |x, (conv, norm)| norm.conv_act(conv, doubled(x), None, true, pass));
        let (conv, none) = &self.last;
        let image = none.conv_act(conv, map, None, false, pass);
        image.slice([0..batch, 0..self.size, 0..self.size])
    }
}

/// Every pixel as a square of four: `[batch, height, width, channels]` to `[batch, 2·height, 2·width, channels]`.
fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let row = 2 * width * channels;
    let wide = x.reshape([batch * height, width, 1, channels]).repeat_dim(2, 2);
    wide.reshape([batch, height, 1, row]).repeat_dim(2, 2).reshape([batch, 2 * height, 2 * width, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::tensor::{to_vec, view_to_device};
    use burn::tensor::Device;

    #[test]
    fn a_pixel_becomes_a_square_of_four() {
        let image = view_to_device(vec![1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0], [2, 2, 2], &Device::flex());
        let rows = [[1.0, 10.0, 1.0, 10.0, 2.0, 20.0, 2.0, 20.0], [3.0, 30.0, 3.0, 30.0, 4.0, 40.0, 4.0, 40.0]];
        assert_eq!(to_vec(doubled(image)), [rows[0], rows[0], rows[1], rows[1]].concat());
    }

    #[test]
    fn images_of_any_size_come_out() {
        for (size, first_side, stages) in [(5, 5, 0), (8, 8, 0), (12, 6, 1), (28, 7, 2), (33, 5, 3), (224, 7, 5)] {
            let plan = testing::plan(2, size, &[]);
            let decoder = ImageDecoder::new(&BuildContext { plan: &plan, device: &Device::flex(), start: None }, 3, 2);
            assert_eq!((decoder.first_side, decoder.stages.len()), (first_side, stages));
            let image = decoder.forward(Tensor::ones([1, 3], &Device::flex()), &Pass::evaluate());
            assert_eq!(image.dims(), [1, size, size, 2]);
        }
    }
}
