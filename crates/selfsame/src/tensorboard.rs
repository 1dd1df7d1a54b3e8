//! TensorBoard event files: length-prefixed records with masked CRC-32C, each a protobuf `Event`
//! (tensorflow/core/util/event.proto, tsl/lib/io/record_writer).

use crate::error::Error;
use crate::events::Event;
use prost::Message;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    /// 1: START, which makes readers drop what an interrupted session wrote at this step and later.
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Writes one `events.out.tfevents.*` file.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// A new file in `folder`, for a session that starts after `step` steps.
    pub fn create(folder: &Path, step: u64) -> Result<Self, Error> {
        let path = folder.join(format!("events.out.tfevents.{}.{}", now_s() as u64, std::process::id()));
        let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
        let mut events = Self { path, file: BufWriter::new(file) };
        events.write(0, |r| r.file_version = Some("brain.Event:2".into()))?;
        events.write(step as i64 + 1, |r| r.session_log = Some(SessionLog { status: 1 }))?;
        Ok(events)
    }

    /// Adds what of `event` can be drawn.
    pub fn add(&mut self, event: &Event) -> Result<(), Error> {
        let scalars = match event {
            Event::Step(s) => {
                let mut scalars = vec![
                    ("loss/total".to_owned(), f64::from(s.total)),
                    ("train/lr".to_owned(), s.lr),
                    ("train/gradient_norm".to_owned(), s.gradient_norm),
                    ("train/samples_per_s".to_owned(), s.samples_per_s),
                    ("collapse/embedding_std".to_owned(), s.embedding_std),
                    ("collapse/effective_rank".to_owned(), s.effective_rank),
                ];
                scalars.extend(s.terms.iter().map(|(name, value)| (format!("loss/{name}"), f64::from(*value))));
                scalars
            }
            Event::OnlineKnn { accuracy, .. } => vec![("score/online_knn".to_owned(), *accuracy)],
            _ => return Ok(()),
        };
        let value = scalars.into_iter().map(|(tag, value)| SummaryValue { tag, simple_value: value as f32 }).collect();
        self.write(event.step() as i64, |r| r.summary = Some(Summary { value }))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|e| Error::io(&self.path, e))
    }

    fn write(&mut self, step: i64, fill: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = Record { wall_time: now_s(), step, ..Record::default() };
        fill(&mut record);
        self.file.write_all(&framed(&record.encode_to_vec())).map_err(|e| Error::io(&self.path, e))
    }
}

/// `length: u64, masked crc of it, data, masked crc of it`, little-endian.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

/// A rotated CRC-32C plus a constant: the CRC of data that contains CRCs would otherwise be weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::StepRecord;
    use std::fs;

    /// CRC-32C bit by bit, from its definition: reflected, polynomial 0x1edc6f41.
    fn crc(data: &[u8]) -> u32 {
        let divided = data.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
        });
        !divided
    }

    fn unmasked(masked: &[u8]) -> u32 {
        u32::from_le_bytes(masked.try_into().unwrap()).wrapping_sub(0xa282_ead8).rotate_left(15)
    }

    /// What a reader of event files gets: every record whose length and data are what their checksums say.
    fn read(mut bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (length_crc, rest) = rest.split_at(4);
            assert_eq!(unmasked(length_crc), crc(length), "record {}: length", records.len());
            let (data, rest) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
            let (data_crc, rest) = rest.split_at(4);
            assert_eq!(unmasked(data_crc), crc(data), "record {}: data", records.len());
            records.push(Record::decode(data).unwrap());
            bytes = rest;
        }
        records
    }

    fn step(step: u64, total: f32) -> Event {
        Event::Step(StepRecord {
            step,
            epoch: 0.5,
            total,
            terms: [("contrast".to_owned(), 1.5), ("invariance".to_owned(), -0.25)].into(),
            lr: 0.125,
            gradient_norm: 4.0,
            embedding_std: 0.75,
            effective_rank: 3.5,
            samples_per_s: 100.0,
            eta_s: 10.0,
            wait_share: 0.0,
        })
    }

    #[test]
    fn the_checksum_is_that_of_its_definition() {
        assert_eq!(crc(b"123456789"), 0xe306_9283, "the check value of CRC-32C");
        for data in [&b""[..], b"a", b"123456789", &[0; 100]] {
            assert_eq!(unmasked(&masked_crc(data).to_le_bytes()), crc(data));
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 40).unwrap();
        for event in [
            step(41, 2.0),
            Event::Warning { step: 41, message: "nothing to draw".into() },
            step(1 << 40, f32::NAN),
            Event::OnlineKnn { step: 50, epoch: 5, accuracy: 0.5 },
        ] {
            events.add(&event).unwrap();
        }
        events.flush().unwrap();

        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert!(files.len() == 1 && files[0].file_name().to_str().unwrap().starts_with("events.out.tfevents."));
        let records = read(&fs::read(files[0].path()).unwrap());
        let now = now_s();
        assert!(records.iter().all(|record| record.wall_time <= now && record.wall_time > now - 600.0));
        assert_eq!(records.iter().map(|record| record.step).collect::<Vec<_>>(), [0, 41, 41, 1 << 40, 50]);
        let [version, start, scalars @ ..] = &records[..] else { panic!("{records:?}") };
        assert_eq!((version.file_version.as_deref(), &version.summary), (Some("brain.Event:2"), &None));
        assert_eq!((&start.session_log, &start.summary), (&Some(SessionLog { status: 1 }), &None));

        let values = |record: &Record| -> Vec<(String, f32)> {
            let summary = record.summary.as_ref().unwrap();
            summary.value.iter().map(|value| (value.tag.clone(), value.simple_value)).collect()
        };
        let expected = [
            ("loss/total", 2.0),
            ("train/lr", 0.125),
            ("train/gradient_norm", 4.0),
            ("train/samples_per_s", 100.0),
            ("collapse/embedding_std", 0.75),
            ("collapse/effective_rank", 3.5),
            ("loss/contrast", 1.5),
            ("loss/invariance", -0.25),
        ];
        assert_eq!(values(&scalars[0]), expected.map(|(tag, value)| (tag.to_owned(), value)));
        let second = values(&scalars[1]);
        assert!(second[0].0 == "loss/total" && second[0].1.is_nan() && second[1..] == values(&scalars[0])[1..]);
        assert_eq!(values(&scalars[2]), [("score/online_knn".to_owned(), 0.5)]);
    }

    #[test]
    fn a_record_has_the_bytes_that_tensorboard_documents() {
        // As tensorflow writes an event of step 3 at time 1.0: field 1 a double, field 2 a varint.
        let record = Record { wall_time: 1.0, step: 3, ..Record::default() };
        let data = [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 3];
        assert_eq!(record.encode_to_vec(), data);
        let frame = framed(&data);
        assert_eq!((frame.len(), &frame[..8], &frame[12..23]), (8 + 4 + 11 + 4, &11u64.to_le_bytes()[..], &data[..]));
    }
}
