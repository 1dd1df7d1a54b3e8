//! What a person sees while something runs: bars on a terminal, JSON lines elsewhere.

use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::{ProgressBar, ProgressStyle};
use selfsame::events::{Event, Observer, StepRecord};
use selfsame_base::text::duration;
use std::io::{IsTerminal, Write};

/// Shows a training.
pub struct ProgressLine {
    bar: Option<ProgressBar>,
}

impl ProgressLine {
    /// A bar when standard error is a terminal, JSON lines on standard output otherwise.
    pub fn new() -> Self {
        Self { bar: std::io::stderr().is_terminal().then(|| ProgressBar::new(0)) }
    }
}

impl Observer for ProgressLine {
    fn event(&mut self, event: &Event) {
        let Some(bar) = &self.bar else {
            if matches!(event, Event::Preparing { done, total, .. } if done < total) {
                return; // one line at the end says as much
            }
            let line = serde_json::to_string(event).expect("events serialize");
            // A reader that has gone away must not end the training.
            let _ = writeln!(std::io::stdout(), "{line}");
            return;
        };
        match event {
            Event::Preparing { what, done, total, .. } => {
                let template = "{msg:24} {bar:28.cyan/blue} {pos}/{len} {eta} left";
                bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
                bar.set_length(*total as u64);
                bar.set_position(*done as u64);
                bar.set_message(what.clone());
            }
            Event::Started { run, method, backbone, parameters, samples, step, steps, epochs, .. } => {
                bar.println(format!(
                    "{method} on {samples} samples, {backbone} ({parameters} parameters), {epochs} epochs; run folder {}",
                    run.display()
                ));
                if *step > 0 {
                    bar.println(format!("goes on after step {step}"));
                }
                let template = "{bar:28.cyan/blue} {pos}/{len} {wide_msg}";
                bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
                bar.set_length(*steps);
                bar.set_position(*step);
            }
            Event::Step(record) => {
                bar.set_position(record.step);
                bar.set_message(step_line(record));
            }
            Event::OnlineKnn { epoch, accuracy, .. } => {
                bar.println(format!("epoch {epoch}: online kNN {accuracy:.3}"));
            }
            Event::Warning { message, .. } => bar.println(format!("warning: {message}")),
            Event::Checkpoint { .. } => {}
            Event::Finished { elapsed_s, skipped_files, .. } => {
                bar.finish_and_clear();
                let skipped =
                    if *skipped_files > 0 { format!("; {skipped_files} files skipped") } else { String::new() };
                bar.println(format!("trained in {}{skipped}", duration(*elapsed_s)));
            }
        }
    }
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

/// Prints a line of a command's result. A reader that has gone away ends the command quietly, as it does other tools.
pub fn print(line: std::fmt::Arguments) {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("error: standard output: {error}");
            std::process::exit(1);
        }
    }
}

/// Whether standard output shows color: a terminal does, unless `NO_COLOR` says otherwise.
pub fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How a terminal takes pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pictures {
    /// Kitty's graphics protocol, which Ghostty and WezTerm speak too.
    Kitty,
    /// iTerm2's.
    Iterm,
}

/// Bytes of base64 that Kitty takes at a time.
const KITTY_CHUNK: usize = 4096;

/// What the terminal that the environment describes can show; nothing within tmux, which swallows it.
fn pictures(variable: impl Fn(&str) -> Option<String>) -> Option<Pictures> {
    let is = |name: &str, values: &[&str]| variable(name).is_some_and(|v| values.iter().any(|value| v.contains(value)));
    match () {
        () if variable("TMUX").is_some() => None,
        () if is("TERM", &["kitty", "ghostty"]) || is("TERM_PROGRAM", &["ghostty", "WezTerm"]) => Some(Pictures::Kitty),
        () if is("TERM_PROGRAM", &["iTerm"]) || is("LC_TERMINAL", &["iTerm"]) => Some(Pictures::Iterm),
        () => None,
    }
}

/// The escape sequences that show a PNG.
fn picture(png: &[u8], how: Pictures) -> String {
    let encoded = BASE64_STANDARD.encode(png);
    match how {
        Pictures::Iterm => format!("\x1b]1337;File=inline=1;size={}:{encoded}\x07", png.len()),
        Pictures::Kitty => {
            let last = encoded.len().div_ceil(KITTY_CHUNK) - 1;
            let chunks = encoded.as_bytes().chunks(KITTY_CHUNK).enumerate().map(|(i, chunk)| {
                let (first, more) = (if i == 0 { "a=T,f=100," } else { "" }, u8::from(i < last));
                format!("\x1b_G{first}m={more};{}\x1b\\", String::from_utf8_lossy(chunk))
            });
            chunks.collect()
        }
    }
}

/// Shows a PNG where standard output is a terminal that can.
pub fn show(png: &[u8]) {
    let how = pictures(|name| std::env::var(name).ok()).filter(|_| std::io::stdout().is_terminal());
    if let Some(how) = how {
        print(format_args!("{}", picture(png, how)));
    }
}

/// A bar over `length` samples for anything else; hidden where there is no terminal.
pub fn bar(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(what);
    let template = "{msg:24} {bar:28.cyan/blue} {pos}/{len} {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
    bar
}

/// Moves a bar whose length and message change with what is done.
pub fn follow(bar: &ProgressBar) -> impl FnMut(&str, u64, u64) + Send + '_ {
    |what, step, steps| {
        bar.set_length(steps);
        bar.set_position(step);
        bar.set_message(what.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_that_show_pictures_are_known_by_their_names() {
        let of =
            |name: &'static str, value: &'static str| pictures(move |asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(of("TERM", "xterm-kitty"), Some(Pictures::Kitty));
        assert_eq!(of("LC_TERMINAL", "iTerm2"), Some(Pictures::Iterm));
        assert_eq!((of("TERM", "xterm-256color"), of("TMUX", "/tmp/tmux")), (None, None));
        assert_eq!(pictures(|name| ["TERM", "TMUX"].contains(&name).then(|| "kitty".into())), None);
    }

    #[test]
    fn pictures_come_whole_in_chunks() {
        let png: Vec<u8> = (0..10_000).map(|i| i as u8).collect();
        assert_eq!(picture(b"foo", Pictures::Kitty), "\x1b_Ga=T,f=100,m=0;Zm9v\x1b\\");
        assert_eq!(picture(b"foo", Pictures::Iterm), "\x1b]1337;File=inline=1;size=3:Zm9v\x07");
        let text = picture(&png, Pictures::Kitty);
        let chunks: Vec<&str> = text.split("\x1b\\").filter_map(|part| part.split_once(';').map(|p| p.1)).collect();
        assert_eq!(BASE64_STANDARD.decode(chunks.concat()).unwrap(), png);
        assert!(chunks.iter().all(|chunk| chunk.len() <= KITTY_CHUNK) && text.matches("m=0").count() == 1);
    }
}
