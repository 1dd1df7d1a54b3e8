//! What a fine-tuned network is to tell of samples: a class, labels or numbers; its loss, and how it is scored.

use crate::embed::Tables;
use crate::labels::{Part, Told};
use crate::objective::cross_entropy;
use crate::predictor::{Head, Tested};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_base::DataError;
use selfsame_base::rng::StreamRng;
use selfsame_evaluate::bootstrap::{Balanced, Outcomes, Resampled, Statistic, Units, correct};
use selfsame_evaluate::calibration::{self, Known};
use selfsame_evaluate::features::FeatureTable;
use selfsame_evaluate::finetuning::{Beside, Chosen, Fit, LabelCell};
use selfsame_evaluate::knn::argmax;
use selfsame_evaluate::label_subsets::{self, LabelBudget};
use selfsame_evaluate::linear_probe::{self, Coordinates, ProbeFeatures, Truth, hold_out};
use selfsame_evaluate::measures::{Macro, Measure, Predicted};
use selfsame_evaluate::protocol::{match_classes, uneven};
use selfsame_evaluate::target_protocol::{TargetProbe, column, moments, predicted, unvaried};
use selfsame_evaluate::targets::Task;

/// What is to be told of the samples.
pub(crate) struct Goal {
    pub task: Task,
    /// Names of the classes, labels or numbers.
    pub names: Vec<String>,
    /// Classes, labels or numbers.
    pub width: usize,
    /// Of the training samples: a class each, or `[samples, width]`.
    train: Vec<f32>,
    /// Of the test samples, likewise.
    test: Vec<f32>,
    /// Classes of both, where classes are told.
    classes: [Vec<u32>; 2],
}

impl Goal {
    /// What `told` tells of the samples whose tables these are.
    ///
    /// # Errors
    /// As for [`Self::classes`] and [`Self::targets`].
    pub fn of(told: &Told, parts: &[Part; 2], [train, test]: [&Tables; 2]) -> Result<Self, DataError> {
        match told.table.as_ref().filter(|_| told.task() != Task::Classes) {
            None => Self::classes(&train.h, &test.h),
            Some((_, columns)) => {
                let values = [parts[0].values(&train.indices), parts[1].values(&test.indices)];
                Self::targets(columns.task(), columns.names(), values)
            }
        }
    }

    /// Classes, by the labels of the tables.
    ///
    /// # Errors
    /// If labels are missing, or the test data have a class that the training data lack.
    fn classes(train: &FeatureTable, test: &FeatureTable) -> Result<Self, DataError> {
        let truth = match_classes(train, test)?;
        let [of_train, of_test] = [&train.labels, &truth].map(|labels| labels.iter().map(|&l| l as f32).collect());
        let classes = [train.labels.clone(), truth];
        let names = train.classes.clone();
        Ok(Self { task: Task::Classes, width: names.len(), names, train: of_train, test: of_test, classes })
    }

    /// Labels or numbers, `[samples, width]` of both parts.
    ///
    /// # Errors
    /// If all test samples have the same of each: nothing could be scored.
    fn targets(task: Task, names: &[String], [train, test]: [Vec<f32>; 2]) -> Result<Self, DataError> {
        let width = names.len();
        unvaried(names, &test)?;
        Ok(Self { task, names: names.to_vec(), width, train, test, classes: Default::default() })
    }

    /// Values that are told of a sample.
    fn told(&self) -> usize {
        if self.task == Task::Classes { 1 } else { self.width }
    }

    fn train_samples(&self) -> usize {
        self.train.len() / self.told()
    }

    fn test_samples(&self) -> usize {
        self.test.len() / self.told()
    }

    /// The labeled rows of a draw.
    ///
    /// # Errors
    /// If so many per class are asked for where there are no classes.
    pub fn rows(&self, labels: LabelBudget, seed: u64, draw: u64) -> Result<Vec<u32>, DataError> {
        match (self.task, labels) {
            (Task::Classes, _) => Ok(labels.rows(&self.classes[0], self.width, seed, draw)),
            (_, LabelBudget::PerClass(count)) => {
                let problem = format!("expected percentages or all, as there are no classes, received {count}");
                Err(DataError::setting("labels", problem))
            }
            _ => Ok(labels.rows(&vec![0; self.train_samples()], 1, seed, draw)),
        }
    }

