//! Data files that hold many samples.

use crate::{told, written};
use selfsame_base::npy::npy_header;
use selfsame_config::Settings;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::Pixels;
use selfsame_data::modality::Modality;
use selfsame_data::settings::{DataRequest, DataSettings};
use selfsame_data::signal::SignalView;
use std::path::Path;

/// Opens data with their labels, and reads what a run reads of them.
fn read(path: &Path) {
    read_as(DataRequest::new(path));
}

fn read_as(request: DataRequest) {
    let request = DataRequest { cache_mb: 1, max_bad_share: 1.0, ..request };
    let dataset = match Dataset::open(&request) {
        Ok(dataset) => dataset,
        Err(error) => return told(error),
    };
    dataset.notes().iter().for_each(told);
    for index in [0, dataset.len() / 2, dataset.len() - 1] {
        match dataset.sample(index) {
            Err(error) => told(error),
            // Padding is NaN in views of signals, and nothing else ever is.
            Ok(sample) => assert!(!matches!(&sample.pixels, Pixels::F32(v) if v.iter().any(|v| !v.is_finite()))),
        }
        let classes = dataset.classes().len();
        assert!(dataset.label(index).is_none_or(|label| (label as usize) < classes), "a label without a class");
    }
    if let Err(error) = dataset.facts(&DataSettings::preset()) {
        told(error);
    }
}

/// Images of four samples, 4×4.
fn pixels() -> Vec<u8> {
    (0..64).map(|i| i * 3).collect()
}

/// IDX: as images, plain or packed, and as labels of good images.
pub fn idx(bytes: &[u8]) {
    read(&written("idx/train-images-idx3-ubyte", bytes));
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4][..], &pixels()].concat();
    let path = written("idx-labels/train-images-idx3-ubyte", &images);
    written("idx-labels/train-labels-idx1-ubyte", bytes);
    read(&path);
}

/// CIFAR's batches.
pub fn cifar(bytes: &[u8]) {
    read(&written("cifar/data_batch_1.bin", bytes));
}

/// `.npy`: as images, as signals, and as labels of good images.
pub fn npy(bytes: &[u8]) {
    let path = written("npy/images.npy", bytes);
    read(&path);
    for axes in ["ntc", "nct", "auto"] {
        read_as(DataRequest { modality: Some(Modality::Signal), axes: axes.into(), ..DataRequest::new(&path) });
    }
    let path = written("npy-labels/images.npy", &[npy_header("|u1", &[4, 4, 4]), pixels()].concat());
    written("npy-labels/images_labels.npy", bytes);
    read(&path);
}

/// Tables of text: of vectors, of series in rows, and of series in steps, whose columns have the names of the seeds.
pub fn table(bytes: &[u8]) {
    let path = written("table.csv", bytes);
    read(&path);
    read(&written("table.tsv", bytes));
    read_as(DataRequest { modality: Some(Modality::Signal), ..DataRequest::new(&path) });
    read_as(DataRequest { sample_column: "who".into(), time_column: "t".into(), ..DataRequest::new(&path) });
}

/// Series of `.ts`.
pub fn ts(bytes: &[u8]) {
    read(&written("series.ts", bytes));
}

/// Sound files of any format: as they are, and as pictures of another rate.
pub fn sound(bytes: &[u8]) {
    let path = written("sound.ogg", bytes);
    let limited = DataRequest { max_seconds: 10.0, ..DataRequest::new(path) };
    read_as(limited.clone());
    read_as(DataRequest { view: SignalView::LogMel, rate: Some(4000), mel_bands: 16, channels: Some(2), ..limited });
}

/// Tables in Parquet.
pub fn parquet(bytes: &[u8]) {
    read(&written("table.parquet", bytes));
}

/// `.npz`: images and labels in one archive.
pub fn npz(bytes: &[u8]) {
    read(&written("images.npz", bytes));
}
