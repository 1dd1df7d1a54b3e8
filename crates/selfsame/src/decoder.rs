//! A small decoder: from a representation back to an image.
//!
//! A linear layer turns the representation into a small map. Then the sides are doubled and a 3×3 convolution follows,
//! again and again until the image's are reached. Of a vector, whose sides are 1, the convolution is a second linear layer. The
//! decoder is thrown away after the training, and it is small on purpose: the less it can do, the more the encoder has to.

use crate::method::BuildContext;
use crate::tensor::layers::{Conv2d, Linear, Norm, NormKind, Pass};
use burn::module::Module;
use burn::tensor::Tensor;

/// The first map is of at most this side, px.
const FIRST_SIDE: usize = 8;
/// Channels double toward the first map, up to this many.
const MOST_CHANNELS: usize = 256;

/// `[batch, width of h]` to `[batch, height, width, channels]`.
#[derive(Module, Debug)]
pub struct ImageDecoder {
    first: Linear,
    first_norm: Norm,
    /// One for each doubling.
    stages: Vec<(Conv2d, Norm)>,
    last: (Conv2d, Norm),
    #[module(skip)]
    /// Sides of the first map, of each after a doubling, and of the image.
    #[module(skip)]
    sides: Vec<[usize; 2]>,
}

impl ImageDecoder {
    /// A decoder from representations of `input` to the plan's images; its last map has `width` channels.
    pub fn new(cx: &BuildContext, input: usize, width: usize) -> Self {
        let (init, norm, data) = (cx.init("decoder"), cx.plan.backbone.norm(), &cx.plan.data);
        let (size, channels) = (data.size, data.channels);
        let bias = norm == NormKind::None;
        let mut sides = vec![size.sides()];
        while sides[0].into_iter().any(|side| side > FIRST_SIDE) {
            sides.insert(0, sides[0].map(|side| side.div_ceil(2)));
        }
        let doublings = sides.len() - 1;
        let channels_of = |doubling: usize| (width << (doublings - doubling).min(16)).min(MOST_CHANNELS).max(width);
        let stages = (0..doublings).map(|stage| {
            let (init, widths) = (init.child(format!("stages.{stage}")), [channels_of(stage), channels_of(stage + 1)]);
            let norm = Norm::new(&init.child(1), norm, widths[1], 1.0);
            (Conv2d::new(&init.child(0), widths, 3, 1, bias), norm)
        });
        let last = init.child("last");
        let kernel = if size.area() == 1 { 1 } else { 3 };
        Self {
            first: Linear::new(&init.child("first"), [input, sides[0][0] * sides[0][1] * channels_of(0)], bias),
            first_norm: Norm::new(&init.child("first_norm"), norm, channels_of(0), 1.0),
            stages: stages.collect(),
            last: (
                Conv2d::new(&last.child(0), [width, channels], kernel, 1, true),
                Norm::new(&last.child(1), NormKind::None, channels, 1.0),
            ),
            sides,
        }
    }

    /// The image of each representation, `[batch, height, width, channels]`.
    pub fn forward(&self, h: Tensor<2>, pass: &Pass) -> Tensor<4> {
        let (batch, [height, width]) = (h.dims()[0], self.sides[0]);
        let first = self.first.forward(h).reshape([batch as i32, height as i32, width as i32, -1]);
        let first = self.first_norm.act(first, None, true, pass);
        let map = self.stages.iter().zip(self.sides.windows(2)).fold(first, |x, ((conv, norm), sides)| {
            // A side of 1 pixel that stays that is not doubled.
            let times = [0, 1].map(|axis| if sides[0][axis] < sides[1][axis] { 2 } else { 1 });
            norm.conv_act(conv, repeated(x, times), None, true, pass)
        });
        let (conv, none) = &self.last;
        let image = none.conv_act(conv, map, None, false, pass);
        let [height, width] = self.sides[self.stages.len()];
        image.slice([0..batch, 0..height, 0..width])
    }
}

/// Every pixel `down` × `across` times: `[batch, height, width, channels]` to `[batch, down·height, across·width, channels]`.
fn repeated(x: Tensor<4>, [down, across]: [usize; 2]) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    let row = across * width * channels;
    let wide = x.reshape([batch * height, width, 1, channels]).repeat_dim(2, across);
    wide.reshape([batch, height, 1, row]).repeat_dim(2, down).reshape([batch, down * height, across * width, channels])
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
        assert_eq!(to_vec(repeated(image, [2, 2])), [rows[0], rows[0], rows[1], rows[1]].concat());
    }

    #[test]
    fn images_of_any_size_come_out() {
        for ([height, width], first, stages) in [
            ([5, 5], [5, 5], 0),
            ([8, 8], [8, 8], 0),
            ([12, 12], [6, 6], 1),
            ([28, 28], [7, 7], 2),
            ([33, 33], [5, 5], 3),
            ([224, 224], [7, 7], 5),
            ([64, 96], [4, 6], 4),
            ([5, 60], [1, 8], 3),
        ] {
            let plan = testing::plan(2, 8, &[&format!("data.size=[{height},{width}]")]);
            let decoder = ImageDecoder::new(&BuildContext { plan: &plan, device: &Device::flex(), start: None }, 3, 2);
            assert_eq!((decoder.sides[0], decoder.stages.len()), (first, stages));
            let image = decoder.forward(Tensor::ones([1, 3], &Device::flex()), &Pass::evaluate());
            assert_eq!(image.dims(), [1, height, width, 2]);
        }
    }
}
