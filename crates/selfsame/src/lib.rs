//! Selfsame: representations of high-dimensional data, learned without labels.
//!
//! The tensor side of the house, and the only crate that names the tensor library. A [`method`] is an encoder with
//! heads and an [`objective`]; a [`catalogue`] makes a [`plan`] of a recipe; the [`trainer`] takes the plan and a data set to
//! a [`run`] folder; [`embed`] takes the encoder to features, which `selfsame-evaluate` judges.

pub mod backbone;
pub mod backbones;
pub mod batch;
pub mod branch;
pub mod catalogue;
pub mod checkpoint;
mod data_watch;
pub mod decoder;
pub mod device;
pub mod diagnose;
pub mod divergence;
pub mod embed;
mod embedder;
pub mod encoder_folder;
pub mod error;
pub mod events;
pub mod finetune;
pub mod fitted_recipe;
pub mod import;
pub mod inference;
pub mod init;
pub mod judge;
pub mod known;
pub mod labels;
pub mod learner;
pub mod memory;
pub mod method;
pub mod methods;
pub mod objective;
pub mod optim;
pub mod outputs;
mod pace;
pub mod picture;
pub mod plan;
pub mod predictor;
mod pretrain;
pub mod probe;
pub mod progress;
pub mod projector;
pub mod prototypes;
pub mod provenance;
pub mod queue;
pub mod rbm;
pub mod require;
pub mod run;
pub mod selftest;
pub mod step;
pub mod teacher;
pub mod tensor;
mod tensorboard;
pub mod train_settings;
pub mod trainer;
pub mod weights;

pub use embedder::Embedder;
pub use error::Error;
pub use predictor::Predictor;
pub use pretrain::Pretrain;
