//! Integration tests of the tensor side.

mod ablations;
mod methods;
mod plans;
mod recorded;
mod resnet;
mod training;
mod vit;
