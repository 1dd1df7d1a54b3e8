//! Retrieval: are the samples that lie nearest of the same class?
//!
//! Every sample of the test set in turn is the query, all others are ranked by their cosine to it, and those with its
//! label are relevant (leave-one-out, as in metric learning: Musgrave, Belongie, Lim 2020). With the ranks `r₁ < r₂ < …`
//! of the `R` relevant ones,
//!
//! ```text
//! AP = (1/R) Σₖ k / rₖ       recall@k = [r₁ ≤ k]
//! ```
//!
//! Where samples come in groups (frames of one film), those of the query's own group are left out of its ranking: they would be
//! found by whatever tells the films apart.
//!
//! `map` is the mean of AP. A sample alone in its class has nothing to find and does not count. Rankings are exact: blocks
//! of queries against all samples, so memory is that of a block. Ties go to the lower index.

use crate::bootstrap::Outcomes;
use crate::features::Rows;
use crate::knn::unit_rows;
use crate::matmul::{Strided, matmul};
use rayon::prelude::*;
use selfsame_base::DataError;

/// Ranks within which a first relevant sample is looked for.
pub const RECALL_AT: [usize; 3] = [1, 5, 10];
/// Queries, at most; evenly spaced. All samples are ranked for each.
pub const QUERIES: usize = 10_000;
/// Similarities that a task holds.
const HELD: usize = 1 << 20;

/// What every query found that has something to find.
#[derive(Clone, Debug)]
pub struct Retrieval {
    /// Average precision.
    pub map: Outcomes,
    /// Whether one of the nearest 1, 5, 10 is relevant.
    pub recall: [Outcomes; 3],
}

/// Ranks all rows for every query, but for those of its group, where `groups` has that of every row.
///
/// # Shapes
/// `rows: [rows, dim]`, `labels: [rows]`
///
/// # Errors
/// If a value is not finite.
pub fn retrieve(rows: Rows, labels: &[u32], groups: Option<&[u32]>) -> Result<Retrieval, DataError> {
    let (count, dim) = (rows.len(), rows.dim);
    assert_eq!(count, labels.len(), "a label per row");
    rows.check_finite("the features among which is searched")?;
    let units = unit_rows(rows);
    let all = Strided::new(&units, count, dim);
    let step = count.div_ceil(QUERIES).max(1);
    let queries: Vec<usize> = (0..count).step_by(step).collect();
    let block = (HELD / count.max(1)).clamp(1, 256);
    let found: Vec<Vec<Option<(f64, usize)>>> = queries
        .par_chunks(block)
        .map_init(
            || (Vec::new(), Vec::new(), Vec::new()),
            |(chosen, cosines, order), queries| {
                chosen.clear();
                queries.iter().for_each(|&q| chosen.extend_from_slice(&units[q * dim..][..dim]));
                cosines.resize(queries.len() * count, 0.0f32);
                matmul(Strided::new(chosen, queries.len(), dim), all.t(), cosines); // [queries, rows]
                let of_query = |(&query, cosines): (&usize, &[f32])| rank(query, cosines, labels, groups, order);
                queries.iter().zip(cosines.chunks_exact(count)).map(of_query).collect()
            },
        )
        .collect();
    let found: Vec<(u32, f64, usize)> = queries
        .iter()
        .zip(found.iter().flatten())
        .filter_map(|(&query, found)| found.map(|(precision, first)| (query as u32, precision, first)))
        .collect();
    let outcomes = |worth: &dyn Fn(f64, usize) -> f32| Outcomes {
        samples: Some(found.iter().map(|f| f.0).collect()),
        draws: vec![found.iter().map(|&(_, precision, first)| worth(precision, first)).collect()],
    };
    Ok(Retrieval {
        map: outcomes(&|precision, _| precision as f32),
        recall: RECALL_AT.map(|k| outcomes(&|_, first| if first <= k { 1.0 } else { 0.0 })),
    })
}

/// Average precision and rank of the first relevant row.
fn rank(
    query: usize,
    cosines: &[f32],
    labels: &[u32],
    groups: Option<&[u32]>,
    order: &mut Vec<u64>,
) -> Option<(f64, usize)> {
    order.clear();
    let other = |i: usize| groups.map_or(i != query, |of| of[i] != of[query]);
    order.extend(cosines.iter().enumerate().filter(|(i, _)| other(*i)).map(|(i, &cosine)| {
        // Bits of a float whose order as whole numbers is falling cosine, then rising index.
        let bits = cosine.to_bits();
        let rising = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(!rising) << 32 | i as u64
    }));
    order.sort_unstable();
    let (mut relevant, mut sum, mut first) = (0, 0.0, 0);
    for (rank, key) in (1..).zip(order.iter()) {
        if labels[(key & 0xffff_ffff) as usize] == labels[query] {
            relevant += 1;
            sum += f64::from(relevant) / rank as f64;
            if first == 0 {
                first = rank;
            }
        }
    }
    (relevant > 0).then(|| (sum / f64::from(relevant), first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_recall_of_a_ranking_one_can_read_off() {
        // Angles of the rows; query 0 ranks 1 2 3 4 5, of which 2, 3 and 5 are of its class.
        let rows: Vec<f32> = [0.0f32, 5.0, 10.0, 15.0, 20.0, 25.0]
            .iter()
            .flat_map(|d| [d.to_radians().cos(), d.to_radians().sin()])
            .collect();
        let labels = [0, 1, 0, 0, 2, 0];
        let found = retrieve(Rows::new(&rows, 2), &labels, None).unwrap();
        let expected = (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0;
        assert!((found.map.draws[0][0] - expected as f32).abs() < 1e-6);
        assert_eq!([0, 1].map(|k| found.recall[k].draws[0][0]), [0.0, 1.0]);
        // Rows 1 and 4 are alone in their classes and have nothing to find.
        assert_eq!(found.map.samples, Some(vec![0, 2, 3, 5]));
        let broken = retrieve(Rows::new(&[1.0, f32::NAN], 1), &[0, 0], None).unwrap_err();
        assert!(broken.to_string().contains("row 1"), "{broken}");
    }

    #[test]
    fn cosines_of_either_sign_and_ties_are_in_order() {
        let mut order = Vec::new();
        // Falling: 3 (0.5), then 1 and 2 (0, the lower index first), 4 (−0.25), 5 (−1).
        let cosines = [1.0, 0.0, 0.0, 0.5, -0.25, -1.0];
        let at = |relevant: usize| {
            let labels: Vec<u32> = (0..6).map(|i| u32::from(i != 0 && i != relevant)).collect();
            rank(0, &cosines, &labels, None, &mut Vec::new()).unwrap().1
        };
        assert_eq!([3, 1, 2, 4, 5].map(at), [1, 2, 3, 4, 5]);
        assert_eq!(rank(0, &cosines, &[0, 1, 1, 1, 1, 1], None, &mut order), None);
        // Sample 3, the nearest, is of the query's group: without it 1 is first, and of its class.
        let found = rank(0, &cosines, &[0, 0, 1, 0, 1, 1], Some(&[0, 1, 1, 0, 2, 2]), &mut order);
        assert_eq!(found, Some((1.0, 1)));
    }
}
