//! Where the tokens of a transformer stand: fixed positions, and learned ones for views of another size.

/// Fixed positions of a grid `[rows, columns]`, row by row, `[tokens, dim]`: sines and cosines, with wavelengths from 2π to
/// 2π · 10,000, of the column in the first half and of the row in the second (He et al. 2022, after Vaswani et al. 2017).
///
/// # Panics
/// If `dim` is not a multiple of 4.
pub(super) fn sincos_positions(grid: [usize; 2], dim: usize) -> Vec<f32> {
    assert!(dim.is_multiple_of(4), "{dim} in four parts");
    let mut positions = Vec::with_capacity(grid[0] * grid[1] * dim);
    for (row, column) in (0..grid[0]).flat_map(|row| (0..grid[1]).map(move |column| (row, column))) {
        [column, row].into_iter().for_each(|at| positions.extend(sincos(at, dim / 2)));
    }
    positions
}

/// The same of times, in all of `dim`.
///
/// # Panics
/// If `dim` is not a multiple of 2.
pub(super) fn sincos_in_time(tokens: usize, dim: usize) -> Vec<f32> {
    assert!(dim.is_multiple_of(2), "{dim} in two parts");
    (0..tokens).flat_map(|at| sincos(at, dim)).collect()
}

/// Sines, then cosines, of one place.
fn sincos(at: usize, dim: usize) -> impl Iterator<Item = f32> {
    let half = dim / 2;
    let angle = move |i: usize| at as f64 / 10_000f64.powf(i as f64 / half as f64);
    (0..half).map(move |i| angle(i).sin() as f32).chain((0..half).map(move |i| angle(i).cos() as f32))
}

/// The linear map `[tokens to, tokens from]` that resamples a grid bicubically: PyTorch's `interpolate` without
/// antialiasing, as DINO's reference resamples positions for its small crops.
pub(super) fn resampling(from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let [rows, columns] = [0, 1].map(|axis| cubic_weights(from[axis], to[axis]));
    let mut weights = Vec::with_capacity(to[0] * to[1] * from[0] * from[1]);
    for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
        weights.extend(row.iter().flat_map(|y| column.iter().map(move |x| (y * x) as f32)));
    }
    weights
}

/// Weights `[to][from]` of cubic convolution with a = −0.75; pixels beyond the edge repeat it.
fn cubic_weights(from: usize, to: usize) -> Vec<Vec<f64>> {
    const A: f64 = -0.75;
    let kernel = |t: f64| match t.abs() {
        t if t <= 1.0 => ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0,
        t if t < 2.0 => A * (((t - 5.0) * t + 8.0) * t - 4.0),
        _ => 0.0,
    };
    let row = |i: usize| {
        let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let mut weights = vec![0.0; from];
        for tap in -1..=2 {
            let pixel = at.floor() + f64::from(tap);
            weights[pixel.clamp(0.0, from as f64 - 1.0) as usize] += kernel(at - pixel);
        }
        weights
    };
    (0..to).map(row).collect()
}
