use super::*;
use crate::image::Pixels;
use flate2::Compression;
use flate2::write::GzEncoder;
use selfsame_base::npy::npy_header;
use std::fs;
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn open(path: &Path, labels: LabelSource) -> Result<Box<dyn IndexedSource>, DataError> {
    (find(path, None)?.open)(&DataRequest::new(path), labels)
}

/// The one line of an error.
fn problem(path: &Path) -> String {
    let error = open(path, LabelSource::Auto).err().expect("refused").to_string();
    assert!(error.contains(path.to_str().unwrap()) && !error.contains('\n'), "{error}");
    error
}

fn rows(source: &dyn IndexedSource) -> Vec<Vec<u8>> {
    let row = |index| match source.get(index).unwrap() {
        Encoded::Image(Image { pixels: Pixels::U8(pixels), .. }) => pixels,
        other => panic!("{other:?}"),
    };
    (0..source.len()).map(row).collect()
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let axes = shape.iter().flat_map(|axis| axis.to_be_bytes());
    [0, 0, 8, shape.len() as u8].into_iter().chain(axes).chain(data.iter().copied()).collect()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    [npy_header(descr, shape), data.to_vec()].concat()
}

fn npz(method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        writer.start_file(format!("{name}.npy"), SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn an_archive_gives_its_rows_where_they_lie_or_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let pixels: Vec<u8> = (0..60).map(|i| i * 3).collect();
    let labels: Vec<u8> = [0i64, 2, 1, 0, 2].iter().flat_map(|label| label.to_le_bytes()).collect();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let arrays = [("y", npy("<i8", &[5], &labels)), ("x", npy("|u1", &[5, 3, 4], &pixels))];
        fs::write(&path, npz(method, &arrays)).unwrap();
        let source = open(&path, LabelSource::Auto).unwrap();
        assert_eq!(rows(&*source), pixels.chunks(12).map(<[u8]>::to_vec).collect::<Vec<_>>(), "{method}");
        assert_eq!((source.label(1), source.id(4).as_str()), (Some(2), "a.npz[4]"));
    }
}

#[test]
fn packed_data_are_read_whatever_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    // More than is kept in memory.
    let (side, count) = (512, 70);
    let pixels: Vec<u8> = (0..side * side * count).map(|i| (i / 7) as u8).collect();
    let shape = [count as u32, side as u32, side as u32];
    let path = folder.path().join("train-images-idx3-ubyte.gz");
    fs::write(&path, gz(&idx(&shape, &pixels))).unwrap();
    fs::write(folder.path().join("train-labels-idx1-ubyte.gz"), gz(&idx(&[count as u32], &[3; 70]))).unwrap();
    let source = open(&path, LabelSource::Auto).unwrap();
    assert_eq!((source.len(), source.label(69)), (70, Some(3)));
    let found = rows(&*source);
    assert!(found.iter().zip(pixels.chunks(side * side)).all(|(found, row)| found == row));
}

