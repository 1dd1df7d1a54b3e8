//! Random numbers for tests.

use selfsame_base::rng::{Purpose, StreamRng};

pub(crate) fn rng(stream: u64) -> StreamRng {
    StreamRng::new(11, Purpose::Survey, stream, 0, 0)
}

/// `[rows, dim]` of standard normal numbers.
pub(crate) fn normals(rows: usize, dim: usize, stream: u64) -> Vec<f32> {
    let mut rng = rng(stream);
    (0..rows * dim).map(|_| rng.normal()).collect()
}
