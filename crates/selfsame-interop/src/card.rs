//! The model card: what the weights are, how they were trained, what they scored, how they are loaded.

use crate::{Encoder, Reading, Sample};
use selfsame_config::Choice;
use std::fmt::Write;

/// What a card says of the license: whose weights they are, and of which data, only their owner knows.
pub const LICENSE: &str = "unknown";

/// A score of `h`, as it is shown.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub score: String,
    /// Its value, with its interval.
    pub value: String,
    /// What it would be without looking at the samples.
    pub chance: String,
}

/// The card as Markdown, with the head that model hubs read; `usage` is how the format is loaded.
pub fn page(encoder: &Encoder, library: &str, usage: &str) -> String {
    let Encoder {
        channels,
        size: [height, spread],
        mean,
        std,
        range: [black, white],
        interpolation,
        width,
        origin,
        ..
    } = encoder;
    let Choice { name, keys } = &encoder.backbone;
    let method = if origin.method.is_empty() { "not known: the weights were imported" } else { &origin.method };
    let (tags, by, how) = match origin.method.as_str() {
        "" => (String::new(), String::new(), ""),
        method => {
            (format!("- self-supervised\n- {method}\n"), format!(", trained by {method}"), ", trained without labels")
        }
    };
    let plural = if *channels == 1 { "" } else { "s" };
    let image = format!(
        "{channels} channel{plural} of {height} × {spread} px: the largest centered part in these proportions, resized \
         ({interpolation}, antialiased). Numbers from {black} (black) to {white} (white), less the mean {mean:?}, over the standard deviation {std:?}.",
    );
    let input = match &encoder.sample {
        Sample::Image => image,
        Sample::Sound(picture) => format!("{picture}\n\n{image}"),
        Sample::Vector => format!("{channels} features, each less its mean, over its standard deviation."),
        Sample::Signal { rate, by_itself } => {
            let rate = if *rate == 0 { String::new() } else { format!(" of {rate} steps in a second") };
            let own = if *by_itself { "less its own mean, over its own standard deviation, then " } else { "" };
            format!(
                "Signals of {channels} channel{plural}{rate}: the {spread} steps in the middle of a longer one. Each channel is {own}less \
                 the mean {mean:?}, over the standard deviation {std:?}.",
            )
        }
    };
    // Of the words that model hubs know.
    let [features, classes] = match encoder.sample {
        Sample::Image => ["image-feature-extraction", "image-classification"],
        Sample::Sound(_) => ["feature-extraction", "audio-classification"],
        Sample::Vector => ["feature-extraction", "tabular-classification"],
        Sample::Signal { .. } => ["feature-extraction", "other"],
    };
    let (task, headed) = match &encoder.head {
        Some(head) if head.reading == Reading::Classes => (classes, ", with a classifier on it"),
        Some(_) => (features, ", with a linear head on it"),
        None => (features, ""),
    };
    let mut text = format!(
        "---\nlibrary_name: {library}\npipeline_tag: {task}\nlicense: {LICENSE}\ntags:\n{tags}\
         - selfsame\n---\n\n# {name}{by}\n\nAn encoder `h = f(x)`, {width} wide{how}{headed}.\n\n## Use\n\n{usage}\n## Input\n\n\
         {input}\n\n\
         ## Training\n\n| | |\n| --- | --- |\n| method | {method} |\n| backbone | {name} |\n",
    );
    for (key, value) in keys {
        let _ = writeln!(text, "| backbone.{key} | {value} |");
    }
    if !origin.method.is_empty() {
        let weights = if origin.averaged {
            "from the teacher, the slow average of what was trained without labels"
        } else {
            "as trained"
        };
        let _ = write!(
            text,
            "| weights | {weights} |\n| epochs | {:.1} ({} steps) |\n| selfsame | {} |\n| plan | {} |\n",
            origin.epochs, origin.steps, origin.selfsame, origin.plan
        );
    }
    if let Some(head) = &encoder.head {
        text += "\n## Outputs\n\n";
        text += match head.reading {
            Reading::Classes => "Classes, of which a sample has one",
            Reading::Labels => "Labels, each of which a sample has or has not",
            Reading::Numbers => "Numbers",
        };
        let _ = writeln!(text, ": {}. {}", head.names.join(", "), head.tested);
        if head.reading != Reading::Numbers {
            let _ = writeln!(text, "Probabilities are those of the outputs over the temperature {}.", head.temperature);
        }
    }
    if origin.scores.is_empty() {
        text += "\nIt was not evaluated.\n";
    } else {
        text += "\n## Scores\n\nOf `h`, on test samples, with 95 % intervals.\n\n| score | h | chance |\n| --- | --- | --- |\n";
        for Row { score, value, chance } in &origin.scores {
            let _ = writeln!(text, "| {score} | {value} | {chance} |");
        }
    }
    text
}