#[test]
fn promises_that_packed_bytes_cannot_keep_are_refused_before_they_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("images-idx3-ubyte.gz");
    // A million bytes in a thousand, and a header that promises a terabyte.
    fs::write(&path, gz(&idx(&[1 << 20, 1 << 10, 1 << 10], &[0; 1_000_000]))).unwrap();
    assert!(problem(&path).contains("more than"), "{}", problem(&path));
    fs::write(&path, gz(&idx(&[9, 10, 10], &[0; 1_000_000]))).unwrap();
    assert!(problem(&path).contains("promises 900 bytes of data, the file holds more"));
    fs::write(&path, gz(&idx(&[11, 10, 10], &[0; 1_000]))).unwrap();
    assert!(problem(&path).contains("promises 1100 bytes of data, the file holds 1000"));
    let whole = gz(&idx(&[10, 10, 10], &(0..1000).map(|i| (i * i) as u8).collect::<Vec<_>>()));
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(problem(&path).contains("truncated or damaged"));

    let path = folder.path().join("a.npz");
    let archive = |image: Vec<u8>| fs::write(&path, npz(CompressionMethod::Deflated, &[("x", image)])).unwrap();
    archive(npy("|u1", &[1 << 20, 1 << 10, 1 << 10], &[0; 1_000_000]));
    assert!(problem(&path).contains("promises 1099511627776 bytes of data, the file holds 1000000"));
    archive(npy("|u1", &[usize::MAX, 2, 3], &[]));
    assert!(problem(&path).contains("expected values of type"));
    // The archive's own list lies, too.
    let image = npy("|u1", &[1 << 20, 1 << 10, 1 << 10], &[0; 1000]);
    let (true_size, lie) = (image.len() as u32, (image.len() - 1000 + (1 << 30)) as u32);
    let image = npy("|u1", &[1 << 10, 1 << 10, 1 << 10], &[0; 1000]);
    let mut bytes = npz(CompressionMethod::Deflated, &[("x", image)]);
    let sizes: Vec<usize> = memchr::memmem::find_iter(&bytes, &true_size.to_le_bytes()).collect();
    assert_eq!(sizes.len(), 2, "in the list and beside the data");
    sizes.into_iter().for_each(|at| bytes[at..at + 4].copy_from_slice(&lie.to_le_bytes()));
    fs::write(&path, bytes).unwrap();
    assert!(problem(&path).contains("packed bytes can hold"), "{}", problem(&path));
}

#[test]
fn no_more_labels_are_read_than_there_are_images() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images-idx3-ubyte");
    fs::write(&images, idx(&[4, 2, 2], &[1; 16])).unwrap();
    let labels = folder.path().join("labels-idx1-ubyte.gz");
    fs::write(&labels, gz(&idx(&[u32::MAX], &[0; 100_000]))).unwrap();
    let error = open(&images, LabelSource::Auto).err().unwrap().to_string();
    assert!(error.contains("holds 4294967295 labels for 4 images"), "{error}");
    fs::write(&labels, gz(&idx(&[4], &[0; 100_000]))).unwrap();
    assert!(open(&images, LabelSource::Auto).is_err());

    let images = folder.path().join("a.npy");
    fs::write(&images, npy("|u1", &[4, 2, 2], &[1; 16])).unwrap();
    for (header, holds) in
        [(npy("<i8", &[usize::MAX / 16], &[0; 32]), "labels for 4 images"), (npy("<i8", &[4], &[0; 31]), "holds 31")]
    {
        fs::write(folder.path().join("labels.npy"), header).unwrap();
        let error = open(&images, LabelSource::Auto).err().unwrap().to_string();
        assert!(error.contains("labels.npy") && error.contains(holds), "{error}");
    }
    fs::write(
        folder.path().join("a.npz"),
        npz(
            CompressionMethod::Deflated,
            &[("x", npy("|u1", &[4, 2, 2], &[1; 16])), ("y", npy("|u1", &[1 << 40], &[0; 1 << 20]))],
        ),
    )
    .unwrap();
    assert!(problem(&folder.path().join("a.npz")).contains("labels for 4 images"));
}

#[test]
fn a_npy_file_that_is_not_as_long_as_its_header_says_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    for data in [15, 17] {
        fs::write(&path, npy("|u1", &[4, 2, 2], &vec![1; data])).unwrap();
        assert!(problem(&path).contains(&format!("promises 16 bytes of data, the file holds {data}")));
    }
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_sockets_are_no_data_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in
        [("a.npy", "array"), ("b.npz", "array"), ("c.bin", "cifar"), ("images-idx3", "idx"), ("d", "idx")]
    {
        let path = folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(problem(&path).contains("a named pipe, not a file"), "{}", problem(&path));
        let entry = find(&path, Some(kind)).unwrap();
        let error = (entry.open)(&DataRequest::new(&path), LabelSource::Auto).err().unwrap().to_string();
        assert!(error.contains("a named pipe, not a file"), "{error}");
    }
    assert!(problem(Path::new("/dev/zero")).contains("a device, not a file"));
    // Labels beside the images.
    let images = folder.path().join("e.npy");
    fs::write(&images, npy("|u1", &[4, 2, 2], &[1; 16])).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("labels.npy")).unwrap();
    assert!(open(&images, LabelSource::Auto).is_ok(), "no label file");
}
