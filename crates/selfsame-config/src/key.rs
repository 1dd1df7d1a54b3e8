//! A key of a recipe: what it holds, within which bounds, where its value comes from when nobody gives one, and what it is
//! for. Keys are written where the part that they configure is written, by [`settings!`](crate::settings).

use crate::tree::Node;
use selfsame_base::lookup::one_of;
use toml::Value;

/// A key, as its part states it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name within its table.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its value when nobody gives one.
    pub preset: Preset,
    /// What it is for, one line.
    pub meaning: &'static str,
    /// Whether a training with another value is another training. Records, caches and evaluations are not.
    pub changes_training: bool,
}

impl Key {
    /// The value of [`Preset::Value`], or that of [`Preset::DataOr`] where the data tell nothing.
    pub fn preset_value(&self) -> Option<Value> {
        let (Preset::Value(text) | Preset::DataOr(_, text)) = self.preset else { return None };
        let table = format!("value = {text}").parse::<toml::Table>();
        Some(table.unwrap_or_else(|e| panic!("the default of {}: {e}", self.name)).remove("value").expect("one value"))
    }
}

/// Where a value comes from when nobody gives one.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// This, as TOML.
    Value(&'static str),
    /// From other keys: how, in words, and by a function that knows those that are settled.
    Derived(&'static str, fn(&Settled) -> Option<Value>),
    /// From the data: how, in words.
    Data(&'static str),
    /// From the data, or this, as TOML, where no data are opened: the key came later than plans that lack it.
    DataOr(&'static str, &'static str),
    /// From nowhere.
    Required,
}

impl std::fmt::Display for Preset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(text) => f.write_str(text),
            Self::Derived(how, _) | Self::Data(how) | Self::DataOr(how, _) => f.write_str(how),
            Self::Required => f.write_str("must be given"),
        }
    }
}

/// The values that are settled so far, by dotted path.
pub struct Settled<'a>(pub(crate) &'a Node);

impl Settled<'_> {
    /// Any value.
    pub fn value(&self, path: &str) -> Option<Value> {
        self.0.get(path).map(|node| node.clone().into_value())
    }

    /// A whole number that is not negative.
    pub fn count(&self, path: &str) -> Option<usize> {
        self.value(path)?.as_integer()?.try_into().ok()
    }

    /// `[height, width]`, which a number gives both of.
    pub fn sides(&self, path: &str) -> Option<[usize; 2]> {
        let side = |value: &Value| usize::try_from(value.as_integer()?).ok();
        match &self.value(path)? {
            Value::Array(sides) => Some([side(sides.first()?)?, side(sides.get(1)?)?]),
            both => side(both).map(|side| [side; 2]),
        }
    }

    /// Text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.text(path)
    }
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer(Range),
    /// A finite number.
    Number(Range),
    /// Text that is not empty: a name or a path.
    Text,
    /// A list of these.
    Texts,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a number.
    WordOrNumber(&'static [&'static str], Range),
    /// A whole number for both sides, or `[height, width]`.
    Sides(Range),
    /// A list of whole numbers; of exactly this length, where one is given.
    Integers(Range, Option<usize>),
    /// A list of finite numbers; of exactly this length, where one is given.
    Numbers(Range, Option<usize>),
    /// `[low, high]`, of which values are drawn uniformly.
    Interval(Range),
    /// A list of numbers, one per channel, or one for all channels.
    PerChannel(Range),
}

impl Kind {
    /// A whole number of at least 1.
    pub const COUNT: Self = Self::Integer(Range::Within(1.0, 1e9));
    /// A whole number of at least 0.
    pub const COUNT_OR_ZERO: Self = Self::Integer(Range::Within(0.0, 1e9));
    /// A number above 0.
    pub const POSITIVE: Self = Self::Number(Range::Above(0.0));
    /// A number of at least 0.
    pub const NOT_NEGATIVE: Self = Self::Number(Range::AtLeast(0.0));
    /// A share: 0 to 1.
    pub const SHARE: Self = Self::Number(Range::Within(0.0, 1.0));
    /// A factor of an average: 0 to below 1.
    pub const MOMENTUM: Self = Self::Number(Range::Under(0.0, 1.0));
    /// Width of a layer.
    pub const WIDTH: Self = Self::Integer(Range::Within(1.0, 65536.0));
    /// Sides of a sample: px of images, steps in time of signals, 1 of vectors.
    pub const SIDES: Self = Self::Sides(Range::Within(1.0, 65536.0));

    /// Whether `value` is of this kind and within its bounds; whole numbers count as numbers.
    pub fn admits(&self, value: &Value) -> bool {
        let within = |range: &Range, value: &Value| number(value).is_some_and(|v| range.contains(v));
        let word = |words: &[&str]| value.as_str().is_some_and(|s| words.contains(&s));
        let list = |range: &Range, length: Option<usize>, whole: bool| {
            value.as_array().is_some_and(|values| {
                length.is_none_or(|n| n == values.len())
                    && values.iter().all(|v| (!whole || v.is_integer()) && within(range, v))
            })
        };
        match self {
            Self::Flag => value.is_bool(),
            Self::Integer(range) => value.is_integer() && within(range, value),
            Self::Number(range) => within(range, value),
            Self::Text => value.as_str().is_some_and(|s| !s.is_empty()),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(|item| Self::Text.admits(item))),
            Self::Word(words) => word(words),
            Self::WordOrNumber(words, range) => word(words) || within(range, value),
            Self::Sides(range) => Self::Integer(*range).admits(value) || list(range, Some(2), true),
            Self::Integers(range, length) => list(range, *length, true),
            Self::Numbers(range, length) => list(range, *length, false),
            Self::Interval(range) => {
                let ends = value.as_array().map(|ends| ends.iter().filter_map(number).collect::<Vec<_>>());
                list(range, Some(2), false) && ends.is_some_and(|ends| ends[0] <= ends[1])
            }
            Self::PerChannel(range) => {
                list(range, None, false) && value.as_array().is_some_and(|list| !list.is_empty())
            }
        }
    }

    /// Whether a value given on the command line is text whatever it looks like.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::Word(_))
    }

    /// Whether whole numbers stand for floating-point ones, so that `p = 1` and `p = 1.0` are one plan.
    pub(crate) fn is_floating(&self) -> bool {
        matches!(
            self,
            Self::Number(_) | Self::Numbers(..) | Self::WordOrNumber(..) | Self::Interval(_) | Self::PerChannel(_)
        )
    }
}

