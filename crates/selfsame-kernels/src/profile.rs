//! Where the time goes: a span for every call of a kernel, if `SELFSAME_PROFILE=1`; otherwise one look at a flag per call.
//!
//! A kernel's public entry opens a span with what it has to do at least: the *products* (multiply-adds) of its definition, however
//! it computes them, and the *values* that its operands and results have, each read or written once. [`take`] gives what was
//! recorded as a table, a row per kernel and shape, and as a trace that Perfetto and Chrome open. Around the kernels whoever calls
//! them opens *phases*, such as a step: shares are of the time of all phases, and what no kernel took is a row of its own.
//!
//! Times are those of the thread that calls, from call to return, so with several threads they are wall time.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// The environment variable that asks for a profile; unset, empty and `0` mean none.
pub const PROFILE_VARIABLE: &str = "SELFSAME_PROFILE";

/// Spans that a trace has room for, about 100 bytes each; later ones are in the table alone.
const TRACED: usize = 1 << 18;

/// What a call has to do, whatever the algorithm.
pub(crate) struct Work {
    pub shape: String,
    pub products: usize,
    pub values: usize,
}

impl Work {
    /// A product of matrices of these shapes.
    pub(crate) fn product([rows, inner]: [usize; 2], [_, columns]: [usize; 2]) -> Work {
        Work {
            shape: format!("{rows}×{inner} · {inner}×{columns}"),
            products: rows * inner * columns,
            values: rows * inner + inner * columns + rows * columns,
        }
    }

    /// The same, so many times.
    pub(crate) fn times(self, count: usize) -> Work {
        let Work { shape, products, values } = self;
        Work { shape: format!("{count} × ({shape})"), products: count * products, values: count * values }
    }

    /// A pass over so many slices of `[len / channels, channels]`.
    pub(crate) fn pass(len: usize, channels: usize, slices: usize) -> Work {
        let shape = format!("{}×{channels}", len / channels.max(1));
        Work { shape, products: 0, values: slices * len }
    }

    /// A pass over so many slices of a parameter's size; all parameters are one row.
    pub(crate) fn update(len: usize, slices: usize) -> Work {
        Work { shape: String::new(), products: 0, values: slices * len }
    }
}

/// Records, when dropped, the time since it was made.
#[must_use]
pub struct Span {
    name: &'static str,
    work: Option<Work>,
    start: Instant,
}

/// All calls of one kernel with one shape.
#[derive(Clone, Copy, Default)]
struct Row {
    calls: usize,
    time: Duration,
    products: usize,
    values: usize,
}

struct Traced {
    name: &'static str,
    shape: String,
    thread: usize,
    start: Duration,
    time: Duration,
}

#[derive(Default)]
struct Records {
    kernels: BTreeMap<(&'static str, String), Row>,
    phases: BTreeMap<&'static str, Row>,
    traced: Vec<Traced>,
}

static RECORDS: Mutex<Option<Records>> = Mutex::new(None);

/// When the process first asked: where a trace begins. `None`: no profile is asked for.
fn beginning() -> Option<Instant> {
    static BEGINNING: OnceLock<Option<Instant>> = OnceLock::new();
    *BEGINNING.get_or_init(|| {
        let asked = std::env::var(PROFILE_VARIABLE).is_ok_and(|value| !matches!(value.as_str(), "" | "0"));
        asked.then(Instant::now)
    })
}

/// A span of a kernel, if a profile is asked for.
#[inline]
pub(crate) fn kernel(name: &'static str, work: impl FnOnce() -> Work) -> Option<Span> {
    beginning()?;
    Some(Span { name, work: Some(work()), start: Instant::now() })
}

/// A span in which kernels are called, such as a training step, if a profile is asked for. Phases do not overlap.
pub fn phase(name: &'static str) -> Option<Span> {
    beginning()?;
    Some(Span { name, work: None, start: Instant::now() })
}

impl Drop for Span {
    fn drop(&mut self) {
        let time = self.start.elapsed();
        let start = beginning().map_or(Duration::ZERO, |beginning| self.start - beginning);
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        records.get_or_insert_default().add(self.name, self.work.take(), thread(), start, time);
    }
}

/// A small number for this thread.
fn thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    thread_local! { static OWN: Cell<usize> = const { Cell::new(0) }; }
    if OWN.get() == 0 {
        OWN.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    OWN.get()
}

impl Records {
    fn add(&mut self, name: &'static str, work: Option<Work>, thread: usize, start: Duration, time: Duration) {
        let (shape, products, values) =
            work.map_or_else(|| (None, 0, 0), |Work { shape, products, values }| (Some(shape), products, values));
        if self.traced.len() < TRACED {
            self.traced.push(Traced { name, shape: shape.clone().unwrap_or_default(), thread, start, time });
        }
        let row = match shape {
            Some(shape) => self.kernels.entry((name, shape)).or_default(),
            None => self.phases.entry(name).or_default(),
        };
        row.calls += 1;
        row.time += time;
        row.products += products;
        row.values += values;
    }
}

/// What was recorded.
pub struct Profile(Records);

/// What was recorded since the last call; `None` if nothing was, as when no profile is asked for.
pub fn take() -> Option<Profile> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).take().map(Profile)
}

