//! What can be said of samples by where an encoder places them: a map, clusters, neighbors, the typical and the unusual, those
//! that are labeled unlike their neighbors, and near-duplicates. Written as `findings.json`.
//!
//! | key | meaning |
//! | --- | --- |
//! | `measured_on` | `data`, `method`, `step`, `epochs` of the encoder |
//! | `data_samples` | samples in the data set, of which these are some or all |
//! | `classes` | names of the classes, where samples are labeled |
//! | `map` | how the samples are laid out: `pca` or `tsne` |
//! | `variance_shares` | shares of the variance along the two axes of a PCA map |
//! | `clusters` | number of k-means clusters |
//! | `samples` | list: `id`, `index` in the data set, `label`, `place` on the map, `cluster`, `density` (mean cosine with the 10 nearest others) |
//! | `queries` | evenly spaced samples with their nearest `neighbors` |
//! | `typical` | the densest samples of each cluster |
//! | `unusual` | the samples farthest from all others |
//! | `disputed` | samples most of whose neighbors have another label, with the `share` of those: hard, or labeled wrongly |
//! | `duplicates` | near-duplicates: `pairs` of samples, and what counts as one |
//! | `groupings` | what else groups the samples, such as columns of a metadata table |
//! | `diagnosis` | of these samples: see [`crate::diagnosis`] |
//!
//! Wherever samples are named by a number, it is their place in `samples`, from 0.

pub use crate::duplicates::{DuplicatePair, Duplicates};
pub use crate::sample_map::MapKind;

use crate::diagnosis::{Diagnosis, diagnose};
use crate::duplicates::duplicates;
use crate::features::{FeatureTable, Rows};
use crate::json;
use crate::kmeans::KMeans;
use crate::knn::unit_rows;
use crate::measurements::Observed;
use crate::metadata::Grouping;
use crate::neighborhoods::Neighborhoods;
use crate::representation::MeasuredOn;
use crate::sample_map::sample_map;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format of `findings.json`.
pub const FORMAT: u32 = 1;

/// Fewest samples of which anything is found.
const FEWEST: usize = 3;
/// Clusters, and rounds to find them, at most.
const CLUSTERS: usize = 10;
const CLUSTER_ROUNDS: usize = 50;
/// Queries, and neighbors of each.
const QUERIES: usize = 8;
const QUERY_NEIGHBORS: usize = 8;
/// Samples in the lists of the typical, the unusual and the disputed.
const EXTREMES: usize = 12;

/// How to look at samples, and what is known of them beside their features.
#[derive(Clone, Debug, Default)]
pub struct FindOptions<'a> {
    /// How the map is laid out.
    pub map: MapKind,
    /// Seed of the clusters.
    pub seed: u64,
    /// Which encoder gave the features, of which data.
    pub measured_on: MeasuredOn,
    /// `[samples]`: index of each sample in its data set.
    pub indices: &'a [usize],
    /// Samples in the data set.
    pub data_samples: usize,
    /// What else groups the samples.
    pub groupings: Vec<Grouping>,
    /// What the samples look like, on a scale from 0 to 1, `[samples, values]`: thumbnails of images, for example. Without,
    /// near-duplicates are told by their representations alone.
    pub appearance: Option<Rows<'a>>,
}

/// A sample, and where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundSample {
    /// Id (path).
    pub id: String,
    /// Index in its data set.
    pub index: usize,
    /// Its class, where that is known.
    pub label: Option<u32>,
    /// Place on the map.
    pub place: [f32; 2],
    /// Its k-means cluster.
    pub cluster: u32,
    /// Mean cosine with its nearest neighbors: high where samples lie densely.
    pub density: f32,
}

/// A neighbor of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundNeighbor {
    /// Which sample.
    pub sample: usize,
    /// Cosine between the two.
    pub cosine: f32,
}

/// A sample with its nearest neighbors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Which sample.
    pub sample: usize,
    /// Nearest first.
    pub neighbors: Vec<FoundNeighbor>,
}

/// A sample that is labeled unlike its neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disputed {
    /// Which sample.
    pub sample: usize,
    /// Share of its neighbors with another label.
    pub share: f32,
}

