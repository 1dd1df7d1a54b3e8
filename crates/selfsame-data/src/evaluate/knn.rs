//! k-nearest-neighbour classification: how well do a few labelled neighbours tell the class?
//!
//! Wu, Xiong, Yu, Lin: *Unsupervised Feature Learning via Non-Parametric Instance Discrimination* (2018), §3.4. With
//! cosine similarity `s` and the `k` most similar labelled samples `N(x)`, a class gets the vote
//!
//! ```text
//! w(c) = Σ_{i ∈ N(x), label i = c} exp(s(x, i) / T)
//! ```
//!
//! Neighbours are exact: every similarity is computed, block by block, and only those that can still be among the `k`
//! best are kept. Ties go to the lower index, and to the lower class.

use super::matmul::{Matrix, matmul};
use crate::features::Rows;
use rayon::prelude::*;

/// Neighbours that vote by default.
pub const K: usize = 20;
/// Temperature of the vote by default.
pub const TEMPERATURE: f64 = 0.07;

/// Rows of the bank that are searched at a time; a block and its similarities stay in cache.
const BANK_BLOCK: usize = 1024;
/// Queries that one task handles.
const QUERY_BLOCK: usize = 512;

/// The most similar bank rows of each query.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// Neighbours per query: what was asked for, or the size of the bank if that is smaller.
    pub k: usize,
    /// `[queries, k]`: rows of the bank, most similar first.
    pub indices: Vec<u32>,
    /// `[queries, k]`: their cosine similarities.
    pub cosines: Vec<f32>,
}

/// A search that sees the bank piece by piece, so that the bank need not be in memory.
pub struct Search {
    /// `[queries, dim]`, unit rows.
    queries: Vec<f32>,
    dim: usize,
    k: usize,
    seen: usize,
    best: Vec<Best>,
}

/// Candidates of one query. All that were turned away are no better than `bar`.
struct Best {
    /// Up to `2k` of `(cosine, bank row)`, in no order.
    candidates: Vec<(f32, u32)>,
    bar: f32,
}

impl Best {
    fn keep(&mut self, k: usize) {
        if self.candidates.len() > k {
            self.candidates.select_nth_unstable_by(k - 1, closer);
            self.candidates.truncate(k);
            self.bar = self.candidates[k - 1].0;
        }
    }
}

