//! Sound files: WAV, FLAC, OGG (Vorbis) and MP3, as `[time, channels]` at one rate.
//!
//! The format is told by the content. What a header promises is checked before a sample is decoded, and once more against what there
//! was: a file that ends early, or of which a part cannot be decoded, is an error, never a shorter sound unasked.

use super::{first_line, guarded};
use crate::budget::{self, Share};
use crate::image::{Image, Pixels};
use crate::signal::CutOff;
use selfsame_base::DataError;
use selfsame_spectrum::resampled;
use std::io::{Cursor, ErrorKind};
use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// Extensions by which a folder's sound files are known, in lower case.
pub const EXTENSIONS: &[&str] = &["wav", "wave", "flac", "ogg", "oga", "mp3"];

/// What the formats are called in messages.
pub const FORMATS: &str = "WAV, FLAC, OGG, MP3";

/// Rates that are read, Hz. Beyond them a header is damaged, and a filter between two rates without a common divisor would grow.
const RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// Channels of a file, at most.
const MOST_CHANNELS: usize = 64;

/// Turns the bytes of a sound file into samples of `[1, time, channels]`.
#[derive(Clone, Debug)]
pub struct SoundDecoder {
    /// What every file is resampled to, Hz.
    pub rate: usize,
    /// Channels of the result: 1, to which all are mixed, or those of the file; one channel becomes any number of equal ones.
    pub channels: usize,
    /// Longest sound that is decoded, s.
    pub max_seconds: f64,
    /// What is done about a sound that ends amid a packet.
    pub cut_off: CutOff,
    /// Memory of all samples that are decoded at once in the process, bytes.
    pub memory_bytes: u64,
}

/// What a header says of a sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoundHeader {
    /// Steps in a second.
    pub rate: usize,
    /// Channels.
    pub channels: usize,
    /// Steps, where the header tells.
    pub steps: Option<u64>,
}

impl SoundHeader {
    /// Steps at another rate.
    pub fn steps_at(&self, rate: usize) -> Option<usize> {
        self.steps.map(|steps| (steps as f64 * rate as f64 / self.rate as f64).ceil() as usize)
    }
}

/// A file whose header is read.
struct Opened<'a> {
    reader: Box<dyn FormatReader + 'a>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    header: SoundHeader,
    /// Whether the number of steps is what there must be, and no estimate.
    exact: bool,
}

impl SoundDecoder {
    /// Decodes a file; `what` names it in errors. Waits until there is memory for it, of which it holds a share until that is dropped.
    pub fn decode(&self, bytes: &[u8], what: &str) -> Result<(Image, Share), DataError> {
        let opened = guarded(what, || self.open(bytes))?;
        let seconds = opened.header.steps.map_or(self.max_seconds, |steps| steps as f64 / opened.header.rate as f64);
        let values = seconds * (opened.header.rate + self.rate) as f64 * self.channels as f64;
        let mut share = budget::IMAGES.take(4 * values as u64, self.memory_bytes);
        let image = guarded(what, || {
            let rate = opened.header.rate;
            let values = resampled(self.read(opened)?, self.channels, rate, self.rate)?;
            if !values.iter().all(|value| value.is_finite()) {
                return Err("holds values that are infinite or not a number".into());
            }
            Ok(Image::new(1, values.len() / self.channels, self.channels, Pixels::F32(values)))
        })?;
        share.shrink(image.size_bytes() as u64);
        Ok((image, share))
    }

