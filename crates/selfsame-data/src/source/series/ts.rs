//! `.ts` files, the format of aeon and sktime: series of one or several channels, of equal or varying lengths.
//!
//! ```text
//! # a comment
//! @problemName Motions
//! @timeStamps false
//! @classLabel true walking running
//! @data
//! 0.1,0.2,?,0.4:1.0,1.1,1.2,1.3:walking
//! ```
//!
//! A line is a sample: its channels, with a colon after each, and its class where `@classLabel` lists the classes. `?` is a value that is
//! missing. With `@timeStamps true` a value is `(stamp,value)`; steps are put in the order of their stamps. Numbers of `@targetLabel` are
//! no classes: `selfsame evaluate` takes them from a table.

use super::{Series, stamps};
use crate::settings::DataRequest;
use crate::source::{LabelSource, SourceEntry, bad_file, class_name, no_folder_labels, no_labels};
use selfsame_base::{DataError, files};
use std::collections::BTreeSet;
use std::path::Path;

pub const ENTRY: SourceEntry = SourceEntry {
    name: "ts",
    summary: ".ts (aeon, sktime): series of one or several channels, of equal or varying lengths; labels in the file",
    detect: |path| path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ts")),
    open: |request, labels| Ok(Box::new(open(request, labels)?)),
};

/// What is written where a value is missing, in any case.
const MISSING: [&str; 2] = ["?", "nan"];

/// What is before `@data`.
#[derive(Default)]
struct Header {
    stamps: bool,
    equal_length: bool,
    dimensions: Option<usize>,
    classes: Option<Vec<String>>,
    target: bool,
    unknown: BTreeSet<String>,
}

/// A sample: its values, `[time, channels]`, and the text of its label.
struct Line<'a> {
    number: usize,
    values: Vec<f32>,
    channels: usize,
    label: Option<&'a str>,
    /// Whether its steps were out of order, or are not equally far from each other.
    sorted: bool,
    uneven: bool,
}

fn open(request: &DataRequest, asked: LabelSource) -> Result<Series, DataError> {
    let path = &request.path;
    if asked == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let bytes = files::read(path, files::MOST_TEXT_BYTES).map_err(|cause| DataError::io(path, cause))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        bad_file(path, format!("line {line} is not UTF-8; a .ts file is text with @data before its series"))
    })?;
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let header = Header::read(path, &mut lines)?;
    let mut samples: Vec<Line> = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '%'])) {
        let wrong = |problem: String| bad_file(path, format!("line {number}: {problem}"));
        let sample = header.sample(number, line).map_err(wrong)?;
        if let Some(first) = samples.first() {
            let steps = |line: &Line| line.values.len() / line.channels;
            if first.channels != sample.channels {
                let (found, expected) = (sample.channels, first.channels);
                return Err(wrong(format!("has {found} channels, line {} has {expected}", first.number)));
            }
            if header.equal_length && steps(first) != steps(&sample) {
                let (found, expected) = (steps(&sample), steps(first));
                return Err(wrong(format!(
                    "has {found} steps, line {} has {expected}, and @equalLength says that all have as many",
                    first.number
                )));
            }
        }
        samples.push(sample);
    }
    let channels = samples.first().map_or(1, |first| first.channels);
    if let Some(dimensions) = header.dimensions.filter(|&dimensions| dimensions != channels && !samples.is_empty()) {
        return Err(bad_file(path, format!("has {channels} channels, and its header says {dimensions}")));
    }
    let (labels, classes) = match (asked, &header.classes) {
        (LabelSource::None, _) | (LabelSource::Auto | LabelSource::Any, None) => Default::default(),
        (_, None) => return Err(no_labels(path, "@classLabel true with the names of the classes")),
        (_, Some(classes)) => (labels_of(path, &samples, classes)?, classes.clone()),
    };
    let mut notes = header.notes(path);
    let mut tell = |which: fn(&Line) -> bool, what: &str| {
        let mut found = samples.iter().filter(|line| which(line)).map(|line| line.number);
        if let Some(first) = found.next() {
            let count = 1 + found.count();
            notes.push(format!("{}: time stamps of {count} samples {what}, the first on line {first}", path.display()));
        }
    };
    tell(|line| line.sorted, "are out of order, and their steps were put in order");
    tell(|line| line.uneven, "are not equally far from each other, which no encoder sees");
    let numbers: Vec<usize> = samples.iter().map(|line| line.number).collect();
    let values = samples.into_iter().map(|line| line.values).collect();
    let place = |index: usize| format!("line {}", numbers[index]);
    let series = Series::new(path, values, channels, request.missing, place)?;
    notes.extend(series.notes);
    Ok(Series { labels, classes, notes, ..series })
}

