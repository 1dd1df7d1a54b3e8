//! What the segments of a JPEG file say: its frame, its scans, its colors, and where its data lie.
//!
//! They are read as libjpeg reads them: bytes between segments that belong to none are skipped, and any number of fill bytes
//! may stand before a marker. What no decoder here can turn into the right pixels is refused by its name.

use memchr::{memchr, memmem};

/// Scans of one file: more would only be there to keep a decoder busy.
const MAX_SCANS: usize = 256;

pub(super) const DHT: u8 = 0xc4;
pub(super) const SOI: u8 = 0xd8;
pub(super) const EOI: u8 = 0xd9;
pub(super) const SOS: u8 = 0xda;
pub(super) const DQT: u8 = 0xdb;
pub(super) const DRI: u8 = 0xdd;
const DNL: u8 = 0xdc;

/// A marker and what stands behind it.
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// The parameters, without their length.
    pub body: &'a [u8],
    /// The coded data that follow a scan's header; empty for every other marker.
    pub data: &'a [u8],
}

/// One of the planes that make the image.
#[derive(Clone, Copy)]
pub(super) struct Component {
    pub id: u8,
    /// Samples per MCU in each direction, in blocks: 1 to 4.
    pub across: usize,
    pub down: usize,
    /// Number of the quantization table.
    pub quantization: usize,
}

/// The frame header.
pub(super) struct Frame {
    pub progressive: bool,
    pub height: usize,
    pub width: usize,
    pub components: Vec<Component>,
}

/// A scan header.
pub(super) struct Scan {
    /// The components in the order in which their blocks follow each other: position in the frame, DC table, AC table.
    pub parts: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in zigzag order.
    pub first: usize,
    pub last: usize,
    /// Bits that earlier scans have left out, and that this one leaves out.
    pub high: u32,
    pub low: u32,
}

/// What the components mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colors {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
    /// Nothing that the file could say.
    Stored,
}

pub(super) struct Layout<'a> {
    pub frame: Frame,
    pub colors: Colors,
    /// The EXIF data, from the TIFF header on.
    pub exif: Option<&'a [u8]>,
    pub xmp: Option<&'a [u8]>,
    /// Tables, frame and scans in the order of the file.
    pub segments: Vec<Segment<'a>>,
}

/// What is known of a file while its segments are read.
#[derive(Default)]
struct Reading<'a> {
    frame: Option<Frame>,
    jfif: bool,
    adobe_transform: Option<u8>,
    exif: Option<&'a [u8]>,
    xmp: Option<&'a [u8]>,
    segments: Vec<Segment<'a>>,
    scans: usize,
    /// For each component and coefficient the bits that are still to come; 16 where no scan has been.
    missing: Vec<[u32; 64]>,
}

impl<'a> Layout<'a> {
    /// Reads a file up to its end-of-image marker.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut reading = Reading::default();
        let mut at = 2;
        loop {
            let marker = next_marker(bytes, &mut at).ok_or_else(|| reading.truncated())?;
            match marker {
                EOI => break,
                SOI => return Err("damaged: another JPEG begins before this one's end-of-image marker".to_owned()),
                // Restarts that are left over, and TEM: nothing follows them.
                0x01 | 0xd0..=0xd7 => continue,
                _ => {}
            }
            let length = bytes.get(at..at + 2).map(|pair| usize::from(u16::from_be_bytes([pair[0], pair[1]])));
            let length = length.ok_or_else(|| reading.truncated())?;
            if length < 2 {
                return Err(format!("damaged: a JPEG segment {marker:02x} of {length} bytes"));
            }
            let body = bytes.get(at + 2..at + length).ok_or_else(|| reading.truncated())?;
            at += length;
            let data = if marker == SOS { &bytes[at..data_end(bytes, at)] } else { &[] };
            at += data.len();
            reading.segment(marker, body, data)?;
            if reading.is_complete() {
                memmem::find(&bytes[at..], &[0xff, EOI]).ok_or_else(|| reading.truncated())?;
                break;
            }
        }
        reading.finish()
    }

    /// The scan that a segment begins; [`Self::read`] has found that it is a scan.
    pub fn scan(&self, segment: &Segment) -> Result<Scan, String> {
        Scan::read(segment.body, &self.frame)
    }
}

