//! CCITT fax compression as TIFFs have it: rows of runs of white and black, each with a code (ITU-T T.4), or only what changes from
//! the row above (T.4 in two dimensions, T.6).

use std::sync::LazyLock;

/// How rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fax {
    /// Runs; each row begins a byte.
    Runs,
    /// An end-of-line code before each row, and in two dimensions a bit that says whether runs follow.
    Group3 { two_dimensional: bool },
    /// Each row by the one above.
    Group4,
}

/// Codes of runs of white of 0 to 63 px, and of 64, 128, … 1,728 px, which another run follows.
const WHITE: [&str; 91] = [
    "00110101",
    "000111",
    "0111",
    "1000",
    "1011",
    "1100",
    "1110",
    "1111",
    "10011",
    "10100",
    "00111",
    "01000",
    "001000",
    "000011",
    "110100",
    "110101",
    "101010",
    "101011",
    "0100111",
    "0001100",
    "0001000",
    "0010111",
    "0000011",
    "0000100",
    "0101000",
    "0101011",
    "0010011",
    "0100100",
    "0011000",
    "00000010",
    "00000011",
    "00011010",
    "00011011",
    "00010010",
    "00010011",
    "00010100",
    "00010101",
    "00010110",
    "00010111",
    "00101000",
    "00101001",
    "00101010",
    "00101011",
    "00101100",
    "00101101",
    "00000100",
    "00000101",
    "00001010",
    "00001011",
    "01010010",
    "01010011",
    "01010100",
    "01010101",
    "00100100",
    "00100101",
    "01011000",
    "01011001",
    "01011010",
    "01011011",
    "01001010",
    "01001011",
    "00110010",
    "00110011",
    "00110100",
    "11011",
    "10010",
    "010111",
    "0110111",
    "00110110",
    "00110111",
    "01100100",
    "01100101",
    "01101000",
    "01100111",
    "011001100",
    "011001101",
    "011010010",
    "011010011",
    "011010100",
    "011010101",
    "011010110",
    "011010111",
    "011011000",
    "011011001",
    "011011010",
    "011011011",
    "010011000",
    "010011001",
    "010011010",
    "011000",
    "010011011",
];

/// The same of black.
const BLACK: [&str; 91] = [
    "0000110111",
    "010",
    "11",
    "10",
    "011",
    "0011",
    "0010",
    "00011",
    "000101",
    "000100",
    "0000100",
    "0000101",
    "0000111",
    "00000100",
    "00000111",
    "000011000",
    "0000010111",
    "0000011000",
    "0000001000",
    "00001100111",
    "00001101000",
    "00001101100",
    "00000110111",
    "00000101000",
    "00000010111",
    "00000011000",
    "000011001010",
    "000011001011",
    "000011001100",
    "000011001101",
    "000001101000",
    "000001101001",
    "000001101010",
    "000001101011",
    "000011010010",
    "000011010011",
    "000011010100",
    "000011010101",
    "000011010110",
    "000011010111",
    "000001101100",
    "000001101101",
    "000011011010",
    "000011011011",
    "000001010100",
    "000001010101",
    "000001010110",
    "000001010111",
    "000001100100",
    "000001100101",
    "000001010010",
    "000001010011",
    "000000100100",
    "000000110111",
    "000000111000",
    "000000100111",
    "000000101000",
    "000001011000",
    "000001011001",
    "000000101011",
    "000000101100",
    "000001011010",
    "000001100110",
    "000001100111",
    "0000001111",
    "000011001000",
    "000011001001",
    "000001011011",
    "000000110011",
    "000000110100",
    "000000110101",
    "0000001101100",
    "0000001101101",
    "0000001001010",
    "0000001001011",
    "0000001001100",
    "0000001001101",
    "0000001110010",
    "0000001110011",
    "0000001110100",
    "0000001110101",
    "0000001110110",
    "0000001110111",
    "0000001010010",
    "0000001010011",
    "0000001010100",
    "0000001010101",
    "0000001011010",
    "0000001011011",
    "0000001100100",
    "0000001100101",
];