impl Header {
    fn read<'a>(path: &Path, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Result<Self, DataError> {
        let mut header = Self::default();
        let mut univariate = false;
        for (number, line) in lines {
            if line.is_empty() || line.starts_with(['#', '%']) {
                continue;
            }
            let wrong = |problem: String| bad_file(path, format!("line {number}: {problem}"));
            let Some(entry) = line.strip_prefix('@') else {
                return Err(wrong("expected a line that begins with @, until @data; this is no .ts file".into()));
            };
            let mut words = entry.split_whitespace();
            let key = words.next().unwrap_or_default().to_lowercase();
            let flag = |word: Option<&str>| match word.map(str::to_lowercase).as_deref() {
                Some("true") => Ok(true),
                Some("false") => Ok(false),
                _ => Err(wrong(format!("expected @{key} true or @{key} false"))),
            };
            match key.as_str() {
                "data" => {
                    header.dimensions = header.dimensions.or(univariate.then_some(1));
                    return Ok(header);
                }
                "timestamps" => header.stamps = flag(words.next())?,
                "univariate" => univariate = flag(words.next())?,
                "equallength" => header.equal_length = flag(words.next())?,
                "targetlabel" => header.target = flag(words.next())?,
                "classlabel" => {
                    header.classes = match flag(words.next())? {
                        true => Some(words.map(class_name).collect()),
                        false => None,
                    };
                    if header.classes.as_ref().is_some_and(Vec::is_empty) {
                        return Err(wrong("@classLabel true names no class".into()));
                    }
                }
                "dimension" | "dimensions" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    header.dimensions = Some(number.ok_or_else(|| wrong(format!("expected @{key} and a number")))?);
                }
                "problemname" | "missing" | "serieslength" => {}
                other => drop(header.unknown.insert(format!("@{other}"))),
            }
        }
        Err(bad_file(path, "has no line @data, after which its series stand"))
    }

    fn notes(&self, path: &Path) -> Vec<String> {
        let mut notes = Vec::new();
        let path = path.display();
        if self.target {
            notes.push(format!(
                "{path}: the numbers of @targetLabel are no classes, and are not read; a table of them goes to an evaluation"
            ));
        }
        if !self.unknown.is_empty() {
            let unknown: Vec<&str> = self.unknown.iter().map(String::as_str).collect();
            notes.push(format!("{path}: unknown lines of its header are left out: {}", unknown.join(", ")));
        }
        notes
    }

    /// The sample on a line.
    fn sample<'a>(&self, number: usize, line: &'a str) -> Result<Line<'a>, String> {
        let mut parts = split_outside(line, ':');
        let label = match self.classes.is_some() || self.target {
            true if parts.len() < 2 => return Err("has no label after its last colon".into()),
            true => parts.pop().map(str::trim),
            false => None,
        };
        let mut channels: Vec<Vec<f32>> = Vec::with_capacity(parts.len());
        let (mut sorted, mut uneven) = (false, false);
        for (channel, part) in parts.iter().enumerate() {
            let named = |problem: String| format!("channel {channel}: {problem}");
            let values = if self.stamps {
                let read = stamped(part).map_err(named)?;
                (sorted, uneven) = (sorted | read.sorted, uneven | read.uneven);
                read.values
            } else {
                part.split(',').map(|text| value(text.trim())).collect::<Result<_, _>>().map_err(named)?
            };
            if let Some(first) = channels.first().filter(|first| first.len() != values.len()) {
                return Err(named(format!("has {} steps, channel 0 has {}", values.len(), first.len())));
            }
            channels.push(values);
        }
        let steps = channels.first().map_or(0, Vec::len);
        let values = (0..steps).flat_map(|step| channels.iter().map(move |channel| channel[step])).collect();
        Ok(Line { number, values, channels: channels.len(), label, sorted, uneven })
    }
}

/// The values of a channel with time stamps, in order.
struct Stamped {
    values: Vec<f32>,
    sorted: bool,
    uneven: bool,
}

fn stamped(part: &str) -> Result<Stamped, String> {
    let (mut all, mut values) = (Vec::new(), Vec::new());
    for pair in split_outside(part, ',') {
        let shown: String = pair.trim().chars().take(40).collect();
        let wrong = || format!("expected (stamp,value), found {shown:?}");
        let inner = pair.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let (stamp, text) = inner.rsplit_once(',').ok_or_else(wrong)?;
        all.push(stamps::parse(stamp.trim()).ok_or_else(|| {
            format!("{:?} is no time stamp: expected a number or a date such as 2007-01-31 23:59:00", stamp.trim())
        })?);
        values.push(value(text.trim())?);
    }
    let sorted = match stamps::order(&all) {
        stamps::Order::Listed => false,
        stamps::Order::Twice(first, second) => {
            return Err(format!("the values number {first} and {second} have one time stamp"));
        }
        stamps::Order::Sorted(order, _) => {
            values = order.iter().map(|&step| values[step]).collect();
            all.sort_unstable();
            true
        }
    };
    let uneven = !stamps::is_even(all.iter().copied());
    Ok(Stamped { values, sorted, uneven })
}

fn value(text: &str) -> Result<f32, String> {
    if MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
        return Ok(f32::NAN);
    }
    text.parse().map_err(|_| match text {
        "" => "an empty value; expected a number, or ? where it is missing".to_owned(),
        _ => {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is no number; a value that is missing is ?")
        }
    })
}

/// The parts of a text between a sign, where that does not stand in parentheses.
fn split_outside(text: &str, sign: char) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (at, found) in text.char_indices() {
        match found {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            found if found == sign && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + sign.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn labels_of(path: &Path, samples: &[Line], classes: &[String]) -> Result<Vec<u32>, DataError> {
    let label = |line: &Line| {
        let name = class_name(line.label.expect("lines of files with classes have labels"));
        classes.iter().position(|class| *class == name).map(|place| place as u32).ok_or_else(|| {
            let problem = format!("{name:?} is none of the classes that @classLabel lists");
            bad_file(path, format!("line {}: {problem}; data.labels = \"none\" ignores them", line.number))
        })
    };
    samples.iter().map(label).collect()
}
