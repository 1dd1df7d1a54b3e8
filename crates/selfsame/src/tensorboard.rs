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

/// A rotated, offset CRC-32C, so that a CRC of data that holds CRCs stays a good one.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