/// The code of the next marker, and `at` behind it: other bytes are skipped, fill bytes and stuffed zeros too.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        *at += memchr(0xff, bytes.get(*at..)?)?;
        *at += bytes[*at..].iter().take_while(|&&byte| byte == 0xff).count();
        let marker = *bytes.get(*at)?;
        *at += 1;
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// Where the coded data that begin at `from` end: at a marker that is no restart.
fn data_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = memchr(0xff, &bytes[at..]) {
        let start = at + found;
        let fill = bytes[start..].iter().take_while(|&&byte| byte == 0xff).count();
        match bytes.get(start + fill) {
            Some(0x00 | 0xd0..=0xd7) => at = start + fill + 1,
            Some(_) => return start,
            None => break,
        }
    }
    bytes.len()
}

fn not_read(what: &str) -> String {
    format!("{what} is not read; expected Huffman coding, baseline or progressive, of 8 bits: convert it, say to PNG")
}

impl<'a> Reading<'a> {
    fn truncated(&self) -> String {
        let missing =
            if self.scans == 0 { "the file ends within the JPEG header" } else { "no JPEG end-of-image marker" };
        format!("truncated: {missing}")
    }

    /// Whether every component of a sequential file has had its scan: whatever follows is no part of the image.
    fn is_complete(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| !frame.progressive) && self.lacks_nothing()
    }

    fn lacks_nothing(&self) -> bool {
        self.missing.iter().all(|bits| bits.iter().all(|&bits| bits == 0))
    }

    fn segment(&mut self, marker: u8, body: &'a [u8], data: &'a [u8]) -> Result<(), String> {
        match marker {
            0xc0..=0xc2 => self.frame(marker == 0xc2, body)?,
            0xc3 => return Err(not_read("a lossless JPEG")),
            0xc5..=0xc7 | 0xcd..=0xcf | 0xde => return Err(not_read("a hierarchical JPEG")),
            0xc9 | 0xca => return Err(not_read("a JPEG with arithmetic coding")),
            0xcb => return Err(not_read("a lossless JPEG with arithmetic coding")),
            0xf7 => return Err(not_read("a JPEG-LS file")),
            DNL => {}
            SOS => self.scan(body)?,
            0xe0 => self.jfif |= body.len() >= 12 && body.starts_with(b"JFIF\0"),
            0xe1 => {
                self.exif = self.exif.or(body.strip_prefix(b"Exif\0\0"));
                self.xmp = self.xmp.or(body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0"));
            }
            0xee if body.len() >= 12 && body.starts_with(b"Adobe") => self.adobe_transform = Some(body[11]),
            _ => {}
        }
        if matches!(marker, 0xc0..=0xc2 | DHT | DQT | DRI | SOS) {
            self.segments.push(Segment { marker, body, data });
        }
        Ok(())
    }

    fn frame(&mut self, progressive: bool, body: &[u8]) -> Result<(), String> {
        if self.frame.is_some() {
            return Err("damaged: a JPEG with two frame headers".to_owned());
        }
        let (&[bits, h1, h0, w1, w0, count], rest) = body.split_first_chunk().ok_or_else(damaged_frame)?;
        if bits != 8 {
            return Err(not_read(&format!("a JPEG of {bits} bits per value")));
        }
        let (height, width) = (usize::from(u16::from_be_bytes([h1, h0])), usize::from(u16::from_be_bytes([w1, w0])));
        if height == 0 {
            return Err(not_read("a JPEG that gives its height after its first scan"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(not_read(&format!("a JPEG of {count} components")));
        }
        if rest.len() != 3 * usize::from(count) {
            return Err(damaged_frame());
        }
        let component = |&[id, sampling, quantization]: &[u8; 3]| {
            let (across, down) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            let valid = (1..=4).contains(&across) && (1..=4).contains(&down) && quantization < 4;
            valid.then_some(Component { id, across, down, quantization: quantization.into() })
        };
        let components: Option<Vec<Component>> = rest.as_chunks().0.iter().map(component).collect();
        let frame = Frame { progressive, height, width, components: components.ok_or_else(damaged_frame)? };
        let (across, down) = frame.sampling();
        if let Some(odd) = frame.components.iter().find(|part| across % part.across != 0 || down % part.down != 0) {
            let (own_across, own_down) = (odd.across, odd.down);
            return Err(not_read(&format!(
                "a JPEG with a component sampled {own_across}×{own_down} beside {across}×{down}, which is no whole ratio,"
            )));
        }
        self.missing = vec![[16; 64]; frame.components.len()];
        self.frame = Some(frame);
        Ok(())
    }

    fn scan(&mut self, body: &[u8]) -> Result<(), String> {
        let frame = self.frame.as_ref().ok_or("damaged: a JPEG scan before its frame header")?;
        let scan = Scan::read(body, frame)?;
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(format!("damaged: a JPEG of more than {MAX_SCANS} scans"));
        }
        for &(component, ..) in &scan.parts {
            self.missing[component][scan.first..=scan.last].fill(scan.low);
        }
        Ok(())
    }

    fn finish(self) -> Result<Layout<'a>, String> {
        let lacks_nothing = self.lacks_nothing();
        let frame = self.frame.ok_or("truncated: a JPEG without a frame")?;
        if self.scans == 0 {
            return Err("truncated: a JPEG without a scan".to_owned());
        }
        if !lacks_nothing {
            return Err("truncated: a JPEG without its last scans".to_owned());
        }
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        let colors = match (ids.len(), self.adobe_transform) {
            (1, _) => Colors::Gray,
            (3, _) if self.jfif => Colors::YCbCr,
            (3, Some(0)) => Colors::Rgb,
            (3, None) if ids == *b"RGB" => Colors::Rgb,
            (3, _) => Colors::YCbCr,
            (_, None | Some(0)) => Colors::Cmyk,
            (_, Some(_)) => Colors::Ycck,
        };
        Ok(Layout { frame, colors, exif: self.exif, xmp: self.xmp, segments: self.segments })
    }
}

