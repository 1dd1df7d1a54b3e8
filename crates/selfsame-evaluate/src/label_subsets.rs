//! Which labels are given, where few are: draws of labeled samples, class by class.

use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};

/// How many labels are given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelBudget {
    /// So many of each class; all of a class that has fewer.
    PerClass(usize),
    /// This share of each class, in parts of 1; at least one sample of each.
    Share(f64),
    /// Every one.
    All,
}

impl std::fmt::Display for LabelBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::PerClass(count) => write!(f, "{count} per class"),
            // Without the noise of binary fractions.
            Self::Share(share) => write!(f, "{} %", (1e8 * share).round() / 1e6),
            Self::All => f.write_str("all"),
        }
    }
}

impl std::str::FromStr for LabelBudget {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let text = text.trim();
        let wrong = || {
            let problem = format!(
                "expected numbers of labels per class, percentages or \"all\", e.g. 1,10,1%,all; received \"{text}\""
            );
            DataError::setting("labels", problem)
        };
        match text.strip_suffix('%') {
            None if text == "all" => Ok(Self::All),
            None => text.parse().ok().filter(|&count| count > 0).map(Self::PerClass).ok_or_else(wrong),
            Some("100") => Ok(Self::All),
            Some(percent) => {
                let percent: Option<f64> = percent.trim().parse().ok();
                percent.filter(|p| *p > 0.0 && *p < 100.0).map(|p| Self::Share(p / 100.0)).ok_or_else(wrong)
            }
        }
    }
}

impl LabelBudget {
    /// Rows that are labeled in draw `draw`, class by class; every class has at least one where it has any. Draws are nested
    /// in nothing and share no stream, so that adding a count or a draw changes no other.
    pub fn rows(self, labels: &[u32], classes: usize, seed: u64, draw: u64) -> Vec<u32> {
        let stream = match self {
            Self::All => return (0..labels.len() as u32).collect(),
            Self::PerClass(count) => count as u64 + 2,
            Self::Share(share) => (1 << 40) + (share * 1e9).round() as u64,
        };
        let mut rng = StreamRng::new(seed, Purpose::Evaluate, stream, draw, 0);
        let picked = members(labels, classes).into_iter().flat_map(|mut rows| {
            rng.shuffle(&mut rows);
            rows.truncate(match self {
                Self::Share(share) => ((rows.len() as f64 * share).round() as usize).max(1),
                Self::PerClass(count) => count,
                Self::All => unreachable!("returned above"),
            });
            rows
        });
        picked.collect()
    }
}

/// Rows of each class.
pub fn members(labels: &[u32], classes: usize) -> Vec<Vec<u32>> {
    let mut members = vec![Vec::new(); classes];
    labels.iter().zip(0u32..).for_each(|(&label, row)| members[label as usize].push(row));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_what_was_asked_for_of_every_class() {
        let labels: Vec<u32> = (0..300).map(|row| if row < 10 { 0 } else { 1 + row % 2 }).collect();
        let counts = |text: &str, draw| {
            let rows = text.parse::<LabelBudget>().unwrap().rows(&labels, 3, 7, draw);
            let mut counts = [0; 3];
            rows.iter().for_each(|&row| counts[labels[row as usize] as usize] += 1);
            (rows, counts)
        };
        assert_eq!(counts("4", 1).1, [4, 4, 4]);
        assert_eq!(counts("20", 1).1, [10, 20, 20]);
        assert_eq!(counts("10%", 1).1, [1, 15, 15]);
        assert_eq!(counts("0.1%", 1).1, [1, 1, 1]);
        assert_eq!(counts("all", 1).0, counts("100%", 2).0);
        assert_ne!(counts("4", 1).0, counts("4", 2).0);
        let said = |text: &str| text.parse::<LabelBudget>().unwrap().to_string();
        assert_eq!(["4", "7%", "0.1%", "all"].map(said), ["4 per class", "7 %", "0.1 %", "all"]);
        for wrong in ["", "0", "-1", "0%", "101%", "some", "1e3", "nan%"] {
            assert!(wrong.parse::<LabelBudget>().unwrap_err().to_string().contains("labels"), "{wrong}");
        }
    }

    #[test]
    fn budgets_read_back_equal() {
        for budget in [LabelBudget::PerClass(10), LabelBudget::Share(0.07), LabelBudget::All] {
            let text = serde_json::to_string(&budget).unwrap();
            assert_eq!(serde_json::from_str::<LabelBudget>(&text).unwrap(), budget, "{text}");
        }
    }
}