/// Bounds of a number.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// Any finite number.
    Any,
    /// `low..`
    AtLeast(f64),
    /// More than this.
    Above(f64),
    /// Both ends included.
    Within(f64, f64),
    /// The upper end excluded.
    Under(f64, f64),
    /// The lower end excluded.
    Over(f64, f64),
}

impl Range {
    /// Whether `value` is finite and within the bounds.
    pub fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::Any => true,
                Self::AtLeast(low) => value >= low,
                Self::Above(low) => value > low,
                Self::Within(low, high) => (low..=high).contains(&value),
                Self::Under(low, high) => (low..high).contains(&value),
                Self::Over(low, high) => value > low && value <= high,
            }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("of any size"),
            Self::AtLeast(low) => write!(f, "of at least {low}"),
            Self::Above(low) => write!(f, "above {low}"),
            // Beyond a billion the upper end is there to refuse slips, not to be told.
            Self::Within(low, high) if *high >= 1e9 => write!(f, "of at least {low}"),
            Self::Within(low, high) => write!(f, "from {low} to {high}"),
            Self::Under(low, high) => write!(f, "from {low} to below {high}"),
            Self::Over(low, high) => write!(f, "above {low} up to {high}"),
        }
    }
}

impl std::fmt::Display for Kind {
    /// What would have been right: the end of "expected …".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |f: &mut std::fmt::Formatter<'_>, length: &Option<usize>, what: &str, range: &Range| match length {
            Some(n) => write!(f, "a list of {n} {what}, each {range}"),
            None => write!(f, "a list of {what}, each {range}"),
        };
        match self {
            Self::Flag => write!(f, "true or false"),
            Self::Integer(range) => write!(f, "a whole number {range}"),
            Self::Number(range) => write!(f, "a number {range}"),
            Self::Text => write!(f, "text"),
            Self::Texts => write!(f, "a list of text"),
            Self::Word(words) => write!(f, "{}", one_of(words)),
            Self::WordOrNumber(words, range) => write!(f, "{} or a number {range}", one_of(words)),
            Self::Integers(range, length) => list(f, length, "whole numbers", range),
            Self::Numbers(range, length) => list(f, length, "numbers", range),
            Self::Sides(range) => write!(f, "a whole number {range}, or [height, width]"),
            Self::Interval(range) => write!(f, "[low, high], both numbers {range}"),
            Self::PerChannel(range) => write!(f, "a list of numbers, one per channel or one for all, each {range}"),
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|v| v as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_ends_and_refuse_what_is_not_a_number() {
        let inside = |range: Range, v: f64| range.contains(v);
        assert!(inside(Range::AtLeast(2.0), 2.0) && !inside(Range::AtLeast(2.0), 1.9));
        assert!(!inside(Range::Above(0.0), 0.0) && inside(Range::Above(0.0), 1e-300));
        assert!(inside(Range::Within(0.0, 1.0), 1.0) && !inside(Range::Under(0.0, 1.0), 1.0));
        assert!(inside(Range::Over(0.0, 1.0), 1.0) && !inside(Range::Over(0.0, 1.0), 0.0));
        for v in [f64::NAN, f64::INFINITY] {
            assert!(!inside(Range::AtLeast(0.0), v) && !inside(Range::Above(0.0), v) && !inside(Range::Any, v));
        }
    }

    #[test]
    fn kinds_admit_what_they_describe() {
        let admits = |kind: Kind, text: &str| {
            let table: toml::Table = format!("v = {text}").parse().expect("TOML");
            kind.admits(&table["v"])
        };
        let share = Range::Within(0.0, 1.0);
        assert!(admits(Kind::Interval(share), "[0.2, 1]") && !admits(Kind::Interval(share), "[1, 0.2]"));
        assert!(!admits(Kind::Interval(share), "[0.2]") && !admits(Kind::Interval(share), "[0.2, 2]"));
        assert!(admits(Kind::PerChannel(share), "[0.5]") && !admits(Kind::PerChannel(share), "[]"));
        assert!(
            admits(Kind::WordOrNumber(&["mean"], share), "\"mean\"") && admits(Kind::WordOrNumber(&[], share), "1")
        );
        assert!(admits(Kind::COUNT, "7") && !admits(Kind::COUNT, "7.0") && !admits(Kind::COUNT, "4611686018427387904"));
        assert!(
            !admits(Kind::Integers(share, Some(2)), "[1]") && !admits(Kind::Flag, "1") && !admits(Kind::Text, "\"\"")
        );
    }
}