/// `findings.json`. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Which encoder was looked at, on which data.
    #[serde(default)]
    pub measured_on: MeasuredOn,
    /// Samples in the data set.
    pub data_samples: usize,
    /// Names of the classes; empty where nothing is labeled.
    #[serde(default)]
    pub classes: Vec<String>,
    /// How the samples are laid out.
    pub map: MapKind,
    /// Shares of the variance along the two axes, of a PCA map.
    pub variance_shares: Option<[f64; 2]>,
    /// Number of clusters.
    pub clusters: usize,
    /// The samples.
    pub samples: Vec<FoundSample>,
    /// Evenly spaced samples with their nearest neighbors.
    pub queries: Vec<Query>,
    /// The densest of each cluster.
    pub typical: Vec<usize>,
    /// Farthest from all others.
    pub unusual: Vec<usize>,
    /// Labeled unlike their neighbors.
    #[serde(default)]
    pub disputed: Vec<Disputed>,
    /// Near-duplicates.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// What else groups the samples.
    #[serde(default)]
    pub groupings: Vec<Grouping>,
    /// The state of the representation, by these samples.
    pub diagnosis: Diagnosis,
}

impl Findings {
    /// Looks at the samples of `table`. The same table, options and seed give the same findings, for any number of threads.
    ///
    /// # Errors
    /// If there are fewer than three samples, or a feature is not finite.
    pub fn find(table: &FeatureTable, options: FindOptions) -> Result<Self, DataError> {
        let FindOptions { map, seed, measured_on, indices, data_samples, groupings, appearance } = options;
        let count = table.len();
        assert_eq!(indices.len(), count, "an index for every sample");
        assert!(appearance.is_none_or(|rows| rows.len() == count), "an appearance for every sample");
        assert!(groupings.iter().all(|grouping| grouping.of.len() == count), "a group for every sample");
        table.check_finite("the representation")?;
        if count < FEWEST {
            return Err(DataError::Data(format!("{count} samples are too few; at least {FEWEST} are needed")));
        }
        let rows = table.rows();
        let diagnosis = diagnose(&Observed::new(rows))?;
        let map = sample_map(rows, map)?;
        let units = unit_rows(rows);
        let units = Rows::new(&units, table.dim);
        let rng = StreamRng::new(seed, Purpose::Cluster, 0, 0, 0);
        let clusters = CLUSTERS.min(count);
        let cluster_of = KMeans::fit(units, clusters, CLUSTER_ROUNDS, rng)?.assignments;
        let around = Neighborhoods::find(units)?;
        let query = |i: usize| {
            let sample = i * count / QUERIES.min(count);
            let nearest = around.neighbors[sample].iter().take(QUERY_NEIGHBORS);
            Query { sample, neighbors: nearest.map(|&(sample, cosine)| FoundNeighbor { sample, cosine }).collect() }
        };
        let disputed = around.disputed(&table.labels, EXTREMES).into_iter();
        let sample = |row: usize| FoundSample {
            id: table.ids[row].clone(),
            index: indices[row],
            label: table.labels.get(row).copied(),
            place: map.places[row],
            cluster: cluster_of[row],
            density: around.density[row],
        };
        Ok(Self {
            measured_on,
            data_samples,
            classes: if table.labels.is_empty() { Vec::new() } else { table.classes.clone() },
            map: map.kind,
            variance_shares: map.variance_shares,
            clusters,
            samples: (0..count).map(sample).collect(),
            queries: (0..QUERIES.min(count)).map(query).collect(),
            typical: around.typical(&cluster_of, EXTREMES),
            unusual: around.by_density().into_iter().rev().take(EXTREMES).collect(),
            disputed: disputed.map(|(sample, share)| Disputed { sample, share }).collect(),
            duplicates: duplicates(&around.neighbors, appearance),
            groupings,
            diagnosis,
        })
    }

    /// Name of a sample's class, where it is known.
    pub fn class(&self, sample: usize) -> Option<&str> {
        self.classes.get(self.samples[sample].label? as usize).map(String::as_str)
    }

