//! A data set: a source and a decoder, images kept in memory where they fit, and a list of what cannot be read.
//!
//! Everything here may be called from any number of threads at once.

use crate::decode::{FileDecoder, Header, channels_convert, convert_channels};
use crate::image::{Image, Pixels, Size};
use crate::loader::SampleSource;
use crate::settings::DataRequest;
use crate::source::{self, Encoded, IndexedSource, LabelSource};
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use toml::{Table, Value};

/// Files whose headers are read when a folder is opened, evenly spaced over the list.
const PROBES: usize = 64;

/// Values (pixels times channels) that [`Dataset::facts`] may look at for the normalization constants.
const SURVEY_VALUES: usize = 1 << 27;

/// Fewest and most images that [`Dataset::facts`] looks at for them.
const SURVEY_IMAGES: [usize; 2] = [256, 10_000];

/// Side of the view where neither the user nor the data say one, px.
const DEFAULT_SIZE: usize = 224;

/// A file that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The sample's id: its path within the data.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Samples by index, decoded.
pub struct Dataset {
    kind: &'static str,
    path: PathBuf,
    source: Box<dyn IndexedSource>,
    decoder: FileDecoder,
    /// Size of every image, as far as it is known to be one.
    uniform_size: Option<Size>,
    /// Memory of an image, bytes: exact for arrays, else the mean of the probed headers.
    mean_image_bytes: usize,
    /// Values of an image, likewise.
    mean_image_values: usize,
    cache: Option<Cache>,
    bad: Mutex<BTreeMap<usize, String>>,
    max_bad_share: f64,
}

impl Dataset {
    /// Opens the data that the settings name. Unreadable samples are no error here unless none can be read.
    pub fn open(settings: &DataRequest) -> Result<Self, DataError> {
        let labels = LabelSource::parse(settings.labels.as_deref())?;
        let entry = source::find(&settings.path, settings.kind.as_deref())?;
        let source = (entry.open)(&settings.path, labels)?;
        let channels = settings.channels.unwrap_or_else(|| source.shape().map_or(3, |[_, _, channels]| channels));
        let decoder =
            FileDecoder { channels, background: settings.background, max_megapixels: settings.max_megapixels };
        let mut dataset = Self {
            kind: entry.name,
            path: settings.path.clone(),
            source,
            decoder,
            uniform_size: None,
            mean_image_bytes: 0,
            mean_image_values: 0,
            cache: None,
            bad: Mutex::default(),
            max_bad_share: settings.max_bad_share,
        };
        match dataset.source.shape() {
            Some(shape) => dataset.take_shape(shape)?,
            None => dataset.probe(settings)?,
        }
        Ok(dataset)
    }

    /// Arrays state their shape; their rows are copied out of memory, so nothing is gained by keeping images.
    fn take_shape(&mut self, [height, width, channels]: [usize; 3]) -> Result<(), DataError> {
        let wanted = self.decoder.channels;
        if !channels_convert(channels, wanted) {
            let problem = format!("the data have {channels} channels, {wanted} are asked for; only 1 and 3 convert");
            return Err(DataError::setting("data.channels", problem));
        }
        self.uniform_size = Some(Size { height, width });
        self.mean_image_values = height * width * wanted;
        self.mean_image_bytes = 4 * self.mean_image_values;
        Ok(())
    }

    /// Reads some headers: they tell how much memory the images take and whether they have one size.
    fn probe(&mut self, settings: &DataRequest) -> Result<(), DataError> {
        let channels = self.decoder.channels;
        if !matches!(channels, 1 | 3) {
            let problem = format!("image files give 1 or 3 channels, received {channels}");
            return Err(DataError::setting("data.channels", problem));
        }
        let len = self.len();
        let probes = len.min(PROBES);
        let headers: Vec<Option<Header>> = (0..probes)
            .into_par_iter()
            .map(|probe| {
                let index = probe * len / probes;
                let header = match self.source.get(index) {
                    Ok(Encoded::File(bytes)) => self.decoder.probe(&bytes, &self.source.id(index)),
                    Ok(Encoded::Image(_)) => unreachable!("sources of arrays state their shape"),
                    Err(error) => Err(error),
                };
                header.map_err(|error| self.record(index, &error)).ok()
            })
            .collect();
        let headers: Vec<Header> = headers.into_iter().flatten().collect();
        let Some(&first) = headers.first() else {
            let (index, reason) = self.lock_bad().first_key_value().map(|(&i, r)| (i, r.clone())).expect("all failed");
            return Err(DataError::Data(format!(
                "{}: no image can be decoded: {probes} of {len} were tried; the first, {}: {reason}",
                settings.path.display(),
                self.id(index)
            )));
        };
        let values = |header: &Header| header.size.height * header.size.width * channels;
        self.mean_image_values = headers.iter().map(values).sum::<usize>() / headers.len();
        self.mean_image_bytes = headers.iter().map(|h| values(h) * h.depth_bytes).sum::<usize>() / headers.len();
        self.uniform_size = headers.iter().all(|header| header.size == first.size).then_some(first.size);
        let budget_bytes = settings.cache_mb << 20;
        if self.mean_image_bytes.saturating_mul(len) <= budget_bytes {
            self.cache = Some(Cache::new(len, budget_bytes));
        }
        self.check_bad_share()
    }