/// More similar first, then lower index.
fn closer(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

impl Search {
    /// Starts the search for the `k` nearest of each of `queries`.
    pub fn new(queries: Rows, k: usize) -> Self {
        assert!(k > 0, "a search for no neighbours");
        let best = (0..queries.len()).map(|_| Best { candidates: Vec::new(), bar: f32::NEG_INFINITY }).collect();
        Self { queries: unit_rows(queries), dim: queries.dim, k, seen: 0, best }
    }

    /// Searches the next rows of the bank.
    pub fn add(&mut self, bank: Rows) {
        let (dim, k) = (self.dim, self.k);
        assert!(bank.is_empty() || bank.dim == dim, "a bank of width {} for queries of width {dim}", bank.dim);
        for start in (0..bank.len()).step_by(BANK_BLOCK) {
            let count = BANK_BLOCK.min(bank.len() - start);
            let block = unit_rows(bank.slice(start, count));
            let first = u32::try_from(self.seen + start).expect("a bank of under 2³² rows");
            let tasks = self.best.par_chunks_mut(QUERY_BLOCK).zip(self.queries.par_chunks(QUERY_BLOCK * dim));
            tasks.for_each_init(Vec::new, |cosines, (best, queries)| {
                cosines.resize(best.len() * count, 0.0);
                // [queries, dim] · [bank, dim]ᵀ
                matmul(Matrix::new(queries, best.len(), dim), Matrix::new(&block, count, dim).t(), cosines);
                for (best, cosines) in best.iter_mut().zip(cosines.chunks_exact(count)) {
                    scan(best, k, cosines, first);
                }
            });
        }
        self.seen += bank.len();
    }

    /// The neighbours among all rows added.
    pub fn finish(mut self) -> Neighbours {
        let k = self.k.min(self.seen);
        self.best.par_iter_mut().for_each(|best| {
            best.keep(self.k);
            best.candidates.sort_unstable_by(closer);
        });
        let all = || self.best.iter().flat_map(|best| &best.candidates);
        Neighbours { k, indices: all().map(|c| c.1).collect(), cosines: all().map(|c| c.0).collect() }
    }
}

/// Takes in the similarities of consecutive bank rows, the first of which is row `first`.
fn scan(best: &mut Best, k: usize, cosines: &[f32], first: u32) {
    const STRIDE: usize = 16;
    for (chunk, cosines) in cosines.chunks(STRIDE).enumerate() {
        // Nearly all chunks hold nothing new; one comparison without branches passes them over. A later row that only
        // equals the bar has a higher index, so it loses the tie.
        if cosines.iter().fold(false, |any, &c| any | (c > best.bar)) {
            for (i, &cosine) in cosines.iter().enumerate() {
                if cosine > best.bar {
                    best.candidates.push((cosine, first + (chunk * STRIDE + i) as u32));
                }
            }
            if best.candidates.len() >= 2 * k + STRIDE {
                best.keep(k);
            }
        }
    }
}

/// Rows of length 1; rows of zeros stay zeros, so their cosine with anything is 0.
pub(crate) fn unit_rows(rows: Rows) -> Vec<f32> {
    let mut units = rows.values.to_vec();
    units.par_chunks_mut((rows.dim * 64).max(1)).for_each(|block| {
        for row in block.chunks_exact_mut(rows.dim) {
            let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            let inverse = if norm > 0.0 { norm.recip() } else { 0.0 };
            row.iter_mut().for_each(|v| *v = (f64::from(*v) * inverse) as f32);
        }
    });
    units
}

impl Neighbours {
    /// The `k` rows of `bank` nearest to each row of `queries` by cosine; all of them when there are fewer.
    pub fn find(queries: Rows, bank: Rows, k: usize) -> Self {
        let mut search = Search::new(queries, k);
        search.add(bank);
        search.finish()
    }

    /// The class that the first `k` neighbours of each query vote for.
    ///
    /// `labels` are those of the bank, `classes` their number.
    pub fn vote(&self, labels: &[u32], classes: usize, k: usize, temperature: f64) -> Vec<u32> {
        assert!(k > 0 && k <= self.k, "a vote of {k} among {} neighbours", self.k);
        let queries = self.indices.par_chunks_exact(self.k).zip(self.cosines.par_chunks_exact(self.k));
        queries
            .map_init(Vec::new, |votes, (indices, cosines)| {
                votes.clear();
                votes.resize(classes, 0.0f64);
                for (&index, &cosine) in indices.iter().zip(cosines).take(k) {
                    // The nearest weighs 1, so that no temperature overflows; a common factor changes no vote.
                    votes[labels[index as usize] as usize] += (f64::from(cosine - cosines[0]) / temperature).exp();
                }
                argmax(votes)
            })
            .collect()
    }
}

/// Share of the `k` nearest other rows that two representations of the same samples have in common; 0 for a single row.
///
/// # Shapes
/// `a: [samples, dim_a]`, `b: [samples, dim_b]`
pub fn graph_agreement(a: Rows, b: Rows, k: usize) -> f64 {
    assert_eq!(a.len(), b.len(), "two representations of the same samples");
    let k = k.min(a.len().saturating_sub(1));
    if k == 0 {
        return 0.0;
    }
    let [a, b] = [a, b].map(|rows| Neighbours::find(rows, rows, k + 1));
    let rows = a.indices.chunks_exact(k + 1).zip(b.indices.chunks_exact(k + 1)).zip(0u32..);
    let common: usize = rows
        .map(|((a, b), own)| {
            // A row is its own nearest, unless more than k others are its equals.
            let others = |list: &[u32]| -> Vec<u32> { list.iter().copied().filter(|&i| i != own).take(k).collect() };
            let b = others(b);
            others(a).iter().filter(|i| b.contains(i)).count()
        })
        .sum();
    common as f64 / (a.indices.len() / (k + 1) * k) as f64
}

/// Position of the largest value, the first of equals.
pub(super) fn argmax<T: PartialOrd>(values: &[T]) -> u32 {
    let best = (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    best as u32
}

/// Share of predictions that are right, `0..=1`.
pub fn accuracy(predicted: &[u32], labels: &[u32]) -> f64 {
    assert_eq!(predicted.len(), labels.len());
    let right = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
    right as f64 / labels.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, StreamRng};

    fn normals(rows: usize, dim: usize, stream: u64) -> Vec<f32> {
        let mut rng = StreamRng::new(7, Purpose::Survey, stream, 0, 0);
        (0..rows * dim).map(|_| rng.normal()).collect()
    }

    #[test]
    fn points_on_a_circle_have_the_neighbours_one_sees() {
        let on_circle = |degrees: &[f32], radius: f32| -> Vec<f32> {
            degrees.iter().flat_map(|d| [radius * d.to_radians().cos(), radius * d.to_radians().sin()]).collect()
        };
        let bank = on_circle(&[0.0, 10.0, 90.0, 180.0, 200.0], 5.0);
        let queries = on_circle(&[4.0, 185.0, 80.0], 0.1);
        let found = Neighbours::find(Rows::new(&queries, 2), Rows::new(&bank, 2), 3);
        assert_eq!(found.indices, [0, 1, 2, 3, 4, 2, 2, 1, 0]);
        let expected = [4.0f32, 6.0, 86.0, 5.0, 15.0, 95.0, 10.0, 70.0, 80.0].map(|d| d.to_radians().cos());
        for (found, expected) in found.cosines.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
        // One near neighbour outvotes two far ones exactly when exp(s₁/T) > exp(s₂/T) + exp(s₃/T).
        let labels = [0, 1, 1, 1, 0];
        assert_eq!(found.vote(&labels, 2, 1, 0.07), [0, 1, 1]);
        let outvoted = |t: f64| {
            let vote = |d: f64| (d.to_radians().cos() / t).exp();
            u32::from(vote(4.0) < vote(6.0) + vote(86.0))
        };
        for temperature in [1e-4, 1e-3, 0.002, 0.01, 0.07, 1.0] {
            assert_eq!(found.vote(&labels, 2, 3, temperature)[0], outvoted(temperature), "T = {temperature}");
        }
        assert_ne!(outvoted(1.0), outvoted(0.07), "both outcomes are tried");
    }

    #[test]
    fn ties_go_to_the_lower_index_and_the_lower_class() {
        // 3,000 copies of one point: every cosine ties, across blocks of the bank too.
        let bank: Vec<f32> = normals(1, 8, 1).repeat(3000);
        let found = Neighbours::find(Rows::new(&bank[..16], 8), Rows::new(&bank, 8), 50);
        let expected: Vec<u32> = (0..50).collect();
        assert_eq!([&found.indices[..50], &found.indices[50..]], [&expected[..], &expected[..]]);
        let labels: Vec<u32> = (0..3000).map(|i| (i + 1) % 2).collect();
        assert_eq!(found.vote(&labels, 2, 2, 0.07), [0, 0]);
    }

    #[test]
    fn blocks_and_threads_leave_the_sorted_list_unchanged() {
        let (queries, bank, dim, k) = (normals(300, 24, 2), normals(2500, 24, 3), 24, 37);
        let (queries, bank) = (Rows::new(&queries, dim), Rows::new(&bank, dim));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Neighbours::find(queries, bank, k))
        };
        let found = run(1);
        assert!((2..5).all(|threads| run(threads) == found));
        let units = [unit_rows(queries), unit_rows(bank)];
        for q in (0..300).step_by(29) {
            let mut all: Vec<(f64, u32)> = (0..2500)
                .map(|b| {
                    (
                        (0..dim).map(|d| f64::from(units[0][q * dim + d]) * f64::from(units[1][b * dim + d])).sum(),
                        b as u32,
                    )
                })
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert!((0..k).all(|i| found.indices[q * k + i] == all[i].1), "query {q}");
        }
    }

    #[test]
    fn graphs_agree_by_the_neighbours_they_share() {
        let on_circle = |degrees: &[f32]| -> Vec<f32> {
            degrees.iter().flat_map(|d| [d.to_radians().cos(), d.to_radians().sin()]).collect()
        };
        // Nearest others: 1, 0, 3, 2 and, turned, 1, 0, 1, 0.
        let (a, b) = (on_circle(&[0.0, 10.0, 90.0, 100.0]), on_circle(&[0.0, 10.0, 60.0, 300.0]));
        let (a, b) = (Rows::new(&a, 2), Rows::new(&b, 2));
        assert_eq!((graph_agreement(a, b, 1), graph_agreement(a, a, 2), graph_agreement(a, b, 3)), (0.5, 1.0, 1.0));
    }

    #[test]
    fn k_is_capped_by_the_bank_and_zeros_are_unlike_everything() {
        let (queries, bank) = ([0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]);
        let found = Neighbours::find(Rows::new(&queries, 2), Rows::new(&bank, 2), 20);
        assert_eq!((found.k, found.indices, found.cosines), (2, vec![0, 1, 0, 1], vec![0.0, 0.0, 1.0, 0.0]));
        assert_eq!(Neighbours::find(Rows::new(&queries, 2), Rows::new(&[], 2), 20).k, 0);
    }
}
