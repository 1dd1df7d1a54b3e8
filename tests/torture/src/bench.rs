//! What all trials share: the binary, where they happen, and what an undisturbed run gives.

use crate::ledger::Ledger;
use crate::product::{Failure, Place, Session};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Side of the tiny images, px, and how many there are: four batches.
const SIDE: usize = 8;
pub const SAMPLES: usize = 32;

pub struct Bench {
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub ledger: Ledger,
    pub short: bool,
    /// [`SAMPLES`] gray images of two classes.
    pub data: PathBuf,
}

impl Bench {
    pub fn new(folder: &Path, binary: &Path, short: bool, jobs: usize) -> Result<Self, Failure> {
        let wrong = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::create_dir_all(folder).map_err(|e| wrong(folder, e))?;
        // What the kernel says of open files begins with the real path.
        let folder = folder.canonicalize().map_err(|e| wrong(folder, e))?;
        let ledger = Ledger::open(&folder, binary, jobs)?;
        let bench = Self { binary: binary.to_owned(), data: folder.join("data.npy"), folder, ledger, short };
        let pixel = |i: usize| (i / (SIDE * SIDE) % 2 * 100) as u8 + draw("pixel", i, 100) as u8;
        let pixels: Vec<u8> = (0..SAMPLES * SIDE * SIDE).map(pixel).collect();
        write_npy(&bench.data, "|u1", &[SAMPLES, SIDE, SIDE], &pixels)?;
        let labels: Vec<u8> = (0..SAMPLES).map(|i| (i % 2) as u8).collect();
        write_npy(&bench.folder.join("data_labels.npy"), "|u1", &[SAMPLES], &labels)?;
        Ok(bench)
    }

    /// `many`, or `few` in the short form.
    pub fn count(&self, many: usize, few: usize) -> usize {
        if self.short { few } else { many }
    }

    /// A new place of this name.
    pub fn place(&self, name: &str) -> Result<Place<'_>, Failure> {
        Place::fresh(&self.binary, self.folder.join(name))
    }

    /// A place in which these words were carried out undisturbed.
    pub fn undisturbed(&self, name: &str, words: &[String]) -> Result<Good<'_>, Failure> {
        let place = self.place(&format!("{name}-undisturbed"))?;
        let session = place.run(words)?;
        session.succeeded()?;
        let encoder = place.run_folder().encoder().ok_or("an undisturbed run left no encoder")?;
        Ok(Good { place, session, encoder })
    }

    /// Makes a trial in a place of its own, which stays if the trial fails.
    pub fn in_place<'a>(
        &'a self,
        name: &str,
        make: impl FnOnce(Place<'a>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let place = self.place(name)?;
        let folder = place.folder.clone();
        make(place)?;
        std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))
    }
}

/// What an undisturbed run gave.
pub struct Good<'a> {
    pub place: Place<'a>,
    pub session: Session,
    pub encoder: blake3::Hash,
}

/// The names of `count` trials.
pub fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|trial| trial.to_string()).collect()
}

/// A number below `below` that these words always draw.
pub fn draw(what: &str, index: usize, below: u64) -> u64 {
    let hash = blake3::hash(format!("{what} {index}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes")) % below.max(1)
}

/// Writes an array as NumPy does.
pub fn write_npy(path: &Path, kind: &str, shape: &[usize], data: &[u8]) -> Result<(), Failure> {
    let axes: String = shape.iter().map(|axis| format!("{axis}, ")).collect();
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({axes}), }}");
    let header = format!("{text:<117}\n");
    let written = std::fs::File::create(path).and_then(|mut file| {
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(data)
    });
    written.map_err(|e| format!("{}: {e}", path.display()))
}
