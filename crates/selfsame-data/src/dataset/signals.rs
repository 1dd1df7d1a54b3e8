//! Signals of a data set: what is looked at when it is opened, and what each becomes when it is read.

use super::{Dataset, PROBES, hash_pixels};
use crate::budget::Share;
use crate::decode::{SoundDecoder, SoundHeader};
use crate::image::{Image, Pixels, Size};
use crate::modality::Modality;
use crate::settings::DataRequest;
use crate::signal::{LogMel, LogMelSettings, Missing, Normalize, SignalView, mend, standardize, to_floats};
use crate::source::Encoded;
use selfsame_base::DataError;
use std::collections::BTreeMap;

/// How signals are read, and what they become.
pub struct Signals {
    pub sounds: SoundDecoder,
    missing: Missing,
    normalize: Normalize,
    log_mel: Option<LogMelSettings>,
    /// What makes the pictures, once the rate is known.
    pictures: Option<LogMel>,
    /// Frames of a picture, at least.
    least_frames: usize,
    /// What an encoder sees unless told otherwise.
    pub size: Size,
}

/// Steps of a signal that an encoder sees unless told otherwise, at most.
const MOST_STEPS: usize = 4096;

/// Frames of a picture, likewise; and what their number is a multiple of, so that patches divide it.
const MOST_FRAMES: usize = 512;
const FRAMES: usize = 8;

impl Signals {
    /// As the settings ask for them, of a source of this modality.
    ///
    /// # Errors
    /// If the settings ask of others what only signals can be.
    pub fn new(settings: &DataRequest, modality: Modality) -> Result<Self, DataError> {
        let is_signal = modality == Modality::Signal;
        let refused = |key: &str, value: &str, what: &str| {
            let problem = format!("\"{value}\" is {what}, {} holds {modality}", settings.path.display());
            Err(DataError::setting(key, problem))
        };
        if settings.view == SignalView::LogMel && !is_signal {
            return refused("data.view", "log_mel", "a picture of signals");
        }
        if settings.normalize == Normalize::Sample && !is_signal {
            return refused("data.normalize", "sample", "for signals");
        }
        let of_images = [("data.tile", settings.tile > 0), ("data.bands", !settings.bands.is_empty())];
        if let Some((key, _)) = of_images.into_iter().find(|(_, is_set)| is_signal && *is_set) {
            return Err(DataError::setting(key, "is for image files, and these data are signals; leave the key out"));
        }
        let log_mel = (settings.view == SignalView::LogMel).then_some(LogMelSettings {
            rate: 0,
            bands: settings.mel_bands,
            window_ms: settings.mel_window,
            hop_ms: settings.mel_hop,
            floor: settings.mel_floor,
        });
        let sounds = SoundDecoder {
            rate: settings.rate.unwrap_or(0),
            channels: settings.channels.unwrap_or(1),
            max_seconds: settings.max_seconds,
            cut_off: settings.cut_off,
            memory_bytes: (settings.decode_mb as u64) << 20,
        };
        let (missing, normalize) = (settings.missing, settings.normalize);
        Ok(Self { sounds, missing, normalize, log_mel, pictures: None, least_frames: 0, size: Size::square(1) })
    }

    /// What samples are in the end, of a source of this modality.
    pub fn modality(&self, of_source: Modality) -> Modality {
        if self.log_mel.is_some() { Modality::Image } else { of_source }
    }

    /// An array's signal as floats without gaps, and how many gaps it had.
    pub fn mended(&self, signal: Image) -> Result<(Image, usize), String> {
        let mut signal = to_floats(signal);
        let Pixels::F32(values) = &mut signal.pixels else { unreachable!("made of floats above") };
        let gaps = mend(values, signal.channels, self.missing)?;
        signal.width = values.len() / signal.channels;
        Ok((signal, gaps))
    }

    /// What a signal without gaps becomes.
    pub fn finished(&self, mut signal: Image) -> Image {
        if self.normalize == Normalize::Sample {
            standardize(&mut signal);
        }
        match &self.pictures {
            Some(pictures) => pictures.picture(&signal, self.least_frames),
            None => signal,
        }
    }
}

