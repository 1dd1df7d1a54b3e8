use super::*;
use crate::augment::Augmentations;
use crate::loader::{Batching, EvalLoader, EvalPlan, TrainLoader, ViewPlan, Views};
use crate::record::Changes;
use crate::settings::{DataRequest, DataSettings};
use selfsame_base::npy::npy_header;
use selfsame_config::Settings;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn open(path: impl AsRef<Path>) -> Dataset {
    Dataset::open(&DataRequest::new(path.as_ref())).unwrap()
}

/// The settings that data fill in themselves.
fn settings(dataset: &Dataset) -> DataSettings {
    let mut table = DataSettings::preset();
    table.insert("path".into(), dataset.path().to_str().unwrap().into());
    table.extend(dataset.facts(&table).unwrap());
    DataSettings::read(&table).unwrap()
}

/// Writes `name` as a gray image of 4×4 px.
fn write_image(path: &Path, name: &str, pixel: u8) {
    let path = path.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [b"P5\n4 4\n255\n".as_slice(), &[pixel; 16]].concat()).unwrap();
}

/// Writes rows of 2×2 px as an array.
fn write_rows(path: &Path, rows: &[[u8; 4]]) {
    fs::write(path, [npy_header("|u1", &[rows.len(), 2, 2]), rows.concat()].concat()).unwrap();
}

/// A TIFF of one strip of gray floats.
fn float_tiff(width: u32, height: u32, pixels: &[f32]) -> Vec<u8> {
    let len = 4 * pixels.len() as u32;
    let tags: [(u16, u32); 8] =
        [(256, width), (257, height), (258, 32), (262, 1), (273, 8), (278, height), (279, len), (339, 3)];
    let entry = |(tag, value): (u16, u32)| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
    let pixels: Vec<u8> = pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tags: Vec<u8> = tags.into_iter().flat_map(entry).collect();
    [b"II\x2a\0", &(8 + len).to_le_bytes()[..], &pixels, &[8, 0], &tags, &[0; 4]].concat()
}

/// Sets the time at which a file was written.
fn set_time(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

fn read_all(dataset: &Dataset) {
    (0..dataset.len()).for_each(|index| drop(dataset.sample(index)));
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
    let settings = settings(&open("demo"));
    assert_eq!((settings.kind.as_str(), settings.labels.as_str()), ("demo", "file"));
    assert_eq!((settings.channels, settings.size), (1, Size::square(28)));
    // Known for the whole of Fashion-MNIST: mean 0.2860, standard deviation 0.3530.
    assert!((settings.mean[0] - 0.286).abs() < 0.003);
    assert!((settings.std[0] - 0.353).abs() < 0.003);
}

#[test]
fn data_are_known_wherever_they_lie_and_only_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, pixel: u8, count: u8| {
        let path = folder.path().join(name);
        (0..count).for_each(|index| write_image(&path, &format!("{index}.pgm"), pixel + index));
        open(path).fingerprint().unwrap()
    };
    let first = make("a", 1, 5);
    assert_eq!(first, make("b", 1, 5));
    assert_ne!(first, make("c", 2, 5));
    assert_ne!(first, make("d", 1, 6));
    fs::rename(folder.path().join("b/0.pgm"), folder.path().join("b/zero.pgm")).unwrap();
    assert_ne!(first, open(folder.path().join("b")).fingerprint().unwrap());
}

#[test]
fn of_many_files_64_are_read_and_the_sizes_of_all_are_known() {
    let folder = tempfile::tempdir().unwrap();
    (0..200).for_each(|index| write_image(folder.path(), &format!("{index:03}.pgm"), index));
    let fingerprint = || open(folder.path()).fingerprint().unwrap();
    let first = fingerprint();
    // 63 · 200 / 64 = 196 is the last that is looked at.
    write_image(folder.path(), "199.pgm", 7);
    assert_eq!(first, fingerprint(), "not read");
    write_image(folder.path(), "196.pgm", 7);
    assert_ne!(first, fingerprint(), "read");
    write_image(folder.path(), "196.pgm", 196);
    assert_eq!(first, fingerprint());
    fs::write(folder.path().join("199.pgm"), b"P5\n4 4\n15\n").unwrap();
    assert_ne!(first, fingerprint(), "another size");
}

