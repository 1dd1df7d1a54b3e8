//! JSON that people can read too: objects line by line, lists of numbers on one line, lists of objects with one object per
//! line. Each record tells its format, so that one of another version is not misread.

use selfsame_base::{DataError, atomic, files};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};
use std::path::Path;

/// A record as it stands in its file.
#[derive(Serialize)]
struct Versioned<'a, T> {
    format: u32,
    #[serde(flatten)]
    record: &'a T,
}

/// Writes `record`, whose format is `format`, to `path`, whole or not at all.
pub(crate) fn write(path: &Path, format: u32, record: &impl Serialize) -> Result<(), DataError> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Lines::default());
    Versioned { format, record }.serialize(&mut serializer).expect("plain values serialize");
    // Within strings line ends are escaped, so these are the formatter's own.
    let text = String::from_utf8(text).expect("JSON is UTF-8").replace(", \n", ",\n") + "\n";
    atomic::write(path, text.as_bytes())
}

/// Reads what [`write`] wrote; keys that this version does not know are passed over.
///
/// # Errors
/// Also if it has another format.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, format: u32) -> Result<T, DataError> {
    #[derive(Deserialize)]
    struct Format {
        /// Nothing told it before there were formats.
        #[serde(default)]
        format: u32,
    }
    let bytes = files::read(path, files::MOST_TEXT_BYTES).map_err(|cause| DataError::io(path, cause))?;
    let bad = |problem: String| DataError::sample(path.display().to_string(), problem);
    let parse = |error: serde_json::Error| bad(error.to_string());
    let Format { format: found } = serde_json::from_slice(&bytes).map_err(parse)?;
    if found != format {
        let problem = "use the selfsame that wrote it, or make it anew";
        return Err(bad(format!("has format {found}, and this version reads format {format}; {problem}")));
    }
    serde_json::from_slice(&bytes).map_err(parse)
}

/// [`PrettyFormatter`] whose arrays stay on a line, but for the objects in them, each of which has its own.
#[derive(Default)]
struct Lines {
    pretty: PrettyFormatter<'static>,
    /// Objects around that are written line by line.
    depth: usize,
    /// Arrays around.
    arrays: usize,
    /// Objects around that lie in an array.
    inner: usize,
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays += 1;
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.arrays -= 1;
        writer.write_all(b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.arrays == 0 {
            self.depth += 1;
            return self.pretty.begin_object(writer);
        }
        if self.arrays == 1 && self.inner == 0 {
            writer.write_all(b"\n")?;
            (0..=self.depth).try_for_each(|_| writer.write_all(b"  "))?;
        }
        self.inner += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.arrays == 0 {
            self.depth -= 1;
            return self.pretty.end_object(writer);
        }
        self.inner -= 1;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match (self.arrays, first) {
            (0, _) => self.pretty.begin_object_key(writer, first),
            (_, true) => Ok(()),
            (_, false) => writer.write_all(b", "),
        }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.arrays == 0 { self.pretty.end_object_value(writer) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[test]
    fn lists_stay_on_their_line_and_objects_in_them_have_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let value = json!({ "a": [1, [2.5, 3]], "b": { "c": [], "d": [{ "e": 1, "f": [{}] }, { "g": {} }] }, "h": {} });
        write(&path, 3, &value).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = concat!(
            "{\n  \"format\": 3,\n  \"a\": [1, [2.5, 3]],\n  \"b\": {\n    \"c\": [],\n    \"d\": [\n      {\"e\": 1, \"f\": [{}]},\n",
            "      {\"g\": {}}]\n  },\n  \"h\": {}\n}\n"
        );
        assert_eq!(text, expected);
        let read = |format| read::<BTreeMap<String, Value>>(&path, format);
        assert!(read(3).unwrap().iter().filter(|(key, _)| *key != "format").eq(value.as_object().unwrap()));
        let error = read(4).unwrap_err().to_string();
        assert!(error.contains("a.json: has format 3, and this version reads format 4"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_one_line_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        assert!(read::<Value>(&path, 1).unwrap_err().to_string().contains("a.json: No such file"));
        std::fs::write(&path, "{\n\"a\": ").unwrap();
        let error = read::<Value>(&path, 1).unwrap_err().to_string();
        assert!(error.contains("a.json: EOF") && !error.contains('\n'), "{error}");
    }
}
