//! Our residual networks are torchvision's: same names, same representations, same gradients.

use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{Encoder, Output, Role, Size};
use selfsame::backbones;
use selfsame::backbones::resnet::Stem;
use selfsame::inference::Inference;
use selfsame::optim::GradientMap;
use selfsame::tensor::layers::{Draws, Init, Pass, update_running_statistics};
use selfsame::tensor::parameters::{self, Array};
use selfsame::tensor::to_vec;
use selfsame::train_settings::Precision;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    backbone: String,
    stem: Stem,
    channels: usize,
    size: usize,
    batch: usize,
    names: Vec<String>,
    h_eval: Vec<f64>,
    h_train: Vec<f64>,
    running_mean: Vec<f64>,
    running_var: Vec<f64>,
    gradients: BTreeMap<String, Gradient>,
}

#[derive(Deserialize)]
pub struct Gradient {
    pub norm: f64,
    pub first: Vec<f64>,
}

/// The formula of `tests/golden/resnet.py`, in PyTorch's layout.
pub fn filled(name: &str, shape: Vec<usize>) -> Array {
    let phase = name.bytes().map(u64::from).sum::<u64>() * 977;
    let wave = |i: u64| {
        let t = (i * 40503 + phase) % 65521;
        ((t * t + 3 * t) % 65521) as f64 / 65521.0 * 2.0 - 1.0
    };
    let (offset, scale) = match shape.len() {
        2 | 4 => (0.0, (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt()),
        _ if name.ends_with("running_var") => (1.0, 0.5),
        _ => (if name.ends_with("weight") { 1.0 } else { 0.0 }, 0.1),
    };
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|i| (offset + scale * wave(i as u64)) as f32).collect();
    Array { shape, values }
}

pub fn assert_close(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) {
    let largest = golden.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let worst = ours.iter().zip(golden).fold(0.0f64, |m, (a, b)| m.max((f64::from(*a) - b).abs()));
    assert!(worst <= tolerance * largest, "{what}: off by {worst:e} of {largest:e}");
}

/// The images of the golden files, `[batch, height, width, channels]`.
pub fn images(shape: [usize; 4]) -> Tensor<4> {
    let pixel = |i: usize| (0.3 * (i as f64).powf(1.1) + 1.0).sin() as f32;
    let pixels: Vec<f32> = (0..shape.iter().product()).map(pixel).collect();
    Tensor::from_data(TensorData::new(pixels, shape), &Device::flex())
}

/// Asserts that the gradients of `loss` have the golden norms, relative to which `of_norm` is, and first values, relative to the
/// root mean square of which `of_values` is. Gives all of them, in PyTorch's layout.
pub fn assert_gradients(
    label: &str,
    trained: &Encoder,
    loss: &Tensor<1>,
    golden: &BTreeMap<String, Gradient>,
    [of_norm, of_values]: [f64; 2],
) -> BTreeMap<String, Array> {
    let mut gradients = GradientMap::default();
    gradients.accumulate(trained, &mut loss.backward());
    let shapes = parameters::arrays(trained);
    let arrays = gradients.into_arrays().into_iter().map(|(name, values)| {
        let shape = shapes[&name].shape.clone();
        (name, Array { shape, values })
    });
    let arrays = parameters::to_pytorch_layout(arrays.collect());
    for (name, golden) in golden {
        let ours = &arrays[name].values;
        let norm = ours.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        assert!((norm / golden.norm - 1.0).abs() < of_norm, "{label}: ‖∂/∂{name}‖ {norm} is not {}", golden.norm);
        let scale = golden.norm / (ours.len() as f64).sqrt();
        for (a, b) in ours.iter().zip(&golden.first) {
            assert!((f64::from(*a) - b).abs() < of_values * scale, "{label}: ∂/∂{name}: {a} is not {b}");
        }
    }
    arrays
}

fn encoder(case: &Case, device: &Device) -> Encoder {
    let keys = [("stem".to_owned(), toml::Value::try_from(case.stem).unwrap())].into_iter().collect();
    let backbone = backbones::named(&case.backbone, keys, Size::square(case.size)).unwrap();
    let init = Init::new(0, "encoder", device);
    let encoder = backbone.build(case.channels, Size::square(case.size), &init, Role::Student).unwrap();
    let shapes = parameters::to_pytorch_layout(parameters::arrays(&encoder));
    assert!(shapes.keys().eq(case.names.iter()), "parameter names are torchvision's");
    let arrays = shapes.into_iter().map(|(name, array)| (name.clone(), filled(&name, array.shape))).collect();
    parameters::with_arrays(encoder, parameters::from_pytorch_layout(arrays)).unwrap()
}

#[test]
fn residual_networks_are_torchvisions() {
    let file: File = serde_json::from_str(include_str!("../golden/resnet.json")).unwrap();
    for case in &file.cases {
        let label = format!("{} {:?}", case.backbone, case.stem);
        let input = || images([case.batch, case.size, case.size, case.channels]);

        let plain = encoder(case, &Device::flex());
        let h = to_vec(plain.forward(input(), &Pass::evaluate()));
        assert_close(&format!("{label}: h in evaluation"), &h[..64], &case.h_eval, 1e-4);
        let folded = to_vec(plain.for_inference().forward(input(), &Pass::evaluate()));
        let h: Vec<f64> = h.into_iter().map(f64::from).collect();
        assert_close(&format!("{label}: h with batch norms folded"), &folded, &h, 1e-4);

        let trained = encoder(case, &Device::flex().autodiff());
        let pass = Pass::train(Draws::new(0, 0, &(0..case.batch).collect::<Vec<_>>()));
        let h = trained.forward(input(), &pass);
        assert_close(&format!("{label}: h in training"), &to_vec(h.clone().inner())[..64], &case.h_train, 1e-3);
        assert_gradients(&label, &trained, &h.square().mean(), &case.gradients, [1e-2, 0.15]);

        let updated = parameters::arrays(&update_running_statistics(trained, pass.into_statistics()));
        assert_close(&label, &updated["bn1.running_mean"].values[..8], &case.running_mean, 1e-4);
        assert_close(&label, &updated["bn1.running_var"].values[..8], &case.running_var, 1e-4);
    }
}

#[test]
fn inference_takes_a_large_batch_in_parts_and_gives_its_rows_in_order() {
    let side = Size::square(64);
    let backbone = backbones::named("resnet_micro", toml::Table::new(), side).unwrap();
    let device = Device::flex();
    let encoder = backbone.build(1, side, &Init::new(0, "encoder", &device), Role::Student).unwrap();
    // 49 of this side go through at once.
    let x = images([120, 64, 64, 1]);
    let whole = to_vec(encoder.for_inference().forward(x.clone(), &Pass::evaluate()));
    let whole: Vec<f64> = whole.into_iter().map(f64::from).collect();
    let inference = Inference::new(&encoder, Precision::F32);
    let read = inference.reader(Output::H).unwrap();
    let [once, again] = [0, 1].map(|_| to_vec(read(x.clone()).unwrap()));
    assert!(once == again, "weights are packed at the first call and kept for the second");
    assert_eq!(once.len(), whole.len());
    assert_close("in parts", &once, &whole, 1e-5);
}