#[test]
fn a_small_array_is_known_by_each_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut rows: Vec<[u8; 4]> = (0..255).map(|i| [i, i ^ 1, i ^ 2, i ^ 3]).collect();
    write_rows(&path, &rows);
    let first = open(&path).fingerprint().unwrap();
    for row in [0, 1, 127, 254] {
        rows[row][row % 4] ^= 1;
        write_rows(&path, &rows);
        assert_ne!(first, open(&path).fingerprint().unwrap(), "row {row}");
        rows[row][row % 4] ^= 1;
    }
    write_rows(&path, &rows);
    assert_eq!(first, open(&path).fingerprint().unwrap());
}

#[test]
fn changes_of_a_folder_are_counted_and_a_copy_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let name = |index: u8| format!("{}/{index:03}.pgm", if index < 90 { "a" } else { "b" });
    for path in [&here, &there] {
        (0..180).for_each(|index| write_image(path, &name(index), index));
    }
    (0..180).for_each(|index| set_time(&there.join(name(index)), 1_000_000));
    let before = open(&here);
    before.remember(None);
    read_all(&before);
    assert_eq!(before.remembered(), 180);
    let record = before.to_record("then");
    let changes = |path: &Path| open(path).changes(&record).unwrap();
    assert_eq!(changes(&here), Changes::default());
    assert_eq!(changes(&there), Changes::default(), "copies have other times");

    // One of the same size, which no sample of the list would find, and one of another size; a file that was only touched.
    write_image(&there, &name(7), 8);
    fs::write(there.join(name(150)), b"P5\n4 4\n255\n and more than sixteen").unwrap();
    set_time(&there.join(name(30)), 3_000_000);
    (0..12).for_each(|index| write_image(&there, &format!("c/{index}.pgm"), index));
    [5, 100, 179].iter().for_each(|&index| fs::remove_file(there.join(name(index))).unwrap());
    let found = changes(&there);
    assert_eq!(found.to_string(), "12 added, 3 removed, 2 replaced (the first: a/007.pgm)");

    // What no training has read cannot have been learned from, so only its size counts.
    let unread = open(&here).to_record("then");
    assert_eq!(
        open(&there).changes(&unread).unwrap().to_string(),
        "12 added, 3 removed, 1 replaced (the first: b/150.pgm)"
    );
}

#[test]
fn changes_of_an_array_are_counted_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut rows: Vec<[u8; 4]> = (0..200).map(|i| [i; 4]).collect();
    write_rows(&path, &rows);
    let before = open(&path);
    before.remember(None);
    read_all(&before);
    let record = before.to_record("then");
    rows[40][2] = 0;
    rows.extend([[1; 4]; 3]);
    write_rows(&path, &rows);
    set_time(&path, 2_000_000);
    let now = open(&path);
    let found = now.changes(&record).unwrap();
    assert_eq!(found.to_string(), "3 added, 0 removed, 1 replaced (the first: a.npy[40])");
    // What was known is known again, so that it need not be read for that.
    now.remember(Some(&record));
    assert_eq!(now.remembered(), 200);
}

