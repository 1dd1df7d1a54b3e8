//! A training as it is seen on standard error: a bar on a terminal, a few lines elsewhere. And its records, on request.

use crate::terminal::{self, note_line};
use indicatif::{ProgressBar, ProgressStyle};
use selfsame::events::{Event, Observer, StepRecord};
use selfsame_base::text::duration;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Shows a training.
pub struct Progress {
    bar: Option<ProgressBar>,
    log: Log,
    /// The last checkpoint.
    checkpoint: Option<PathBuf>,
}

impl Progress {
    /// A bar when standard error is a terminal, lines otherwise.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
        Self { bar, log: Log::default(), checkpoint: None }
    }

    /// A line that stays.
    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note_line(line),
        }
    }

    fn style(&self, template: &str, done: u64, all: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        bar.set_length(all);
        bar.set_position(done);
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Preparing { what, done, total, .. } => {
                self.style("{msg:24} {bar:28.cyan/blue} {pos}/{len} {eta} left", *done as u64, *total as u64);
                match &self.bar {
                    Some(bar) => bar.set_message(what.clone()),
                    None if self.log.preparing != *what => self.say(&format!("{what}: {total} samples")),
                    None => {}
                }
                self.log.preparing.clone_from(what);
            }
            Event::Started { step, steps, epochs, .. } => {
                self.log.start(*step, *steps, *epochs);
                self.say(&start_line(event));
                if *step > 0 {
                    self.say(&format!("goes on after step {step} of {steps}"));
                }
                self.style("{bar:28.cyan/blue} {pos}/{len} {wide_msg}", *step, *steps);
            }
            Event::Step(record) => match &self.bar {
                Some(bar) => {
                    bar.set_position(record.step);
                    bar.set_message(step_line(record));
                }
                None if self.log.is_due(record.step) => note_line(&self.log.line(record)),
                None => {}
            },
            Event::OnlineKnn { epoch, accuracy, .. } => match &self.bar {
                Some(bar) => bar.println(format!("epoch {epoch}: online kNN {accuracy:.3}")),
                None => self.log.online_knn = Some(*accuracy),
            },
            Event::Warning { .. } | Event::Divergence { .. } => {
                self.say(&format!("warning: {}", event.warning().unwrap_or_default()));
            }
            Event::Checkpoint { path, .. } => self.checkpoint = Some(path.clone()),
            Event::Finished { elapsed_s, skipped_files, .. } => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                let skipped = match skipped_files {
                    0 => String::new(),
                    files => format!("; {files} files skipped"),
                };
                let checkpoint = self.checkpoint.as_ref().map(|path| format!("; last checkpoint {}", path.display()));
                self.say(&format!("trained in {}{skipped}{}", duration(*elapsed_s), checkpoint.unwrap_or_default()));
            }
        }
    }
}

/// What a training that starts is; empty for any other event.
pub fn start_line(event: &Event) -> String {
    let Event::Started { run, method, backbone, parameters, samples, epochs, .. } = event else {
        return String::new();
    };
    let run = run.display();
    format!("{method} on {samples} samples, {backbone} ({parameters} parameters), {epochs} epochs; run folder {run}")
}

fn step_line(record: &StepRecord) -> String {
    format!(
        "{:.0}/s, {} left | epoch {:.1} | {} | lr {:.3} | std {:.2} rank {:.1}",
        record.samples_per_s,
        duration(record.eta_s),
        record.epoch,
        term_list(record),
        record.lr,
        record.embedding_std,
        record.effective_rank,
    )
}

/// The loss and its named terms.
pub fn term_list(record: &StepRecord) -> String {
    let terms: Vec<_> = record.terms.iter().map(|(name, value)| format!("{name} {value:.3}")).collect();
    format!("loss {:.3} ({})", record.total, terms.join(", "))
}

/// Which steps a run without a terminal tells: one in each tenth of the run, and one after a minute, so that a log stays short
/// and a long run soon says how long it takes.
struct Log {
    preparing: String,
    started: Instant,
    steps: u64,
    epochs: usize,
    /// Tenths that are over, of the step that was told last.
    tenths: u64,
    /// Whether a step was told.
    told: bool,
    online_knn: Option<f64>,
}

impl Default for Log {
    fn default() -> Self {
        let (preparing, started) = (String::new(), Instant::now());
        Self { preparing, started, steps: 1, epochs: 0, tenths: 0, told: false, online_knn: None }
    }
}

/// When a step is told that is in the first tenth.
const FIRST: Duration = Duration::from_secs(60);

impl Log {
    fn start(&mut self, step: u64, steps: u64, epochs: usize) {
        (self.started, self.steps, self.epochs) = (Instant::now(), steps.max(1), epochs);
        (self.tenths, self.told) = (self.tenths_of(step), false);
    }

    fn tenths_of(&self, step: u64) -> u64 {
        10 * step / self.steps
    }

    fn is_due(&mut self, step: u64) -> bool {
        let tenths = self.tenths_of(step);
        let due = tenths > self.tenths || !self.told && self.started.elapsed() >= FIRST;
        if due {
            (self.tenths, self.told) = (tenths, true);
        }
        due
    }

    fn line(&self, record: &StepRecord) -> String {
        let knn = self.online_knn.map_or(String::new(), |accuracy| format!(", online kNN {accuracy:.3}"));
        format!(
            "epoch {:.1} of {}, step {} of {}: {}{knn}, {:.0} samples/s, {} left",
            record.epoch,
            self.epochs,
            record.step,
            self.steps,
            term_list(record),
            record.samples_per_s,
            duration(record.eta_s)
        )
    }
}

/// Hands events on, and prints them as JSON lines on standard output.
pub struct Records(pub Box<dyn Observer>);

impl Observer for Records {
    fn event(&mut self, event: &Event) {
        // While something is prepared, one line at its end says as much as all.
        if !matches!(event, Event::Preparing { done, total, .. } if done < total) {
            terminal::print(format_args!("{}", serde_json::to_string(event).expect("events serialize")));
        }
        self.0.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_a_line_for_each_tenth_and_one_after_a_minute() {
        let due = |log: &mut Log, from: u64, steps: u64| (from + 1..=steps).filter(|&step| log.is_due(step)).collect();
        let mut log = Log::default();
        log.start(0, 1000, 10);
        let told: Vec<u64> = due(&mut log, 0, 1000);
        assert_eq!(told, (1..=10).map(|tenth| 100 * tenth).collect::<Vec<_>>());
        log.start(950, 1000, 10);
        assert_eq!(due(&mut log, 950, 1000), [1000]);
        log.start(0, 3, 1);
        assert_eq!(due(&mut log, 0, 3), [1, 2, 3]);
        // A long run, after its first minute.
        log.start(0, 1000, 10);
        assert!(!log.is_due(1));
        log.started = log.started.checked_sub(FIRST).unwrap_or(log.started);
        assert_eq!(due(&mut log, 1, 250), [2, 100, 200]);
    }
}
