//! Folders as users have them: what is read of them, and what is told.

use crate::dataset::Dataset;
use crate::decode::encode_png;
use crate::settings::DataRequest;
use selfsame_base::DataError;
use std::fs;
use std::path::Path;
use toml::Table;

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gray(root: &Path, name: &str) {
    write(root, name, &encode_png(&[7; 64], 8, 8));
}

fn color(root: &Path, name: &str) {
    write(root, name, &encode_png(&(0..192).collect::<Vec<u8>>(), 8, 8));
}

/// Three classes of four images.
fn base(root: &Path) {
    for class in ["cat", "dog", "fox"] {
        (0..4).for_each(|index| color(root, &format!("{class}/{index}.png")));
    }
}

fn open(root: &Path, labels: Option<&str>) -> Result<Dataset, DataError> {
    Dataset::open(&DataRequest { labels: labels.map(str::to_owned), max_bad_share: 0.5, ..DataRequest::new(root) })
}

fn labeled(root: &Path) -> Dataset {
    open(root, Some("any")).unwrap()
}

fn refusal(root: &Path, labels: &str) -> String {
    let error = open(root, Some(labels)).err().expect("refused").to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// The classes of a data set, each with its samples.
fn counts(data: &Dataset) -> Vec<(String, usize)> {
    let mut counts: Vec<(String, usize)> = data.classes().iter().map(|name| (name.clone(), 0)).collect();
    (0..data.len()).for_each(|index| counts[data.label(index).unwrap() as usize].1 += 1);
    counts
}

fn expected(counts: &[(&str, usize)]) -> Vec<(String, usize)> {
    counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn files_that_are_not_read_are_told_by_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    (0..6).for_each(|index| color(root, &format!("{index}.png")));
    (0..40).for_each(|index| write(root, &format!("IMG_{index}.HEIC"), b"x"));
    for name in ["noext", "photo.jpg_large", "UP.PNG", "wrongext.jpg"] {
        color(root, name);
    }
    write(root, ".DS_Store", b"hidden");
    let data = open(root, None).unwrap();
    assert_eq!((data.len(), data.notes().len()), (8, 1), "{:?}", data.notes());
    let told = &data.notes()[0];
    for part in ["42 of 50 files are not read: 40 .heic (convert", "1 without an extension", "1 .jpg_large (rename"] {
        assert!(told.contains(part), "{told}");
    }
    let dicom = tempfile::tempdir().unwrap();
    (0..3).for_each(|index| write(dicom.path(), &format!("{index}.dcm"), b"DICM"));
    let error = open(dicom.path(), None).err().unwrap().to_string();
    assert!(error.contains("no image among its 3 files") && error.contains("3 .dcm (convert"), "{error}");
    let error = open(&dicom.path().join("1.dcm"), None).err().unwrap().to_string();
    assert!(error.contains("1.dcm: not a data set of a known kind (convert to PNG or TIFF"), "{error}");
}

#[test]
fn an_image_beside_the_folders_of_classes_is_named_and_takes_no_labels_away() {
    let folder = tempfile::tempdir().unwrap();
    base(folder.path());
    color(folder.path(), "stray.png");
    let data = labeled(folder.path());
    assert_eq!(counts(&data), expected(&[("cat", 4), ("dog", 4), ("fox", 4)]));
    let told = &data.notes()[0];
    assert!(told.contains("stray.png lies directly in") && told.contains("left out"), "{told}");
    assert_eq!(open(folder.path(), None).unwrap().len(), 13, "without labels it is a sample");
    let error = refusal(folder.path(), "folder");
    assert!(error.starts_with("data.labels: stray.png lies directly in"), "{error}");
    // Mostly pictures: the folders are no classes.
    (0..12).for_each(|index| color(folder.path(), &format!("more{index}.png")));
    let data = labeled(folder.path());
    assert!(data.len() == 25 && data.classes().is_empty());
}

#[test]
fn parts_of_a_data_set_are_no_classes_and_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["Train", "val", "test"] {
        base(&folder.path().join(part));
    }
    let root = folder.path().display().to_string();
    for data in [labeled(folder.path()), open(folder.path(), None).unwrap()] {
        assert!(data.len() == 36 && data.classes().is_empty());
        let told = &data.notes()[0];
        assert!(told.contains("Train (12), test (12), val (12)") && told.contains(&format!("{root}/Train")), "{told}");
    }
    let error = refusal(folder.path(), "folder");
    assert!(error.starts_with("data.labels:") && error.contains("not classes: Train (12)"), "{error}");
    assert_eq!(counts(&labeled(&folder.path().join("test"))), expected(&[("cat", 4), ("dog", 4), ("fox", 4)]));
}

