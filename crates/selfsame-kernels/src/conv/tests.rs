//! Every algorithm on every instruction set against a direct f64 reference, and what must hold between the three passes.

use super::*;
use proptest::prelude::*;

/// The definition in f64: `y`, `dx`, `dw` of `x`, `w`, `dy`.
fn reference(conv: &ConvShape, x: &[f32], w: &[f32], dy: &[f32]) -> [Vec<f64>; 3] {
    let (ci, co, [height, width]) = (conv.channels_in, conv.channels_out, [conv.y.kernel, conv.x.kernel]);
    let (out_height, out_width) = (conv.out_height(), conv.out_width());
    let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|len| vec![0.0; len]);
    for n in 0..conv.batch {
        for (i, j) in (0..out_height).flat_map(|i| (0..out_width).map(move |j| (i, j))) {
            for (ky, kx) in (0..height).flat_map(|ky| (0..width).map(move |kx| (ky, kx))) {
                let row = (i * conv.y.stride + ky).wrapping_sub(conv.y.before);
                let column = (j * conv.x.stride + kx).wrapping_sub(conv.x.before);
                if row >= conv.height || column >= conv.width {
                    continue;
                }
                let input = ((n * conv.height + row) * conv.width + column) * ci;
                let output = ((n * out_height + i) * out_width + j) * co;
                for c in 0..ci {
                    for o in 0..co {
                        let weight = ((ky * width + kx) * ci + c) * co + o;
                        let (value, grad) = (f64::from(x[input + c]), f64::from(dy[output + o]));
                        y[output + o] += value * f64::from(w[weight]);
                        dx[input + c] += grad * f64::from(w[weight]);
                        dw[weight] += value * grad;
                    }
                }
            }
        }
    }
    [y, dx, dw]
}

/// Values in −1..1 from a counter, by the SplitMix64 generator.
fn values(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64)
        .map(|i| {
            let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ z >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn operands(conv: &ConvShape) -> [Vec<f32>; 3] {
    [values(conv.input_len(), 1), values(conv.weight_len(), 2), values(conv.output_len(), 3)]
}

/// `y`, `dx`, `dw`, computed in a given way.
fn passes(by: By, conv: &ConvShape, [x, w, dy]: &[Vec<f32>; 3]) -> [Vec<f32>; 3] {
    // NaN shows what is not written.
    let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|len| vec![f32::NAN; len]);
    forward_by(by, conv, x, Weights::Plain(w), &mut y, Epilogue::None);
    let mut packed_y = vec![f32::NAN; dy.len()];
    let packed = PackedWeights::by(by, conv, w);
    forward_by(by, conv, x, Weights::Packed(&packed), &mut packed_y, Epilogue::None);
    assert!(y == packed_y, "{conv:?} by {by:?} with packed weights");
    input_grad_by(by, conv, dy, w, &mut dx, false);
    weight_grad_by(by, conv, x, dy, &mut dw);
    [y, dx, dw]
}

/// `max |a − b| / max |b|`.
fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    error_in(a, b, b)
}

/// `max |a − b| / max |unit|`.
fn error_in(a: &[f32], b: &[f64], unit: &[f64]) -> f64 {
    let largest = unit.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let error = a.iter().zip(b).fold(0.0, |m: f64, (&a, &b)| m.max((f64::from(a) - b).abs()));
    assert!(a.iter().all(|v| v.is_finite()));
    if largest == 0.0 { error } else { error / largest }
}

/// Every way to compute a convolution, with the error that it may have relative to the largest value of many, as operands are
/// uniform in −1..1.
fn ways(conv: &ConvShape) -> Vec<(By, f64)> {
    let three = conv.y.kernel == 3 && conv.y.stride == 1 && conv.y.before <= 2 && conv.y.before == conv.y.after;
    let bounds =
        [(Algorithm::Direct, [1e-5, 0.01]), (Algorithm::Winograd2, [1e-5, 0.02]), (Algorithm::Winograd4, [1e-4, 0.06])];
    let algorithms = if three && conv.y == conv.x { &bounds[..] } else { &bounds[..1] };
    Isa::available()
        .flat_map(|isa| algorithms.iter().map(move |&(algorithm, bounds)| (isa, algorithm, bounds)))
        .flat_map(|(isa, algorithm, bounds)| {
            let precisions = [Precision::F32, Precision::Bf16].into_iter().zip(bounds);
            precisions.map(move |(precision, bound)| (By { isa, precision, algorithm }, bound))
        })
        .collect()
}