impl Profile {
    /// A line for each phase, then one for each kernel and shape, the longest first, and one for what no kernel took.
    pub fn table(&self) -> String {
        let Records { kernels, phases, .. } = &self.0;
        let total = |rows: &mut dyn Iterator<Item = &Row>| rows.map(|row| row.time).sum::<Duration>().as_secs_f64();
        let in_kernels = total(&mut kernels.values());
        let all = total(&mut phases.values()).max(in_kernels).max(f64::MIN_POSITIVE);
        let mut rows: Vec<_> = kernels.iter().collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.time));
        let mut table = String::new();
        let mut line = |[share, calls, each, rate, traffic]: [String; 5], what: &str| {
            let _ = writeln!(table, "{share:>7} {calls:>8} {each:>10} {rate:>8} {traffic:>8}  {what}");
        };
        line(["share", "calls", "ms each", "GFLOP/s", "GB/s"].map(String::from), "kernel and shape");
        let percent = |seconds: f64| format!("{:.1} %", 100.0 * seconds / all);
        let each = |row: &Row| format!("{:.3}", 1e3 * row.time.as_secs_f64() / row.calls as f64);
        for (name, row) in phases {
            let share = percent(row.time.as_secs_f64());
            line([share, row.calls.to_string(), each(row), String::new(), String::new()], &format!("[{name}]"));
        }
        for ((name, shape), row) in rows {
            let seconds = row.time.as_secs_f64().max(f64::MIN_POSITIVE);
            let per_second =
                |amount: f64| if amount > 0.0 { format!("{:.1}", amount / seconds / 1e9) } else { "–".into() };
            let [rate, traffic] = [2.0 * row.products as f64, 4.0 * row.values as f64].map(per_second);
            line([percent(seconds), row.calls.to_string(), each(row), rate, traffic], &format!("{name} {shape}"));
        }
        let empty = || String::new();
        line([percent(all - in_kernels), empty(), empty(), empty(), empty()], "outside of kernels");
        table
    }

    /// The spans in the trace event format, which ui.perfetto.dev and chrome://tracing open.
    pub fn trace(&self) -> String {
        let events = self.0.traced.iter().map(|Traced { name, shape, thread, start, time }| {
            let [start, time] = [start, time].map(|span| span.as_secs_f64() * 1e6);
            format!(
                r#"{{"name":"{name}","ph":"X","ts":{start:.3},"dur":{time:.3},"pid":1,"tid":{thread},"args":{{"shape":"{shape}"}}}}"#
            )
        });
        format!("{{\"traceEvents\":[\n{}\n]}}\n", events.collect::<Vec<_>>().join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_added_up_by_kernel_and_shape_and_what_is_left_is_a_row() {
        let mut records = Records::default();
        let ms = Duration::from_millis;
        let work = |shape: &str| Some(Work { shape: shape.into(), products: 1_000_000, values: 500_000 });
        records.add("product", work("2x3"), 1, ms(0), ms(10));
        records.add("product", work("2x3"), 1, ms(10), ms(30));
        records.add("product", work("4x4"), 2, ms(10), ms(20));
        records.add("step", None, 1, ms(0), ms(80));
        let profile = Profile(records);
        let table: Vec<Vec<String>> =
            profile.table().lines().map(|line| line.split_whitespace().map(String::from).collect()).collect();
        let rows = [
            "100.0 % 1 80.000 [step]",
            "50.0 % 2 20.000 0.1 0.1 product 2x3",
            "25.0 % 1 20.000 0.1 0.1 product 4x4",
            "25.0 % outside of kernels",
        ];
        assert_eq!(table[1..], rows.map(|row| row.split(' ').map(String::from).collect::<Vec<_>>()));
        let trace = profile.trace();
        assert_eq!(trace.matches("\"ph\":\"X\"").count(), 4);
        assert!(
            trace.contains(r#""name":"product","ph":"X","ts":10000.000,"dur":20000.000,"pid":1,"tid":2"#),
            "{trace}"
        );
    }

    #[test]
    fn nothing_is_recorded_unasked() {
        // No test of this crate sets the variable.
        assert!(beginning().is_none() && phase("step").is_none());
        assert!(kernel("product", || unreachable!("work is described for nobody")).is_none());
    }
}
