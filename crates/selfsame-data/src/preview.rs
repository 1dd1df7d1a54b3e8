//! What the encoder is shown: samples beside the very views that training makes of them in its first epoch, with the
//! parameters that were drawn.

use crate::DataError;
use crate::augment::{Draw, View};
use crate::config::Plan;
use crate::dataset::Dataset;
use crate::image::{Image, Pixels};
use crate::sheet::{Sheet, stretch};
use crate::views::{TrainLoader, ViewPlan};
use std::sync::Arc;

/// Samples and their views.
#[derive(Clone, Debug)]
pub struct Preview {
    /// One entry a sample, in the order of training.
    pub samples: Vec<Shown>,
    /// Views of each sample.
    pub views: usize,
    /// Tiles: of each sample first itself, then its views.
    pub sheet: Sheet,
}

/// A sample and what was drawn for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The sample's id.
    pub id: String,
    /// One entry a view.
    pub views: Vec<ShownView>,
}

/// Parameters by name.
pub type Drawn = Vec<(&'static str, f32)>;

/// A view and how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownView {
    /// Group of views that it belongs to, and its side, px.
    pub group: usize,
    /// Side that the encoder sees, px.
    pub size_px: usize,
    /// Augmentations in their order: name, and parameters with their values where it was applied.
    pub steps: Vec<(&'static str, Option<Drawn>)>,
}

impl Preview {
    /// The views of the first `samples` samples of the first epoch, in tiles of at most `side` px.
    pub fn new(dataset: &Arc<Dataset>, plan: &Plan, samples: usize, side: usize) -> Result<Self, DataError> {
        let samples = samples.min(dataset.len()).max(1);
        let view_plan = ViewPlan::new(plan)?.with_draws().with_batch_size(samples);
        let steps = view_plan.steps();
        let batch = TrainLoader::new(dataset.clone(), view_plan, 0)?.next_batch()?;
        let channels = dataset.channels();
        let largest = batch.groups.iter().map(|group| group.shape[0]).max().unwrap_or(1);
        let side = side.min(largest).max(1);
        let mut sheet = Sheet {
            columns: 1 + batch.groups.iter().map(|g| g.data.len()).sum::<usize>(),
            tile: [side, side, channels],
            values: Vec::new(),
        };
        let (mut tiles, mut shown) = (Tiles::new(plan, side), Vec::new());
        for (row, &index) in batch.indices.iter().enumerate() {
            tiles.sample(&*dataset.sample(index)?, &mut sheet.values);
            let mut views = Vec::new();
            for (g, group) in batch.groups.iter().enumerate() {
                let own = plan.views[g].augmentations.last().and_then(|table| table.get("name")?.as_str())
                    == Some("normalize");
                let pixels: usize = group.shape.iter().product();
                for (data, draws) in group.data.iter().zip(&group.draws) {
                    tiles.view(&data[row * pixels..][..pixels], group.shape, own, &mut sheet.values);
                    let draws = &draws[row * steps[g].len()..][..steps[g].len()];
                    let steps =
                        steps[g].iter().zip(draws).map(|(&(name, parameters), draw)| (name, values(parameters, draw)));
                    views.push(ShownView { group: g, size_px: group.shape[0], steps: steps.collect() });
                }
            }
            shown.push(Shown { id: dataset.id(index), views });
        }
        Ok(Self { samples: shown, views: sheet.columns - 1, sheet })
    }
}

fn values(parameters: &[&'static str], draw: &Draw) -> Option<Vec<(&'static str, f32)>> {
    draw.applied.then(|| parameters.iter().copied().zip(draw.values).collect())
}

/// Brings samples and views to tiles on the 0..1 scale.
struct Tiles<'a> {
    plan: &'a Plan,
    side: usize,
    view: View,
}

impl<'a> Tiles<'a> {
    fn new(plan: &'a Plan, side: usize) -> Self {
        Self { plan, side, view: View::default() }
    }

    fn sample(&mut self, sample: &Image, out: &mut Vec<f32>) {
        tile(sample, self.side, &mut self.view, out);
    }

    /// `own`: normalised by constants of the recipe's list, not by the data's.
    fn view(&mut self, pixels: &[f32], [height, width, channels]: [usize; 3], own: bool, out: &mut Vec<f32>) {
        let mut values = pixels.to_vec();
        match (&self.plan.data.mean, &self.plan.data.std) {
            (Some(mean), Some(std)) if !own => {
                values.iter_mut().enumerate().for_each(|(i, v)| *v = *v * std[i % channels] + mean[i % channels]);
            }
            _ => {}
        }
        tile(&Image::new(height, width, channels, Pixels::F32(values)), self.side, &mut self.view, out);
    }
}

/// Appends the centred square of `image` in `side` × `side` px, `[side, side, channels]`; what does not lie on the 0..1
/// scale is stretched over it.
pub(crate) fn tile(image: &Image, side: usize, view: &mut View, out: &mut Vec<f32>) {
    view.fit(image, side);
    let start = out.len();
    out.resize(start + side * side * image.channels, 0.0);
    let tile = &mut out[start..];
    view.write(&vec![1.0; image.channels], &vec![0.0; image.channels], tile);
    // Resampling and normalisation overshoot a little.
    if tile.iter().any(|v| !(-0.1..=1.1).contains(v)) {
        stretch(tile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_views_are_those_of_training() {
        let mut plan = Plan { seed: 5, ..Plan::default() };
        plan.data.path = "demo".into();
        let dataset = Dataset::open(&plan.data).unwrap();
        dataset.resolve(&mut plan.data).unwrap();
        let table = |text: &str| text.parse::<toml::Table>().unwrap();
        let group = |count, size, list: &[&str]| crate::config::ViewSettings {
            count,
            size: Some(size),
            augmentations: list.iter().map(|text| table(text)).collect(),
        };
        let crop = "name = \"random_resized_crop\"\nscale = [0.2, 1.0]\nratio = [0.75, 1.33]\np = 1.0";
        plan.views = vec![group(2, 28, &[crop, "name = \"horizontal_flip\"\np = 0.5"]), group(1, 14, &[crop])];
        plan.train.batch_size = 64;
        let dataset = Arc::new(dataset);
        let preview = Preview::new(&dataset, &plan, 5, 28).unwrap();
        let mut loader = TrainLoader::new(dataset.clone(), ViewPlan::new(&plan).unwrap().with_draws(), 0).unwrap();
        let batch = loader.next_batch().unwrap();
        assert_eq!((preview.samples.len(), preview.views, preview.sheet.len()), (5, 3, 20));
        let (mean, std) = (plan.data.mean.as_ref().unwrap()[0], plan.data.std.as_ref().unwrap()[0]);
        for (row, sample) in preview.samples.iter().enumerate() {
            assert_eq!(sample.id, dataset.id(batch.indices[row]));
            for v in 0..2 {
                let shown = &preview.sheet.values[(row * 4 + 1 + v) * 784..][..784];
                let trained = &batch.groups[0].data[v][row * 784..][..784];
                assert!(shown.iter().zip(trained).all(|(s, t)| (s - (t * std + mean)).abs() < 1e-5));
                let (name, drawn) = &sample.views[v].steps[0];
                let draw = batch.groups[0].draws[v][2 * row];
                assert_eq!(*name, "random_resized_crop");
                assert!(drawn.as_ref().unwrap().iter().zip(draw.values).all(|((_, shown), value)| *shown == value));
            }
            assert_eq!(sample.views[2].size_px, 14);
        }
    }
}
