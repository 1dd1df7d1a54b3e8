use super::*;
use crate::settings::{DataRequest, DataSettings};
use selfsame_config::Settings;
use std::path::Path;

fn open(path: impl AsRef<Path>) -> Dataset {
    Dataset::open(&DataRequest::new(path.as_ref())).unwrap()
}

#[test]
fn the_demo_set_is_balanced() {
    for (path, len) in [("demo", 10_000), ("demo/train", 10_000), ("demo/test", 2_000)] {
        let data = open(path);
        assert_eq!((data.len(), data.kind(), data.channels()), (len, "demo", 1));
        assert_eq!(data.uniform_size(), Some(Size { height: 28, width: 28 }));
        let mut counts = [0; 10];
        (0..len).for_each(|i| counts[data.label(i).unwrap() as usize] += 1);
        assert_eq!(counts, [len / 10; 10]);
        assert_eq!(data.classes().len(), 10);
        assert_eq!(data.sample(len - 1).unwrap().len(), 28 * 28);
    }
}

#[test]
fn the_data_tell_what_nobody_said() {
    let mut table = DataSettings::preset();
    table.insert("path".into(), "demo".into());
    table.extend(open("demo").facts(&table).unwrap());
    let settings = DataSettings::read(&table).unwrap();
    assert_eq!((settings.kind.as_str(), settings.labels.as_str()), ("demo", "file"));
    assert_eq!((settings.channels, settings.size), (1, 28));
    // Known for the whole of Fashion-MNIST: mean 0.2860, standard deviation 0.3530.
    assert!((settings.mean[0] - 0.286).abs() < 0.003);
    assert!((settings.std[0] - 0.353).abs() < 0.003);
}

#[test]
fn data_are_known_wherever_they_lie_and_only_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, pixel: u8, count: usize| {
        let path = folder.path().join(name);
        std::fs::create_dir(&path).unwrap();
        for index in 0..count {
            let bytes = [b"P5\n2 2\n255\n".as_slice(), &[pixel, index as u8, 3, 4]].concat();
            std::fs::write(path.join(format!("{index}.pgm")), bytes).unwrap();
        }
        open(path).fingerprint()
    };
    let first = make("a", 1, 5);
    assert_eq!(first, make("b", 1, 5));
    assert_ne!(first, make("c", 2, 5));
    assert_ne!(first, make("d", 1, 6));
    std::fs::rename(folder.path().join("b/0.pgm"), folder.path().join("b/zero.pgm")).unwrap();
    assert_ne!(first, open(folder.path().join("b")).fingerprint());
}
