//! The passes around a convolution at the sizes of ResNet-18 on 32×32 images, batch 64, and of the micro-ResNet on 28×28,
//! batch 256. These passes are bound by memory: the throughput counts the bytes that a pass has to read and write.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use selfsame_kernels::{
    InOut,
    conv::{ChannelMoments, Span},
    matmul::{Matrix, matmul},
    norm::{
        Activation, BatchNorm, OutputGradient, add_bias, add_bias_backward, mask_words, normalize, normalize_backward,
    },
    optimize::{AdamW, Lars, MovingAverage, Sgd},
    pool::{MaxPool, global_average_pool, global_average_pool_backward},
};
use std::{hint::black_box, time::Duration};

/// `[pixels, channels]` of the feature maps.
const MAPS: [[usize; 2]; 5] =
    [[64 * 32 * 32, 64], [64 * 16 * 16, 128], [64 * 8 * 8, 256], [64 * 4 * 4, 512], [256 * 28 * 28, 16]];

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin()).collect()
}

/// Measures `pass`, which reads or writes `slices` times `len` floats.
fn measure(group: &mut BenchmarkGroup<WallTime>, name: &str, slices: f64, len: usize, mut pass: impl FnMut()) {
    group.throughput(Throughput::Bytes((slices * 4.0 * len as f64) as u64));
    group.bench_function(name, |bencher| bencher.iter(&mut pass));
}

fn norm(criterion: &mut Criterion) {
    const MASK: f64 = 1.0 / 32.0;
    for [pixels, channels] in MAPS {
        let len = pixels * channels;
        let group = &mut criterion.benchmark_group(format!("norm {pixels}x{channels}"));
        let (x, residual, dy) = (values(len), values(len), values(len));
        let (mut out, mut apart, mut mask) = (values(len), values(len), vec![0; mask_words(len)]);
        let (gamma, beta) = (values(channels), values(channels));
        let (mut dgamma, mut dbeta) = (values(channels), values(channels));
        measure(group, "moments", 1.0, len, || drop(black_box(ChannelMoments::of(&x, channels))));

        let moments = ChannelMoments::of(&x, channels);
        let norm = BatchNorm { moments: &moments, gamma: Some(&gamma), beta: Some(&beta), epsilon: 1e-5 };
        measure(group, "normalize, relu", 2.0 + MASK, len, || {
            normalize(&x, norm, None, Activation::ReluMask(&mut mask), &mut out);
        });
        measure(group, "normalize, residual, relu", 3.0 + MASK, len, || {
            normalize(&x, norm, Some(&residual), Activation::ReluMask(&mut mask), &mut out);
        });
        measure(group, "normalize backward", 5.0 + 2.0 * MASK, len, || {
            let (x, dy) = (InOut::Apart(&x, &mut out), OutputGradient::Read(&dy));
            normalize_backward(x, norm, dy, Some(&mask), &mut dgamma, &mut dbeta);
        });
        measure(group, "normalize backward, residual", 6.0 + 2.0 * MASK, len, || {
            let (x, dy) = (InOut::Apart(&x, &mut out), OutputGradient::Write(&dy, &mut apart));
            normalize_backward(x, norm, dy, Some(&mask), &mut dgamma, &mut dbeta);
        });
        out.copy_from_slice(&x);
        apart.copy_from_slice(&dy);
        measure(group, "normalize backward, residual, in place", 6.0 + 2.0 * MASK, len, || {
            let (x, dy) = (InOut::InPlace(&mut out), OutputGradient::Mask(&mut apart));
            normalize_backward(x, norm, dy, Some(&mask), &mut dgamma, &mut dbeta);
        });
        measure(group, "bias, relu, in place", 2.0 + MASK, len, || {
            add_bias(InOut::InPlace(&mut out), &beta, None, Activation::ReluMask(&mut mask));
        });
        measure(group, "bias backward, in place", 2.0 + MASK, len, || {
            add_bias_backward(OutputGradient::Mask(&mut apart), Some(&mask), &mut dbeta);
        });
    }
}

fn pool(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("pool");
    let (x, mut out) = (values(64 * 16 * 512), values(64 * 512));
    measure(group, "average 64x4x4x512", 1.0, x.len(), || global_average_pool(&x, 512, &mut out));
    let mut dx = values(x.len());
    measure(group, "average backward 64x4x4x512", 1.0, x.len(), || global_average_pool_backward(&out, 512, &mut dx));
    let window = Span::padded(3, 2, 1);
    let shape = MaxPool { batch: 8, height: 112, width: 112, channels: 64, y: window, x: window };
    let (x, len) = (values(8 * 112 * 112 * 64), 8 * 56 * 56 * 64);
    let (mut out, mut argmax, mut dx) = (values(len), vec![0; len], values(x.len()));
    measure(group, "max 8x112x112x64", 1.25, x.len(), || shape.forward(&x, &mut out, Some(&mut argmax)));
    measure(group, "max backward 8x112x112x64", 1.25, x.len(), || shape.backward(&out, &argmax, &mut dx));
}

fn optimize(criterion: &mut Criterion) {
    // The largest weight of ResNet-18.
    let len = 3 * 3 * 512 * 512;
    let group = &mut criterion.benchmark_group("optimize 3x3x512x512");
    let (mut p, g, mut m, mut v, mut teacher) = (values(len), values(len), values(len), values(len), values(len));
    let sgd = Sgd { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 };
    measure(group, "sgd", 5.0, len, || sgd.step(&mut p, &g, &mut m));
    measure(group, "moving average", 3.0, len, || MovingAverage { teacher: &mut teacher, decay: 0.99 }.follow(&p));
    let lars = Lars { sgd, trust: 1e-3 };
    measure(group, "lars", 7.0, len, || lars.step(&mut p, &g, &mut m));
    let adam = AdamW { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 };
    measure(group, "adamw", 7.0, len, || adam.step(1000, &mut p, &g, [&mut m, &mut v]));
}

fn products(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("matmul");
    // Similarities of NT-Xent (512 embeddings of 128), cross-correlation of Barlow Twins (batch 256, 1024 wide), a linear
    // layer, and a square product to compare with other libraries.
    for [rows, inner, columns] in [[512, 128, 512], [1024, 256, 1024], [128, 512, 2048], [1024, 1024, 1024]] {
        let (a, b, mut out) = (values(rows * inner), values(inner * columns), values(rows * columns));
        group.throughput(Throughput::Elements((2 * rows * inner * columns) as u64));
        for transposed in [false, true] {
            let name = format!("{rows}x{inner}x{columns}{}", if transposed { ", b transposed" } else { "" });
            group.bench_function(name, |bencher| {
                let a = Matrix::new(&a, [rows, inner]);
                let b = match transposed {
                    false => Matrix::new(&b, [inner, columns]),
                    true => Matrix::new(&b, [columns, inner]).transposed(),
                };
                bencher.iter(|| matmul(a, b, &mut out));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(600));
    targets = norm, pool, optimize, products
}
criterion_main!(benches);
