//! What to try: by the verdict, the method, the keys of its plan, and what was measured.

use crate::measurements::Measurements;
use crate::training::Training;
use crate::verdict::Verdict;
use selfsame_base::commands::Command;

/// What to try, the likeliest remedy first. Nothing where nothing is wrong; a setting far from what is usual is named whatever
/// the verdict.
///
/// Without a training it is what holds for any; without measurements what the verdict alone tells.
pub fn advise(verdict: Verdict, training: Option<&Training>, measured: Option<&Measurements>) -> Vec<String> {
    let unknown = Training::default();
    let known = training.unwrap_or(&unknown);
    let mut advice = odd_settings(verdict, known);
    advice.extend(match verdict {
        Verdict::TooFewSamples => vec![
            "judge more samples: the data= of a diagnosis may be any of the same kind, and its samples= how many".into(),
        ],
        Verdict::InputsAlike => vec![format!(
            "look at what the encoder is shown{}: images that were scaled to nearly one value, or one image many times, teach nothing",
            with(Command::Preview, known)
        )],
        Verdict::NotYetTrained => longer(known),
        Verdict::NothingLearned => vec![
            "change the learning rate by factors of ten, up and down, in short runs: a loss that never moves has a rate far too small or far too large".into(),
            "if it never moves, make the task easier: weaker augmentations, larger crops".into(),
        ],
        Verdict::CompleteCollapse | Verdict::TrainedTowardsNothing => against_complete(known),
        Verdict::DimensionalCollapse => against_dimensional(known),
        Verdict::ShortcutSuspected | Verdict::ShortcutNotRuledOut => against_shortcut(known, measured),
        Verdict::Healthy | Verdict::Unknown => Vec::new(),
    });
    advice
}

/// The command about the run, where it is known, in parentheses.
fn with(command: Command, known: &Training) -> String {
    if known.run.is_empty() { String::new() } else { format!(" (`{}`)", command.of(&known.run)) }
}

/// Least and largest `optimizer.base_lr` that are usual, at a batch of 256.
fn usual_rates(optimizer: &str) -> Option<[f64; 2]> {
    match optimizer {
        "sgd" => Some([0.01, 1.0]),
        "adamw" => Some([1e-4, 0.01]),
        "lars" => Some([0.1, 5.0]),
        _ => None,
    }
}

/// Settings of a kind that explains the verdict and lies far from what is usual.
fn odd_settings(verdict: Verdict, known: &Training) -> Vec<String> {
    let mut lines = Vec::new();
    let optimizer = known.keys.get("optimizer.name").map_or("", String::as_str);
    if let (Some(rate), Some([low, high])) = (known.number("optimizer.base_lr"), usual_rates(optimizer)) {
        let usual = format!("for {optimizer} {low} to {high} are usual");
        if rate > high {
            lines.push(format!("lower optimizer.base_lr = {rate}: {usual}, and too large steps undo what was learned"));
        } else if rate < low && verdict != Verdict::Healthy {
            lines.push(format!("raise optimizer.base_lr = {rate}: {usual}, and too small steps learn nothing"));
        }
    }
    let collapsed = matches!(
        verdict,
        Verdict::CompleteCollapse
            | Verdict::DimensionalCollapse
            | Verdict::TrainedTowardsNothing
            | Verdict::NothingLearned
    );
    if !collapsed {
        return lines;
    }
    let number = |key: &str| known.number(key);
    if let Some(temperature) = number("method.temperature").filter(|&t| t > 1.0) {
        lines.push(format!(
            "lower method.temperature = {temperature}: 0.1 to 0.5 are usual, and above 1 all samples look alike to the loss"
        ));
    }
    match known.method.as_str() {
        "barlow_twins" => {
            if let (Some(weight), Some(width)) = (number("method.redundancy_weight"), number("projector.out")) {
                let (balance, way) = (1.0 / width, if weight * width > 10.0 { "lower" } else { "raise" });
                if !(0.1..=10.0).contains(&(weight * width)) {
                    lines.push(format!(
                        "{way} method.redundancy_weight = {weight}: about 1 / projector.out = {balance:.4} balances the two terms, and far from it one of them is all that is learned"
                    ));
                }
            }
        }
        "vicreg" => {
            let invariance = number("method.invariance_weight").unwrap_or(25.0);
            for (key, share, what) in [
                ("method.variance_weight", 1.0, "keeps every dimension alive"),
                ("method.covariance_weight", 0.04, "keeps dimensions from saying the same"),
            ] {
                if let Some(weight) = number(key).filter(|weight| *weight < 0.2 * share * invariance) {
                    let usual = share * invariance;
                    lines.push(format!(
                        "raise {key} = {weight}: it {what}, and {usual} is usual beside method.invariance_weight = {invariance}"
                    ));
                }
            }
        }
        "swav" if number("method.sinkhorn_iterations") == Some(0.0) => lines.push(
            "set method.sinkhorn_iterations = 3: without it nothing shares the samples out over the prototypes".into(),
        ),
        "dino" => {
            if let Some(momentum) = number("method.center_momentum").filter(|&m| m > 0.99) {
                lines.push(format!(
                    "set method.center_momentum = 0.9 instead of {momentum}: without centering one prototype wins"
                ));
            }
            if let (Some(teacher), Some(student)) = (number("method.teacher_temperature"), number("method.temperature"))
                && teacher >= student
            {
                lines.push(format!(
                    "set method.teacher_temperature below method.temperature = {student}: at {teacher} nothing sharpens the teacher"
                ));
            }
        }
        _ => {}
    }
    if let Some(momentum) = number("method.teacher_momentum").filter(|&momentum| momentum < 0.9) {
        lines.push(format!(
            "raise method.teacher_momentum = {momentum}: 0.99 is usual, and a fast teacher agrees with anything"
        ));
    }
    lines
}

