//! What can be set of data and views.

use crate::augment::{AugmentationEntry, Augmentations, Interpolation};
use crate::image::Size;
use crate::modality::{Columns, Modality};
use crate::signal::{CutOff, Missing, Normalize, SignalView};
use crate::source::AXES;
use selfsame_base::text::readable;
use selfsame_config::{
    Choice, Choices, Key, Kind, NamePreset, Part, Preset, Range, Settings, Settled, Variant, settings, shortest,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::{Table, Value};

/// The value of a key that is to be told by the data.
pub const AUTO: &str = "auto";

/// The value of a key that names no column.
pub const NONE: &str = "none";

/// What happens when data are no longer those that a run began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDataChange {
    /// The run does not go on.
    Refuse,
    /// It goes on with what is there, and says so.
    Warn,
}

/// Which pages of a file with more than one are samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageChoice {
    /// The first alone.
    First,
    /// Each of them.
    All,
}

settings! {
    /// `[data]`
    pub struct DataSettings {
        /// folder or file; demo: the bundled images
        #[serde(serialize_with = "readable")]
        path: PathBuf = (required), Kind::Text, records;
        /// kind of source: selfsame list sources
        kind: String = (data "what knows the path"), Kind::Text;
        /// what a sample is
        #[serde(default)]
        modality: Modality = (data "vector for tables and arrays [n, features], signal for series and sound, else image", or "image"), Kind::Word(Modality::WORDS), records;
        /// channels per pixel, at most 16; of vectors, the features; of signals, their channels: 1 mixes those of sounds
        channels: usize = (data "of folders 1 where all images looked at are gray, else 3, and of sounds 1; else what the data hold"), Kind::Integer(Range::Within(1.0, 65536.0));
        /// what a color image does where channels = 1: refuse ends the run, convert drops the color
        on_color: String = (data "refuse where nobody chose the channels, and all images looked at are gray", or "convert"), Kind::Word(&["refuse", "convert"]), records;
        /// bands of image files, counted from 1, in this order, e.g. [4, 3, 2]; empty: as channels says
        bands: Vec<usize> = [], Kind::Integers(Range::Within(1.0, 65535.0), None);
        /// pages of a TIFF: the first, or all, each as a sample
        pages: PageChoice = "first", Kind::Word(&["first", "all"]);
        /// image files larger than this are cut into square tiles of this side, px, each a sample; 0: none is
        tile: usize = 0, Kind::COUNT_OR_ZERO;
        /// of sound files what they are resampled to, of other signals what they have, Hz; 0: not known
        #[serde(default)]
        rate: usize = (data "of sound files the rate of most of those looked at; else 0", or 0), Kind::Integer(Range::Within(0.0, 768_000.0));
        /// what a signal is looked at as: itself, or the picture of a sound's energy in bands over time
        view: SignalView = "waveform", Kind::Word(SignalView::WORDS);
        /// log-mel view: bands of frequencies, the rows of the picture
        mel_bands: usize = 64, Kind::Integer(Range::Within(1.0, 1024.0));
        /// log-mel view: length of a window, ms
        mel_window: f64 = 25.0, Kind::Number(Range::Over(0.0, 10000.0));
        /// log-mel view: from one window to the next, ms
        mel_hop: f64 = 10.0, Kind::Number(Range::Over(0.0, 10000.0));
        /// log-mel view: least energy, which is what silence has
        mel_floor: f64 = 1e-5, Kind::POSITIVE;
        /// mean and deviation of a signal: channel, those of all data; sample, first its own in each channel
        normalize: Normalize = "channel", Kind::Word(Normalize::WORDS);
        /// values that are missing within a signal: interpolate, between their neighbors in time, or refuse
        missing: Missing = "interpolate", Kind::Word(Missing::WORDS);
        /// longer sounds are refused before they are decoded, s
        max_seconds: f64 = 600.0, Kind::POSITIVE;
        /// sounds that end amid a packet, as a cut-off download does: refuse, or keep what is before it
        cut_off: CutOff = "refuse", Kind::Word(CutOff::WORDS);
        /// px from one tile to the next; 0: as data.tile; less: tiles overlap
        tile_stride: usize = 0, Kind::COUNT_OR_ZERO;
        /// tiles in which no channel's standard deviation reaches this, on the scale of data.std, are left out; 0: none is
        tile_empty: f64 = 0.01, Kind::NOT_NEGATIVE;
        /// tiles that memory does not hold are kept in a temporary file of at most this, MB, and half of what is free there; 0: in none
        tile_disk_mb: usize = 65536, Kind::COUNT_OR_ZERO, records;
        /// where labels are: first folder level, or the data file; used for scores only
        labels: String = (data "file where the data file has them, else none"), Kind::Word(&["none", "folder", "file"]), records;
        /// side of the square that the encoder sees, px, or [height, width]; of signals the steps in time, of vectors 1
        size: Size = (data "the images' shorter side, at most 224; the longest signal, at most 4096"), Kind::SIDES;
        /// how crops and whole images are resized
        interpolation: Interpolation = "bicubic", Kind::Word(Interpolation::WORDS);
        /// order of an array's axes: n images, height, width, channels, n vectors of f features, or n signals, time, channels; auto: told by the lengths
        axes: String = "auto", Kind::Word(AXES);
        /// the array of an .npz archive that holds the images; auto: told by the name
        key: String = "auto", Kind::Text, records;
        /// the array of an .npz archive that holds the labels; auto: told by the name
        label_key: String = "auto", Kind::Text, records;
        /// the column of a table that holds the labels, which is no feature; auto: one called label, labels, class, target or y
        label_column: String = "auto", Kind::Text, records;
        /// the column of a table that says which series a row is a step of; none: a row is a sample
        sample_column: String = "none", Kind::Text, records;
        /// the column with the time stamps of steps, by which they are put in order; none: they are in order
        time_column: String = "none", Kind::Text, records;
        /// columns of a table that are left out, e.g. ["id"]
        drop: Vec<String> = [], Kind::Texts, records;
        /// columns of a table that are categories whatever they hold, e.g. ["zip code"]
        categories: Vec<String> = [], Kind::Texts, records;
        /// columns of a table that are features, each its name and, after tabs, the values that have a feature of their own
        #[serde(default)]
        columns: Vec<String> = (data "as the table's columns hold numbers or categories", or []), Kind::Texts, records;
        /// per-channel mean; 8 and 16 bits are 0..1, all other numbers as they are
        #[serde(serialize_with = "shortest")]
        mean: Vec<f32> = (data "computed from up to 10,000 images"), Kind::Numbers(Range::Any, None);
        /// per-channel standard deviation, on the same scale
        #[serde(serialize_with = "shortest")]
        std: Vec<f32> = (data "computed from up to 10,000 images"), Kind::Numbers(Range::Above(0.0), None);
        /// what augmentations take for black and white, on the same scale, one for all channels
        #[serde(serialize_with = "shortest")]
        range: [f32; 2] = (data "0..1 for 8 bits, else the 0.1 % and 99.9 % quantiles", or [0.0, 1.0]), Kind::Interval(Range::Any);
        /// color under transparent pixels, [r, g, b]
        background: [u8; 3] = [0, 0, 0], Kind::Integers(Range::Within(0.0, 255.0), Some(3));
        /// larger images are refused before they are decoded
        max_megapixels: f64 = 100.0, Kind::Number(Range::Over(0.0, 10000.0));
        /// share of unreadable files at which the run fails
        max_bad_share: f64 = 0.05, Kind::SHARE, records;
        /// decoded images stay in memory when they fit this, MB, and a quarter of the machine's
        cache_mb: usize = 2048, Kind::COUNT_OR_ZERO, records;
        /// images are decoded side by side while they fit this, MB; larger ones one after the other
        decode_mb: usize = 1024, Kind::COUNT_OR_ZERO, records;
        /// what tells these data from others, wherever they lie: a hash of the samples' names, sizes and some of their contents
        fingerprint: String = (data "computed"), Kind::Text;
        /// when they are no longer those that the run began with: refuse, or warn and go on with what is there
        on_data_change: OnDataChange = "refuse", Kind::Word(&["refuse", "warn"]), records;
    }
}

