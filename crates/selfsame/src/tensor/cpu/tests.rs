//! Every operation against the tensor library's own, in value and in gradient.

use super::graph::Tracked;
use super::values::{contiguous, values};
use crate::tensor::ops::{Candidates, EncoderOps, Residual, Span, Window, portable};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::Device;
use burn::backend::{Autodiff, AutodiffBackend, Flex, TensorMetadata};
use burn::tensor::{Shape, TensorData};
use selfsame_base::rng::{Purpose, StreamRng};

type Ours = Autodiff<Flex>;

fn tensor(stream: u64, shape: &[usize]) -> Tracked {
    let mut rng = StreamRng::new(0, Purpose::Survey, stream, 0, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let device: Device<Ours> = Default::default();
    Ours::float_from_data(TensorData::new(values, Shape::from(shape.to_vec())), &device)
}

fn floats(tensor: FlexTensor) -> Vec<f32> {
    values(&contiguous(tensor)).to_vec()
}

/// Value of `operation`, and the gradients of a weighted sum of it with respect to every input.
fn run(shapes: &[&[usize]], operation: &dyn Fn(&[Tracked]) -> Tracked) -> Vec<Vec<f32>> {
    let inputs: Vec<Tracked> =
        (1..).zip(shapes).map(|(stream, shape)| Ours::float_set_require_grad(tensor(stream, shape), true)).collect();
    let y = operation(&inputs);
    let shape = y.shape();
    let loss = Ours::float_sum(Ours::float_mul(y.clone(), tensor(0, &shape)));
    let gradients = Ours::backward(loss);
    let of_inputs = inputs.iter().map(|x| floats(Ours::grad(x, &gradients).expect("a gradient")));
    std::iter::once(floats(y.into_primitive())).chain(of_inputs).collect()
}

fn agree(
    name: &str,
    shapes: &[&[usize]],
    ours: &dyn Fn(&[Tracked]) -> Tracked,
    theirs: &dyn Fn(&[Tracked]) -> Tracked,
) {
    for (index, (ours, theirs)) in run(shapes, ours).iter().zip(run(shapes, theirs)).enumerate() {
        let largest = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let worst = ours.iter().zip(&theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(ours.len() == theirs.len() && largest > 0.0, "{name}: {index}");
        assert!(worst <= 1e-4 * largest, "{name}, {index}: off by {worst:e} of {largest:e}");
    }
}

#[test]
fn kernels_agree_with_the_tensor_library() {
    let (x, window): (&[usize], _) = (&[3, 7, 6, 16], Window::square(3, 1, 1));
    let (weight, y, channels): (&[usize], &[usize], &[usize]) = (&[3, 3, 16, 20], &[3, 7, 6, 20], &[20]);
    agree("convolution", &[x, weight], &|t| Ours::convolution(t[0].clone(), t[1].clone(), window), &|t| {
        portable::conv2d::<Ours>(t[0].clone(), t[1].clone(), window)
    });
    let shapes: [&[usize]; 3] = [&[3, 9, 6, 20], &[7, 7, 1, 20], &[20]];
    agree("depthwise", &shapes, &|t| Ours::depthwise(t[0].clone(), t[1].clone(), t[2].clone()), &|t| {
        portable::depthwise::<Ours>(t[0].clone(), t[1].clone(), t[2].clone())
    });
    for relu in [false, true] {
        for with_residual in [false, true] {
            let residual = |t: &Tracked| if with_residual { Residual::Add(t.clone()) } else { Residual::None };
            let shapes: &[&[usize]] = &[x, weight, channels, y];
            let shapes = if with_residual { shapes } else { &shapes[..3] };
            let last = shapes.len() - 1;
            agree(
                "convolution_act",
                shapes,
                &|t| Ours::convolution_act(t[0].clone(), t[1].clone(), t[2].clone(), residual(&t[last]), relu, window),
                &|t| {
                    let y = portable::conv2d::<Ours>(t[0].clone(), t[1].clone(), window);
                    portable::bias_act::<Ours>(y, t[2].clone(), residual(&t[last]), relu)
                },
            );
            let shapes: &[&[usize]] = &[y, channels, channels, y];
            let shapes = if with_residual { shapes } else { &shapes[..3] };
            let last = shapes.len() - 1;
            agree(
                "batch_norm_act",
                shapes,
                &|t| {
                    let (mean, variance) = Ours::moments(t[0].clone());
                    let (scale, shift) = (t[1].clone(), t[2].clone());
                    Ours::batch_norm_act(t[0].clone(), mean, variance, scale, shift, residual(&t[last]), relu)
                },
                &|t| {
                    let (mean, variance) = portable::moments::<Ours>(t[0].clone());
                    let (scale, shift) = (t[1].clone(), t[2].clone());
                    portable::batch_norm_act::<Ours>(
                        t[0].clone(),
                        mean,
                        variance,
                        scale,
                        shift,
                        residual(&t[last]),
                        relu,
                    )
                },
            );
        }
    }
    let causal = Window::in_time(Span { kernel: 4, stride: 2, before: 3, after: 1 });
    agree(
        "causal convolution",
        &[&[3, 1, 9, 16], &[1, 4, 16, 20]],
        &|t| Ours::convolution(t[0].clone(), t[1].clone(), causal),
        &|t| portable::conv2d::<Ours>(t[0].clone(), t[1].clone(), causal),
    );
    let pooling = Window::square(3, 2, 1);
    agree("max_pool", &[x], &|t| Ours::max_pool(t[0].clone(), pooling), &|t| {
        portable::max_pool::<Ours>(t[0].clone(), pooling)
    });
    agree("mean_pool", &[x], &|t| Ours::mean_pool(t[0].clone()), &|t| portable::mean_pool::<Ours>(t[0].clone()));
    let (tokens, dim, wide): (&[usize], &[usize], &[usize]) = (&[2, 5, 12], &[12], &[12, 20]);
    agree("layer_norm", &[tokens, dim, dim], &|t| Ours::layer_norm(t[0].clone(), t[1].clone(), t[2].clone()), &|t| {
        portable::layer_norm::<Ours>(t[0].clone(), t[1].clone(), t[2].clone())
    });
    for with_residual in [false, true] {
        let residual = |t: Option<&Tracked>| t.map_or(Residual::None, |t| Residual::Add(t.clone()));
        let shapes: &[&[usize]] = &[tokens, wide, &[20], &[2, 5, 20]];
        agree(
            "linear",
            &shapes[..3 + usize::from(with_residual)],
            &|t| Ours::linear(t[0].clone(), t[1].clone(), t[2].clone(), residual(t.get(3))),
            &|t| portable::linear::<Ours>(t[0].clone(), t[1].clone(), t[2].clone(), residual(t.get(3))),
        );
        let shapes: &[&[usize]] = &[tokens, wide, &[20], &[20, 12], dim, tokens];
        let mlp = [Ours::mlp, portable::mlp::<Ours>];
        let [ours, theirs] = mlp.map(|mlp: fn(_, _, _, _, _, _) -> _| {
            move |t: &[Tracked]| {
                let residual = residual(t.get(5));
                mlp(t[0].clone(), t[1].clone(), t[2].clone(), t[3].clone(), t[4].clone(), residual)
            }
        });
        agree("mlp", &shapes[..5 + usize::from(with_residual)], &ours, &theirs);
    }
    for lengths in [None, Some(vec![2, 5])] {
        let rows = Some(vec![1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        for (period, present) in [(3, None), (6, None), (6, rows)] {
            let candidates = Candidates { scale: 0.7, period, present };
            agree("log-sums", &[&[2, 6, 5]], &|t| Ours::log_sums(t[0].clone(), candidates.clone()), &|t| {
                portable::log_sums::<Ours>(t[0].clone(), &candidates)
            });
        }
        agree("attention", &[&[2, 5, 36]], &|t| Ours::attention(t[0].clone(), 3, lengths.clone()), &|t| {
            portable::attention::<Ours>(t[0].clone(), 3, lengths.clone())
        });
    }
    agree(
        "matrix_products",
        &[&[4, 9, 33], &[4, 33, 20]],
        &|t| Ours::matrix_products(t[0].clone(), t[1].clone()),
        &|t| Ours::float_matmul(t[0].clone(), t[1].clone()),
    );
    agree("gru", &[&[3, 4, 15], &[5, 15], &[15]], &|t| Ours::gru(t[0].clone(), t[1].clone(), t[2].clone()), &|t| {
        portable::gru::<Ours>(&t[0], &t[1], &t[2])
    });
    for normalized in [false, true] {
        // Of patches that lie apart in an image, and of which no gradient is wanted.
        let patches = || Ours::float_swap_dims(tensor(7, &[2, 3, 4, 2, 16]), 2, 3);
        let removed =
            || Ours::float_from_data(TensorData::from([1.0f32, 0.0, 1.0].repeat(4).as_slice()), &Default::default());
        agree(
            "patch_errors",
            &[&[12, 64]],
            &|t| Ours::patch_errors(t[0].clone(), patches(), removed(), normalized),
            &|t| portable::patch_errors::<Ours>(t[0].clone(), patches(), removed(), normalized),
        );
    }
    agree("matrix_product", &[&[9, 33], &[33, 20]], &|t| Ours::matrix_product(t[0].clone(), t[1].clone()), &|t| {
        Ours::float_matmul(t[0].clone(), t[1].clone())
    });
}
