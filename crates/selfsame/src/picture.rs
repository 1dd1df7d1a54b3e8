//! Pictures that a method draws of itself: reconstructions, filters, fantasies; and tables, where samples are rows of one.

use crate::tensor::to_vec;
use burn::tensor::Tensor;
use selfsame_base::delimited::csv_file;
use selfsame_data::modality::{Columns, Modality};
use selfsame_data::settings::DataSettings;
use selfsame_data::sheet::{Sheet, bars, in_colors, stretch, tile_size, waveform};
use selfsame_data::signal::SignalView;

/// Height of a vector's and of a signal's picture, px.
const DRAWN_PX: usize = 64;

/// Columns of a table that are shown, at most.
const SHOWN_COLUMNS: usize = 40;

/// What a method shows of itself, `pictures/NAME.png` or `NAME.csv` in the run folder.
#[derive(Clone, Debug)]
pub struct Picture {
    /// File name without its ending.
    pub name: &'static str,
    /// One line that says what is seen, row by row or column by column.
    pub caption: &'static str,
    /// What is seen.
    pub drawn: Drawn,
}

/// What a picture is made of.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a method draws a few")]
pub enum Drawn {
    /// A sheet of tiles, a PNG.
    Tiles(Tiles),
    /// Rows of a table, a CSV file.
    Rows(Rows),
}

/// Tiles in rows.
#[derive(Clone, Debug)]
pub struct Tiles {
    /// Tiles in a row.
    pub columns: usize,
    /// `[tiles, height, width, channels]`
    pub tiles: Tensor<4>,
    /// What the values are.
    pub scale: Scale,
}

/// Rows of a table, with what is said of each of their columns: a line for each column of each row.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Index of each row in its data set.
    pub samples: Vec<usize>,
    /// Values of each column, under these names, `[rows, channels]`, standardized. They are told in the data's own units. Of a category
    /// the value is told whose channel is above 0.
    pub values: Vec<(&'static str, Tensor<2>)>,
    /// Whether something is so of each column, under these names: `[rows, columns]`, 1 or 0.
    pub marks: Vec<(&'static str, Tensor<2>)>,
    /// Probabilities of each column, under these names: `[rows, columns]`.
    pub shares: Vec<(&'static str, Tensor<2>)>,
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
    /// The ending of its file's name, and the file.
    pub fn to_file(&self, data: &DataSettings) -> (&'static str, Vec<u8>) {
        match &self.drawn {
            Drawn::Tiles(tiles) => ("png", tiles.to_png(data)),
            Drawn::Rows(rows) => ("csv", rows.to_csv(data)),
        }
    }
}

impl Rows {
    fn to_csv(&self, data: &DataSettings) -> Vec<u8> {
        let (columns, channels) = (data.vector_columns(), data.channels);
        let names = [&self.values, &self.marks, &self.shares].into_iter().flatten().map(|(name, _)| *name);
        let names: Vec<&str> = ["row", "column"].into_iter().chain(names).collect();
        let lists =
            |all: &[(&str, Tensor<2>)]| -> Vec<Vec<f32>> { all.iter().map(|(_, x)| to_vec(x.clone())).collect() };
        let (values, marks, shares) = (lists(&self.values), lists(&self.marks), lists(&self.shares));
        let line = |row: usize, column: usize| {
            let name = columns.name(&data.columns, column);
            let value = |values: &Vec<f32>| {
                let row = in_units(&values[row * channels..][..channels], &columns, data);
                columns.value(&data.columns, &row, column)
            };
            let at = |values: &Vec<f32>| values[row * columns.len() + column];
            let mark = |values: &Vec<f32>| if at(values) > 0.5 { "yes".into() } else { String::new() };
            let share = |values: &Vec<f32>| format!("{:.0} %", 100.0 * at(values));
            let said = values.iter().map(value).chain(marks.iter().map(mark)).chain(shares.iter().map(share));
            [self.samples[row].to_string(), name].into_iter().chain(said).collect()
        };
        let shown = columns.len().min(SHOWN_COLUMNS);
        csv_file(
            &names,
            (0..self.samples.len())
                .flat_map(|row| (0..shown).map(move |column| (row, column)))
                .map(|(row, column)| line(row, column)),
        )
    }
}

/// A standardized row in the data's own units; of numbers no more digits than standardizing leaves right.
fn in_units(row: &[f32], columns: &Columns, data: &DataSettings) -> Vec<f32> {
    let mut row = row.to_vec();
    for place in columns.iter() {
        for channel in place.channels.clone() {
            let (mean, std) = (f64::from(data.mean[channel]), f64::from(data.std[channel]));
            let step = 10f64.powi((std * 1e-5).log10().ceil() as i32);
            let number = (f64::from(row[channel]) * std + mean) / step;
            row[channel] = match place.is_category {
                true => f32::from(u8::from(row[channel] > 0.0)),
                false => (number.round() * step) as f32 + 0.0,
            };
        }
    }
    row
}

impl Tiles {
    /// The sheet as a PNG.
    fn to_png(&self, data: &DataSettings) -> Vec<u8> {
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
