//! Headers of `.npy` files: a magic string, a version, a length, and the text of a Python dictionary with `descr`
//! (the type, e.g. `<f4`), `fortran_order` and `shape`.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, Read};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read, bytes. A header of image or feature arrays has about a hundred.
const MAX_HEADER: usize = 1 << 16;

/// What the header of a `.npy` file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpyHeader {
    /// Type of the values: `|u1`, `<u2`, `<f4`, …; the first character is the byte order.
    pub descr: String,
    /// Whether the first axis runs fastest.
    pub fortran_order: bool,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Bytes before the data.
    pub size_bytes: usize,
}

impl NpyHeader {
    /// Reads a header and leaves the reader at the first byte of the data.
    ///
    /// # Errors
    /// If there is none, with what there is instead.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let invalid = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, format!("not a .npy file: {problem}"));
        let mut start = Vec::with_capacity(8);
        reader.by_ref().take(8).read_to_end(&mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(match *start {
                [] => io::Error::new(io::ErrorKind::InvalidData, "an empty file"),
                [0x80, 2..=5, ..] => invalid(
                    "it is a Python pickle, which is not run; save one array of numbers with np.save(path, array)",
                ),
                [b'P', b'K', ..] => invalid("it is a .npz archive, or another kind of zip; name it so"),
                _ => invalid("no \\x93NUMPY at its start"),
            });
        }
        if start.len() < 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut length = [0; 4];
        let length_bytes = if start[6] == 1 { 2 } else { 4 };
        reader.read_exact(&mut length[..length_bytes])?;
        let text_bytes = u32::from_le_bytes(length) as usize;
        if text_bytes > MAX_HEADER {
            return Err(invalid(&format!("a header of {text_bytes} bytes")));
        }
        let mut text = vec![0; text_bytes];
        reader.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Self::parse(&text, start.len() + length_bytes + text_bytes)
            .ok_or_else(|| invalid(&format!("its header is {:?}", text.trim_end())))
    }

    fn parse(text: &str, size_bytes: usize) -> Option<Self> {
        let value = |key: &str| {
            let after = &text[text.find(key)? + key.len()..];
            Some(after.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = value("'descr'")?.strip_prefix('\'')?;
        let fortran_order = value("'fortran_order'")?;
        let (shape, _) = value("'shape'")?.strip_prefix('(')?.split_once(')')?;
        Some(Self {
            descr: descr[..descr.find('\'')?].to_owned(),
            fortran_order: match (fortran_order.starts_with("True"), fortran_order.starts_with("False")) {
                (false, false) => return None,
                (fortran_order, _) => fortran_order,
            },
            shape: shape
                .split(',')
                .map(str::trim)
                .filter(|axis| !axis.is_empty())
                .map(|axis| axis.parse().ok())
                .collect::<Option<_>>()?,
            size_bytes,
        })
    }

    /// Number of values; `None` when it does not fit the machine.
    pub fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, &axis| count.checked_mul(axis))
    }
}

/// The bytes before the data of a C-ordered array of `shape`, padded so that the data start at a multiple of 64.
pub fn npy_header(descr: &str, shape: &[usize]) -> Vec<u8> {
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({axes}), }}");
    let padded = (MAGIC.len() + 4 + text.len() + 1).next_multiple_of(64) - MAGIC.len() - 4;
    text.extend(std::iter::repeat_n(' ', padded - 1 - text.len()));
    text.push('\n');
    let mut header = [MAGIC, &[1, 0]].concat();
    header.extend((padded as u16).to_le_bytes());
    header.extend(text.bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_header_reads_back() {
        for shape in [vec![], vec![7], vec![60_000, 28, 28], vec![3, 1, 2, 16]] {
            let bytes = npy_header("<f4", &shape);
            assert_eq!(bytes.len() % 64, 0);
            let header = NpyHeader::read(&mut bytes.as_slice()).unwrap();
            let expected = NpyHeader { descr: "<f4".into(), fortran_order: false, shape, size_bytes: bytes.len() };
            assert_eq!(header, expected);
        }
    }

    #[test]
    fn numpys_own_header_is_read() {
        // np.save of np.zeros((2, 3), order="F"), NumPy 2.
        let text = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{text:<117}\n").bytes());
        let header = NpyHeader::read(&mut bytes.as_slice()).unwrap();
        assert_eq!((header.descr.as_str(), header.fortran_order, header.shape), ("<f8", true, vec![2, 3]));
    }

    #[test]
    fn what_is_no_array_is_called_what_it_is() {
        for (bytes, expected) in [
            (&b""[..], "an empty file"),
            (b"\x80\x04K\x01.", "a Python pickle"),
            (b"PK\x03\x04\x14\x00\x00\x00", "a .npz archive"),
            (b"P5\n4 4\n255\n", "no \\x93NUMPY"),
        ] {
            let error = NpyHeader::read(&mut &*bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn broken_headers_are_errors() {
        let whole = npy_header("|u1", &[5, 4]);
        for end in 0..whole.len() {
            assert!(NpyHeader::read(&mut &whole[..end]).is_err(), "{end} bytes");
        }
        for position in [1, 12, 40] {
            let mut bytes = whole.clone();
            bytes[position] = b'?';
            assert!(NpyHeader::read(&mut bytes.as_slice()).is_err(), "byte {position}");
        }
    }
}
