//! Judging features: scores, diagnosis, findings. Sees [`features::FeatureTable`]s only, never pixels or models.
//!
//! | question | module | file |
//! | --- | --- | --- |
//! | How well do the representations tell the classes apart? | [`protocol`] → [`scores`] | `scores.json` |
//! | And labels, any number per sample, or numbers? | [`targets`] → [`target_protocol`] → [`scores`] | `scores.json` |
//! | Has the representation collapsed, stayed untrained, found a shortcut? | [`measurements`] → [`verdict`] → [`diagnosis`] | `diagnosis.json` |
//! | What has it become invariant to? | [`invariance`] | `invariance.json` |
//! | What can be seen of single samples: a map, neighbors, the unusual, copies? | [`findings`] | `findings.json` |
//! | How many labels does pretraining save? | [`finetuning`] | `finetune.json` |
//! | What does a classifier say of new samples, and how surely? | [`calibration`] → [`predictions`] | a table |
//! | What does a grid of runs answer? | [`study`] | `study.json` |
//!
//! Each file is a record that is written and read by one type, and tells its format; keys that a version does not know are
//! passed over, and another format is refused.
//!
//! Every result is the same bits for any number of threads: work is split by fixed blocks, never by how many run. Features
//! that hold a NaN or an infinity are an error everywhere, with the sample that holds it.

pub mod advice;
pub mod bootstrap;
pub mod calibration;
mod chance;
pub mod collapse;
pub mod collapse_watch;
pub mod columns;
mod conclusion;
pub mod diagnosis;
mod duplicates;
mod eigen;
pub mod features;
pub mod findings;
pub mod finetuning;
pub mod groups;
pub mod invariance;
mod json;
pub mod kmeans;
pub mod knn;
pub mod label_subsets;
pub mod lidar;
pub mod linear_probe;
mod matmul;
pub mod measurements;
pub mod measures;
pub mod metadata;
mod neighborhoods;
pub mod overlap;
pub mod pca;
pub mod predictions;
pub mod protocol;
pub mod representation;
pub mod retrieval;
mod ridge;
mod sample_map;
pub mod scores;
mod scores_table;
pub mod settings;
pub mod shortcut;
pub mod sketch;
pub mod study;
pub mod table;
mod tally;
pub mod target_protocol;
pub mod targets;
#[cfg(test)]
mod testing;
pub mod training;
pub mod tsne;
pub mod verdict;