/// What opens a data set: [`DataSettings`] without what the data tell by themselves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DataRequest {
    /// Folder or file; `demo` names the bundled images.
    pub path: PathBuf,
    /// Kind of source; detected when absent.
    pub kind: Option<String>,
    /// What the samples must be; when absent, what they are.
    pub modality: Option<Modality>,
    /// Channels per pixel; when absent, folders have 1 where all images looked at are gray, else 3, and others what they hold.
    pub channels: Option<usize>,
    /// Where channels are 1, what a color image does: `refuse`, `convert`; when absent, `refuse` where channels are.
    pub on_color: Option<String>,
    /// Bands of image files, counted from 1; empty: as `channels` says.
    pub bands: Vec<usize>,
    /// Pages of image files that are samples.
    pub pages: PageChoice,
    /// Side of the tiles that larger images are cut into, px; 0: they are not.
    pub tile: usize,
    /// What the encoder sees, to which pictures of sounds are lengthened; when absent, what the data tell.
    pub size: Option<Size>,
    /// Of sounds what they are resampled to, Hz; when absent, what most of those looked at have.
    pub rate: Option<usize>,
    /// What a signal is looked at as.
    pub view: SignalView,
    /// Of the log-mel view, its rows.
    pub mel_bands: usize,
    /// Of the log-mel view, length of a window, ms.
    pub mel_window: f64,
    /// Of the log-mel view, from one window to the next, ms.
    pub mel_hop: f64,
    /// Of the log-mel view, the least energy.
    pub mel_floor: f64,
    /// Whose mean and deviation a signal is normalized by.
    pub normalize: Normalize,
    /// What is done about values that are missing within a signal.
    pub missing: Missing,
    /// Longest sound that is decoded, s.
    pub max_seconds: f64,
    /// What is done about sounds that end amid a packet.
    pub cut_off: CutOff,
    /// From one tile to the next, px; 0: as [`Self::tile`].
    pub tile_stride: usize,
    /// Tiles that vary less are left out: the largest standard deviation of a channel.
    pub tile_empty: f64,
    /// Tiles that memory does not hold are kept in a temporary file of this size at most, MB.
    pub tile_disk_mb: usize,
    /// `none`, `folder`, `file`, or `any` that there are.
    pub labels: Option<String>,
    /// One of [`AXES`].
    pub axes: String,
    /// The array that holds the images, or [`AUTO`].
    pub key: String,
    /// The array that holds the labels, or [`AUTO`].
    pub label_key: String,
    /// The column of a table that holds the labels, or [`AUTO`].
    pub label_column: String,
    /// The column of a table that says which series a row is a step of, or [`NONE`].
    pub sample_column: String,
    /// The column with the time stamps of steps, or [`NONE`].
    pub time_column: String,
    /// Columns of a table that are left out.
    pub drop: Vec<String>,
    /// Columns of a table that are categories whatever they hold.
    pub categories: Vec<String>,
    /// Columns of a table that are features, as [`DataSettings::columns`] has them; without, the table tells them.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Color on which alpha is composited, `[r, g, b]`.
    pub background: [u8; 3],
    /// Largest image that is decoded, megapixels.
    pub max_megapixels: f64,
    /// Largest share of unreadable files.
    pub max_bad_share: f64,
    /// Decoded images are kept in memory when they fit this, MB. 0 where each is read once.
    pub cache_mb: usize,
    /// Images are decoded side by side while they fit this, MB.
    pub decode_mb: usize,
}

