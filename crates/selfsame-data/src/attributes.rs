//! Trivial attributes of images: what can be read off an image without knowing what is in it.
//!
//! Views of one image often share them, so a network that has learned nothing else can still match the views of a sample. An
//! evaluation measures, kind by kind, how much of a representation they explain.
//!
//! | kind | attributes |
//! | --- | --- |
//! | color | the mean of all channels; of each channel its mean, its standard deviation and five quantiles |
//! | border | of each channel the mean and the standard deviation over the outer tenth: a frame, or the background |
//! | low frequencies | of each channel its slopes in x and y, and its change from the center outwards |
//! | a corner (four kinds) | means of 2 × 2 blocks of the corner's third, of each channel: a watermark, a time stamp |
//! | periodic pattern | of the mean of the channels, the amplitude by frequency (4) and orientation (8): stripes, a grid, a screen |

use std::f64::consts::PI;

/// Quantiles of a channel that count as trivial.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// Blocks along a side of a corner.
const BLOCKS: usize = 2;
/// Side to which images are averaged before their frequencies are looked at, at most.
const SPECTRUM_SIDE: usize = 32;
/// Frequencies and orientations that are told apart.
const RINGS: usize = 4;
const SECTORS: usize = 8;

/// Name and number of attributes of each kind, in the order of [`attributes`], for so many channels.
pub fn kinds(channels: usize) -> [(&'static str, usize); 8] {
    let corner = BLOCKS * BLOCKS * channels;
    [
        ("color", 1 + (2 + QUANTILES.len()) * channels),
        ("border", 2 * channels),
        ("low frequencies", 3 * channels),
        ("upper left corner", corner),
        ("upper right corner", corner),
        ("lower left corner", corner),
        ("lower right corner", corner),
        ("periodic pattern", RINGS * SECTORS),
    ]
}

/// Trivial attributes of an image; as many for every image of so many channels. See the [module](self).
///
/// # Shapes
/// `pixels`: `shape = [height, width, channels]`
pub fn attributes(pixels: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let image = Image { pixels, shape };
    let mut all = color(&image);
    all.extend(border(&image));
    all.extend(low_frequencies(&image));
    all.extend(corners(&image));
    all.extend(periodic(&image));
    all.into_iter().map(|value| value as f32).collect()
}

struct Image<'a> {
    pixels: &'a [f32],
    shape: [usize; 3],
}

impl Image<'_> {
    fn at(&self, y: usize, x: usize, channel: usize) -> f64 {
        let [_, width, channels] = self.shape;
        f64::from(self.pixels[(y * width + x) * channels + channel])
    }

    /// The pixels of a channel where `chosen` holds.
    fn channel(&self, channel: usize, chosen: impl Fn(usize, usize) -> bool) -> Vec<f64> {
        let [height, width, _] = self.shape;
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        places.filter(|&(y, x)| chosen(y, x)).map(|(y, x)| self.at(y, x, channel)).collect()
    }

    /// The mean of a channel, or of all, over rows and columns, each from and up to.
    fn block(&self, channel: Option<usize>, rows: [usize; 2], columns: [usize; 2]) -> f64 {
        let channels = channel.map_or(0..self.shape[2], |channel| channel..channel + 1);
        let (mut sum, mut count) = (0.0, 0.0f64);
        for (y, x) in (rows[0]..rows[1]).flat_map(|y| (columns[0]..columns[1]).map(move |x| (y, x))) {
            sum += channels.clone().map(|channel| self.at(y, x, channel)).sum::<f64>();
            count += channels.len() as f64;
        }
        sum / count.max(1.0)
    }
}

fn mean_and_deviation(values: &[f64]) -> [f64; 2] {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    [mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()]
}

fn color(image: &Image) -> Vec<f64> {
    let [height, width, channels] = image.shape;
    let mut all = vec![image.block(None, [0, height], [0, width])];
    for channel in 0..channels {
        let mut values = image.channel(channel, |_, _| true);
        all.extend(mean_and_deviation(&values));
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().saturating_sub(1) as f64;
        all.extend(QUANTILES.map(|q| values.get((q * last).round() as usize).copied().unwrap_or(0.0)));
    }
    all
}

fn border(image: &Image) -> Vec<f64> {
    let [height, width, channels] = image.shape;
    let thick = |side: usize| side.div_ceil(10);
    let outside = |at: usize, side: usize| at < thick(side) || at + thick(side) >= side;
    let of = |channel| mean_and_deviation(&image.channel(channel, |y, x| outside(y, height) || outside(x, width)));
    (0..channels).flat_map(of).collect()
}

