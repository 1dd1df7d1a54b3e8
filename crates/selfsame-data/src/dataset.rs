//! A data set: a source and a decoder, images kept in memory where they fit, and a list of what cannot be read.
//!
//! Everything here may be called from any number of threads at once.

use crate::budget::{self, Share};
use crate::decode::{FileDecoder, Header, Wanted, channels_convert, convert_channels};
use crate::image::{Image, Pixels, Size, ValueRange};
use crate::loader::SampleSource;
use crate::modality::Modality;
use crate::settings::{DataRequest, PageChoice};
use crate::source::{self, Encoded, IndexedSource, LabelSource, Memory, Stat, memory};
use cache::Cache;
use content::hash_pixels;
use left_out::left_out;
use selfsame_base::text::one_line;
use selfsame_base::{DataError, files, machine};
use signals::Signals;
use spill::Spill;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use tiles::Wholes;
use toml::{Table, Value};

/// Files whose headers are read when a folder is opened, evenly spaced over the list.
const PROBES: usize = 64;

/// Larger files are not read: no image within the pixel limits needs so many bytes.
const MOST_FILE_BYTES: u64 = 2 << 30;

/// Side of the view where neither the user nor the data say one, px.
const DEFAULT_SIZE: usize = 224;

/// Samples by index, decoded.
pub struct Dataset {
    kind: &'static str,
    path: PathBuf,
    source: Arc<dyn IndexedSource>,
    decoder: FileDecoder,
    signals: Signals,
    /// Size of every image, as far as it is known to be one.
    uniform_size: Option<Size>,
    /// Median of the shorter sides of the images that were looked at, px.
    shorter_side: usize,
    /// Memory of an image, bytes: exact for arrays, else the mean of the probed headers.
    mean_image_bytes: usize,
    /// Values of an image, likewise.
    mean_image_values: usize,
    /// What is told when the data are opened.
    notes: Vec<String>,
    cache: Option<Cache>,
    /// Images whose tiles are read.
    wholes: Wholes,
    /// Tiles that memory does not hold.
    spill: Option<Spill>,
    bad: Mutex<BTreeMap<usize, String>>,
    max_bad_share: f64,
    /// One per sample, once they were asked for.
    stats: OnceLock<Vec<Stat>>,
    /// Hashes of what was read since [`Self::remember`], one per sample; 0 where nothing was.
    contents: OnceLock<Vec<AtomicU64>>,
}

impl Dataset {
    /// Opens the data that the settings name. Unreadable samples are no error here unless none can be read.
    pub fn open(settings: &DataRequest) -> Result<Self, DataError> {
        let labels = LabelSource::parse(settings.labels.as_deref())?;
        let entry = source::find(&settings.path, settings.kind.as_deref())?;
        let source = (entry.open)(settings, labels)?;
        Self::over(entry.name, source, settings)
    }

    /// Images or signals that a program holds in memory.
    pub fn in_memory(samples: Memory) -> Result<Self, DataError> {
        Self::over(memory::KIND, Box::new(samples), &DataRequest::new(memory::KIND))
    }