/// Of either color: 1,792, 1,856, … 2,560 px, which another run follows.
const LONG: [&str; 13] = [
    "00000001000",
    "00000001100",
    "00000001101",
    "000000010010",
    "000000010011",
    "000000010100",
    "000000010101",
    "000000010110",
    "000000010111",
    "000000011100",
    "000000011101",
    "000000011110",
    "000000011111",
];

/// Bits of the longest code.
const LONGEST: u32 = 13;

/// Length of the run and bits of its code, by the next [`LONGEST`] bits; no bits where no code begins like that. White, then black.
static RUNS: LazyLock<[Vec<(u16, u8)>; 2]> = LazyLock::new(|| {
    [WHITE, BLACK].map(|codes| {
        let mut runs = vec![(0, 0); 1 << LONGEST];
        for (index, code) in codes.iter().chain(&LONG).enumerate() {
            let run = if index < 64 { index } else { (index - 63) * 64 };
            let free = LONGEST - code.len() as u32;
            let first = usize::from_str_radix(code, 2).expect("bits") << free;
            runs[first..first + (1 << free)].fill((run as u16, code.len() as u8));
        }
        runs
    })
});

/// Unpacks a chunk of `[width, height]` px: a bit per pixel, 1 of black, rows in whole bytes.
pub fn unpack(fax: Fax, packed: &[u8], [width, height]: [usize; 2]) -> Result<Vec<u8>, String> {
    let row_bytes = width.div_ceil(8);
    let mut bytes = vec![0; row_bytes * height];
    let mut bits = Bits { bytes: packed, at: 0 };
    let (mut above, mut row) = (Row::default(), Row::default());
    for (number, out) in bytes.chunks_exact_mut(row_bytes).enumerate() {
        row.changes.clear();
        let read = begins_with_runs(fax, &mut bits).and_then(|runs| {
            if runs { row.read_runs(&mut bits, width) } else { row.read_changes(&mut bits, &above, width) }
        });
        read.map_err(|problem| format!("{problem}, in row {number} of {height} of fax data"))?;
        row.paint(out, width);
        std::mem::swap(&mut above, &mut row);
    }
    Ok(bytes)
}

/// Reads what stands before a row, and says whether its runs follow, not its changes.
fn begins_with_runs(fax: Fax, bits: &mut Bits) -> Result<bool, String> {
    match fax {
        Fax::Runs => {
            bits.at = bits.at.next_multiple_of(8);
            Ok(true)
        }
        Fax::Group3 { two_dimensional } => match (bits.skip_end_of_line(), two_dimensional) {
            (true, true) => {
                let runs = bits.peek(1) == 1;
                bits.skip(1)?;
                Ok(runs)
            }
            (_, false) => Ok(true),
            (false, true) => Err("damaged: no end-of-line code".to_owned()),
        },
        Fax::Group4 => Ok(false),
    }
}

/// A row of pixels.
#[derive(Default)]
struct Row {
    /// Where the color changes, ascending, first from white to black.
    changes: Vec<usize>,
}

impl Row {
    /// The color changes at `at`, which is no less than where it did last.
    fn change(&mut self, at: usize, width: usize) {
        if self.changes.last() == Some(&at) {
            // A run of no pixel.
            self.changes.pop();
        } else if at < width {
            self.changes.push(at);
        }
    }

    fn read_runs(&mut self, bits: &mut Bits, width: usize) -> Result<(), String> {
        let (mut at, mut black) = (0, false);
        while at < width {
            at = within(at + bits.run(black)?, width)?;
            self.change(at, width);
            black = !black;
        }
        Ok(())
    }

