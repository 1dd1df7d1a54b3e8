//! Our ConvNeXts are timm's: same names, same representations, same gradients.

use crate::resnet::{Gradient, assert_close, assert_gradients, filled, images};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{Encoder, Role};
use selfsame::backbones;
use selfsame::tensor::layers::{Draws, Init, Pass};
use selfsame::tensor::{parameters, recomputing, to_vec};
use selfsame_data::image::Size;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Table, Value};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    tiny: BTreeMap<String, Vec<usize>>,
}

#[derive(Deserialize)]
struct Case {
    channels: usize,
    size: usize,
    patch_size: usize,
    widths: Vec<usize>,
    depths: Vec<usize>,
    batch: usize,
    h: Vec<f64>,
    gradients: BTreeMap<String, Gradient>,
}

fn golden() -> File {
    serde_json::from_str(include_str!("../golden/convnext.json")).unwrap()
}

impl Case {
    fn encoder(&self, device: &Device) -> Encoder {
        let numbers = |values: &[usize]| Value::Array(values.iter().map(|&n| Value::Integer(n as i64)).collect());
        let keys: Table = [
            ("widths", numbers(&self.widths)),
            ("depths", numbers(&self.depths)),
            ("patch_size", Value::Integer(self.patch_size as i64)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
        let backbone = backbones::named("convnext_micro", keys, Size::square(self.size)).unwrap();
        let encoder = backbone
            .build(self.channels, Size::square(self.size), &Init::new(0, "encoder", device), Role::Student)
            .unwrap();
        let arrays = parameters::to_pytorch_layout(parameters::arrays(&encoder));
        let arrays = arrays.into_iter().map(|(name, array)| (name.clone(), filled(&name, array.shape))).collect();
        parameters::with_arrays(encoder, parameters::from_pytorch_layout(arrays)).unwrap()
    }

    fn images(&self) -> Tensor<4> {
        images([self.batch, self.size, self.size, self.channels])
    }
}

#[test]
fn convnexts_are_timms() {
    for case in &golden().cases {
        let label = format!("{:?}, patches of {}", case.widths, case.patch_size);
        let plain = case.encoder(&Device::flex());
        for encoder in [plain.for_inference(), plain] {
            let h = to_vec(encoder.forward(case.images(), &Pass::evaluate()));
            assert_eq!(h.len(), case.h.len());
            assert_close(&format!("{label}: h"), &h, &case.h, 2e-5);
        }
        let trained = case.encoder(&Device::flex().autodiff());
        let gradients = |again| {
            let pass = Pass::train(Draws::new(0, 0, &(0..case.batch).collect::<Vec<_>>()));
            let h = recomputing(again, || trained.forward(case.images(), &pass));
            let weights: Vec<f32> = (0..case.h.len()).map(|i| (i as f64).sin() as f32).collect();
            let weights = Tensor::<2>::from_data(TensorData::new(weights, h.dims()), &h.device());
            assert_gradients(&label, &trained, &(h * weights).mean(), &case.gradients, [1e-4, 1e-3])
        };
        let arrays = gradients(false);
        assert!(arrays == gradients(true), "{label}: computed again");
        assert!(arrays.keys().eq(case.gradients.keys()), "{label}: parameter names are timm's");
    }
}

#[test]
fn the_tiny_one_has_timms_parameters() {
    let backbone = backbones::named("convnext_tiny", Table::new(), Size::square(224)).unwrap();
    let encoder =
        backbone.build(3, Size::square(224), &Init::new(0, "encoder", &Device::flex()), Role::Student).unwrap();
    let arrays = parameters::to_pytorch_layout(parameters::arrays(&encoder));
    let shapes: BTreeMap<String, Vec<usize>> = arrays.into_iter().map(|(name, array)| (name, array.shape)).collect();
    assert_eq!(shapes, golden().tiny);
    assert_eq!((encoder.stages(), encoder.width()), (5, 768));
}

#[test]
fn a_side_that_leaves_no_pixel_is_refused() {
    let error = backbones::named("convnext_tiny", Table::new(), Size::square(12)).expect_err("refused").to_string();
    assert!(error.contains("data.size") && error.contains("16 or more"), "{error}");
}
