//! Means and spreads of columns.

use crate::features::Rows;
use rayon::prelude::*;

/// Rows that one task takes at a time.
const BLOCK: usize = 256;

/// Column means and sums of squared deviations from them, `[dim]` each, in two passes so that nothing cancels.
pub fn mean_and_squares(rows: Rows) -> (Vec<f64>, Vec<f64>) {
    let sums = |term: &(dyn Fn(usize, f32) -> f64 + Sync)| -> Vec<f64> {
        let blocks: Vec<Vec<f64>> = (rows.values.par_chunks((BLOCK * rows.dim).max(1)))
            .map(|block| {
                let mut sums = vec![0.0; rows.dim];
                for row in block.chunks_exact(rows.dim) {
                    (0..rows.dim).for_each(|j| sums[j] += term(j, row[j]));
                }
                sums
            })
            .collect();
        (0..rows.dim).map(|j| blocks.iter().map(|block| block[j]).sum()).collect()
    };
    let mean: Vec<f64> = sums(&|_, v| f64::from(v)).into_iter().map(|s| s / rows.len() as f64).collect();
    let squares = sums(&|j, v| (f64::from(v) - mean[j]).powi(2));
    (mean, squares)
}
