//! What identifies the data, and what of their contents is remembered.

use super::{Dataset, PROBES};
use crate::image::Pixels;
use crate::record::{Changes, DataRecord, Entry};
use crate::source::{Encoded, Stat};
use blake3::Hasher;
use selfsame_base::DataError;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an array that its fingerprint looks at, in rows that are evenly spaced.
const FINGERPRINT_BYTES: u64 = 64 << 20;

/// Samples that [`Dataset::changes`] reads, at least, of those whose files were written since.
const COMPARED: usize = 1024;

impl Dataset {
    /// A hash that identifies these data wherever they are stored, whenever they were copied there: of the number of samples,
    /// their ids within the data, the sizes of their files, and contents, evenly spaced: of 64 files, or of the rows of an
    /// array up to 64 MiB, all of them where they are fewer. 32 hexadecimal digits.
    ///
    /// # Errors
    /// If the data are gone.
    pub fn fingerprint(&self) -> Result<String, DataError> {
        let len = self.len();
        let mut hash = Hasher::new();
        hash.update(&(len as u64).to_le_bytes());
        for (index, stat) in self.stats().iter().enumerate() {
            hash.update(&self.key(index).to_le_bytes());
            hash.update(&stat.size_bytes.to_le_bytes());
        }
        let rows = |stat: &Stat| (FINGERPRINT_BYTES / stat.size_bytes.max(1)) as usize;
        let rows = self.source.shape().and(self.stats().first()).map_or(0, rows);
        let probes = len.min(PROBES.max(rows));
        let mut probes: Vec<usize> = (0..probes).map(|probe| probe * len / probes).collect();
        probes.dedup_by_key(|index| self.source.image(*index));
        for index in probes {
            match self.hash_sample(index, &mut hash) {
                Ok(()) => {}
                // What cannot be read today and can be tomorrow is another content.
                Err(DataError::Sample { .. }) => {
                    hash.update(b"unreadable");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(hash.finalize().to_hex()[..32].to_owned())
    }

    /// What is known of each sample without reading it, as it was when it was first asked for.
    pub(super) fn stats(&self) -> &[Stat] {
        self.stats.get_or_init(|| (0..self.len()).map(|index| self.source.stat(index)).collect())
    }

    /// Feeds the content of a sample, as it is stored, to `hash`; of a tile, that of its image.
    fn hash_sample(&self, index: usize, hash: &mut Hasher) -> Result<(), DataError> {
        match self.source.get(index)? {
            Encoded::File(file) | Encoded::Sound(file) => {
                let (bytes, _share) = self.read(index, &file)?;
                hash.update(&bytes);
            }
            Encoded::Page(file, page) => {
                let (image, _share) = self.decoder.decode_page(&file, page, &self.id(index))?;
                hash_pixels(&image.pixels, hash);
            }
            Encoded::Image(image) => hash_pixels(&image.pixels, hash),
        }
        Ok(())
    }

    /// From now on, keeps a hash of each sample that is read; of those that are unchanged since `then`, takes it from there.
    /// 8 bytes per sample.
    pub fn remember(&self, then: Option<&DataRecord>) {
        let contents = self.contents.get_or_init(|| (0..self.len()).map(|_| AtomicU64::new(0)).collect());
        let Some(then) = then else { return };
        for (index, (content, stat)) in contents.iter().zip(self.stats()).enumerate() {
            let before = then.get(self.key(index)).filter(|entry| entry.size_bytes == stat.size_bytes);
            if let Some(known) = before.and_then(|entry| entry.content) {
                content.store(known, Ordering::Relaxed);
            }
        }
    }

    /// Keeps what `feed` feeds to a hash as the content of a sample, if it is to be kept and not known.
    pub(super) fn learn(&self, index: usize, feed: impl FnOnce(&mut Hasher)) {
        if let Some(content) = self.contents.get().map(|contents| &contents[index])
            && content.load(Ordering::Relaxed) == 0
        {
            let mut hash = Hasher::new();
            feed(&mut hash);
            content.store(content_of(&hash), Ordering::Relaxed);
        }
    }

    /// What is known of one sample's content is that of another of the same image.
    pub(super) fn learn_from(&self, known: usize, other: usize) {
        if let Some(contents) = self.contents.get() {
            contents[other].store(contents[known].load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Hash of a sample's content as it is stored, if it was read since [`Self::remember`].
    pub fn content(&self, index: usize) -> Option<u64> {
        let content = self.contents.get()?[index].load(Ordering::Relaxed);
        (content != 0).then_some(content)
    }

    /// Size of all files, or rows, as they are stored.
    pub fn size_bytes(&self) -> u64 {
        let first = |index: usize| index == 0 || self.source.file(index) != self.source.file(index - 1);
        self.stats().iter().enumerate().filter(|&(index, _)| first(index)).map(|(_, stat)| stat.size_bytes).sum()
    }

    /// Samples whose content is known, see [`Self::remember`].
    pub fn remembered(&self) -> usize {
        let known = |content: &&AtomicU64| content.load(Ordering::Relaxed) != 0;
        self.contents.get().map_or(0, |contents| contents.iter().filter(known).count())
    }

    /// What these data, of this fingerprint, are now.
    pub fn to_record(&self, fingerprint: &str) -> DataRecord {
        let entries = self.stats().iter().enumerate();
        let entries = entries.map(|(index, &stat)| Entry::new(self.key(index), stat, self.content(index)));
        DataRecord::new(fingerprint.to_owned(), entries.collect())
    }

    /// How these data differ from what they were: by the names and sizes of samples, and by the contents of those that a
    /// training had read and whose files were written since. Where these are many, as they are in a copy, some are compared,
    /// evenly spaced: 1,024, or of small ones as many as 64 MiB hold.
    ///
    /// # Errors
    /// If the data are gone.
    pub fn changes(&self, then: &DataRecord) -> Result<Changes, DataError> {
        let mut changes = Changes::default();
        let (mut written, mut replaced, mut known) = (Vec::new(), Vec::new(), 0);
        let mut first_added = None;
        for (index, stat) in self.stats().iter().enumerate() {
            let Some(entry) = then.get(self.key(index)) else {
                changes.added += 1;
                first_added.get_or_insert(index);
                continue;
            };
            known += 1;
            if entry.size_bytes != stat.size_bytes {
                replaced.push(index);
            } else if let Some(content) = entry.content.filter(|_| entry.modified_ns != stat.modified_ns) {
                written.push((index, content));
            }
        }
        let written_bytes: u64 = written.iter().map(|&(index, _)| self.stats()[index].size_bytes).sum();
        let mean_bytes = (written_bytes / written.len().max(1) as u64).max(1);
        let compared = written.len().min(COMPARED.max((FINGERPRINT_BYTES / mean_bytes) as usize));
        for (index, content) in (0..compared).map(|i| written[i * written.len() / compared]) {
            let mut hash = Hasher::new();
            match self.hash_sample(index, &mut hash) {
                Ok(()) if content_of(&hash) == content => {}
                Ok(()) | Err(DataError::Sample { .. }) => replaced.push(index),
                Err(error) => return Err(error),
            }
        }
        let first = first_added.into_iter().chain(replaced.iter().copied()).min();
        changes.first = first.map(|index| self.id(index));
        (changes.removed, changes.replaced) = (then.len() - known, replaced.len());
        Ok(changes)
    }
}

/// The first 64 bits of a hash, never 0.
fn content_of(hash: &Hasher) -> u64 {
    u64::from_le_bytes(hash.finalize().as_bytes().as_chunks().0[0]).max(1)
}

/// Feeds the bytes of pixels to `hash`, a piece at a time.
pub fn hash_pixels(pixels: &Pixels, hash: &mut Hasher) {
    fn pieces<T: Copy, const N: usize>(values: &[T], hash: &mut Hasher, bytes: impl Fn(T) -> [u8; N]) {
        let mut piece = Vec::with_capacity(1 << 14);
        for values in values.chunks((1 << 14) / N) {
            piece.clear();
            piece.extend(values.iter().flat_map(|&value| bytes(value)));
            hash.update(&piece);
        }
    }
    match pixels {
        Pixels::U8(values) => {
            hash.update(values);
        }
        Pixels::U16(values) => pieces(values, hash, u16::to_le_bytes),
        Pixels::F32(values) => pieces(values, hash, f32::to_le_bytes),
    }
}
