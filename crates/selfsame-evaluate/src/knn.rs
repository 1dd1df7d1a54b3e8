//! k-nearest-neighbor classification: how well do a few labeled neighbors tell the class?
//!
//! Wu, Xiong, Yu, Lin: *Unsupervised Feature Learning via Non-Parametric Instance Discrimination* (2018), §3.4. With
//! cosine similarity `s` and the `k` most similar labeled samples `N(x)`, a class gets the vote
//!
//! ```text
//! w(c) = Σ_{i ∈ N(x), label i = c} exp(s(x, i) / T)
//! ```
//!
//! Neighbors are exact: every similarity is computed, block by block, and only those that can still be among the `k`
//! best are kept. Ties go to the lower index, and to the lower class.

use crate::features::{FeatureTable, Rows};
use crate::matmul::{Strided, matmul};
use rayon::prelude::*;
use selfsame_base::DataError;

/// Rows of the bank that are searched at a time; a block and its similarities stay in cache.
const BANK_BLOCK: usize = 1024;
/// Queries that one task handles.
const QUERY_BLOCK: usize = 512;

/// The most similar bank rows of each query.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbors {
    /// Neighbors per query: what was asked for, or the size of the bank if that is smaller.
    pub k: usize,
    /// `[queries, k]`: rows of the bank, most similar first.
    pub indices: Vec<u32>,
    /// `[queries, k]`: their cosine similarities.
    pub cosines: Vec<f32>,
}

/// A search that sees the bank piece by piece, so that the bank need not be in memory.
struct Search {
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
    fn new(queries: Rows, k: usize) -> Self {
        assert!(k > 0, "a search for no neighbors");
        let best = (0..queries.len()).map(|_| Best { candidates: Vec::new(), bar: f32::NEG_INFINITY }).collect();
        Self { queries: unit_rows(queries), dim: queries.dim, k, seen: 0, best }
    }

