//! NumPy's `.npy`, with ids and labels beside it in `.rows.jsonl`.

use super::{FeatureTable, number_classes};
use crate::DataError;
use crate::atomic::{AtomicFile, write_error};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Length of the header that we write: room for any number of rows, so that it can be patched at the end; a multiple
/// of 64, as the format wishes.
const HEADER_BYTES: usize = 128;

/// One line of the `.rows.jsonl` beside an array.
#[derive(Serialize, Deserialize)]
struct RowInfo<'a> {
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<Cow<'a, str>>,
}

fn rows_path(path: &Path) -> PathBuf {
    path.with_extension("rows.jsonl")
}

fn header(rows: usize, dim: usize) -> Vec<u8> {
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(((HEADER_BYTES - 10) as u16).to_le_bytes());
    header.extend(format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}").bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}

pub(super) struct Writer {
    array: AtomicFile,
    info: AtomicFile,
    dim: usize,
    rows: usize,
    classes: Vec<String>,
}

impl Writer {
    pub(super) fn create(path: &Path, dim: usize, classes: &[String]) -> Result<Self, DataError> {
        let mut array = AtomicFile::create(path)?;
        array.write_all(&header(0, dim)).map_err(|e| write_error(path, e))?;
        Ok(Self { array, info: AtomicFile::create(&rows_path(path))?, dim, rows: 0, classes: classes.to_vec() })
    }

    pub(super) fn push(&mut self, batch: &FeatureTable) -> Result<(), DataError> {
        self.rows += batch.len();
        let bytes: Vec<u8> = batch.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.array.write_all(&bytes).map_err(|e| write_error(self.array.path(), e))?;
        for (index, id) in batch.ids.iter().enumerate() {
            let label = batch.labels.get(index).copied();
            let class = label.map(|l| Cow::from(&self.classes[l as usize]));
            let info = RowInfo { id: id.into(), label, class };
            let line = serde_json::to_string(&info).expect("strings and numbers always serialise") + "\n";
            self.info.write_all(line.as_bytes()).map_err(|e| write_error(self.info.path(), e))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), DataError> {
        let header = header(self.rows, self.dim);
        let patched = self.array.seek(SeekFrom::Start(0)).and_then(|_| self.array.write_all(&header));
        patched.map_err(|e| write_error(self.array.path(), e))?;
        // The array comes last: where it is, its rows are described.
        self.info.commit()?;
        self.array.commit()
    }
}

pub(super) fn read(path: &Path) -> Result<FeatureTable, DataError> {
    let io = |e| DataError::io(path, e);
    let bad = |problem: String| DataError::sample(path.display().to_string(), problem);
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut prefix = [0u8; 10];
    file.read_exact(&mut prefix).map_err(|_| bad("not a .npy file: it is under 10 bytes long".into()))?;
    if &prefix[..6] != b"\x93NUMPY" {
        return Err(bad("not a .npy file: it does not start with \\x93NUMPY".into()));
    }
    // From version 2 on the length has four bytes, two of which follow the prefix.
    let mut length = u64::from(u16::from_le_bytes([prefix[8], prefix[9]]));
    if prefix[6] > 1 {
        let mut high = [0u8; 2];
        file.read_exact(&mut high).map_err(io)?;
        length += u64::from(u16::from_le_bytes(high)) << 16;
    }
    let mut header = String::new();
    let found = file.by_ref().take(length).read_to_string(&mut header).map_err(io)? as u64;
    if found != length {
        return Err(bad(format!("cut short: {found} of {length} header bytes")));
    }
    let value = |key: &str| Some(header.split_once(&format!("'{key}':"))?.1.trim_start());
    let shape: Option<Vec<usize>> = value("shape").and_then(|v| {
        let list = v.strip_prefix('(')?.split_once(')')?.0;
        list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(|n| n.parse().ok()).collect()
    });
    let width = match value("descr").map(|v| v.get(..5).unwrap_or(v)) {
        Some("'<f4'") => 4,
        Some("'<f8'") => 8,
        _ => return Err(bad(format!("expected f32 or f64 ('<f4', '<f8'), found {}", header.trim()))),
    };
    let [rows, dim] = shape.as_deref().unwrap_or_default() else {
        return Err(bad(format!("expected a shape of [rows, dim], found {}", header.trim())));
    };
    if !value("fortran_order").is_some_and(|v| v.starts_with("False")) {
        return Err(bad(
            "expected rows one after the other, found Fortran order; save numpy.ascontiguousarray(…)".into()
        ));
    }
    let expected = rows.checked_mul(*dim).and_then(|n| n.checked_mul(width));
    let Some(expected) = expected.filter(|_| *dim > 0) else {
        return Err(bad(format!("an impossible shape of [{rows}, {dim}]")));
    };
    // The header may lie; memory is taken for what is there.
    let mut bytes = Vec::new();
    file.take(expected as u64).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() != expected {
        return Err(bad(format!("cut short: [{rows}, {dim}] takes {expected} bytes, found {}", bytes.len())));
    }
    let values = match width {
        4 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        _ => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
    };
    let mut table = FeatureTable { values, dim: *dim, ..FeatureTable::default() };
    read_info(path, *rows, &mut table)?;
    Ok(table)
}

fn read_info(path: &Path, rows: usize, table: &mut FeatureTable) -> Result<(), DataError> {
    let info_path = rows_path(path);
    let bad = |problem: String| DataError::sample(info_path.display().to_string(), problem);
    let file = match File::open(&info_path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            table.ids = (0..rows).map(|row| format!("{}[{row}]", path.display())).collect();
            return Ok(());
        }
        Err(e) => return Err(DataError::io(info_path, e)),
    };
    let mut names: Vec<(u32, String)> = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| DataError::io(&info_path, e))?;
        let info: RowInfo = serde_json::from_str(&line).map_err(|e| bad(format!("line {}: {e}", index + 1)))?;
        table.ids.push(info.id.into_owned());
        let Some(label) = info.label else { continue };
        table.labels.push(label);
        if let Some(class) = info.class
            && !names.iter().any(|(l, _)| *l == label)
        {
            names.push((label, class.into_owned()));
        }
    }
    if table.ids.len() != rows {
        return Err(bad(format!("describes {} rows, the array beside it has {rows}", table.ids.len())));
    }
    if !table.labels.is_empty() && table.labels.len() != rows {
        return Err(bad(format!("labels {} of {rows} rows; label all or none", table.labels.len())));
    }
    number_classes(&table.labels, &mut table.classes);
    names.into_iter().for_each(|(label, name)| table.classes[label as usize] = name);
    Ok(())
}