    /// The samples of a source, which plans know as `kind`: of this crate, or of another. `settings` say how they are read.
    pub fn over(kind: &'static str, source: Box<dyn IndexedSource>, settings: &DataRequest) -> Result<Self, DataError> {
        let signals = Signals::new(settings, source.modality())?;
        let (read, found) = (source.modality(), signals.modality(source.modality()));
        if let Some(expected) = settings.modality.filter(|expected| *expected != found) {
            let problem = match read == found {
                true => format!("{} holds {found}, expected {expected}", settings.path.display()),
                false => format!("{expected}, but data.view makes {found} of {read}; drop data.modality"),
            };
            return Err(DataError::setting("data.modality", problem));
        }
        let source = match settings.pages {
            PageChoice::All if source.shape().is_none() && found == Modality::Image => {
                Box::new(source::Pages::open(source)?)
            }
            _ => source,
        };
        let wanted = Wanted::new(settings, source.shape())?;
        let decoder = FileDecoder {
            wanted,
            gray_only: false,
            background: settings.background,
            max_megapixels: settings.max_megapixels,
            memory_bytes: (settings.decode_mb as u64) << 20,
        };
        let mut dataset = Self {
            kind,
            path: settings.path.clone(),
            source: Arc::from(source),
            wholes: Wholes::new(decoder.memory_bytes),
            decoder,
            signals,
            uniform_size: None,
            shorter_side: 0,
            mean_image_bytes: 0,
            mean_image_values: 0,
            notes: Vec::new(),
            cache: None,
            spill: None,
            bad: Mutex::default(),
            max_bad_share: settings.max_bad_share,
            stats: OnceLock::new(),
            contents: OnceLock::new(),
        };
        if settings.tile > 0 {
            dataset.cut(settings)?;
        }
        match (dataset.source.shape(), dataset.source.modality()) {
            (Some(shape), Modality::Signal) => dataset.take_signals(shape, settings)?,
            (Some(shape), _) => dataset.take_shape(shape)?,
            (None, Modality::Signal) => dataset.probe_sounds(settings)?,
            (None, _) => dataset.probe(settings)?,
        }
        dataset.notes = dataset.source.notes().iter().chain(&dataset.notes).map(one_line).collect();
        Ok(dataset)
    }

    /// What a person should know of what is read and what is not, one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Arrays state their shape; their rows are copied out of memory, so nothing is gained by keeping images.
    fn take_shape(&mut self, [height, width, channels]: [usize; 3]) -> Result<(), DataError> {
        let wanted = self.decoder.wanted.channels;
        self.check_size(Size { height, width })?;
        if self.modality() == Modality::Vector && channels != wanted {
            let problem = format!("the data have {channels} features, {wanted} are asked for; leave the key out");
            return Err(DataError::setting("data.channels", problem));
        }
        if !channels_convert(channels, wanted) {
            let problem = format!("the data have {channels} channels, {wanted} are asked for; only 1 and 3 convert");
            return Err(DataError::setting("data.channels", problem));
        }
        self.uniform_size = Some(Size { height, width });
        self.shorter_side = height.min(width);
        self.mean_image_values = height * width * wanted;
        self.mean_image_bytes = 4 * self.mean_image_values;
        Ok(())
    }

    /// Refuses arrays of samples that are larger than what is read.
    fn check_size(&self, Size { height, width }: Size) -> Result<(), DataError> {
        let (megapixels, most) = (height as f64 * width as f64 / 1e6, self.decoder.max_megapixels);
        if megapixels <= most {
            return Ok(());
        }
        let problem = match self.source.modality() {
            Modality::Signal => format!("a signal has {width} steps, at most {most} million are read"),
            _ => format!("an image of {height}×{width} px has {megapixels:.1} megapixels, at most {most} are read"),
        };
        Err(DataError::setting("data.max_megapixels", problem))
    }

