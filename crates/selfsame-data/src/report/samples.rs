//! What the trained encoder makes of samples: a map, neighbours, the typical and the unusual, and copies.

use super::html::{Page, data_uri, escape, missing, number};
use super::svg::{self, COLOURS};
use crate::augment::View;
use crate::config::Plan;
use crate::dataset::Dataset;
use crate::evaluate::diagnosis::{self, Diagnosis, Observed};
use crate::evaluate::kmeans::KMeans;
use crate::evaluate::knn::{Neighbours, unit_rows};
use crate::evaluate::pca::Pca;
use crate::evaluate::tsne::tsne;
use crate::features::{FeatureTable, Rows};
use crate::metadata::Grouping;
use crate::preview::tile;
use crate::rng::{Purpose, StreamRng};
use crate::sheet::Sheet;
use rayon::prelude::*;
use std::fmt::Write;

/// Clusters that colour the map.
const CLUSTERS: usize = 10;
/// Neighbours that are shown of a query, and by which density is told.
const SHOWN_NEIGHBOURS: usize = 8;
const DENSITY_NEIGHBOURS: usize = 10;
/// Queries of the neighbour gallery.
const QUERIES: usize = 8;
/// Tiles in the rows of the typical and of the unusual.
const EXTREMES: usize = 12;
/// Pairs of copies that are shown.
const PAIRS: usize = 12;
/// Two samples are near-duplicates when the cosine of their representations is above the first, and the root mean square
/// difference of their pixels (thumbnails on the 0..1 scale) under the second: nearly the same to the encoder and to the
/// eye. The first alone would call the samples of a collapsed encoder copies.
const DUPLICATE_COSINE: f32 = 0.98;
const DUPLICATE_PIXELS: f32 = 0.03;
/// Largest side of a thumbnail on the map and of a tile in a gallery, px.
const THUMBNAIL_PX: usize = 32;
const TILE_PX: usize = 64;
/// Bytes that the thumbnails, and the tiles, may take as PNG; beyond, they are made smaller.
const THUMBNAIL_BYTES: usize = 1_700_000;
const TILE_BYTES: usize = 600_000;
/// Classes that a legend lists.
const LEGEND: usize = 24;

/// Samples with their representations, and where to find their images.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    /// The data.
    pub dataset: &'a Dataset,
    /// The run's plan.
    pub plan: &'a Plan,
    /// Index of each row in the data.
    pub indices: &'a [usize],
    /// Representations.
    pub h: &'a FeatureTable,
    /// How the map is made.
    pub map: MapKind,
    /// What else groups the samples.
    pub groupings: &'a [Grouping],
}

/// How representations are laid out in the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MapKind {
    /// The two directions of most variance; distances are true as far as they go.
    #[default]
    Pca,
    /// Neighbours are kept together; distances between groups mean little.
    Tsne,
}

/// A sheet whose tiles a page shows one by one.
pub(super) struct Sprite {
    class: &'static str,
    columns: usize,
    side: usize,
}

impl Sprite {
    /// Puts the sheet into the page's style, made smaller until it takes at most `most_bytes`.
    pub fn add(page: &mut Page, class: &'static str, sheet: &Sheet, most_bytes: usize) -> Self {
        let mut side = sheet.tile[0];
        let mut png = sheet.to_sprite();
        while png.len() > most_bytes && side > 4 {
            // Bytes go with the square of the side.
            side = (side - 1).min((side as f64 * (most_bytes as f64 / png.len() as f64).sqrt()) as usize).max(4);
            let mut smaller = Sheet { columns: sheet.columns, tile: [side, side, sheet.tile[2]], values: Vec::new() };
            let mut view = View::default();
            (0..sheet.len()).for_each(|index| tile(&sheet.image(index), side, &mut view, &mut smaller.values));
            png = smaller.to_sprite();
        }
        let columns = sheet.columns.clamp(1, sheet.len().max(1));
        let _ = writeln!(page.style, ".{class}{{--n:{columns};background-image:url({})}}", data_uri(&png));
        Self { class, columns, side }
    }

    /// Classes of a tile's element.
    fn classes(&self) -> String {
        format!("t {}{}", self.class, if self.side < 48 { " px" } else { "" })
    }

