//! Linear layers: products with what follows them done block by block, while a block of the result is in the cache.
//!
//! ```text
//! linear    y = x W + b (+ r)
//! hidden    a = gelu(x W + b),  and for the backward pass  gelu'(x W + b)
//! backward  dx = dy Wᵀ (· gelu'),  dW = xᵀ dy,  db = Σ_rows dy
//! ```
//!
//! Products are at the precision of the thread that asks ([`Precision::within`]).
//!
//! The slope of the GELU is kept instead of its argument: it comes almost free with the value (see `exponential.rs`), and the
//! backward pass then multiplies by it instead of computing it again.

use crate::{
    Isa, Precision,
    disjoint::Disjoint,
    exponential,
    lanes::{Kernel, LANES, Lanes},
    matmul::{Matrix, OutputBlock, Right, matmul_then},
    partition::{PART, for_each_part, load, store},
    profile::{self, Work},
};

/// `y = x · weight + bias [+ residual]`: `[rows, in]`, `[in, out]` and `[out]` to `[rows, out]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn linear(x: Matrix, weight: Right, bias: &[f32], residual: Option<&[f32]>, y: &mut [f32]) {
    let _span = profile::kernel("linear", || Work::product(x.shape(), weight.shape()));
    let (isa, columns) = (Isa::active(), weight.shape()[1]);
    assert_eq!(bias.len(), columns, "a bias for each column");
    if let Some(residual) = residual {
        assert_eq!(residual.len(), y.len(), "elements of the residual and of the result");
    }
    matmul_then(Precision::active(), x, weight, y, &|block, y| {
        isa.run(Finish { block, columns, y, what: What::Add { bias, residual } });
    });
}

/// `activation = gelu(x · weight + bias)`, and, where it is asked for, the GELU's `slope` there: both `[rows, out]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn linear_gelu(x: Matrix, weight: Right, bias: &[f32], slope: Option<&mut [f32]>, activation: &mut [f32]) {
    let _span = profile::kernel("linear and GELU", || Work::product(x.shape(), weight.shape()));
    let (isa, columns) = (Isa::active(), weight.shape()[1]);
    assert_eq!(bias.len(), columns, "a bias for each column");
    let slope = slope.map(|slope| {
        assert_eq!(slope.len(), activation.len(), "elements of the slope and of the result");
        // SAFETY: every task writes the elements of its own block.
        unsafe { Disjoint::new(slope) }
    });
    matmul_then(Precision::active(), x, weight, activation, &|block, y| {
        isa.run(Finish { block, columns, y, what: What::Gelu { bias, slope } });
    });
}

/// What [`linear_gelu`] makes of the sums that [`linear`] gives, bit by bit: `activation = gelu(u)`, and, where it is asked for, the
/// GELU's `slope` there.
///
/// # Panics
/// If they differ in length.
pub fn gelu(u: &[f32], slope: Option<&mut [f32]>, activation: &mut [f32]) {
    let _span = profile::kernel("GELU", || Work::pass(u.len(), u.len(), if slope.is_some() { 3 } else { 2 }));
    let slopes = slope.as_ref().map_or(u.len(), |slope| slope.len());
    assert_eq!([activation.len(), slopes], [u.len(); 2], "elements of a GELU and of its argument");
    let isa = Isa::active();
    for_each_part((u, slope, activation), u.len(), PART, &|(u, slope, activation)| {
        isa.run(Gelu { u, slope, activation });
    });
}

/// `out = (a · b) ∘ factor`: the gradient before an activation of which `factor` is the slope.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_times(a: Matrix, b: Matrix, factor: &[f32], out: &mut [f32]) {
    let _span = profile::kernel("product times factor", || Work::product(a.shape(), b.shape()));
    let (isa, columns) = (Isa::active(), b.shape()[1]);
    assert_eq!(factor.len(), out.len(), "elements of the factor and of the product");
    matmul_then(Precision::active(), a, b.into(), out, &|block, y| {
        isa.run(Finish { block, columns, y, what: What::Times { factor } });
    });
}

/// `out = a · b`: a gradient of a layer. [`matmul`](crate::matmul::matmul) is for products that are never rounded.
///
/// # Panics
/// If the shapes do not fit.
pub fn product(a: Matrix, b: Matrix, out: &mut [f32]) {
    let _span = profile::kernel("product of a layer", || Work::product(a.shape(), b.shape()));
    matmul_then(Precision::active(), a, b.into(), out, &|_, _| {});
}

/// A GELU by itself.
struct Gelu<'a> {
    u: &'a [f32],
    slope: Option<&'a mut [f32]>,
    activation: &'a mut [f32],
}

impl Kernel for Gelu<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Gelu { u, mut slope, activation } = self;
        for i in 0..u.len().div_ceil(LANES) {
            let [value, derivative] = exponential::gelu(load::<V>(u, i));
            store(activation, i, value);
            if let Some(slope) = slope.as_deref_mut() {
                store(slope, i, derivative);
            }
        }
    }
}

/// What is done to a block of a product.
struct Finish<'a> {
    block: OutputBlock,
    columns: usize,
    y: Disjoint<'a>,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Add { bias: &'a [f32], residual: Option<&'a [f32]> },
    Gelu { bias: &'a [f32], slope: Option<Disjoint<'a>> },
    Times { factor: &'a [f32] },
}

