//! NumPy's `.npy`, with ids and labels beside it in `.rows.jsonl`.

use super::Precision;
use super::table::{FeatureTable, MOST_CLASSES, number_classes};
use half::f16;
use selfsame_base::atomic::{AtomicFile, write_error};
use selfsame_base::npy::{NpyHeader, npy_header};
use selfsame_base::{DataError, files};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One line of the `.rows.jsonl` beside an array.
#[derive(Serialize, Deserialize)]
struct RowInfo<'a> {
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<Cow<'a, str>>,
}

fn npy_type(precision: Precision) -> &'static str {
    match precision {
        Precision::F16 => "<f2",
        Precision::F32 => "<f4",
    }
}

fn rows_path(path: &Path) -> PathBuf {
    path.with_extension("rows.jsonl")
}

pub(super) struct Writer {
    array: AtomicFile,
    info: AtomicFile,
    dim: usize,
    precision: Precision,
    rows: usize,
    classes: Vec<String>,
}

impl Writer {
    pub(super) fn create(path: &Path, dim: usize, precision: Precision, classes: &[String]) -> Result<Self, DataError> {
        let mut array = AtomicFile::create(path)?;
        array.write_all(&npy_header(npy_type(precision), &[0, dim])).map_err(|e| write_error(path, e))?;
        Ok(Self {
            array,
            info: AtomicFile::create(&rows_path(path))?,
            dim,
            precision,
            rows: 0,
            classes: classes.to_vec(),
        })
    }

    pub(super) fn push(&mut self, batch: &FeatureTable) -> Result<(), DataError> {
        self.rows += batch.len();
        let bytes: Vec<u8> = match self.precision {
            Precision::F32 => batch.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Precision::F16 => batch.values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        };
        self.array.write_all(&bytes).map_err(|e| write_error(self.array.path(), e))?;
        for (index, id) in batch.ids.iter().enumerate() {
            let label = batch.labels.get(index).copied();
            let class = label.map(|l| Cow::from(&self.classes[l as usize]));
            let info = RowInfo { id: id.into(), label, class };
            let line = serde_json::to_string(&info).expect("strings and numbers always serialize") + "\n";
            self.info.write_all(line.as_bytes()).map_err(|e| write_error(self.info.path(), e))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), DataError> {
        // As long as that of no rows: both take the 128 bytes that any two lengths fit into.
        let of = |rows| npy_header(npy_type(self.precision), &[rows, self.dim]);
        let header = of(self.rows);
        assert_eq!(header.len(), of(0).len(), "a header that grew over the data");
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
    let mut file = BufReader::new(files::open(path).map_err(io)?);
    let header = NpyHeader::read(&mut file).map_err(|e| bad(e.to_string()))?;
    let width = match header.descr.as_str() {
        "<f2" => 2,
        "<f4" => 4,
        "<f8" => 8,
        other => return Err(bad(format!("expected f16, f32 or f64 (`<f2`, `<f4`, `<f8`), found `{other}`"))),
    };
    let [rows, dim] = header.shape[..] else {
        return Err(bad(format!("expected a shape of [rows, dim], found {:?}", header.shape)));
    };
    if header.fortran_order {
        return Err(bad(
            "expected rows one after the other, found Fortran order; save numpy.ascontiguousarray(…)".into()
        ));
    }
    let expected = header.count().and_then(|count| count.checked_mul(width));
    let Some(expected) = expected.filter(|_| dim > 0) else {
        return Err(bad(format!("an impossible shape of [{rows}, {dim}]")));
    };
    // The header may lie; memory is taken for what is there.
    let mut bytes = Vec::new();
    file.take(expected as u64).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() != expected {
        return Err(bad(format!("cut short: [{rows}, {dim}] takes {expected} bytes, found {}", bytes.len())));
    }
    let values = match width {
        2 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        4 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        _ => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
    };
    let mut table = FeatureTable { values, dim, ..FeatureTable::default() };
    read_info(path, rows, &mut table)?;
    Ok(table)
}

fn read_info(path: &Path, rows: usize, table: &mut FeatureTable) -> Result<(), DataError> {
    let info_path = rows_path(path);
    let bad = |problem: String| DataError::sample(info_path.display().to_string(), problem);
    let file = match files::open(&info_path) {
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
        if label >= MOST_CLASSES {
            return Err(bad(format!("line {}: label {label}; labels must lie in 0..2²⁴", index + 1)));
        }
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
