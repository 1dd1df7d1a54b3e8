//! Convolutions of the two reference networks: ResNet-18 with the small stem (batch 64, 32×32×3) and the micro-ResNet
//! 16-32-64 (batch 256, 28×28×1). `cargo bench --bench conv -- "64x32 64-64 k3s1"` measures one shape; throughput counts the
//! multiplications and additions of the definition, so Winograd's may exceed the machine's peak.

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use selfsame_kernels::{
    Buffer, Precision,
    conv::{self, ChannelMoments, ConvShape, Epilogue, Span, Weights},
};
use std::time::Duration;

/// Batch, side, input and output channels, kernel, stride.
const SHAPES: [[usize; 6]; 17] = [
    [64, 32, 64, 64, 3, 1],
    [64, 16, 128, 128, 3, 1],
    [64, 8, 256, 256, 3, 1],
    [64, 4, 512, 512, 3, 1],
    [256, 28, 16, 16, 3, 1],
    [256, 14, 32, 32, 3, 1],
    [256, 7, 64, 64, 3, 1],
    [64, 32, 3, 64, 3, 1],
    [64, 32, 64, 128, 3, 2],
    [64, 16, 128, 256, 3, 2],
    [64, 8, 256, 512, 3, 2],
    [64, 32, 64, 128, 1, 2],
    [64, 16, 128, 256, 1, 2],
    [64, 8, 256, 512, 1, 2],
    [256, 28, 1, 16, 3, 1],
    [256, 28, 16, 32, 3, 2],
    [256, 14, 32, 64, 3, 2],
];

/// Batch, steps in time, input and output channels, kernel, stride: the same of signals.
const SIGNALS: [[usize; 6]; 5] = [
    [64, 1024, 64, 64, 3, 1],
    [64, 1024, 64, 128, 3, 2],
    [64, 256, 256, 256, 3, 1],
    [64, 1024, 64, 64, 7, 1],
    [64, 1024, 3, 64, 7, 2],
];

/// Values in −1..1 without a pattern.
fn values(len: usize) -> Buffer {
    let mut buffer = Buffer::for_overwrite(len);
    let mut state = 1u32;
    for value in buffer.iter_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = state as f32 / (1u32 << 31) as f32 - 1.0;
    }
    buffer
}

fn shape(group: &mut BenchmarkGroup<WallTime>, conv: &ConvShape) {
    let (x, w, dy) = (values(conv.input_len()), values(conv.weight_len()), values(conv.output_len()));
    let (mut dx, mut dw, mut y) = (values(x.len()), values(w.len()), values(dy.len()));
    let mut moments = ChannelMoments::new(conv.channels_out);
    let products = dy.len() * conv.y.kernel * conv.x.kernel * conv.channels_in;
    group.throughput(Throughput::Elements(2 * products as u64));
    for (precision, name) in [(Precision::F32, ""), (Precision::Bf16, " bf16")] {
        group.bench_function(format!("forward{name}"), |b| {
            b.iter(|| {
                let epilogue = Epilogue::Moments(&mut moments);
                precision.within(|| conv::forward(conv, &x, Weights::Plain(&w), &mut y, epilogue));
            });
        });
        if conv.channels_in > 3 {
            group.bench_function(format!("input_grad{name}"), |b| {
                b.iter(|| precision.within(|| conv::input_grad(conv, &dy, &w, &mut dx, false)));
            });
        }
        group.bench_function(format!("weight_grad{name}"), |b| {
            b.iter(|| precision.within(|| conv::weight_grad(conv, &x, &dy, &mut dw)));
        });
    }
}

fn convolutions(criterion: &mut Criterion) {
    for [batch, side, channels_in, channels_out, kernel, stride] in SHAPES {
        let span = Span::padded(kernel, stride, kernel / 2);
        let conv = ConvShape { batch, height: side, width: side, channels_in, channels_out, y: span, x: span };
        let mut group =
            criterion.benchmark_group(format!("{batch}x{side} {channels_in}-{channels_out} k{kernel}s{stride}"));
        group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
        shape(&mut group, &conv);
    }
    for [batch, steps, channels_in, channels_out, kernel, stride] in SIGNALS {
        let (y, x) = (Span::padded(1, 1, 0), Span::padded(kernel, stride, kernel / 2));
        let conv = ConvShape { batch, height: 1, width: steps, channels_in, channels_out, y, x };
        let name = format!("{batch}x1x{steps} {channels_in}-{channels_out} k{kernel}s{stride}");
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
        shape(&mut group, &conv);
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