fn check_against_reference(conv: &ConvShape) {
    let operands = operands(conv);
    let [x, w, dy] = &operands;
    let expected = reference(conv, x, w, dy);
    check(conv, &operands, &expected, &expected);
}

/// Errors relative to the largest of `units`, of `y`, `dx` and `dw`.
fn check(conv: &ConvShape, operands: &[Vec<f32>; 3], expected: &[Vec<f64>; 3], units: &[Vec<f64>; 3]) {
    for (by, tolerance) in ways(conv) {
        let received = passes(by, conv, operands);
        for (at, name) in ["y", "dx", "dw"].into_iter().enumerate() {
            let error = error_in(&received[at], &expected[at], &units[at]);
            assert!(error <= tolerance, "{name} of {conv:?} by {by:?}: {error:.1e}");
        }
    }
}

const fn conv(
    [batch, height, width]: [usize; 3],
    [channels_in, channels_out]: [usize; 2],
    [kernel, stride, padding]: [usize; 3],
) -> ConvShape {
    let span = Span::padded(kernel, stride, padding);
    ConvShape { batch, height, width, channels_in, channels_out, y: span, x: span }
}

/// Another kernel from top to bottom than from left to right, `[kernel, stride, padding]` each.
const fn oblong(
    [batch, height, width]: [usize; 3],
    [channels_in, channels_out]: [usize; 2],
    y: [usize; 3],
    x: [usize; 3],
) -> ConvShape {
    let (channels, square) =
        ([channels_in, channels_out], conv([batch, height, width], [channels_in, channels_out], x));
    ConvShape { y: conv([batch, height, width], channels, y).y, ..square }
}

/// All padding of both axes before the input: an output sees what is behind it.
const fn causal(conv: ConvShape) -> ConvShape {
    let (y, x) = (conv.y, conv.x);
    let y = Span { before: y.before + y.after, after: 0, ..y };
    ConvShape { y, x: Span { before: x.before + x.after, after: 0, ..x }, ..conv }
}

#[test]
fn shapes_of_networks_agree_with_the_definition() {
    for shape in [
        conv([2, 8, 8], [3, 16], [3, 1, 1]),                       // small stem
        conv([1, 17, 15], [3, 20], [7, 2, 3]),                     // ImageNet stem
        conv([2, 8, 8], [16, 32], [3, 2, 1]),                      // first block of a stage
        conv([2, 9, 7], [16, 32], [1, 2, 0]),                      // its shortcut
        conv([3, 5, 6], [32, 48], [1, 1, 0]),                      // bottleneck
        conv([1, 8, 8], [3, 32], [4, 4, 0]),                       // patch embedding
        conv([2, 6, 5], [16, 16], [5, 1, 2]),                      // wide kernel
        conv([3, 1, 1], [40, 17], [3, 1, 1]),                      // 1×1 map
        conv([1, 2, 9], [64, 64], [3, 1, 1]),                      // flat map
        conv([1, 4, 4], [16, 16], [3, 1, 0]),                      // no padding
        conv([1, 3, 4], [16, 16], [3, 1, 2]),                      // full padding
        conv([2, 5, 5], [8, 8], [2, 3, 0]),                        // inputs that no tap meets
        oblong([3, 1, 40], [3, 16], [1, 1, 0], [7, 2, 3]),         // stem of a signal
        oblong([2, 1, 33], [16, 24], [1, 1, 0], [3, 1, 1]),        // its blocks
        oblong([2, 1, 33], [32, 20], [1, 1, 0], [5, 2, 2]),        // its stages
        oblong([2, 1, 12], [1, 8], [1, 1, 0], [12, 1, 0]),         // all of it
        causal(oblong([2, 9, 4], [16, 24], [3, 1, 1], [1, 1, 0])), // a dilated signal
        oblong([1, 9, 12], [16, 16], [3, 1, 1], [5, 2, 0]),        // both axes, each its own way
        oblong([1, 9, 12], [4, 8], [2, 3, 0], [3, 1, 2]),          // inputs that no tap meets, along one axis
    ] {
        check_against_reference(&shape);
    }
}

#[test]
fn every_partition_agrees_with_the_definition() {
    // Winograd by points, in one and in several parts of the batch; by channels; direct weight gradient by rows.
    for shape in [
        conv([9, 24, 24], [8, 256], [3, 1, 1]),
        conv([5, 4, 4], [256, 24], [3, 1, 1]),
        conv([3, 6, 6], [256, 70], [3, 2, 1]),
    ] {
        check_against_reference(&shape);
    }
}

