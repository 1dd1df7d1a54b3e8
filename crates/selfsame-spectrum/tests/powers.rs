//! Power spectra against the sum that they are, in f64.

use selfsame_spectrum::PowerSpectrum;
use std::f64::consts::TAU;

#[test]
fn powers_are_those_of_the_sum() {
    for length in [2usize, 3, 8, 30, 512] {
        let spectrum = PowerSpectrum::new(length);
        let mut frame = spectrum.frame();
        let steps: Vec<f64> = (0..length).map(|n| ((n * n) as f64 * 0.7).sin() + 0.3).collect();
        // Twice: what a frame was used for before leaves nothing.
        for _ in 0..2 {
            frame.steps.iter_mut().zip(&steps).for_each(|(to, &from)| *to = from as f32);
            let powers = spectrum.powers(&mut frame);
            assert_eq!(powers.len(), length / 2 + 1);
            for (k, &power) in powers.iter().enumerate() {
                let angle = |n: usize| TAU * (k * n % length) as f64 / length as f64;
                let real: f64 = steps.iter().enumerate().map(|(n, x)| x * angle(n).cos()).sum();
                let imaginary: f64 = steps.iter().enumerate().map(|(n, x)| x * angle(n).sin()).sum();
                let expected = real * real + imaginary * imaginary;
                assert!((f64::from(power) - expected).abs() < 1e-5 * (1.0 + expected) * length as f64, "{length} {k}");
            }
        }
    }
}
