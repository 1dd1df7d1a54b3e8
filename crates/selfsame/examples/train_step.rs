//! One training step (forward, backward, SGD with momentum) on random images, timed: our side of
//! `benchmarks/pytorch/compare.py`. Prints one JSON object: milliseconds of each step, and the peak memory.
//!
//! `train_step w1|w2 STEPS [THREADS]`: W1 is ResNet-18 with the small stem at 32×32×3, batch 64; W2 is resnet_micro at
//! 28×28×1, batch 256; both with a linear head of 128.

use burn::module::Module;
use burn::tensor::Device;
use selfsame::method::{Branch, BuildContext};
use selfsame::optim::{GradientMap, Optimiser};
use selfsame::tensor::layers::{Pass, update_running_statistics};
use selfsame::tensor::view_to_device;
use selfsame_data::config::Plan;
use selfsame_data::rng::{Purpose, StreamRng};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (backbone, size, channels, batch) = match arguments.first().map(String::as_str) {
        Some("w1") => ("resnet18", 32, 3, 64),
        Some("w2") => ("resnet_micro", 28, 1, 256),
        _ => panic!("usage: train_step w1|w2 STEPS [THREADS]"),
    };
    let steps: usize = arguments.get(1).and_then(|s| s.parse().ok()).unwrap_or(10);
    let threads = arguments.get(2).and_then(|s| s.parse().ok()).unwrap_or(0);
    let text = format!(
        "data = {{ path = \"random\", channels = {channels}, size = {size} }}\nmethod = {{}}\n\
         backbone = {{ name = \"{backbone}\", stem = \"small\" }}\nprojector = {{ layers = 1, out = 128 }}"
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
        for _ in 0..steps + 3 {
            let start = Instant::now();
            branch = step(branch, pixels.clone(), [size, size, channels], &mut optimiser);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        assert!(branch.num_params() > 0);
        times.split_off(3)
    });
    println!("{}", serde_json::json!({ "milliseconds": milliseconds, "peak_mb": peak_mb() }));
}

fn step(branch: Branch, pixels: Vec<f32>, shape: [usize; 3], optimiser: &mut Optimiser) -> Branch {
    let pass = Pass::train();
    let view = view_to_device(pixels, shape, &Device::flex());
    let z = branch.embed(vec![view], &pass).remove(0);
    let loss = z.square().mean();
    let mut gradients = GradientMap::default();
    gradients.accumulate(&branch, &mut loss.backward());
    drop(loss);
    update_running_statistics(optimiser.update(branch, gradients, 1e-3), pass.into_statistics())
}

fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kb| kb.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
