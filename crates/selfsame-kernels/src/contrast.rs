//! Log-sums over candidates, by which contrastive losses hold embeddings apart (van den Oord et al. 2018, arXiv:1807.03748), forward
//! and backward.
//!
//! ```text
//! forward    s = scale · z zᵀ,  l_i = log Σ_{j ∈ C(i)} exp(s_ij)
//! backward   dz_i = scale · Σ_{j ∈ C(i)} (dl_i exp(s_ij − l_i) + dl_j exp(s_ij − l_j)) z_j
//! ```
//!
//! j is a candidate of i where i is one of j, so that a row's gradient as an anchor and as a candidate are one sum. A task is some
//! rows of a group against all of it. Similarities are made again in the backward pass: memory grows with the rows, and not with
//! their square.

use crate::{
    Isa,
    exponential::{exp, exp_row},
    lanes::{Kernel, LANES, Lanes},
    memory::Buffer,
    partition::for_each_chunk,
    profile::{self, Work},
    strided::{Strided, multiply},
};

/// Rows of a task.
const TASK: usize = 64;

/// In place of the score of what is no candidate: its exponential is as good as 0 beside that of any score.
const EXCLUDED: f32 = -1e30;

/// Which rows are contrasted, and how.
#[derive(Clone, Copy, Debug)]
pub struct Contrast<'a> {
    /// Groups, which do not meet.
    pub groups: usize,
    /// Rows of a group.
    pub rows: usize,
    /// Values of a row.
    pub width: usize,
    /// Factor of the inner products, 1/τ.
    pub scale: f32,
    /// Rows that lie a multiple of it apart, each row and itself among them, are no candidates of each other.
    pub period: usize,
    /// 1 for rows that are there and 0 for others, `[groups, rows]`; without it all are.
    pub present: Option<&'a [f32]>,
}

impl Contrast<'_> {
    /// Elements of the log-sums, `[groups, rows]`.
    pub fn log_sums_len(&self) -> usize {
        self.groups * self.rows
    }

    /// Elements of `z`, `[groups, rows, width]`.
    fn z_len(&self) -> usize {
        self.log_sums_len() * self.width
    }

    /// Of so many products of the rows with each other, and so many passes over `z`.
    fn work(&self, products: usize, passes: usize) -> Work {
        let Self { groups, rows, width, .. } = self;
        Work {
            shape: format!("{groups}×{rows}×{width}"),
            products: products * self.z_len() * rows,
            values: passes * self.z_len() + self.log_sums_len(),
        }
    }

    fn check(&self, z: &[f32], log_sums: &[f32]) {
        assert_eq!(z.len(), self.z_len(), "elements of the embeddings");
        assert_eq!(log_sums.len(), self.log_sums_len(), "elements of the log-sums");
        assert!((1..=self.rows.max(1)).contains(&self.period), "period {} of {} rows", self.period, self.rows);
        if let Some(present) = self.present {
            assert_eq!(present.len(), self.log_sums_len(), "elements of what is there");
        }
    }

    /// A group's part of what has a value for each row.
    fn of<'b>(&self, values: &'b [f32], group: usize) -> &'b [f32] {
        &values[group * self.rows..][..self.rows]
    }

    /// `scale · z zᵀ`, for `rows` rows of a group from `first` on.
    fn scores(&self, isa: Isa, z: Strided, first: usize, rows: usize) -> Buffer {
        let mut scores = Buffer::for_overwrite(rows * self.rows);
        let own = z.rows(first..first + rows);
        // SAFETY: `scores` is whole.
        unsafe { multiply(isa, own, z.transposed(), self.scale, scores.as_mut_ptr(), self.rows) };
        scores
    }

    fn group<'b>(&self, z: &'b [f32], group: usize) -> Strided<'b> {
        Strided::new(&z[group * self.rows * self.width..], self.rows, self.width, self.width)
    }

    /// The log-sums `[groups, rows]` of `z`, `[groups, rows, width]`; 0 for rows that are not there.
    ///
    /// A row without a candidate, which is no case of the losses, has a log-sum far below every score.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, z: &[f32], log_sums: &mut [f32]) {
        let _span = profile::kernel("contrast", || self.work(1, 1));
        self.check(z, log_sums);
        if z.is_empty() {
            return log_sums.fill(0.0);
        }
        let isa = Isa::active();
        for_each_chunk(log_sums, self.rows, |group, log_sums| {
            let z = self.group(z, group);
            let present = self.present.map(|present| self.of(present, group));
            for_each_chunk(log_sums, TASK, |task, log_sums| {
                let first = task * TASK;
                let mut scores = self.scores(isa, z, first, log_sums.len());
                isa.run(LogSums { scores: &mut scores, first, period: self.period, present, log_sums });
            });
        });
    }

    /// The gradient `dz` from those of the log-sums, and what the forward pass read and made.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(&self, z: &[f32], log_sums: &[f32], dlog_sums: &[f32], dz: &mut [f32]) {
        let _span = profile::kernel("contrast, backward", || self.work(2, 2));
        self.check(z, log_sums);
        assert_eq!([dlog_sums.len(), dz.len()], [log_sums.len(), z.len()], "elements of the gradients");
        if z.is_empty() {
            return;
        }
        let (isa, width) = (Isa::active(), self.width);
        for_each_chunk(dz, self.rows * width, |group, dz| {
            let z = self.group(z, group);
            let [log_sums, gradients] = [log_sums, dlog_sums].map(|values| self.of(values, group));
            let present = self.present.map(|present| self.of(present, group));
            for_each_chunk(dz, TASK * width, |task, dz| {
                let (first, rows) = (task * TASK, dz.len() / width);
                let mut factors = self.scores(isa, z, first, rows);
                isa.run(Factors { scores: &mut factors, first, period: self.period, present, log_sums, gradients });
                let factors = Strided::new(&factors, rows, self.rows, self.rows);
                // SAFETY: the rows of the gradient, which are this task's.
                unsafe { multiply(isa, factors, z, self.scale, dz.as_mut_ptr(), width) };
            });
        });
    }
}

