//! Data files that hold many samples.

use crate::{told, written};
use selfsame_base::npy::npy_header;
use selfsame_config::Settings;
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::{DataRequest, DataSettings};
use std::path::Path;

/// Opens data with their labels, and reads what a run reads of them.
fn read(path: &Path) {
    let request = DataRequest { cache_mb: 1, max_bad_share: 1.0, ..DataRequest::new(path) };
    let dataset = match Dataset::open(&request) {
        Ok(dataset) => dataset,
        Err(error) => return told(error),
    };
    dataset.notes().iter().for_each(told);
    for index in [0, dataset.len() / 2, dataset.len() - 1] {
        if let Err(error) = dataset.sample(index) {
            told(error);
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

/// `.npy`: as images, and as labels of good images.
pub fn npy(bytes: &[u8]) {
    read(&written("npy/images.npy", bytes));
    let path = written("npy-labels/images.npy", &[npy_header("|u1", &[4, 4, 4]), pixels()].concat());
    written("npy-labels/images_labels.npy", bytes);
    read(&path);
}

/// Tables of text.
pub fn table(bytes: &[u8]) {
    read(&written("table.csv", bytes));
    read(&written("table.tsv", bytes));
}

/// Tables in Parquet.
pub fn parquet(bytes: &[u8]) {
    read(&written("table.parquet", bytes));
}

/// `.npz`: images and labels in one archive.
pub fn npz(bytes: &[u8]) {
    read(&written("images.npz", bytes));
}
