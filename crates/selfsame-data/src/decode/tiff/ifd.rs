//! Directories: what a TIFF, and the EXIF of other files, says of an image, as tags with values.
//!
//! Values are read where they lie, and nothing is believed before the bytes are there: so what is allocated for a tag is at most in
//! proportion to the file. BigTIFF differs only in the width of counts and offsets.

use selfsame_base::files;
use std::borrow::Cow;
use std::fs::File;

/// Values of a tag that are read, at most; a page may have as many strips or tiles.
const MOST_VALUES: usize = 1 << 22;

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    Memory(&'a [u8]),
    /// In a file of so many bytes: of many pages, only what is asked for is read.
    File(&'a File, u64),
}

/// A file's bytes, in its byte order.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    place: Stored<'a>,
    pub big_endian: bool,
    /// BigTIFF: counts and offsets have 64 bits.
    wide: bool,
}

impl<'a> Reader<'a> {
    /// Reads the header; the second is where the first directory lies. `None` if it is no TIFF.
    pub fn open(place: Stored<'a>) -> Option<(Self, u64)> {
        let mut reader = Self { place, big_endian: false, wide: false };
        (reader.big_endian, reader.wide) = match &*reader.slice(0, 4)? {
            b"II\x2a\0" => (false, false),
            b"MM\0\x2a" => (true, false),
            b"II\x2b\0" => (false, true),
            b"MM\0\x2b" => (true, true),
            _ => return None,
        };
        let first = if reader.wide { reader.uint(8, 8) } else { reader.uint(4, 4) };
        Some((reader, first?))
    }

    /// `len` bytes from `at` on, if they are there.
    pub fn slice(&self, at: u64, len: u64) -> Option<Cow<'a, [u8]>> {
        let end = at.checked_add(len).filter(|&end| end <= self.len())?;
        match self.place {
            Stored::Memory(bytes) => Some(Cow::Borrowed(&bytes[at as usize..end as usize])),
            Stored::File(file, _) => {
                let mut bytes = vec![0; usize::try_from(len).ok()?];
                files::read_exact_at(file, &mut bytes, at).ok()?;
                Some(Cow::Owned(bytes))
            }
        }
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        match self.place {
            Stored::Memory(bytes) => bytes.len() as u64,
            Stored::File(_, len) => len,
        }
    }

    fn uint(&self, at: u64, width: u64) -> Option<u64> {
        Some(uint(&self.slice(at, width)?, self.big_endian))
    }

    /// The directory that lies at `at`.
    pub fn directory(&self, at: u64) -> Result<Directory<'a>, String> {
        let cut = || "truncated or damaged: its directory goes beyond the end of the file".to_owned();
        let [count_width, entry_width, offset_width] = if self.wide { [8, 20, 8] } else { [2, 12, 4] };
        let count = self.uint(at, count_width).ok_or_else(cut)?;
        let entries_at = at + count_width;
        let entries_len = count.checked_mul(entry_width).ok_or_else(cut)?;
        let table = self.slice(entries_at, entries_len).ok_or_else(cut)?;
        let entries = table.chunks_exact(entry_width as usize).enumerate().map(|(index, entry)| {
            let (tag, kind) = (uint(&entry[..2], self.big_endian), uint(&entry[2..4], self.big_endian));
            let count = uint(&entry[4..][..offset_width as usize], self.big_endian);
            let inline = entries_at + index as u64 * entry_width + 4 + offset_width;
            Entry { tag: tag as u16, kind: kind as u16, count, inline }
        });
        let next = self.uint(entries_at + entries_len, offset_width).unwrap_or(0);
        Ok(Directory { reader: *self, entries: entries.collect(), next })
    }
}

/// An unsigned integer of any width.
fn uint(bytes: &[u8], big_endian: bool) -> u64 {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}

#[derive(Debug)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// Where its values are, or the offset of where they are.
    inline: u64,
}

/// The tags of one page.
#[derive(Debug)]
pub struct Directory<'a> {
    pub reader: Reader<'a>,
    entries: Vec<Entry>,
    /// Where the next page's directory lies; 0 after the last.
    pub next: u64,
}

/// The kind of a tag's values, and their bytes.
type KindAndBytes<'a> = (u16, Cow<'a, [u8]>);

impl<'a> Directory<'a> {
    /// Number of tags.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The kind of a tag's values and their bytes; `None` without the tag.
    fn find(&self, tag: u16) -> Result<Option<KindAndBytes<'a>>, String> {
        let Some(entry) = self.entries.iter().find(|entry| entry.tag == tag) else { return Ok(None) };
        let width = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            kind => return Err(format!("damaged: tag {tag} has values of the unknown kind {kind}")),
        };
        let offset_width = if self.reader.wide { 8 } else { 4 };
        let bytes = entry.count.checked_mul(width).and_then(|len| {
            let at = if len <= offset_width { entry.inline } else { self.reader.uint(entry.inline, offset_width)? };
            self.reader.slice(at, len)
        });
        let bytes =
            bytes.ok_or_else(|| format!("truncated or damaged: tag {tag} has values beyond the end of the file"))?;
        Ok(Some((entry.kind, bytes)))
    }

    /// The values of a tag of unsigned integers; empty without the tag.
    pub fn values(&self, tag: u16) -> Result<Vec<u64>, String> {
        let Some((kind, bytes)) = self.find(tag)? else { return Ok(Vec::new()) };
        let width = match kind {
            1 | 7 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return Err(format!("damaged: tag {tag} has values of kind {kind}; expected unsigned integers")),
        };
        if bytes.len() / width > MOST_VALUES {
            return Err(format!("tag {tag} has {} values, at most {MOST_VALUES} are read", bytes.len() / width));
        }
        Ok(bytes.chunks_exact(width).map(|value| uint(value, self.reader.big_endian)).collect())
    }

    /// The first value of such a tag, or `preset`.
    pub fn value(&self, tag: u16, preset: u64) -> Result<u64, String> {
        Ok(self.values(tag)?.first().copied().unwrap_or(preset))
    }

    /// The values of a tag of fractions, or `preset` unless there are as many.
    pub fn fractions<const N: usize>(&self, tag: u16, preset: [f64; N]) -> Result<[f64; N], String> {
        let Some((5, bytes)) = self.find(tag)? else { return Ok(preset) };
        let values = bytes.chunks_exact(8).map(|pair| {
            let [over, under] = [&pair[..4], &pair[4..]].map(|half| uint(half, self.reader.big_endian) as f64);
            over / under
        });
        Ok(values.collect::<Vec<_>>().try_into().unwrap_or(preset))
    }

    /// The bytes of a tag of whatever kind; empty without the tag.
    pub fn bytes(&self, tag: u16) -> Result<Cow<'a, [u8]>, String> {
        Ok(self.find(tag)?.map_or(Cow::Borrowed(&[]), |(_, bytes)| bytes))
    }
}