    /// One tile, shown in `shown_px`.
    pub fn tile(&self, index: usize, shown_px: usize, title: &str) -> String {
        let title = if title.is_empty() { String::new() } else { format!(" title=\"{}\"", escape(title)) };
        let (x, y) = (index % self.columns, index / self.columns);
        format!("<i class=\"{}\" style=\"--d:{shown_px}px;--x:{x};--y:{y}\"{title}></i>", self.classes())
    }

    /// Side at which tiles look well: whole multiples of small ones.
    pub fn shown_px(&self, about: usize) -> usize {
        if self.side >= about { about } else { self.side * (about as f64 / self.side as f64).round().max(1.0) as usize }
    }
}

/// Tiles of the samples `indices`.
fn tiles(dataset: &Dataset, indices: &[usize], side: usize) -> Sheet {
    let channels = dataset.channels();
    let each = side * side * channels;
    let rows: Vec<Vec<f32>> = indices
        .par_iter()
        .map_init(View::default, |view, &index| {
            let mut values = Vec::with_capacity(each);
            match dataset.sample(index) {
                Ok(sample) => tile(&sample, side, view, &mut values),
                // It could be read when it was embedded.
                Err(_) => values.resize(each, 0.5),
            }
            values
        })
        .collect();
    let columns = (indices.len() as f64).sqrt().ceil() as usize;
    Sheet { columns: columns.max(1), tile: [side, side, channels], values: rows.concat() }
}

/// What is found of the samples' representations.
struct Findings {
    /// `[rows, 2]`
    map: Vec<[f32; 2]>,
    /// Shares of the variance along the two axes, of a PCA map.
    shares: Option<[f64; 2]>,
    clusters: Vec<u32>,
    /// Of each row, its neighbours without itself, nearest first, with their cosines.
    neighbours: Vec<Vec<(u32, f32)>>,
    /// Of each row, the mean cosine with its neighbours.
    density: Vec<f32>,
    /// Rows, cosine and pixel difference of near-duplicates, the closest first.
    duplicates: Vec<(u32, u32, f32, f32)>,
}

impl Findings {
    fn of(h: &FeatureTable, thumbnails: &Sheet, kind: MapKind, seed: u64) -> Self {
        let rows = h.rows();
        let pca = Pca::fit(rows, 2);
        let coordinates = pca.apply(rows);
        let found = pca.variances.len();
        let at = |row: usize, axis: usize| if axis < found { coordinates[row * found + axis] } else { 0.0 };
        let map = (0..h.len()).map(|row| [at(row, 0), at(row, 1)]).collect();
        let laid_out = if kind == MapKind::Tsne { tsne(rows) } else { None };
        let by_pca = laid_out.is_none();
        let map = laid_out.map_or(map, |map| map.chunks_exact(2).map(|p| [p[0], p[1]]).collect());
        let total: f64 = {
            let mean = &pca.mean;
            let squares = h
                .values
                .chunks_exact(h.dim)
                .map(|row| row.iter().zip(mean).map(|(&v, m)| (f64::from(v) - m).powi(2)).sum::<f64>());
            squares.sum::<f64>() / h.len() as f64
        };
        let share = |axis: usize| pca.variances.get(axis).map_or(0.0, |v| v / total.max(f64::MIN_POSITIVE));
        let units = unit_rows(rows);
        let units = Rows::new(&units, h.dim);
        let rng = StreamRng::new(seed, Purpose::Cluster, 0, 0, 0);
        let clusters = KMeans::fit(units, CLUSTERS.min(h.len()), 50, rng).assignments;
        let nearest = Neighbours::find(units, units, DENSITY_NEIGHBOURS + 1);
        let neighbours: Vec<Vec<(u32, f32)>> = (0..h.len())
            .map(|row| {
                let pairs =
                    nearest.indices[row * nearest.k..][..nearest.k].iter().zip(&nearest.cosines[row * nearest.k..]);
                let others = pairs.map(|(&index, &cosine)| (index, cosine)).filter(|pair| pair.0 as usize != row);
                others.take(DENSITY_NEIGHBOURS).collect()
            })
            .collect();
        let density =
            neighbours.iter().map(|n| n.iter().map(|pair| pair.1).sum::<f32>() / n.len().max(1) as f32).collect();
        let duplicates = duplicates(&neighbours, thumbnails);
        let shares = by_pca.then(|| [share(0), share(1)]);
        Self { map, shares, clusters, neighbours, density, duplicates }
    }

