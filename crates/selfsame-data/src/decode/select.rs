//! Which channels of a file become those of a sample (`data.channels`, `data.bands`).

use crate::modality::Modality;
use crate::settings::DataRequest;
use selfsame_base::DataError;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Channels of a sample.
    pub channels: usize,
    /// Which of a file's, counted from 1, in this order; empty where `channels` tells.
    pub bands: Vec<usize>,
}

/// What a file has: color, then perhaps alpha and other bands.
#[derive(Clone, Copy, Debug)]
pub struct Offered {
    /// Channels of color: 1 or 3.
    pub color: usize,
    pub alpha: bool,
    /// All of them.
    pub channels: usize,
}

/// What is taken of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Color, on a background where there is alpha, to become 1 or 3 channels. Other bands are not looked at.
    Picture,
    /// These channels, counted from 0, as they are.
    Channels(Vec<usize>),
}

impl Wanted {
    /// What the settings ask of data, arrays of which have a `shape` of their own: `channels`, else as many as bands are named, as
    /// the array has, or 3.
    pub fn new(settings: &DataRequest, shape: Option<[usize; 3]>) -> Result<Self, DataError> {
        let bands = settings.bands.clone();
        if !bands.is_empty() && shape.is_some() {
            let problem = "bands are chosen of image files, and these data are an array: leave the key out";
            return Err(DataError::setting("data.bands", problem));
        }
        let most = Modality::Image.most_channels();
        if bands.len() > most {
            let problem = format!("{} bands are named, at most {most} are read", bands.len());
            return Err(DataError::setting("data.bands", problem));
        }
        let own = shape.map_or(3, |[_, _, channels]| channels);
        let channels = settings.channels.unwrap_or(if bands.is_empty() { own } else { bands.len() });
        if !bands.is_empty() && bands.len() != channels {
            let problem =
                format!("{} bands are named, data.channels is {channels}: leave one of the two out", bands.len());
            return Err(DataError::setting("data.bands", problem));
        }
        Ok(Self { channels, bands })
    }

    /// So many channels, whichever they are.
    pub fn channels(channels: usize) -> Self {
        Self { channels, bands: Vec::new() }
    }

    /// What is taken of a file that offers so much.
    pub fn of(&self, offered: Offered) -> Result<Selection, String> {
        let Offered { color, channels, .. } = offered;
        if let Some(missing) = self.bands.iter().find(|band| !(1..=channels).contains(*band)) {
            let noun = if channels == 1 { "band" } else { "bands" };
            return Err(format!("has {channels} {noun}, data.bands asks for band {missing}"));
        }
        if !self.bands.is_empty() {
            return Ok(Selection::Channels(self.bands.iter().map(|band| band - 1).collect()));
        }
        // Beside red, green and blue other bands are extra; beside a single one they are its equals.
        if matches!(self.channels, 1 | 3) && (color == 3 || offered.unused() == 0) {
            return Ok(Selection::Picture);
        }
        if self.channels == channels {
            return Ok(Selection::Channels((0..channels).collect()));
        }
        let have = if channels == 1 { "1 channel".to_owned() } else { format!("{channels} channels") };
        let remedy = match channels {
            1 => "expected 1 or 3".to_owned(),
            _ => format!("data.channels = {channels} takes all, data.bands takes some, e.g. data.bands = [2, 1]"),
        };
        Err(format!("has {have}, data.channels is {}; {remedy}", self.channels))
    }
}

impl Offered {
    /// Bands that a picture leaves out.
    pub fn unused(&self) -> usize {
        self.channels - self.color - usize::from(self.alpha)
    }
}