fn damaged_frame() -> String {
    "damaged: a JPEG frame header that contradicts itself".to_owned()
}

impl Frame {
    /// Blocks per MCU of the most finely sampled component, across and down.
    pub fn sampling(&self) -> (usize, usize) {
        let most = |of: fn(&Component) -> usize| self.components.iter().map(of).max().unwrap_or(1);
        (most(|component| component.across), most(|component| component.down))
    }
}

impl Scan {
    fn read(body: &[u8], frame: &Frame) -> Result<Self, String> {
        let wrong = |what: &str| format!("damaged: a JPEG scan header {what}");
        let (&count, rest) = body.split_first().ok_or_else(|| wrong("of no bytes"))?;
        let (pairs, &[first, last, bits]) = match rest.split_at_checked(2 * usize::from(count)) {
            Some((pairs, tail)) => (pairs, tail.try_into().map_err(|_| wrong("of the wrong length"))?),
            None => return Err(wrong("of the wrong length")),
        };
        let mut parts: Vec<(usize, usize, usize)> = Vec::new();
        for &[id, tables] in pairs.as_chunks().0 {
            let is_new = |position: &usize| parts.iter().all(|part| part.0 != *position);
            let mut positions = (0..frame.components.len()).filter(|&position| frame.components[position].id == id);
            let position = positions.find(is_new).ok_or_else(|| wrong("that names a component which is not there"))?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 {
                return Err(wrong("that names a table which cannot be"));
            }
            if parts.last().is_some_and(|part| part.0 > position) {
                return Err(wrong("whose components are not in the order of the frame"));
            }
            parts.push((position, dc, ac));
        }
        let blocks = |&(position, ..): &(usize, usize, usize)| {
            frame.components[position].across * frame.components[position].down
        };
        if parts.is_empty() || (parts.len() > 1 && parts.iter().map(blocks).sum::<usize>() > 10) {
            return Err(wrong("with no block, or more than 10, per MCU"));
        }
        if !frame.progressive {
            return Ok(Self { parts, first: 0, last: 63, high: 0, low: 0 });
        }
        let (first, last, high, low) =
            (usize::from(first), usize::from(last), u32::from(bits >> 4), u32::from(bits & 15));
        let range = if first == 0 { last == 0 } else { first <= last && last < 64 && parts.len() == 1 };
        if !range || low > 13 || (high != 0 && high != low + 1) {
            return Err(wrong("with coefficients or bits that cannot be"));
        }
        Ok(Self { parts, first, last, high, low })
    }
}
