//! Charts: small, labeled, in the colors of the page.

use crate::html::{escape, number};
use std::fmt::Write;

/// Size of a line chart in its own units; on a phone it is shown about as large, so that its text stays readable.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 206.0;
/// Left, right, top and bottom of the plotted area.
const PLOT: [f64; 4] = [46.0, 348.0, 12.0, 172.0];
/// Points of a curve, at most; more are gathered into means with a band from the least to the greatest.
const BINS: usize = 150;
/// Points of a curve that are marked, at most.
const MARKED: usize = 12;
/// Colors of the page's style, `--c0` and on.
pub(crate) const COLORS: usize = 10;

/// A curve.
#[derive(Clone, Debug)]
pub(crate) struct Curve<'a> {
    name: &'a str,
    color: usize,
    points: Vec<(f64, f64)>,
    /// Horizontal place and ends of vertical bars.
    intervals: Vec<(f64, [f64; 2])>,
}

impl<'a> Curve<'a> {
    pub fn new(name: &'a str, color: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name, color, points, intervals: Vec::new() }
    }

    /// Points with the intervals in which they lie, where those are known.
    pub fn with_intervals(
        name: &'a str,
        color: usize,
        points: impl Iterator<Item = ((f64, f64), Option<[f64; 2]>)>,
    ) -> Self {
        let mut curve = Self::new(name, color, Vec::new());
        for (point, interval) in points {
            curve.points.push(point);
            curve.intervals.extend(interval.map(|interval| (point.0, interval)));
        }
        curve
    }
}

/// Curves over common axes.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineChart<'a> {
    /// What is drawn, with its unit.
    pub title: &'a str,
    /// One line below.
    pub note: &'a str,
    /// What the horizontal axis is.
    pub x: &'a str,
    /// What stands at 0, 1, 2 … of the horizontal axis, where it counts categories.
    pub categories: &'a [String],
    pub curves: Vec<Curve<'a>>,
    /// Horizontal lines to compare with, and what they are.
    pub references: Vec<(f64, &'a str)>,
    /// Whether 0 belongs on the vertical axis.
    pub from_zero: bool,
    /// Whether the vertical axis is logarithmic; what is not above 0 is left out.
    pub log: bool,
    /// Whether the last value of a single curve stands beside the title.
    pub shows_last: bool,
}

/// Steps of 1, 2 or 5 times a power of ten: the values that an axis over `low..=high` names.
fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let rough = (high - low) / about as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    (0..).map(|i| (first + f64::from(i)) * step).take_while(|v| *v <= high + step * 1e-9).take(32).collect()
}

/// An axis label without the noise of binary fractions.
fn tick_label(value: f64, step: f64) -> String {
    let shown = |value: f64, step: f64| {
        let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 8.0) as usize;
        format!("{value:.decimals$}").replace('-', "−")
    };
    match step {
        _ if value.abs() < step * 1e-6 => "0".into(),
        _ if value.abs() >= 1e6 => format!("{}M", shown(value / 1e6, step / 1e6)),
        _ if value.abs() >= 1e4 => format!("{}k", shown(value / 1e3, step / 1e3)),
        step if step < 1e-4 => format!("{value:.0e}").replace('-', "−"),
        step => shown(value, step),
    }
}

/// A run of neighboring points.
struct Bin {
    x: f64,
    mean: f64,
    low: f64,
    high: f64,
}

/// At most [`BINS`] runs of equal length in points.
fn bins(points: &[(f64, f64)]) -> Vec<Bin> {
    let each = points.len().div_ceil(BINS).max(1);
    let gather = |points: &[(f64, f64)]| {
        let count = points.len() as f64;
        Bin {
            x: points.iter().map(|p| p.0).sum::<f64>() / count,
            mean: points.iter().map(|p| p.1).sum::<f64>() / count,
            low: points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min),
            high: points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max),
        }
    };
    points.chunks(each).map(gather).collect()
}