fn any_conv() -> impl Strategy<Value = ConvShape> {
    let kernel = || prop::sample::select(vec![[1, 0], [3, 1], [7, 3], [3, 0]]);
    let span = || (kernel(), 1..=2usize).prop_map(|([kernel, padding], stride)| [kernel, stride, padding]);
    // Half of them square, a quarter causal.
    let spans = (span(), span(), any::<bool>()).prop_map(|(y, x, square)| [y, if square { y } else { x }]);
    (1..=2usize, 1..=11usize, 1..=11usize, 1..=70usize, 1..=70usize, spans, 0..4usize).prop_filter_map(
        "the kernel must fit",
        |(batch, height, width, channels_in, channels_out, [y, x], way)| {
            let work = height * width * channels_in * channels_out * y[0] * x[0] * batch;
            let fits = height + 2 * y[2] >= y[0] && width + 2 * x[2] >= x[0] && work < 4_000_000;
            let shape = || oblong([batch, height, width], [channels_in, channels_out], y, x);
            fits.then(|| if way == 0 { causal(shape()) } else { shape() })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_agrees_with_the_definition(conv in any_conv()) {
        let operands = operands(&conv);
        let [x, w, dy] = &operands;
        // Of a few sums, the largest may be next to nothing where products cancel; their sizes do not.
        let [x_size, w_size, dy_size] = operands.each_ref().map(|v| v.iter().map(|v| v.abs()).collect::<Vec<f32>>());
        let sizes = reference(&conv, &x_size, &w_size, &dy_size);
        check(&conv, &operands, &reference(&conv, x, w, dy), &sizes);
    }

    /// ⟨conv(x, w), dy⟩ = ⟨x, input_grad(dy, w)⟩ = ⟨w, weight_grad(x, dy)⟩.
    #[test]
    fn the_gradients_are_adjoint(conv in any_conv()) {
        let operands = operands(&conv);
        let [x, w, dy] = &operands;
        let dot = |a: &[f32], b: &[f32]| -> (f64, f64) {
            let products = || a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
            (products().sum(), products().map(f64::abs).sum())
        };
        let [y, dx, dw] = passes(By::active(&conv), &conv, &operands);
        let (from_y, size) = dot(&y, dy);
        for (product, _) in [dot(x, &dx), dot(w, &dw)] {
            prop_assert!((product - from_y).abs() <= 1e-5 * size, "{} and {} for {:?}", product, from_y, conv);
        }
    }

    #[test]
    fn input_gradients_accumulate(conv in any_conv()) {
        let [x, w, dy] = &operands(&conv);
        for (by, _) in ways(&conv) {
            let (mut fresh, mut added) = (vec![f32::NAN; x.len()], x.clone());
            input_grad_by(by, &conv, dy, w, &mut fresh, false);
            input_grad_by(by, &conv, dy, w, &mut added, true);
            let expected: Vec<f64> = x.iter().zip(&fresh).map(|(&x, &dx)| f64::from(x) + f64::from(dx)).collect();
            prop_assert!(relative_error(&added, &expected) <= 1e-6);
        }
    }

    #[test]
    fn activations_are_those_of_the_output(conv in any_conv(), relu: bool, with_residual: bool) {
        let [x, w, dy] = operands(&conv);
        let (bias, residual) = (values(conv.channels_out, 4), values(dy.len(), 5));
        let residual = with_residual.then_some(&residual[..]);
        {
            for (by, _) in ways(&conv) {
                let (mut y, mut plain) = (dy.clone(), dy.clone());
                forward_by(by, &conv, &x, Weights::Plain(&w), &mut plain, Epilogue::None);
                let activate = Activate { bias: &bias, residual, relu };
                forward_by(by, &conv, &x, Weights::Plain(&w), &mut y, Epilogue::Activate(activate));
                for (i, (y, plain)) in y.iter().zip(&plain).enumerate() {
                    let value = plain + bias[i % conv.channels_out] + residual.map_or(0.0, |residual| residual[i]);
                    prop_assert_eq!(*y, if relu { value.max(0.0) } else { value });
                }
            }
        }
    }

    #[test]
    fn moments_are_those_of_the_output(conv in any_conv()) {
        let [x, mut w, dy] = operands(&conv);
        // A common sign of products moves the means away from 0.
        let x: Vec<f32> = x.iter().map(|x| x.abs() + 1.0).collect();
        w.iter_mut().for_each(|w| *w = w.abs());
        {
            for (by, _) in ways(&conv) {
                let (mut y, mut moments) = (dy.clone(), ChannelMoments::new(conv.channels_out));
                forward_by(by, &conv, &x, Weights::Plain(&w), &mut y, Epilogue::Moments(&mut moments));
                let mut plain = dy.clone();
                forward_by(by, &conv, &x, Weights::Plain(&w), &mut plain, Epilogue::None);
                prop_assert_eq!(&plain, &y);
                let count = y.len() / conv.channels_out;
                prop_assert_eq!(moments.count(), count);
                for c in 0..conv.channels_out {
                    let column = || y.iter().skip(c).step_by(conv.channels_out).map(|&v| f64::from(v));
                    let mean = column().sum::<f64>() / count as f64;
                    let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / count as f64;
                    prop_assert!((moments.mean()[c] - mean).abs() <= 1e-6 * mean.abs());
                    prop_assert!((moments.variance()[c] - variance).abs() <= 1e-5 * variance + 1e-13 * mean * mean);
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let shapes = [
        conv([7, 12, 12], [32, 32], [3, 1, 1]),
        conv([3, 12, 12], [80, 80], [3, 1, 1]),
        conv([9, 24, 24], [8, 256], [3, 1, 1]),
        conv([5, 4, 4], [256, 64], [3, 1, 1]),
        conv([6, 16, 16], [32, 48], [3, 2, 1]),
        conv([6, 8, 8], [256, 128], [3, 2, 1]),
        conv([9, 28, 28], [1, 16], [3, 1, 1]),
    ];
    for shape in shapes {
        let operands = operands(&shape);
        let all = || {
            let mut moments = ChannelMoments::new(shape.channels_out);
            let mut y = vec![0.0; shape.output_len()];
            forward(&shape, &operands[0], Weights::Plain(&operands[1]), &mut y, Epilogue::Moments(&mut moments));
            let rounded = By { precision: Precision::Bf16, ..By::active(&shape) };
            (passes(By::active(&shape), &shape, &operands), passes(rounded, &shape, &operands), y, moments)
        };
        let pools = [1, 2, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
        let [one, two, three] = pools.map(|pool| pool.install(all));
        assert!(one == two && one == three, "{shape:?}");
    }
}

#[test]
fn the_algorithm_follows_the_map() {
    let of = |side, channels| Algorithm::of(&conv([1, side, side], [channels, channels], [3, 1, 1]), 4);
    assert_eq!(
        [of(1, 64), of(4, 64), of(14, 64), of(28, 64)],
        [Algorithm::Direct, Algorithm::Direct, Algorithm::Winograd2, Algorithm::Winograd4]
    );
    assert_eq!(of(32, 3), Algorithm::Direct);
    assert_eq!(Algorithm::of(&conv([1, 8, 8], [64, 64], [3, 2, 1]), 4), Algorithm::Direct);
    // The weights' points are read once for all images.
    let of = |batch, side| Algorithm::of(&conv([batch, side, side], [64, 64], [3, 1, 1]), 4);
    assert_eq!([of(64, 2), of(64, 4)], [Algorithm::Winograd2, Algorithm::Winograd4]);
}

#[test]
fn accuracy_can_be_asked_for() {
    assert_eq!(Algorithm::of(&conv([1, 32, 32], [64, 64], [3, 1, 1]), 2), Algorithm::Winograd2);
    assert_eq!([choose_tile(None), choose_tile(Some("4")), choose_tile(Some("2"))], [Ok(4), Ok(4), Ok(2)]);
    assert!(choose_tile(Some("6")).unwrap_err().to_string().contains("SELFSAME_WINOGRAD=6: expected 4"));
}

#[test]
fn an_empty_batch_has_no_output_and_no_gradient() {
    let shape = conv([0, 8, 8], [16, 16], [3, 1, 1]);
    let w = values(shape.weight_len(), 1);
    let mut dw = vec![1.0; w.len()];
    forward(&shape, &[], Weights::Plain(&w), &mut [], Epilogue::None);
    input_grad(&shape, &[], &w, &mut [], false);
    weight_grad(&shape, &[], &[], &mut dw);
    assert!(dw.iter().all(|&v| v == 0.0));
}

#[test]
#[should_panic(expected = "output [2, 4, 4, 5], that is 96, 135 and 160 values; received 96, 135 and 159")]
fn a_wrong_length_names_the_shapes() {
    let shape = conv([2, 4, 4], [3, 5], [3, 1, 1]);
    let [x, w, mut dy] = operands(&shape);
    forward(&shape, &x, Weights::Plain(&w), &mut dy[1..], Epilogue::None);
}
