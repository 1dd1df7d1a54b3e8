//! NumPy's arrays of images, `.npy` and `.npz`: numbers of any kind in any byte order, C or Fortran order, with their axes in
//! any of the [usual orders](AXES), 1 to 16 channels; of vectors, `[n, features]`; or of signals, `[n, time]`, `[n, time, channels]` or
//! `[n, channels, time]`, where values at the end that are not a number lie behind the end of a shorter one.
//!
//! Labels: beside `NAME.npy` in `NAME_labels.npy` or `labels.npy`; within `.npz` in an array of their own, see [`npz`].

mod labels;
mod layout;
mod npz;
mod reorder;

pub use layout::{AXES, Layout};
pub use npz::Part;

use super::rows::{ArrayFile, ArraySource, Storage};
use super::values::Depth;
use super::{LabelSource, SourceEntry, bad_file, file_name, no_folder_labels, no_labels};
use crate::modality::Modality;
use crate::settings::DataRequest;
use labels::Labels;
use selfsame_base::npy::NpyHeader;
use selfsame_base::{DataError, files};
use std::path::Path;

pub const ENTRY: SourceEntry = SourceEntry {
    name: "array",
    summary: ".npy or .npz: images [n, height, width(, channels)], vectors [n, features] or signals [n, time(, channels)] of any numbers; labels in NAME_labels.npy, labels.npy or the archive",
    detect: |path| {
        Part::of(path).is_some() || path.is_file() && (has_extension(path, "npy") || has_extension(path, "npz"))
    },
    open: |request, labels| Ok(Box::new(open(request, labels)?)),
};

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn open(request: &DataRequest, labels: LabelSource) -> Result<ArraySource, DataError> {
    let path = &request.path;
    if labels == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    if Part::of(path).is_some() || has_extension(path, "npz") {
        return npz::open(request, labels);
    }
    let io = |error| DataError::io(path, error);
    let mut file = files::open(path).map_err(io)?;
    let header = NpyHeader::read(&mut file).map_err(io)?;
    let images = Images::new(path, &header, request)?;
    images.check_size(path, &header, file.metadata().map_err(io)?.len())?;
    let labels = match labels {
        LabelSource::None => Labels::default(),
        _ => labels_beside(path, images.layout.images, labels)?,
    };
    let storage = Storage::File { file, path: path.to_owned() };
    images.rows(path, &header, storage, header.size_bytes, labels)
}

/// What the header of an array of images says.
struct Images {
    layout: Layout,
    depth: Depth,
}

impl Images {
    fn new(path: &Path, header: &NpyHeader, request: &DataRequest) -> Result<Self, DataError> {
        let depth = Depth::parse(&header.descr).ok_or_else(|| unsupported(path, header))?;
        if header.count().and_then(|count| count.checked_mul(depth.size_bytes())).is_none() {
            return Err(unsupported(path, header));
        }
        let layout = Layout::new(path, &header.shape, &request.axes, request.of_source())?;
        Ok(Self { layout, depth })
    }

    fn check_size(&self, path: &Path, header: &NpyHeader, size_bytes: u64) -> Result<u64, DataError> {
        check_size(path, header, self.depth.size_bytes(), size_bytes)
    }

    /// The images in `storage` from `offset` on; in Fortran order they are put in order first.
    fn rows(
        self,
        path: &Path,
        header: &NpyHeader,
        mut storage: Storage,
        mut offset: usize,
        labels: Labels,
    ) -> Result<ArraySource, DataError> {
        if header.fortran_order {
            storage = reorder::to_c_order(path, &storage, offset, &header.shape, self.depth.size_bytes())?;
            offset = 0;
        }
        let Labels { labels, classes } = labels;
        let files = vec![ArrayFile::new(path, 0)];
        let Self { layout, depth } = self;
        let side = layout.channels.isqrt();
        let notes = match layout.modality {
            Modality::Vector if side > 7 && side * side == layout.channels => vec![format!(
                "{}: each row is a vector of {} features; where rows are images, reshape to [n, {side}, {side}]",
                path.display(),
                layout.channels
            )],
            _ => Vec::new(),
        };
        Ok(ArraySource { files, layout, depth, storage, offset, labels, classes, notes })
    }
}

fn labels_beside(path: &Path, images: usize, asked: LabelSource) -> Result<Labels, DataError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let candidates = [path.with_file_name(format!("{stem}_labels.npy")), path.with_file_name("labels.npy")];
    let Some(beside) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let expected = format!("{} or {}", candidates[0].display(), file_name(&candidates[1]));
        return if asked == LabelSource::File { Err(no_labels(path, &expected)) } else { Ok(Labels::default()) };
    };
    let io = |error| DataError::io(beside, error);
    let mut file = files::open(beside).map_err(io)?;
    let size_bytes = file.metadata().map_err(io)?.len();
    Labels::read(beside, &mut file, size_bytes, images)
}

/// Bytes of data that a header promises, which must be what there is besides it in `size_bytes`.
fn check_size(path: &Path, header: &NpyHeader, item_bytes: usize, size_bytes: u64) -> Result<u64, DataError> {
    let promised =
        header.count().and_then(|count| count.checked_mul(item_bytes)).ok_or_else(|| unsupported(path, header))?;
    let (promised, found) = (promised as u64, size_bytes.saturating_sub(header.size_bytes as u64));
    if found == promised {
        return Ok(promised);
    }
    Err(bad_file(path, format!("its header promises {promised} bytes of data, the file holds {found}")))
}

fn unsupported(path: &Path, header: &NpyHeader) -> DataError {
    let NpyHeader { descr, shape, .. } = header;
    let what = match descr.as_bytes().get(1) {
        Some(b'O') => {
            "Python objects (a pickle, which is not run); save images of one size as one array: np.stack(images)"
        }
        Some(b'U' | b'S') => "text",
        Some(b'c') => "complex numbers; save their real and imaginary parts, or magnitude and phase, as channels",
        _ => "numbers that are not read",
    };
    let problem = format!(
        "expected values of type bool, (u)int8 to (u)int64, or float16 to float64, found {descr:?} of shape {shape:?}: {what}"
    );
    bad_file(path, problem)
}

#[cfg(test)]
mod tests;