    /// Number of samples, unreadable ones included.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the source in [`source::SOURCES`].
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Where the data are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a person calls the sample: its path within the data, or `FILE[index]`.
    pub fn id(&self, index: usize) -> String {
        self.source.id(index)
    }

    /// Key of the sample's random streams.
    pub fn key(&self, index: usize) -> u64 {
        self.source.key(index)
    }

    /// Class of the sample, an index into [`Self::classes`]; `None` without labels.
    pub fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    /// Names of the classes; empty without labels.
    pub fn classes(&self) -> &[String] {
        self.source.classes()
    }

    /// Channels of every image that [`Self::sample`] gives.
    pub fn channels(&self) -> usize {
        self.decoder.channels
    }

    /// The size that all images have. Exact for arrays; for image files it is told from the headers of up to 64 of
    /// them, evenly spaced over the list.
    pub fn uniform_size(&self) -> Option<Size> {
        self.uniform_size
    }

    /// The decoded sample.
    ///
    /// # Errors
    /// [`DataError::Sample`] if the sample cannot be read: it is now among [`Self::bad_files`], skip it.
    /// [`DataError::TooManyBad`] if by now more than `data.max_bad_share` of all samples cannot be read: give up.
    pub fn sample(&self, index: usize) -> Result<Arc<Image>, DataError> {
        if let Some(image) = self.cache.as_ref().and_then(|cache| cache.get(index)) {
            return Ok(image);
        }
        let image = match self.load(index) {
            Ok(image) => Arc::new(image),
            Err(error) => {
                self.record(index, &error);
                self.check_bad_share()?;
                return Err(error);
            }
        };
        if let Some(cache) = &self.cache {
            cache.keep(index, &image);
        }
        Ok(image)
    }

    fn load(&self, index: usize) -> Result<Image, DataError> {
        match self.source.get(index)? {
            Encoded::File(bytes) => self.decoder.decode(&bytes, &self.source.id(index)),
            Encoded::Image(image) => {
                if let Pixels::F32(values) = &image.pixels
                    && !values.iter().all(|value| value.is_finite())
                {
                    return Err(DataError::sample(self.id(index), "holds values that are infinite or not a number"));
                }
                Ok(convert_channels(image, self.decoder.channels))
            }
        }
    }

    /// The samples that could not be read so far, in index order, each once.
    pub fn bad_files(&self) -> Vec<BadFile> {
        let bad = self.lock_bad();
        bad.iter().map(|(&index, reason)| BadFile { id: self.id(index), reason: reason.clone() }).collect()
    }

    /// An error if more than `data.max_bad_share` of all samples could not be read.
    pub fn check_bad_share(&self) -> Result<(), DataError> {
        let bad = self.lock_bad();
        let Some((&index, reason)) = bad.first_key_value() else { return Ok(()) };
        let (count, len) = (bad.len(), self.len());
        if count as f64 <= self.max_bad_share * len as f64 {
            return Ok(());
        }
        Err(DataError::TooManyBad(format!(
            "at least {count} of {len} samples cannot be read, more than data.max_bad_share = {} allows; the first, {}: \
             {reason}",
            self.max_bad_share,
            self.id(index)
        )))
    }