/// Coefficients of `x`, `y` and `x² + y²`, which are orthogonal over the grid but for the mean of the last; `x` and `y` run from
/// −1 to 1.
fn low_frequencies(image: &Image) -> Vec<f64> {
    let [height, width, channels] = image.shape;
    let along = |at: usize, side: usize| (2 * at + 1) as f64 / side as f64 - 1.0;
    let places: Vec<[f64; 2]> =
        (0..height).flat_map(|y| (0..width).map(move |x| [along(x, width), along(y, height)])).collect();
    let out: Vec<f64> = places.iter().map(|[x, y]| x * x + y * y).collect();
    let mean = out.iter().sum::<f64>() / out.len().max(1) as f64;
    let waves = [
        places.iter().map(|place| place[0]).collect(),
        places.iter().map(|place| place[1]).collect(),
        out.iter().map(|v| v - mean).collect::<Vec<f64>>(),
    ];
    let of = |channel| {
        let values = image.channel(channel, |_, _| true);
        waves.each_ref().map(|wave| {
            let energy: f64 = wave.iter().map(|w| w * w).sum();
            wave.iter().zip(&values).map(|(w, v)| w * v).sum::<f64>() / energy.max(f64::MIN_POSITIVE)
        })
    };
    (0..channels).flat_map(of).collect()
}

fn corners(image: &Image) -> Vec<f64> {
    let [height, width, channels] = image.shape;
    let edges = |side: usize, far: bool, block: usize| {
        let third = side.div_ceil(3);
        let start = if far { side - third } else { 0 };
        [0, 1].map(|end| start + (block + end) * third / BLOCKS)
    };
    let mut all = Vec::with_capacity(4 * BLOCKS * BLOCKS * channels);
    for (bottom, right) in [(false, false), (false, true), (true, false), (true, true)] {
        for (row, column) in (0..BLOCKS).flat_map(|row| (0..BLOCKS).map(move |column| (row, column))) {
            let (rows, columns) = (edges(height, bottom, row), edges(width, right, column));
            all.extend((0..channels).map(|channel| image.block(Some(channel), rows, columns)));
        }
    }
    all
}

/// Root of the share of the power in each ring of frequencies and sector of orientations, of the mean of the channels under a
/// window that fades toward the edges.
fn periodic(image: &Image) -> Vec<f64> {
    let [height, width, _] = image.shape;
    let side = height.min(width).min(SPECTRUM_SIDE);
    let edge = |at: usize, all: usize| at * all / side;
    let cells = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
    let mut cells: Vec<f64> = cells
        .map(|(y, x)| image.block(None, [edge(y, height), edge(y + 1, height)], [edge(x, width), edge(x + 1, width)]))
        .collect();
    let [mean, _] = mean_and_deviation(&cells);
    let fade: Vec<f64> = (0..side).map(|at| (PI * (at as f64 + 0.5) / side as f64).sin().powi(2)).collect();
    cells.iter_mut().enumerate().for_each(|(i, cell)| *cell = (*cell - mean) * fade[i / side] * fade[i % side]);
    let turn: Vec<[f64; 2]> = (0..side).map(|k| (2.0 * PI * k as f64 / side as f64).sin_cos().into()).collect();
    let turn = |k: usize| turn[k % side];

    let mut power = vec![0.0; RINGS * SECTORS];
    let nyquist = side as f64 / 2.0;
    for u in 0..=side / 2 {
        // Along each row: [real, imaginary].
        let rows: Vec<[f64; 2]> = cells
            .chunks_exact(side)
            .map(|row| {
                let add = |[re, im]: [f64; 2], (x, v): (usize, &f64)| {
                    let [sin, cos] = turn(u * x);
                    [re + v * cos, im - v * sin]
                };
                row.iter().enumerate().fold([0.0; 2], add)
            })
            .collect();
        for v in 0..side {
            let along = if v > side / 2 { v as f64 - side as f64 } else { v as f64 };
            let radius = (u as f64).hypot(along);
            // One of each pair of opposite frequencies; the lowest are no pattern.
            if radius < LOWEST || radius > nyquist || (u == 0 && along <= 0.0) {
                continue;
            }
            let add = |[re, im]: [f64; 2], (y, row): (usize, &[f64; 2])| {
                let [sin, cos] = turn(v * y);
                [re + row[0] * cos + row[1] * sin, im + row[1] * cos - row[0] * sin]
            };
            let [re, im] = rows.iter().enumerate().fold([0.0; 2], add);
            let ring = (radius / LOWEST).ln() / (nyquist / LOWEST).ln().max(f64::MIN_POSITIVE) * RINGS as f64;
            let sector = ((along.atan2(u as f64) / PI + 0.5) * SECTORS as f64).round() as usize % SECTORS;
            power[(ring as usize).min(RINGS - 1) * SECTORS + sector] += re * re + im * im;
        }
    }
    let total = power.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    power.into_iter().map(|power| (power / total).sqrt()).collect()
}

