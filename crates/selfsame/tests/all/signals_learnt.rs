//! Networks and methods on signals: what follows a signal's end is seen by nothing, and a batch in chunks is a batch.

use super::training::{encoder, losses, train, train_to};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{Encoder, Role, Size};
use selfsame::backbones::{self, cpc_encoder::CpcEncoder, tcn::Tcn};
use selfsame::batch::Batch;
use selfsame::catalogue::{Catalogue, METHODS, Planned};
use selfsame::method::{BuildContext, Method};
use selfsame::methods::{
    barlow_twins::BarlowTwins, byol::Byol, cpc::Cpc, dino::Dino, invariance_only::InvarianceOnly,
    masked_autoencoder::MaskedAutoencoder, moco::Moco, nnclr::Nnclr, simclr::Simclr, simsiam::Simsiam, swav::Swav,
    ts2vec::Ts2vec, vicreg::Vicreg,
};
use selfsame::objective::{self, Negatives};
use selfsame::outputs::PerSample;
use selfsame::plan::Plan;
use selfsame::progress::Progress;
use selfsame::step::{Step, step};
use selfsame::tensor::layers::{Init, Pass, Still};
use selfsame::tensor::lengths::Lengths;
use selfsame::tensor::ops::{self, Span, Window};
use selfsame::tensor::to_vec;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::modality::Modality;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use toml::Table;

const CHANNELS: usize = 2;
const STEPS: usize = 40;
const LENGTHS: [usize; 10] = [40, 23, 40, 7, 31, 4, 38, 16, 40, 11];

/// Signals of these lengths, padded to `steps` with NaN, `[batch, 1, steps, channels]`: the same values whatever the padding.
fn views(lengths: &[(u64, usize)], steps: usize, view: u32) -> Tensor<4> {
    let signal = |&(sample, length): &(u64, usize)| {
        let mut rng = StreamRng::new(7, Purpose::View, 0, sample, view);
        (0..steps * CHANNELS).map(move |i| if i < length * CHANNELS { rng.normal() } else { f32::NAN })
    };
    let values: Vec<f32> = lengths.iter().flat_map(signal).collect();
    Tensor::from_data(TensorData::new(values, [lengths.len(), 1, steps, CHANNELS]), &Device::flex())
}

fn numbered(lengths: &[usize]) -> Vec<(u64, usize)> {
    (0..).zip(lengths.iter().copied()).collect()
}

fn worst(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| if (a - b).is_nan() { f32::INFINITY } else { m.max((a - b).abs()) })
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0f32, |m, v| m.max(v.abs()))
}

/// Every backbone for signals, small, with each of its normalizations and ends.
const BACKBONES: [(&str, &str); 13] = [
    ("resnet1d_micro", "widths = [4, 6]\nstem = \"small\""),
    ("resnet1d_micro", "widths = [4, 6, 8]\nstem = \"imagenet\"\nnorm = \"group\""),
    ("resnet1d_micro", "widths = [4]\nstem = \"imagenet\"\nnorm = \"none\""),
    ("resnet1d_18", "stem = \"small\""),
    ("resnet1d_50", "stem = \"imagenet\""),
    ("tcn", "width = 4\nout = 6\ndepth = 3"),
    ("tcn", "width = 4\nout = 6\ndepth = 4\ncausal = false\nnorm = \"group\"\npool = \"max\""),
    ("tcn", "width = 4\nout = 4\ndepth = 2\nkernel = 4\nnorm = \"none\"\npool = \"last\""),
    ("transformer1d", "dim = 8\ndepth = 2\nheads = 2\npatch_size = 5"),
    ("transformer1d", "dim = 8\ndepth = 2\nheads = 2\npatch_size = 3\npool = \"class\"\npositions = \"learned\""),
    ("cpc_encoder", "strides = [3, 2]\nwidth = 6\ncontext = 5"),
    ("cpc_encoder", "strides = [2, 2]\nwidth = 6\ncontext = 5\nnorm = \"group\"\npool = \"last\""),
    ("cpc_encoder", "strides = [4]\nwidth = 6\ncontext = 0\nnorm = \"none\"\npool = \"max\""),
];

