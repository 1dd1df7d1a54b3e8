//! Files of a folder that are not read, and what can be done about them.

use crate::decode::{EXTENSIONS, SOUNDS};
use std::collections::BTreeMap;

/// Kinds of files that are told one by one.
const TOLD: usize = 6;

/// Files that are not read, by extension in lower case; empty where there is none.
#[derive(Default)]
pub struct Ignored(BTreeMap<String, usize>);

/// What to do with files of these extensions.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &[
            "heic", "heif", "avif", "jxl", "jp2", "j2k", "tga", "exr", "hdr", "ico", "psd", "xcf", "svg", "pdf", "qoi",
            "dds",
        ],
        "convert to JPEG, PNG or TIFF, e.g. with ImageMagick: magick mogrify -format png FILES",
    ),
    (
        &["cr2", "cr3", "nef", "nrw", "arw", "dng", "orf", "rw2", "raf", "pef", "srw", "raw"],
        "develop to TIFF or JPEG, e.g. with darktable-cli",
    ),
    (SOUNDS, "data.modality = \"signal\" reads sounds"),
    (EXTENSIONS, "data.modality = \"image\" reads images"),
    (&["aac", "m4a", "opus", "wma", "aif", "aiff", "amr", "ape"], "convert to FLAC, e.g. ffmpeg -i FILE FILE.flac"),
    (
        &["mp4", "mov", "avi", "mkv", "webm", "m4v", "mpg", "mpeg", "wmv", "mts", "3gp"],
        "take frames out, e.g. ffmpeg -i FILE -vf fps=1 FILE-%05d.png",
    ),
    (
        &["dcm", "dicom", "ima"],
        "convert to PNG or TIFF of 16 bits, e.g. with dcm2pnm of DCMTK, or to .npy with pydicom",
    ),
    (&["nii", "mha", "mhd", "nrrd", "czi", "nd2", "lif", "svs", "ndpi"], "save the planes as .npy, PNG or TIFF"),
    (&["zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar"], "unpack"),
    (&["npy", "npz"], "name one as the data itself: data=FILE"),
    (
        &["h5", "hdf5", "mat", "tfrecord", "parquet", "arrow", "lmdb", "pt", "pth", "pkl", "pickle"],
        "save the images as .npy or as image files",
    ),
];

impl Ignored {
    /// Counts a file of that name.
    pub fn count(&mut self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        *self.0.entry(extension.to_owned()).or_default() += 1;
    }

    /// Files in all.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// How many there are of each kind, with what to do: `40 .heic (convert …), 1 .txt`.
    pub fn listed(&self) -> String {
        let mut kinds: Vec<(&str, usize)> =
            self.0.iter().map(|(extension, &count)| (extension.as_str(), count)).collect();
        kinds.sort_by_key(|&(extension, count)| (std::cmp::Reverse(count), extension));
        let told = |&(extension, count): &(&str, usize)| {
            let name = if extension.is_empty() { "without an extension".to_owned() } else { format!(".{extension}") };
            let remedy = remedy(extension).map_or(String::new(), |remedy| format!(" ({remedy})"));
            format!("{count} {name}{remedy}")
        };
        let mut list: Vec<String> = kinds.iter().take(TOLD).map(told).collect();
        if let Some(rest @ [_, ..]) = kinds.get(TOLD..) {
            let files: usize = rest.iter().map(|(_, count)| count).sum();
            list.push(format!("{files} of other kinds"));
        }
        list.join(", ")
    }
}

/// What to do with a file of that extension, in lower case, to have it read.
pub fn remedy(extension: &str) -> Option<&'static str> {
    if extension.is_empty() {
        return Some("give files their extension, e.g. .jpg");
    }
    if let Some((_, remedy)) = REMEDIES.iter().find(|(extensions, _)| extensions.contains(&extension)) {
        return Some(remedy);
    }
    // photo.jpg_large, photo.jpeg!w640
    let misspelled = EXTENSIONS.iter().any(|known| known.len() > 2 && extension.starts_with(known));
    misspelled.then_some("rename, e.g. to .jpg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_extension_the_most_first_each_with_its_remedy() {
        let mut ignored = Ignored::default();
        for (name, count) in
            [("IMG_1.HEIC", 40), ("clip.mp4", 2), ("noext", 1), ("a.jpg_large", 1), ("notes.txt", 3), ("scan.dcm", 1)]
        {
            (0..count).for_each(|_| ignored.count(name.as_bytes()));
        }
        let listed = ignored.listed();
        assert_eq!(ignored.total(), 48);
        assert!(listed.starts_with("40 .heic (convert"), "{listed}");
        for part in [
            "3 .txt, ",
            "2 .mp4 (take frames out",
            "1 without an extension (give",
            "1 .jpg_large (rename",
            "1 .dcm (convert",
        ] {
            assert!(listed.contains(part), "{part}: {listed}");
        }
        ["a", "b", "c"].iter().for_each(|kind| ignored.count(format!("x.{kind}").as_bytes()));
        assert!(ignored.listed().ends_with("3 of other kinds"), "{}", ignored.listed());
    }
}
