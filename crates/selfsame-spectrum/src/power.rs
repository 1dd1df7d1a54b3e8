//! Power spectra of frames.

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};
use std::fmt;
use std::sync::Arc;

/// Makes power spectra of frames of `N` steps.
#[derive(Clone)]
pub struct PowerSpectrum(Arc<dyn RealToComplex<f32>>);

/// A frame, and what is needed to transform it.
#[derive(Debug)]
pub struct Frame {
    /// `[N]`: the steps. Transforming them overwrites them.
    pub steps: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    powers: Vec<f32>,
}

impl PowerSpectrum {
    /// Of frames of `length` steps.
    pub fn new(length: usize) -> Self {
        Self(RealFftPlanner::new().plan_fft_forward(length))
    }

    /// A frame of zeros.
    pub fn frame(&self) -> Frame {
        let spectrum = self.0.make_output_vec();
        Frame {
            steps: self.0.make_input_vec(),
            scratch: self.0.make_scratch_vec(),
            powers: vec![0.0; spectrum.len()],
            spectrum,
        }
    }

    /// `P[k] = |Σ_{n<N} x[n] exp(−2πi kn/N)|²` of the frame's steps `x`, `k = 0..=⌊N/2⌋`.
    pub fn powers<'a>(&self, frame: &'a mut Frame) -> &'a [f32] {
        let Frame { steps, spectrum, scratch, powers } = frame;
        self.0.process_with_scratch(steps, spectrum, scratch).expect("buffers of the transform's own size");
        powers.iter_mut().zip(spectrum).for_each(|(power, value)| *power = value.norm_sqr());
        powers
    }
}

impl fmt::Debug for PowerSpectrum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PowerSpectrum").field(&self.0.len()).finish()
    }
}