/// A file that cannot be read, in one of twelve ways; `false` where this user can read it.
#[cfg(unix)]
fn corrupt(folder: &Path, index: usize, way: usize) -> (String, bool) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let pixels: Vec<u8> = (0..64).map(|i| (i * 37 + index) as u8).collect();
    let png = crate::decode::encode_png(&pixels, 8, 8);
    let name = format!("{index:03}.{}", if matches!(way, 5 | 10 | 11) { "pgm" } else { "png" });
    let path = folder.join(&name);
    let mut read = true;
    match way {
        0 => fs::write(&path, &png[..png.len() / 2]).unwrap(),
        1 => fs::write(&path, b"").unwrap(),
        2 => fs::write(&path, "a letter to the editor").unwrap(),
        3 => fs::write(&path, [b"\x00\x01\x02\x03", &png[4..]].concat()).unwrap(),
        4 => {
            let at = memchr::memmem::find(&png, b"IDAT").unwrap() + 10;
            fs::write(&path, [&png[..at], &[png[at] ^ 4], &png[at + 1..]].concat()).unwrap();
        }
        5 => fs::write(&path, b"P5\n300 300\n255\nfew").unwrap(),
        6 => fs::create_dir(&path).unwrap(),
        7 => symlink(folder.join("nowhere"), &path).unwrap(),
        8 => {
            fs::write(&path, &png).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            read = File::open(&path).is_err();
        }
        9 => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
        10 => fs::write(&path, b"P5\n0 8\n255\n").unwrap(),
        _ => fs::write(&path, b"P5\n60000 60000\n255\n").unwrap(),
    }
    (name, read)
}

#[cfg(unix)]
#[test]
fn exactly_the_files_that_cannot_be_read_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for index in 0..240 {
        if index % 10 == 3 {
            let (name, bad) = corrupt(folder.path(), index, index / 10 % 12);
            expected.extend(bad.then_some(name));
        } else {
            write_image(folder.path(), &format!("{index:03}.pgm"), index as u8);
        }
    }
    // A thirteenth way, beside them: numbers that are none.
    fs::write(folder.path().join("nan.tiff"), float_tiff(4, 4, &[f32::NAN; 16])).unwrap();
    expected.push("nan.tiff".into());

    let dataset =
        Arc::new(Dataset::open(&DataRequest { max_bad_share: 0.2, ..DataRequest::new(folder.path()) }).unwrap());
    let batching = Batching { batch_size: 7, seed: 0, threads: 3 };
    let views = EvalPlan::plain(&settings(&dataset), batching).unwrap();
    let mut loader = EvalLoader::new(dataset.clone(), views, None).unwrap();
    let batches: Vec<Views> = std::iter::from_fn(|| loader.next_batch().unwrap()).collect();
    let read: Vec<usize> = batches.into_iter().flat_map(|views| views.indices).collect();
    let listed: Vec<String> = dataset.bad_files().into_iter().map(|file| file.id).collect();
    assert_eq!(listed, expected);
    assert_eq!((dataset.len(), read.len()), (241, 241 - expected.len()));
    let told = dataset.skipped().unwrap();
    assert!(told.starts_with(&format!("{} of 241 samples cannot be read", expected.len())), "{told}");
    assert!(told.contains(&expected[0]) && !told.contains('\n'), "{told}");
    for (name, reason) in [("093", "named pipe"), ("063", "a folder"), ("233", "megapixels"), ("nan", "not a number")] {
        let file = dataset.bad_files().into_iter().find(|file| file.id.starts_with(name)).unwrap();
        assert!(file.reason.contains(reason), "{file:?}");
    }
}

#[test]
fn an_array_that_is_cut_short_ends_by_the_share_of_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    write_rows(&path, &[[3; 4]; 40]);
    let dataset = open(&path);
    read_all(&dataset);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 6).unwrap();
    assert!(dataset.sample(37).is_ok());
    let error = dataset.sample(39).unwrap_err();
    assert!(
        matches!(&error, DataError::Sample { what, problem } if what == "a.npy[39]" && problem.contains("cut short"))
    );
    file.set_len(0).unwrap();
    assert!(matches!(dataset.sample(0), Err(DataError::Sample { .. })));
    let error = dataset.sample(1).unwrap_err();
    assert!(matches!(error, DataError::TooManyBad(_)), "{error}");
    assert!(error.to_string().contains("a.npy[0]: the file ends before"), "{error}");
}

