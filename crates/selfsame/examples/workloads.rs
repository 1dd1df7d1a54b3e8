//! Steps on random images, timed: our side of `benchmarks/pytorch/compare.py`. Prints one JSON object: milliseconds of each
//! step, seconds of processor time of one, and the peak memory.
//!
//! `workloads w1|w2|w3|w4|w5|w6|w7|mae|infer-BACKBONE-BATCH STEPS [THREADS] [KEY=VALUE …]`: W1 is a training step (forward, backward,
//! SGD with momentum) of ResNet-18 with the small stem at 32×32×3, batch 64; W2 of resnet_micro at 28×28×1, batch 256; W3 of vit_micro
//! (192 wide, 6 blocks, patches of 4 px, mean pooling) at 32×32×3, batch 64; W4 of ResNet-50 and W5 of ViT-S/16 at 224×224×3, batch 32;
//! each with a linear head of 128. W6 and `mae` are steps of the masked autoencoder with the defaults, three quarters of the patches
//! removed, and the ViT of W5 and of W3. W7 is the training step of resnet1d_18 on signals of 1,000 steps and twelve channels, batch 64.
//! `infer-…` is inference at 224×224×3, as in `infer-resnet50-32`; of resnet_micro at 28×28×1. Further keys of a plan may be given. With
//! `SELFSAME_PROFILE=1` a table of where the time goes follows on standard error.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "nobody but a person who runs it reads along")]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use selfsame::backbone::Output;
use selfsame::batch::Batch;
use selfsame::catalogue::Catalogue;
use selfsame::inference::Inference;
use selfsame::method::{BuildContext, EmbedContext, Method};
use selfsame::methods::masked_autoencoder::{MaskedAutoencoder, MaskedAutoencoderSettings};
use selfsame::optim::{GradientMap, Optimizer};
use selfsame::plan::Plan;
use selfsame::progress::Progress;
use selfsame::tensor::layers::{Draws, Pass, update_running_statistics};
use selfsame::tensor::view_to_device;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Settings;
use selfsame_kernels::profile;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Steps that are not timed.
const WARM_UP: usize = 3;

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let workload = arguments.first().cloned().unwrap_or_default();
    let inference = workload.strip_prefix("infer-").and_then(|rest| rest.rsplit_once('-'));
    let (backbone, [height, width], channels, batch) = match workload.as_str() {
        "w1" => ("resnet18", [32; 2], 3, 64),
        "w2" => ("resnet_micro", [28; 2], 1, 256),
        "w3" | "mae" => ("vit_micro", [32; 2], 3, 64),
        "w4" => ("resnet50", [224; 2], 3, 32),
        "w5" | "w6" => ("vit_small", [224; 2], 3, 32),
        "w7" => ("resnet1d_18", [1, 1000], 12, 64),
        _ => match inference.and_then(|(backbone, batch)| Some((backbone, batch.parse().ok()?))) {
            Some(("resnet_micro", batch)) => ("resnet_micro", [28; 2], 1, batch),
            Some((backbone, batch)) => (backbone, [224; 2], 3, batch),
            None => {
                panic!("usage: workloads w1|w2|w3|w4|w5|w6|w7|mae|infer-BACKBONE-BATCH STEPS [THREADS] [KEY=VALUE …]")
            }
        },
    };
    let steps: usize = arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(10);
    let threads = arguments.get(2).and_then(|s| s.parse().ok()).unwrap_or(0);
    let keys = arguments.split_off(arguments.len().min(3));
    let masked = matches!(workload.as_str(), "w6" | "mae");
    let constants = |value: &str| vec![value; channels].join(", ");
    let mut arguments = vec![
        "data=random".to_owned(),
        "data.kind=folder".into(),
        "data.labels=none".into(),
        "data.fingerprint=random".into(),
        format!("data.channels={channels}"),
        format!("data.size=[{height}, {width}]"),
        format!("data.mean=[{}]", constants("0")),
        format!("data.std=[{}]", constants("1")),
        format!("backbone={backbone}"),
        format!("projector.layers={}", u8::from(!masked)),
        "projector.out=128".into(),
    ];
    if height == 1 {
        arguments.push("data.modality=signal".into());
    }
    if backbone.starts_with("vit") {
        arguments.push("backbone.pool=mean".into());
    }
    arguments.extend(keys);
    let plan = Catalogue::default().plan_as_stated(None, &arguments).expect("a valid plan");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let before = AtomicU64::new(0);
    let milliseconds = pool.install(|| {
        plan.train.within(|| {
            let mut rng = StreamRng::new(0, Purpose::Survey, 0, 0, 0);
            let pixels: Vec<f32> = (0..batch * height * width * channels).map(|_| rng.normal()).collect();
            let (device, shape) = (Device::flex().autodiff(), [height, width, channels]);
            let context = BuildContext { plan: &plan, device: &device, start: None };
            let view = || view_to_device(pixels.clone(), shape, &Device::flex());
            let timed = |step: &mut dyn FnMut(Tensor<4>)| -> Vec<f64> {
                let time = |index| {
                    if index == WARM_UP {
                        profile::take();
                        before.store(user_ticks(), Ordering::Relaxed);
                    }
                    let _phase = profile::phase("step");
                    let start = Instant::now();
                    step(view());
                    start.elapsed().as_secs_f64() * 1e3
                };
                (0..steps + WARM_UP).map(time).collect::<Vec<_>>().split_off(WARM_UP)
            };
            let branch = || context.branch().expect("a valid plan");
            match workload.as_str() {
                _ if inference.is_some() => {
                    let inference = Inference::new(&branch().encoder, plan.train.precision);
                    let read = inference.reader(Output::H).expect("every encoder has an h");
                    timed(&mut |view| {
                        assert_eq!(read(view).expect("h").dims(), [batch, inference.encoder().width()]);
                    })
                }
                _ if masked => {
                    let method = MaskedAutoencoder::build(&MaskedAutoencoderSettings::defaults(), &context);
                    let mut training = Training::new(method.expect("a valid plan"), &plan);
                    let progress = Progress { step: 0, steps: 1, steps_per_epoch: 1 };
                    timed(&mut |view| {
                        training.step(batch, |method, pass| {
                            let batch = Batch { views: vec![view.clone()], samples: (0..batch).collect() };
                            method.objective(&method.embed(&batch, &EmbedContext { pass, progress })).total
                        });
                    })
                }
                _ => {
                    let mut training = Training::new(branch(), &plan);
                    timed(&mut |view| {
                        training.step(batch, |branch, pass| branch.forward(view.clone(), pass).square().mean());
                    })
                }
            }
        })
    });
    if let Some(profile) = profile::take() {
        eprint!("{}", profile.table());
    }
    // The system counts in hundredths of a second.
    let user_s = (user_ticks() - before.into_inner()) as f64 / 100.0 / steps as f64;
    println!("{}", serde_json::json!({ "milliseconds": milliseconds, "user_s": user_s, "peak_mb": peak_mb() }));
}

/// A model and its optimizer.
struct Training<M> {
    model: Option<M>,
    optimizer: Optimizer,
}

impl<M: Module> Training<M> {
    fn new(model: M, plan: &Plan) -> Self {
        Self { model: Some(model), optimizer: Optimizer::new(&plan.optimizer) }
    }

    fn step(&mut self, batch: usize, loss: impl FnOnce(&M, &Pass) -> Tensor<1>) {
        let model = self.model.take().expect("put back after every step");
        let pass = Pass::train(Draws::new(0, 0, &(0..batch).collect::<Vec<_>>()));
        let loss = loss(&model, &pass);
        let mut gradients = GradientMap::default();
        gradients.accumulate(&model, &mut loss.backward());
        drop(loss);
        let model = self.optimizer.update(model, gradients, |_| 1e-3);
        self.model = Some(update_running_statistics(model, pass.into_statistics()));
    }
}

/// Ticks that this process has computed so far.
fn user_ticks() -> u64 {
    let status = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = status.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().nth(11).and_then(|ticks| ticks.parse().ok()).unwrap_or(0)
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