    /// Rows by density, the densest first.
    fn by_density(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.density.len()).collect();
        order.sort_by(|&a, &b| self.density[b].total_cmp(&self.density[a]).then(a.cmp(&b)));
        order
    }

    /// The densest row of each cluster, then the second of each, and so on.
    fn typical(&self, count: usize) -> Vec<usize> {
        let (mut rank, mut taken) = (Vec::new(), [0usize; CLUSTERS]);
        for row in self.by_density() {
            let cluster = self.clusters[row] as usize;
            rank.push((taken[cluster], row));
            taken[cluster] += 1;
        }
        rank.sort_by_key(|(place, _)| *place);
        rank.into_iter().map(|(_, row)| row).take(count).collect()
    }
}

fn duplicates(neighbours: &[Vec<(u32, f32)>], thumbnails: &Sheet) -> Vec<(u32, u32, f32, f32)> {
    let each: usize = thumbnails.tile.iter().product();
    let pixels = |row: u32| &thumbnails.values[row as usize * each..][..each];
    let mut pairs = Vec::new();
    for (a, others) in neighbours.iter().enumerate() {
        for &(b, cosine) in others.iter().filter(|pair| pair.1 > DUPLICATE_COSINE) {
            let (first, second) = (b.min(a as u32), b.max(a as u32));
            let squares = pixels(first).iter().zip(pixels(second)).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
            let difference = (squares / each as f32).sqrt();
            if difference < DUPLICATE_PIXELS {
                pairs.push((first, second, cosine, difference));
            }
        }
    }
    pairs.sort_by(|a, b| a.3.total_cmp(&b.3).then((a.0, a.1).cmp(&(b.0, b.1))));
    pairs.dedup_by_key(|pair| (pair.0, pair.1));
    pairs
}

/// The end of a long id, which tells more than its beginning.
fn short(id: &str) -> String {
    let length = id.chars().count();
    if length <= 90 { id.to_owned() } else { format!("…{}", id.chars().skip(length - 89).collect::<String>()) }
}

