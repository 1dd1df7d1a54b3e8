//! Pictures that a method draws of itself: reconstructions, filters, fantasies.

use crate::tensor::to_vec;
use burn::tensor::Tensor;
use selfsame_data::modality::Modality;
use selfsame_data::settings::DataSettings;
use selfsame_data::sheet::{Sheet, bars, in_colors, stretch, tile_size, waveform};
use selfsame_data::signal::SignalView;

/// Height of a vector's and of a signal's picture, px.
const DRAWN_PX: usize = 64;

/// A sheet of tiles, `pictures/NAME.png` in the run folder.
#[derive(Clone, Debug)]
pub struct Picture {
    /// File name without its ending.
    pub name: &'static str,
    /// One line that says what is seen, row by row or column by column.
    pub caption: &'static str,
    /// Tiles in a row.
    pub columns: usize,
    /// `[tiles, height, width, channels]`
    pub tiles: Tensor<4>,
    /// What the values are.
    pub scale: Scale,
}

/// How values become brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Pixels as the encoder sees them, normalized by the data's mean and standard deviation.
    Data,
    /// Weights: every tile by itself, its smallest value black and its largest white.
    Tile,
}

impl Picture {
    /// The sheet as a PNG.
    pub fn to_png(&self, data: &DataSettings) -> Vec<u8> {
        let [_, height, width, channels] = self.tiles.dims();
        let mut values = to_vec(self.tiles.clone());
        let DataSettings { mean, std, range: [low, high], .. } = data;
        let (size, samples) = (tile_size(data, DRAWN_PX), values.chunks_exact(height * width * channels));
        let drawn = |values: Vec<f32>, depth| {
            Sheet { columns: self.columns, tile: [size.height, size.width, depth], values }.to_png()
        };
        match data.modality {
            Modality::Image => {}
            Modality::Vector => return drawn(samples.flat_map(|features| bars(features, DRAWN_PX)).collect(), 1),
            Modality::Signal => {
                return drawn(samples.flat_map(|steps| waveform(steps, channels, size)).collect(), 3);
            }
        }
        match self.scale {
            Scale::Data => {
                let pixel = |(i, v): (usize, f32)| (v * std[i % channels] + mean[i % channels] - low) / (high - low);
                values = values.into_iter().enumerate().map(pixel).collect();
            }
            Scale::Tile => values.chunks_exact_mut(height * width * channels).for_each(stretch),
        }
        if data.view == SignalView::LogMel {
            let images = values.chunks_exact(height * width * channels);
            let values = images.flat_map(|image| in_colors(image, width, channels)).collect();
            return Sheet { columns: self.columns, tile: [height, width, 3], values }.to_png();
        }
        Sheet { columns: self.columns, tile: [height, width, channels], values }.to_png()
    }
}
