//! Softmax attention within a sequence, forward and backward (Vaswani et al. 2017, arXiv:1706.03762).
//!
//! ```text
//! forward    P = softmax(q kᵀ / √width),  o = P v
//! backward   dv = Pᵀ do,  dP = do vᵀ,  dS = P ∘ (dP − Σ_keys P dP) / √width,  dq = dS k,  dk = dSᵀ q
//! ```
//!
//! A task is one head of one sample. It goes through the queries a block at a time: the block's scores, `[queries, tokens]`, become its
//! probabilities and are multiplied with the values while they lie in a near cache, and then are gone. The backward pass computes them again,
//! which costs a product in six and saves memory of `[batch, heads, tokens, tokens]` in every layer. Keys and values are packed once per
//! head. Products are never rounded: with operands in bf16 a masked autoencoder learned later and worse (BENCHMARKS.md).
//!
//! Queries, keys and values are read where the linear layer before wrote them, `[batch, tokens, 3 · dim]`, and the heads' results stand
//! side by side, `[batch, tokens, dim]`: no layout changes. Sequences may have fewer tokens than there is room for: those after them take
//! no part, and their result is 0.

use crate::{
    Isa,
    disjoint::Disjoint,
    exponential::exp_row,
    lanes::{Kernel, LANES, Lanes},
    layer_norm::sum,
    memory::scratch,
    packed::{multiply, multiply_panels, pack_right_alone, right_len},
    partition::for_each_task,
    precision::Whole,
    profile::{self, Work},
    strided::Strided,
};
use std::ops::Range;

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
            products: products * batch * heads * tokens * tokens * width,
            values: passes * self.output_len(),
        }
    }

    fn dim(&self) -> usize {
        self.heads * self.width
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

    fn check(&self, qkv: &[f32], output: &[f32]) {
        assert_eq!(qkv.len(), 3 * self.output_len(), "elements of queries, keys and values");
        assert_eq!(output.len(), self.output_len(), "elements of the result");
        if let Some(lengths) = self.lengths {
            let fit = lengths.len() == self.batch && lengths.iter().all(|length| (1..=self.tokens).contains(length));
            assert!(fit, "lengths {lengths:?} of {} sequences of at most {} tokens", self.batch, self.tokens);
        }
    }

    /// `output` `[batch, tokens, dim]` of `qkv` `[batch, tokens, 3 · dim]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, qkv: &[f32], output: &mut [f32]) {
        let _span = profile::kernel("attention", || self.work(2, 4));
        self.check(qkv, output);
        if output.is_empty() {
            return;
        }
        if self.lengths.is_some() {
            output.fill(0.0);
        }
        let isa = Isa::active();
        // SAFETY: every task writes its own head of its own sample.
        let output = unsafe { Disjoint::new(output) };
        for_each_task(self.batch * self.heads, |task| self.forward_head(isa, task, qkv, output));
    }

    fn forward_head(&self, isa: Isa, task: usize, qkv: &[f32], output: Disjoint) {
        let (tokens, width, dim) = (self.tokens_of(task), self.width, self.dim());
        let [q, k, v] = self.parts(task, tokens, qkv);
        let keys = k.transposed();
        let lens = [right_len::<Whole>(keys.shape), right_len::<Whole>(v.shape), block_rows(tokens) * tokens];
        scratch(lens, |[keys_packed, values_packed, p]| {
            pack_right_alone(isa, keys, keys_packed);
            pack_right_alone(isa, v, values_packed);
            for rows in blocks(tokens) {
                let p = &mut p[..rows.len() * tokens];
                self.probabilities(isa, q.rows(rows.clone()), keys_packed, p);
                let (p, place) =
                    (Strided::new(p, rows.len(), tokens, tokens), self.start(task, 1, 0) + rows.start * dim);
                multiply_panels(isa, p, (values_packed, width), 1.0, output, [place, dim], false);
            }
        });
    }

    /// The probabilities `[queries, tokens]` of some queries, whose keys are packed.
    fn probabilities(&self, isa: Isa, queries: Strided, keys: &[f32], p: &mut [f32]) {
        let tokens = p.len() / queries.shape[0];
        // SAFETY: one task.
        let scores = unsafe { Disjoint::new(p) };
        multiply_panels(isa, queries, (keys, tokens), self.scale(), scores, [0, tokens], false);
        isa.run(Softmax { rows: p, tokens });
    }

    /// Queries, keys and values of a task, `[tokens, width]` each.
    fn parts<'a>(&self, task: usize, tokens: usize, qkv: &'a [f32]) -> [Strided<'a>; 3] {
        let stride = 3 * self.dim();
        [0, 1, 2].map(|part| Strided::new(&qkv[self.start(task, 3, part)..], tokens, self.width, stride))
    }

    /// The gradient `dqkv` from that of the result, `dy`, and what the forward pass read.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(&self, qkv: &[f32], dy: &[f32], dqkv: &mut [f32]) {
        let _span = profile::kernel("attention, backward", || self.work(4, 7));
        self.check(qkv, dy);
        assert_eq!(dqkv.len(), qkv.len(), "elements of the gradient");
        if dy.is_empty() {
            return;
        }
        if self.lengths.is_some() {
            dqkv.fill(0.0);
        }
        let isa = Isa::active();
        // SAFETY: every task writes its own head of its own sample.
        let dqkv = unsafe { Disjoint::new(dqkv) };
        for_each_task(self.batch * self.heads, |task| self.backward_head(isa, task, qkv, dy, dqkv));
    }

    fn backward_head(&self, isa: Isa, task: usize, qkv: &[f32], dy: &[f32], dqkv: Disjoint) {
        let (tokens, width, stride) = (self.tokens_of(task), self.width, 3 * self.dim());
        let [q, k, v] = self.parts(task, tokens, qkv);
        let dy = Strided::new(&dy[self.start(task, 1, 0)..], tokens, width, self.dim());
        let [dq, dk, dv] = [0, 1, 2].map(|part| self.start(task, 3, part));
        let rights = [k.transposed(), v.transposed(), k];
        let [keys, values, queries] = rights.map(|right| right_len::<Whole>(right.shape));
        let block_len = block_rows(tokens) * tokens;
        scratch([keys, values, queries, block_len, block_len], |[keys, values, for_queries, p, ds]| {
            for (right, panels) in rights.into_iter().zip([&mut *keys, &mut *values, &mut *for_queries]) {
                pack_right_alone(isa, right, panels);
            }
            for rows in blocks(tokens) {
                let (q, dy, later) = (q.rows(rows.clone()), dy.rows(rows.clone()), rows.start > 0);
                let (p, ds) = (&mut p[..rows.len() * tokens], &mut ds[..rows.len() * tokens]);
                self.probabilities(isa, q, keys, p);
                // SAFETY: one task.
                let to = unsafe { Disjoint::new(ds) };
                multiply_panels(isa, dy, (values, tokens), 1.0, to, [0, tokens], false);
                let block = |values| Strided::new(values, rows.len(), tokens, tokens);
                multiply(isa, block(p).transposed(), dy, 1.0, dqkv, [dv, stride], later);
                isa.run(SoftmaxBackward { probabilities: p, gradients: ds, tokens, scale: self.scale() });
                let place = [dq + rows.start * stride, stride];
                multiply_panels(isa, block(ds), (for_queries, width), 1.0, dqkv, place, false);
                multiply(isa, block(ds).transposed(), q, 1.0, dqkv, [dk, stride], later);
            }
        });
    }
}