/// Least and greatest of `values`, widened where they are one.
fn span(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return None;
    }
    let pad = if high > low { 0.0 } else { low.abs().max(1e-6) * 0.1 };
    Some((low - pad, high + pad))
}

impl LineChart<'_> {
    /// The chart as a `<figure>`; a note in its place when there is nothing to draw.
    pub fn figure(&self) -> String {
        let title = escape(self.title);
        let usable = |p: &&(f64, f64)| p.0.is_finite() && p.1.is_finite() && (!self.log || p.1 > 0.0);
        let scaled = |p: &(f64, f64)| if self.log { (p.0, p.1.log10()) } else { *p };
        let curves: Vec<(&Curve, Vec<Bin>)> = self
            .curves
            .iter()
            .map(|curve| (curve, bins(&curve.points.iter().filter(usable).map(scaled).collect::<Vec<_>>())))
            .collect();
        let all = || curves.iter().flat_map(|(_, bins)| bins);
        let Some((x0, x1)) = span(all().map(|b| b.x)) else {
            return format!("<figure><figcaption>{title}</figcaption><p class=\"note\">Nothing recorded.</p></figure>");
        };
        // Of a noisy curve the band counts at both ends but for its first tenth: what happens in the first steps would
        // press the rest flat. Means count everywhere.
        let late = x0 + (x1 - x0) * 0.1;
        let extent = all().flat_map(|b| {
            let inner = if b.x < late { [b.mean, b.mean] } else { [b.low, b.high] };
            inner.into_iter().chain([b.mean])
        });
        let anchors = self.references.iter().map(|r| if self.log { r.0.log10() } else { r.0 });
        let zero = self.from_zero.then_some(0.0);
        let ends = self.curves.iter().flat_map(|curve| curve.intervals.iter().flat_map(|(_, ends)| *ends));
        let Some((mut y0, mut y1)) = span(extent.chain(anchors).chain(ends).chain(zero)) else {
            unreachable!("x has a span")
        };
        if self.log {
            (y0, y1) = (y0.floor(), y1.ceil().max(y0.floor() + 1.0));
        } else {
            let pad = (y1 - y0) * 0.06;
            y1 += pad;
            if !(self.from_zero && y0 == 0.0) {
                y0 -= pad;
            }
        }
        let [left, right, top, bottom] = PLOT;
        let px = |x: f64| left + (x - x0) / (x1 - x0) * (right - left);
        let py = |y: f64| (bottom - (y - y0) / (y1 - y0) * (bottom - top)).clamp(top, bottom);

        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\" data-label=\"{}\" \
             data-x=\"{left} {right} {x0} {x1}\" data-y=\"{bottom} {top} {y0} {y1}\"{}>",
            escape(self.x),
            if self.log { " data-log" } else { "" },
        );
        let marks = if self.log {
            let step = (((y1 - y0) / 6.0).ceil()).max(1.0);
            ticks(y0, y1, ((y1 - y0) / step) as usize)
        } else {
            ticks(y0, y1, 4)
        };
        let step = if marks.len() > 1 { marks[1] - marks[0] } else { y1 - y0 };
        for &mark in &marks {
            let y = py(mark);
            let label = if self.log { power_of_ten(mark) } else { tick_label(mark, step) };
            let _ = write!(
                svg,
                "<line class=\"gridline\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                left - 7.0,
                y + 3.7,
            );
        }
        let marks: Vec<(f64, String)> = if self.categories.is_empty() {
            let marks = ticks(x0, x1, 6);
            let step = if marks.len() > 1 { marks[1] - marks[0] } else { x1 - x0 };
            marks.into_iter().map(|mark| (mark, tick_label(mark, step))).collect()
        } else {
            self.categories.iter().enumerate().map(|(i, name)| (i as f64, escape(name))).collect()
        };
        for (mark, label) in marks {
            // Long names at the right end stay within the drawing.
            let anchor = if !self.categories.is_empty() && mark == x1 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{label}</text>",
                px(mark),
                bottom + 16.0
            );
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>\
             <text x=\"{right}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
            HEIGHT - 4.0,
            escape(self.x)
        );
        for (curve, bins) in &curves {
            let color = curve.color % COLORS;
            if bins.iter().any(|b| b.high > b.low) {
                let upper = bins.iter().map(|b| (b.x, b.high));
                let lower = bins.iter().rev().map(|b| (b.x, b.low));
                let _ = write!(svg, "<path class=\"band\" fill=\"var(--c{color})\" d=\"");
                trace(&mut svg, upper.chain(lower).map(|(x, y)| (px(x), py(y))));
                svg.push_str("Z\"/>");
            }
            let _ = write!(
                svg,
                "<path class=\"line\" stroke=\"var(--c{color})\" data-name=\"{}\" d=\"",
                escape(curve.name)
            );
            trace(&mut svg, bins.iter().map(|b| (px(b.x), py(b.mean))));
            svg.push_str("\"/>");
            for (x, [low, high]) in &curve.intervals {
                let (x, y1, y2) = (px(*x), py(*low), py(*high));
                let _ = write!(
                    svg,
                    "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1:.1}\" y2=\"{y2:.1}\" stroke=\"var(--c{color})\" \
                     stroke-width=\"4\" stroke-linecap=\"round\" opacity=\".25\"/>"
                );
            }
            // Few points are measurements, each of which is shown.
            for bin in bins.iter().filter(|_| bins.len() <= MARKED) {
                let (x, y) = (px(bin.x), py(bin.mean));
                let _ = write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"var(--c{color})\"/>");
            }
        }
        for (value, name) in &self.references {
            let y = py(if self.log { value.log10() } else { *value });
            let _ = write!(
                svg,
                "<line class=\"ref\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                if y < top + 14.0 { y + 13.0 } else { y - 4.0 },
                escape(name)
            );
        }
        let _ = write!(svg, "<line class=\"cursor\" y1=\"{top}\" y2=\"{bottom}\" x1=\"0\" x2=\"0\"/></svg>");
        let last = match &self.curves[..] {
            [only] if self.shows_last => only
                .points
                .iter()
                .rev()
                .find(|p| p.1.is_finite())
                .map(|p| format!("<span class=\"now\">{}</span>", number(p.1))),
            _ => None,
        };
        let note =
            if self.note.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", escape(self.note)) };
        let keys =
            if self.curves.len() > 1 { keys(self.curves.iter().map(|c| (c.name, c.color))) } else { String::new() };
        let last = last.unwrap_or_default();
        format!("<figure><figcaption>{title}{last}</figcaption>{keys}{svg}{note}</figure>")
    }
}