impl Dataset {
    /// A signal as it is read, whatever it is looked at as: what a person can listen to.
    ///
    /// # Errors
    /// If it cannot be read, or the data are no signals.
    pub fn waveform(&self, index: usize) -> Result<Image, DataError> {
        if self.source.modality() != Modality::Signal {
            return Err(DataError::sample(self.id(index), "is no signal"));
        }
        Ok(self.load_signal(index)?.0)
    }

    /// A signal without gaps, before it becomes anything else.
    pub(super) fn load_signal(&self, index: usize) -> Result<(Image, Share), DataError> {
        let share = self.share_of_row(index);
        match (self.source.get(index)?, share) {
            (Encoded::Image(image), Some(share)) => {
                self.learn(index, |hash| hash_pixels(&image.pixels, hash));
                let mended =
                    self.signals.mended(image).map_err(|problem| DataError::sample(self.id(index), problem))?;
                Ok((mended.0, share))
            }
            (Encoded::Sound(file), None) => {
                let (bytes, _share) = self.read(index, &file)?;
                drop(file);
                self.learn(index, |hash| {
                    hash.update(&bytes);
                });
                self.signals.sounds.decode(&bytes, &self.id(index))
            }
            _ => unreachable!("signals are arrays, which state their shape, and sound files"),
        }
    }

    /// Arrays and files of text hold their signals as numbers; some are looked at for gaps.
    pub(super) fn take_signals(
        &mut self,
        [height, steps, channels]: [usize; 3],
        settings: &DataRequest,
    ) -> Result<(), DataError> {
        self.check_size(Size { height, width: steps })?;
        if let Some(wanted) = settings.channels.filter(|&wanted| wanted != channels) {
            let problem = format!("the data have {channels} channels, {wanted} are asked for; leave the key out");
            return Err(DataError::setting("data.channels", problem));
        }
        let (len, path) = (self.len(), settings.path.display());
        let probes = len.min(PROBES);
        let (mut with_gaps, mut shortest, mut looked) = (0, steps, 0);
        for index in (0..probes).map(|probe| probe * len / probes) {
            let read = match self.source.get(index) {
                Ok(Encoded::Image(signal)) => self.signals.mended(signal),
                Ok(_) => unreachable!("sources of arrays state their shape"),
                // It is counted where it is read to be used.
                Err(DataError::Sample { .. }) => continue,
                Err(error) => return Err(error),
            };
            if let Ok((signal, gaps)) = read {
                looked += 1;
                with_gaps += usize::from(gaps > 0);
                shortest = shortest.min(signal.width);
            }
        }
        if with_gaps > 0 {
            self.notes.push(format!(
                "{path}: values are missing in {with_gaps} of {looked} signals looked at: they lie on the line between their neighbors in time; data.missing = \"refuse\" refuses them"
            ));
        }
        if shortest < steps && self.source.is_uniform() {
            self.notes.push(format!(
                "{path}: signals end where only values are left that are not a number, of {looked} looked at the shortest after {shortest} of {steps} steps"
            ));
        }
        // Those that were not looked at may be shorter.
        let shortest = if self.source.is_uniform() { shortest } else { shortest.min(steps - 1) };
        self.take_lengths([shortest, steps], channels, settings)
    }