    /// Writes `findings.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `findings.json`.
    ///
    /// # Errors
    /// If it cannot be read, or names samples, classes or groups that it does not hold.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let findings: Self = json::read(path, FORMAT)?;
        match findings.inconsistency() {
            None => Ok(findings),
            Some(problem) => Err(DataError::sample(path.display().to_string(), problem)),
        }
    }

    /// What a file that was edited may name and not hold.
    fn inconsistency(&self) -> Option<String> {
        let count = self.samples.len();
        let neighbors = self.queries.iter().flat_map(|query| query.neighbors.iter().map(|n| n.sample));
        let named = self.queries.iter().map(|query| query.sample).chain(neighbors);
        let named = named.chain(self.typical.iter().chain(&self.unusual).copied());
        let named = named.chain(self.disputed.iter().map(|disputed| disputed.sample));
        let mut named = named.chain(self.duplicates.pairs.iter().flat_map(|pair| pair.samples));
        if let Some(sample) = named.find(|sample| *sample >= count) {
            return Some(format!("names sample {sample} of {count}"));
        }
        for sample in &self.samples {
            if sample.label.is_some_and(|label| label as usize >= self.classes.len()) {
                return Some(format!("{} has a label without a class", sample.id));
            }
            if sample.cluster as usize >= self.clusters {
                return Some(format!("{} is in cluster {} of {}", sample.id, sample.cluster, self.clusters));
            }
        }
        self.groupings.iter().find_map(|grouping| {
            let known = grouping.of.iter().flatten().all(|group| (*group as usize) < grouping.groups.len());
            (grouping.of.len() != count || !known).then(|| format!("grouping {} does not fit", grouping.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{normals, rng};

    /// Two classes, apart on two axes, with noise.
    fn table(count: usize) -> FeatureTable {
        let mut random = rng(1);
        let mut table = FeatureTable { dim: 4, classes: ["<b>a", "b"].map(String::from).into(), ..Default::default() };
        for row in 0..count {
            let label = (row % 2) as u32;
            table.ids.push(format!("{label}/{row:04}.png"));
            table.labels.push(label);
            table.values.extend((0..4).map(|d| if d == label as usize { 3.0 } else { 0.3 * random.normal() }));
        }
        table
    }

    fn find(table: &FeatureTable, options: FindOptions) -> Result<Findings, DataError> {
        let indices: Vec<usize> = (0..table.len()).map(|i| 3 * i).collect();
        Findings::find(table, FindOptions { indices: &indices, data_samples: 3 * table.len(), ..options })
    }

    #[test]
    fn what_is_found_is_where_it_was_put() {
        let mut table = table(60);
        // A sample of one class among the other's, and one far from all.
        table.labels[10] = 1;
        table.values[44..48].copy_from_slice(&[-5.0, -5.0, -5.0, -5.0]);
        let found = find(&table, FindOptions::default()).unwrap();
        assert_eq!((found.samples.len(), found.data_samples, found.clusters, found.map), (60, 180, 10, MapKind::Pca));
        assert_eq!(
            (found.samples[7].index, found.samples[7].id.as_str(), found.class(7)),
            (21, "1/0007.png", Some("b"))
        );
        assert_eq!((found.unusual[0], found.disputed[0].sample, found.disputed[0].share), (11, 10, 1.0));
        assert_eq!(found.queries.iter().map(|q| q.sample).collect::<Vec<_>>(), [0, 7, 15, 22, 30, 37, 45, 52]);
        for query in found.queries.iter().filter(|query| query.sample != 11) {
            assert_eq!(query.neighbors.len(), QUERY_NEIGHBORS);
            assert!(query.neighbors.iter().all(|n| n.sample % 2 == query.sample % 2 && n.sample != query.sample));
            assert!(query.neighbors.is_sorted_by(|a, b| a.cosine >= b.cosine));
        }
        assert_eq!((found.typical.len(), found.unusual.len()), (EXTREMES, EXTREMES));
        let clusters: std::collections::BTreeSet<u32> =
            found.typical[..10].iter().map(|&sample| found.samples[sample].cluster).collect();
        assert_eq!(clusters.len(), 10, "one of each cluster before a second of any");
        let [first, second] = found.variance_shares.unwrap();
        assert!(first > second && first + second > 0.8 && first + second <= 1.0, "{first} {second}");
        assert_eq!(found.diagnosis.measurements.statistics.samples, 60);
    }

    #[test]
    fn copies_are_alike_to_the_encoder_and_to_the_eye() {
        // Samples 2k and 2k + 1 have the same features; all but the last pair look the same too.
        let mut table = table(12);
        for row in 0..12 {
            (0..4).for_each(|d| table.values[row * 4 + d] = ((row / 2 * 4 + d) as f32).sin());
        }
        let look = |row: usize| [(row / 2) as f32 / 6.0, if row == 11 { 0.1 } else { 0.0 }];
        let appearance: Vec<f32> = (0..12).flat_map(look).collect();
        let seen = FindOptions { appearance: Some(Rows::new(&appearance, 2)), ..FindOptions::default() };
        let found = find(&table, seen).unwrap().duplicates;
        let pairs: Vec<[usize; 2]> = found.pairs.iter().map(|pair| pair.samples).collect();
        assert_eq!(pairs, [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]);
        assert_eq!((found.pairs[0].difference, found.difference_below), (Some(0.0), Some(0.03)));
        let unseen = find(&table, FindOptions::default()).unwrap().duplicates;
        assert_eq!((unseen.pairs.len(), unseen.difference_below, unseen.pairs[0].difference), (6, None, None));
    }

    #[test]
    fn findings_read_back_equal_and_do_not_depend_on_threads() {
        let table = table(50);
        let camera = Grouping {
            name: "camera".into(),
            groups: ["left", "right"].map(String::from).into(),
            ordered: false,
            of: (0..50).map(|row| (row > 0).then_some(row % 2)).collect(),
        };
        let appearance = normals(50, 6, 2);
        for map in [MapKind::Pca, MapKind::Tsne] {
            let run = |threads| {
                let options = FindOptions {
                    map,
                    seed: 4,
                    measured_on: MeasuredOn { data: "photos".into(), step: 9, ..MeasuredOn::default() },
                    groupings: vec![camera.clone()],
                    appearance: Some(Rows::new(&appearance, 6)),
                    ..FindOptions::default()
                };
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| find(&table, options).unwrap())
            };
            let found = run(1);
            assert!(found == run(3) && found.map == map);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("findings.json");
            found.write(&path).unwrap();
            assert_eq!(Findings::read(&path).unwrap(), found);
            let text = std::fs::read_to_string(&path).unwrap();
            let changed = text.replacen("{\"id\"", "{\"newer\": [{}], \"id\"", 1).replacen('{', "{\"further\": 1,", 1);
            std::fs::write(&path, changed).unwrap();
            assert_eq!(Findings::read(&path).unwrap(), found);
        }
    }

    #[test]
    fn what_an_edited_file_names_and_does_not_hold_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("findings.json");
        let found = find(&table(20), FindOptions::default()).unwrap();
        let problem = |change: fn(&mut Findings)| {
            let mut found = found.clone();
            change(&mut found);
            found.write(&path).unwrap();
            Findings::read(&path).unwrap_err().to_string()
        };
        assert!(problem(|f| f.typical[0] = 20).contains("names sample 20 of 20"));
        assert!(problem(|f| f.queries[0].neighbors[0].sample = 99).contains("names sample 99"));
        assert!(problem(|f| f.samples[3].label = Some(2)).contains("1/0003.png has a label without a class"));
        assert!(problem(|f| f.samples[3].cluster = 10).contains("cluster 10 of 10"));
        let grouping = |of| Grouping { name: "x".into(), groups: vec!["y".into()], ordered: false, of };
        let mut other = found.clone();
        other.groupings.push(grouping(vec![Some(1); 20]));
        other.write(&path).unwrap();
        assert!(Findings::read(&path).unwrap_err().to_string().contains("grouping x does not fit"));
    }

    #[test]
    fn broken_and_few_features_are_an_error_and_equal_ones_no_trouble() {
        let problem = |table: &FeatureTable| find(table, FindOptions::default()).unwrap_err().to_string();
        let mut broken = table(12);
        for none in [f32::NAN, f32::NEG_INFINITY] {
            broken.values[5] = none;
            let error = problem(&broken);
            assert!(error.contains("sample 1/0001.png is not finite"), "{error}");
        }
        assert!(problem(&table(2)).contains("2 samples are too few"));
        let mut equal = table(12);
        for value in [1.0, 0.0] {
            equal.values.fill(value);
            for map in [MapKind::Pca, MapKind::Tsne] {
                let found = find(&equal, FindOptions { map, ..FindOptions::default() }).unwrap();
                assert_eq!((found.map, found.samples[11].place), (MapKind::Pca, [0.0, 0.0]));
            }
        }
        let unlabeled = FeatureTable { labels: Vec::new(), ..table(12) };
        let found = find(&unlabeled, FindOptions::default()).unwrap();
        assert!(found.disputed.is_empty() && found.classes.is_empty() && found.class(0).is_none());
    }
}
