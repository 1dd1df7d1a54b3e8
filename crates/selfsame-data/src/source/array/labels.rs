//! Labels in an array: whole numbers, counted from 0, or names.

use super::{check_size, unsupported};
use crate::source::rows::{check_label_count, numbered_classes};
use crate::source::values::{Depth, Number};
use crate::source::{bad_file, class_name};
use selfsame_base::npy::NpyHeader;
use selfsame_base::{DataError, files};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Classes are numbered from 0; more than this is a column of something else.
const MAX_CLASSES: u64 = 1 << 16;

/// Longest name of a class, bytes as they are stored.
const MAX_NAME_BYTES: usize = 4096;

/// One label per image, or none at all.
#[derive(Default)]
pub struct Labels {
    pub labels: Vec<u32>,
    pub classes: Vec<String>,
}

/// What the items of an array of labels are.
enum Items {
    Number(Depth),
    /// Bytes of a name in UTF-8, padded with zeros.
    Bytes(usize),
    /// Characters of a name, four bytes each, padded with zeros.
    Characters {
        count: usize,
        big_endian: bool,
    },
}

impl Items {
    fn parse(descr: &str) -> Option<Self> {
        let length = || descr.get(2..)?.parse::<usize>().ok().filter(|&length| length > 0);
        match *descr.as_bytes().get(..2)? {
            [_, b'S'] => Some(Self::Bytes(length()?)),
            [order, b'U'] => Some(Self::Characters { count: length()?, big_endian: order == b'>' }),
            _ => Depth::parse(descr).map(Self::Number),
        }
    }

    fn size_bytes(&self) -> usize {
        match *self {
            Self::Number(depth) => depth.size_bytes(),
            Self::Bytes(count) => count,
            Self::Characters { count, .. } => count.saturating_mul(4),
        }
    }
}

impl Labels {
    /// Reads labels, `[n]` or `[n, 1]`, from an array of `size_bytes`; no more is read than `images` labels need.
    pub fn read(path: &Path, reader: &mut impl Read, size_bytes: u64, images: usize) -> Result<Self, DataError> {
        let header = NpyHeader::read(reader).map_err(|error| DataError::io(path, error))?;
        let items = Items::parse(&header.descr).filter(|items| items.size_bytes() <= MAX_NAME_BYTES);
        let (Some(items), [count] | [count, 1]) = (items, &*header.shape) else {
            let problem = format!(
                "expected labels [n], whole numbers or names, found type {:?} of shape {:?}; data.labels = \"none\" ignores them",
                header.descr, header.shape
            );
            return Err(bad_file(path, problem));
        };
        check_label_count(path, *count, images)?;
        let width = items.size_bytes();
        let promised = check_size(path, &header, width, size_bytes)?;
        if promised > files::MOST_TEXT_BYTES {
            return Err(bad_file(path, format!("its labels take {promised} bytes; number the classes")));
        }
        let mut data = Vec::new();
        let read = reader.take(promised + 1).read_to_end(&mut data);
        read.map_err(|error| bad_file(path, format!("truncated or damaged: {error}")))?;
        check_size(path, &header, width, (header.size_bytes + data.len()) as u64)?;
        let data = data.chunks_exact(width);
        match items {
            Items::Number(depth) => {
                let label = |(index, bytes)| {
                    number(bytes, depth).map_err(|shown| {
                        let last = MAX_CLASSES - 1;
                        bad_file(path, format!("label {index} is {shown}; classes are numbered from 0 to {last}"))
                    })
                };
                let labels = data.enumerate().map(label).collect::<Result<Vec<_>, _>>()?;
                let classes = numbered_classes(&labels);
                Ok(Self { labels, classes })
            }
            items => {
                let name = |bytes| name(bytes, &items).ok_or_else(|| unsupported(path, &header));
                Self::of_names(data.map(name).collect::<Result<_, _>>()?).ok_or_else(|| {
                    bad_file(
                        path,
                        format!("has more than {MAX_CLASSES} different labels; data.labels = \"none\" ignores them"),
                    )
                })
            }
        }
    }

    /// Classes in the order of their names.
    fn of_names(names: Vec<String>) -> Option<Self> {
        let mut classes: BTreeMap<&str, u32> = names.iter().map(|name| (name.as_str(), 0)).collect();
        classes.values_mut().zip(0..).for_each(|(class, index)| *class = index);
        let fits = classes.len() as u64 <= MAX_CLASSES;
        let labels = names.iter().map(|name| classes[name.as_str()]).collect();
        fits.then(|| Self { labels, classes: classes.keys().map(|&name| name.to_owned()).collect() })
    }
}

/// A class by its number, or what there is instead.
fn number(bytes: &[u8], depth: Depth) -> Result<u32, String> {
    let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let bits = if depth.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
    let value = match depth.number {
        Number::F16 | Number::F32 | Number::F64 => {
            let value = match depth.number {
                Number::F16 => half::f16::from_bits(bits as u16).to_f64(),
                Number::F32 => f64::from(f32::from_bits(bits as u32)),
                _ => f64::from_bits(bits),
            };
            // Beyond 2⁵³, and of what is no number, `as` gives a class that there cannot be.
            if value < 0.0 || value.fract() != 0.0 {
                return Err(value.to_string());
            }
            if value.is_finite() { value as u64 } else { u64::MAX }
        }
        Number::I8 | Number::I16 | Number::I32 | Number::I64 if bits >> (8 * bytes.len() - 1) == 1 => {
            return Err("negative".to_owned());
        }
        _ => bits,
    };
    if value < MAX_CLASSES { Ok(value as u32) } else { Err(value.to_string()) }
}

/// A class by its name; `None` if it is no text.
fn name(bytes: &[u8], items: &Items) -> Option<String> {
    let text = match *items {
        Items::Characters { big_endian, .. } => {
            let value = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            let characters = bytes.as_chunks().0.iter().map(|&item| char::from_u32(value(item)));
            characters.collect::<Option<String>>()?
        }
        _ => String::from_utf8(bytes.to_vec()).ok()?,
    };
    Some(class_name(text.trim_end_matches('\0')))
}
