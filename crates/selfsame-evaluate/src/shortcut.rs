//! Has the objective been solved by something trivial?
//!
//! Crops of one image share its colors, its background, a frame, a stripe pattern, a watermark: a network can match views by
//! these and learn nothing else (Chen et al. 2020, §3.1; Geirhos et al. 2020 on shortcuts in general). Which attributes of a
//! sample are trivial, and of which kind each is, is for the data side to say. For every kind, a kernel ridge regression on
//! held-out samples (every fourth) says how much of the representation is a function of that kind's attributes alone, however
//! bent: an objective that spreads embeddings over a sphere folds a color many times.
//!
//! | number | definition |
//! | --- | --- |
//! | `kind` | the kind of attributes that explains most beyond the untrained encoder |
//! | `explained` | share of the representation's variance that it explains |
//! | `untrained` | the same of the untrained encoder, which knows colors and textures too |
//! | `kinds` | both for every kind |

use crate::columns::mean_and_squares;
use crate::features::Rows;
use crate::ridge;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};

/// One sample of so many is held out.
const HELD_OUT: usize = 4;
/// Fewest samples of which a regression says anything.
const FEWEST: usize = 64;
/// Most training samples of a regression.
const MOST: usize = 4_000;
/// Waves of each width by which a kernel is approximated.
const WAVES: usize = 64;
/// Widths of the Gaussian kernels, in units of the mean distance of two samples.
const WIDTHS: [f64; 2] = [0.5, 1.0];

/// How much of a representation is trivial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shortcut {
    /// The kind of attributes that explains most beyond the untrained encoder.
    pub kind: String,
    /// Share of the variance that it explains.
    pub explained: f64,
    /// Share of the untrained encoder's variance that it explains.
    pub untrained: Option<f64>,
    /// The same of every kind.
    #[serde(default)]
    pub kinds: Vec<Explained>,
}

/// How much a kind of attributes explains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// The kind.
    pub kind: String,
    /// Share of the representation's variance.
    pub trained: f64,
    /// Share of the untrained encoder's.
    pub untrained: Option<f64>,
}

/// Attributes of samples that an objective may be solved by.
#[derive(Clone, Copy, Debug)]
pub struct TrivialAttributes<'a> {
    /// `[samples, attributes]`
    pub values: Rows<'a>,
    /// What they are: names of kinds, and how many attributes are of each, in their order.
    pub kinds: &'a [(&'a str, usize)],
}

/// How much of `embeddings` is in `trivial`, of the same samples, kind by kind, and of what the untrained encoder makes of them;
/// `None` for fewer than 64 samples.
///
/// # Shapes
/// `embeddings: [samples, dim]`, `untrained: [samples, any]`
///
/// # Errors
/// If a value is not finite.
pub fn shortcut(
    embeddings: Rows,
    untrained: Option<Rows>,
    trivial: TrivialAttributes,
) -> Result<Option<Shortcut>, DataError> {
    let TrivialAttributes { values: trivial, kinds } = trivial;
    assert_eq!(embeddings.len(), trivial.len(), "attributes of every sample");
    embeddings.check_finite("the embeddings")?;
    trivial.check_finite("the trivial attributes")?;
    if embeddings.len() < FEWEST || trivial.is_empty() {
        return Ok(None);
    }
    assert_eq!(kinds.iter().map(|(_, count)| count).sum::<usize>(), trivial.dim, "a kind for every attribute");
    let count = embeddings.len().min(MOST);
    let targets: Vec<f32> = (0..count)
        .flat_map(|i| embeddings.row(i).iter().chain(untrained.iter().flat_map(move |rows| rows.row(i))))
        .copied()
        .collect();
    let targets = Split::of(Rows::new(&targets, embeddings.dim + untrained.map_or(0, |rows| rows.dim)));
    let trivial = standardized(trivial.slice(0, count));
    let all: usize = kinds.iter().map(|(_, count)| count).sum();
    let mut start = 0;
    let mut found = Vec::with_capacity(kinds.len());
    for &(kind, width) in kinds {
        let values: Vec<f32> = trivial.chunks_exact(all).flat_map(|row| &row[start..start + width]).copied().collect();
        start += width;
        let features = lifted(Rows::new(&values, width));
        let features = Split::of(Rows::new(&features, width + 2 * WAVES * WIDTHS.len()));
        let fit = ridge::held_out([features.train(), targets.train()], [features.test(), targets.test()]);
        found.push(Explained {
            kind: kind.into(),
            trained: fit.r2_of(0..embeddings.dim),
            untrained: untrained.map(|rows| fit.r2_of(embeddings.dim..embeddings.dim + rows.dim)),
        });
    }
    let beyond = |e: &Explained| e.trained - e.untrained.unwrap_or(0.0);
    let Some(most) = found.iter().max_by(|a, b| beyond(a).total_cmp(&beyond(b))).cloned() else { return Ok(None) };
    Ok(Some(Shortcut { kind: most.kind, explained: most.trained, untrained: most.untrained, kinds: found }))
}

