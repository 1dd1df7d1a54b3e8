//! Files that NumPy wrote (`tests/arrays/make.py`), with the values that it put there.

use super::*;
use crate::dataset::Dataset;
use crate::image::{Image, Pixels, Size};
use std::path::PathBuf;
use toml::Table;

const SHAPE: [usize; 4] = [12, 10, 9, 3];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/arrays").join(name)
}

fn request(name: &str) -> DataRequest {
    DataRequest::new(file(name))
}

fn dataset(request: &DataRequest) -> Result<Dataset, String> {
    Dataset::open(request).map_err(|error| {
        let error = error.to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    })
}

fn open(name: &str) -> Dataset {
    dataset(&request(name)).unwrap()
}

fn problem(name: &str) -> String {
    dataset(&request(name)).err().expect("refused")
}

/// Values of the image `n`, `[height, width, channels]`, each through `value`.
fn image<T>(n: usize, value: impl Fn(u8) -> T) -> Vec<T> {
    let [_, height, width, channels] = SHAPE;
    let at = |h, w, c| value(((37 * n + 11 * h + 5 * w + 83 * c) % 251) as u8);
    let mut values = Vec::new();
    for h in 0..height {
        for w in 0..width {
            values.extend((0..channels).map(|c| at(h, w, c)));
        }
    }
    values
}

/// Checks that the rows are those of `make.py`, made pixels by `pixels`.
fn check(name: &str, pixels: impl Fn(usize) -> Pixels) {
    let data = open(name);
    let [images, height, width, channels] = SHAPE;
    assert_eq!(data.len(), images, "{name}");
    for n in 0..images {
        assert_eq!(*data.sample(n).unwrap(), Image::new(height, width, channels, pixels(n)), "{name}[{n}]");
    }
}

fn check_bytes(name: &str) {
    check(name, |n| Pixels::U8(image(n, |v| v)));
}

fn check_floats(name: &str, value: impl Fn(f32) -> f32) {
    check(name, |n| Pixels::F32(image(n, |v| value(f32::from(v)))));
}

fn labels(data: &Dataset) -> Vec<u32> {
    (0..data.len()).map(|index| data.label(index).unwrap()).collect()
}

#[test]
fn every_kind_of_number_and_order_of_bytes_is_read() {
    check("bool.npy", |n| Pixels::U8(image(n, |v| if v > 128 { 255 } else { 0 })));
    check("u16_big.npy", |n| Pixels::U16(image(n, |v| u16::from(v) * 200)));
    check_floats("i8.npy", |v| (v / 2.0).floor() - 60.0);
    check_floats("i16.npy", |v| v - 100.0);
    check_floats("i32_big.npy", |v| v * 1000.0 - 7.0);
    check_floats("u32.npy", |v| v);
    check_floats("i64.npy", |v| v);
    check_floats("f16.npy", |v| v / 256.0);
    check_floats("f32_big.npy", |v| v / 256.0);
    check_floats("f32_minus1_1.npy", |v| v / 128.0 - 1.0);
    check_floats("f64.npy", |v| v / 256.0);
}

#[test]
fn axes_and_memory_in_any_order_are_read() {
    check_bytes("fortran.npy");
    check_bytes("fortran.npz");
    check_floats("fortran_f32.npy", |v| v / 256.0);
    check_bytes("nchw.npy");
    let data = open("nchw16.npy");
    assert_eq!((data.len(), data.sample(3).unwrap().size().height, data.channels()), (12, 16, 3));
    // np.resize repeats the values in their order.
    let all: Vec<u8> = (0..12).flat_map(|n| image(n, |v| v)).collect();
    let third = all.iter().copied().cycle().skip(3 * 768).take(768).collect();
    assert_eq!(data.sample(3).unwrap().pixels, Pixels::U8(third));

    let problem = problem("hwc.npy");
    assert!(problem.starts_with("data.axes:") && problem.contains("data.axes=hwc"), "{problem}");
    let one = dataset(&DataRequest { axes: "hwc".into(), ..request("hwc.npy") }).unwrap();
    assert_eq!((one.len(), &one.sample(0).unwrap().pixels), (1, &Pixels::U8(image(0, |v| v))));
}