    /// In what the network gives numbers: mean and spread of each over the labeled rows.
    pub fn units(&self, rows: &[u32]) -> Vec<[f64; 2]> {
        match self.task {
            Task::Numbers => (0..self.width).map(|at| moments(rows, &column(&self.train, self.width, at))).collect(),
            _ => vec![[0.0, 1.0]; self.width],
        }
    }

    /// The linear probe on labeled rows: what it gives for the test samples, `[samples, width]`, and the same as an affine map of `h`,
    /// weights `[width of h, width]` and biases.
    pub fn probe(
        &self,
        features: &ProbeFeatures,
        test: &Coordinates,
        rows: &[u32],
        groups: Option<&[u32]>,
        rng: &dyn Fn() -> StreamRng,
    ) -> (Vec<f32>, Head) {
        if self.task == Task::Classes {
            let probe = features.fit_to(rows, self.truth(), groups, rng());
            let (weight, bias) = features.affine(&probe);
            return (probe.outputs(test), Head { weight, bias });
        }
        let of_target = |target: usize| {
            TargetProbe::fit(features, rows, &column(&self.train, self.width, target), self.task, groups, rng())
        };
        let probes: Vec<TargetProbe> = (0..self.width).map(of_target).collect();
        let outputs: Vec<Vec<f32>> = probes.iter().map(|probe| probe.outputs(test)).collect();
        let maps: Vec<(Vec<f32>, f32)> = probes.iter().map(|probe| probe.affine(features)).collect();
        let joined = |columns: &[&Vec<f32>], rows: usize| -> Vec<f32> {
            (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
        };
        let weights = joined(&maps.iter().map(|(weights, _)| weights).collect::<Vec<_>>(), features.dim());
        let outputs = joined(&outputs.iter().collect::<Vec<_>>(), test.len());
        (outputs, Head { weight: weights, bias: maps.iter().map(|(_, bias)| *bias).collect() })
    }

    /// The loss of the outputs for these training rows.
    ///
    /// # Shapes
    /// `outputs: [rows, width]`
    pub fn loss(&self, outputs: Tensor<2>, rows: &[u32], units: &[[f64; 2]], device: &Device) -> Tensor<1> {
        let told = self.told();
        let of_row = |&row: &u32| {
            let values = &self.train[row as usize * told..][..told];
            values.iter().zip(units).map(|(&value, [mean, spread])| ((f64::from(value) - mean) / spread) as f32)
        };
        let targets: Vec<f32> = rows.iter().flat_map(of_row).collect();
        let targets = Tensor::<2>::from_data(TensorData::new(targets, [rows.len(), told]), device);
        match self.task {
            Task::Classes => cross_entropy(outputs, targets).total,
            // −y ln σ(a) − (1 − y) ln σ(−a) = max(a, 0) − a y + ln(1 + exp(−|a|))
            Task::MultiLabel => {
                let softened = outputs.clone().abs().neg().exp().log1p();
                (outputs.clone().clamp_min(0.0) - outputs * targets + softened).mean()
            }
            Task::Numbers => (outputs - targets).square().mean() * 0.5,
        }
    }

    /// The head in the units of the numbers.
    pub fn in_units(&self, mut head: Head, units: &[[f64; 2]]) -> Head {
        if self.task == Task::Numbers {
            for (weight, [_, spread]) in head.weight.iter_mut().zip(units.iter().cycle()) {
                *weight = (f64::from(*weight) * spread) as f32;
            }
            for (bias, [mean, spread]) in head.bias.iter_mut().zip(units) {
                *bias = (mean + spread * f64::from(*bias)) as f32;
            }
        }
        head
    }

    /// What is told of the training samples.
    fn truth(&self) -> Truth<'_> {
        match self.task {
            Task::Classes => Truth::Classes(&self.classes[0], self.width),
            _ => Truth::Numbers(&self.train),
        }
    }

    /// Rows among the labeled ones, at most about so many, that nothing is to be learned from, so that probabilities can be fitted to
    /// them.
    pub fn hold_out(&self, rows: &[u32], groups: Option<&[u32]>, most: usize, rng: &mut StreamRng) -> Vec<u32> {
        match self.task {
            // Nothing is fitted to them.
            Task::Numbers => Vec::new(),
            _ => hold_out(rows, self.truth(), groups, most, rng),
        }
    }

    /// Parts of the labeled rows that are held out in turn, with `enough` rows together where there are as many.
    pub fn held_out(&self, rows: &[u32], groups: Option<&[u32]>, enough: usize, rng: &mut StreamRng) -> Vec<Vec<u32>> {
        linear_probe::held_out(rows, self.truth(), groups, enough, rng)
    }