/// Rows that are fitted, and rows that are held out.
struct Split {
    train: Vec<f32>,
    test: Vec<f32>,
    dim: usize,
}

impl Split {
    fn of(rows: Rows) -> Self {
        let pick = |held_out: bool| -> Vec<f32> {
            let chosen = (0..rows.len()).filter(|i| (i % HELD_OUT == HELD_OUT - 1) == held_out);
            chosen.flat_map(|i| rows.row(i)).copied().collect()
        };
        Self { train: pick(false), test: pick(true), dim: rows.dim }
    }

    fn train(&self) -> Rows<'_> {
        Rows::new(&self.train, self.dim)
    }

    fn test(&self) -> Rows<'_> {
        Rows::new(&self.test, self.dim)
    }
}

/// Rows with sines and cosines of random projections beside them: a ridge on these is one with Gaussian kernels of [`WIDTHS`]
/// (Rahimi & Recht 2007), and a linear one.
fn lifted(rows: Rows) -> Vec<f32> {
    // Standardized columns: the mean squared distance of two rows is twice the number of columns that vary.
    let distance = (2.0 * rows.dim as f64).sqrt();
    let mut random = StreamRng::new(0, Purpose::Survey, 4, rows.dim as u64, 0);
    let waves: Vec<f32> = WIDTHS
        .iter()
        .flat_map(|width| std::iter::repeat_n(1.0 / (width * distance), WAVES * rows.dim))
        .map(|scale| scale as f32 * random.normal())
        .collect();
    let row = |row: &[f32]| {
        let turned = |wave: &[f32]| row.iter().zip(wave).map(|(a, b)| a * b).sum::<f32>().sin_cos();
        let waves = waves.chunks_exact(row.len()).flat_map(|wave| <[f32; 2]>::from(turned(wave)));
        row.iter().copied().chain(waves).collect::<Vec<f32>>()
    };
    rows.values.chunks_exact(rows.dim).flat_map(row).collect()
}

/// Columns with mean 0 and variance 1, so that one strength suits them all; constant columns become 0.
fn standardized(rows: Rows) -> Vec<f32> {
    let (mean, squares) = mean_and_squares(rows);
    let scale: Vec<f64> = squares.iter().map(|s| (s / rows.len() as f64).sqrt()).collect();
    let standard = |j: usize, v: f32| if scale[j] > 1e-12 { (f64::from(v) - mean[j]) / scale[j] } else { 0.0 };
    rows.values.iter().enumerate().map(|(i, &v)| standard(i % rows.dim, v) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::normals;

    const KINDS: [(&str, usize); 2] = [("one", 1), ("two", 2)];

    fn of(h: &[f32], dim: usize, trivial: &[f32]) -> Result<Option<Shortcut>, DataError> {
        let attributes = TrivialAttributes { values: Rows::new(trivial, 3), kinds: &KINDS };
        shortcut(Rows::new(h, dim), None, attributes)
    }

    #[test]
    fn the_kind_that_is_passed_on_is_named() {
        let rows = 400;
        let trivial = normals(rows, 3, 1);
        // The first of the second kind as it is, and noise.
        let noise = normals(rows, 2, 2);
        let h: Vec<f32> =
            (0..rows).flat_map(|i| [noise[2 * i], 5.0 * trivial[3 * i + 1] + 2.0, noise[2 * i + 1]]).collect();
        let found = of(&h, 3, &trivial).unwrap().unwrap();
        // 25 of a variance of 27 is explained.
        assert_eq!(found.kind, "two", "{found:?}");
        assert!((found.explained - 25.0 / 27.0).abs() < 0.05 && found.kinds[0].trained.abs() < 0.05, "{found:?}");
        assert_eq!(of(&h[..180], 3, &trivial[..180]).unwrap(), None, "too few samples");
        let mut broken = h.clone();
        broken[7] = f32::NAN;
        assert!(of(&broken, 3, &trivial).unwrap_err().to_string().contains("row 2 of the embeddings"));
        assert!(of(&trivial, 3, &broken).unwrap_err().to_string().contains("trivial attributes"));
    }

    #[test]
    fn what_is_folded_is_explained_too() {
        // On a circle that is run through three times: no linear function of the attribute explains any of it.
        let rows = 600;
        let trivial = normals(rows, 3, 3);
        let h: Vec<f32> = (0..rows).flat_map(|i| <[f32; 2]>::from((3.0 * trivial[3 * i]).sin_cos())).collect();
        let found = of(&h, 2, &trivial).unwrap().unwrap();
        assert!(found.kind == "one" && found.explained > 0.9, "{found:?}");
    }
}
