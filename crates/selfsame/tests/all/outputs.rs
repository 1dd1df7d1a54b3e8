//! What of an encoder can be had beside `h`: its layers, and the tokens of its last one.

use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{Encoder, Output, Role};
use selfsame::backbones;
use selfsame::tensor::layers::{Init, Pass};
use selfsame::tensor::to_vec;
use selfsame_data::image::Size;
use toml::Table;

const SIDE: usize = 16;

fn encoder(keys: &str) -> Encoder {
    let mut keys: Table = keys.parse().unwrap();
    let name = keys.remove("name").unwrap();
    let backbone = backbones::named(name.as_str().unwrap(), keys, Size::square(SIDE)).unwrap();
    // Weights are drawn by their names: the first layers of a network are those of a longer one.
    backbone
        .build(2, Size::square(SIDE), &Init::new(0, "encoder", &Device::flex()), Role::Student)
        .unwrap()
        .for_inference()
}

fn images() -> Tensor<4> {
    let shape = [3, SIDE, SIDE, 2];
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(pixels, shape), &Device::flex())
}

fn given(encoder: &Encoder, wanted: Output) -> Vec<Vec<f32>> {
    let y = encoder.reader(wanted).unwrap()(images(), &Pass::evaluate()).unwrap();
    let width = y.dims()[1];
    to_vec(y).chunks_exact(width).map(<[f32]>::to_vec).collect()
}

#[test]
fn the_last_layer_is_h_and_the_tokens_are_what_it_is_made_of() {
    let vit = "name = 'vit_micro'\ndim = 8\ndepth = 2\nheads = 2\npatch_size = 4";
    let of_tokens = |keys: &str, count: usize, pooled: &dyn Fn(&[f32], usize) -> Vec<f32>| {
        let encoder = encoder(keys);
        let (h, width) = (given(&encoder, Output::H), encoder.width());
        assert_eq!(given(&encoder, Output::Layer(encoder.stages() - 1)), h, "{keys}");
        for (tokens, h) in given(&encoder, Output::Tokens).iter().zip(&h) {
            assert_eq!(tokens.len(), count * width, "{keys}");
            let worst = pooled(tokens, width).iter().zip(h).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 1e-5, "{keys}: {worst}");
        }
    };
    let mean = |from: usize| {
        move |tokens: &[f32], width: usize| -> Vec<f32> {
            let places = tokens.len() / width - from;
            let of = |feature: usize| tokens[from * width..].iter().skip(feature).step_by(width).sum::<f32>();
            (0..width).map(|feature| of(feature) / places as f32).collect()
        }
    };
    let first = |tokens: &[f32], width: usize| tokens[..width].to_vec();
    of_tokens("name = 'resnet_micro'\nwidths = [4, 8]", 64, &mean(0));
    of_tokens(vit, 17, &first);
    of_tokens(&format!("{vit}\nregisters = 2"), 19, &first);
    of_tokens(&format!("{vit}\npool = 'mean'\nregisters = 2"), 18, &mean(2));
    // The last norm of a ConvNeXt follows the mean; that of an encoder whose gain is 1 is one of these numbers alone.
    let convnext = |tokens: &[f32], width: usize| {
        let mean = mean(0)(tokens, width);
        let center = mean.iter().sum::<f32>() / width as f32;
        let variance = mean.iter().map(|v| (v - center).powi(2)).sum::<f32>() / width as f32;
        mean.iter().map(|v| (v - center) / (variance + 1e-6).sqrt()).collect()
    };
    of_tokens("name = 'convnext_micro'\nwidths = [4, 8]\ndepths = [1, 1]", 16, &convnext);
}

#[test]
fn a_layer_is_what_a_shorter_network_gives_bit_for_bit() {
    let longer = encoder("name = 'resnet_micro'\nwidths = [4, 8, 16]");
    assert_eq!(given(&longer, Output::Layer(1)), given(&encoder("name = 'resnet_micro'\nwidths = [4]"), Output::H));
    assert_eq!(given(&longer, Output::Layer(2)), given(&encoder("name = 'resnet_micro'\nwidths = [4, 8]"), Output::H));
    let layers = encoder("name = 'belief_network'\nwidths = [5, 3]");
    let (h, first) = (given(&layers, Output::H), given(&layers, Output::Layer(0)));
    assert_eq!(first, given(&encoder("name = 'belief_network'\nwidths = [5]"), Output::H));
    let joined = first.iter().zip(given(&layers, Output::Layer(1))).map(|(a, b)| [&a[..], &b].concat());
    assert_eq!(joined.collect::<Vec<_>>(), h);
    let error = longer.reader(Output::Layer(4)).err().unwrap().to_string();
    assert!(error.contains("layer0 to layer3") && error.contains("layer4"), "{error}");
}
