//! The bundled demo set: 10,000 training and 2,000 test images of Fashion-MNIST (MIT license), 28×28, gray, ten
//! balanced classes. `demo` and `demo/train` are the training part, `demo/test` is the test part; a folder of your own
//! that is called demo is `./demo`.

use super::array::Layout;
use super::idx::IdxReader;
use super::rows::{ArrayFile, ArraySource, Storage};
use super::values::Depth;
use super::{IndexedSource, LabelSource, SourceEntry, no_folder_labels};
use crate::settings::DataRequest;
use flate2::bufread::GzDecoder;
use selfsame_base::DataError;
use std::path::Path;

pub const ENTRY: SourceEntry = SourceEntry {
    name: "demo",
    summary: "bundled images of clothes (Fashion-MNIST): demo or demo/train (10,000), demo/test (2,000)",
    detect: |path| part(path).is_some(),
    open,
};

const CLASSES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Name, images and labels of a part.
type Part = (&'static str, &'static [u8], &'static [u8]);

fn part(path: &Path) -> Option<Part> {
    match path.to_str()? {
        "demo" | "demo/train" => Some((
            "demo/train",
            include_bytes!("../../demo/train-images-idx3-ubyte.gz"),
            include_bytes!("../../demo/train-labels-idx1-ubyte.gz"),
        )),
        "demo/test" => Some((
            "demo/test",
            include_bytes!("../../demo/t10k-images-idx3-ubyte.gz"),
            include_bytes!("../../demo/t10k-labels-idx1-ubyte.gz"),
        )),
        _ => None,
    }
}

fn open(request: &DataRequest, labels: LabelSource) -> Result<Box<dyn IndexedSource>, DataError> {
    let path = request.path.as_path();
    let (name, images, label_bytes) = part(path).ok_or_else(|| {
        let problem = format!("the bundled images are demo, demo/train and demo/test, received {}", path.display());
        DataError::setting("data.path", problem)
    })?;
    if labels == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let read = |bytes| IdxReader::new(path, GzDecoder::new(bytes))?.read(path);
    let (shape, data) = read(images)?;
    let labels = if labels == LabelSource::None { Vec::new() } else { read(label_bytes)?.1 };
    Ok(Box::new(ArraySource {
        files: vec![ArrayFile { name: name.to_owned(), first: 0, modified_ns: 0 }],
        layout: Layout::new(path, &shape, "nhw", None)?,
        depth: Depth::U8,
        storage: Storage::Memory(data),
        offset: 0,
        classes: if labels.is_empty() { Vec::new() } else { CLASSES.map(str::to_owned).to_vec() },
        labels: labels.into_iter().map(u32::from).collect(),
        notes: Vec::new(),
    }))
}
