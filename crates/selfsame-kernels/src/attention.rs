//! Softmax attention within a sequence, forward and backward (Vaswani et al. 2017, arXiv:1706.03762).
//!
//! ```text
//! forward    P = softmax(q kᵀ / √width),  o = P v
//! backward   dv = Pᵀ do,  dP = do vᵀ,  dS = P ∘ (dP − Σ_keys P dP) / √width,  dq = dS k,  dk = dSᵀ q
//! ```
//!
//! A task is one head of one sample: tokens are few, so q, k, v and the `[tokens, tokens]` probabilities of a head lie in the L2
//! cache, and the products are single-threaded calls, at the precision of the thread that asks ([`Precision::within`]). Queries,
//! keys and values are read where the linear layer before wrote them, `[batch, tokens, 3 · dim]`, and the heads' results stand
//! side by side, `[batch, tokens, dim]`: no layout changes. The probabilities are kept for the backward pass. Sequences may have
//! fewer tokens than there is room for: those after them take no part, and their result is 0.

use crate::{
    Isa, Precision,
    disjoint::Disjoint,
    exponential::exp_row,
    lanes::{Kernel, LANES, Lanes},
    layer_norm::sum,
    memory::Buffer,
    partition::{for_each_chunk, for_each_task},
    profile::{self, Work},
    strided::{By, Strided, multiply},
};

/// The shape of a self-attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape<'a> {
    /// Sequences.
    pub batch: usize,
    /// Tokens of a sequence, at most.
    pub tokens: usize,
    /// Tokens of each sequence, one or more; without it all are as long as can be.
    pub lengths: Option<&'a [usize]>,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub width: usize,
}

impl AttentionShape<'_> {
    /// Of so many products of the tokens with each other, and so many passes over the values of one of q, k, v and the result.
    fn work(&self, products: usize, passes: usize) -> Work {
        let Self { batch, tokens, heads, width, .. } = self;
        Work {
            shape: format!("{batch}×{tokens} {heads}×{width}"),
            products: products * self.probabilities_len() * width,
            values: passes * self.output_len() + self.probabilities_len(),
        }
    }

    fn dim(&self) -> usize {
        self.heads * self.width
    }

    /// Elements of the probabilities, `[batch, heads, tokens, tokens]`.
    pub fn probabilities_len(&self) -> usize {
        self.batch * self.heads * self.tokens * self.tokens
    }

    /// Elements of the result, `[batch, tokens, dim]`.
    pub fn output_len(&self) -> usize {
        self.batch * self.tokens * self.dim()
    }

    /// Where, in `[batch, tokens, parts · dim]`, a head's rows of part `part` start.
    fn start(&self, task: usize, parts: usize, part: usize) -> usize {
        let (sample, head) = (task / self.heads, task % self.heads);
        sample * self.tokens * parts * self.dim() + part * self.dim() + head * self.width
    }

    /// Tokens of a task's sequence.
    fn tokens_of(&self, task: usize) -> usize {
        self.lengths.map_or(self.tokens, |lengths| lengths[task / self.heads])
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    fn check(&self, qkv: &[f32], output: &[f32], probabilities: &[f32]) {
        assert_eq!(qkv.len(), 3 * self.output_len(), "elements of queries, keys and values");
        assert_eq!(output.len(), self.output_len(), "elements of the result");
        assert_eq!(probabilities.len(), self.probabilities_len(), "elements of the probabilities");
        if let Some(lengths) = self.lengths {
            let fit = lengths.len() == self.batch && lengths.iter().all(|length| (1..=self.tokens).contains(length));
            assert!(fit, "lengths {lengths:?} of {} sequences of at most {} tokens", self.batch, self.tokens);
        }
    }

    /// `output` `[batch, tokens, dim]` and `probabilities` `[batch, heads, tokens, tokens]` of `qkv` `[batch, tokens, 3 · dim]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, qkv: &[f32], output: &mut [f32], probabilities: &mut [f32]) {
        let _span = profile::kernel("attention", || self.work(2, 4));
        self.check(qkv, output, probabilities);
        let width = self.width;
        if output.is_empty() {
            return;
        }
        if self.lengths.is_some() {
            output.fill(0.0);
        }
        let (isa, stride) = (Isa::active(), 3 * self.dim());
        let by = By { isa, precision: Precision::active() };
        // SAFETY: every task writes its own head of its own sample.
        let output = unsafe { Disjoint::new(output) };
        for_each_chunk(probabilities, self.tokens * self.tokens, |task, p| {
            let tokens = self.tokens_of(task);
            let p = &mut p[..tokens * tokens];
            let [q, k, v] =
                [0, 1, 2].map(|part| Strided::new(&qkv[self.start(task, 3, part)..], tokens, width, stride));
            let start = self.start(task, 1, 0);
            let o = output.pointer(start..start + (tokens - 1) * self.dim() + width);
            // SAFETY: the head's rows of the result, which are this task's; `p` is whole.
            unsafe {
                multiply(by, q, k.transposed(), self.scale(), p.as_mut_ptr(), tokens);
                isa.run(Softmax { rows: p, tokens });
                multiply(by, Strided::new(p, tokens, tokens, tokens), v, 1.0, o, self.dim());
            }
        });
    }

    /// The gradient `dqkv` from that of the result, `dy`, and what the forward pass read and kept.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(&self, qkv: &[f32], probabilities: &[f32], dy: &[f32], dqkv: &mut [f32]) {
        let _span = profile::kernel("attention, backward", || self.work(4, 7));
        self.check(qkv, dy, probabilities);
        assert_eq!(dqkv.len(), qkv.len(), "elements of the gradient");
        let width = self.width;
        if dy.is_empty() {
            return;
        }
        if self.lengths.is_some() {
            dqkv.fill(0.0);
        }
        let (isa, stride) = (Isa::active(), 3 * self.dim());
        let by = By { isa, precision: Precision::active() };
        // SAFETY: every task writes its own head of its own sample.
        let dqkv = unsafe { Disjoint::new(dqkv) };
        let each = self.tokens * self.tokens;
        for_each_task(probabilities.len() / each, |task| {
            let tokens = self.tokens_of(task);
            let p = &probabilities[task * each..][..tokens * tokens];
            let [q, k, v] =
                [0, 1, 2].map(|part| Strided::new(&qkv[self.start(task, 3, part)..], tokens, width, stride));
            let dy = Strided::new(&dy[self.start(task, 1, 0)..], tokens, width, self.dim());
            let [dq, dk, dv] = [0, 1, 2].map(|part| {
                let start = self.start(task, 3, part);
                dqkv.pointer(start..start + (tokens - 1) * stride + width)
            });
            let mut ds = Buffer::for_overwrite(tokens * tokens);
            let probabilities = Strided::new(p, tokens, tokens, tokens);
            // SAFETY: the head's rows of the gradient, which are this task's; `ds` is whole.
            unsafe {
                multiply(by, probabilities.transposed(), dy, 1.0, dv, stride);
                multiply(by, dy, v.transposed(), 1.0, ds.as_mut_ptr(), tokens);
                isa.run(SoftmaxBackward { probabilities: p, gradients: &mut ds, tokens, scale: self.scale() });
                let ds = Strided::new(&ds, tokens, tokens, tokens);
                multiply(by, ds, k, 1.0, dq, stride);
                multiply(by, ds.transposed(), q, 1.0, dk, stride);
            }
        });
    }
}

