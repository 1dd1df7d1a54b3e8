//! Mutated inputs: the same for the same numbers, on every machine.

use selfsame_base::rng::{Purpose, StreamRng};

/// Longest input, bytes.
const MOST: usize = 1 << 16;

/// Numbers at which readers break.
const INTERESTING: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_fffe,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    u64::MAX,
];

/// What is done to bytes. Written in seven bytes: which, a place (4, little-endian) and a length or value (2).
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    which: u8,
    place: u32,
    value: u16,
}

impl Edit {
    /// Bytes of an edit.
    const BYTES: usize = 7;

    /// Carries out all edits that `edits` lists, up to eight of them.
    pub fn apply_all(edits: &[u8], bytes: &[u8]) -> Vec<u8> {
        edits.chunks_exact(Self::BYTES).take(8).fold(bytes.to_vec(), |bytes, edit| {
            let place = u32::from_le_bytes(edit[1..5].try_into().expect("four bytes"));
            let value = u16::from_le_bytes(edit[5..].try_into().expect("two bytes"));
            Self { which: edit[0], place, value }.apply(bytes, &[])
        })
    }

    /// Carries it out; `other` is what is spliced in.
    fn apply(self, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
        let Self { which, place, value } = self;
        let at = place as usize % (bytes.len() + 1);
        let value_usize = usize::from(value);
        let end = (at + 1 + value_usize % 64).min(bytes.len());
        match which % 9 {
            0 if at < bytes.len() => bytes[at] ^= 1 << (value % 8),
            1 if at < bytes.len() => bytes[at] = value as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            5 => {
                let number = INTERESTING[value_usize % INTERESTING.len()];
                let (width, big) = (1usize << (value_usize / 16 % 4), value_usize / 64 % 2 == 1);
                let (low, high) = (number.to_le_bytes(), number.to_be_bytes());
                let number = if big { &high[8 - width..] } else { &low[..width] };
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number.iter().copied());
            }
            // A number in a text.
            6 => drop(bytes.splice(at..at, INTERESTING[value_usize % INTERESTING.len()].to_string().into_bytes())),
            7 => drop(bytes.splice(at..at, value.to_le_bytes())),
            8 => {
                let from = value_usize % (other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {}
        }
        bytes.truncate(MOST);
        bytes
    }
}

/// A stream of mutated inputs.
pub struct Mutator(StreamRng);

impl Mutator {
    /// The stream of this number.
    pub fn new(stream: u64) -> Self {
        Self(StreamRng::new(0, Purpose::Survey, stream, 0, 0))
    }

    /// One of `seeds`, with one to four edits.
    ///
    /// # Panics
    /// If there are no seeds.
    pub fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.0.below(seeds.len())].clone();
        for _ in 0..=self.0.below(4) {
            let other = &seeds[self.0.below(seeds.len())];
            let edit = Edit { which: self.0.bits() as u8, place: self.0.bits(), value: self.0.bits() as u16 };
            bytes = edit.apply(bytes, other);
        }
        bytes
    }
}