fn built(name: &str, keys: &str) -> Encoder {
    let size = Size { height: 1, width: STEPS };
    let chosen = backbones::named(name, keys.parse::<Table>().unwrap(), size).unwrap();
    chosen.build(CHANNELS, size, &Init::new(1, "encoder", &Device::flex()), Role::Student).unwrap()
}

#[test]
fn every_backbone_makes_of_a_padded_signal_what_it_makes_of_it_alone() {
    let of_signals = backbones::all().into_iter().filter(|entry| entry.modalities.contains(&Modality::Signal));
    for entry in of_signals {
        assert!(BACKBONES.iter().any(|(name, _)| *name == entry.name), "{} is not tested", entry.name);
    }
    for (name, keys) in BACKBONES {
        let encoder = built(name, keys);
        for encoder in [&encoder, &encoder.for_inference()] {
            let h =
                |lengths: &[(u64, usize)], steps| to_vec(encoder.forward(views(lengths, steps, 0), &Pass::evaluate()));
            let together = h(&numbered(&LENGTHS), STEPS);
            for (sample, own) in numbered(&LENGTHS).chunks(1).zip(together.chunks(encoder.width())) {
                let alone = h(sample, sample[0].1);
                let off = worst(own, &alone);
                assert!(off <= 1e-5 * largest(&alone).max(1.0), "{name} {keys}: {sample:?} is off by {off}");
            }
        }
    }
}