    /// Reads some headers: they tell how much memory the images take and whether they have one size.
    fn probe(&mut self, settings: &DataRequest) -> Result<(), DataError> {
        let len = self.len();
        let probes = len.min(PROBES);
        let probes: Vec<usize> = (0..probes).map(|probe| probe * len / probes).collect();
        // Of tiles of one image, one.
        let mut images = probes.clone();
        images.dedup_by_key(|index| self.source.image(*index));
        let headers = self.look_at(&images, "image", |index| self.header(index))?;
        self.notes.extend(left_out(&headers.iter().flatten().copied().collect::<Vec<_>>()));
        let header = |&index: &usize| {
            let header = headers[images.partition_point(|&image| image <= index) - 1]?;
            let size = self.source.tile(index).map_or(header.size, |place| place.size);
            Some(Header { size, ..header })
        };
        let headers: Vec<Header> = probes.iter().filter_map(header).collect();
        let first = headers[0];
        let gray = headers.iter().all(|header| !header.color);
        if settings.channels.is_none() && settings.bands.is_empty() && gray {
            self.decoder.wanted.channels = 1;
            let (looked, path) = (headers.len(), settings.path.display());
            self.notes.push(format!(
                "{path}: all {looked} images looked at are gray, so images have 1 channel; data.channels=3 asks for color"
            ));
        }
        if self.decoder.wanted.channels == 1 && settings.bands.is_empty() && !gray {
            let path = settings.path.display();
            self.notes.push(format!("{path}: images are stored in color, of which data.channels = 1 keeps the luma"));
        }
        let chosen = match settings.on_color.as_deref() {
            None => settings.channels.is_none(),
            Some(on_color) => on_color == "refuse",
        };
        self.decoder.gray_only = chosen && gray && self.decoder.wanted.channels == 1;
        let channels = self.decoder.wanted.channels;
        let values = |header: &Header| header.size.height * header.size.width * channels;
        self.mean_image_values = headers.iter().map(values).sum::<usize>() / headers.len();
        self.mean_image_bytes = headers.iter().map(|h| values(h) * h.depth_bytes).sum::<usize>() / headers.len();
        self.uniform_size = headers.iter().all(|header| header.size == first.size).then_some(first.size);
        let mut sides: Vec<usize> = headers.iter().map(|header| header.size.height.min(header.size.width)).collect();
        let middle = sides.len() / 2;
        self.shorter_side = *sides.select_nth_unstable(middle).1;
        self.keep_decoded(settings);
        self.check_bad_share()
    }

    /// Decides whether decoded samples, all of which are files, stay in memory.
    fn keep_decoded(&mut self, settings: &DataRequest) {
        let len = self.len();
        // Others live on the machine, too.
        let most = machine::memory_bytes().map_or(usize::MAX, |bytes| (bytes / 4.0) as usize);
        let budget_bytes = (settings.cache_mb << 20).min(most);
        if self.mean_image_bytes.saturating_mul(len) <= budget_bytes {
            self.cache = Some(Cache::new(len, budget_bytes));
        } else if budget_bytes > 0 && self.source.image(len - 1) + 1 < len {
            self.spill(settings);
        }
    }

    /// What the header of a sample's image says.
    fn header(&self, index: usize) -> Result<Header, DataError> {
        match self.source.get(index)? {
            Encoded::File(file) => {
                let (bytes, _share) = self.read(index, &file)?;
                self.decoder.probe(&bytes, &self.id(index))
            }
            Encoded::Page(file, page) => self.decoder.probe_page(&file, page, &self.id(index)),
            Encoded::Image(_) | Encoded::Sound(_) => unreachable!("sources of images in files have neither"),
        }
    }

