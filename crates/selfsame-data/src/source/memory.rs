//! Images that a program holds in memory: no file, the source of library callers.

use super::{Encoded, IndexedSource, Stat, class_name};
use crate::image::{Image, Pixels};
use selfsame_base::DataError;
use std::mem::size_of;

/// Name of the source, and its `data.kind` in plans.
pub const KIND: &str = "memory";

/// Images of one shape, with or without labels.
#[derive(Debug)]
pub struct Memory {
    shape: [usize; 3],
    images: Vec<Image>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Memory {
    /// These images, which are called `memory[0]` and so on.
    ///
    /// # Errors
    /// If there are none, or their shapes differ.
    pub fn new(images: Vec<Image>) -> Result<Self, DataError> {
        let shape = |image: &Image| [image.height, image.width, image.channels];
        let first = images.first().map(shape).ok_or_else(|| DataError::Data(format!("{KIND}: no image at all")))?;
        match images.iter().position(|image| shape(image) != first) {
            None => Ok(Self { shape: first, images, labels: Vec::new(), classes: Vec::new() }),
            Some(other) => Err(DataError::Data(format!(
                "{KIND}[{other}]: expected [height, width, channels] {first:?}, as the first has, received {:?}",
                shape(&images[other])
            ))),
        }
    }

    /// With the class of each image.
    ///
    /// # Errors
    /// If there is not one per image.
    pub fn with_labels<S: AsRef<str>>(self, labels: &[S]) -> Result<Self, DataError> {
        if labels.len() != self.images.len() {
            let problem = format!("expected {} labels, one per image, received {}", self.images.len(), labels.len());
            return Err(DataError::Data(format!("{KIND}: {problem}")));
        }
        let names: Vec<String> = labels.iter().map(|label| class_name(label.as_ref())).collect();
        let mut classes = names.clone();
        classes.sort();
        classes.dedup();
        let labels = names.iter().map(|name| classes.binary_search(name).expect("one of them") as u32).collect();
        Ok(Self { labels, classes, ..self })
    }
}

impl IndexedSource for Memory {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        Ok(Encoded::Image(self.images[index].clone()))
    }
    fn stat(&self, index: usize) -> Stat {
        let size_bytes = match &self.images[index].pixels {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len() * size_of::<u16>(),
            Pixels::F32(values) => values.len() * size_of::<f32>(),
        };
        Stat { size_bytes: size_bytes as u64, ..Stat::NONE }
    }
    fn id(&self, index: usize) -> String {
        format!("{KIND}[{index}]")
    }
    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }
    fn classes(&self) -> &[String] {
        &self.classes
    }
    fn shape(&self) -> Option<[usize; 3]> {
        Some(self.shape)
    }
}
