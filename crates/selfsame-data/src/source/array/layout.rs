//! Which axis of an array is which.

use crate::modality::Modality;
use crate::settings::AUTO;
use crate::source::bad_file;
use selfsame_base::DataError;
use std::path::Path;

/// Orders of axes that `data.axes` can name: n images, height, width, channels; n vectors of f features; or n signals, time t, channels.
pub const AXES: &[&str] = &[AUTO, "nhwc", "nchw", "nhw", "hwc", "chw", "hw", "nf", "ntc", "nct", "nt"];

/// Axes that are at least so long are no channels where another axis could be: sides of images.
const SIDE: usize = 8;

/// Number and shape of the images in an array, each in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub images: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    /// Whether the channels of an image lie one after the other, `[channels, height, width]`.
    pub planar: bool,
    /// Images, vectors of 1 × 1 px with a channel for each feature, or signals of one row.
    pub modality: Modality,
}

impl Layout {
    /// Values of an image.
    pub fn row(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// The layout of an array of that `shape` at `path`, whose axes are one of [`AXES`]; `asked` is what its samples are said to be.
    ///
    /// # Errors
    /// If it cannot be told, with the key that settles it, or if there are no images or too many channels.
    pub fn new(path: &Path, shape: &[usize], axes: &str, asked: Option<Modality>) -> Result<Self, DataError> {
        let axes = match (axes, asked) {
            (AUTO, Some(Modality::Signal)) => told_of_signals(path, shape)?,
            (AUTO, _) => told(path, shape)?,
            (named, _) => named,
        };
        let expected = || {
            let problem = format!("{axes} names {} axes, {} has the shape {shape:?}", axes.len(), path.display());
            DataError::setting("data.axes", problem)
        };
        let layout = Self::named(shape, axes).ok_or_else(expected)?;
        if shape.contains(&0) {
            return Err(bad_file(path, format!("holds no {}: its shape is {shape:?}", layout.modality)));
        }
        let most = layout.modality.most_channels();
        if layout.channels > most {
            let found = layout.channels;
            let noun = if layout.modality == Modality::Vector { "features" } else { "channels" };
            let problem = format!(
                "expected 1 to {most} {noun}, found {found} in the shape {shape:?} read as {axes}; data.axes names another order"
            );
            return Err(bad_file(path, problem));
        }
        Ok(layout)
    }

    fn named(shape: &[usize], axes: &str) -> Option<Self> {
        if shape.len() != axes.len() {
            return None;
        }
        let axis = |name: char| axes.find(name).map_or(1, |place| shape[place]);
        let modality = match axes {
            "nf" => Modality::Vector,
            _ if axes.contains('t') => Modality::Signal,
            _ => Modality::Image,
        };
        let width = axis(if modality == Modality::Signal { 't' } else { 'w' });
        let channels = axis(if modality == Modality::Vector { 'f' } else { 'c' });
        let planar = axes.contains("ch") || axes.contains("ct");
        Some(Self { images: axis('n'), height: axis('h'), width, channels, planar, modality })
    }
}

/// The order of the axes of signals, where one of two can be no channels.
fn told_of_signals(path: &Path, shape: &[usize]) -> Result<&'static str, DataError> {
    let most = Modality::Signal.most_channels();
    match *shape {
        [_, _] => Ok("nt"),
        [_, a, b] if a == 1 || b > most => Ok(if b == 1 { "ntc" } else { "nct" }),
        [_, a, b] if b == 1 || a > most => Ok("ntc"),
        [n, a, b] => {
            let problem = format!(
                "{}: the shape {shape:?} can be {n} signals of {a} steps in {b} channels (data.axes=ntc) or of {b} steps in {a} channels (data.axes=nct): say which",
                path.display()
            );
            Err(DataError::setting("data.axes", problem))
        }
        _ => {
            let problem = format!(
                "expected an array of signals, [n, time] or [n, time, channels], found the shape {shape:?}; reshape it"
            );
            Err(bad_file(path, problem))
        }
    }
}

