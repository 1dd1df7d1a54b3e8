//! From the coded data of a JPEG's scans to the coefficients of its blocks (ITU-T T.81, annexes F and G).
//!
//! Any order of scans and components, any sampling, any restarts, sequential and progressive. All blocks are kept until the
//! last scan is read. Data that end early or contradict their tables are an error.

use super::layout::{DHT, DQT, DRI, Layout, SOS, Scan, Segment};

/// Position of the `k`-th coefficient of a block, row by row.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// The blocks of one component.
pub(super) struct Plane {
    /// Blocks that hold pixels of the image; a scan of this component alone has no others.
    across: usize,
    down: usize,
    /// Blocks of a row in memory: a scan of several components goes on to the end of its last MCU.
    pub stride: usize,
    pub rows: usize,
    /// Coefficients, row by row.
    pub blocks: Vec<[i16; 64]>,
    /// What they are multiplied with, row by row: the table in force when the component's first scan began.
    pub quantization: Option<[u16; 64]>,
}

/// Blocks of a component: those of the image across and down, and those in memory.
fn blocks_of(layout: &Layout, position: usize) -> [usize; 4] {
    let (frame, (most_across, most_down)) = (&layout.frame, layout.frame.sampling());
    let component = frame.components[position];
    [
        (frame.width * component.across).div_ceil(8 * most_across),
        (frame.height * component.down).div_ceil(8 * most_down),
        frame.width.div_ceil(8 * most_across) * component.across,
        frame.height.div_ceil(8 * most_down) * component.down,
    ]
}

/// Blocks that [`decode`] keeps.
pub(super) fn block_count(layout: &Layout) -> usize {
    (0..layout.frame.components.len()).map(|position| blocks_of(layout, position)).map(|[_, _, w, h]| w * h).sum()
}

/// All coefficients of a file, a plane for each component.
pub(super) fn decode(layout: &Layout) -> Result<Vec<Plane>, String> {
    let plane = |position| {
        let [across, down, stride, rows] = blocks_of(layout, position);
        Plane { across, down, stride, rows, blocks: vec![[0; 64]; stride * rows], quantization: None }
    };
    let mut planes: Vec<Plane> = (0..layout.frame.components.len()).map(plane).collect();
    let mut tables = Tables::new();
    for segment in &layout.segments {
        match segment.marker {
            DHT => tables.read_huffman(segment.body)?,
            DQT => tables.read_quantization(segment.body)?,
            DRI => {
                let &[high, low] =
                    segment.body.try_into().map_err(|_| "damaged: a JPEG restart interval of the wrong size")?;
                tables.restart_interval = usize::from(u16::from_be_bytes([high, low]));
            }
            SOS => tables.read_scan(layout, segment, &mut planes)?,
            _ => {}
        }
    }
    Ok(planes)
}

/// What is in force at a place of the file.
struct Tables {
    dc: [Option<Huffman>; 4],
    ac: [Option<Huffman>; 4],
    quantization: [Option<[u16; 64]>; 4],
    /// MCUs between two restarts; 0 for none.
    restart_interval: usize,
}

impl Tables {
    /// Frames of motion JPEG leave out their Huffman tables: the typical ones of annex K hold then.
    fn new() -> Self {
        let typical = |(counts, values): (&[u8; 16], &[u8])| Huffman::new(counts, values);
        let [dc0, ac0, dc1, ac1] = TYPICAL.map(typical);
        Self { dc: [dc0, dc1, None, None], ac: [ac0, ac1, None, None], quantization: [None; 4], restart_interval: 0 }
    }

