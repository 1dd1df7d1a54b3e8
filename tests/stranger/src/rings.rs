//! Samples that are computed: a ring of its own radius and place on every image, one class per width of its line.

use selfsame_base::DataError;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::settings::DataRequest;
use selfsame_data::source::{Encoded, IndexedSource, Stat};

const SIDE: usize = 16;

/// So many rings, in turn with thin and thick lines.
pub struct Rings {
    count: usize,
    classes: Vec<String>,
}

impl Rings {
    /// As data that plans know as `rings`.
    ///
    /// # Errors
    /// If there are none.
    pub fn dataset(count: usize) -> Result<Dataset, DataError> {
        let classes = ["thin", "thick"].map(String::from).to_vec();
        Dataset::over("rings", Box::new(Self { count, classes }), &DataRequest::new("rings"))
    }
}

impl IndexedSource for Rings {
    fn len(&self) -> usize {
        self.count
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let (x, y, radius) = (4.0 + (index * 7 % 9) as f32, 4.0 + (index * 5 % 9) as f32, 2.0 + (index * 3 % 4) as f32);
        let width = if index.is_multiple_of(2) { 0.7 } else { 1.6 };
        let pixel = |i: usize| {
            let (dx, dy) = ((i % SIDE) as f32 - x, (i / SIDE) as f32 - y);
            let outside = (dx.hypot(dy) - radius).abs() - width;
            ((0.5 - outside).clamp(0.0, 1.0) * 255.0) as u8
        };
        Ok(Encoded::Image(Image::new(SIDE, SIDE, 1, Pixels::U8((0..SIDE * SIDE).map(pixel).collect()))))
    }

    fn stat(&self, _index: usize) -> Stat {
        Stat { size_bytes: (SIDE * SIDE) as u64, ..Stat::NONE }
    }

    fn id(&self, index: usize) -> String {
        format!("ring {index}")
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some((index % 2) as u32)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        Some([SIDE, SIDE, 1])
    }
}