/// The order of the axes as far as lengths tell it.
fn told(path: &Path, shape: &[usize]) -> Result<&'static str, DataError> {
    let either = |a: &str, b: &str| {
        let [first, second] = [a, b].map(|axes| format!("{} (data.axes={axes})", described(shape, axes)));
        let problem = format!("{}: the shape {shape:?} can be {first} or {second}: say which", path.display());
        Err(DataError::setting("data.axes", problem))
    };
    let color = |length: usize| matches!(length, 1 | 3 | 4);
    let side = |length: usize| length >= SIDE;
    let most = Modality::Image.most_channels();
    match *shape {
        [_, _] => Ok("nf"),
        [a, b, c] if color(c) && side(a) && side(b) => either("hwc", "nhw"),
        [3 | 4, b, c] if side(b) && side(c) => either("chw", "nhw"),
        [_, _, _] => Ok("nhw"),
        [_, a, b, c] => {
            let (first, last) = ((1..=most).contains(&a), (1..=most).contains(&c));
            match (first, last) {
                (true, false) => Ok("nchw"),
                (_, true) if !first || color(c) && !color(a) => Ok("nhwc"),
                (true, true) if color(a) && !color(c) => Ok("nchw"),
                // Images are square far more often than not.
                (true, true) if a == b && b != c => Ok("nhwc"),
                (true, true) if b == c && a != b => Ok("nchw"),
                (true, true) => either("nhwc", "nchw"),
                _ => Ok("nhwc"),
            }
        }
        _ => {
            let problem = format!(
                "expected an array of images, [n, height, width] or [n, height, width, channels], or of vectors, [n, features], found the shape {shape:?}; reshape it"
            );
            Err(bad_file(path, problem))
        }
    }
}

/// What a shape is when it is read as `axes`.
fn described(shape: &[usize], axes: &str) -> String {
    let Some(Layout { images, height, width, channels, .. }) = Layout::named(shape, axes) else { unreachable!() };
    let s = if images == 1 { "" } else { "s" };
    let channel = if channels == 1 { "channel" } else { "channels" };
    format!("{images} image{s} of {height}×{width} px with {channels} {channel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_tell_axes_or_the_key_that_does_is_named() {
        let told = |shape: &[usize]| told(Path::new("a.npy"), shape).map_err(|error| error.to_string());
        for shape in
            [&[40, 24, 24, 3][..], &[9, 2, 2, 1], &[5, 16, 16, 5], &[5, 100, 3, 1], &[7, 3, 30, 4], &[5, 99, 9, 2]]
        {
            let expected = if shape == [7, 3, 30, 4] { Err(()) } else { Ok("nhwc") };
            assert_eq!(told(shape).map_err(drop), expected, "{shape:?}");
        }
        for shape in [&[40, 3, 16, 16][..], &[9, 1, 28, 28], &[5, 12, 64, 64], &[7, 3, 4, 4], &[7, 5, 9, 9]] {
            assert_eq!(told(shape), Ok("nchw"), "{shape:?}");
        }
        for shape in [&[60, 28, 28][..], &[4, 2, 2], &[1, 28, 28], &[2, 28, 28], &[3, 4, 4]] {
            assert_eq!(told(shape), Ok("nhw"), "{shape:?}");
        }
        assert_eq!(
            told(&[24, 30, 3]).unwrap_err(),
            "data.axes: a.npy: the shape [24, 30, 3] can be 1 image of 24×30 px with 3 channels (data.axes=hwc) or 24 images of 30×3 px with 1 channel (data.axes=nhw): say which"
        );
        for shape in [&[3, 24, 30][..], &[24, 24, 1], &[8, 8, 8, 8]] {
            assert!(told(shape).unwrap_err().contains("data.axes="), "{shape:?}");
        }
        assert_eq!(told(&[40, 784]), Ok("nf"));
        assert!(told(&[784]).unwrap_err().contains("expected an array of images"));
    }

    #[test]
    fn axes_that_are_named_are_taken_and_must_fit() {
        let layout = |shape: &[usize], axes: &str| {
            let found = Layout::new(Path::new("a.npy"), shape, axes, None).map_err(|error| error.to_string())?;
            Ok::<_, String>(([found.images, found.height, found.width, found.channels], found.planar))
        };
        assert_eq!(layout(&[8, 9, 10, 11], "nhwc"), Ok(([8, 9, 10, 11], false)));
        assert_eq!(layout(&[8, 9, 10, 11], "nchw"), Ok(([8, 10, 11, 9], true)));
        assert_eq!(layout(&[24, 30, 3], "hwc"), Ok(([1, 24, 30, 3], false)));
        assert_eq!(layout(&[24, 30, 3], "nhw"), Ok(([24, 30, 3, 1], false)));
        assert_eq!(layout(&[3, 24, 30], "chw"), Ok(([1, 24, 30, 3], true)));
        assert_eq!(layout(&[24, 30], "hw"), Ok(([1, 24, 30, 1], false)));
        assert!(layout(&[24, 30, 3], "nhwc").unwrap_err().starts_with("data.axes: nhwc names 4 axes"));
        assert!(layout(&[5, 0, 4, 3], AUTO).unwrap_err().contains("holds no images"));
        assert!(layout(&[5, 64, 64, 20], AUTO).unwrap_err().contains("found 20"));
        assert_eq!(layout(&[24, 30], AUTO), Ok(([24, 1, 1, 30], false)));
        assert!(layout(&[2, 70_000], AUTO).unwrap_err().contains("1 to 65536 features, found 70000"));
    }
}
