//! Judging features. Sees [`FeatureTable`](crate::features::FeatureTable)s only, never a model.
//!
//! Every result is the same bits for any number of threads: work is split by fixed blocks, never by how many run.

pub mod bootstrap;
pub mod collapse;
pub mod diagnosis;
pub mod finetuning;
pub mod invariance;
mod json;
pub mod kmeans;
pub mod knn;
pub mod labelled;
pub mod lidar;
pub mod linear_probe;
mod matmul;
pub mod pca;
pub mod protocol;
pub mod retrieval;
mod ridge;
pub mod shortcut;
mod symmetric;
pub mod tsne;
pub mod verdict;