impl Kernel for Finish<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Finish { block, columns, y, what } = self;
        for row in block.rows {
            let range = row * columns + block.columns.start..row * columns + block.columns.end;
            let y = y.part(range.clone());
            match what {
                What::Add { bias, residual } => {
                    let bias = bias[block.columns.clone()].chunks(LANES);
                    match residual {
                        None => {
                            for (y, bias) in y.chunks_mut(LANES).zip(bias) {
                                (V::load_slice(y) + V::load_slice(bias)).store_slice(y);
                            }
                        }
                        Some(residual) => {
                            for ((y, bias), r) in y.chunks_mut(LANES).zip(bias).zip(residual[range].chunks(LANES)) {
                                (V::load_slice(y) + V::load_slice(bias) + V::load_slice(r)).store_slice(y);
                            }
                        }
                    }
                }
                What::Gelu { bias, slope } => {
                    let mut slopes = slope.map(|slope| slope.part(range).chunks_mut(LANES));
                    for (y, bias) in y.chunks_mut(LANES).zip(bias[block.columns.clone()].chunks(LANES)) {
                        let [value, slope] = exponential::gelu(V::load_slice(y) + V::load_slice(bias));
                        value.store_slice(y);
                        if let Some(to) = slopes.as_mut().and_then(Iterator::next) {
                            slope.store_slice(to);
                        }
                    }
                }
                What::Times { factor } => {
                    for (y, factor) in y.chunks_mut(LANES).zip(factor[range].chunks(LANES)) {
                        (V::load_slice(y) * V::load_slice(factor)).store_slice(y);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul::PackedMatrix;
    use crate::testing::{deviation, normal_gelu, on_every_path, random};

    #[test]
    fn agree_with_f64() {
        for [rows, inner, columns] in [[1, 1, 1], [5, 7, 19], [70, 33, 16], [300, 20, 400]] {
            let (x, weight) = (random(rows * inner, 1), random(inner * columns, 2));
            let (bias, residual) = (random(columns, 3), random(rows * columns, 4));
            let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
            let (wide_x, wide_weight) = (wide(&x), wide(&weight));
            let sum = |i: usize| {
                (0..inner).map(|k| wide_x[i / columns * inner + k] * wide_weight[k * columns + i % columns]).sum()
            };
            let product: Vec<f64> = (0..rows * columns).map(sum).collect();
            let (x, weight) = (Matrix::new(&x, [rows, inner]), Matrix::new(&weight, [inner, columns]));
            let sums: Vec<f64> = product.iter().enumerate().map(|(i, p)| p + f64::from(bias[i % columns])).collect();
            let with_residual: Vec<f64> = sums.iter().zip(wide(&residual)).map(|(s, r)| s + r).collect();
            let scaled: Vec<f64> = product.iter().zip(wide(&residual)).map(|(p, r)| p * r).collect();
            on_every_path(|| {
                let fresh = || vec![f32::NAN; rows * columns];
                let (mut plain, mut added, mut times) = (fresh(), fresh(), fresh());
                linear(x, weight.into(), &bias, None, &mut plain);
                linear(x, weight.into(), &bias, Some(&residual), &mut added);
                matmul_times(x, weight, &residual, &mut times);
                assert!(deviation(&plain, &sums) < 1e-6 && deviation(&added, &with_residual) < 1e-6);
                assert!(deviation(&times, &scaled) < 1e-6);
                let (mut value, mut again, mut slope) = (fresh(), fresh(), fresh());
                linear_gelu(x, weight.into(), &bias, Some(&mut slope), &mut value);
                linear_gelu(x, weight.into(), &bias, None, &mut again);
                assert_eq!(value, again);
                let (mut alone, mut alone_slope) = (fresh(), fresh());
                gelu(&plain, Some(&mut alone_slope), &mut alone);
                assert_eq!([&alone, &alone_slope], [&value, &slope]);
                gelu(&plain, None, &mut again);
                assert_eq!(value, again);
                for ((&u, &value), &slope) in sums.iter().zip(&value).zip(&slope) {
                    let [exact_value, exact_slope] = normal_gelu(u);
                    // Absolute, as the approximation of Φ is; the sum itself carries the rounding of f32.
                    let tolerance = 4e-6 * u.abs().max(1.0);
                    assert!((f64::from(value) - exact_value).abs() < tolerance, "gelu({u}): {value}");
                    assert!((f64::from(slope) - exact_slope).abs() < tolerance, "gelu'({u}): {slope}");
                }
                (plain, added, times, value, slope)
            });
        }
    }

    #[test]
    fn a_packed_weight_gives_the_same_bytes() {
        for [rows, inner, columns] in [[1, 1, 1], [5, 7, 19], [70, 33, 16], [40, 2500, 70]] {
            let (x, weight, bias) = (random(rows * inner, 1), random(inner * columns, 2), random(columns, 3));
            let (x, weight) = (Matrix::new(&x, [rows, inner]), Matrix::new(&weight, [inner, columns]));
            on_every_path(|| {
                [Precision::F32, Precision::Bf16].map(|precision| {
                    precision.within(|| {
                        let packed = PackedMatrix::new(weight);
                        let of = |weight: Right| {
                            let mut y = vec![f32::NAN; rows * columns];
                            linear(x, weight, &bias, None, &mut y);
                            y
                        };
                        let y = of(Right::Packed(&packed));
                        assert_eq!(y, of(weight.into()));
                        y
                    })
                })
            });
        }
    }
}
