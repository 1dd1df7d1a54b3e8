//! Files of weights that other tools wrote.

use crate::told;
use selfsame_interop::import::{About, Imported, parse};
use selfsame_interop::network::{Network, Shapes};

/// Safetensors, or what `torch.save` writes. What reads has the tensors that its network has, and no others.
pub fn weights(bytes: &[u8]) {
    match parse(bytes, &About::default()) {
        Ok(Imported { encoder, report }) => {
            report.lines().iter().for_each(told);
            let network = Network::of(&encoder).expect("a network that was read is known");
            let shapes: Shapes =
                encoder.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
            assert_eq!(shapes, network.shapes(encoder.channels, encoder.size));
            assert!(encoder.tensors.count() <= bytes.len(), "more values than bytes");
        }
        Err(error) => told(error),
    }
}