fn power_of_ten(exponent: f64) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = format!("{:.0}", exponent.abs());
    let raised: String = digits.bytes().map(|d| DIGITS[usize::from(d - b'0')]).collect();
    format!("10{}{raised}", if exponent < 0.0 { "⁻" } else { "" })
}

/// `M x,yL x,y…`
/// The beginning of a name that is longer than `most` characters.
fn cut(name: &str, most: usize) -> String {
    let whole = name.chars().count() <= most;
    if whole { name.to_owned() } else { name.chars().take(most - 1).chain(['…']).collect() }
}

fn trace(svg: &mut String, points: impl Iterator<Item = (f64, f64)>) {
    for (i, (x, y)) in points.enumerate() {
        let _ = write!(svg, "{}{x:.1},{y:.1}", if i == 0 { 'M' } else { 'L' });
    }
}

/// A legend of names and colors.
pub(crate) fn keys<'a>(entries: impl Iterator<Item = (&'a str, usize)>) -> String {
    let entries = entries.map(|(name, color)| {
        format!("<li><i style=\"background:var(--c{})\"></i>{}</li>", color % COLORS, escape(name))
    });
    format!("<ul class=\"keys\">{}</ul>", entries.collect::<String>())
}

/// A value on an axis, with the interval in which it lies.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    pub name: String,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    pub color: usize,
}

