//! Integration tests of the tensor side.

mod ablations;
mod methods;
mod resnet;
mod training;
mod vit;
