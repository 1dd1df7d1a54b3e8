//! What the encoder is shown: samples beside the very views that training makes of them in its first epoch, with the
//! parameters that were drawn.

use crate::augment::{Draw, View};
use crate::dataset::Dataset;
use crate::image::{Image, Pixels, Size, ValueRange};
use crate::loader::{TrainLoader, ViewPlan};
use crate::settings::DataSettings;
use crate::sheet::{Sheet, sample_tile, tile_channels, tile_size, view_tile};
use selfsame_base::DataError;
use std::sync::Arc;

/// Samples and their views.
#[derive(Clone, Debug)]
pub struct Preview {
    /// One entry per sample, in the order of training.
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
    /// One entry per view.
    pub views: Vec<ShownView>,
}

/// Parameters by name.
pub type Drawn = Vec<(&'static str, f32)>;

/// A view and how it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct ShownView {
    /// Group of views that it belongs to.
    pub group: usize,
    /// What the encoder sees of it.
    pub size: Size,
    /// Augmentations in their order: name, and parameters with their values where it was applied.
    pub steps: Vec<(&'static str, Option<Drawn>)>,
}

impl Preview {
    /// The views of the first `samples` samples of the first epoch, in tiles of [`tile_size`].
    pub fn new(
        dataset: &Arc<Dataset>,
        data: &DataSettings,
        views: ViewPlan,
        samples: usize,
        most: usize,
    ) -> Result<Self, DataError> {
        let views = views.batches_of(samples.min(dataset.len()).max(1)).with_draws();
        let steps = views.steps();
        let batch = TrainLoader::new(dataset.clone(), views, 0)?.next_batch()?;
        let size = tile_size(data, most);
        let mut sheet = Sheet {
            columns: 1 + batch.groups.iter().map(|g| g.data.len()).sum::<usize>(),
            tile: [size.height, size.width, tile_channels(data)],
            values: Vec::new(),
        };
        let (mut tiles, mut shown) = (Tiles::new(data, size), Vec::new());
        for (row, &index) in batch.indices.iter().enumerate() {
            dataset.with_sample(index, |sample| tiles.sample(sample, &mut sheet.values))?;
            let mut shown_views = Vec::new();
            for (g, group) in batch.groups.iter().enumerate() {
                let own = steps[g].last().is_some_and(|(last, _)| *last == "normalize");
                let pixels: usize = group.shape.iter().product();
                for (data, draws) in group.data.iter().zip(&group.draws) {
                    tiles.view(&data[row * pixels..][..pixels], group.shape, own, &mut sheet.values);
                    let draws = &draws[row * steps[g].len()..][..steps[g].len()];
                    let steps =
                        steps[g].iter().zip(draws).map(|(&(name, parameters), draw)| (name, values(parameters, draw)));
                    shown_views.push(ShownView {
                        group: g,
                        size: Size::of([group.shape[0], group.shape[1]]),
                        steps: steps.collect(),
                    });
                }
            }
            shown.push(Shown { id: dataset.id(index), views: shown_views });
        }
        Ok(Self { samples: shown, views: sheet.columns - 1, sheet })
    }
}

fn values(parameters: &[&'static str], draw: &Draw) -> Option<Vec<(&'static str, f32)>> {
    draw.applied.then(|| parameters.iter().copied().zip(draw.values).collect())
}

/// Brings samples and views to tiles on the 0..1 scale.
struct Tiles<'a> {
    data: &'a DataSettings,
    size: Size,
    view: View,
}

impl<'a> Tiles<'a> {
    fn new(data: &'a DataSettings, size: Size) -> Self {
        Self { data, size, view: View::default() }
    }

    fn sample(&mut self, sample: &Image, out: &mut Vec<f32>) {
        sample_tile(sample, self.data, self.size, &mut self.view, out);
    }

    /// `own`: normalized by constants of the recipe's list, not by the data's.
    fn view(&mut self, pixels: &[f32], [height, width, channels]: [usize; 3], own: bool, out: &mut Vec<f32>) {
        let mut values = pixels.to_vec();
        if !own {
            let DataSettings { mean, std, .. } = self.data;
            values.iter_mut().enumerate().for_each(|(i, v)| *v = *v * std[i % channels] + mean[i % channels]);
        }
        let range = if own { ValueRange::UNIT } else { self.data.range.into() };
        let image = Image::new(height, width, channels, Pixels::F32(values));
        view_tile(&image, self.data, range, self.size, &mut self.view, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augmentations;
    use crate::loader::Batching;
    use crate::settings::{DataRequest, ViewSettings};
    use selfsame_config::Settings;

    #[test]
    fn the_views_are_those_of_training() {
        let request = DataRequest::new("demo");
        let dataset = Arc::new(Dataset::open(&request).unwrap());
        let mut table = DataSettings::preset();
        table.insert("path".into(), "demo".into());
        table.extend(dataset.facts(&table).unwrap());
        let data = DataSettings::read(&table).unwrap();
        let group = |count, side, list: &[&str]| ViewSettings {
            count,
            size: Size::square(side),
            augmentations: list.iter().map(|text| toml::from_str(text).unwrap()).collect(),
        };
        let crop = "name = \"random_resized_crop\"\nscale = [0.2, 1.0]\nratio = [0.75, 1.33]\np = 1.0";
        let views = [group(2, 28, &[crop, "name = \"horizontal_flip\"\np = 0.5"]), group(1, 14, &[crop])];
        let batching = Batching { batch_size: 64, seed: 5, threads: 0 };
        let plan = || ViewPlan::new(&data, &views, &Augmentations::default(), batching).unwrap();
        let preview = Preview::new(&dataset, &data, plan(), 5, 28).unwrap();
        let batch = TrainLoader::new(dataset.clone(), plan().with_draws(), 0).unwrap().next_batch().unwrap();
        assert_eq!((preview.samples.len(), preview.views, preview.sheet.len()), (5, 3, 20));
        let (mean, std) = (data.mean[0], data.std[0]);
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
            assert_eq!(sample.views[2].size, Size::square(14));
        }
    }
}