/// A plan for signals that need not be there.
fn plan(more: &[&str]) -> Plan {
    let mut arguments: Vec<String> = [
        "data=unused",
        "data.kind=folder",
        "data.modality=signal",
        "data.labels=none",
        "data.fingerprint=none",
        "data.channels=2",
        "data.size=40",
        "data.mean=[0.0, 0.0]",
        "data.std=[1.0, 1.0]",
        "projector.hidden=8",
        "projector.out=6",
        "batch_size=10",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    Catalogue::default().plan_as_stated(None, &arguments).unwrap()
}

fn run<M: Method>(plan: &Plan, steps: usize, chunk: usize) -> Step<M::Outputs> {
    let device = Device::flex().autodiff();
    let config = M::config(plan).unwrap();
    let model = M::build(&config, &BuildContext { plan, device: &device, start: None }).unwrap();
    let count = plan.views.iter().map(|group| group.count).sum::<usize>() as u32;
    let views = (0..count).map(|view| views(&numbered(&LENGTHS), steps, view)).collect();
    let batch = Batch { views, samples: (0..LENGTHS.len()).collect() };
    let progress = Progress { step: 3, steps: 10, steps_per_epoch: 5 };
    step(&model, &batch, chunk, 0, progress, &Still::default())
}

/// Of two runs of one method: losses, representations and gradients.
fn same<O: PerSample>(what: &str, a: Step<O>, b: Step<O>) {
    assert!((a.total - b.total).abs() <= 1e-5 * a.total.abs().max(1e-2), "{what}: {} and {}", a.total, b.total);
    let [seen, again] = [&a, &b].map(|step| to_vec(step.outputs.watched(Role::Student).clone()));
    assert!(worst(&seen, &again) <= 1e-5 * largest(&seen), "{what}: off by {}", worst(&seen, &again));
    let (a, b) = (a.gradients.into_arrays(), b.gradients.into_arrays());
    assert!(a.keys().eq(b.keys()) && !a.is_empty(), "{what}");
    let scale = a.values().map(|g| largest(g)).fold(0.0, f32::max);
    for (name, gradient) in &a {
        let off = worst(gradient, &b[name]);
        assert!(off <= 1e-4 * scale, "{what}: the gradient of {name} is off by {off} of {scale}");
    }
}

/// With batch norm, more padding changes nothing; without it, neither do chunks.
fn holds<M: Method>(more: &[&str]) {
    let method = format!("method={}", M::NAME);
    let more = [&[method.as_str()][..], more].concat();
    let normed = plan(&more);
    same(&format!("{more:?} padded"), run::<M>(&normed, STEPS, 10), run::<M>(&normed, STEPS + 13, 10));
    let mut without = vec!["projector.norm=none"];
    if normed.backbone.keys.contains_key("norm") {
        without.push("backbone.norm=none");
    }
    let without = plan(&[more, without].concat());
    same(&format!("{} in chunks", M::NAME), run::<M>(&without, STEPS, 10), run::<M>(&without, STEPS, 4));
}

const MICRO: [&str; 3] = ["backbone.name=resnet1d_micro", "backbone.widths=[4, 6]", "views=[{count=2}]"];
const ONE: [&str; 2] = ["views=[{count=1}]", "projector.layers=0"];
const TCN: [&str; 4] = ["backbone.name=tcn", "backbone.width=4", "backbone.out=6", "backbone.depth=3"];
const CPC: [&str; 4] =
    ["backbone.name=cpc_encoder", "backbone.strides=[3, 2]", "backbone.width=6", "backbone.context=5"];
const TRANSFORMER: [&str; 5] =
    ["backbone.name=transformer1d", "backbone.dim=8", "backbone.depth=2", "backbone.heads=2", "backbone.patch_size=5"];

#[test]
fn neither_padding_nor_chunks_change_what_a_method_learns_from_signals() {
    holds::<Simclr>(&MICRO);
    for backbone in [&TCN[..], &CPC, &TRANSFORMER, &["backbone.name=resnet1d_micro", "backbone.stem=imagenet"]] {
        holds::<Simclr>(&[backbone, &["views=[{count=2}]"]].concat());
    }
    let with = |more: &[&'static str]| [&MICRO[..], more].concat();
    holds::<Moco>(&with(&["method.queue=20"]));
    holds::<Nnclr>(&with(&["method.queue=20"]));
    holds::<Byol>(&MICRO);
    holds::<Simsiam>(&MICRO);
    holds::<BarlowTwins>(&MICRO);
    holds::<Vicreg>(&MICRO);
    holds::<Swav>(&with(&["method.prototypes=4"]));
    holds::<Dino>(&with(&["method.prototypes=12"]));
    holds::<InvarianceOnly>(&MICRO);
    let decoder = ["method.decoder_width=8", "method.decoder_heads=2", "method.mask_ratio=0.6"];
    holds::<MaskedAutoencoder>(&[&TRANSFORMER[..], &ONE, &decoder].concat());
    for more in [&[][..], &["method.future_steps=1"], &["method.negatives=batch"], &["method.negatives=sequence"]] {
        holds::<Cpc>(&[&CPC[..], &ONE, more].concat());
    }
    holds::<Ts2vec>(&[&TCN[..], &ONE, &["backbone.causal=false", "backbone.pool=max"]].concat());
    holds::<Ts2vec>(&[&TCN[..], &ONE, &["method.most_steps=9"]].concat());
}

#[test]
fn a_dilated_convolution_is_one_with_zeros_between_its_taps() {
    let mut rng = StreamRng::new(1, Purpose::Survey, 0, 0, 0);
    let mut tensor = |shape: [usize; 4]| -> Tensor<4> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    };
    for (steps, kernel, before, dilation) in [(23, 3, 2, 4), (24, 3, 1, 4), (5, 2, 1, 8), (17, 4, 2, 3)] {
        let (x, weight) = (tensor([2, 1, steps, 3]), tensor([1, kernel, 3, 5]));
        let span = Span { kernel, stride: 1, before, after: kernel - 1 - before };
        let dilated = ops::conv2d(x.clone(), weight.clone(), Window::in_time(span).dilated(dilation));
        let zeros = Tensor::zeros([1, dilation - 1, 3, 5], &Device::flex());
        let taps = (0..kernel).flat_map(|tap| [weight.clone().slice([0..1, tap..tap + 1]), zeros.clone()]);
        let spread = Tensor::cat(taps.take(2 * kernel - 1).collect(), 1);
        let span = Span {
            kernel: (kernel - 1) * dilation + 1,
            stride: 1,
            before: before * dilation,
            after: span.after * dilation,
        };
        let (dilated, spread) = (to_vec(dilated), to_vec(ops::conv2d(x, spread, Window::in_time(span))));
        assert!(worst(&dilated, &spread) <= 1e-5 * largest(&spread), "{steps} {kernel} {dilation}");
    }
}

#[test]
fn a_causal_network_does_not_look_ahead() {
    let (whole, cut) = (views(&[(0, 40)], STEPS, 0), views(&[(0, 40)], STEPS, 0).slice([0..1, 0..1, 0..24]));
    let (tcn, cpc) = (built("tcn", BACKBONES[5].1), built("cpc_encoder", BACKBONES[10].1));
    let steps =
        |x: Tensor<4>| to_vec(tcn.downcast_ref::<Tcn>().unwrap().steps(x, &Lengths::WHOLE, None, &Pass::evaluate()));
    let contexts = |x: Tensor<4>| {
        let network = cpc.downcast_ref::<CpcEncoder>().unwrap();
        to_vec(network.contexts(network.codes(x, &Lengths::WHOLE, &Pass::evaluate()).0))
    };
    for (of, name) in [(&steps as &dyn Fn(Tensor<4>) -> Vec<f32>, "tcn"), (&contexts, "cpc_encoder")] {
        let (all, first) = (of(whole.clone()), of(cut.clone()));
        assert!(worst(&all[..first.len()], &first) <= 1e-5 * largest(&first), "{name}");
    }
}

fn scalar(loss: &objective::LossTerms, term: &str) -> f64 {
    let (_, value) = loss.terms.iter().find(|(name, _)| *name == term).unwrap();
    f64::from(value.clone().into_scalar::<f32>())
}

#[test]
fn what_codes_and_contexts_have_in_common_is_never_more_than_log_n() {
    let (batch, steps, width) = (4, 6, 24);
    // Codes that nobody can mistake for each other, and predictions that are right and sure of it.
    let unit: Vec<f32> = (0..24 * 24).map(|i| if i / 24 == i % 24 { 1.0 } else { 0.0 }).collect();
    let codes = Tensor::<3>::from_data(TensorData::new(unit, [batch, steps, width]), &Device::flex());
    for negatives in [Negatives::Batch, Negatives::Sequence, Negatives::Both] {
        let bound = (negatives.candidates(batch, steps) as f64).ln();
        for sure in [0.0f32, 1.0, 30.0] {
            let right: Vec<_> = (1..3).map(|k| codes.clone().slice([0..batch, k..steps]) * sure).collect();
            let found = scalar(&objective::cpc(&codes, &right, &[6; 4], negatives), "mutual_information");
            assert!(found <= bound + 1e-6, "{found} of {bound}");
            match sure {
                0.0 => assert!(found.abs() < 1e-5, "nothing is known: {found}"),
                30.0 => assert!(bound - found < 1e-5, "all is known: {found} of {bound}"),
                _ => assert!(found > 0.1, "{found}"),
            }
        }
    }
}

#[test]
fn equal_representations_give_the_logarithms_of_the_candidates() {
    let same = Tensor::<3>::ones([4, 8, 3], &Device::flex());
    let loss = objective::ts2vec(same.clone(), same, &Lengths::WHOLE, 0.5);
    let [instance, temporal] = ["instance", "temporal"].map(|term| scalar(&loss, term));
    let expected = [16, 8, 4].map(|both| (both as f64 - 1.0).ln()).iter().sum::<f64>() / 4.0;
    assert!((instance - 7f64.ln()).abs() < 1e-5 && (temporal - expected).abs() < 1e-5, "{instance} {temporal}");
}

#[test]
fn methods_for_signals_say_what_they_work_with() {
    let refused = |more: &[&str]| {
        let mut arguments: Vec<String> =
            ["data=unused", "data.kind=folder", "data.modality=signal", "data.labels=none"]
                .into_iter()
                .chain([
                    "data.fingerprint=none",
                    "data.channels=1",
                    "data.size=40",
                    "data.mean=[0.0]",
                    "data.std=[1.0]",
                ])
                .map(str::to_owned)
                .collect();
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        Catalogue::default().plan_as_stated(None, &arguments).expect_err("refused").to_string()
    };
    for (more, expected) in [
        (
            &["method=cpc", "backbone=tcn"][..],
            "method.name = \"cpc\" works with backbone.name = \"cpc_encoder\", received tcn",
        ),
        (&["method=ts2vec", "backbone=cpc_encoder"], "works with backbone.name = \"tcn\", received cpc_encoder"),
        (&["method=masked_autoencoder", "backbone=tcn"], "use transformer1d, by backbone=transformer1d"),
        (&["method=cpc", "backbone=cpc_encoder", "method.future_steps=10"], "which has 10 codes; expected 1 to 9"),
        (&["method=simclr", "backbone=resnet18"], "resnet18 is not for signals"),
        (&["method=rotation", "backbone=tcn"], "rotation is for images"),
    ] {
        let error = refused(&[more, &ONE].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
    }
}

/// 40 series of two kinds and of 20 to 40 steps, of two channels.
fn series(folder: &Path) -> String {
    let mut rng = StreamRng::new(5, Purpose::Survey, 0, 0, 0);
    let mut text =
        "@problemName waves\n@univariate false\n@dimensions 2\n@classLabel true slow fast\n@data\n".to_owned();
    for row in 0..40 {
        let (length, speed) = (20 + rng.below(21), if row % 2 == 0 { 0.2 } else { 0.7 });
        for _ in 0..2 {
            let values: Vec<String> =
                (0..length).map(|t| format!("{:.4}", (speed * t as f32).sin() + 0.3 * rng.normal())).collect();
            write!(text, "{}:", values.join(",")).unwrap();
        }
        writeln!(text, "{}", ["slow", "fast"][row % 2]).unwrap();
    }
    let path = folder.join("waves.ts");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// What a method needs to train on these series.
fn needs(method: &str, source: &str) -> Vec<String> {
    let own: Vec<&str> = match method {
        "cpc" => [&CPC[..], &ONE].concat(),
        "ts2vec" => [&TCN[..], &ONE].concat(),
        "masked_autoencoder" => {
            [&TRANSFORMER[..], &ONE, &["method.decoder_width=8", "method.decoder_heads=2"]].concat()
        }
        "denoising_autoencoder" => [&MICRO[..2], &ONE].concat(),
        "moco" | "nnclr" => [&MICRO[..], &["method.queue=16"]].concat(),
        "swav" => [&MICRO[..], &["method.prototypes=4"]].concat(),
        "dino" => [&MICRO[..], &["method.prototypes=12"]].concat(),
        "clusterfit" => [&MICRO[..], &[source, "method.clusters=4"]].concat(),
        _ => MICRO.to_vec(),
    };
    own.into_iter().map(str::to_owned).collect()
}

/// A plan of a method for the series, in a run folder of that name; ClusterFit learns from the run `simclr-whole`.
pub fn plan_for_series(folder: &Path, run: &str, method: &str, more: &[&str]) -> Planned {
    let source = format!("method.source={}", folder.join("simclr-whole").display());
    let own = [
        format!("data={}", series(folder)),
        format!("out={}", folder.join(run).display()),
        format!("method={method}"),
        "projector.hidden=8".into(),
        "projector.out=6".into(),
        "epochs=3".into(),
        "batch_size=8".into(),
        "train.checkpoint_steps=4".into(),
    ];
    let more = more.iter().map(|&word| word.to_owned()).collect();
    let arguments = [needs(method, &source), own.to_vec(), more].concat();
    Catalogue::default().plan(None, &arguments).unwrap_or_else(|error| panic!("{method}: {error}"))
}

#[test]
fn every_method_for_signals_resumes_bit_by_bit_with_any_threads() {
    let folder = tempfile::tempdir().unwrap();
    for (index, entry) in METHODS.iter().filter(|entry| entry.modalities.contains(&Modality::Signal)).enumerate() {
        let (name, chunk) = (entry.name, ["chunk_size=8", "chunk_size=3"][index % 2]);
        let run = |run: &str, own: &[&str]| {
            plan_for_series(folder.path(), &format!("{name}-{run}"), name, &[&[chunk], own].concat())
        };
        let (whole, parts) =
            (run("whole", &["threads=1"]), run("parts", &["threads=3", "train.checkpoint_activations=true"]));
        assert_eq!((whole.plan.data.modality, whole.plan.data.size.height), (Modality::Signal, 1));
        train(&whole.plan, &whole.dataset);
        train_to(&parts.plan, &parts.dataset, 6);
        train(&parts.plan, &parts.dataset);
        assert_eq!(losses(&whole.plan), losses(&parts.plan), "{name}");
        assert!(losses(&whole.plan).iter().all(|(_, total, _)| total.parse::<f64>().unwrap().is_finite()), "{name}");
        assert!(encoder(&whole.plan) == encoder(&parts.plan), "{name}");
    }
}