#[test]
fn a_file_that_is_gone_is_a_bad_sample_and_a_folder_that_is_gone_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("photos"), folder.path().join("away"));
    (0..40).for_each(|index| write_image(&path, &format!("{index:02}.pgm"), index));
    let request = DataRequest { cache_mb: 0, ..DataRequest::new(&path) };
    let dataset = Arc::new(Dataset::open(&request).unwrap());
    fs::remove_file(path.join("05.pgm")).unwrap();
    assert!(matches!(dataset.sample(5), Err(DataError::Sample { .. })));
    let views = || EvalPlan::plain(&settings(&open(&path)), Batching { batch_size: 8, seed: 0, threads: 2 }).unwrap();
    let views = [views(), views()];
    fs::rename(&path, &away).unwrap();
    for (views, how) in views.into_iter().zip(["removed", "not mounted"]) {
        let error = EvalLoader::new(dataset.clone(), views, None).unwrap().next_batch().unwrap_err();
        assert!(matches!(&error, DataError::Io { path: named, .. } if *named == path), "{how}: {error}");
        assert!(error.to_string().contains("go on when the folder is back"), "{error}");
        let _ = fs::create_dir(&path);
    }
    assert_eq!(dataset.bad_files().len(), 1, "no sample was taken for a bad one");
    fs::remove_dir(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    assert!(dataset.sample(6).is_ok());
}

/// Takes all descriptors, and gives them back when dropped.
#[cfg(unix)]
fn all_descriptors() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[cfg(unix)]
#[test]
#[ignore = "run by `without_descriptors_no_sample_is_bad` in a process with few of them"]
fn in_a_process_with_few_descriptors() {
    let path = std::env::temp_dir().join(format!("selfsame-descriptors-{}", std::process::id()));
    (0..3).for_each(|index| write_image(&path, &format!("{index}.pgm"), index));
    let dataset = Dataset::open(&DataRequest { cache_mb: 0, ..DataRequest::new(&path) }).unwrap();
    let taken = all_descriptors();
    let error = dataset.sample(0).unwrap_err();
    assert!(error.to_string().contains("ulimit -n") && matches!(error, DataError::Io { .. }), "{error}");
    let given_back = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(200));
        drop(taken);
    });
    assert!(dataset.sample(0).is_ok(), "tried again until there was one");
    given_back.join().unwrap();
    assert!(dataset.bad_files().is_empty());
    fs::remove_dir_all(&path).unwrap();
}