    fn read_changes(&mut self, bits: &mut Bits, above: &Row, width: usize) -> Result<(), String> {
        let (mut at, mut black, mut begun) = (0, false, false);
        while at < width {
            // The next changes above, the first of them to the color that is not this one. Before the row begins, that may be at 0.
            let mut next = if begun { above.changes.partition_point(|&change| change <= at) } else { 0 };
            next += usize::from((next % 2 == 1) != black);
            let above = |index: usize| above.changes.get(index).copied().unwrap_or(width);
            let (length, offset) = match bits.peek(7) {
                0b100_0000.. => (1, 0),
                0b011_0000..0b100_0000 => (3, 1),
                0b010_0000..0b011_0000 => (3, -1),
                0b001_0000..0b010_0000 => {
                    bits.skip(3)?;
                    for color in [black, !black] {
                        at = within(at + bits.run(color)?, width)?;
                        self.change(at, width);
                    }
                    begun = true;
                    continue;
                }
                0b000_1000..0b001_0000 => {
                    bits.skip(4)?;
                    at = above(next + 1);
                    begun = true;
                    continue;
                }
                0b000_0110 | 0b000_0111 => (6, 2),
                0b000_0100 | 0b000_0101 => (6, -2),
                0b000_0011 => (7, 3),
                0b000_0010 => (7, -3),
                0b000_0001 => return Err("its uncompressed mode is not read".to_owned()),
                _ if bits.is_at_end() => return Err(Bits::TRUNCATED.to_owned()),
                _ => return Err("damaged: the page ends".to_owned()),
            };
            bits.skip(length)?;
            let to = above(next).checked_add_signed(offset).filter(|&to| to >= at);
            at = within(to.ok_or("damaged: a run ends before it begins")?, width)?;
            self.change(at, width);
            (black, begun) = (!black, true);
        }
        Ok(())
    }

    /// Sets the bits of black.
    fn paint(&self, out: &mut [u8], width: usize) {
        for run in self.changes.chunks(2) {
            let (from, to) = (run[0], run.get(1).copied().unwrap_or(width));
            let (first, last) = (from / 8, to / 8);
            let (head, tail) = (0xff >> (from % 8), !(0xff >> (to % 8)));
            if first == last {
                out[first] |= head & tail;
            } else {
                out[first] |= head;
                out[first + 1..last].fill(0xff);
                if tail > 0 {
                    out[last] |= tail;
                }
            }
        }
    }
}

fn within(at: usize, width: usize) -> Result<usize, String> {
    if at > width { Err("damaged: a run goes beyond the row".to_owned()) } else { Ok(at) }
}

/// Bits, the highest of each byte first; zeros beyond the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    const TRUNCATED: &'static str = "truncated: the data end";

    fn is_at_end(&self) -> bool {
        self.at + LONGEST as usize > 8 * self.bytes.len()
    }

    /// The next bits, of which there may be [`LONGEST`].
    fn peek(&self, count: u32) -> usize {
        let next = (0..4).map(|i| self.bytes.get(self.at / 8 + i).copied().unwrap_or(0));
        let word = next.fold(0, |word: u32, byte| word << 8 | u32::from(byte));
        (word << (self.at % 8) >> (32 - count)) as usize
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.at += count;
        if self.at > 8 * self.bytes.len() { Err(Self::TRUNCATED.to_owned()) } else { Ok(()) }
    }

    /// Skips an end-of-line code, at least eleven zeros and a one, if there is one.
    fn skip_end_of_line(&mut self) -> bool {
        if self.peek(11) != 0 {
            return false;
        }
        let one = (self.at + 11..8 * self.bytes.len()).find(|at| self.bytes[at / 8] & (0x80 >> (at % 8)) != 0);
        self.at = one.map_or(self.at, |at| at + 1);
        one.is_some()
    }

    /// Length of the run that is next.
    fn run(&mut self, black: bool) -> Result<usize, String> {
        let mut all = 0;
        loop {
            let (run, length) = RUNS[usize::from(black)][self.peek(LONGEST)];
            if length == 0 {
                let color = if black { "black" } else { "white" };
                return Err(if self.is_at_end() {
                    Self::TRUNCATED.into()
                } else {
                    format!("damaged: no run of {color}")
                });
            }
            self.skip(length.into())?;
            all += usize::from(run);
            if run < 64 {
                return Ok(all);
            }
        }
    }
}