    /// Reads the header alone, under the same limits but for the channels.
    pub fn probe(&self, bytes: &[u8], what: &str) -> Result<SoundHeader, DataError> {
        guarded(what, || Ok(self.open(bytes)?.header))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<Opened<'a>, String> {
        if bytes.is_empty() {
            return Err("an empty file".into());
        }
        let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
        let options = (FormatOptions::default(), MetadataOptions::default());
        let reader = symphonia::default::get_probe()
            .probe(&Hint::new(), stream, options.0, options.1)
            .map_err(|_| format!("not a sound in a format that is read ({FORMATS}), or damaged"))?;
        let track = reader.default_track(TrackType::Audio).ok_or("holds no sound")?;
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let parameters = parameters.ok_or("its sound has no known codec")?;
        let rate = parameters.sample_rate.filter(|rate| RATES.contains(rate));
        let rate = rate.ok_or_else(|| {
            let found = parameters.sample_rate.map_or("no rate".to_owned(), |rate| format!("a rate of {rate} Hz"));
            format!("its header tells {found}, expected {} to {} Hz", RATES.start(), RATES.end())
        })?;
        let channels = parameters.channels.as_ref().map_or(0, Channels::count);
        if !(1..=MOST_CHANNELS).contains(&channels) {
            return Err(format!("has {channels} channels, expected 1 to {MOST_CHANNELS}"));
        }
        let header = SoundHeader { rate: rate as usize, channels, steps: track.num_frames };
        self.check_length(header.steps.unwrap_or(0), header.rate, "its header promises")?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default().verify(true))
            .map_err(|error| format!("its codec is not read: {}", first_line(error)))?;
        // Of MP3, some headers state a length, and that of others is estimated.
        let exact = reader.format_info().short_name != "mp3";
        let track = track.id;
        Ok(Opened { reader, decoder, track, header, exact })
    }

    fn check_length(&self, steps: u64, rate: usize, what: &str) -> Result<(), String> {
        let seconds = steps as f64 / rate as f64;
        if seconds <= self.max_seconds {
            return Ok(());
        }
        Err(format!("{what} {seconds:.0} s of sound, data.max_seconds is {}", self.max_seconds))
    }

    /// All samples of a file, `[time, channels]`, at its own rate.
    fn read(&self, opened: Opened) -> Result<Vec<f32>, String> {
        let Opened { mut reader, mut decoder, track, header, exact } = opened;
        let (from, to) = (header.channels, self.channels);
        if from != to && from != 1 && to != 1 {
            return Err(format!("has {from} channels, data.channels is {to}; data.channels = 1 mixes them"));
        }
        let damaged = |error: Error| format!("damaged: {}", first_line(error));
        let (mut values, mut piece, mut cut_off) = (Vec::new(), Vec::new(), false);
        loop {
            let packet = match reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => match self.cut_off {
                    CutOff::Keep => {
                        cut_off = true;
                        break;
                    }
                    CutOff::Refuse => {
                        return Err("ends amid a packet; data.cut_off = \"keep\" takes what is before it".into());
                    }
                },
                Err(Error::ResetRequired) => return Err("holds several sounds one after the other; split it".into()),
                Err(error) => return Err(damaged(error)),
            };
            if packet.track_id != track {
                continue;
            }
            let decoded = decoder.decode(&packet).map_err(damaged)?;
            let (rate, channels) = (decoded.spec().rate() as usize, decoded.spec().channels().count());
            if (rate, channels) != (header.rate, from) {
                return Err(format!(
                    "changes within from {} Hz and {from} channels to {rate} Hz and {channels}",
                    header.rate
                ));
            }
            decoded.copy_to_vec_interleaved::<f32>(&mut piece);
            mix(&piece, from, to, &mut values);
            self.check_length((values.len() / to) as u64, rate, "holds more than")?;
        }
        let (found, promised) = ((values.len() / to) as u64, header.steps);
        if let Some(promised) = promised.filter(|promised| exact && !cut_off && *promised != found) {
            return Err(format!("damaged: its header promises {promised} steps, {found} can be decoded"));
        }
        if !cut_off && decoder.finalize().verify_ok == Some(false) {
            return Err("damaged: the checksum of its samples is another than its header has".into());
        }
        if found == 0 { Err("holds no sample of sound".into()) } else { Ok(values) }
    }
}

/// Adds `piece`, `[time, from]`, to `values`, `[time, to]`: the mean of all channels where one is asked for, and one for each where there
/// is one.
fn mix(piece: &[f32], from: usize, to: usize, values: &mut Vec<f32>) {
    match (from, to) {
        _ if from == to => values.extend_from_slice(piece),
        (_, 1) => values.extend(piece.chunks_exact(from).map(|step| step.iter().sum::<f32>() / from as f32)),
        _ => values.extend(piece.iter().flat_map(|&value| std::iter::repeat_n(value, to))),
    }
}
