//! How long the two heaviest steps of an evaluation take, on random features: exact kNN of 10,000 against 60,000 rows of
//! 512, and maps of 10,000 rows of 128, by PCA and by t-SNE.
//!
//! `cargo run --release -p selfsame-evaluate --example evaluation_speed`

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_evaluate::features::Rows;
use selfsame_evaluate::knn::Neighbors;
use selfsame_evaluate::pca::Pca;
use selfsame_evaluate::tsne::tsne;
use std::time::Instant;

fn normals(rows: usize, dim: usize) -> Vec<f32> {
    let mut rng = StreamRng::new(0, Purpose::Survey, rows as u64, 0, 0);
    (0..rows * dim).map(|_| rng.normal()).collect()
}

/// Largest resident memory so far, MiB, where the system tells.
fn peak_mb() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? / 1024)
}

fn main() {
    let features = normals(10_000, 128);
    let rows = Rows::new(&features, 128);
    for _ in 0..3 {
        let start = Instant::now();
        let map = Pca::fit(rows, 2).expect("finite").apply(rows);
        println!("PCA map of 10,000×128: {:.3} s, {} values", start.elapsed().as_secs_f64(), map.len());
    }
    let start = Instant::now();
    let map = tsne(rows).expect("finite").map_or(0, |map| map.len());
    println!("t-SNE map of 10,000×128: {:.1} s, {map} values", start.elapsed().as_secs_f64());
    let (queries, bank) = (normals(10_000, 512), normals(60_000, 512));
    for k in [20, 200, 20, 200] {
        let start = Instant::now();
        let found = Neighbors::find(Rows::new(&queries, 512), Rows::new(&bank, 512), k).expect("finite");
        println!("exact kNN, k = {k}: {:.2} s, {} neighbors", start.elapsed().as_secs_f64(), found.indices.len());
    }
    println!("peak memory: {:?} MiB", peak_mb());
}