#[test]
fn one_name_in_two_spellings_is_one_class() {
    let folder = tempfile::tempdir().unwrap();
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    for (root, class) in [("composed", composed), ("decomposed", decomposed)] {
        for name in [class, "tea"] {
            color(&folder.path().join(root), &format!("{name}/0.png"));
        }
        let data = labeled(&folder.path().join(root));
        assert_eq!(counts(&data), expected(&[(composed, 1), ("tea", 1)]), "{root}");
    }
    let both = folder.path().join("both");
    [composed, "cafz", decomposed].iter().for_each(|class| color(&both, &format!("{class}/0.png")));
    let (data, samples) = (labeled(&both), both.read_dir().unwrap().count());
    // Some file systems take both spellings for one name.
    assert_eq!((data.len(), data.classes().len()), (samples, 2), "{:?}", data.classes());
}

#[cfg(unix)]
#[test]
fn links_to_what_is_listed_already_are_told() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    (0..3).for_each(|index| color(folder.path(), &format!("pool/{index}.png")));
    let root = folder.path().join("classes");
    fs::create_dir(&root).unwrap();
    symlink("../pool", root.join("dog")).unwrap();
    symlink("../pool", root.join("hound")).unwrap();
    color(&root, "cat/0.png");
    symlink("cat", root.join("kitten")).unwrap();
    symlink(".", root.join("loop")).unwrap();
    let data = labeled(&root);
    assert_eq!(counts(&data), expected(&[("cat", 1), ("dog", 3)]));
    let told = data.notes().join("\n");
    for part in ["hound leads to dog,", "kitten leads to cat,", "loop leads to the folder itself,"] {
        assert!(told.contains(part), "{told}");
    }
    ["e1", "e2"].iter().for_each(|name| symlink("cat", root.join(name)).unwrap());
    let notes = labeled(&root).notes().to_vec();
    assert!(notes.len() == 4 && notes[3].contains("2 more links"), "{notes:?}");
}

#[test]
fn a_class_that_has_no_readable_image_is_told() {
    let folder = tempfile::tempdir().unwrap();
    base(folder.path());
    write(folder.path(), "ant/a.png", b"hi");
    let data = labeled(folder.path());
    (0..data.len()).for_each(|index| drop(data.sample(index)));
    let told = data.skipped().unwrap();
    assert!(
        told.starts_with("1 of 13 samples cannot be read") && told.ends_with("; none is left of class ant"),
        "{told}"
    );
}

#[test]
fn gray_folders_stay_gray_until_color_comes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    (0..200).for_each(|index| gray(root, &format!("{index:03}.png")));
    let data = open(root, None).unwrap();
    assert_eq!((data.channels(), data.sample(0).unwrap().channels), (1, 1));
    let told = data.notes().join("\n");
    assert!(told.contains("all 64 images looked at are gray") && told.contains("data.channels=3"), "{told}");
    let facts = data.facts(&Table::new()).unwrap();
    assert_eq!((facts["channels"].as_integer(), facts["on_color"].as_str()), (Some(1), Some("refuse")));
    // 199 is not among those that are looked at.
    color(root, "199.png");
    let as_planned = DataRequest { channels: Some(1), on_color: Some("refuse".into()), ..DataRequest::new(root) };
    for request in [DataRequest::new(root), as_planned.clone()] {
        let data = Dataset::open(&request).unwrap();
        assert!(data.sample(198).is_ok());
        let error = data.sample(199).err().unwrap();
        assert!(matches!(error, DataError::Setting { .. }), "no bad sample, but an end: {error}");
        assert!(
            error.to_string().contains("199.png is stored in color") && error.to_string().contains("data.channels=3"),
            "{error}"
        );
    }
    for (request, channels) in [
        (DataRequest { channels: Some(3), on_color: None, ..as_planned.clone() }, 3),
        (DataRequest { channels: Some(1), on_color: None, ..as_planned.clone() }, 1),
        (DataRequest { on_color: Some("convert".into()), ..as_planned }, 1),
    ] {
        let data = Dataset::open(&request).unwrap();
        assert_eq!((data.channels(), data.sample(199).unwrap().channels, data.notes().len()), (channels, channels, 0));
    }
    // Color among those that are looked at is color, as ever.
    color(root, "000.png");
    let data = open(root, None).unwrap();
    assert_eq!((data.channels(), data.notes().len()), (3, 0));
    let dropped = Dataset::open(&DataRequest { channels: Some(1), ..DataRequest::new(root) }).unwrap();
    assert!(dropped.notes()[0].contains("data.channels = 1 keeps the luma"), "{:?}", dropped.notes());
}

#[test]
fn one_image_is_data_of_one_sample() {
    let folder = tempfile::tempdir().unwrap();
    color(folder.path(), "cats/one.png");
    color(folder.path(), "cats/two.png");
    let path = folder.path().join("cats/two.png");
    let data = labeled(&path);
    assert_eq!((data.len(), data.id(0).as_str(), data.classes().len()), (1, "two.png", 0));
    assert!(refusal(&path, "folder").contains("one file has no labels"));
    // What is called otherwise is no image, whatever it holds.
    fs::copy(&path, folder.path().join("two.dat")).unwrap();
    assert!(open(&folder.path().join("two.dat"), None).err().unwrap().to_string().contains("not a data set"));
}