/// Softmax of each row, in place.
struct Softmax<'a> {
    rows: &'a mut [f32],
    tokens: usize,
}

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for row in self.rows.chunks_exact_mut(self.tokens) {
            let [_, total] = exp_row::<V>(row);
            let factor = V::splat(1.0) / V::splat(total);
            for x in row.chunks_mut(LANES) {
                (V::load_slice(x) * factor).store_slice(x);
            }
        }
    }
}

/// From the gradients of a softmax's rows to those of its input, in place, times a scale.
struct SoftmaxBackward<'a> {
    probabilities: &'a [f32],
    gradients: &'a mut [f32],
    tokens: usize,
    scale: f32,
}

impl Kernel for SoftmaxBackward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let (tokens, scale) = (self.tokens, V::splat(self.scale));
        for (p, g) in self.probabilities.chunks_exact(tokens).zip(self.gradients.chunks_exact_mut(tokens)) {
            let mut along = V::splat(0.0);
            for (p, g) in p.chunks(LANES).zip(g.chunks(LANES)) {
                along = V::load_slice(p).mul_add(V::load_slice(g), along);
            }
            let along = V::splat(sum(along));
            for (p, g) in p.chunks(LANES).zip(g.chunks_mut(LANES)) {
                ((V::load_slice(g) - along) * V::load_slice(p) * scale).store_slice(g);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    /// Result, and gradient of `Σ result · dy`, in f64.
    fn direct(shape: AttentionShape, qkv: &[f32], dy: &[f32]) -> [Vec<f64>; 2] {
        let AttentionShape { batch, tokens, heads, width, .. } = shape;
        let dim = heads * width;
        let (mut y, mut dqkv) = (vec![0.0; dy.len()], vec![0.0; qkv.len()]);
        let scale = 1.0 / (width as f64).sqrt();
        for (sample, head) in (0..batch).flat_map(|sample| (0..heads).map(move |head| (sample, head))) {
            let at = |token: usize, part: usize, c: usize| {
                (sample * tokens + token) * 3 * dim + part * dim + head * width + c
            };
            let out = |token: usize, c: usize| (sample * tokens + token) * dim + head * width + c;
            let get = |token, part, c| f64::from(qkv[at(token, part, c)]);
            for i in 0..tokens {
                let scores: Vec<f64> =
                    (0..tokens).map(|j| scale * (0..width).map(|c| get(i, 0, c) * get(j, 1, c)).sum::<f64>()).collect();
                let total: f64 = scores.iter().map(|s| s.exp()).sum();
                let p: Vec<f64> = scores.iter().map(|s| s.exp() / total).collect();
                let dp: Vec<f64> =
                    (0..tokens).map(|j| (0..width).map(|c| f64::from(dy[out(i, c)]) * get(j, 2, c)).sum()).collect();
                let along: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
                for j in 0..tokens {
                    let ds = scale * p[j] * (dp[j] - along);
                    for c in 0..width {
                        y[out(i, c)] += p[j] * get(j, 2, c);
                        dqkv[at(i, 0, c)] += ds * get(j, 1, c);
                        dqkv[at(j, 1, c)] += ds * get(i, 0, c);
                        dqkv[at(j, 2, c)] += p[j] * f64::from(dy[out(i, c)]);
                    }
                }
            }
        }
        [y, dqkv]
    }

    #[test]
    fn agrees_with_f64_forward_and_backward() {
        for (batch, tokens, heads, width) in
            [(1, 1, 1, 1), (2, 5, 3, 7), (3, 17, 2, 16), (2, 64, 3, 64), (1, 33, 1, 20)]
        {
            let shape = AttentionShape { batch, tokens, lengths: None, heads, width };
            let qkv: Vec<f32> = random(3 * shape.output_len(), 1).into_iter().map(|x| 3.0 * x).collect();
            let dy = random(shape.output_len(), 2);
            let [y_direct, dqkv_direct] = direct(shape, &qkv, &dy);
            on_every_path(|| {
                let (mut y, mut p) = (vec![f32::NAN; dy.len()], vec![f32::NAN; shape.probabilities_len()]);
                let mut dqkv = vec![f32::NAN; qkv.len()];
                shape.forward(&qkv, &mut y, &mut p);
                shape.backward(&qkv, &p, &dy, &mut dqkv);
                assert!(deviation(&y, &y_direct) < 1e-5, "{shape:?}");
                assert!(deviation(&dqkv, &dqkv_direct) < 1e-5, "{shape:?}");
                let mut rounded = [vec![f32::NAN; y.len()], vec![f32::NAN; p.len()], vec![f32::NAN; dqkv.len()]];
                Precision::Bf16.within(|| {
                    let [y, p, dqkv] = &mut rounded;
                    shape.forward(&qkv, y, p);
                    shape.backward(&qkv, p, &dy, dqkv);
                });
                // Of scores of up to a few units: they are rounded operands' sums, and exponentiated.
                assert!(deviation(&rounded[0], &y_direct) < 0.03, "{shape:?}");
                assert!(deviation(&rounded[2], &dqkv_direct) < 0.03, "{shape:?}");
                (y, p, dqkv, rounded)
            });
        }
    }

    #[test]
    fn a_sequence_with_padding_is_as_one_alone() {
        let (tokens, heads, width, lengths) = (21, 2, 5, [21, 1, 16, 7]);
        let shape = AttentionShape { batch: lengths.len(), tokens, lengths: Some(&lengths), heads, width };
        let (qkv, dy) = (random(3 * shape.output_len(), 1), random(shape.output_len(), 2));
        let (mut y, mut p) = (vec![f32::NAN; dy.len()], vec![f32::NAN; shape.probabilities_len()]);
        let mut dqkv = vec![f32::NAN; qkv.len()];
        shape.forward(&qkv, &mut y, &mut p);
        shape.backward(&qkv, &p, &dy, &mut dqkv);
        let each = tokens * heads * width;
        for (sample, length) in lengths.into_iter().enumerate() {
            let alone = AttentionShape { batch: 1, tokens: length, lengths: None, heads, width };
            let own =
                |values: &[f32], parts: usize| values[sample * each * parts..][..alone.output_len() * parts].to_vec();
            let (mut y_alone, mut p_alone) =
                (vec![f32::NAN; alone.output_len()], vec![f32::NAN; alone.probabilities_len()]);
            let mut dqkv_alone = vec![f32::NAN; 3 * alone.output_len()];
            alone.forward(&own(&qkv, 3), &mut y_alone, &mut p_alone);
            alone.backward(&own(&qkv, 3), &p_alone, &own(&dy, 1), &mut dqkv_alone);
            assert_eq!((own(&y, 1), own(&dqkv, 3)), (y_alone, dqkv_alone), "{length}");
            let after = length * heads * width..each;
            assert!(y[sample * each..(sample + 1) * each][after].iter().all(|&v| v == 0.0));
        }
        assert!(dqkv.iter().all(|v| v.is_finite()));
    }
}
