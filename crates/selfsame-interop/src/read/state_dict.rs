//! Tensors by name as they lie in a file, not yet read.

use crate::tensors::Tensor;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// What a stored number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// 32 bits.
    F32,
    /// 64 bits; read as the nearest of 32.
    F64,
    /// 16 bits.
    F16,
    /// 16 bits with the range of 32.
    BF16,
    /// So many bytes of what no weight is.
    Other(usize),
}

impl Number {
    /// Bytes that it takes.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
            Self::F16 | Self::BF16 => 2,
            Self::Other(bytes) => bytes,
        }
    }
}

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    number: Number,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// From its first number on.
    bytes: &'a [u8],
}

impl<'a> Entry<'a> {
    /// A window on the numbers in `bytes`.
    ///
    /// # Errors
    /// If it reaches beyond them.
    pub fn new(number: Number, shape: Vec<usize>, strides: Vec<usize>, bytes: &'a [u8]) -> Result<Self, String> {
        let last = shape.iter().zip(&strides).try_fold(0usize, |last, (&length, &stride)| {
            last.checked_add(length.saturating_sub(1).checked_mul(stride)?)
        });
        let needed = if shape.contains(&0) { Some(0) } else { last.and_then(|last| last.checked_add(1)) };
        let needed = needed.and_then(|needed| needed.checked_mul(number.bytes()));
        match needed {
            Some(needed) if needed <= bytes.len() => Ok(Self { number, shape, strides, bytes }),
            _ => Err("reaches beyond the numbers that the file has; it is cut off or damaged, fetch it again".into()),
        }
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers, read.
    ///
    /// # Errors
    /// If they are no weights, or one stands for many.
    pub fn read(&self) -> Result<Tensor, String> {
        let count = self.shape.iter().try_fold(1usize, |count, &length| count.checked_mul(length));
        let count = count.filter(|&count| count <= self.bytes.len() / self.number.bytes());
        let count = count.ok_or("shows some of its numbers many times over, which no weight does")?;
        let number: fn(&[u8]) -> f32 = match self.number {
            Number::F32 => |b| f32::from_le_bytes(b.try_into().expect("4 bytes")),
            Number::F64 => |b| f64::from_le_bytes(b.try_into().expect("8 bytes")) as f32,
            Number::F16 => |b| f16::from_le_bytes(b.try_into().expect("2 bytes")).to_f32(),
            Number::BF16 => |b| bf16::from_le_bytes(b.try_into().expect("2 bytes")).to_f32(),
            Number::Other(_) => return Err("holds no floating-point numbers".into()),
        };
        let size = self.number.bytes();
        let mut values = Vec::with_capacity(count);
        if self.strides == contiguous(&self.shape) {
            values.extend(self.bytes[..count * size].chunks_exact(size).map(number));
            return Ok(Tensor { shape: self.shape.clone(), values });
        }
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum::<usize>() * size;
            values.push(number(&self.bytes[at..at + size]));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Ok(Tensor { shape: self.shape.clone(), values })
    }
}

/// Strides of an array whose last axis is fastest; of lengths that a file has.
fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// Tensors by name; the names of dictionaries within dictionaries are joined by dots.
pub type StateDict<'a> = BTreeMap<String, Entry<'a>>;

/// The tensors of a safetensors file.
///
/// # Errors
/// If it is none.
pub fn safetensors(bytes: &[u8]) -> Result<StateDict<'_>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| {
        let error = error.to_string();
        let error: String = error.escape_debug().take(200).collect();
        format!("not a whole safetensors file: {error}")
    })?;
    let entry = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        let number = match view.dtype() {
            Dtype::F32 => Number::F32,
            Dtype::F64 => Number::F64,
            Dtype::F16 => Number::F16,
            Dtype::BF16 => Number::BF16,
            // Some take less than a byte; none of them is read.
            other => Number::Other((other.bitsize() / 8).max(1)),
        };
        // The file owns the bytes for as long as they are borrowed here; a view does not say so.
        let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        let data = &bytes[start..start + view.data().len()];
        let shape = view.shape().to_vec();
        match number {
            Number::Other(_) => {
                Ok((name.to_owned(), Entry { number, strides: contiguous(&shape), shape, bytes: data }))
            }
            _ => Ok((name.to_owned(), Entry::new(number, shape.clone(), contiguous(&shape), data)?)),
        }
    };
    file.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_their_strides_say() {
        let bytes: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let read = |shape: &[usize], strides: &[usize]| {
            Entry::new(Number::F32, shape.to_vec(), strides.to_vec(), &bytes).and_then(|entry| entry.read())
        };
        assert_eq!(read(&[2, 3], &[3, 1]).unwrap().values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(&[3, 2], &[1, 3]).unwrap().values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(read(&[], &[]).unwrap().values, [0.0]);
        assert!(read(&[0, 9], &[1, 1]).unwrap().values.is_empty());
        assert!(read(&[7], &[1]).unwrap_err().contains("beyond"));
        assert!(read(&[usize::MAX, usize::MAX], &[usize::MAX, 2]).unwrap_err().contains("beyond"));
        assert!(read(&[1 << 40, 1 << 40], &[0, 0]).unwrap_err().contains("many times"));
    }

    #[test]
    fn every_kind_of_number_becomes_32_bits() {
        let read = |number, bytes: &[u8]| Entry::new(number, vec![1], vec![1], bytes).unwrap().read();
        assert_eq!(read(Number::F16, &f16::from_f32(-1.5).to_le_bytes()).unwrap().values, [-1.5]);
        assert_eq!(read(Number::BF16, &bf16::from_f32(3.0).to_le_bytes()).unwrap().values, [3.0]);
        assert_eq!(read(Number::F64, &0.1f64.to_le_bytes()).unwrap().values, [0.1]);
        assert!(read(Number::Other(8), &[0; 8]).is_err());
    }
}