    fn read_huffman(&mut self, mut body: &[u8]) -> Result<(), String> {
        let wrong = || "damaged: a JPEG Huffman table that contradicts itself".to_owned();
        while let Some((&[head], rest)) = body.split_first_chunk() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (values, rest) = rest.split_at_checked(count).ok_or_else(wrong)?;
            let (group, number) = (head >> 4, usize::from(head & 15));
            // The value of a DC code is a number of bits.
            if group > 1 || number > 3 || (group == 0 && values.iter().any(|&bits| bits > 15)) {
                return Err(wrong());
            }
            let table = Some(Huffman::new(counts, values).ok_or_else(wrong)?);
            if group == 0 {
                self.dc[number] = table;
            } else {
                self.ac[number] = table;
            }
            body = rest;
        }
        Ok(())
    }

    fn read_quantization(&mut self, mut body: &[u8]) -> Result<(), String> {
        let wrong = || "damaged: a JPEG quantization table that contradicts itself".to_owned();
        while let Some((&[head], rest)) = body.split_first_chunk() {
            let value_bytes = 1 + usize::from(head >> 4);
            let (values, rest) = rest.split_at_checked(64 * value_bytes).ok_or_else(wrong)?;
            if value_bytes > 2 || head & 15 > 3 {
                return Err(wrong());
            }
            let mut table = [0; 64];
            for (value, at) in values.chunks_exact(value_bytes).zip(ZIGZAG) {
                table[usize::from(at)] = value.iter().fold(0, |all, &byte| all << 8 | u16::from(byte));
            }
            self.quantization[usize::from(head & 15)] = Some(table);
            body = rest;
        }
        Ok(())
    }

    fn read_scan(&self, layout: &Layout, segment: &Segment, planes: &mut [Plane]) -> Result<(), String> {
        let scan = layout.scan(segment)?;
        for &(position, ..) in &scan.parts {
            let component = layout.frame.components[position];
            let table =
                self.quantization[component.quantization].ok_or("damaged: a JPEG without a quantization table")?;
            planes[position].quantization.get_or_insert(table);
        }
        let mut coder = Coder::new(self, &scan, layout.frame.progressive, segment.data)?;
        let (most_across, most_down) = layout.frame.sampling();
        // The blocks of one component follow each other row by row, whatever its sampling.
        let alone = scan.parts.len() == 1;
        let (across, down) = match scan.parts[..] {
            [(position, ..)] => (planes[position].across, planes[position].down),
            _ => (layout.frame.width.div_ceil(8 * most_across), layout.frame.height.div_ceil(8 * most_down)),
        };
        for mcu in 0..across * down {
            if self.restart_interval != 0 && mcu != 0 && mcu.is_multiple_of(self.restart_interval) {
                coder.restart()?;
            }
            let (row, column) = (mcu / across, mcu % across);
            for (index, &(position, ..)) in scan.parts.iter().enumerate() {
                let (component, plane) = (layout.frame.components[position], &mut planes[position]);
                let (wide, high) = if alone { (1, 1) } else { (component.across, component.down) };
                for y in row * high..(row + 1) * high {
                    for x in column * wide..(column + 1) * wide {
                        coder.block(index, &mut plane.blocks[y * plane.stride + x])?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What can be wrong with the data of a scan; a word, since it is asked after for every code.
#[derive(Clone, Copy)]
enum Damage {
    End,
    Code,
    Block,
    Refinement,
    Restart,
}

impl From<Damage> for String {
    fn from(damage: Damage) -> Self {
        let words = match damage {
            Damage::End => "truncated or damaged: a JPEG scan whose data end early",
            Damage::Code => "damaged: a JPEG scan with a code that its table lacks",
            Damage::Block => "damaged: a JPEG block of more than 64 coefficients",
            Damage::Refinement => "damaged: a JPEG coefficient that is refined by more than a bit",
            Damage::Restart => "damaged: a JPEG whose restarts are out of order",
        };
        words.to_owned()
    }
}

/// Reads one scan block by block.
struct Coder<'a> {
    bits: Bits<'a>,
    progressive: bool,
    /// Tables of each of the scan's components.
    tables: Vec<(&'a Huffman, &'a Huffman)>,
    first: usize,
    last: usize,
    refines: bool,
    low: u32,
    /// The last DC coefficient of each component.
    predicted: Vec<i32>,
    /// Blocks whose band is known to have nothing more.
    ended: u32,
    restarts: u8,
}

impl<'a> Coder<'a> {
    fn new(tables: &'a Tables, scan: &Scan, progressive: bool, data: &'a [u8]) -> Result<Self, String> {
        let missing = || "damaged: a JPEG without a Huffman table that its scan names".to_owned();
        // A table that the scan does not read need not be there; one that is never read is taken in its place.
        let (needs_dc, needs_ac) = (scan.first == 0 && scan.high == 0, scan.last > 0);
        let spare = tables.dc[0].as_ref().ok_or_else(missing)?;
        let pair = |&(_, dc, ac): &(usize, usize, usize)| {
            let table = |needed: bool, of: &'a Option<Huffman>| if needed { of.as_ref() } else { Some(spare) };
            Some((table(needs_dc, &tables.dc[dc])?, table(needs_ac, &tables.ac[ac])?))
        };
        let pairs: Option<Vec<_>> = scan.parts.iter().map(pair).collect();
        Ok(Self {
            bits: Bits { data, at: 0, buffer: 0, count: 0 },
            progressive,
            tables: pairs.ok_or_else(missing)?,
            first: scan.first,
            last: scan.last,
            refines: scan.high != 0,
            low: scan.low,
            predicted: vec![0; scan.parts.len()],
            ended: 0,
            restarts: 0,
        })
    }

    fn restart(&mut self) -> Result<(), Damage> {
        self.bits.restart(0xd0 + self.restarts % 8)?;
        self.restarts = self.restarts.wrapping_add(1);
        self.predicted.fill(0);
        self.ended = 0;
        Ok(())
    }

    fn block(&mut self, part: usize, block: &mut [i16; 64]) -> Result<(), Damage> {
        let (dc, ac) = self.tables[part];
        match (self.progressive, self.first == 0, self.refines) {
            (false, ..) => {
                block[0] = self.dc(part, dc)? as i16;
                self.sequential(ac, block)
            }
            (true, true, false) => {
                block[0] = (self.dc(part, dc)? << self.low) as i16;
                Ok(())
            }
            (true, true, true) => {
                block[0] |= (self.bits.take(1)? as i16) << self.low;
                Ok(())
            }
            (true, false, false) => self.first_of_band(ac, block),
            (true, false, true) => self.refine_band(ac, block),
        }
    }

    fn dc(&mut self, part: usize, table: &Huffman) -> Result<i32, Damage> {
        let size = self.bits.symbol(table)?;
        let predicted = self.predicted[part].wrapping_add(self.bits.signed(size.into())?);
        self.predicted[part] = predicted;
        Ok(predicted)
    }

    fn sequential(&mut self, table: &Huffman, block: &mut [i16; 64]) -> Result<(), Damage> {
        let mut k = 1;
        while k < 64 {
            let (run, size) = nibbles(self.bits.symbol(table)?);
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => break,
                _ => {
                    k += run;
                    *coefficient(block, k)? = self.bits.signed(size)? as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    fn first_of_band(&mut self, table: &Huffman, block: &mut [i16; 64]) -> Result<(), Damage> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let mut k = self.first;
        while k <= self.last {
            let (run, size) = nibbles(self.bits.symbol(table)?);
            match (run, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    self.ended = (1 << run) + self.bits.take(run as u32)? - 1;
                    break;
                }
                _ => {
                    k += run;
                    *coefficient(block, k)? = (self.bits.signed(size)? << self.low) as i16;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    fn refine_band(&mut self, table: &Huffman, block: &mut [i16; 64]) -> Result<(), Damage> {
        let step = 1 << self.low;
        let mut k = self.first;
        if self.ended == 0 {
            while k <= self.last {
                let (mut run, size) = nibbles(self.bits.symbol(table)?);
                let value = match size {
                    0 if run < 15 => {
                        self.ended = (1 << run) + self.bits.take(run as u32)?;
                        break;
                    }
                    0 => 0,
                    1 if self.bits.take(1)? == 1 => step,
                    1 => -step,
                    _ => return Err(Damage::Refinement),
                };
                // Known coefficients on the way are refined; `run` counts those that stay zero.
                while k <= self.last {
                    let known = coefficient(block, k)?;
                    if *known != 0 {
                        self.bits.refine(known, step)?;
                    } else if run == 0 {
                        *known = value;
                        k += 1;
                        break;
                    } else {
                        run -= 1;
                    }
                    k += 1;
                }
            }
        }
        if self.ended > 0 {
            for k in k..=self.last {
                let known = coefficient(block, k)?;
                if *known != 0 {
                    self.bits.refine(known, step)?;
                }
            }
            self.ended -= 1;
        }
        Ok(())
    }
}

fn nibbles(symbol: u8) -> (usize, u32) {
    (usize::from(symbol >> 4), u32::from(symbol & 15))
}

fn coefficient(block: &mut [i16; 64], k: usize) -> Result<&mut i16, Damage> {
    let at = ZIGZAG.get(k).ok_or(Damage::Block)?;
    Ok(&mut block[usize::from(*at)])
}

/// Bits of a scan's data, first bit first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// Bits that are read but not taken, from the top down; zeros follow them.
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// Reads as many whole bytes as the buffer has room for, up to a marker or the end.
    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.at) else { return };
            let mut next = self.at + 1;
            if byte == 0xff {
                next += self.data[next..].iter().take_while(|&&byte| byte == 0xff).count();
                if self.data.get(next) != Some(&0) {
                    return;
                }
                next += 1;
            }
            self.at = next;
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Takes up to 16 bits.
    fn take(&mut self, count: u32) -> Result<u32, Damage> {
        if self.count < count {
            self.fill();
        }
        let bits = (self.buffer >> 1 >> (63 - count)) as u32;
        self.skip(count)?;
        Ok(bits)
    }

    fn skip(&mut self, count: u32) -> Result<(), Damage> {
        if self.count < count {
            return Err(Damage::End);
        }
        self.buffer <<= count;
        self.count -= count;
        Ok(())
    }

    /// A number of `size` bits (F.2.2.1): those whose first bit is 0 are negative.
    fn signed(&mut self, size: u32) -> Result<i32, Damage> {
        let bits = self.take(size)? as i32;
        let is_negative = size > 0 && bits >> (size - 1) == 0;
        Ok(if is_negative { bits + 1 - (1 << size) } else { bits })
    }

    fn symbol(&mut self, table: &Huffman) -> Result<u8, Damage> {
        if self.count < 16 {
            self.fill();
        }
        let bits = (self.buffer >> 48) as u32;
        let (length, symbol) = table.find(bits).ok_or(Damage::Code)?;
        self.skip(length)?;
        Ok(symbol)
    }

    /// One more bit of a coefficient that is not zero.
    fn refine(&mut self, known: &mut i16, step: i16) -> Result<(), Damage> {
        if self.take(1)? == 1 && *known & step == 0 {
            *known = known.wrapping_add(if *known < 0 { -step } else { step });
        }
        Ok(())
    }

    /// Goes on behind the next marker, which must be the restart `marker`.
    fn restart(&mut self, marker: u8) -> Result<(), Damage> {
        (self.buffer, self.count) = (0, 0);
        loop {
            self.at += memchr::memchr(0xff, &self.data[self.at..]).unwrap_or(self.data.len() - self.at);
            self.at += self.data[self.at..].iter().take_while(|&&byte| byte == 0xff).count();
            let found = self.data.get(self.at).copied();
            self.at += usize::from(found.is_some());
            match found {
                Some(0) => {}
                Some(found) if found == marker => return Ok(()),
                Some(_) => return Err(Damage::Restart),
                None => return Err(Damage::End),
            }
        }
    }
}

/// Bits that are looked up at once; longer codes are rare.
const LOOK_AHEAD: u32 = 9;

struct Huffman {
    /// For each beginning of [`LOOK_AHEAD`] bits the length of its code, and its value; length 0 for a longer code.
    short: Vec<(u8, u8)>,
    /// For each length the codes below this one, aligned to 16 bits, are of that length or shorter.
    ends: [u32; 17],
    /// What leads from a code to the place of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Huffman {
    /// `counts` codes of each length from 1 to 16, in order; `None` if there are more than such codes.
    fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut table =
            Self { short: vec![(0, 0); 1 << LOOK_AHEAD], ends: [0; 17], offsets: [0; 17], values: values.to_vec() };
        let (mut code, mut place) = (0u32, 0usize);
        for length in 1..=16 {
            let count = usize::from(counts[length - 1]);
            table.offsets[length] = place as i32 - code as i32;
            for _ in 0..count {
                let &value = values.get(place)?;
                if length as u32 <= LOOK_AHEAD {
                    let start = (code as usize) << (LOOK_AHEAD as usize - length);
                    let end = start + (1 << (LOOK_AHEAD as usize - length));
                    table.short.get_mut(start..end)?.fill((length as u8, value));
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return None;
            }
            table.ends[length] = code << (16 - length);
            code <<= 1;
        }
        Some(table)
    }

    /// Length and value of the code with which 16 bits begin.
    fn find(&self, bits: u32) -> Option<(u32, u8)> {
        let (length, value) = self.short[(bits >> (16 - LOOK_AHEAD)) as usize];
        if length > 0 {
            return Some((length.into(), value));
        }
        let length = (LOOK_AHEAD as usize + 1..=16).find(|&length| bits < self.ends[length])?;
        let place = (bits >> (16 - length)) as i32 + self.offsets[length];
        Some((length as u32, *self.values.get(usize::try_from(place).ok()?)?))
    }
}

/// The typical Huffman tables of annex K.3: luma DC and AC, chroma DC and AC; counts of codes by length, and values.
const TYPICAL: [(&[u8; 16], &[u8]); 4] = [
    (&[0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (
        &[0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d],
        b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\x08\
        \x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a\x16\x17\x18\x19\x1a\x25\x26\x27\x28\
        \x29\x2a\x34\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\x59\
        \x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x83\x84\x85\x86\x87\x88\x89\
        \x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\xb5\xb6\
        \xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\xe1\xe2\
        \xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
    ),
    (&[0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    (
        &[0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\x91\
        \xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1\x17\x18\x19\x1a\x26\
        \x27\x28\x29\x2a\x35\x36\x37\x38\x39\x3a\x43\x44\x45\x46\x47\x48\x49\x4a\x53\x54\x55\x56\x57\x58\
        \x59\x5a\x63\x64\x65\x66\x67\x68\x69\x6a\x73\x74\x75\x76\x77\x78\x79\x7a\x82\x83\x84\x85\x86\x87\
        \x88\x89\x8a\x92\x93\x94\x95\x96\x97\x98\x99\x9a\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xb2\xb3\xb4\
        \xb5\xb6\xb7\xb8\xb9\xba\xc2\xc3\xc4\xc5\xc6\xc7\xc8\xc9\xca\xd2\xd3\xd4\xd5\xd6\xd7\xd8\xd9\xda\
        \xe2\xe3\xe4\xe5\xe6\xe7\xe8\xe9\xea\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa",
    ),
];