    /// How wrong outputs for held-out training rows are, `[rows, width]`: the cross-entropy of their probabilities, or the squared error
    /// in units of the numbers' spread.
    pub fn deviation(&self, held: &[u32], outputs: &[f32]) -> f64 {
        let truth = self.of_rows(held);
        let by_probabilities = |known: Known| {
            let temperature = calibration::temperature(outputs, self.width, known);
            calibration::cross_entropy(outputs, self.width, known, temperature)
        };
        self.known(&truth, by_probabilities).unwrap_or_else(|| {
            let all: Vec<u32> = (0..self.train_samples() as u32).collect();
            let units = self.units(&all);
            let each = outputs.iter().zip(&truth).zip(units.iter().cycle());
            each.map(|((&found, &told), [_, spread])| (f64::from(found - told) / spread).powi(2)).sum()
        })
    }

    /// The temperature of outputs for held-out training rows, `[rows, width]`; 1 where there are none.
    pub fn temperature(&self, held: &[u32], outputs: &[f32]) -> f64 {
        if held.is_empty() {
            return 1.0;
        }
        self.known(&self.of_rows(held), |known| calibration::temperature(outputs, self.width, known)).unwrap_or(1.0)
    }

    /// What is told of training rows.
    fn of_rows(&self, rows: &[u32]) -> Vec<f32> {
        let told = self.told();
        rows.iter().flat_map(|&row| &self.train[row as usize * told..][..told]).copied().collect()
    }

    /// Gives `work` what is told of samples, where it has probabilities.
    fn known<R>(&self, told: &[f32], work: impl FnOnce(Known) -> R) -> Option<R> {
        match self.task {
            Task::Classes => {
                let classes: Vec<u32> = told.iter().map(|&class| class as u32).collect();
                Some(work(Known::Classes(&classes)))
            }
            Task::MultiLabel => Some(work(Known::Labels(told))),
            Task::Numbers => None,
        }
    }

    /// What outputs for the test samples, `[samples, width]`, are worth: accuracy of classes, macro AUROC of labels, R² of numbers,
    /// and the calibration error before and after the temperature.
    pub fn tested(&self, outputs: &[f32], temperature: f64, groups: Option<&[u32]>, seed: u64) -> Tested {
        let units = groups.map_or(Units::Samples(self.test_samples()), Units::Groups);
        let score = match self.task {
            Task::Classes => {
                Resampled::of(&[&Outcomes::of(correct(&self.likeliest(outputs), &self.classes[1]))], units, seed)
            }
            task => {
                let draws = [self.predicted(outputs)];
                Resampled::of(&[&Macro { measure: main_measure(task), draws: &draws }], units, seed)
            }
        };
        let calibration_error = self.known(&self.test, |known| {
            [1.0, temperature].map(|temperature| {
                let are_classes = self.task == Task::Classes;
                let found = calibration::probabilities(outputs, self.width, are_classes, temperature);
                calibration::calibration_error(&found, self.width, known)
            })
        });
        let expected = "test samples that differ";
        Tested {
            samples: self.test_samples(),
            score: score.value(0).expect(expected),
            interval: score.interval(0).expect(expected),
            calibration_error,
        }
    }

    /// The likeliest class of each sample.
    fn likeliest(&self, outputs: &[f32]) -> Vec<u32> {
        outputs.chunks_exact(self.width).map(argmax).collect()
    }

    /// Truth and outputs of every label or number.
    fn predicted(&self, outputs: &[f32]) -> Vec<Predicted> {
        let of_target = |target: usize| {
            let [truth, found] = [&self.test[..], outputs].map(|values| column(values, self.width, target));
            predicted(self.task, &truth, &found, 0.0)
        };
        (0..self.width).map(of_target).collect()
    }

    /// What the score would be without looking at the samples.
    pub fn chance(&self) -> f64 {
        match self.task {
            Task::MultiLabel => 0.5,
            Task::Numbers => 0.0,
            Task::Classes => {
                let count = |labels: &[u32], class: u32| labels.iter().filter(|label| **label == class).count();
                let [train, test] = &self.classes;
                let most = (0..self.width as u32).rev().max_by_key(|&class| count(train, class)).unwrap_or(0);
                count(test, most) as f64 / test.len() as f64
            }
        }
    }

