//! The catalogue of studies: small grids of real runs, each with its question and what the literature says.

use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Metric;

/// A study.
pub struct Study {
    /// Name on the command line.
    pub name: &'static str,
    /// The question.
    pub question: &'static str,
    /// What the literature says.
    pub claim: &'static str,
    /// The horizontal axis.
    pub x: &'static str,
    /// What is drawn: a title and, but for `labels`, scores with the name that each adds to its series.
    pub score: Drawn,
    /// The runs.
    pub grid: Grid,
}

/// What a study draws.
type Drawn = (&'static str, &'static [(&'static str, RepresentationName, Metric)]);

/// Which runs a study makes.
pub enum Grid {
    /// A run for every cell: `full` or, in the short form, `quick`.
    Runs {
        /// The cells of the long form and of the short one.
        cells: fn(quick: bool) -> Vec<Cell>,
        /// Whether it is a matrix that is the same both ways.
        symmetric: bool,
    },
    /// One run, fine-tuned with several numbers of labels.
    Labels {
        /// In the long form and in the short one.
        labels: [&'static str; 2],
    },
}

/// A run of a grid.
pub struct Cell {
    /// The curve, or the row.
    pub series: String,
    /// The place on the axis, or the column.
    pub x: String,
    /// The house recipe that it starts from.
    pub method: &'static str,
    /// Keys that differ.
    pub keys: Vec<String>,
}

/// Epochs of each run, in the long form and in the short one.
fn epochs(quick: bool) -> String {
    format!("epochs={}", if quick { 2 } else { 12 })
}

/// What a short form makes smaller.
const QUICK: &str = "backbone.widths=[16,32,64]";

fn cell(quick: bool, [series, x]: [&str; 2], method: &'static str, keys: &[String]) -> Cell {
    // Short runs warm up shortly.
    let mut all = vec![epochs(quick), "optimizer.warmup_epochs=0.5".into()];
    all.extend(quick.then(|| QUICK.to_owned()));
    all.extend_from_slice(keys);
    Cell { series: series.into(), x: x.into(), method, keys: all }
}

/// `key=value` for every value, for both methods.
fn both_methods(quick: bool, key: &str, values: &[usize]) -> Vec<Cell> {
    let methods = [("SimCLR", "simclr"), ("Barlow Twins", "barlow_twins")];
    let of = |&(series, method): &(&str, &'static str)| {
        let cell = |value: &usize| cell(quick, [series, &value.to_string()], method, &[format!("{key}={value}")]);
        values.iter().map(cell).collect::<Vec<_>>()
    };
    methods.iter().flat_map(of).collect()
}

/// `key=value` for every value.
fn one_method(quick: bool, series: &str, method: &'static str, key: &str, values: &[&str]) -> Vec<Cell> {
    values.iter().map(|value| cell(quick, [series, value], method, &[format!("{key}={value}")])).collect()
}

/// Augmentations of the SimCLR study that gray images can have, as the recipes' tables.
const AUGMENTATIONS: &[(&str, &str)] = &[
    ("crop", "{name=\"random_resized_crop\",scale=[0.25,1.0]}"),
    ("jitter", "{name=\"color_jitter\",brightness=0.6,contrast=0.6,saturation=0.0,hue=0.0,p=0.8}"),
    ("cutout", "{name=\"cutout\"}"),
    ("noise", "{name=\"gaussian_noise\"}"),
    ("blur", "{name=\"gaussian_blur\"}"),
    ("rotate", "{name=\"rotate\"}"),
    ("sobel", "{name=\"sobel\",p=0.5}"),
];

fn augmentation_pairs(quick: bool) -> Vec<Cell> {
    let listed = &AUGMENTATIONS[..if quick { 5 } else { AUGMENTATIONS.len() }];
    let pair = |(i, &(first, table)): (usize, &(&str, &str))| {
        let with = |&(second, other): &(&str, &str)| {
            let tables = if first == second { table.to_owned() } else { format!("{table},{other}") };
            let views = format!("views=[{{count=2,augmentations=[{tables}]}}]");
            cell(quick, [first, second], "simclr", &[views])
        };
        listed[i..].iter().map(with).collect::<Vec<_>>()
    };
    listed.iter().enumerate().flat_map(pair).collect()
}

fn projection_head(quick: bool) -> Vec<Cell> {
    let widths: &[&str] = if quick { &["32", "128"] } else { &["32", "64", "128", "256", "512"] };
    let head = |series: &str, layers: usize| {
        let cell = |width: &&str| {
            let keys = [format!("projector.layers={layers}"), format!("projector.out={width}")];
            cell(quick, [series, width], "simclr", &keys)
        };
        widths.iter().map(cell).collect::<Vec<_>>()
    };
    let mut cells = head("linear", 1);
    cells.extend(head("nonlinear", 2));
    // Without a head the loss sees h itself, whose width is the backbone's, so there is one run.
    cells.push(cell(quick, ["none", widths[0]], "simclr", &["projector.layers=0".into()]));
    cells
}

fn training_length(quick: bool) -> Vec<Cell> {
    let values: &[usize] = if quick { &[1, 2, 4] } else { &[1, 3, 10, 30] };
    both_methods(quick, "epochs", values)
}

const ALL_LABELS: Metric = Metric::LinearProbe(LabelBudget::All);
const PROBE: Drawn = ("linear probe on h, all labels", &[("", RepresentationName::H, ALL_LABELS)]);
const FEW: Drawn = (
    "linear probe on h, 10 labels per class",
    &[("", RepresentationName::H, Metric::LinearProbe(LabelBudget::PerClass(10)))],
);

/// Every study.
pub static STUDIES: &[Study] = &[
    Study {
        name: "augmentation_pairs",
        question: "Which augmentations, alone and in pairs, make a representation?",
        claim: "Chen et al. 2020 (SimCLR, fig. 5; ImageNet): no single augmentation suffices; crop with color distortion is by far the best pair, since crops of one image share their color histogram, by which a network would otherwise tell them apart.",
        x: "second augmentation",
        score: FEW,
        grid: Grid::Runs { cells: augmentation_pairs, symmetric: true },
    },
    Study {
        name: "projection_head",
        question: "What does the projector do for h, and is h better than z?",
        claim: "Chen et al. 2020 (SimCLR, fig. 8): a nonlinear head is better than a linear one (+3 %), which is much better than none (+10 %); the width of z hardly matters; h is better than z by more than 10 %.",
        x: "width of z",
        score: (
            "linear probe, all labels",
            &[(", h", RepresentationName::H, ALL_LABELS), (", z", RepresentationName::Z, ALL_LABELS)],
        ),
        grid: Grid::Runs { cells: projection_head, symmetric: false },
    },
    Study {
        name: "batch_size",
        question: "How large must the batch be?",
        claim: "Zbontar et al. 2021 (Barlow Twins, fig. 2): SimCLR loses with batches under 1,024, Barlow Twins hardly down to 256; Chen et al. 2020 (fig. 9): the difference shrinks as training goes on.",
        x: "batch size",
        score: PROBE,
        grid: Grid::Runs {
            cells: |quick| {
                both_methods(quick, "batch_size", if quick { &[32, 128, 512] } else { &[32, 64, 128, 256, 512, 1024] })
            },
            symmetric: false,
        },
    },
    Study {
        name: "embedding_width",
        question: "How wide should z be?",
        claim: "Zbontar et al. 2021 (fig. 4): Barlow Twins goes on gaining up to 16,384 dimensions; SimCLR is saturated early.",
        x: "width of z",
        score: PROBE,
        grid: Grid::Runs {
            cells: |quick| {
                both_methods(
                    quick,
                    "projector.out",
                    if quick { &[32, 128, 512] } else { &[16, 32, 64, 128, 256, 512, 1024] },
                )
            },
            symmetric: false,
        },
    },
    Study {
        name: "temperature",
        question: "Which temperature for the contrastive loss?",
        claim: "Chen et al. 2020 (table 5): 0.1 is best for normalized embeddings, 0.05 and 0.5 are a little worse, 1 much; Wang & Liu 2021: low temperatures spread embeddings evenly, high ones tolerate that alike samples stay near.",
        x: "temperature",
        score: PROBE,
        grid: Grid::Runs {
            cells: |quick| {
                let values: &[&str] =
                    if quick { &["0.05", "0.2", "1.0"] } else { &["0.05", "0.1", "0.2", "0.5", "1.0"] };
                one_method(quick, "SimCLR", "simclr", "method.temperature", values)
            },
            symmetric: false,
        },
    },
    Study {
        name: "redundancy_weight",
        question: "How much should decorrelation weigh against invariance?",
        claim: "Zbontar et al. 2021 (fig. 5): Barlow Twins is not sensitive to λ around 0.005.",
        x: "λ",
        score: PROBE,
        grid: Grid::Runs {
            cells: |quick| {
                let values: &[&str] = if quick {
                    &["0.0005", "0.005", "0.05"]
                } else {
                    &["0.0005", "0.002", "0.005", "0.02", "0.05", "0.2"]
                };
                one_method(quick, "Barlow Twins", "barlow_twins", "method.redundancy_weight", values)
            },
            symmetric: false,
        },
    },
    Study {
        name: "labels",
        question: "How many labels does pretraining save?",
        claim: "Chen et al. 2020 (SimCLR, table 7; ImageNet): fine-tuned with 1 % of the labels 48 % top-1 where training from scratch reaches 25 %, with 10 % of them 66 % and 56 %.",
        x: "labels",
        score: ("accuracy on the test samples", &[]),
        grid: Grid::Labels { labels: ["1,3,10,30,100,300,all", "1,10,100"] },
    },
    Study {
        name: "training_length",
        question: "How long is it worth training?",
        claim: "Chen et al. 2020 (fig. 9): contrastive learning goes on gaining well beyond the epochs after which supervised learning is saturated.",
        x: "epochs",
        score: PROBE,
        grid: Grid::Runs { cells: training_length, symmetric: false },
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans;
    use selfsame_config::Recipe;

    #[test]
    fn every_cell_of_every_study_is_a_valid_plan() {
        // Said, so that no cell takes them of 10,000 images.
        let normalization = ["data.mean=[0.3]", "data.std=[0.3]", "data.range=[0.0, 1.0]"].map(str::to_owned);
        for study in STUDIES {
            let Grid::Runs { cells, .. } = study.grid else { continue };
            for quick in [false, true] {
                for cell in cells(quick) {
                    let recipe = Recipe::builtin(cell.method).unwrap();
                    let resolved = plans::resolve(Some(&recipe), &[&cell.keys[..], &normalization].concat());
                    assert!(resolved.is_ok(), "{} {} {}: {:?}", study.name, cell.series, cell.x, resolved.err());
                }
            }
        }
    }
}
