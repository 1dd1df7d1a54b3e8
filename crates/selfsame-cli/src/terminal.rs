//! Lines on standard output and standard error that never end the program, bars, and pictures.

use crate::exit::{self, Code};
use base64::prelude::{BASE64_STANDARD, Engine};
use indicatif::{ProgressBar, ProgressStyle};
use selfsame_base::text::{duration, one_line};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Says a line on standard error, written like those of `println!`. That nobody can read it any more changes nothing.
macro_rules! note {
    ($($words:tt)*) => { $crate::terminal::note_line(&format!($($words)*)) };
}
pub(crate) use note;

/// What [`note!`] does with its line.
pub fn note_line(line: &str) {
    // At once, so that lines of several threads or processes do not mix.
    let shown: Vec<String> = line.split('\n').map(one_line).collect();
    let _ = std::io::stderr().write_all((shown.join("\n") + "\n").as_bytes());
}

/// Prints a line of a command's result. When standard output takes no more, that is said once, and the command goes on: its
/// files are still to be written.
pub fn print(line: std::fmt::Arguments) {
    static LOST: AtomicBool = AtomicBool::new(false);
    if LOST.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = std::io::stdout().write_all(format!("{line}\n").as_bytes()) {
        LOST.store(true, Ordering::Relaxed);
        output_lost(&error);
    }
}

/// Standard output failed. A reader that has gone away has seen what it wanted, as with other tools.
pub fn output_lost(error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        note!("error: standard output takes no more: {error}");
        exit::remember(Code::of_io(error));
    }
}

/// Begins a line below whatever is drawn on a terminal, whose cursor is seen again.
pub fn below_bars() {
    if std::io::stderr().is_terminal() {
        note!("\x1b[?25h");
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

/// A pass over samples or the like: a bar on a terminal; elsewhere, if it takes longer than a moment, a line then and one at
/// its end.
pub struct Task {
    bar: ProgressBar,
    told: AtomicBool,
}

/// How long a task may take without a word where there is no terminal.
const MOMENT: Duration = Duration::from_secs(3);

impl Task {
    /// A pass over `length` things.
    pub fn new(length: usize, what: &'static str) -> Self {
        let bar = ProgressBar::new(length as u64).with_message(what);
        let template = "{msg:24} {bar:28.cyan/blue} {pos}/{len} {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        Self { bar, told: AtomicBool::new(false) }
    }

    /// So many are done.
    pub fn set(&self, done: usize) {
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.bar.elapsed() >= MOMENT && !self.told.swap(true, Ordering::Relaxed) {
            note!("{}: {done} of {}", self.bar.message(), self.bar.length().unwrap_or_default());
        }
    }

    /// So many more are done.
    pub fn advance(&self, more: usize) {
        self.set(self.bar.position() as usize + more);
    }

    /// `what` is being done, and has come so far.
    pub fn follow(&self, what: &str, done: u64, length: u64) {
        self.bar.set_message(what.to_owned());
        self.bar.set_length(length);
        self.set(done as usize);
    }

    /// A line that stays.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() { note_line(line) } else { self.bar.println(line) }
    }

    /// All is done.
    pub fn finish(self) {
        if self.told.load(Ordering::Relaxed) {
            let (what, length) = (self.bar.message(), self.bar.length().unwrap_or_default());
            note!("{what}: {length} in {}", duration(self.bar.elapsed().as_secs_f64()));
        }
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::io;

    /// A terminal that was closed.
    #[derive(Debug)]
    struct Closed;

    impl TermLike for Closed {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn write_line(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn write_str(&self, _: &str) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn clear_line(&self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_bar_on_a_terminal_that_was_closed_goes_on_in_silence() {
        let task = Task::new(10, "embedding");
        task.bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(Closed)));
        assert!(!task.bar.is_hidden());
        task.set(3);
        task.follow("tuning", 4, 20);
        task.advance(2);
        task.say("a line");
        assert_eq!((task.bar.position(), task.bar.length()), (6, Some(20)));
        task.finish();
    }

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
