//! Steps on random images, timed: our side of `benchmarks/pytorch/compare.py`. Prints one JSON object: milliseconds of each
//! step, and the peak memory.
//!
//! `workloads w1|w2|w3|infer STEPS [THREADS]`: W1 is a training step (forward, backward, SGD with momentum) of ResNet-18 with the
//! small stem at 32×32×3, batch 64; W2 of resnet_micro at 28×28×1, batch 256; W3 of vit_micro (192 wide, 6 blocks, patches of 4 px, mean
//! pooling) at 32×32×3, batch 64; each with a linear head of 128. `infer` is inference with ResNet-18 at 224×224×3, batch 32.

use burn::tensor::Device;
use selfsame::method::{Branch, BuildContext};
use selfsame::optim::{GradientMap, Optimiser};
use selfsame::tensor::layers::{Draws, Pass, update_running_statistics};
use selfsame::tensor::view_to_device;
use selfsame_data::config::Plan;
use selfsame_data::rng::{Purpose, StreamRng};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (backbone, size, channels, batch) = match arguments.first().map(String::as_str) {
        Some("w1") => ("resnet18", 32, 3, 64),
        Some("w2") => ("resnet_micro", 28, 1, 256),
        Some("w3") => ("vit_micro\", pool = \"mean", 32, 3, 64),
        Some("infer") => ("resnet18", 224, 3, 32),
        _ => panic!("usage: workloads w1|w2|w3|infer STEPS [THREADS]"),
    };
    let steps: usize = arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(10);
    let threads = arguments.get(2).and_then(|s| s.parse().ok()).unwrap_or(0);
    let text = format!(
        "data = {{ path = \"random\", channels = {channels}, size = {size} }}\nmethod = {{}}\n\
         backbone = {{ name = \"{backbone}\" }}\nprojector = {{ layers = 1, out = 128 }}"
    );
    let plan: Plan = toml::from_str(&text).expect("a valid plan");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let milliseconds = pool.install(|| {
        let mut rng = StreamRng::new(0, Purpose::Survey, 0, 0, 0);
        let pixels: Vec<f32> = (0..batch * size * size * channels).map(|_| rng.normal()).collect();
        let device = Device::flex().autodiff();
        let mut branch = BuildContext { plan: &plan, device: &device }.branch().expect("a valid plan");
        let mut optimiser = Optimiser::new(&plan.optimiser);
        let mut times = Vec::new();
        let inference = (size == 224).then(|| branch.encoder.for_inference());
        for _ in 0..steps + 3 {
            let (start, pixels, shape) = (Instant::now(), pixels.clone(), [size, size, channels]);
            match &inference {
                Some(encoder) => {
                    let h = encoder.forward(view_to_device(pixels, shape, &Device::flex()), &Pass::evaluate());
                    assert_eq!(h.dims(), [batch, encoder.width()]);
                }
                None => branch = step(branch, pixels, shape, &mut optimiser),
            }
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.split_off(3)
    });
    println!("{}", serde_json::json!({ "milliseconds": milliseconds, "peak_mb": peak_mb() }));
}

fn step(branch: Branch, pixels: Vec<f32>, shape: [usize; 3], optimiser: &mut Optimiser) -> Branch {
    let pass = Pass::train(Draws::new(0, 0, &(0..pixels.len() / shape.iter().product::<usize>()).collect::<Vec<_>>()));
    let view = view_to_device(pixels, shape, &Device::flex());
    let z = branch.forward(view, &pass);
    let loss = z.square().mean();
    let mut gradients = GradientMap::default();
    gradients.accumulate(&branch, &mut loss.backward());
    drop(loss);
    update_running_statistics(optimiser.update(branch, gradients, |_| 1e-3), pass.into_statistics())
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