fn longer(known: &Training) -> Vec<String> {
    let so_far = known.epochs.map_or(String::new(), |epochs| format!(", after {epochs:.1} epochs"));
    let more = match (known.finished, known.run.as_str()) {
        (true, _) => format!("train longer, in a new run with more train.epochs: this one is finished{so_far}"),
        (false, "") => "train longer".into(),
        (false, run) => format!("go on with the training, which is not finished{so_far}: {}", Command::GoOn.of(run)),
    };
    vec![more, "if the loss does not move, raise optimizer.base_lr; a tenth of the epochs of warm-up is usual".into()]
}

/// Whether a method has negatives.
fn is_contrastive(method: &str) -> bool {
    matches!(method, "simclr" | "moco" | "nnclr")
}

/// Whether a method rests on a stopped gradient, and so on batch norm and a gentle start.
fn is_asymmetric(method: &str) -> bool {
    matches!(method, "byol" | "simsiam" | "dino")
}

fn against_complete(known: &Training) -> Vec<String> {
    let method = known.method.as_str();
    let mut lines = Vec::new();
    if method.is_empty() || method == "invariance_only" {
        let subject = if method.is_empty() { "a method" } else { "another method than invariance_only, one" };
        lines.push(format!(
            "take {subject} that has something against collapse: negatives (simclr, moco), decorrelation (barlow_twins, vicreg), or a predictor with a stopped gradient (byol, simsiam)"
        ));
    }
    if is_asymmetric(method) && !known.is("projector.norm", "batch") {
        lines.push(format!("set projector.norm = \"batch\": {method} depends on it"));
    }
    if method != "invariance_only" {
        lines.push("lower optimizer.base_lr or lengthen optimizer.warmup_epochs: too large first steps collapse an encoder that a good rate would not".into());
    }
    if is_asymmetric(method) || method == "vicreg" || method == "barlow_twins" {
        lines.push("or take a method with negatives, which cannot collapse at a usual rate: simclr, moco".into());
    }
    lines
}

fn against_dimensional(known: &Training) -> Vec<String> {
    let method = known.method.as_str();
    let mut lines = Vec::new();
    if is_contrastive(method) {
        lines.push(match known.number("train.batch_size") {
            Some(batch) => format!("raise train.batch_size = {batch} (train.chunk_size holds the memory), or lower method.temperature: both spread the dimensions"),
            None => "raise the batch size, or lower method.temperature: both spread the dimensions".into(),
        });
    }
    if known.number("projector.layers").is_none_or(|layers| layers < 2.0) {
        lines.push(
            "give the projector a hidden layer (projector.layers = 2 or 3): what it loses, h need not lose".into(),
        );
    }
    lines.push(format!(
        "weaken augmentations that remove most of what tells samples apart{}",
        with(Command::Invariance, known)
    ));
    lines
}