#[cfg(unix)]
#[test]
fn without_descriptors_no_sample_is_bad() {
    let test = "dataset::tests::in_a_process_with_few_descriptors";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40; exec \"$0\" --exact \"$1\" --ignored"])
        .args([std::env::current_exe().unwrap().as_os_str(), test.as_ref()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn what_takes_a_files_place_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    (0..40).for_each(|index| write_image(folder.path(), &format!("{index:02}.pgm"), index));
    let dataset = Dataset::open(&DataRequest { cache_mb: 0, ..DataRequest::new(folder.path()) }).unwrap();
    let path = folder.path().join("07.pgm");
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let error = dataset.sample(7).unwrap_err().to_string();
    assert!(error.contains("07.pgm: a named pipe, not a file"), "{error}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    assert!(dataset.sample(7).unwrap_err().to_string().contains("a device, not a file"));
    // A file with a hole of many gigabytes.
    fs::remove_file(&path).unwrap();
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(dataset.sample(7).unwrap_err().to_string().contains("are not read"));
}

#[test]
fn memory_for_decoding_changes_no_batch() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..32u8 {
        let side = 20 + 9 * usize::from(index % 5);
        let pixels: Vec<u8> = (0..side * side).map(|i| (i as u8).wrapping_mul(index + 3)).collect();
        fs::write(folder.path().join(format!("{index:02}.png")), crate::decode::encode_png(&pixels, side, side))
            .unwrap();
    }
    let batches = |decode_mb, cache_mb, threads| {
        let request = DataRequest { decode_mb, cache_mb, ..DataRequest::new(folder.path()) };
        let dataset = Arc::new(Dataset::open(&request).unwrap());
        let views =
            toml::from_str::<Table>("[[views]]\ncount = 2\nsize = 8\naugmentations = []").unwrap()["views"].clone();
        let batching = Batching { batch_size: 16, seed: 0, threads };
        let views: Vec<_> = views.try_into().unwrap();
        let views = ViewPlan::new(&settings(&dataset), &views, &Augmentations::default(), batching).unwrap();
        let mut loader = TrainLoader::new(dataset, views, 0).unwrap();
        (0..3).map(|_| loader.next_batch().unwrap()).collect::<Vec<_>>()
    };
    let one_after_the_other = batches(0, 0, 4);
    assert_eq!(one_after_the_other, batches(1024, 0, 4));
    assert_eq!(one_after_the_other, batches(1024, 1024, 1));
}

#[test]
fn rows_beyond_the_pixel_limit_are_refused_before_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let file = File::create(&path).unwrap();
    let header = npy_header("|u1", &[1, 20_000, 20_000]);
    std::io::Write::write_all(&mut &file, &header).unwrap();
    file.set_len(header.len() as u64 + 400_000_000).unwrap();
    let error = Dataset::open(&DataRequest::new(&path)).err().unwrap().to_string();
    assert!(error.contains("data.max_megapixels") && error.contains("400.0 megapixels"), "{error}");
}

/// Writes a gray image whose pixel at (y, x) is `value`.
fn write_gray(path: &Path, [height, width]: [usize; 2], value: impl Fn(usize, usize) -> u8) {
    let pixels: Vec<u8> = (0..height * width).map(|at| value(at / width, at % width)).collect();
    fs::write(path, [format!("P5\n{width} {height}\n255\n").as_bytes(), &pixels].concat()).unwrap();
}

/// A folder with classes: an image of 20×41 px with 6 tiles of 16 px, of which the one in the upper left is empty, and one of 9×5 px.
fn large_images() -> (tempfile::TempDir, DataRequest) {
    let folder = tempfile::tempdir().unwrap();
    ["a", "b"].iter().for_each(|class| fs::create_dir(folder.path().join(class)).unwrap());
    write_gray(
        &folder.path().join("a/large.pgm"),
        [20, 41],
        |y, x| if y < 16 && x < 16 { 9 } else { (41 * y + x) as u8 },
    );
    write_gray(&folder.path().join("b/small.pgm"), [9, 5], |_, _| 7);
    let request = DataRequest { tile: 16, labels: Some("folder".into()), ..DataRequest::new(folder.path()) };
    (folder, request)
}

