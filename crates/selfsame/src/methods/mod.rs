//! The methods. One file each, which reads like its paper.

pub mod barlow_twins;
pub mod byol;
pub mod clusterfit;
pub mod cpc;
pub mod deep_belief_network;
pub mod denoising_autoencoder;
pub mod dino;
pub mod inpainting;
pub mod invariance_only;
pub mod masked_autoencoder;
pub mod moco;
pub mod nnclr;
pub mod rotation;
pub mod simclr;
pub mod simsiam;
pub mod swav;
pub mod ts2vec;
pub mod vicreg;
pub mod vime;