impl Samples<'_> {
    fn class(&self, row: usize) -> Option<&str> {
        let label = *self.h.labels.get(row)?;
        self.h.classes.get(label as usize).map(String::as_str)
    }

    fn label(&self, row: usize) -> String {
        self.class(row).unwrap_or_default().to_owned()
    }

    fn describe(&self, row: usize) -> String {
        let about = self.groupings.iter().map(|g| format!("{}: {}", g.name, g.name_of(row)));
        let lines = self.class(row).map(str::to_owned).into_iter().chain([short(&self.h.ids[row])]).chain(about);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Statistics of the representations.
    pub(super) fn diagnosis(&self) -> Option<Diagnosis> {
        diagnosis::diagnose(&Observed::new(self.h.rows())).ok()
    }

    /// Adds the sections about the samples.
    pub(super) fn add_sections(&self, page: &mut Page) {
        let problem = match self.h.rows().first_not_finite() {
            Some(row) => Some(format!(
                "The representation of {} is not finite: the encoder has diverged.",
                short(&self.h.ids[row])
            )),
            None if self.h.len() < 3 => Some(format!("{} samples are too few for a map.", self.h.len())),
            None => None,
        };
        if let Some(problem) = problem {
            return page.section("map", "Map", "Map of the representations", "", &missing(&problem));
        }
        let thumbnails = tiles(self.dataset, self.indices, self.dataset_side(THUMBNAIL_PX));
        let findings = Findings::of(self.h, &thumbnails, self.map, self.plan.seed);
        let sprite = Sprite::add(page, "st", &thumbnails, THUMBNAIL_BYTES);
        self.add_map(page, &findings, &sprite);
        Gallery::new(page, self, &findings).add_sections(page);
    }

    fn dataset_side(&self, most: usize) -> usize {
        self.plan.data.size.unwrap_or(most).clamp(1, most)
    }

    fn add_map(&self, page: &mut Page, findings: &Findings, sprite: &Sprite) {
        let (width, height, margin) = (720.0f32, 500.0f32, 12.0f32);
        let range = |axis: usize| {
            let values = findings.map.iter().map(|p| p[axis]);
            values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let [(x0, x1), (y0, y1)] = [range(0), range(1)];
        let scale = |v: f32, low: f32, high: f32, length: f32| {
            margin + if high > low { (v - low) / (high - low) } else { 0.5 } * (length - 2.0 * margin)
        };
        let mut groupings: Vec<Grouping> = Vec::new();
        let known = |of: &[u32]| of.iter().copied().map(Some).collect();
        let named = |name: &str, groups, of| Grouping { name: name.into(), groups, ordered: false, of };
        if !self.h.labels.is_empty() {
            groupings.push(named("label", self.h.classes.clone(), known(&self.h.labels)));
        }
        groupings.extend_from_slice(self.groupings);
        let clusters = (1..=CLUSTERS).map(|c| format!("cluster {c}")).collect();
        groupings.push(named("k-means cluster", clusters, known(&findings.clusters)));
        let mut body = String::new();
        for (i, grouping) in groupings.iter().enumerate() {
            let (checked, name) = (if i == 0 { " checked" } else { "" }, escape(&grouping.name));
            let _ = write!(
                body,
                "<input class=\"pick\" type=\"radio\" name=\"colour\" id=\"by-{i}\"{checked}><label for=\"by-{i}\">by {name}</label>"
            );
            let _ = writeln!(page.style, "#by-{i}:checked~.by-{i}{{display:block}}");
            for group in 0..grouping.groups.len().min(256) {
                let colour = group_colour(grouping, group);
                let _ = writeln!(page.style, "#by-{i}:checked~figure .g{i}-{group}{{fill:{colour}}}");
            }
        }
        for (i, grouping) in groupings.iter().enumerate() {
            let mut used = vec![false; grouping.groups.len()];
            grouping.of.iter().flatten().for_each(|&group| used[group as usize] = true);
            let entries = grouping.groups.iter().enumerate().filter(|(g, _)| used[*g]).take(LEGEND).map(|(g, name)| {
                format!("<li><i style=\"background:{}\"></i>{}</li>", group_colour(grouping, g), escape(name))
            });
            let entries: String = entries.collect();
            let more = used.iter().filter(|used| **used).count().saturating_sub(LEGEND);
            let more = if more > 0 { format!("<li>and {more} more</li>") } else { String::new() };
            let _ = write!(body, "<div class=\"by by-{i}\"><ul class=\"keys\">{entries}{more}</ul></div>");
        }
        let columns = sprite.columns;
        let _ = write!(
            body,
            "<figure class=\"map\"><svg class=\"map\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"map of {} samples\" \
             data-sprite=\"{}\" data-columns=\"{columns}\" fill=\"var(--c9)\">",
            self.h.len(),
            sprite.classes()
        );
        for (row, point) in findings.map.iter().enumerate() {
            let class = |(i, grouping): (usize, &Grouping)| Some(format!("g{i}-{}", grouping.of[row]?));
            let classes: Vec<String> = groupings.iter().enumerate().filter_map(class).collect();
            let _ = write!(
                body,
                "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.6\"><title>{}</title></circle>",
                classes.join(" "),
                scale(point[0], x0, x1, width),
                height - scale(point[1], y0, y1, height),
                escape(&self.describe(row))
            );
        }
        let axes = findings.shares.map_or_else(
            || "t-SNE on cosine neighbours: groups are true, distances between them mean little.".to_owned(),
            |shares| {
                let [first, second] = shares.map(|share| format!("{:.0} %", 100.0 * share));
                format!(
                    "Horizontal: first principal component, {first} of the variance of h; vertical: second, {second}."
                )
            },
        );
        let _ = write!(
            body,
            "</svg><p class=\"note\">{axes} Hover over a point, or touch it, to see the image.</p></figure>"
        );
        let all = self.dataset.len();
        let lead = if self.h.len() < all {
            format!(
                "{} of {} samples, evenly spaced, as the encoder places them.",
                number(self.h.len() as f64),
                number(all as f64)
            )
        } else {
            format!("All {} samples, as the encoder places them.", number(all as f64))
        };
        page.section("map", "Map", "Map of the representations", &lead, &body);
    }
}

/// Colour of a group.
fn group_colour(grouping: &Grouping, group: usize) -> String {
    let count = grouping.groups.len();
    if grouping.ordered {
        // From blue to yellow, ever lighter: the order is seen without a legend.
        let share = group as f64 / (count - 1).max(1) as f64;
        return format!("oklch({:.0}% .13 {:.0})", 45.0 + 40.0 * share, 280.0 - 180.0 * share);
    }
    if count <= COLOURS {
        return format!("var(--c{group})");
    }
    // Steps of the golden angle keep neighbours in the list apart.
    format!("oklch({}% .13 {:.0})", [64, 74, 55][group % 3], (group as f64 * 137.508) % 360.0)
}

/// The rows of tiles below the map.
struct Gallery<'a> {
    samples: &'a Samples<'a>,
    findings: &'a Findings,
    queries: Vec<usize>,
    typical: Vec<usize>,
    unusual: Vec<usize>,
    /// Rows whose neighbours have another label, with the share of those that do.
    disputed: Vec<(usize, f32)>,
    /// Rows that have a tile, sorted.
    shown: Vec<usize>,
    sprite: Sprite,
}