#[test]
fn large_images_are_cut_into_tiles() {
    let (folder, request) = large_images();
    // Kept in memory, cut again from the last image, and decoded each time.
    for (cache_mb, decode_mb) in [(64, 64), (0, 64), (0, 0)] {
        let data = Dataset::open(&DataRequest { cache_mb, decode_mb, ..request.clone() }).unwrap();
        let ids: Vec<String> = (0..data.len()).map(|index| data.id(index)).collect();
        let places = ["y=0,x=16", "y=0,x=25", "y=4,x=0", "y=4,x=16", "y=4,x=25"];
        let mut expected: Vec<String> = places.iter().map(|place| format!("a/large.pgm[{place}]")).collect();
        expected.push("b/small.pgm".into());
        assert_eq!(ids, expected);
        for (index, [y, x]) in [[0, 16], [0, 25], [4, 0], [4, 16], [4, 25]].into_iter().enumerate() {
            let tile = data.sample(index).unwrap();
            assert_eq!(tile.size(), Size { height: 16, width: 16 });
            let value = |at: usize| {
                let (y, x) = (y + at / 16, x + at % 16);
                if y < 16 && x < 16 { 9 } else { (41 * y + x) as u8 }
            };
            assert_eq!(tile.pixels, Pixels::U8((0..256).map(value).collect()), "{}", data.id(index));
        }
        // What is not larger than a tile is one, even where it is empty.
        assert_eq!(data.sample(5).unwrap().size(), Size { height: 9, width: 5 });
        let told = "1 of 2 images are cut into 5 tiles of 16 px, and 1 more are left out as empty (data.tile_empty = 0.01); those of a file are one group";
        assert!(data.notes().iter().any(|note| note.ends_with(told)), "{:?}", data.notes());
        assert_eq!((0..6).map(|i| data.label(i)).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1].map(Some));
        // Keys are those of ids; an image that is not cut has the key that it has without tiles.
        assert_eq!(data.key(0), source::hash_key(ids[0].as_bytes()));
        let uncut = Dataset::open(&DataRequest { tile: 0, ..request.clone() }).unwrap();
        assert_eq!((uncut.len(), uncut.key(1)), (2, data.key(5)));
        // One group per file; tables know images by name.
        assert_eq!((0..6).map(|i| data.file(i)).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 1]);
        assert_eq!((&*data.image_id(3), data.is_grouped(), uncut.is_grouped()), ("a/large.pgm", true, false));
        assert_eq!(data.size_bytes(), uncut.size_bytes());
        assert_ne!(data.fingerprint().unwrap(), uncut.fingerprint().unwrap());
    }
    let all = Dataset::open(&DataRequest { tile_empty: 0.0, ..request.clone() }).unwrap();
    assert_eq!((all.len(), &*all.id(0)), (7, "a/large.pgm[y=0,x=0]"));
    let dense = Dataset::open(&DataRequest { tile_empty: 0.0, tile_stride: 10, ..request.clone() }).unwrap();
    assert_eq!(dense.len(), 2 * 4 + 1);
    assert_eq!(dense.id(7), "a/large.pgm[y=4,x=25]");
    fs::remove_dir_all(folder.path().join("b")).unwrap();
    let none = Dataset::open(&DataRequest { tile_empty: 2.0, ..request.clone() }).err().unwrap().to_string();
    assert!(none.contains("data.tile_empty") && none.contains("all 6 tiles"), "{none}");
    let demo = Dataset::open(&DataRequest { tile: 16, ..DataRequest::new("demo") }).err().unwrap().to_string();
    assert!(demo.contains("data.tile: demo is an array"), "{demo}");
}

#[test]
fn tiles_beyond_memory_are_kept_in_a_file_as_soon_as_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let value = |file: usize, y: usize, x: usize| (x * y / 7 + 3 * x + 101 * file) as u8;
    let path = |file: usize| folder.path().join(format!("{file}.pgm"));
    let write = || (0..2).for_each(|file| write_gray(&path(file), [900, 1100], |y, x| value(file, y, x)));
    write();
    let request = DataRequest { tile: 128, cache_mb: 1, decode_mb: 0, ..DataRequest::new(folder.path()) };
    let expected = |index: usize| {
        let (file, index) = (index / 72, index % 72);
        let (y, x) = ((index / 9 * 128).min(900 - 128), (index % 9 * 128).min(1100 - 128));
        Pixels::U8((0..128 * 128).map(|at| value(file, y + at / 128, x + at % 128)).collect())
    };
    let opened = |tile_disk_mb| {
        write();
        let data = Dataset::open(&DataRequest { tile_disk_mb, ..request.clone() }).unwrap();
        assert_eq!(data.len(), 144);
        data
    };
    let holds = |data: &Dataset, index: usize| data.sample(index).is_ok_and(|tile| tile.pixels == expected(index));
    let data = opened(64);
    let told = "the tiles take 2 MB, more than data.cache_mb = 1 or a quarter of the memory, so they are kept in a temporary file";
    assert!(data.notes().iter().any(|note| note.contains(told)), "{:?}", data.notes());
    assert!(holds(&data, 5) && holds(&data, 100));
    (0..2).for_each(|file| fs::remove_file(path(file)).unwrap());
    assert!((0..144).all(|index| holds(&data, index)), "each file is decoded once");
    // Without such a file, or without room for all, what is not kept is decoded again.
    for (tile_disk_mb, kept) in [(0, 0), (1, 64)] {
        let data = opened(tile_disk_mb);
        let told = format!("more than data.tile_disk_mb = {tile_disk_mb} or half of what is free in ");
        assert!(data.notes().iter().any(|note| note.contains(&told)), "{:?}", data.notes());
        assert!((0..144).rev().all(|index| holds(&data, index)));
        fs::remove_file(path(1)).unwrap();
        assert_eq!((0..144).rev().filter(|&index| index >= 72 && holds(&data, index)).count(), kept);
    }
}

