//! CIFAR-10 and CIFAR-100 in their binary version: records of one label byte (CIFAR-100: coarse, then fine) and 3,072
//! bytes of color planes, 32×32. Source: <https://www.cs.toronto.edu/~kriz/cifar.html>.
//!
//! The path is a `.bin` file, or the folder of batches, which means the training part (`data_batch_*.bin` or
//! `train.bin`); the test part is named as a file (`FOLDER/test_batch.bin`, `FOLDER/test.bin`). Class names come from
//! `batches.meta.txt` or `fine_label_names.txt` beside the batches; labels of CIFAR-100 are the fine ones.

use super::array::Layout;
use super::rows::{ArrayFile, ArraySource, Storage};
use super::values::Depth;
use super::{IndexedSource, LabelSource, SourceEntry, bad_file, no_folder_labels};
use crate::modality::Modality;
use crate::settings::DataRequest;
use selfsame_base::{DataError, files};
use std::path::{Path, PathBuf};

pub const ENTRY: SourceEntry = SourceEntry {
    name: "cifar",
    summary: "CIFAR-10/100 binary: a .bin file, or a folder with data_batch_*.bin or train.bin",
    detect: |path| {
        if path.is_dir() {
            !train_files(path).is_empty()
        } else {
            path.extension().is_some_and(|extension| extension == "bin")
                && path.metadata().is_ok_and(|file| FORMATS.iter().any(|format| format.fits(file.len() as usize)))
        }
    },
    open,
};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Larger files are not read: a file of the data set has at most 154 MB.
const MOST_FILE_BYTES: u64 = 1 << 30;

/// Label bytes of a record.
struct Format {
    name: &'static str,
    /// Classes that each label byte can name; the last byte is the label we take.
    label_classes: &'static [u8],
    names_file: &'static str,
}

static FORMATS: [Format; 2] = [
    Format { name: "CIFAR-10", label_classes: &[10], names_file: "batches.meta.txt" },
    Format { name: "CIFAR-100", label_classes: &[20, 100], names_file: "fine_label_names.txt" },
];

impl Format {
    fn record_bytes(&self) -> usize {
        self.label_classes.len() + 3 * PLANE
    }

    fn fits(&self, size_bytes: usize) -> bool {
        size_bytes > 0 && size_bytes.is_multiple_of(self.record_bytes())
    }

    /// Whether the bytes are whole records with labels in range.
    fn holds(&self, bytes: &[u8]) -> bool {
        self.fits(bytes.len())
            && bytes
                .chunks_exact(self.record_bytes())
                .all(|record| record.iter().zip(self.label_classes).all(|(label, classes)| label < classes))
    }
}

/// The training batches of a folder, in the order of their names.
fn train_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = (1..=5).map(|batch| folder.join(format!("data_batch_{batch}.bin"))).collect();
    files.push(folder.join("train.bin"));
    files.retain(|file| file.is_file());
    files
}

fn open(request: &DataRequest, labels: LabelSource) -> Result<Box<dyn IndexedSource>, DataError> {
    let path = request.path.as_path();
    if labels == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let batches = if path.is_dir() { train_files(path) } else { vec![path.to_owned()] };
    if batches.is_empty() {
        return Err(bad_file(path, "expected data_batch_1.bin … data_batch_5.bin or train.bin, found none"));
    }
    let mut rows = ArraySource {
        files: Vec::new(),
        layout: Layout { images: 0, height: SIDE, width: SIDE, channels: 3, planar: false, modality: Modality::Image },
        depth: Depth::U8,
        storage: Storage::Memory(Vec::new()),
        offset: 0,
        labels: Vec::new(),
        classes: Vec::new(),
        notes: Vec::new(),
    };
    let mut pixels = Vec::new();
    let mut format = None;
    for file in &batches {
        let bytes = files::read(file, MOST_FILE_BYTES).map_err(|error| DataError::io(file, error))?;
        let found = FORMATS.iter().find(|format| format.holds(&bytes)).ok_or_else(|| {
            bad_file(
                file,
                format!(
                    "expected whole records of {} (CIFAR-10) or {} bytes (CIFAR-100) with labels in range, found {} bytes",
                    FORMATS[0].record_bytes(),
                    FORMATS[1].record_bytes(),
                    bytes.len()
                ),
            )
        })?;
        let first = *format.get_or_insert(found);
        if !std::ptr::eq(first, found) {
            let problem = format!("holds {}, the files before it {}; name one file", found.name, first.name);
            return Err(bad_file(file, problem));
        }
        rows.files.push(ArrayFile::new(file, rows.labels.len()));
        for record in bytes.chunks_exact(found.record_bytes()) {
            let (label, planes) = record.split_at(found.label_classes.len());
            rows.labels.push(u32::from(label[label.len() - 1]));
            pixels.extend((0..PLANE).flat_map(|i| [planes[i], planes[PLANE + i], planes[2 * PLANE + i]]));
        }
    }
    let format = format.expect("there is a file");
    rows.layout.images = rows.labels.len();
    rows.storage = Storage::Memory(pixels);
    if labels == LabelSource::None {
        rows.labels = Vec::new();
    } else {
        rows.classes = class_names(&batches[0].with_file_name(format.names_file), format);
    }
    Ok(Box::new(rows))
}

/// The lines of the names file, or numbers where it is missing or does not fit.
fn class_names(file: &Path, format: &Format) -> Vec<String> {
    let count = usize::from(format.label_classes[format.label_classes.len() - 1]);
    let text = files::read_text(file).unwrap_or_default();
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() == count { names } else { (0..count).map(|class| class.to_string()).collect() }
}
