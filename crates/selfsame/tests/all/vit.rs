//! Our vision transformers are timm's: same names, same representations, same gradients.

use crate::resnet::{Gradient, assert_close, assert_gradients, filled, images};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{ChosenBackbone, Encoder, Role, Size};
use selfsame::backbones;
use selfsame::backbones::vit::{Block, Pool, Positions};
use selfsame::tensor::layers::{Draws, Init, Pass};
use selfsame::tensor::lengths::Lengths;
use selfsame::tensor::parameters;
use selfsame::tensor::to_vec;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Table, Value};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    named: BTreeMap<String, Named>,
}

#[derive(Deserialize)]
struct Named {
    tensors: usize,
    shapes: BTreeMap<String, Vec<usize>>,
}

#[derive(Deserialize)]
struct Case {
    pool: Pool,
    positions: Positions,
    channels: usize,
    size: usize,
    patch_size: usize,
    dim: usize,
    depth: usize,
    heads: usize,
    batch: usize,
    resized: usize,
    registers: usize,
    h: Vec<f64>,
    h_resized: Vec<f64>,
    gradients: BTreeMap<String, Gradient>,
}

fn golden() -> File {
    serde_json::from_str(include_str!("../golden/vit.json")).unwrap()
}

impl Case {
    fn backbone(&self) -> ChosenBackbone {
        let count = |n: usize| Value::Integer(n as i64);
        let keys = [
            ("dim", count(self.dim)),
            ("depth", count(self.depth)),
            ("heads", count(self.heads)),
            ("patch_size", count(self.patch_size)),
            ("pool", Value::try_from(self.pool).unwrap()),
            ("positions", Value::try_from(self.positions).unwrap()),
            ("registers", count(self.registers)),
            ("layer_scale", Value::Boolean(self.registers > 0)),
        ];
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        backbones::named("vit_micro", keys, Size::square(self.size)).unwrap()
    }

    /// The encoder with the weights of the golden file; fixed positions stay what they are.
    fn encoder(&self, device: &Device) -> Encoder {
        let init = Init::new(0, "encoder", device);
        let encoder = self.backbone().build(self.channels, Size::square(self.size), &init, Role::Student).unwrap();
        let arrays = parameters::to_pytorch_layout(parameters::arrays(&encoder));
        let fixed = |name: &str| name == "pos_embed" && self.positions == Positions::Sincos;
        let arrays = arrays.into_iter().map(|(name, array)| {
            let array = if fixed(&name) { array } else { filled(&name, array.shape) };
            (name, array)
        });
        parameters::with_arrays(encoder, parameters::from_pytorch_layout(arrays.collect())).unwrap()
    }

    fn images(&self, size: usize) -> Tensor<4> {
        images([self.batch, size, size, self.channels])
    }
}

#[test]
fn vision_transformers_are_timms() {
    for case in &golden().cases {
        let label = format!("{:?}, {:?}, {} registers", case.pool, case.positions, case.registers);
        let plain = case.encoder(&Device::flex());
        for (size, golden) in [(case.size, &case.h), (case.resized, &case.h_resized)] {
            let h = to_vec(plain.for_inference().forward(case.images(size), &Pass::evaluate()));
            assert_eq!(h.len(), golden.len());
            assert_close(&format!("{label}: h at {size} px"), &h, golden, 2e-5);
        }

        let trained = case.encoder(&Device::flex().autodiff());
        let pass = Pass::train(Draws::new(0, 0, &(0..case.batch).collect::<Vec<_>>()));
        let h = trained.forward(case.images(case.size), &pass);
        assert_close(&format!("{label}: h in training"), &to_vec(h.clone().inner()), &case.h, 2e-5);
        let weights: Vec<f32> = (0..case.h.len()).map(|i| (i as f64).sin() as f32).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, h.dims()), &h.device());
        let arrays = assert_gradients(&label, &trained, &(h * weights).mean(), &case.gradients, [1e-4, 1e-3]);
        assert!(arrays.keys().eq(case.gradients.keys()), "{label}: parameter names are timm's");
    }
}

#[test]
fn the_named_ones_have_timms_parameters() {
    for (name, golden) in golden().named.into_iter().filter(|(name, _)| name != "vit_base") {
        let backbone = backbones::named(&name, Table::new(), Size::square(224)).unwrap();
        let encoder =
            backbone.build(3, Size::square(224), &Init::new(0, "encoder", &Device::flex()), Role::Student).unwrap();
        let arrays = parameters::to_pytorch_layout(parameters::arrays(&encoder));
        assert_eq!(arrays.len(), golden.tensors, "{name}");
        for (tensor, shape) in golden.shapes {
            assert_eq!(arrays.get(&tensor).map(|array| &array.shape), Some(&shape), "{name}: {tensor}");
        }
    }
}

/// A block that drops each of its branches for half of the samples is the identity for a quarter of them.
#[test]
fn paths_are_dropped_by_sample_in_training_alone() {
    let (batch, dim, drop_path, device) = (512, 8, 0.5, Device::flex());
    let block = |drop_path| Block::new(&Init::new(0, "block", &device), dim, 2, 4, drop_path);
    let values: Vec<f32> = (0..batch * 2 * dim).map(|i| (i as f32).sin()).collect();
    let x = || Tensor::<3>::from_data(TensorData::new(values.clone(), [batch, 2, dim]), &device);
    let training = |step| Pass::train(Draws::new(0, step, &(0..batch).collect::<Vec<_>>()));
    let of = |drop_path, pass: &Pass| to_vec(block(drop_path).forward(x(), &Lengths::WHOLE, pass));
    assert_eq!(of(drop_path, &Pass::evaluate()), of(0.0, &Pass::evaluate()));
    assert_eq!(of(0.0, &training(0)), of(0.0, &Pass::evaluate()));
    assert_eq!(of(drop_path, &training(0)), of(drop_path, &training(0)), "draws belong to the step");
    assert_ne!(of(drop_path, &training(0)), of(drop_path, &training(1)));

    let y = of(drop_path, &training(0));
    let samples = || y.chunks_exact(2 * dim).zip(values.chunks_exact(2 * dim));
    let untouched = samples().filter(|(y, x)| y == x).count() as f64;
    let deviation = (batch as f64 * 0.25 * 0.75).sqrt();
    assert!((untouched - 0.25 * batch as f64).abs() < 5.0 * deviation, "{untouched} of {batch}");
    let half = |range: std::ops::Range<usize>| samples().filter(|(y, x)| y[range.clone()] == x[range.clone()]).count();
    assert_eq!([half(0..dim), half(dim..2 * dim)], [untouched as usize; 2], "all tokens of a sample go together");
}

#[test]
fn what_the_named_ones_cannot_be_given_is_refused() {
    let refused = |name: &str, key: &str, value: i64| {
        let keys = [(key.to_owned(), Value::Integer(value))].into_iter().collect();
        backbones::named(name, keys, Size::square(32)).expect_err("refused").to_string()
    };
    let error = refused("vit_small", "depth", 3);
    assert!(
        ["backbone.depth", "a key of backbone `vit_micro`", "`vit_small` does not read"]
            .iter()
            .all(|p| error.contains(p)),
        "{error}"
    );
    let error = refused("vit_micro", "dim", 50);
    assert!(
        ["backbone.dim", "50", "backbone.heads = 3", "60 would work"].iter().all(|part| error.contains(part)),
        "{error}"
    );
}