#[test]
fn what_is_read_of_one_tile_is_known_of_all_of_its_file() {
    let (folder, request) = large_images();
    for cache_mb in [0, 64] {
        let data = Dataset::open(&DataRequest { cache_mb, ..request.clone() }).unwrap();
        data.remember(None);
        data.sample(2).unwrap();
        assert_eq!(data.remembered(), 5);
        read_all(&data);
        let then = data.to_record("then");
        set_time(&folder.path().join("a/large.pgm"), 1);
        let again = Dataset::open(&request).unwrap();
        assert_eq!(again.changes(&then).unwrap(), Changes::default());
    }
    let data = Dataset::open(&DataRequest { cache_mb: 0, decode_mb: 0, max_bad_share: 1.0, ..request }).unwrap();
    write_gray(&folder.path().join("a/large.pgm"), [18, 18], |y, x| (y * x) as u8);
    let error = data.sample(4).unwrap_err().to_string();
    assert!(error.contains("a/large.pgm[y=4,x=25]: the image has 18×18 px now"), "{error}");
}

#[test]
fn signals_in_memory_have_any_lengths_and_their_views_end_in_nan() {
    let signal = |values: &[f32]| Image::new(1, values.len() / 2, 2, Pixels::F32(values.to_vec()));
    let [long, short] = [signal(&[1.0, 5.0, 3.0, 7.0, 1.0, 5.0, 3.0, 7.0]), signal(&[1.0, 5.0, 3.0, 7.0])];
    let data = Dataset::in_memory(Memory::signals(vec![long, short]).unwrap()).unwrap();
    assert_eq!((data.modality(), data.channels(), data.default_size()), (Modality::Signal, 2, Size::of([1, 4])));
    assert_eq!(data.uniform_size(), None);
    let settings = settings(&data);
    assert_eq!((&settings.mean[..], &settings.std[..]), (&[2.0, 6.0][..], &[1.0, 1.0][..]));
    let batching = Batching { batch_size: 2, seed: 0, threads: 1 };
    let plan = EvalPlan::plain(&settings, batching).unwrap();
    let views = EvalLoader::new(Arc::new(data), plan, None).unwrap().next_batch().unwrap().unwrap();
    let (shape, values) = (views.groups[0].shape, &views.groups[0].data[0]);
    assert_eq!(shape, [1, 4, 2]);
    assert_eq!(values[..8], [-1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 1.0]);
    assert_eq!(values[8..12], [-1.0, -1.0, 1.0, 1.0]);
    assert!(values[12..].iter().all(|value| value.is_nan()));
    let refused = |signals: Vec<Image>| Memory::signals(signals).unwrap_err().to_string();
    assert_eq!(refused(vec![]), "memory: no signal at all");
    let other = vec![signal(&[1.0, 2.0]), Image::new(1, 1, 1, Pixels::F32(vec![1.0]))];
    assert_eq!(refused(other), "memory[1]: expected a signal [1, time, 2], received [1, 1, 1]");
}
