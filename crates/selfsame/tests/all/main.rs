//! Integration tests of the tensor side.

mod ablations;
mod convnext;
mod divergence;
mod doors;
mod environment;
mod import;
mod kept;
mod methods;
mod not_finite;
mod outputs;
mod plans;
mod recorded;
mod resnet;
mod signals_learnt;
mod sounds;
mod storage;
mod training;
mod vectors;
mod vit;