/// Least width of an axis of scores.
const LEAST_SPAN: f64 = 0.1;

/// One row per dot, over a common axis in the unit of the values.
pub(crate) fn dot_chart(title: &str, note: &str, dots: &[Dot], chance: Option<f64>) -> String {
    let row = 26.0;
    let (left, right, top) = (86.0, 318.0, 6.0);
    let bottom = top + row * dots.len() as f64;
    let ends = dots.iter().flat_map(|d| d.interval.into_iter().flatten().chain([d.value])).chain(chance);
    let Some((low, high)) = span(ends.filter(|v| v.is_finite())) else { return String::new() };
    // A hundredth of a score is no picture's width.
    let pad = ((high - low) * 0.08).max((LEAST_SPAN - (high - low)) / 2.0);
    let (x0, x1) = ((low - pad).max(0.0).min(low), (high + pad).min(1.0).max(high));
    let px = |x: f64| left + (x - x0) / (x1 - x0) * (right - left);
    let height = bottom + 22.0;
    let title = escape(title);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">");
    let marks = ticks(x0, x1, 5);
    let step = if marks.len() > 1 { marks[1] - marks[0] } else { x1 - x0 };
    for &mark in &marks {
        let x = px(mark);
        let _ = write!(
            svg,
            "<line class=\"gridline\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            bottom + 15.0,
            tick_label(mark, step)
        );
    }
    if let Some(chance) = chance {
        let x = px(chance);
        let _ = write!(svg, "<line class=\"ref\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>");
    }
    for (i, dot) in dots.iter().enumerate() {
        let (y, color) = (top + row * (i as f64 + 0.5), dot.color % COLORS);
        let (name, shown) = (escape(&dot.name), escape(&cut(&dot.name, 15)));
        let _ = write!(svg, "<text class=\"s\" x=\"0\" y=\"{:.1}\">{shown}<title>{name}</title></text>", y + 4.0);
        if let Some([low, high]) = dot.interval {
            let _ = write!(
                svg,
                "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\" stroke=\"var(--c{color})\" stroke-width=\"5\" \
                 stroke-linecap=\"round\" opacity=\".3\"/>",
                px(low),
                px(high)
            );
        }
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y}\" r=\"4.5\" fill=\"var(--c{color})\"/>\
             <text class=\"s\" x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{:.3}</text>",
            px(dot.value),
            y + 4.0,
            dot.value
        );
    }
    let note = if note.is_empty() { String::new() } else { format!("<p class=\"note\">{}</p>", escape(note)) };
    format!("<figure><figcaption>{title}</figcaption>{svg}</svg>{note}</figure>")
}

/// A matrix of values, the darker the higher, each with its number. `None` is left blank.
pub(crate) fn heat_map(title: &str, note: &str, names: [&[String]; 2], values: &[Vec<Option<f64>>]) -> String {
    let [rows, columns] = names;
    let (left, top) = (104.0, 8.0);
    let cell = [((WIDTH - left) / columns.len() as f64).min(52.0), 26.0];
    let longest = columns.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let height = top + cell[1] * rows.len() as f64 + 16.0 + 4.6 * longest as f64;
    let known = || values.iter().flatten().flatten().copied();
    let (low, high) = span(known()).unwrap_or((0.0, 1.0));
    let title = escape(title);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\">");
    for (i, (name, row)) in rows.iter().zip(values).enumerate() {
        let y = top + cell[1] * i as f64;
        let middle = y + cell[1] / 2.0 + 4.0;
        let _ =
            write!(svg, "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>", left - 6.0, escape(name));
        for (j, value) in row.iter().enumerate() {
            let Some(value) = value else { continue };
            let x = left + cell[0] * j as f64;
            let opacity = 0.08 + 0.72 * (value - low) / (high - low);
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"var(--c0)\" \
                 fill-opacity=\"{opacity:.2}\"/>\
                 <text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"middle\" style=\"fill:var(--ink)\">{:.1}</text>",
                cell[0] - 1.0,
                cell[1] - 1.0,
                x + cell[0] / 2.0,
                100.0 * value
            );
        }
    }
    for (j, name) in columns.iter().enumerate() {
        let (x, y) = (left + cell[0] * (j as f64 + 0.5) + 4.0, top + cell[1] * rows.len() as f64 + 8.0);
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" transform=\"rotate(-50 {x:.1} {y:.1})\">{}</text>",
            escape(name)
        );
    }
    format!("<figure><figcaption>{title}</figcaption>{svg}</svg><p class=\"note\">{}</p></figure>", escape(note))
}