impl<'a> Gallery<'a> {
    fn new(page: &mut Page, samples: &'a Samples<'a>, findings: &'a Findings) -> Self {
        let count = samples.h.len();
        let queries: Vec<usize> = (0..QUERIES.min(count)).map(|i| i * count / QUERIES.min(count)).collect();
        let typical = findings.typical(EXTREMES);
        let unusual: Vec<usize> = findings.by_density().into_iter().rev().take(EXTREMES).collect();
        let disputed = disputed(samples, findings);
        let mut shown = [&queries[..], &typical, &unusual].concat();
        shown.extend(disputed.iter().map(|(row, _)| *row));
        shown.extend(queries.iter().flat_map(|&q| &findings.neighbours[q]).map(|pair| pair.0 as usize));
        shown.extend(findings.duplicates.iter().take(PAIRS).flat_map(|pair| [pair.0 as usize, pair.1 as usize]));
        shown.sort_unstable();
        shown.dedup();
        let indices: Vec<usize> = shown.iter().map(|&row| samples.indices[row]).collect();
        let sheet = tiles(samples.dataset, &indices, samples.dataset_side(TILE_PX));
        let sprite = Sprite::add(page, "sg", &sheet, TILE_BYTES);
        Self { samples, findings, queries, typical, unusual, disputed, shown, sprite }
    }

    fn tile(&self, row: usize, about_px: usize) -> String {
        let place = self.shown.binary_search(&row).expect("every shown row has a tile");
        self.sprite.tile(place, self.sprite.shown_px(about_px), &self.samples.describe(row))
    }

    /// A tile with words below.
    fn cell(&self, row: usize, about_px: usize, class: &str, below: &[String]) -> String {
        let lines: String =
            below.iter().filter(|line| !line.is_empty()).map(|line| format!("<span>{line}</span>")).collect();
        let shown = self.sprite.shown_px(about_px);
        format!("<div class=\"cell {class}\" style=\"--d:{shown}px\">{}{lines}</div>", self.tile(row, about_px))
    }

