use super::*;
use std::path::Path;

fn settings(path: impl AsRef<Path>) -> DataSettings {
    let path = path.as_ref().to_str().expect("test paths are text");
    toml::from_str(&format!("path = {path:?}")).expect("defaults fill the rest")
}

fn open(path: impl AsRef<Path>) -> Dataset {
    Dataset::open(&settings(path)).unwrap()
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
fn resolving_fills_what_is_open_and_keeps_what_is_said() {
    let mut settings = settings("demo");
    settings.size = Some(32);
    Dataset::open(&settings).unwrap().resolve(&mut settings).unwrap();
    assert_eq!((settings.kind.as_deref(), settings.labels.as_deref()), (Some("demo"), Some("file")));
    assert_eq!((settings.channels, settings.size), (Some(1), Some(32)));
    // Known for the whole of Fashion-MNIST: mean 0.2860, standard deviation 0.3530.
    assert!((settings.mean.unwrap()[0] - 0.286).abs() < 0.003);
    assert!((settings.std.unwrap()[0] - 0.353).abs() < 0.003);
}
