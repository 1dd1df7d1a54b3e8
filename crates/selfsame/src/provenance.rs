//! What was judged on what: what a record says of its data and of its weights, so that figures of different ones are not compared.

use crate::branch::Branch;
use crate::embed::Tables;
use crate::encoder_folder::{EncoderFolder, WEIGHTS, weights_file};
use crate::error::Error;
use crate::import;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::run::{PLAN, Run};
use selfsame_base::DataError;
use selfsame_base::seal::SealedFile;
use selfsame_data::dataset::Dataset;
use selfsame_data::record::DataRecord;
use selfsame_evaluate::overlap::{Overlap, Seen};
use selfsame_evaluate::representation::{DataOrigin, MeasuredOn, WeightsOrigin};

/// What a data set is.
///
/// # Errors
/// If the data are gone.
pub fn data_origin(dataset: &Dataset) -> Result<DataOrigin, DataError> {
    Ok(DataOrigin {
        path: dataset.path().display().to_string(),
        samples: dataset.len(),
        bytes: dataset.size_bytes(),
        fingerprint: dataset.fingerprint()?,
    })
}

/// A run's newest checkpoint, the data that it is judged on and, where they are given, the weights of its encoder.
///
/// # Errors
/// If the data are gone.
pub fn measured_on(plan: &Plan, branch: Option<&Branch>, dataset: &Dataset) -> Result<MeasuredOn, Error> {
    let progress = Run::existing(&plan.out)?.progress()?;
    let weights = |branch: &Branch| {
        let SealedFile { bytes, blake3, .. } = SealedFile::of(WEIGHTS, &weights_file(&branch.encoder));
        WeightsOrigin { bytes, fingerprint: blake3 }
    };
    Ok(MeasuredOn {
        data: data_origin(dataset)?,
        method: trained_by(plan),
        step: progress.map_or(0, |progress| progress.step),
        epochs: progress.map(Progress::epochs),
        weights: branch.map(weights),
    })
}

/// Test samples that are among the labeled training samples too: the same content, as far as it was read since
/// [`Dataset::remember`], or nearly the same to the encoder and, where pixels are in the tables, to the eye.
///
/// # Errors
/// If a representation is not finite.
pub fn labeled_overlap([train, test]: [&Dataset; 2], tables: [&Tables; 2]) -> Result<Overlap, DataError> {
    let contents = |data: &Dataset, tables: &Tables| -> Vec<Option<u64>> {
        tables.indices.iter().map(|&index| data.content(index)).collect()
    };
    let [of_train, of_test] = [contents(train, tables[0]), contents(test, tables[1])];
    Overlap::find(seen(tables[1], &of_test), seen(tables[0], &of_train))
}

fn seen<'a>(Tables { h, raw, .. }: &'a Tables, contents: &'a [Option<u64>]) -> Seen<'a> {
    Seen { h, contents, looks: (!raw.is_empty()).then(|| raw.rows()) }
}

/// The method that trained the encoder of a plan: of one that another tool wrote, the word for that.
pub fn trained_by(plan: &Plan) -> String {
    let imported =
        || EncoderFolder::find(&plan.out).is_ok_and(|folder| folder.is_some_and(|f| !f.config().imported.is_empty()));
    let foreign = !plan.out.join(PLAN).exists() && imported();
    if foreign { import::METHOD.into() } else { plan.method.name.clone() }
}

/// Hashes of the contents that a run's training has read, as far as it has kept them.
pub fn trained_on(plan: &Plan) -> Option<DataRecord> {
    DataRecord::read(&plan.out.join(crate::data_watch::RECORD))
}