/// Of rows of scores, which are overwritten, their log-sums.
struct LogSums<'a> {
    scores: &'a mut [f32],
    first: usize,
    period: usize,
    present: Option<&'a [f32]>,
    log_sums: &'a mut [f32],
}

impl Kernel for LogSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let rows = self.scores.len() / self.log_sums.len();
        for (row, (scores, log_sum)) in self.scores.chunks_exact_mut(rows).zip(self.log_sums).enumerate() {
            let own = self.first + row;
            if self.present.is_some_and(|present| present[own] == 0.0) {
                *log_sum = 0.0;
                continue;
            }
            exclude::<V>(scores, own, self.period, self.present, EXCLUDED);
            let [largest, sum] = exp_row::<V>(scores);
            *log_sum = largest + sum.ln();
        }
    }
}

/// From rows of scores, in place, to what the group's rows count in the gradient of each of them.
struct Factors<'a> {
    scores: &'a mut [f32],
    first: usize,
    period: usize,
    present: Option<&'a [f32]>,
    log_sums: &'a [f32],
    gradients: &'a [f32],
}

impl Kernel for Factors<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let rows = self.log_sums.len();
        for (row, scores) in self.scores.chunks_exact_mut(rows).enumerate() {
            let own = self.first + row;
            if self.present.is_some_and(|present| present[own] == 0.0) {
                scores.fill(0.0);
                continue;
            }
            let [log_sum, gradient] = [V::splat(self.log_sums[own]), V::splat(self.gradients[own])];
            let others = self.log_sums.chunks(LANES).zip(self.gradients.chunks(LANES));
            for (score, (log_sums, gradients)) in scores.chunks_mut(LANES).zip(others) {
                let s = V::load_slice(score);
                let as_anchor = gradient * exp(s - log_sum);
                let as_candidate = V::load_slice(gradients) * exp(s - V::load_slice(log_sums));
                (as_anchor + as_candidate).store_slice(score);
            }
            // What is no candidate may be anything up to here.
            exclude::<V>(scores, own, self.period, self.present, 0.0);
        }
    }
}