impl DataSettings {
    /// The keys that say how a signal becomes what an encoder sees; none where there are no signals.
    pub fn signal_table(&self) -> Table {
        if self.modality != Modality::Signal && self.view == SignalView::Waveform {
            return Table::new();
        }
        let words = [("view", Value::try_from(self.view)), ("normalize", Value::try_from(self.normalize))];
        let mut table: Table = words.map(|(key, word)| (key.to_owned(), word.expect("a word"))).into_iter().collect();
        table.insert("rate".into(), Value::Integer(self.rate as i64));
        if self.view == SignalView::LogMel {
            table.insert("mel_bands".into(), Value::Integer(self.mel_bands as i64));
            let numbers = [("mel_window", self.mel_window), ("mel_hop", self.mel_hop), ("mel_floor", self.mel_floor)];
            table.extend(numbers.map(|(key, number)| (key.to_owned(), Value::Float(number))));
        }
        table
    }

    /// Where the columns of a vector lie; of images, nowhere.
    pub fn vector_columns(&self) -> Columns {
        Columns::of(&self.columns, self.modality.vector_width(self.channels))
    }
}

impl DataRequest {
    /// The data at `path`, with everything else as preset.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let mut preset = DataSettings::preset();
        preset.insert("path".into(), Value::String(path.into().to_string_lossy().into_owned()));
        preset.try_into().expect("presets fill the rest")
    }

    /// What the source must hold; when absent, what it holds. Pictures of sounds are made of signals.
    pub fn of_source(&self) -> Option<Modality> {
        if self.view == SignalView::LogMel { Some(Modality::Signal) } else { self.modality }
    }
}