#[test]
fn archives_are_read_by_the_names_that_others_give() {
    check_bytes("arr0.npz");
    assert!(open("arr0.npz").classes().is_empty());
    for name in ["X_y.npz", "fortran.npz", "keras.npz", "medmnist.npz", "float_labels.npz"] {
        check_bytes(name);
        assert_eq!(labels(&open(name)), (0..12).map(|n| n % 4).collect::<Vec<_>>(), "{name}");
    }
    assert_eq!(labels(&open("bool_labels.npz")), (0..12).map(|n| u32::from(n % 4 > 1)).collect::<Vec<_>>());
    assert_eq!((open("X_y.npz").id(2), open("keras.npz").id(2)), ("X_y.npz[2]".into(), "keras.npz/x_train[2]".into()));
    let data = open("string_labels.npz");
    assert_eq!(data.classes(), ["cat", "dog", "fox", "owl"]);
    assert_eq!(labels(&data)[..5], [3, 0, 2, 1, 3]);
    let problem = problem("half_labels.npz");
    assert!(problem.contains("label 1 is 0.5; classes are numbered from 0"), "{problem}");
}

#[test]
fn the_training_part_is_meant_and_told_and_others_are_named_like_folders() {
    let told = &open("medmnist.npz").notes().to_vec();
    assert!(
        told.len() == 1 && told[0].contains("\"train_images\"") && told[0].contains("medmnist.npz/val"),
        "{told:?}"
    );
    for (part, first, len) in [("train", 0, 12), ("val", 4, 4), ("test", 8, 4)] {
        let data = open(&format!("medmnist.npz/{part}"));
        assert_eq!((data.len(), data.kind(), data.notes().len()), (len, "array", 0));
        assert_eq!(data.sample(0).unwrap().pixels, Pixels::U8(image(first, |v| v)));
        assert_eq!(data.label(1), Some(1));
    }
    let error = problem("keras.npz/val");
    assert!(error.contains("has no part called val") && error.contains("x_train"), "{error}");
    let error = problem("keras.npz/tset");
    assert!(error.contains("keras.npz/tset"), "{error}");
}

#[test]
fn arrays_are_chosen_by_their_keys() {
    let error = problem("own_names.npz");
    assert!(error.starts_with("data.key:") && error.contains("left, right, kind"), "{error}");
    let request = DataRequest { key: "right".into(), label_key: "kind".into(), ..request("own_names.npz") };
    let data = dataset(&request).unwrap();
    assert_eq!(data.sample(0).unwrap().pixels, Pixels::U8(image(11, |v| v)));
    assert_eq!((data.label(6), data.id(6)), (Some(2), "own_names.npz/right[6]".into()));
    let error = dataset(&DataRequest { label_key: "sort".into(), ..request }).err().unwrap();
    assert!(error.starts_with("data.label_key:") && error.contains("\"sort\""), "{error}");
    let test = dataset(&DataRequest { key: "x_test".into(), ..self::request("keras.npz") }).unwrap();
    assert_eq!((test.len(), test.label(7)), (8, Some(3)));
}

#[test]
fn what_is_no_array_of_images_is_called_what_it_is() {
    for (name, expected) in [
        ("zero.npy", "an empty file"),
        ("pickle.npy", "a Python pickle"),
        ("objects.npy", "Python objects"),
        ("text.npy", "text"),
    ] {
        let problem = problem(name);
        assert!(problem.contains(name) && problem.contains(expected), "{problem}");
    }
}

/// The `[data]` facts of a file.
fn facts(name: &str) -> Table {
    open(name).facts(&Table::new()).unwrap()
}

fn numbers(facts: &Table, key: &str) -> Vec<f64> {
    facts[key].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect()
}

#[test]
fn the_range_is_that_of_the_values_but_for_8_bits() {
    for name in ["fortran.npy", "bool.npy"] {
        assert_eq!(numbers(&facts(name), "range"), [0.0, 1.0], "{name}");
    }
    for (name, low, high) in [
        ("u16_big.npy", 0.0, 50_000.0 / 65535.0),
        ("i16.npy", -100.0, 150.0),
        ("i32_big.npy", -7.0, 249_993.0),
        ("f32_minus1_1.npy", -1.0, 250.0 / 128.0 - 1.0),
    ] {
        let found = numbers(&facts(name), "range");
        let near = |found: f64, expected: f64| (found - expected).abs() <= 0.01 * (high - low);
        assert!(near(found[0], low) && near(found[1], high), "{name}: {found:?}");
    }
    let given = "mean = [0.0]\nstd = [1.0]".parse().unwrap();
    let facts = open("f64.npy").facts(&given).unwrap();
    assert!(facts.contains_key("range") && !facts.contains_key("mean"));
}