/// Puts `instead` in the places of a row, the `own`th of its group, that belong to no candidate of it.
#[inline(always)]
fn exclude<V: Lanes>(row: &mut [f32], own: usize, period: usize, present: Option<&[f32]>, instead: f32) {
    if let Some(present) = present {
        for (values, present) in row.chunks_mut(LANES).zip(present.chunks(LANES)) {
            let there = V::load_slice(present);
            there.if_greater(V::splat(0.0), V::load_slice(values), V::splat(instead)).store_slice(values);
        }
    }
    for other in (own % period..row.len()).step_by(period) {
        row[other] = instead;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    /// Log-sums, and the gradient of `Σ log-sum · dl`, in f64.
    fn direct(shape: Contrast, z: &[f32], dl: &[f32]) -> [Vec<f64>; 2] {
        let Contrast { groups, rows, width, .. } = shape;
        let (mut log_sums, mut dz) = (vec![0.0; groups * rows], vec![0.0; z.len()]);
        let there = |row: usize| shape.present.is_none_or(|present| present[row] != 0.0);
        for i in (0..groups * rows).filter(|&i| there(i)) {
            let group = i / rows * rows..(i / rows + 1) * rows;
            let candidates: Vec<usize> = group.filter(|&j| there(j) && j.abs_diff(i) % shape.period != 0).collect();
            let value = |row: usize, c: usize| f64::from(z[row * width + c]);
            let score = |j: usize| f64::from(shape.scale) * (0..width).map(|c| value(i, c) * value(j, c)).sum::<f64>();
            log_sums[i] = candidates.iter().map(|&j| score(j).exp()).sum::<f64>().ln();
            for &j in &candidates {
                let factor = f64::from(shape.scale) * f64::from(dl[i]) * (score(j) - log_sums[i]).exp();
                for c in 0..width {
                    dz[i * width + c] += factor * value(j, c);
                    dz[j * width + c] += factor * value(i, c);
                }
            }
        }
        [log_sums, dz]
    }

    #[test]
    fn agrees_with_f64_for_groups_of_any_size_and_rows_that_are_not_there() {
        for (groups, rows, width, period, scale) in
            [(1, 2, 1, 2, 1.0), (3, 4, 5, 2, 2.0), (2, 33, 17, 33, 0.5), (1, 150, 24, 75, 10.0), (2, 66, 8, 66, 3.0)]
        {
            let (z, dl) = (random(groups * rows * width, 1), random(groups * rows, 2));
            // The first rows of each half of a group.
            let some: Vec<f32> = (0..groups * rows)
                .map(|row| f32::from(u8::from(row % rows % (rows / 2).max(1) <= row / rows + rows / 4)))
                .collect();
            for present in [None, Some(&some[..])] {
                let shape = Contrast { groups, rows, width, scale, period, present };
                let [log_sums_expected, dz_expected] = direct(shape, &z, &dl);
                if log_sums_expected.iter().any(|log_sum| log_sum.is_infinite()) {
                    continue;
                }
                on_every_path(|| {
                    let (mut log_sums, mut dz) = (vec![f32::NAN; dl.len()], vec![f32::NAN; z.len()]);
                    shape.forward(&z, &mut log_sums);
                    shape.backward(&z, &log_sums, &dl, &mut dz);
                    assert!(deviation(&log_sums, &log_sums_expected) < 1e-6, "{shape:?}");
                    assert!(deviation(&dz, &dz_expected) < 1e-5, "{shape:?}");
                    (log_sums, dz)
                });
            }
        }
    }

    /// Scores of a thousand overflow no exponential, and what is no candidate has no share however like it is.
    #[test]
    fn large_scores_and_what_is_excluded_do_no_harm() {
        let shape =
            Contrast { groups: 1, rows: 4, width: 2, scale: 1e3, period: 4, present: Some(&[1.0, 1.0, 1.0, 0.0]) };
        let z = [1.0, 0.0, 0.6, 0.8, -1.0, 0.0, 1e4, 1e4];
        on_every_path(|| {
            let (mut log_sums, mut dz) = ([f32::NAN; 4], [f32::NAN; 8]);
            shape.forward(&z, &mut log_sums);
            shape.backward(&z, &log_sums, &[1.0; 4], &mut dz);
            assert_eq!(log_sums, [600.0, 600.0, -600.0, 0.0]);
            // Each one's nearest has all of the softmax: rows 0 and 1 are each other's, row 1 is that of row 2.
            assert_eq!(dz.map(f32::round), [1200.0, 1600.0, 1000.0, 0.0, 600.0, 800.0, 0.0, 0.0]);
            (log_sums, dz)
        });
    }
}