/// The drawing of a figure as an SVG file of its own, in the page's light colors, with a title and the names of its curves
/// above; `None` where it has none.
pub(crate) fn standalone(figure: &str, title: &str, curves: &[String]) -> Option<String> {
    const LINE: f64 = 16.0;
    let drawing = &figure[figure.find("<svg ")? + 5..figure.find("</svg>")?];
    let (attributes, content) = drawing.split_once('>')?;
    // Names side by side, as many as a line takes.
    let (mut x, mut line, mut legend) = (0.0, 1.0, String::new());
    for (i, name) in curves.iter().enumerate() {
        let width = 22.0 + 6.0 * name.chars().count() as f64;
        if x > 0.0 && x + width > WIDTH {
            (x, line) = (0.0, line + 1.0);
        }
        let (y, color) = (line * LINE, i % COLORS);
        let _ = write!(
            legend,
            "<circle cx=\"{:.0}\" cy=\"{:.0}\" r=\"4\" fill=\"var(--c{color})\"/><text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
            x + 4.0,
            y - 4.0,
            x + 12.0,
            escape(name)
        );
        x += width;
    }
    let (before, rest) = attributes.split_once("viewBox=\"0 0 ")?;
    let (size, after) = rest.split_once('"')?;
    let (width, height) = size.split_once(' ')?;
    let (width, height): (f64, f64) = (width.parse().ok()?, height.parse().ok()?);
    let lines = if curves.is_empty() { 1.0 } else { 1.0 + line };
    let (margin, above) = (10.0, lines * LINE + 6.0);
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" style=\"background:var(--panel)\" {before}viewBox=\"{:.0} {:.0} {:.0} {:.0}\"{after}>\
         <style>{}{}</style><g transform=\"translate(0 {:.0})\"><text class=\"s\" y=\"0\">{}</text>{legend}</g>{content}</svg>\n",
        -margin,
        -above - margin,
        width + 2.0 * margin,
        height + above + 2.0 * margin,
        include_str!("style.css").split("@media").next()?,
        ".gridline{stroke:var(--grid)}.axis{stroke:var(--line)}text{fill:var(--muted);font:11px sans-serif}\
         text.s{fill:var(--ink);font-weight:600}\
         .line{fill:none;stroke-width:1.8}.band{opacity:.18}.ref{stroke:var(--muted);stroke-dasharray:3 3}.cursor{display:none}",
        LINE - above - 4.0,
        escape(title),
    ))
}