/// An array of floats in a folder of its own, and a request for it as signals.
fn signals(shape: &[usize], values: &[f32]) -> (tempfile::TempDir, DataRequest) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    std::fs::write(&path, selfsame_base::npy::npy_header("<f4", shape).into_iter().chain(bytes).collect::<Vec<_>>())
        .unwrap();
    (folder, DataRequest { modality: Some(Modality::Signal), ..DataRequest::new(path) })
}

#[test]
fn arrays_are_signals_where_that_is_asked_for_and_axes_are_told_or_named() {
    let values: Vec<f32> = (0..24).map(|v| v as f32).collect();
    let (_folder, flat) = signals(&[2, 12], &values);
    let data = dataset(&flat).unwrap();
    assert_eq!((data.modality(), data.channels(), data.uniform_size()), (Modality::Signal, 1, Some(Size::of([1, 12]))));
    assert_eq!(*data.sample(1).unwrap(), Image::new(1, 12, 1, Pixels::F32(values[12..].to_vec())));
    assert_eq!(dataset(&DataRequest { modality: None, ..flat }).unwrap().modality(), Modality::Vector);
    let (_folder, deep) = signals(&[2, 4, 3], &values);
    let error = dataset(&deep).err().unwrap();
    let expected = "can be 2 signals of 4 steps in 3 channels (data.axes=ntc) or of 3 steps in 4 channels (data.axes=nct): say which";
    assert!(error.starts_with("data.axes: ") && error.ends_with(expected), "{error}");
    let read = |axes: &str| dataset(&DataRequest { axes: axes.into(), modality: None, ..deep.clone() }).unwrap();
    assert_eq!(*read("ntc").sample(1).unwrap(), Image::new(1, 4, 3, Pixels::F32(values[12..].to_vec())));
    let turned = [12.0, 15.0, 18.0, 21.0, 13.0, 16.0, 19.0, 22.0, 14.0, 17.0, 20.0, 23.0];
    assert_eq!(*read("nct").sample(1).unwrap(), Image::new(1, 3, 4, Pixels::F32(turned.to_vec())));
    let (_folder, one) = signals(&[2, 1, 12], &values);
    assert_eq!(dataset(&one).unwrap().default_size(), Size::of([1, 12]));
    let (_folder, four) = signals(&[2, 2, 2, 3], &values);
    assert!(dataset(&four).err().unwrap().contains("expected an array of signals, [n, time] or [n, time, channels]"));
    let error = dataset(&DataRequest { channels: Some(2), ..one }).err().unwrap();
    assert_eq!(error, "data.channels: the data have 1 channels, 2 are asked for; leave the key out");
}

#[test]
fn values_that_are_no_number_are_gaps_of_signals_or_their_end() {
    let gap = f32::NAN;
    let (_folder, request) = signals(&[3, 4], &[1.0, gap, 3.0, 4.0, 5.0, 6.0, gap, gap, 1.0, 1.0, f32::INFINITY, 1.0]);
    let request = DataRequest { max_bad_share: 0.5, ..request };
    let data = dataset(&request).unwrap();
    let sample = |index: usize| data.sample(index).map(|sample| sample.pixels.clone());
    assert_eq!(sample(0).unwrap(), Pixels::F32(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(sample(1).unwrap(), Pixels::F32(vec![5.0, 6.0]));
    assert!(sample(2).unwrap_err().to_string().contains("infinite"));
    assert_eq!((data.bad_files().len(), data.uniform_size()), (1, None));
    let notes = data.notes().join("\n");
    assert!(notes.contains("values are missing in 1 of 2 signals looked at"), "{notes}");
    assert!(notes.contains("the shortest after 2 of 4 steps"), "{notes}");
    let refusing = dataset(&DataRequest { missing: crate::signal::Missing::Refuse, ..request }).unwrap();
    let error = refusing.sample(0).unwrap_err().to_string();
    assert!(error.contains("the value of step 1 in channel 0 is missing"), "{error}");
    // Pictures of them need a rate.
    let (_folder, tone) = signals(&[1, 400], &[0.0; 400]);
    let picture = |rate| DataRequest {
        view: crate::signal::SignalView::LogMel,
        rate,
        modality: None,
        axes: "nt".into(),
        ..tone.clone()
    };
    assert_eq!(
        dataset(&picture(None)).err().unwrap(),
        "data.view: log_mel needs the rate of these signals: data.rate = HZ"
    );
    let data = dataset(&picture(Some(16_000))).unwrap();
    let shape = data.sample(0).map(|sample| [sample.height, sample.width, sample.channels]);
    assert_eq!((data.modality(), shape.unwrap()), (Modality::Image, [64, 8, 1]));
}
