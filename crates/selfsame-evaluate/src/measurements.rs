//! What a diagnosis measures of a representation. It needs no labels.
//!
//! | field | meaning |
//! | --- | --- |
//! | `samples` … `spectrum` | statistics of the embeddings: see [`crate::collapse`] |
//! | `views` | views of a sample by which the next three were measured |
//! | `alignment` | `mean ‖u − u⁺‖²` over two views of each sample (Wang & Isola 2020); near 0 is aligned |
//! | `view_retrieval` | share of samples whose second view is the nearest to their first among the second views of 100 samples |
//! | `lidar` | see [`crate::lidar`] |
//! | `untrained_agreement` | share of the nearest neighbors that the untrained encoder of the same plan gives too, beyond chance: 0 is chance, 1 is all |
//! | `untrained_spread` | root mean square of the centered embeddings over that of the untrained encoder's |
//! | `source_dim` | width of the representation that an embedding is made of |
//! | `input_spread` | how far samples differ in what is trivial of their pixels: root mean square, over attributes, of the standard deviation over samples |
//! | `weights_turned` | mean angle, in degrees, by which the encoder's weights have turned from their initial values |
//! | `loss` | `last`, `trivial`, `formula`: where the loss ended, and where constant outputs would leave it |
//! | `epochs` | passes over the data that the training has made |
//! | `shortcut` | how much of the representation is trivial: see [`crate::shortcut`] |
//!
//! What was not measured is missing (`null`).

use crate::collapse::{Statistics, largest_rank, statistics};
use crate::columns::mean_and_squares;
use crate::features::Rows;
use crate::knn::{Neighbors, graph_agreement, unit_rows};
use crate::lidar::lidar;
use crate::shortcut::{Shortcut, TrivialAttributes, shortcut};
use crate::training::{LossEnd, Training};
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};

/// Neighbors by which two kNN graphs are compared, at most: a fifth of few samples.
const GRAPH_K: usize = 20;
/// Samples by which they are compared, at most.
const GRAPH_SAMPLES: usize = 4096;

/// What is measured. Everything but the embeddings may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Of the samples as they are, `[samples, dim]`.
    pub embeddings: Rows<'a>,
    /// Of augmented views, `[samples · views, dim]`, the views of a sample in consecutive rows, and their number.
    pub views: Option<(Rows<'a>, usize)>,
    /// Of the same samples by the untrained network, `[samples, dim]`.
    pub untrained: Option<Rows<'a>>,
    /// Trivial attributes of the same samples.
    pub trivial: Option<TrivialAttributes<'a>>,
    /// Width of the representation that these embeddings are made of; none where they are it.
    pub source_dim: Option<usize>,
    /// What is known of the training.
    pub training: Option<&'a Training>,
}

impl<'a> Observed<'a> {
    /// Embeddings alone.
    pub fn new(embeddings: Rows<'a>) -> Self {
        Self { embeddings, views: None, untrained: None, trivial: None, source_dim: None, training: None }
    }
}

/// What was measured. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// Statistics of the embeddings.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Views of each sample.
    pub views: Option<usize>,
    /// Mean squared distance of two views of a sample, of unit length.
    pub alignment: Option<f64>,
    /// Share of samples whose other view is their nearest of a hundred.
    pub view_retrieval: Option<f64>,
    /// Effective rank of the ratios of variance between samples to that within.
    pub lidar: Option<f64>,
    /// Share of neighbors that are also the untrained network's, beyond chance.
    pub untrained_agreement: Option<f64>,
    /// Spread of the embeddings over that of the untrained network's.
    pub untrained_spread: Option<f64>,
    /// Width of the representation that the embeddings are made of.
    pub source_dim: Option<usize>,
    /// How far the inputs differ.
    pub input_spread: Option<f64>,
    /// Degrees by which the weights have turned.
    pub weights_turned: Option<f64>,
    /// Where the loss ended.
    pub loss: Option<LossEnd>,
    /// Passes over the data.
    pub epochs: Option<f64>,
    /// How much of it is trivial.
    pub shortcut: Option<Shortcut>,
}

/// Measures embeddings of at least two samples.
///
/// # Errors
/// If there are fewer samples, or a value is not finite.
pub fn measure(observed: &Observed) -> Result<Measurements, DataError> {
    let Observed { embeddings, views, untrained, trivial, source_dim, training } = *observed;
    let statistics = statistics(embeddings)?;
    if let Some((views, _)) = views {
        views.check_finite("the embeddings of augmented views")?;
    }
    if let Some(untrained) = untrained {
        untrained.check_finite("the embeddings of the untrained network")?;
    }
    let several = views.filter(|(_, count)| *count > 1);
    let pair = several.map(|(rows, count)| [0, 1].map(|view| of_view(rows, count, view)));
    let dim = embeddings.dim;
    let pair = pair.as_ref().map(|[a, b]| [Rows::new(a, dim), Rows::new(b, dim)]);
    Ok(Measurements {
        statistics,
        views: views.map(|(_, count)| count),
        alignment: pair.map(|[a, b]| alignment(a, b)),
        view_retrieval: pair.map(|[a, b]| view_retrieval(a, b)).transpose()?,
        lidar: several.map(|(rows, count)| lidar(rows, count)).transpose()?,
        untrained_agreement: untrained.map(|untrained| agreement(embeddings, untrained)).transpose()?,
        untrained_spread: untrained
            .map(spread)
            .filter(|spread| *spread > 0.0)
            .map(|before| spread(embeddings) / before),
        source_dim,
        input_spread: trivial.map(|trivial| spread(trivial.values)),
        weights_turned: training.and_then(|training| training.weights_turned),
        loss: training.and_then(|training| training.loss.clone()),
        epochs: training.and_then(|training| training.epochs),
        shortcut: trivial.map(|trivial| shortcut(embeddings, untrained, trivial)).transpose()?.flatten(),
    })
}

