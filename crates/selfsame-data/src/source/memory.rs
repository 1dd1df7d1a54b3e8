//! Images or signals that a program holds in memory: no file, the source of library callers.

use super::{Encoded, IndexedSource, Stat, class_name};
use crate::image::{Image, Pixels};
use crate::modality::Modality;
use selfsame_base::DataError;
use std::mem::size_of;

/// Name of the source, and its `data.kind` in plans.
pub const KIND: &str = "memory";

/// Images of one shape, or signals of any lengths, with or without labels.
#[derive(Debug)]
pub struct Memory {
    modality: Modality,
    /// Of signals that of the longest.
    shape: [usize; 3],
    is_uniform: bool,
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
            None => Ok(Self {
                modality: Modality::Image,
                shape: first,
                is_uniform: true,
                images,
                labels: Vec::new(),
                classes: Vec::new(),
            }),
            Some(other) => Err(DataError::Data(format!(
                "{KIND}[{other}]: expected [height, width, channels] {first:?}, as the first has, received {:?}",
                shape(&images[other])
            ))),
        }
    }

    /// These signals, each `[1, time, channels]`, which are called `memory[0]` and so on. NaN is a value that is missing.
    ///
    /// # Errors
    /// If there are none, one is empty, or their channels differ.
    pub fn signals(signals: Vec<Image>) -> Result<Self, DataError> {
        let channels = signals.first().map_or(0, |signal| signal.channels);
        let wrong = |signal: &Image| signal.height != 1 || signal.is_empty() || signal.channels != channels;
        if let Some(other) = signals.iter().position(wrong) {
            let Image { height, width, channels: found, .. } = signals[other];
            return Err(DataError::Data(format!(
                "{KIND}[{other}]: expected a signal [1, time, {channels}], received {:?}",
                [height, width, found]
            )));
        }
        let lengths = signals.iter().map(|signal| signal.width);
        let (shortest, longest) = lengths
            .clone()
            .min()
            .zip(lengths.max())
            .ok_or_else(|| DataError::Data(format!("{KIND}: no signal at all")))?;
        Ok(Self {
            modality: Modality::Signal,
            shape: [1, longest, channels],
            is_uniform: shortest == longest,
            images: signals,
            labels: Vec::new(),
            classes: Vec::new(),
        })
    }

    /// With the class of each.
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
    fn is_uniform(&self) -> bool {
        self.is_uniform
    }
    fn modality(&self) -> Modality {
        self.modality
    }
}