    /// Searches the next rows of the bank.
    fn add(&mut self, bank: Rows) {
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
                matmul(Strided::new(queries, best.len(), dim), Strided::new(&block, count, dim).t(), cosines);
                for (best, cosines) in best.iter_mut().zip(cosines.chunks_exact(count)) {
                    scan(best, k, cosines, first);
                }
            });
        }
        self.seen += bank.len();
    }

    /// The neighbors among all rows added.
    fn finish(mut self) -> Neighbors {
        let k = self.k.min(self.seen);
        self.best.par_iter_mut().for_each(|best| {
            best.keep(self.k);
            best.candidates.sort_unstable_by(closer);
        });
        let all = || self.best.iter().flat_map(|best| &best.candidates);
        Neighbors { k, indices: all().map(|c| c.1).collect(), cosines: all().map(|c| c.0).collect() }
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

impl Neighbors {
    /// The `k` rows of `bank` nearest to each row of `queries` by cosine; all of them when there are fewer. `k` is at least 1.
    ///
    /// # Shapes
    /// `queries: [queries, dim]`, `bank: [bank, dim]`
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn find(queries: Rows, bank: Rows, k: usize) -> Result<Self, DataError> {
        queries.check_finite("the queries of a neighbor search")?;
        bank.check_finite("the rows in which neighbors are searched")?;
        let mut search = Search::new(queries, k);
        search.add(bank);
        Ok(search.finish())
    }

    /// The class that the first `k` neighbors of each query vote for, `[queries]`.
    ///
    /// `labels` are those of the bank, each under `classes`; `k` is from 1 to [`Self::k`].
    pub fn vote(&self, labels: &[u32], classes: usize, k: usize, temperature: f64) -> Vec<u32> {
        assert!(k > 0 && k <= self.k, "a vote of {k} among {} neighbors", self.k);
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

impl Neighbors {
    /// The mean of what the first `k` neighbors of each query have, weighted as they vote, `[queries, targets]`.
    ///
    /// `values` are those of the bank, `[bank, targets]`; `k` is from 1 to [`Self::k`].
    pub fn mean(&self, values: Rows, k: usize, temperature: f64) -> Vec<f32> {
        assert!(k > 0 && k <= self.k, "a mean of {k} among {} neighbors", self.k);
        let queries = self.indices.par_chunks_exact(self.k).zip(self.cosines.par_chunks_exact(self.k));
        let of_query = |(indices, cosines): (&[u32], &[f32])| {
            let (mut sums, mut total) = (vec![0.0f64; values.dim], 0.0);
            for (&index, &cosine) in indices.iter().zip(cosines).take(k) {
                let weight = (f64::from(cosine - cosines[0]) / temperature).exp();
                total += weight;
                let row = values.row(index as usize);
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * f64::from(value));
            }
            sums.into_iter().map(move |sum| (sum / total) as f32)
        };
        queries.flat_map_iter(of_query).collect()
    }
}

/// Share of the `k` nearest other rows that two representations of the same samples have in common; 0 for a single row.
///
/// # Shapes
/// `a: [samples, dim_a]`, `b: [samples, dim_b]`
///
/// # Errors
/// If a value is not finite.
pub fn graph_agreement(a: Rows, b: Rows, k: usize) -> Result<f64, DataError> {
    assert_eq!(a.len(), b.len(), "two representations of the same samples");
    let k = k.min(a.len().saturating_sub(1));
    if k == 0 {
        return Ok(0.0);
    }
    let (a, b) = (Neighbors::find(a, a, k + 1)?, Neighbors::find(b, b, k + 1)?);
    let rows = a.indices.chunks_exact(k + 1).zip(b.indices.chunks_exact(k + 1)).zip(0u32..);
    let common: usize = rows
        .map(|((a, b), own)| {
            // A row is its own nearest, unless more than k others are its equals.
            let others = |list: &[u32]| -> Vec<u32> { list.iter().copied().filter(|&i| i != own).take(k).collect() };
            let b = others(b);
            others(a).iter().filter(|i| b.contains(i)).count()
        })
        .sum();
    Ok(common as f64 / (a.indices.len() / (k + 1) * k) as f64)
}

/// Position of the largest value, the first of equals.
pub fn argmax<T: PartialOrd>(values: &[T]) -> u32 {
    let best = (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best });
    best as u32
}

/// Share of predictions that are correct, `0..=1`; 0 of none.
pub fn accuracy(predicted: &[u32], labels: &[u32]) -> f64 {
    assert_eq!(predicted.len(), labels.len());
    let correct = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
    correct as f64 / labels.len().max(1) as f64
}

/// Share of `queries` that the kNN vote of `bank` classifies correctly; both tables number their classes alike. `k` is
/// capped by the size of the bank.
///
/// # Errors
/// If one of the tables is empty or without labels, or a value is not finite.
pub fn score(bank: &FeatureTable, queries: &FeatureTable, k: usize, temperature: f64) -> Result<f64, DataError> {
    for (what, table) in [("kNN bank", bank), ("kNN queries", queries)] {
        if table.is_empty() || table.labels.len() != table.len() {
            return Err(DataError::Data(format!("the {what} have no labeled sample that can be read")));
        }
        table.check_finite("the representation")?;
    }
    let neighbors = Neighbors::find(queries.rows(), bank.rows(), k.max(1))?;
    let classes = bank.labels.iter().max().map_or(0, |&largest| largest as usize + 1).max(bank.classes.len());
    Ok(accuracy(&neighbors.vote(&bank.labels, classes, neighbors.k, temperature), &queries.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    fn normals(rows: usize, dim: usize, stream: u64) -> Vec<f32> {
        let mut rng = StreamRng::new(7, Purpose::Survey, stream, 0, 0);
        (0..rows * dim).map(|_| rng.normal()).collect()
    }

    #[test]
    fn points_on_a_circle_have_the_neighbors_one_sees() {
        let on_circle = |degrees: &[f32], radius: f32| -> Vec<f32> {
            degrees.iter().flat_map(|d| [radius * d.to_radians().cos(), radius * d.to_radians().sin()]).collect()
        };
        let bank = on_circle(&[0.0, 10.0, 90.0, 180.0, 200.0], 5.0);
        let queries = on_circle(&[4.0, 185.0, 80.0], 0.1);
        let found = Neighbors::find(Rows::new(&queries, 2), Rows::new(&bank, 2), 3).unwrap();
        assert_eq!(found.indices, [0, 1, 2, 3, 4, 2, 2, 1, 0]);
        let expected = [4.0f32, 6.0, 86.0, 5.0, 15.0, 95.0, 10.0, 70.0, 80.0].map(|d| d.to_radians().cos());
        for (found, expected) in found.cosines.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
        // One near neighbor outvotes two far ones exactly when exp(s₁/T) > exp(s₂/T) + exp(s₃/T).
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
        // What neighbors have is averaged with the same weights.
        let values = [1.0, 0.0, 3.0, 10.0, 7.0, 0.0, 0.0, 5.0, 0.0, 5.0];
        let mean = found.mean(Rows::new(&values, 2), 2, 0.5);
        let [first, second] = [4.0f64, 6.0].map(|d| (d.to_radians().cos() / 0.5).exp());
        let expected = [(first + 3.0 * second) / (first + second), 10.0 * second / (first + second)];
        assert!(
            mean[..2].iter().zip(expected).all(|(found, exact)| (f64::from(*found) - exact).abs() < 1e-6),
            "{mean:?}"
        );
        assert_eq!(found.mean(Rows::new(&values, 2), 1, 0.07), [1.0, 0.0, 0.0, 5.0, 7.0, 0.0]);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_the_lower_class() {
        // 3,000 copies of one point: every cosine ties, across blocks of the bank too.
        let bank: Vec<f32> = normals(1, 8, 1).repeat(3000);
        let found = Neighbors::find(Rows::new(&bank[..16], 8), Rows::new(&bank, 8), 50).unwrap();
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
            pool.install(|| Neighbors::find(queries, bank, k).unwrap())
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
    fn graphs_agree_by_the_neighbors_they_share() {
        let on_circle = |degrees: &[f32]| -> Vec<f32> {
            degrees.iter().flat_map(|d| [d.to_radians().cos(), d.to_radians().sin()]).collect()
        };
        // Nearest others: 1, 0, 3, 2 and, turned, 1, 0, 1, 0.
        let (a, b) = (on_circle(&[0.0, 10.0, 90.0, 100.0]), on_circle(&[0.0, 10.0, 60.0, 300.0]));
        let (a, b) = (Rows::new(&a, 2), Rows::new(&b, 2));
        assert_eq!(
            [(a, b, 1), (a, a, 2), (a, b, 3)].map(|(a, b, k)| graph_agreement(a, b, k).unwrap()),
            [0.5, 1.0, 1.0]
        );
    }

    #[test]
    fn k_is_capped_by_the_bank_and_zeros_are_unlike_everything() {
        let (queries, bank) = ([0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]);
        let found = Neighbors::find(Rows::new(&queries, 2), Rows::new(&bank, 2), 20).unwrap();
        assert_eq!((found.k, found.indices, found.cosines), (2, vec![0, 1, 0, 1], vec![0.0, 0.0, 1.0, 0.0]));
        assert_eq!(Neighbors::find(Rows::new(&queries, 2), Rows::new(&[], 2), 20).unwrap().k, 0);
    }
    #[test]
    fn values_that_are_no_numbers_are_an_error_and_never_a_neighbor() {
        let good = [1.0, 0.0, 0.0, 1.0];
        for none in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = [1.0, 0.0, none, 1.0];
            let problem = |queries: &[f32], bank: &[f32]| {
                Neighbors::find(Rows::new(queries, 2), Rows::new(bank, 2), 1).unwrap_err().to_string()
            };
            assert!(problem(&bad, &good).contains("row 1 of the queries"));
            assert!(problem(&good, &bad).contains("row 1 of the rows in which neighbors are searched"));
            let agreement = graph_agreement(Rows::new(&good, 2), Rows::new(&bad, 2), 1);
            assert!(agreement.unwrap_err().to_string().contains("not finite"));
            let table = |values: &[f32]| FeatureTable {
                values: values.to_vec(),
                dim: 2,
                ids: ["a", "b"].map(String::from).to_vec(),
                labels: vec![0, 1],
                classes: ["x", "y"].map(String::from).to_vec(),
            };
            assert_eq!(score(&table(&good), &table(&good), 20, 0.07).unwrap(), 1.0);
            assert!(score(&table(&good), &table(&bad), 20, 0.07).unwrap_err().to_string().contains("sample b"));
            let empty = score(&FeatureTable::default(), &table(&good), 20, 0.07);
            assert!(empty.unwrap_err().to_string().contains("no labeled sample"));
        }
    }
}
