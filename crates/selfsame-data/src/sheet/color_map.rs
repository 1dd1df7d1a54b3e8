//! Values as colors, for spectrograms.

use std::f32::consts::TAU;
use std::sync::LazyLock;

/// Steps of the map.
const STEPS: usize = 256;

/// From dark blue to bright yellow by way of red, in Oklab (Ottosson 2020): lightness rises evenly, so that equal steps of a value
/// look equal, in gray and to eyes that do not tell red from green too.
static MAP: LazyLock<[[f32; 3]; STEPS]> =
    LazyLock::new(|| std::array::from_fn(|i| color(i as f32 / (STEPS - 1) as f32)));

/// The color of a value from 0, low, to 1, high.
pub(super) fn mapped(value: f32) -> [f32; 3] {
    MAP[(value.clamp(0.0, 1.0) * (STEPS - 1) as f32).round() as usize].map(|v| v.clamp(0.0, 1.0))
}

/// sRGB of lightness, chroma and hue that `share` of the way.
fn color(share: f32) -> [f32; 3] {
    let lightness = 0.16 + 0.76 * share;
    let chroma = 0.055 + 0.1 * (share * TAU / 2.0).sin();
    let hue = (275.0 + 190.0 * share) / 360.0 * TAU;
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (lightness - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (lightness - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    let linear = [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_93 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086_3 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ];
    linear.map(|v| if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CIE L* of sRGB: a lightness that the map is not made from.
    fn lightness(rgb: [f32; 3]) -> f32 {
        let linear = rgb.map(|v| if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) });
        let luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
        if luminance > 0.008_856 { 116.0 * luminance.cbrt() - 16.0 } else { 903.3 * luminance }
    }

    #[test]
    fn every_color_can_be_shown_and_lightness_rises_evenly() {
        let colors: Vec<[f32; 3]> = (0..STEPS).map(|i| color(i as f32 / 255.0)).collect();
        assert!(colors.iter().flatten().all(|v| (-1e-3..=1.001).contains(v)), "{colors:?}");
        let steps: Vec<f32> = colors.windows(17).map(|w| lightness(w[16]) - lightness(w[0])).collect();
        let mean = steps.iter().sum::<f32>() / steps.len() as f32;
        assert!(steps.iter().all(|step| (0.6..1.5).contains(&(step / mean))), "{steps:?}");
        assert_eq!([mapped(-1.0), mapped(2.0)], [mapped(0.0), mapped(1.0)]);
    }
}
