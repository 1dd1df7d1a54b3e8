//! Rotation about the center, counter-clockwise: by quarter turns, which only move pixels, or by an angle, which
//! interpolates linearly between them.
//!
//! The quarter turn that was drawn is also the target of rotation prediction (Gidaris et al. 2018,
//! <https://arxiv.org/abs/1803.07728>).

use super::*;
use crate::augment::vectorized::vectorized;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "rotate" }`
    pub struct RotateSettings {
        /// exact turns of 90 degrees, or any angle
        by: String = "quarter_turns", Kind::Word(&["quarter_turns", "angle"]);
        /// angle, where by = "angle"
        degrees: [f32; 2] = [-30.0, 30.0], Kind::Interval(Range::Within(-360.0, 360.0));
        /// value of the corners that an angle uncovers, with data.range as 0..1
        fill: f32 = 0.0, Kind::Number(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "rotate",
    summary: "Counter-clockwise rotation by 0, 90, 180 or 270 degrees, or by an angle",
    modalities: &[Modality::Image],
    keys: RotateSettings::GROUP,
    build: |cx| {
        let settings: RotateSettings = cx.read()?;
        let p = settings.p;
        Ok(match settings.by.as_str() {
            "angle" => Box::new(Angle { degrees: settings.degrees, fill: settings.fill, p }),
            _ => Box::new(QuarterTurns { p }),
        })
    },
};

pub(in crate::augment) struct QuarterTurns {
    pub p: f32,
}

impl Augmentation for QuarterTurns {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["quarter_turns"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([rng.below(4) as f32]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let (height, width) = (view.height, view.width);
        match draw.values[0] as usize {
            2 => view.planes_mut().for_each(<[f32]>::reverse),
            turns @ (1 | 3) => {
                view.spare.resize(view.values.len(), 0.0);
                let planes = view.values.chunks_exact(height * width);
                for (out, plane) in view.spare.chunks_exact_mut(height * width).zip(planes) {
                    // out[i][j] = in[j][width − 1 − i], or upside down and mirrored for three turns.
                    for (i, row) in out.chunks_exact_mut(height).enumerate() {
                        let column = if turns == 1 { width - 1 - i } else { i };
                        let values = plane[column..].iter().step_by(width);
                        row.iter_mut().zip(values).for_each(|(out, v)| *out = *v);
                        if turns == 3 {
                            row.reverse();
                        }
                    }
                }
                std::mem::swap(&mut view.values, &mut view.spare);
                (view.height, view.width) = (width, height);
            }
            _ => {}
        }
    }

    fn output_size(&self, size: Size, draw: &Draw) -> Size {
        match draw.values[0] as usize % 2 {
            1 => Size { height: size.width, width: size.height },
            _ => size,
        }
    }
}

struct Angle {
    degrees: [f32; 2],
    fill: f32,
    p: f32,
}

impl Augmentation for Angle {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["degrees"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([rng.uniform(self.degrees[0], self.degrees[1])]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let (height, width, fill) = (view.height, view.width, self.fill);
        let (sin, cos) = draw.values[0].to_radians().sin_cos();
        let (middle_y, middle_x) = ((height as f32 - 1.0) / 2.0, (width as f32 - 1.0) / 2.0);
        view.spare.resize(view.values.len(), 0.0);
        let planes = view.values.chunks_exact(height * width);
        vectorized!({
            for (out, plane) in view.spare.chunks_exact_mut(height * width).zip(planes) {
                let at = |y: isize, x: isize| match (usize::try_from(y), usize::try_from(x)) {
                    (Ok(y), Ok(x)) if y < height && x < width => plane[y * width + x],
                    _ => fill,
                };
                for (i, row) in out.chunks_exact_mut(width).enumerate() {
                    let dy = i as f32 - middle_y;
                    for (j, out) in row.iter_mut().enumerate() {
                        let dx = j as f32 - middle_x;
                        let (y, x) = (middle_y + cos * dy + sin * dx, middle_x + cos * dx - sin * dy);
                        let (top, left) = (y.floor(), x.floor());
                        let (down, right) = (y - top, x - left);
                        let (top, left) = (top as isize, left as isize);
                        let above = at(top, left) * (1.0 - right) + at(top, left + 1) * right;
                        let below = at(top + 1, left) * (1.0 - right) + at(top + 1, left + 1) * right;
                        *out = above * (1.0 - down) + below * down;
                    }
                }
            }
        });
        std::mem::swap(&mut view.values, &mut view.spare);
    }
}
