//! Edges: the length of the gradient by Sobel's operator, scaled so that a unit step has length 1, clipped. Borders
//! are repeated.

use super::*;
use crate::augment::vectorized::{unit, vectorized};
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "sobel" }`
    pub struct SobelSettings {
        /// probability of being applied
        p: f32 = 0.2, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "sobel",
    summary: "Every channel becomes its edges",
    modalities: &[Modality::Image],
    keys: SobelSettings::GROUP,
    build: |cx| {
        let settings: SobelSettings = cx.read()?;
        Ok(Box::new(Sobel { p: settings.p }))
    },
};

struct Sobel {
    p: f32,
}

impl Augmentation for Sobel {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        let (height, width) = (view.height, view.width);
        view.spare.resize(view.values.len(), 0.0);
        // Sums down (1 2 1) and differences down (−1 0 1) of the columns, one column more at either side.
        view.line.resize(2 * (width + 2), 0.0);
        let (sums, differences) = view.line.split_at_mut(width + 2);
        let (sums, differences) = (&mut sums[..width + 2], &mut differences[..width + 2]);
        vectorized!({
            let planes = view.values.chunks_exact(height * width);
            for (out, plane) in view.spare.chunks_exact_mut(height * width).zip(planes) {
                for (y, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = |y: usize| &plane[y * width..][..width];
                    let [above, here, below] = [row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1))];
                    for x in 0..width {
                        sums[x + 1] = above[x] + 2.0 * here[x] + below[x];
                        differences[x + 1] = below[x] - above[x];
                    }
                    for line in [&mut *sums, &mut *differences] {
                        (line[0], line[width + 1]) = (line[1], line[width]);
                    }
                    for x in 0..width {
                        let across = sums[x + 2] - sums[x];
                        let down = differences[x] + 2.0 * differences[x + 1] + differences[x + 2];
                        out[x] = unit(0.25 * (across * across + down * down).sqrt());
                    }
                }
            }
        });
        std::mem::swap(&mut view.values, &mut view.spare);
    }
}
