//! The numbers that arrays hold, and what pixels they become.

use crate::image::Pixels;
use half::f16;

/// A number's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    F32,
    F64,
}

/// Type of the values of an array, and the order of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    pub number: Number,
    pub big_endian: bool,
}

impl Depth {
    /// Bytes without a sign.
    pub const U8: Self = Self { number: Number::U8, big_endian: false };

    /// From NumPy's name, such as `<f4`; `None` where it is no number, or none of these.
    pub fn parse(descr: &str) -> Option<Self> {
        let number = match descr.get(1..)? {
            "b1" => Number::Bool,
            "u1" => Number::U8,
            "i1" => Number::I8,
            "u2" => Number::U16,
            "i2" => Number::I16,
            "u4" => Number::U32,
            "i4" => Number::I32,
            "u8" => Number::U64,
            "i8" => Number::I64,
            "f2" => Number::F16,
            "f4" => Number::F32,
            "f8" => Number::F64,
            _ => return None,
        };
        let order = descr.as_bytes()[0];
        let ordered = matches!(order, b'<' | b'>') || order == b'|' && number.size_bytes() == 1;
        ordered.then_some(Self { number, big_endian: order == b'>' })
    }

    pub fn size_bytes(self) -> usize {
        self.number.size_bytes()
    }

    /// Pixels of those bytes. Integers of 8 and 16 bits without a sign keep their depth, which is the scale 0..1, and `false` and
    /// `true` are its ends. All else becomes `f32` as it is; of more than 24 bits, the nearest.
    pub fn pixels(self, bytes: Vec<u8>) -> Pixels {
        fn read<const N: usize, T>(bytes: &[u8], big_endian: bool, value: impl Fn([u8; N]) -> T) -> Vec<T> {
            let items = bytes.as_chunks().0.iter().copied();
            if big_endian {
                let little = |mut item: [u8; N]| {
                    item.reverse();
                    value(item)
                };
                items.map(little).collect()
            } else {
                items.map(value).collect()
            }
        }
        let big = self.big_endian;
        Pixels::F32(match self.number {
            Number::U8 => return Pixels::U8(bytes),
            Number::Bool => return Pixels::U8(bytes.into_iter().map(|byte| u8::from(byte != 0) * 255).collect()),
            Number::U16 => return Pixels::U16(read(&bytes, big, u16::from_le_bytes)),
            Number::I8 => bytes.into_iter().map(|byte| f32::from(byte.cast_signed())).collect(),
            Number::I16 => read(&bytes, big, |item| f32::from(i16::from_le_bytes(item))),
            Number::U32 => read(&bytes, big, |item| u32::from_le_bytes(item) as f32),
            Number::I32 => read(&bytes, big, |item| i32::from_le_bytes(item) as f32),
            Number::U64 => read(&bytes, big, |item| u64::from_le_bytes(item) as f32),
            Number::I64 => read(&bytes, big, |item| i64::from_le_bytes(item) as f32),
            Number::F16 => read(&bytes, big, |item| f16::from_le_bytes(item).to_f32()),
            Number::F32 => read(&bytes, big, f32::from_le_bytes),
            Number::F64 => read(&bytes, big, |item| f64::from_le_bytes(item) as f32),
        })
    }
}

impl Number {
    fn size_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}