    /// Scores outputs for the test samples, `[samples, width]` by draw: fine-tuned, from scratch and by the probe, over the same
    /// resamples.
    pub fn cell(
        &self,
        (labels, labeled, draws): (LabelBudget, usize, u64),
        chosen: Option<Chosen>,
        outputs: &[Vec<Vec<f32>>; 3],
        groups: Option<&[u32]>,
        seed: u64,
    ) -> LabelCell {
        let units = groups.map_or(Units::Samples(self.test_samples()), Units::Groups);
        let scored = |scores: [&dyn Statistic; 3], beside: &[(Side, [&dyn Statistic; 3])]| {
            cell((labels, labeled, draws), chosen, scores, beside, units, seed)
        };
        match self.task {
            Task::Classes => {
                let truth = &self.classes[1];
                let scores = outputs.each_ref().map(|draws| Outcomes {
                    samples: None,
                    draws: draws.iter().map(|outputs| correct(&self.likeliest(outputs), truth)).collect(),
                });
                let members = label_subsets::members(truth, self.width);
                let within =
                    scores.each_ref().map(|score| members.iter().map(|rows| score.among(rows)).collect::<Vec<_>>());
                let balanced = within.each_ref().map(|within| Balanced(within));
                let mut beside: Vec<(Side, [&dyn Statistic; 3])> = Vec::new();
                if uneven(&members) {
                    let set: Side = |beside| &mut beside.balanced_accuracy;
                    beside.push((set, balanced.each_ref().map(|score| score as &dyn Statistic)));
                }
                scored(scores.each_ref().map(|score| score as &dyn Statistic), &beside)
            }
            task => {
                let of_draw = |outputs: &Vec<f32>| self.predicted(outputs);
                let found = outputs.each_ref().map(|draws| draws.iter().map(of_draw).collect::<Vec<_>>());
                let measured = |measure| found.each_ref().map(|draws| Macro { measure, draws });
                let main = measured(main_measure(task));
                let mut sides: Vec<(Side, Measure)> = Vec::new();
                match task {
                    // Errors of several numbers, each in its own units, have no mean.
                    Task::Numbers if self.width > 1 => {}
                    Task::Numbers => sides.push((|beside| &mut beside.absolute_error, Measure::AbsoluteError)),
                    _ => {
                        sides.push((|beside| &mut beside.average_precision, Measure::AveragePrecision));
                        sides.push((|beside| &mut beside.f1, Measure::F1));
                    }
                }
                let sides: Vec<(Side, [Macro; 3])> =
                    sides.into_iter().map(|(side, measure)| (side, measured(measure))).collect();
                let beside: Vec<(Side, [&dyn Statistic; 3])> = sides
                    .iter()
                    .map(|(side, three)| (*side, three.each_ref().map(|one| one as &dyn Statistic)))
                    .collect();
                scored(main.each_ref().map(|one| one as &dyn Statistic), &beside)
            }
        }
    }
}

/// What labels or numbers are scored by.
fn main_measure(task: Task) -> Measure {
    if task == Task::Numbers { Measure::R2 } else { Measure::Auroc }
}

/// The place of a further score.
type Side = fn(&mut Beside) -> &mut Option<f64>;

fn cell(
    (labels, labeled, draws): (LabelBudget, usize, u64),
    chosen: Option<Chosen>,
    scores: [&dyn Statistic; 3],
    beside: &[(Side, [&dyn Statistic; 3])],
    units: Units,
    seed: u64,
) -> LabelCell {
    let mut all = scores.to_vec();
    beside.iter().for_each(|(_, three)| all.extend(three));
    let found = Resampled::of(&all, units, seed);
    let fit = |which: usize| {
        let mut others = (0..scores.len()).filter(|&other| other != which);
        let mut more = Beside::default();
        for (place, (side, _)) in beside.iter().enumerate() {
            *side(&mut more) = found.value(scores.len() * (place + 1) + which);
        }
        Fit {
            value: found.value(which).expect("test samples that differ"),
            interval: found.interval(which).expect("test samples that differ"),
            beside: more,
            leads: others.all(|other| found.difference(which, other).is_some_and(|by| by.sign() > 0)),
        }
    };
    LabelCell {
        labels,
        labeled,
        draws,
        finetuned: fit(0),
        scratch: fit(1),
        linear_probe: fit(2),
        chosen,
        over_scratch: found.difference(0, 1),
        over_linear_probe: found.difference(0, 2),
    }
}