impl From<&DataSettings> for DataRequest {
    fn from(settings: &DataSettings) -> Self {
        Self {
            path: settings.path.clone(),
            kind: Some(settings.kind.clone()),
            modality: Some(settings.modality),
            channels: Some(settings.channels),
            on_color: Some(settings.on_color.clone()),
            bands: settings.bands.clone(),
            pages: settings.pages,
            tile: settings.tile,
            size: Some(settings.size),
            rate: Some(settings.rate),
            view: settings.view,
            mel_bands: settings.mel_bands,
            mel_window: settings.mel_window,
            mel_hop: settings.mel_hop,
            mel_floor: settings.mel_floor,
            normalize: settings.normalize,
            missing: settings.missing,
            max_seconds: settings.max_seconds,
            cut_off: settings.cut_off,
            tile_stride: settings.tile_stride,
            tile_empty: settings.tile_empty,
            tile_disk_mb: settings.tile_disk_mb,
            labels: Some(settings.labels.clone()),
            axes: settings.axes.clone(),
            key: settings.key.clone(),
            label_key: settings.label_key.clone(),
            label_column: settings.label_column.clone(),
            sample_column: settings.sample_column.clone(),
            time_column: settings.time_column.clone(),
            drop: settings.drop.clone(),
            categories: settings.categories.clone(),
            columns: settings.columns.clone(),
            background: settings.background,
            max_megapixels: settings.max_megapixels,
            max_bad_share: settings.max_bad_share,
            cache_mb: settings.cache_mb,
            decode_mb: settings.decode_mb,
        }
    }
}

/// One `[[views]]` group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ViewSettings {
    /// Views of this group per sample.
    pub count: usize,
    /// Sides of the view, as `data.size`.
    pub size: Size,
    /// Augmentations in the order of their application.
    pub augmentations: Vec<Choice>,
}

const VIEW_KEYS: &[Key] = &[
    Key {
        name: "count",
        kind: Kind::Integer(Range::Within(1.0, 64.0)),
        preset: Preset::Required,
        meaning: "views of this group per sample, e.g. count = 2",
        changes_training: true,
    },
    Key {
        name: "size",
        kind: Kind::SIDES,
        preset: Preset::Derived("data.size", |settled| settled.value("data.size")),
        meaning: "side of these views, px, or [height, width]; of signals the steps in time",
        changes_training: true,
    },
];

