//! A tiny run, made once: what is mutated of checkpoints and encoders is compared with it.

use burn::tensor::Device;
use selfsame::catalogue::{Catalogue, Planned};
use selfsame::encoder_folder::EncoderFolder;
use selfsame::events::{Event, Observer};
use selfsame::tensor::parameters::{self, Array};
use selfsame::weights::WeightsOf;
use selfsame_base::npy::npy_header;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

pub struct GoodRun {
    folder: TempDir,
    planned: Planned,
    /// Files of its only checkpoint, sorted, with what they hold.
    pub checkpoint: Vec<(PathBuf, Vec<u8>)>,
    /// The trained encoder.
    pub encoder: BTreeMap<String, Array>,
    /// `config.json` and `encoder.safetensors`.
    pub encoder_folder: [(&'static str, Vec<u8>); 2],
}

struct Quiet;

impl Observer for Quiet {
    fn event(&mut self, _event: &Event) {}
}

impl GoodRun {
    pub fn get() -> &'static Self {
        static RUN: OnceLock<GoodRun> = OnceLock::new();
        RUN.get_or_init(Self::make)
    }

    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (data, run) = (folder.path().join("data.npy"), folder.path().join("run"));
        let pixels = (0..8 * 64).map(|i| (i * 37 % 251) as u8);
        let array: Vec<u8> = npy_header("|u1", &[8, 8, 8]).into_iter().chain(pixels).collect();
        std::fs::write(&data, array).expect("a file can be written");
        let words = [
            &format!("data={}", data.display()),
            &format!("out={}", run.display()),
            "backbone.widths=[2]",
            "projector.hidden=4",
            "projector.out=4",
            "batch_size=4",
            "epochs=1",
            "threads=1",
        ];
        let planned = Catalogue::default().plan(None, &words.map(String::from)).expect("a good plan");
        let method = Catalogue::default().method(&planned.plan).expect("a method that there is");
        (method.pretrain)(&planned.plan, planned.dataset.clone(), &mut Quiet, &AtomicBool::new(false))
            .expect("a tiny run trains");
        let read = |path: &Path| std::fs::read(path).expect("a run's file can be read");
        let encoder_folder = ["config.json", "encoder.safetensors"].map(|name| (name, read(&run.join(name))));
        // Unfinished, a run has its checkpoints alone.
        std::fs::remove_file(run.join("encoder.safetensors")).expect("a file can be removed");
        let checkpoint = std::fs::read_dir(run.join("checkpoints")).expect("checkpoints").next();
        let checkpoint = checkpoint.expect("a checkpoint").expect("a folder").path();
        let files = std::fs::read_dir(checkpoint).expect("a folder of files");
        let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        let checkpoint = files.into_iter().map(|path| (path.clone(), read(&path))).collect();
        let mut good = Self { folder, planned, checkpoint, encoder: BTreeMap::new(), encoder_folder };
        good.encoder = good.load().expect("an intact checkpoint loads");
        good
    }

    /// The encoder of the checkpoint as it lies there now.
    pub fn load(&self) -> Result<BTreeMap<String, Array>, selfsame::Error> {
        let method = Catalogue::default().method(&self.planned.plan)?;
        let branch = (method.branch)(&self.planned.plan, WeightsOf::Trained, &mut |_| {})?;
        Ok(parameters::arrays(&branch.encoder))
    }

    /// Reads a folder with an encoder of these files.
    pub fn load_encoder(folder: &Path) -> Result<BTreeMap<String, Array>, selfsame::Error> {
        Ok(parameters::arrays(&EncoderFolder::open(folder)?.load(&Device::flex())?))
    }

    /// Keeps others from the checkpoint.
    pub fn lock(&self) -> std::sync::MutexGuard<'_, ()> {
        static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
        assert!(self.folder.path().exists(), "the run is there");
        LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
