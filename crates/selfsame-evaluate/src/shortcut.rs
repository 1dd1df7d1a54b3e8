//! Has the objective been solved by something trivial?
//!
//! Crops of one image share their histogram: without augmentations that change it, a network can match views by
//! brightness and color and learn nothing else (Chen et al. 2020, §3.1; Geirhos et al. 2020 on shortcuts in general).
//! Which attributes of a sample are trivial is for the data side to say: of images, what survives a shuffling of the pixels.
//! Two ridge regressions on held-out samples (every fourth) relate them to the representation:
//!
//! | number | definition |
//! | --- | --- |
//! | `predicted` | `R²` of the trivial attribute that `h` predicts best |
//! | `explained` | share of `h`'s variance that all trivial attributes together explain |
//!
//! Healthy encoders know the brightness too, so `predicted` alone proves nothing; suspicious is a representation of which
//! trivial attributes explain most *and* which still finds the other view of a sample (the rule in [`crate::verdict`]).

use crate::columns::mean_and_squares;
use crate::features::Rows;
use crate::ridge;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};

/// One sample of so many is held out.
const HELD_OUT: usize = 4;
/// Fewest samples of which a regression says anything.
const FEWEST: usize = 64;
/// Most training samples of a regression.
const MOST: usize = 12_000;

/// How much of a representation is trivial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shortcut {
    /// The attribute that is predicted best.
    pub attribute: String,
    /// `R²` of its prediction.
    pub predicted: f64,
    /// Share of the variance that all attributes explain.
    pub explained: f64,
}

/// Attributes of samples that an objective may be solved by.
#[derive(Clone, Copy, Debug)]
pub struct TrivialAttributes<'a> {
    /// `[samples, attributes]`
    pub values: Rows<'a>,
    /// `[attributes]`: what they are.
    pub names: &'a [String],
}

/// How much of `embeddings` is in `trivial`, of the same samples; `None` for fewer than 64 samples.
///
/// # Shapes
/// `embeddings: [samples, dim]`
///
/// # Errors
/// If a value is not finite.
pub fn shortcut(embeddings: Rows, trivial: TrivialAttributes) -> Result<Option<Shortcut>, DataError> {
    let TrivialAttributes { values: trivial, names } = trivial;
    assert_eq!(embeddings.len(), trivial.len(), "attributes of every sample");
    embeddings.check_finite("the embeddings")?;
    trivial.check_finite("the trivial attributes")?;
    if embeddings.len() < FEWEST || trivial.is_empty() {
        return Ok(None);
    }
    assert_eq!(names.len(), trivial.dim, "a name for every attribute");
    let (trivial, attributes) = (standardized(trivial), trivial.dim);
    let trivial = Rows::new(&trivial, attributes);
    let split = |rows: Rows| -> [Vec<f32>; 2] {
        let pick = |held_out: bool| -> Vec<f32> {
            let chosen = (0..rows.len().min(MOST)).filter(|i| (i % HELD_OUT == HELD_OUT - 1) == held_out);
            chosen.flat_map(|i| rows.row(i)).copied().collect()
        };
        [pick(false), pick(true)]
    };
    let (h, t) = (split(embeddings), split(trivial));
    let [h_train, h_test] = h.each_ref().map(|values| Rows::new(values, embeddings.dim));
    let [t_train, t_test] = t.each_ref().map(|values| Rows::new(values, attributes));
    let predicted = ridge::held_out([h_train, t_train], [h_test, t_test]).r2();
    let best = (0..attributes).fold(0, |best, i| if predicted[i] > predicted[best] { i } else { best });
    Ok(Some(Shortcut {
        attribute: names[best].clone(),
        predicted: predicted[best],
        explained: ridge::held_out([t_train, h_train], [t_test, h_test]).r2_of_all(),
    }))
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

    #[test]
    fn the_attribute_that_is_passed_on_is_named() {
        let (rows, names) = (200, ["one", "two", "three"].map(String::from));
        let trivial = normals(rows, 3, 1);
        // The second attribute as it is, and noise.
        let noise = normals(rows, 2, 2);
        let h: Vec<f32> =
            (0..rows).flat_map(|i| [noise[2 * i], 5.0 * trivial[3 * i + 1] + 2.0, noise[2 * i + 1]]).collect();
        let of = |h: &[f32], trivial: &[f32]| {
            let attributes = TrivialAttributes { values: Rows::new(trivial, 3), names: &names };
            shortcut(Rows::new(h, 3), attributes)
        };
        let found = of(&h, &trivial).unwrap().unwrap();
        // 25 of a variance of 27 is explained.
        assert!(found.attribute == "two" && found.predicted > 0.99, "{found:?}");
        assert!((found.explained - 25.0 / 27.0).abs() < 0.05, "{found:?}");
        assert_eq!(of(&h[..180], &trivial[..180]).unwrap(), None, "too few samples");
        let mut broken = h.clone();
        broken[7] = f32::NAN;
        assert!(of(&broken, &trivial).unwrap_err().to_string().contains("row 2 of the embeddings"));
        assert!(of(&trivial, &broken).unwrap_err().to_string().contains("trivial attributes"));
    }
}
