//! The 7×7 depthwise convolution beside the tensor library's own, in turn: `depthwise ROUNDS [THREADS]`. Prints the milliseconds of the
//! fastest of each, forward alone and with its backward pass, and how many times as long the library takes.

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use selfsame::tensor::ops;
use std::time::Instant;

/// Batch, side, channels: the stages of ConvNeXt-Tiny at 224 px, and the first of the micro network at 32 px.
const SHAPES: [[usize; 3]; 5] = [[8, 56, 96], [8, 28, 192], [8, 14, 384], [8, 7, 768], [64, 16, 32]];

type Convolution = fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;

/// The library's own, between its layout and ours.
fn library(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [channels] = bias.dims();
    let options = ConvOptions::new([1; 2], [3; 2], [1; 2], channels);
    conv2d(x.permute([0, 3, 1, 2]), weight.permute([3, 2, 0, 1]), Some(bias), options).permute([0, 2, 3, 1])
}

/// The same on maps whose channels come first already, as the library would have them throughout.
fn library_alone(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [channels] = bias.dims();
    conv2d(x, weight, Some(bias), ConvOptions::new([1; 2], [3; 2], [1; 2], channels))
}

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rounds = arguments.first().copied().unwrap_or(10);
    let threads = arguments.get(1).copied().unwrap_or(0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        for [batch, side, channels] in SHAPES {
            let last = [[batch, side, side, channels], [7, 7, 1, channels]];
            let first = [[batch, channels, side, side], [channels, 1, 7, 7]];
            let all: [(Convolution, _); 3] = [(ops::depthwise, last), (library, last), (library_alone, first)];
            for with_backward in [false, true] {
                let mut fastest = [f64::INFINITY; 3];
                for _ in 0..rounds {
                    for (best, (convolution, shapes)) in fastest.iter_mut().zip(all) {
                        *best = best.min(milliseconds(convolution, shapes, channels, with_backward));
                    }
                }
                let [ours, theirs, alone] = fastest;
                println!(
                    "{batch}×{side}×{side}×{channels}{}: {ours:.2} ms, library {theirs:.2} ms ({:.1}×), in its layout {alone:.2} ms ({:.1}×)",
                    if with_backward { ", with backward" } else { "" },
                    theirs / ours,
                    alone / ours
                );
            }
        }
    });
}

fn milliseconds(convolution: Convolution, [x, weight]: [[usize; 4]; 2], channels: usize, with_backward: bool) -> f64 {
    let device = if with_backward { Device::flex().autodiff() } else { Device::flex() };
    let leaf = |tensor: Tensor<4>| if with_backward { tensor.require_grad() } else { tensor };
    let [x, weight] = [x, weight].map(|shape| leaf(Tensor::random(shape, Distribution::Default, &device)));
    let bias = Tensor::<1>::zeros([channels], &device);
    let started = Instant::now();
    let y = convolution(x, weight, bias);
    if with_backward {
        let gradients = y.sum().backward();
        std::hint::black_box(&gradients);
    } else {
        std::hint::black_box(y.into_data());
    }
    1e3 * started.elapsed().as_secs_f64()
}