/// Lowest frequency of a pattern, in periods per side.
const LOWEST: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn image(side: usize, channels: usize, value: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
        let places = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
        places.flat_map(|(y, x)| (0..channels).map(|c| value(y, x, c)).collect::<Vec<_>>()).collect()
    }

    /// The attributes of a kind.
    fn of(kind: &str, pixels: &[f32], shape: [usize; 3]) -> Vec<f32> {
        let all = attributes(pixels, shape);
        let mut start = 0;
        for (name, count) in kinds(shape[2]) {
            if name == kind {
                return all[start..start + count].to_vec();
            }
            start += count;
        }
        panic!("no kind {kind}")
    }

    #[test]
    fn colors_survive_a_shuffling_of_the_pixels() {
        let pixels: Vec<f32> = (0..48).map(|i| ((i * 37) % 48) as f32 / 48.0).collect();
        let mut shuffled = pixels.clone();
        shuffled.as_chunks_mut::<3>().0.reverse();
        let (a, b) = (of("color", &pixels, [4, 4, 3]), of("color", &shuffled, [4, 4, 3]));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        // Mean and standard deviation of 0, 1, 2, 3, 4 and its quantiles.
        assert_eq!(
            of("color", &[4.0, 1.0, 3.0, 0.0, 2.0], [1, 5, 1]),
            [2.0, 2.0, 2f32.sqrt(), 0.0, 1.0, 2.0, 3.0, 4.0]
        );
    }

    #[test]
    fn there_are_as_many_for_every_image() {
        for shape in [[1, 1, 1], [2, 3, 3], [20, 20, 3], [224, 224, 1], [5, 40, 4]] {
            let pixels = vec![0.5; shape.iter().product()];
            let found = attributes(&pixels, shape);
            assert_eq!(found.len(), kinds(shape[2]).iter().map(|(_, count)| count).sum::<usize>(), "{shape:?}");
            assert!(found.iter().all(|v| v.is_finite()), "{shape:?}");
        }
    }

    #[test]
    fn frames_slopes_and_corners_are_where_they_are_drawn() {
        let frame = image(20, 1, |y, x, _| if y.min(x) < 2 || y.max(x) >= 18 { 0.8 } else { ((x + y) % 5) as f32 });
        let found = of("border", &frame, [20, 20, 1]);
        assert!((found[0] - 0.8).abs() < 1e-6 && found[1] < 1e-6, "{found:?}");
        // 0.3 from edge to edge is a slope of 0.15 from the center to an edge.
        let slope = image(20, 2, |_, x, c| if c == 0 { 0.3 * (x as f32 + 0.5) / 20.0 } else { 1.0 });
        let found = of("low frequencies", &slope, [20, 20, 2]);
        let expected = [0.15, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        let stamp = image(18, 1, |y, x, _| if y >= 16 && x >= 16 { 1.0 } else { 0.0 });
        let found = of("lower right corner", &stamp, [18, 18, 1]);
        assert!(found[3] > 0.2 && found[..3].iter().all(|v| *v == 0.0), "{found:?}");
        assert_eq!(of("lower left corner", &stamp, [18, 18, 1]), [0.0; 4]);
    }

    #[test]
    fn stripes_have_a_frequency_and_an_orientation() {
        let stripes = |side: usize, periods: f64, degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let pixels = image(side, 1, |y, x, _| {
                (2.0 * PI * periods * (x as f64 * cos + y as f64 * sin) / side as f64).sin() as f32
            });
            of("periodic pattern", &pixels, [side, side, 1])
        };
        let strongest = |found: &[f32]| found.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        let across = stripes(32, 6.0, 0.0);
        assert!(across[strongest(&across)] > 0.9, "{across:?}");
        let (ring, sector) = (strongest(&across) / SECTORS, strongest(&across) % SECTORS);
        let down = strongest(&stripes(32, 6.0, 90.0));
        assert_eq!((down / SECTORS, (sector + SECTORS - down % SECTORS) % SECTORS), (ring, SECTORS / 2));
        let fine = strongest(&stripes(32, 13.0, 0.0));
        assert_eq!((fine / SECTORS, fine % SECTORS), (RINGS - 1, sector));
        // A larger picture of the same.
        assert_eq!(strongest(&stripes(96, 6.0, 0.0)), strongest(&across));
    }
}