    fn record(&self, index: usize, error: &DataError) {
        let reason = match error {
            DataError::Sample { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        self.lock_bad().insert(index, reason);
    }

    fn lock_bad(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, String>> {
        // The map is whole after every insertion, so a panic elsewhere does not spoil it.
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mean and standard deviation of each channel on the 0..1 scale (`f32` data: on their own), over up to
    /// `max_samples` samples drawn without replacement. Each image weighs the same, as it does in training. The same
    /// seed gives the same bytes for any number of threads; unreadable samples are left out.
    ///
    /// # Shapes
    /// Both: `[channels]`.
    pub fn mean_std(&self, max_samples: usize, seed: u64) -> Result<(Vec<f32>, Vec<f32>), DataError> {
        let len = self.len();
        let mut order: Vec<u32> = (0..len as u32).collect();
        let count = len.min(max_samples);
        if count < len {
            let mut rng = StreamRng::new(seed, Purpose::Survey, 0, 0, 0);
            (0..count).for_each(|i| order.swap(i, i + rng.below(len - i)));
            order.truncate(count);
            order.sort_unstable();
        }
        let moments: Vec<Option<Vec<[f64; 2]>>> = order
            .par_iter()
            .map(|&index| match self.sample(index as usize) {
                Ok(image) => Ok(Some(moments(&image))),
                Err(DataError::Sample { .. }) => Ok(None),
                Err(error) => Err(error),
            })
            .collect::<Result<_, _>>()?;
        let mut sums = vec![[0.0; 2]; self.channels()];
        let mut images = 0.0;
        for image in moments.into_iter().flatten() {
            images += 1.0;
            sums.iter_mut().zip(image).for_each(|(sum, [mean, square])| *sum = [sum[0] + mean, sum[1] + square]);
        }
        if images == 0.0 {
            return Err(DataError::Data(format!("none of {count} samples can be read, so there is no mean to take")));
        }
        let mean = |[sum, _]: &[f64; 2]| sum / images;
        let variance = |sums: &[f64; 2]| sums[1] / images - mean(sums).powi(2);
        Ok((
            sums.iter().map(|sums| mean(sums) as f32).collect(),
            sums.iter().map(|sums| variance(sums).max(0.0).sqrt() as f32).collect(),
        ))
    }

    /// What the data tell of `given`, a `[data]` table: kind, channels, labels, size (the side of the data's own square, else
    /// 224), the normalization constants (from a sample of up to 10,000 images; a constant channel has deviation 1) and the
    /// fingerprint.
    pub fn facts(&self, given: &Table) -> Result<Table, DataError> {
        let mut facts = Table::new();
        facts.insert("kind".into(), self.kind.into());
        facts.insert("channels".into(), Value::Integer(self.channels() as i64));
        facts.insert("labels".into(), if self.classes().is_empty() { "none" } else { "file" }.into());
        let own = self.uniform_size.filter(|size| size.height == size.width);
        facts.insert("size".into(), Value::Integer(own.map_or(DEFAULT_SIZE, |size| size.height) as i64));
        facts.insert("fingerprint".into(), self.fingerprint().into());
        if !(given.contains_key("mean") && given.contains_key("std")) {
            let [fewest, most] = SURVEY_IMAGES;
            let samples = (SURVEY_VALUES / self.mean_image_values.max(1)).clamp(fewest, most);
            let (mean, std) = self.mean_std(samples, 0)?;
            let list = |values: Vec<f32>| Value::Array(values.into_iter().map(|v| f64::from(v).into()).collect());
            facts.insert("mean".into(), list(mean));
            facts.insert("std".into(), list(std.into_iter().map(|std| if std > 1e-6 { std } else { 1.0 }).collect()));
        }
        Ok(facts)
    }

    /// A hash that identifies these data wherever they are stored: of the number of samples, their ids within the data, and the
    /// contents of up to 64 of them, evenly spaced. 32 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let len = self.len();
        let mut hash = blake3::Hasher::new();
        hash.update(&(len as u64).to_le_bytes());
        for index in 0..len {
            hash.update(&self.key(index).to_le_bytes());
        }
        let probes = len.min(PROBES);
        for index in (0..probes).map(|probe| probe * len / probes) {
            match self.source.get(index) {
                Ok(Encoded::File(bytes)) => hash.update(&bytes),
                Ok(Encoded::Image(image)) => match &image.pixels {
                    Pixels::U8(values) => hash.update(values),
                    Pixels::U16(values) => {
                        hash.update(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
                    }
                    Pixels::F32(values) => {
                        hash.update(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
                    }
                },
                // What cannot be read today and can be tomorrow is another content.
                Err(_) => hash.update(b"unreadable"),
            };
        }
        hash.finalize().to_hex()[..32].to_owned()
    }
}

impl SampleSource for Dataset {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn sample(&self, index: usize) -> Result<Arc<Image>, DataError> {
        self.sample(index)
    }
    fn key(&self, index: usize) -> u64 {
        self.source.key(index)
    }
}

/// `[mean of x, mean of x²]` of each channel on the 0..1 scale, `[channels, 2]`.
fn moments(image: &Image) -> Vec<[f64; 2]> {
    fn sums<T: Copy + Into<f64>>(values: &[T], channels: usize, scale: f64) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 2]; channels];
        for pixel in values.chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                let value: f64 = value.into();
                sum[0] += value;
                sum[1] += value * value;
            }
        }
        let pixels = (values.len() / channels) as f64;
        sums.iter().map(|[sum, square]| [sum * scale / pixels, square * scale * scale / pixels]).collect()
    }
    match &image.pixels {
        Pixels::U8(values) => sums(values, image.channels, 1.0 / 255.0),
        Pixels::U16(values) => sums(values, image.channels, 1.0 / 65535.0),
        Pixels::F32(values) => sums(values, image.channels, 1.0),
    }
}

/// Decoded images of a data set that is expected to fit; whatever does not fit after all is decoded again.
struct Cache {
    slots: Vec<OnceLock<Arc<Image>>>,
    held_bytes: AtomicUsize,
    budget_bytes: usize,
}

impl Cache {
    fn new(len: usize, budget_bytes: usize) -> Self {
        Self { slots: (0..len).map(|_| OnceLock::new()).collect(), held_bytes: AtomicUsize::new(0), budget_bytes }
    }

    fn get(&self, index: usize) -> Option<Arc<Image>> {
        self.slots[index].get().cloned()
    }

    fn keep(&self, index: usize, image: &Arc<Image>) {
        let bytes = image.size_bytes();
        let held = self.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Two threads may decode one image at once; the second gives its share back.
        if held > self.budget_bytes || self.slots[index].set(Arc::clone(image)).is_err() {
            self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