/// Share of the neighbors that two representations have in common, beyond what chance would give: `(a − c) / (1 − c)` with
/// `c = k / (samples − 1)`.
fn agreement(embeddings: Rows, untrained: Rows) -> Result<f64, DataError> {
    let count = embeddings.len().min(GRAPH_SAMPLES);
    let k = GRAPH_K.min(count / 5).max(1);
    let found = graph_agreement(embeddings.slice(0, count), untrained.slice(0, count), k)?;
    let chance = k as f64 / (count.max(2) - 1) as f64;
    Ok(if chance < 1.0 { (found - chance) / (1.0 - chance) } else { 0.0 })
}

/// Root mean square, over columns, of their standard deviations.
fn spread(rows: Rows) -> f64 {
    let (_, squares) = mean_and_squares(rows);
    (squares.iter().sum::<f64>() / rows.values.len().max(1) as f64).sqrt()
}

/// Rows of one view, `[samples, dim]`.
fn of_view(rows: Rows, views: usize, view: usize) -> Vec<f32> {
    (view..rows.len()).step_by(views).flat_map(|row| rows.row(row)).copied().collect()
}

/// `mean ‖u − u⁺‖²`
fn alignment(embeddings: Rows, positives: Rows) -> f64 {
    let (a, b) = (unit_rows(embeddings), unit_rows(positives));
    let squares = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / embeddings.len() as f64
}

/// Samples among which a view is looked for: always as many, so that the share does not depend on how many were looked at.
const RETRIEVED: usize = 100;

/// Share of rows whose nearest row of `others`, in blocks of [`RETRIEVED`] samples, is their own. What is left over of a block is
/// left out, unless it is all there is.
fn view_retrieval(rows: Rows, others: Rows) -> Result<f64, DataError> {
    let size = RETRIEVED.min(rows.len());
    let blocks = rows.len() / size.max(1);
    let mut found = 0;
    for block in 0..blocks {
        let [rows, others] = [rows, others].map(|all| all.slice(block * size, size));
        let nearest = Neighbors::find(rows, others, 1)?.indices;
        found += nearest.iter().zip(0..).filter(|(found, own)| **found == *own).count();
    }
    Ok(found as f64 / (blocks * size).max(1) as f64)
}

impl Measurements {
    /// The largest centered effective rank that can be asked of so many samples of these widths.
    pub fn largest_rank(&self) -> usize {
        let Statistics { dim, samples, .. } = self.statistics;
        largest_rank(dim, self.source_dim.unwrap_or(dim), samples)
    }

    /// Every number that was measured, with its name.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        let s = &self.statistics;
        let measured = [
            ("samples", Some(s.samples as f64)),
            ("dim", Some(s.dim as f64)),
            ("std", Some(s.std)),
            ("mean cosine", Some(s.mean_cosine)),
            ("centered norm ratio", Some(s.centered_norm_ratio)),
            ("effective rank", Some(s.effective_rank)),
            ("centered effective rank", Some(s.centered_effective_rank)),
            ("dead share", Some(s.dead_share)),
            ("uniformity", Some(s.uniformity)),
            ("views", self.views.map(|views| views as f64)),
            ("alignment", self.alignment),
            ("view retrieval", self.view_retrieval),
            ("lidar", self.lidar),
            ("untrained agreement", self.untrained_agreement),
            ("untrained spread", self.untrained_spread),
            ("input spread", self.input_spread),
            ("weights turned", self.weights_turned),
            ("last loss", self.loss.as_ref().map(|loss| loss.last)),
            ("epochs", self.epochs),
        ];
        measured.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::normals;

    #[test]
    fn alignment_and_retrieval_follow_their_definitions() {
        // Unit vectors at angles; the second view is turned by 60°, so ‖u − u⁺‖² = 2 − 2 cos 60° = 1.
        let at = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let views: Vec<f32> = [0.0, 60.0, 90.0, 150.0, 200.0, 260.0].into_iter().flat_map(at).collect();
        let plain: Vec<f32> = [0.0, 90.0, 200.0].into_iter().flat_map(at).collect();
        let observed = Observed { views: Some((Rows::new(&views, 2), 2)), ..Observed::new(Rows::new(&plain, 2)) };
        let found = measure(&observed).unwrap();
        assert!((found.alignment.unwrap() - 1.0).abs() < 1e-5);
        // 0° finds 60° (its own); 90° finds 60° (another's), 200° finds 150° (another's).
        assert!((found.view_retrieval.unwrap() - 1.0 / 3.0).abs() < 1e-9);
        let names: Vec<&str> = found.numbers().iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"lidar") && !names.contains(&"epochs"), "{names:?}");
    }

    #[test]
    fn numbers_that_are_none_are_said_with_where_they_are() {
        let (good, mut bad) = (normals(80, 4, 1), normals(80, 4, 1));
        bad[41] = f32::NAN;
        let (good, bad) = (Rows::new(&good, 4), Rows::new(&bad, 4));
        let problem = |observed: Observed| measure(&observed).unwrap_err().to_string();
        let plain = Observed::new(good);
        assert!(problem(Observed::new(bad)).contains("row 10 of the embeddings is not finite"));
        assert!(problem(Observed { views: Some((bad, 2)), ..plain }).contains("augmented views"));
        assert!(problem(Observed { untrained: Some(bad), ..plain }).contains("untrained network"));
        let trivial = Some(TrivialAttributes { values: bad, kinds: &[("a", 4)] });
        assert!(problem(Observed { trivial, ..plain }).contains("trivial attributes"));
        assert!(problem(Observed::new(good.slice(0, 1))).contains("at least 2 samples"));
    }
}
