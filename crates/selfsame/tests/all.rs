//! Integration tests of the tensor side.

mod resnet;
mod training;