/// Most queries of a block.
const QUERIES: usize = 64;

/// Queries of the largest block.
fn block_rows(tokens: usize) -> usize {
    tokens.div_ceil(tokens.div_ceil(QUERIES))
}

/// Nearly equal blocks of the queries.
fn blocks(tokens: usize) -> impl Iterator<Item = Range<usize>> {
    (0..tokens).step_by(block_rows(tokens)).map(move |first| first..tokens.min(first + block_rows(tokens)))
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
    use crate::Precision;
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
            [(1, 1, 1, 1), (2, 5, 3, 7), (3, 17, 2, 16), (2, 64, 3, 64), (1, 33, 1, 20), (1, 150, 2, 24)]
        {
            let shape = AttentionShape { batch, tokens, lengths: None, heads, width };
            let qkv: Vec<f32> = random(3 * shape.output_len(), 1).into_iter().map(|x| 3.0 * x).collect();
            let dy = random(shape.output_len(), 2);
            let [y_direct, dqkv_direct] = direct(shape, &qkv, &dy);
            on_every_path(|| {
                let (mut y, mut dqkv) = (vec![f32::NAN; dy.len()], vec![f32::NAN; qkv.len()]);
                shape.forward(&qkv, &mut y);
                shape.backward(&qkv, &dy, &mut dqkv);
                assert!(deviation(&y, &y_direct) < 1e-5, "{shape:?}");
                assert!(deviation(&dqkv, &dqkv_direct) < 1e-5, "{shape:?}");
                let [mut again, mut gradient] = [y.len(), dqkv.len()].map(|len| vec![f32::NAN; len]);
                Precision::Bf16.within(|| {
                    shape.forward(&qkv, &mut again);
                    shape.backward(&qkv, &dy, &mut gradient);
                });
                assert!(again == y && gradient == dqkv, "{shape:?} is rounded");
                (y, dqkv)
            });
        }
    }

    #[test]
    fn a_sequence_with_padding_is_as_one_alone() {
        let (tokens, heads, width, lengths) = (90, 2, 5, [90, 1, 64, 70]);
        let shape = AttentionShape { batch: lengths.len(), tokens, lengths: Some(&lengths), heads, width };
        let (qkv, dy) = (random(3 * shape.output_len(), 1), random(shape.output_len(), 2));
        let (mut y, mut dqkv) = (vec![f32::NAN; dy.len()], vec![f32::NAN; qkv.len()]);
        shape.forward(&qkv, &mut y);
        shape.backward(&qkv, &dy, &mut dqkv);
        let each = tokens * heads * width;
        for (sample, length) in lengths.into_iter().enumerate() {
            let alone = AttentionShape { batch: 1, tokens: length, lengths: None, heads, width };
            let own =
                |values: &[f32], parts: usize| values[sample * each * parts..][..alone.output_len() * parts].to_vec();
            let [mut y_alone, mut dqkv_alone] = [1, 3].map(|parts| vec![f32::NAN; parts * alone.output_len()]);
            alone.forward(&own(&qkv, 3), &mut y_alone);
            alone.backward(&own(&qkv, 3), &own(&dy, 1), &mut dqkv_alone);
            assert_eq!((own(&y, 1), own(&dqkv, 3)), (y_alone, dqkv_alone), "{length}");
            let after = length * heads * width..each;
            assert!(y[sample * each..(sample + 1) * each][after].iter().all(|&v| v == 0.0));
        }
        assert!(dqkv.iter().all(|v| v.is_finite()));
    }
}