    /// What an encoder sees unless told otherwise. Of images a square: their own where they are small squares of one
    /// size; else of their shorter side, so that none is blown up much, in steps that patches divide; at most 224 px. Of signals
    /// the whole of the longest, at most 4,096 steps, or of its picture, at most 512 frames.
    pub fn default_size(&self) -> Size {
        let side = self.shorter_side.min(DEFAULT_SIZE);
        match self.uniform_size {
            _ if self.source.modality() == Modality::Signal => self.signals.size,
            Some(Size { height, width }) if height == width => Size::square(side),
            _ if side < 32 => Size::square((side / 4 * 4).max(4)),
            _ => Size::square(side / 8 * 8),
        }
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

    /// What a person calls the image that the sample is, or is a tile of: what a table or a pattern of names knows.
    pub fn image_id(&self, index: usize) -> String {
        self.source.image_id(index)
    }

    /// Number of the file that the sample is of. Those of one file follow each other and are one group.
    pub fn file(&self, index: usize) -> usize {
        self.source.file(index)
    }

    /// What tells the file of a sample from all others, of any data: where it is, whatever links and names lead there. Of data in
    /// one file, that and the number within.
    pub fn file_identity(&self, index: usize) -> (PathBuf, usize) {
        let (path, number) = match self.source.file_path(index) {
            Some(path) => (path, 0),
            None => (self.path.clone(), self.file(index)),
        };
        (path.canonicalize().unwrap_or(path), number)
    }

    /// Whether files have several samples: pages or tiles.
    pub fn is_grouped(&self) -> bool {
        self.len().checked_sub(1).is_some_and(|last| self.file(last) < last)
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

    /// What a sample is.
    pub fn modality(&self) -> Modality {
        self.signals.modality(self.source.modality())
    }

    /// Channels of every image that [`Self::sample`] gives.
    pub fn channels(&self) -> usize {
        self.decoder.wanted.channels
    }

    /// The size that all images have. Exact for arrays; for image files it is told from the headers of up to 64 of
    /// them, evenly spaced over the list.
    pub fn uniform_size(&self) -> Option<Size> {
        self.uniform_size
    }

    /// The decoded sample.
    ///
    /// # Errors
    /// [`DataError::Sample`] if the sample cannot be read: it is now among [`Self::bad_files`], skip it. Any other: give up.
    /// That is [`DataError::TooManyBad`] if by now more than `data.max_bad_share` of all samples cannot be read, or, if the data
    /// are gone or the system is out of descriptors, [`DataError::Io`], with no sample taken for a bad one.
    pub fn sample(&self, index: usize) -> Result<Arc<Image>, DataError> {
        Ok(self.held(index)?.0)
    }

    /// Hands the decoded sample to `work`, and holds a share of the memory for decoding meanwhile. `work` must not ask for
    /// another sample.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn with_sample<T>(&self, index: usize, work: impl FnOnce(&Image) -> T) -> Result<T, DataError> {
        let (image, _share) = self.held(index)?;
        Ok(work(&image))
    }

    /// The sample, and its share of the memory for decoding unless it is in the cache.
    fn held(&self, index: usize) -> Result<(Arc<Image>, Option<Share>), DataError> {
        if let Some(image) = self.cache.as_ref().and_then(|cache| cache.get(index)) {
            return Ok((image, None));
        }
        match self.load(index) {
            Ok((image, share)) => {
                let image = Arc::new(image);
                let kept = self.cache.as_ref().is_some_and(|cache| cache.keep(index, &image));
                Ok((image, (!kept).then_some(share)))
            }
            Err(error @ DataError::Sample { .. }) => {
                self.count_bad(index, &error);
                self.check_bad_share()?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn load(&self, index: usize) -> Result<(Image, Share), DataError> {
        match self.source.tile(index) {
            Some(place) => self.load_tile(index, place),
            None => self.load_image(index),
        }
    }

    /// The image that the sample is, or is a tile of.
    fn load_image(&self, index: usize) -> Result<(Image, Share), DataError> {
        if self.source.modality() == Modality::Signal {
            let (signal, share) = self.load_signal(index)?;
            return Ok((self.signals.finished(signal), share));
        }
        let share = self.share_of_row(index);
        match (self.source.get(index)?, share) {
            (Encoded::Image(image), Some(share)) => {
                self.learn(index, |hash| hash_pixels(&image.pixels, hash));
                if let Pixels::F32(values) = &image.pixels
                    && !values.iter().all(|value| value.is_finite())
                {
                    return Err(DataError::sample(self.id(index), "holds values that are infinite or not a number"));
                }
                Ok((convert_channels(image, self.decoder.wanted.channels), share))
            }
            (Encoded::File(file), None) => {
                let (bytes, _share) = self.read(index, &file)?;
                drop(file);
                self.learn(index, |hash| {
                    hash.update(&bytes);
                });
                self.decoder.decode(&bytes, &self.id(index))
            }
            (Encoded::Page(file, page), None) => {
                let page = self.decoder.decode_page(&file, page, &self.id(index))?;
                self.learn(index, |hash| hash_pixels(&page.0.pixels, hash));
                Ok(page)
            }
            _ => unreachable!("sources of arrays, and they alone, state their shape"),
        }
    }

    /// Memory for a row of an array: its own bytes twice, and its channels in `f32`.
    fn share_of_row(&self, index: usize) -> Option<Share> {
        self.source.shape()?;
        let bytes = 2 * self.source.stat(index).size_bytes + self.mean_image_bytes as u64;
        Some(budget::IMAGES.take(bytes, self.decoder.memory_bytes))
    }

    /// The bytes of a file, as soon as there is memory for them.
    fn read(&self, index: usize, file: &File) -> Result<(Vec<u8>, Share), DataError> {
        let failed = |cause| source::failure(self.path.join(self.source.image_id(index)), self.id(index), cause);
        let size_bytes = files::size_within(file, MOST_FILE_BYTES).map_err(failed)?;
        let share = budget::FILES.take(size_bytes, self.decoder.memory_bytes);
        Ok((files::read_start(file, size_bytes).map_err(failed)?, share))
    }

    /// What the data tell of `given`, a `[data]` table: kind, channels, labels, size (the side of the data's own square, else
    /// 224), the normalization constants and the range of the values (from a sample of up to 10,000 images; a constant channel has
    /// the range as its deviation) and the fingerprint.
    pub fn facts(&self, given: &Table) -> Result<Table, DataError> {
        let mut facts = Table::new();
        facts.insert("modality".into(), Value::try_from(self.modality()).expect("a word"));
        let columns = self.source.columns();
        if !columns.is_empty() {
            let columns = columns.iter().map(|column| Value::String(column.to_string()));
            facts.insert("columns".into(), Value::Array(columns.collect()));
        }
        facts.insert("kind".into(), self.kind.into());
        facts.insert("channels".into(), Value::Integer(self.channels() as i64));
        facts.insert("rate".into(), Value::Integer(self.signals.sounds.rate as i64));
        facts.insert("on_color".into(), if self.decoder.gray_only { "refuse" } else { "convert" }.into());
        facts.insert("labels".into(), if self.classes().is_empty() { "none" } else { "file" }.into());
        let size = self.default_size();
        facts.insert("size".into(), Value::try_from(size).expect("one number, or two"));
        // A training will want to know what was read here.
        self.remember(None);
        facts.insert("fingerprint".into(), self.fingerprint()?.into());
        let normalized = given.contains_key("mean") && given.contains_key("std");
        if !(normalized && given.contains_key("range")) {
            let Survey { mean, std, range } = self.own_survey(normalized)?;
            let standardized = self.modality() != Modality::Image;
            let range = if standardized { ValueRange::UNIT } else { range };
            let list = |values: &[f32]| Value::Array(values.iter().map(|&v| f64::from(v).into()).collect());
            // A feature has a scale of its own, all channels of an image have that of the range.
            let least = |mean: f32| 1e-6 * if standardized { mean.abs() } else { range.span() };
            let std = std.into_iter().zip(&mean).map(|(std, &mean)| if std > least(mean) { std } else { range.span() });
            let std: Vec<f32> = std.collect();
            facts.insert("range".into(), list(&[range.low, range.high]));
            if !normalized {
                facts.insert("mean".into(), list(&mean));
                facts.insert("std".into(), list(&std));
            }
        }
        Ok(facts)
    }
}

impl SampleSource for Dataset {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn with_sample(&self, index: usize, work: &mut dyn FnMut(&Image)) -> Result<(), DataError> {
        self.with_sample(index, work)
    }
    fn key(&self, index: usize) -> u64 {
        self.source.key(index)
    }
}

mod bad;
mod cache;
mod content;
mod left_out;
mod signals;
mod spill;
mod survey;
#[cfg(test)]
mod tests;
mod tiles;

pub use bad::BadFile;
pub use survey::Survey;