fn against_shortcut(known: &Training, measured: Option<&Measurements>) -> Vec<String> {
    let kind = measured.and_then(|m| m.shortcut.as_ref()).map_or("", |shortcut| shortcut.kind.as_str());
    let mut lines = Vec::new();
    let add = |name: &str| if known.augmentations.iter().any(|have| have == name) { "strengthen" } else { "add" };
    if kind.is_empty() || kind == "color" || kind == "low frequencies" {
        lines.push(format!(
            "{} color_jitter with brightness and hue, and {} color_drop: views that differ in color cannot be matched by it",
            add("color_jitter"),
            add("color_drop")
        ));
    }
    if kind == "border" || kind.ends_with("corner") {
        lines.push(format!(
            "cut the {kind} off the files, or {} random_resized_crop with a smaller scale, [0.2, 1.0]: what two views do not both show cannot match them",
            add("random_resized_crop")
        ));
    }
    if kind == "periodic pattern" {
        lines.push(format!(
            "{} gaussian_blur or rotate: a pattern that views do not share cannot match them; or remove it from the files",
            add("gaussian_blur")
        ));
    }
    if matches!(kind, "" | "color" | "low frequencies") {
        lines.push(format!("{} random_resized_crop: smaller crops share less", add("random_resized_crop")));
    }
    lines.push(
        "look at nearest neighbors in the report: neighbors that share nothing but the attribute confirm the suspicion"
            .into(),
    );
    lines.push(
        "evaluate with a few labels: where the attribute is part of what you look for, an encoder that beats the untrained one is none the worse for it"
            .into(),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(method: &str, keys: &[(&str, &str)]) -> Training {
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Training { run: "runs/mine".into(), method: method.into(), keys, ..Training::default() }
    }

    fn first(verdict: Verdict, training: &Training) -> String {
        advise(verdict, Some(training), None).first().cloned().unwrap_or_default()
    }

    #[test]
    fn advice_names_the_setting_that_is_far_off() {
        let collapse = Verdict::DimensionalCollapse;
        let barlow =
            |weight| training("barlow_twins", &[("method.redundancy_weight", weight), ("projector.out", "128")]);
        assert!(first(collapse, &barlow("100")).starts_with("lower method.redundancy_weight = 100"));
        assert!(first(collapse, &barlow("0")).starts_with("raise method.redundancy_weight = 0"));
        assert!(!first(collapse, &barlow("0.0051")).contains("redundancy_weight"));
        let vicreg = training("vicreg", &[("method.variance_weight", "0"), ("method.invariance_weight", "25")]);
        assert!(first(Verdict::CompleteCollapse, &vicreg).starts_with("raise method.variance_weight = 0"));
        let warm = training("simclr", &[("method.temperature", "100")]);
        assert!(first(Verdict::NothingLearned, &warm).starts_with("lower method.temperature = 100"));
        let dino = training("dino", &[("method.teacher_temperature", "0.2"), ("method.temperature", "0.1")]);
        assert!(first(Verdict::CompleteCollapse, &dino).contains("below method.temperature = 0.1"));
    }

    #[test]
    fn a_rate_far_from_usual_is_named_whatever_the_verdict() {
        let rate = |rate| training("simclr", &[("optimizer.name", "sgd"), ("optimizer.base_lr", rate)]);
        for verdict in [Verdict::Healthy, Verdict::CompleteCollapse, Verdict::DimensionalCollapse] {
            assert!(first(verdict, &rate("12")).starts_with("lower optimizer.base_lr = 12"), "{verdict}");
        }
        assert!(first(Verdict::NotYetTrained, &rate("0.000000000001")).starts_with("raise optimizer.base_lr"));
        assert!(advise(Verdict::Healthy, Some(&rate("0.12")), None).is_empty());
    }

    #[test]
    fn a_finished_run_is_not_told_to_go_on() {
        let open = training("simclr", &[]);
        let finished = Training { finished: true, epochs: Some(4.0), ..open.clone() };
        assert!(first(Verdict::NotYetTrained, &open).ends_with("selfsame pretrain runs/mine"));
        let told = first(Verdict::NotYetTrained, &finished);
        assert!(told.contains("a new run") && told.contains("4.0 epochs") && !told.contains("runs/mine"), "{told}");
    }

    #[test]
    fn only_what_a_method_has_is_advised() {
        let all = |method| advise(Verdict::CompleteCollapse, Some(&training(method, &[])), None).join("\n");
        assert!(all("invariance_only").starts_with("take another method than invariance_only"));
        assert!(all("byol").contains("projector.norm") && !all("simclr").contains("projector.norm"));
        assert!(!all("simclr").contains("negatives"));
    }
}
