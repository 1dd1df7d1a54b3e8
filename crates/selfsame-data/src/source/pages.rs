//! Every page of every image file as a sample of its own (`data.pages = "all"`).

use super::{Encoded, IndexedSource, Stat, hash_key};
use crate::decode;
use crate::threads;
use rayon::prelude::*;
use selfsame_base::DataError;
use std::path::PathBuf;

/// A source of files, page by page.
pub struct Pages {
    files: Box<dyn IndexedSource>,
    /// Where the pages of each file end in the list of samples, ascending.
    ends: Vec<usize>,
}

impl Pages {
    /// Counts the pages of all files. What cannot be read has one, which is a bad sample.
    pub fn open(files: Box<dyn IndexedSource>) -> Result<Self, DataError> {
        let count = |index| match files.get(index) {
            Ok(Encoded::File(file)) => Ok(decode::pages(&file)),
            Ok(_) | Err(DataError::Sample { .. }) => Ok(1),
            Err(error) => Err(error),
        };
        let counts: Vec<usize> =
            threads::pool(0)?.install(|| (0..files.len()).into_par_iter().map(count).collect::<Result<_, _>>())?;
        let mut end = 0;
        let ends = counts.into_iter().map(|count| {
            end += count;
            end
        });
        Ok(Self { ends: ends.collect(), files })
    }

    /// The file of a sample, its page, and how many the file has.
    fn page(&self, index: usize) -> (usize, usize, usize) {
        let file = self.ends.partition_point(|&end| end <= index);
        let start = if file == 0 { 0 } else { self.ends[file - 1] };
        (file, index - start, self.ends[file] - start)
    }
}

impl IndexedSource for Pages {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let (file, page, count) = self.page(index);
        match self.files.get(file)? {
            Encoded::File(file) if count > 1 => Ok(Encoded::Page(file, page)),
            other => Ok(other),
        }
    }

    fn stat(&self, index: usize) -> Stat {
        self.files.stat(self.page(index).0)
    }

    fn id(&self, index: usize) -> String {
        let (file, page, count) = self.page(index);
        let id = self.files.id(file);
        if count > 1 { format!("{id}[{page}]") } else { id }
    }

    fn key(&self, index: usize) -> u64 {
        let (file, _, count) = self.page(index);
        if count > 1 { hash_key(self.id(index).as_bytes()) } else { self.files.key(file) }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.files.label(self.page(index).0)
    }

    fn classes(&self) -> &[String] {
        self.files.classes()
    }

    fn notes(&self) -> &[String] {
        self.files.notes()
    }

    fn file(&self, index: usize) -> usize {
        self.page(index).0
    }

    fn file_path(&self, index: usize) -> Option<PathBuf> {
        self.files.file_path(self.page(index).0)
    }
}