/// Rows of shares, true class by predicted class, the darker the more.
pub(crate) fn confusion(classes: &[String], counts: &[Vec<u32>]) -> String {
    // What the test data lack and nothing was taken for says nothing.
    let occurs = |i: usize| counts[i].iter().any(|&count| count > 0) || counts.iter().any(|row| row[i] > 0);
    let shown: Vec<usize> = (0..counts.len()).filter(|&i| occurs(i)).collect();
    let left_out = counts.len() - shown.len();
    let n = shown.len().max(1) as f64;
    let (left, top) = (100.0, 8.0);
    let cell = ((WIDTH - left) / n).min(27.0);
    let (width, height) = (left + cell * n, top + cell * n + 84.0);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {:.0} {height:.0}\" role=\"img\" aria-label=\"confusion matrix\">",
        width.max(WIDTH)
    );
    let short = |name: &str| escape(&cut(name, 16));
    let font = cell.clamp(4.0, 11.0);
    for (place, &i) in shown.iter().enumerate() {
        let total: f64 = counts[i].iter().map(|&count| f64::from(count)).sum();
        let y = top + cell * place as f64;
        let name = classes.get(i).cloned().unwrap_or_else(|| i.to_string());
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" style=\"font-size:{font}px\">{}</text>",
            left - 6.0,
            y + cell * 0.5 + font * 0.35,
            short(&name)
        );
        let x = left + cell * (place as f64 + 0.5) + font * 0.35;
        let y_name = top + cell * n + 6.0;
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y_name:.1}\" text-anchor=\"end\" style=\"font-size:{font}px\" \
             transform=\"rotate(-60 {x:.1} {y_name:.1})\">{}</text>",
            short(&name)
        );
        for (place, &j) in shown.iter().enumerate() {
            let count = counts[i][j];
            let share = if total > 0.0 { f64::from(count) / total } else { 0.0 };
            let color = if i == j { "var(--c0)" } else { "var(--c2)" };
            let opacity = if share > 0.0 { 0.06 + 0.94 * share.sqrt() } else { 0.0 };
            let predicted = classes.get(j).cloned().unwrap_or_else(|| j.to_string());
            let x = left + cell * place as f64;
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"var(--grid)\"/>\
                 <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\" fill=\"{color}\" \
                 fill-opacity=\"{opacity:.2}\"><title>{} seen as {}: {:.1} %</title></rect>",
                cell - 1.0,
                cell - 1.0,
                cell - 1.0,
                cell - 1.0,
                escape(&name),
                escape(&predicted),
                100.0 * share
            );
        }
    }
    svg.push_str("</svg>");
    let left_out = match left_out {
        0 => String::new(),
        more => format!(" Left out: {more} of {} classes, which the test data lack.", counts.len()),
    };
    format!(
        "<figure><figcaption>Confusion</figcaption>{svg}<p class=\"note\">Rows: true class; columns: predicted. Each row adds up to \
         100 %.{left_out}</p></figure>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(3.9, 6.1, 4), [4.0, 5.0, 6.0]);
        assert_eq!(tick_label(0.6000000000000001, 0.2), "0.6");
        assert_eq!(tick_label(-20_000.0, 5000.0), "−20k");
        assert_eq!(power_of_ten(-12.0), "10⁻¹²");
    }

    #[test]
    fn long_curves_are_gathered_and_keep_their_extremes() {
        let points: Vec<(f64, f64)> =
            (0..100_000).map(|i| (f64::from(i), if i == 70_000 { 9.0 } else { 1.0 })).collect();
        let bins = bins(&points);
        assert!(bins.len() <= BINS);
        assert_eq!(bins.iter().map(|b| b.high).fold(0.0, f64::max), 9.0);
        let chart = LineChart { title: "a", x: "step", curves: vec![Curve::new("a", 0, points)], ..Default::default() };
        assert!(chart.figure().len() < 8000);
    }

    #[test]
    fn nothing_constant_and_not_finite_values_are_drawn_without_nan() {
        for points in
            [vec![], vec![(1.0, 2.0)], vec![(0.0, 0.0), (1.0, 0.0)], vec![(0.0, f64::NAN), (1.0, f64::INFINITY)]]
        {
            for log in [false, true] {
                let curve = Curve::new("a", 0, points.clone());
                let html = LineChart { title: "a", x: "x", curves: vec![curve], log, ..Default::default() }.figure();
                assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            }
        }
    }
}