/// What the schema has of data.
pub fn data_parts() -> [Part; 1] {
    [Part::new("data", DataSettings::KEYS)]
}

/// A list of `augmentations` at `path`.
pub fn augmentations_part(path: &'static str, augmentations: &Augmentations) -> Part {
    let variant =
        |entry: &'static AugmentationEntry| Variant { name: entry.name, family: entry.name, keys: entry.keys };
    let augmentations = Choices {
        noun: "augmentation",
        meaning: "what is done to a view, in the order of the list",
        preset: NamePreset::Required,
        variants: augmentations.iter().map(variant).collect(),
    };
    Part::new(path, &[]).with_choices(augmentations)
}

/// What the schema has of views.
pub fn view_parts(augmentations: &Augmentations) -> [Part; 2] {
    [
        Part::new("views.*", VIEW_KEYS).with_list(default_views),
        augmentations_part("views.*.augmentations.*", augmentations).with_list(|_| Some(Value::Array(Vec::new()))),
    ]
}

/// Of images two views as the SimCLR study takes them; up to 64 px with half the jitter, a gentler crop and no blur; without the
/// operations on color where there is none. Of vectors those of the SCARF study: one as it is, one corrupted. Of signals two with the
/// weak augmentations of TS-TCC (Eldele et al. 2021), noise and a factor for each channel, after the crop that served ECGs best (Mehari
/// and Strodthoff 2022): what keeps the shape and the order of what is measured. Of log-mel images those of BYOL-A (Niizumi et al. 2021):
/// another sample in the background, and a crop.
fn default_views(settled: &Settled) -> Option<Value> {
    let listed = |text: &str| text.parse::<Table>().ok()?.remove("views");
    match settled.text("data.modality")? {
        "vector" => {
            return listed(
                "views = [{ count = 1 }, { count = 1, augmentations = [{ name = \"feature_corruption\" }] }]",
            );
        }
        "signal" => {
            return listed(
                "[[views]]\ncount = 2\naugmentations = [{ name = \"random_crop\", scale = [0.5, 1.0] }, { name = \"jitter\" }, \
                 { name = \"scaling\" }]",
            );
        }
        _ if settled.text("data.view") == Some("log_mel") => {
            return listed(
                "[[views]]\ncount = 2\naugmentations = [{ name = \"mix_background\" }, \
                 { name = \"random_resized_crop\", scale = [0.4, 1.0] }]",
            );
        }
        _ => {}
    }
    let (channels, [height, width]) = (settled.count("data.channels")?, settled.sides("data.size")?);
    let (color, small) = (channels == 3, height.max(width) <= 64);
    let jitter = if small { 0.4 } else { 0.8 };
    let (saturation, hue) = if color { (jitter, jitter / 4.0) } else { (0.0, 0.0) };
    let table = |name: &str, pairs: &[(&str, Value)]| {
        let mut table: Table = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        table.insert("name".into(), name.into());
        Value::Table(table)
    };
    let scale = Value::from(vec![if small { 0.2 } else { 0.08 }, 1.0]);
    let mut list = vec![
        table("random_resized_crop", &[("scale", scale)]),
        table("horizontal_flip", &[("p", 0.5.into())]),
        table(
            "color_jitter",
            &[
                ("brightness", jitter.into()),
                ("contrast", jitter.into()),
                ("saturation", saturation.into()),
                ("hue", hue.into()),
                ("p", 0.8.into()),
            ],
        ),
    ];
    if color {
        list.push(table("color_drop", &[("p", 0.2.into())]));
    }
    if !small {
        list.push(table("gaussian_blur", &[("p", 0.5.into())]));
    }
    let group: Table =
        [("count".to_owned(), 2.into()), ("augmentations".to_owned(), Value::Array(list))].into_iter().collect();
    Some(Value::Array(vec![Value::Table(group)]))
}
