//! `pretrain --tui`: the training as charts in the terminal, below what was there.

use crate::progress::{start_line, term_list};
use crate::terminal::note;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Sparkline, Widget};
use ratatui::{Frame, Terminal, TerminalOptions, Viewport};
use selfsame::events::{Event, Observer, StepRecord};
use selfsame_base::text::duration;
use std::io::{Write, stderr};
use std::time::{Duration, Instant};

/// Lines that the charts take.
const HEIGHT: u16 = 14;
/// Between two drawings.
const PAUSE: Duration = Duration::from_millis(200);
/// Values kept of each series; when there are more, neighbors are merged.
const KEPT: usize = 2048;
/// Steps of a bar's height that a sparkline is given.
const LEVELS: f64 = 1000.0;

/// Standard error, of which nobody need be told that it was closed: dropped, a terminal would panic at that.
struct Quiet;

impl Write for Quiet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(stderr().write(bytes).unwrap_or(bytes.len()))
    }
    fn flush(&mut self) -> std::io::Result<()> {
        let _ = stderr().flush();
        Ok(())
    }
}

/// A training as charts.
pub struct Dashboard {
    terminal: Terminal<CrosstermBackend<Quiet>>,
    steps: u64,
    last: Option<StepRecord>,
    doing: String,
    loss: Series,
    rank: Series,
    spread: Series,
    pace: Series,
    drawn: Option<Instant>,
}

impl Dashboard {
    /// Takes lines at the bottom of the terminal.
    pub fn new() -> std::io::Result<Self> {
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        Ok(Self {
            terminal: Terminal::with_options(CrosstermBackend::new(Quiet), options)?,
            steps: 0,
            last: None,
            doing: "starting".into(),
            loss: Series::default(),
            rank: Series::default(),
            spread: Series::default(),
            pace: Series::default(),
            drawn: None,
        })
    }

    /// A line that stays, above the charts.
    fn say(&mut self, text: String) {
        let line = |buffer: &mut ratatui::buffer::Buffer| Paragraph::new(text).render(buffer.area, buffer);
        // A terminal that has gone away must not end the training.
        let _ = self.terminal.insert_before(1, line);
    }

    fn draw(&mut self) {
        let Self { terminal, steps, last, doing, loss, rank, spread, pace, .. } = self;
        let _ = terminal.draw(|frame| {
            let [top, below] = Layout::vertical([Constraint::Length(2), Constraint::Min(0)]).areas(frame.area());
            let done = last.as_ref().map_or(0, |r| r.step);
            let [bar, text] = Layout::vertical([Constraint::Length(1); 2]).areas(top);
            let gauge = Gauge::default().gauge_style(Style::new().fg(Color::Cyan)).label(format!("{done}/{steps}"));
            frame
                .render_widget(gauge.ratio(if *steps > 0 { (done as f64 / *steps as f64).min(1.0) } else { 0.0 }), bar);
            let text_line = last.as_ref().map_or_else(
                || doing.clone(),
                |r| format!("{} left | epoch {:.1} | {} | lr {:.3}", duration(r.eta_s), r.epoch, term_list(r), r.lr),
            );
            frame.render_widget(Line::from(text_line), text);
            let rows = Layout::vertical([Constraint::Ratio(1, 2); 2]).areas::<2>(below);
            let charts =
                [("loss", loss), ("effective rank", rank), ("spread (1: isotropic)", spread), ("samples/s", pace)];
            let colors = [Color::Yellow, Color::Magenta, Color::Green, Color::Blue];
            for (i, ((title, series), color)) in charts.into_iter().zip(colors).enumerate() {
                let column = Layout::horizontal([Constraint::Ratio(1, 2); 2]).areas::<2>(rows[i / 2])[i % 2];
                series.draw(frame, column, title, color);
            }
        });
        self.drawn = Some(Instant::now());
    }
}

impl Observer for Dashboard {
    fn event(&mut self, event: &Event) {
        let mut now = true;
        match event {
            Event::Preparing { what, done, total, .. } => {
                self.doing = format!("{what}: {done} of {total}");
                now = self.drawn.is_none_or(|at| at.elapsed() >= PAUSE);
            }
            Event::Started { steps, .. } => {
                self.steps = *steps;
                self.say(start_line(event));
            }
            Event::Step(record) => {
                self.loss.push(f64::from(record.total));
                self.rank.push(record.effective_rank);
                self.spread.push(record.embedding_std);
                self.pace.push(record.samples_per_s);
                self.last = Some(record.clone());
                now = self.drawn.is_none_or(|at| at.elapsed() >= PAUSE) || record.step == self.steps;
            }
            Event::OnlineKnn { epoch, accuracy, .. } => self.say(format!("epoch {epoch}: online kNN {accuracy:.3}")),
            Event::Warning { .. } | Event::Divergence { .. } => {
                self.say(format!("warning: {}", event.warning().unwrap_or_default()));
            }
            Event::Checkpoint { .. } => now = false,
            Event::Finished { elapsed_s, .. } => self.say(format!("trained in {}", duration(*elapsed_s))),
        }
        if now {
            self.draw();
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // What follows begins below the charts.
        let _ = self.terminal.show_cursor();
        note!("");
    }
}

/// Values over the steps, each the mean of as many as had to be merged.
#[derive(Default)]
struct Series {
    means: Vec<f64>,
    /// Values in each mean, once it is whole.
    each: usize,
    /// Sum and number of those that are not.
    open: (f64, usize),
}

impl Series {
    fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.open = (self.open.0 + value, self.open.1 + 1);
        if self.open.1 >= self.each.max(1) {
            self.means.push(self.open.0 / self.open.1 as f64);
            self.open = (0.0, 0);
        }
        if self.means.len() >= KEPT {
            self.means = self.means.chunks(2).map(|pair| pair.iter().sum::<f64>() / pair.len() as f64).collect();
            self.each = 2 * self.each.max(1);
        }
    }

    /// One bar a column of the terminal, from the least to the greatest.
    fn bars(&self, columns: usize) -> Vec<u64> {
        let columns = columns.max(1);
        let wide = self.means.len().div_ceil(columns).max(1);
        let means: Vec<f64> =
            self.means.chunks(wide).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
        let (low, high) = means.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        let height = |v: &f64| if high > low { 1.0 + (v - low) / (high - low) * (LEVELS - 1.0) } else { LEVELS / 2.0 };
        means.iter().map(|v| height(v) as u64).collect()
    }

    fn draw(&self, frame: &mut Frame, area: Rect, title: &str, color: Color) {
        let last = self.means.last().map_or(String::new(), |v| format!(" {v:.3}"));
        let block = Block::bordered().title(format!("{title}{last}"));
        let bars = self.bars(block.inner(area).width as usize);
        let line = Sparkline::default().block(block).style(Style::new().fg(color)).max(LEVELS as u64).data(bars);
        frame.render_widget(line, area);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_are_merged_and_fill_the_width() {
        let mut series = Series::default();
        (0..10_000).for_each(|i| series.push(f64::from(i)));
        series.push(f64::NAN);
        assert!(series.means.len() < KEPT && series.means.is_sorted());
        let bars = series.bars(40);
        assert!(bars.len() <= 40 && bars.len() > 20 && bars.is_sorted());
        assert_eq!((bars[0], bars[bars.len() - 1]), (1, LEVELS as u64));
        let mut flat = Series::default();
        flat.push(3.0);
        assert_eq!((flat.bars(10), Series::default().bars(0)), (vec![500], Vec::new()));
    }
}