    /// Reads some headers of sound files: they tell the rate, how much memory sounds take and how long they are.
    pub(super) fn probe_sounds(&mut self, settings: &DataRequest) -> Result<(), DataError> {
        let (len, path) = (self.len(), settings.path.display().to_string());
        let probes: Vec<usize> = (0..len.min(PROBES)).map(|probe| probe * len / len.min(PROBES)).collect();
        let headers = self.look_at(&probes, "sound", |index| self.sound_header(index))?;
        let headers: Vec<SoundHeader> = headers.into_iter().flatten().collect();
        let looked = headers.len();
        let mut rates: BTreeMap<usize, usize> = BTreeMap::new();
        headers.iter().for_each(|header| *rates.entry(header.rate).or_default() += 1);
        let rate = match settings.rate {
            Some(0) | None => rates.iter().max_by_key(|(rate, count)| (**count, **rate)).map_or(0, |(rate, _)| *rate),
            Some(rate) => rate,
        };
        self.signals.sounds.rate = rate;
        let others: Vec<String> = rates.keys().filter(|&&other| other != rate).map(ToString::to_string).collect();
        if !others.is_empty() {
            let count: usize = rates.iter().filter(|(other, _)| **other != rate).map(|(_, count)| count).sum();
            self.notes.push(format!(
                "{path}: {count} of {looked} sounds looked at have another rate than data.rate = {rate} Hz ({} Hz): they are resampled",
                others.join(", ")
            ));
        }
        let channels = self.signals.sounds.channels;
        let mixed = headers.iter().filter(|header| header.channels > 1).count();
        if channels == 1 && mixed > 0 {
            let most = headers.iter().map(|header| header.channels).max().unwrap_or(1);
            self.notes.push(format!(
                "{path}: {mixed} of {looked} sounds looked at have more channels, up to {most}, which are mixed to one; data.channels = {most} keeps them"
            ));
        }
        let lengths: Vec<usize> = headers.iter().filter_map(|header| header.steps_at(rate)).collect();
        // Where no header tells, a second.
        let [shortest, longest] = [lengths.iter().min(), lengths.iter().max()].map(|steps| *steps.unwrap_or(&rate));
        self.take_lengths([shortest, longest], channels, settings)?;
        self.keep_decoded(settings);
        self.check_bad_share()
    }

    fn sound_header(&self, index: usize) -> Result<SoundHeader, DataError> {
        match self.source.get(index)? {
            Encoded::Sound(file) => {
                let (bytes, _share) = self.read(index, &file)?;
                self.signals.sounds.probe(&bytes, &self.id(index))
            }
            _ => unreachable!("sources of signals hold sounds, or state their shape"),
        }
    }

    /// What samples become, of signals of so many steps, at the least and at the most.
    fn take_lengths(
        &mut self,
        [shortest, longest]: [usize; 2],
        channels: usize,
        settings: &DataRequest,
    ) -> Result<(), DataError> {
        self.decoder.wanted.channels = channels;
        let rate = self.signals.sounds.rate;
        let size = match self.signals.log_mel {
            Some(log_mel) => {
                if rate == 0 {
                    let problem = "log_mel needs the rate of these signals: data.rate = HZ";
                    return Err(DataError::setting("data.view", problem));
                }
                let most = Modality::Image.most_channels();
                if channels > most {
                    let problem = format!("a picture of {channels} channels, expected at most {most}");
                    return Err(DataError::setting("data.view", problem));
                }
                let pictures = LogMel::new(LogMelSettings { rate, ..log_mel })?;
                let size = Size { height: pictures.bands(), width: pictures.frames(longest) };
                let width = size.width.next_multiple_of(FRAMES).min(MOST_FRAMES);
                self.signals.size = Size { width, ..size };
                // So wide that a view of all bands lies within.
                let seen = settings.size.unwrap_or(self.signals.size);
                self.signals.least_frames = (size.height * seen.width).div_ceil(seen.height.max(1));
                self.signals.pictures = Some(pictures);
                Size { width: size.width.max(self.signals.least_frames), ..size }
            }
            None => {
                self.signals.size = Size { height: 1, width: longest.min(MOST_STEPS) };
                Size { height: 1, width: longest }
            }
        };
        let one_length = match &self.signals.pictures {
            Some(pictures) => pictures.frames(longest) <= self.signals.least_frames,
            None => shortest == longest,
        };
        self.uniform_size = one_length.then_some(size);
        self.mean_image_values = size.area() * channels;
        self.mean_image_bytes = 4 * self.mean_image_values;
        Ok(())
    }
}