    fn add_sections(&self, page: &mut Page) {
        let mut body = String::from("<div class=\"panel scroll\">");
        for &query in &self.queries {
            let class = escape(&self.samples.label(query));
            let _ =
                write!(body, "<div class=\"row\">{}<span class=\"gap\"></span>", self.cell(query, 64, "q", &[class]));
            for &(row, cosine) in self.findings.neighbours[query].iter().take(SHOWN_NEIGHBOURS) {
                let row = row as usize;
                let class = escape(&self.samples.label(row));
                let class = if self.samples.class(row) == self.samples.class(query) {
                    class
                } else {
                    format!("<b class=\"other\">{class}</b>")
                };
                body += &self.cell(row, 64, "", &[class, format!("{cosine:.3}")]);
            }
            body.push_str("</div>");
        }
        body.push_str("</div>");
        let lead = format!(
            "Queries drawn evenly, not chosen (outlined), and their {SHOWN_NEIGHBOURS} nearest by cosine of h among the {} samples of the map.",
            self.samples.h.len()
        );
        page.section("neighbours", "Neighbours", "Nearest neighbours", &lead, &body);

        let row = |title: &str, rows: &mut dyn Iterator<Item = (usize, String)>| {
            let tiles: String =
                rows.map(|(row, value)| self.cell(row, 64, "", &[escape(&self.samples.label(row)), value])).collect();
            format!("<h3>{}</h3><div class=\"tiles\">{tiles}</div>", escape(title))
        };
        let density = |row: usize| (row, format!("{:.3}", self.findings.density[row]));
        let mut body = row("Most typical: the densest of each cluster", &mut self.typical.iter().map(|&r| density(r)));
        body += &row("Most unusual: farthest from all others", &mut self.unusual.iter().map(|&r| density(r)));
        if !self.disputed.is_empty() {
            let disputed = self.disputed.iter().map(|&(row, share)| (row, format!("{:.0} % differ", 100.0 * share)));
            body +=
                &row("Disputed: neighbours bear another label; hard, or labelled wrongly", &mut disputed.into_iter());
        }
        let lead = format!("Below each: its mean cosine with its {DENSITY_NEIGHBOURS} nearest neighbours.");
        page.section("extremes", "Extremes", "Typical and unusual samples", &lead, &body);

        let lead = format!(
            "Pairs with a cosine of h over {DUPLICATE_COSINE} whose pixels differ by under {DUPLICATE_PIXELS} (root mean square, 0 to 1), among the \
             samples of the map."
        );
        let pairs = &self.findings.duplicates;
        let body = if pairs.is_empty() {
            String::from("<p>None found.</p>")
        } else {
            let shown: String = pairs
                .iter()
                .take(PAIRS)
                .map(|&(a, b, cosine, difference)| {
                    let (a, b) = (a as usize, b as usize);
                    let ids = [a, b].map(|row| escape(&short(&self.samples.h.ids[row])));
                    format!(
                        "<div>{}{}<br>cosine {cosine:.4}, pixels {difference:.3}<br>{}<br>{}</div>",
                        self.tile(a, 64),
                        self.tile(b, 64),
                        ids[0],
                        ids[1]
                    )
                })
                .collect();
            let more = if pairs.len() > PAIRS { format!(", the closest {PAIRS} here") } else { String::new() };
            format!("<p>{} found{more}.</p><div class=\"pairs\">{shown}</div>", pairs.len())
        };
        page.section("duplicates", "Duplicates", "Near-duplicates", &lead, &body);
    }
}

/// The rows of which most neighbours have another label, the most disputed first; of equals the surest neighbourhood.
fn disputed(samples: &Samples, findings: &Findings) -> Vec<(usize, f32)> {
    if samples.h.labels.is_empty() {
        return Vec::new();
    }
    let labels = &samples.h.labels;
    let share = |row: usize| {
        let neighbours = &findings.neighbours[row];
        let other = neighbours.iter().filter(|pair| labels[pair.0 as usize] != labels[row]).count();
        other as f32 / neighbours.len().max(1) as f32
    };
    let mut rows: Vec<(usize, f32)> = (0..labels.len()).map(|row| (row, share(row))).filter(|r| r.1 > 0.5).collect();
    rows.sort_by(|a, b| {
        b.1.total_cmp(&a.1).then(findings.density[b.0].total_cmp(&findings.density[a.0])).then(a.0.cmp(&b.0))
    });
    rows.truncate(EXTREMES);
    rows
}

/// Eigenvalues of a covariance, largest first, over their index.
pub(super) fn spectrum_chart(spectra: &[(&str, Vec<f64>)]) -> String {
    let curves = spectra.iter().enumerate().map(|(colour, (name, values))| {
        let largest = values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
        let points = values.iter().enumerate().map(|(i, v)| ((i + 1) as f64, (v / largest).max(1e-12))).collect();
        svg::Curve::new(name, colour, points)
    });
    svg::LineChart {
        title: "Spectrum of the covariance",
        note: "Variance along each principal direction, as a share of the largest. A cliff means that the rest of the width says nothing.",
        x: "principal direction",
        curves: curves.collect(),
        log: true,
        ..Default::default()
    }
    .figure()
}
