//! Every key of a recipe: what it holds, within which bounds, and what it is for.
//!
//! One table serves checking, error messages, `selfsame list keys` and the order in which plans are written.

use toml::Value;

/// A key of a recipe.
#[derive(Debug)]
pub struct Key {
    /// Dotted path; `*` stands for the index of an element, e.g. `views.*.count`.
    pub path: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What it is for, one line.
    pub meaning: &'static str,
}

/// What a key holds.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Integer(Range),
    /// A finite number.
    Number(Range),
    /// Text that is not empty: a name or a path.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of whole numbers; of exactly this length, where one is given.
    Integers(Range, Option<usize>),
    /// A list of finite numbers; of exactly this length, where one is given.
    Numbers(Range, Option<usize>),
}

/// Bounds of a number.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// `low..`
    AtLeast(f64),
    /// More than this.
    Above(f64),
    /// Both ends included.
    Within(f64, f64),
    /// The upper end excluded.
    Under(f64, f64),
}

impl Range {
    fn contains(self, value: f64) -> bool {
        value.is_finite()
            && match self {
                Self::AtLeast(low) => value >= low,
                Self::Above(low) => value > low,
                Self::Within(low, high) => (low..=high).contains(&value),
                Self::Under(low, high) => (low..high).contains(&value),
            }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(low) => write!(f, "of at least {low}"),
            Self::Above(low) => write!(f, "above {low}"),
            Self::Within(low, high) => write!(f, "from {low} to {high}"),
            Self::Under(low, high) => write!(f, "from {low} to below {high}"),
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
            Self::OneOf(words) => write!(f, "{}", one_of(words)),
            Self::Integers(range, length) => list(f, length, "whole numbers", range),
            Self::Numbers(range, length) => list(f, length, "numbers", range),
        }
    }
}

impl Kind {
    /// Whether `value` is of this kind and within its bounds; whole numbers count as numbers.
    pub(super) fn admits(&self, value: &Value) -> bool {
        let within = |range: &Range, value: &Value| as_number(value).is_some_and(|v| range.contains(v));
        match self {
            Self::Flag => value.is_bool(),
            Self::Integer(range) => value.is_integer() && within(range, value),
            Self::Number(range) => within(range, value),
            Self::Text => value.as_str().is_some_and(|s| !s.is_empty()),
            Self::OneOf(words) => value.as_str().is_some_and(|s| words.contains(&s)),
            Self::Integers(range, length) | Self::Numbers(range, length) => value.as_array().is_some_and(|values| {
                let whole = matches!(self, Self::Integers(..));
                length.is_none_or(|n| n == values.len())
                    && values.iter().all(|v| (!whole || v.is_integer()) && within(range, v))
            }),
        }
    }

    /// Whether a value given on the command line is text whatever it looks like.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text | Self::OneOf(_))
    }
}

fn as_number(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|v| v as f64))
}

/// `` `a`, `b` or `c` ``.
pub(super) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<_> = words.iter().map(|w| format!("`{}`", w.as_ref())).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

const SIDE: Kind = Kind::Integer(Range::Within(4.0, 4096.0));
const COUNT: Kind = Kind::Integer(Range::AtLeast(1.0));
const COUNT_OR_ZERO: Kind = Kind::Integer(Range::AtLeast(0.0));
const POSITIVE: Kind = Kind::Number(Range::Above(0.0));
const SHARE: Kind = Kind::Number(Range::Within(0.0, 1.0));
const WIDTH: Kind = Kind::Integer(Range::Within(1.0, 65536.0));
const NORM: Kind = Kind::OneOf(&["batch", "group", "none"]);

const fn key(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    Key { path, kind, meaning }
}

/// All keys, in the order in which plans are written. Keys of `[method]` other than `name`, and those of augmentations
/// other than `name`, are the catalogues' own: see [`super::Known`].
pub static KEYS: &[Key] = &[
    key("seed", COUNT_OR_ZERO, "seed of every random stream"),
    key("out", Kind::Text, "run folder; default runs/<method>-<data name>"),
    key("threads", Kind::Integer(Range::Within(0.0, 1024.0)), "worker threads, 0: one a core; changes no result"),
    key("device", Kind::Text, "where the encoder is trained, e.g. cpu"),
    key("data.path", Kind::Text, "folder or file; demo: the bundled images"),
    key("data.kind", Kind::OneOf(&["folder", "idx", "cifar", "array", "demo"]), "kind of source; default: detected"),
    key(
        "data.channels",
        Kind::Integer(Range::Within(1.0, 16.0)),
        "channels per pixel; default: 3 for folders, else what the data hold",
    ),
    key(
        "data.labels",
        Kind::OneOf(&["none", "folder", "file"]),
        "where labels are: first folder level, or the data file; used for scores only",
    ),
    key("data.size", SIDE, "side of the square the encoder sees, px; default: the data's own, else 224"),
    key("data.mean", Kind::Numbers(Range::Within(-1e6, 1e6), None), "per-channel mean, 0..1; default: computed"),
    key("data.std", Kind::Numbers(Range::Above(0.0), None), "per-channel standard deviation, 0..1; default: computed"),
    key(
        "data.background",
        Kind::Integers(Range::Within(0.0, 255.0), Some(3)),
        "colour under transparent pixels, [r, g, b]",
    ),
    key("data.max_megapixels", POSITIVE, "larger images are refused before they are decoded"),
    key("data.max_bad_share", SHARE, "share of unreadable files at which the run fails"),
    key("data.cache_mb", COUNT_OR_ZERO, "decoded images stay in memory when they fit this, MB"),
    key("backbone.name", Kind::Text, "encoder: selfsame list backbones"),
    key(
        "backbone.widths",
        Kind::Integers(Range::Within(1.0, 8192.0), None),
        "widths of the stages, for backbones that allow a choice",
    ),
    key(
        "backbone.stem",
        Kind::OneOf(&["imagenet", "small"]),
        "first layers; default: small up to 64 px, imagenet above",
    ),
    key("backbone.norm", NORM, "normalisation layers"),
    key("backbone.zero_init_last", Kind::Flag, "blocks start as identities"),
    key(
        "backbone.dim",
        Kind::Integer(Range::Within(4.0, 8192.0)),
        "width of the tokens, for backbones that allow a choice",
    ),
    key(
        "backbone.depth",
        Kind::Integer(Range::Within(1.0, 256.0)),
        "transformer blocks, for backbones that allow a choice",
    ),
    key(
        "backbone.heads",
        Kind::Integer(Range::Within(1.0, 256.0)),
        "attention heads, for backbones that allow a choice",
    ),
    key(
        "backbone.patch_size",
        Kind::Integer(Range::Within(1.0, 256.0)),
        "side of a patch, px; default: 4 up to 64 px, 16 above",
    ),
    key("backbone.pool", Kind::OneOf(&["class", "mean"]), "h is the class token or the tokens' mean"),
    key("backbone.positions", Kind::OneOf(&["learned", "sincos"]), "how tokens know where they stand"),
    key(
        "backbone.drop_path",
        Kind::Number(Range::Under(0.0, 1.0)),
        "share of samples that skip a block's branches, rising to this over the depth",
    ),
    key("projector.layers", Kind::Integer(Range::Within(0.0, 8.0)), "linear layers; 0: the objective sees h itself"),
    key("projector.hidden", WIDTH, "width of the hidden layers"),
    key("projector.out", WIDTH, "width of the embedding z"),
    key("projector.norm", NORM, "normalisation after hidden layers"),
    key("projector.last_norm", Kind::Flag, "whether the last layer is normalised too"),
    key("method.name", Kind::Text, "method: selfsame list methods, which also lists its own keys"),
    key("views.*.count", Kind::Integer(Range::Within(1.0, 64.0)), "views of this group per sample"),
    key("views.*.size", SIDE, "side of these views, px; default: data.size"),
    key(
        "views.*.augmentations.*.name",
        Kind::Text,
        "augmentation: selfsame list augmentations, which also lists its own keys",
    ),
    key("train.epochs", COUNT, "passes over the data"),
    key("train.batch_size", Kind::Integer(Range::AtLeast(2.0)), "samples a step"),
    key("train.chunk_size", COUNT, "samples whose activations are held at once; default: batch_size"),
    key("train.checkpoint_steps", COUNT_OR_ZERO, "steps between checkpoints, 0: by time alone"),
    key("train.checkpoint_minutes", POSITIVE, "minutes between checkpoints"),
    key("train.keep_checkpoints", COUNT, "checkpoints kept"),
    key("train.online_knn_epochs", COUNT_OR_ZERO, "epochs between kNN scores where labels exist, 0: never"),
    key("train.log_steps", COUNT, "steps between lines of metrics.jsonl"),
    key("optimiser.name", Kind::OneOf(&["sgd", "adamw", "lars"]), "update rule"),
    key("optimiser.base_lr", POSITIVE, "learning rate at a batch of 256, scaled with the batch"),
    key("optimiser.momentum", Kind::Number(Range::Under(0.0, 1.0)), "momentum (sgd, lars)"),
    key("optimiser.weight_decay", Kind::Number(Range::AtLeast(0.0)), "weight decay, not on biases and norms"),
    key("optimiser.betas", Kind::Numbers(Range::Under(0.0, 1.0), Some(2)), "decay of the moments (adamw)"),
    key("optimiser.epsilon", POSITIVE, "added to the root of the second moment (adamw)"),
    key("optimiser.trust", POSITIVE, "trust coefficient (lars)"),
    key("optimiser.warmup_epochs", Kind::Number(Range::AtLeast(0.0)), "epochs of linear warm-up, then cosine"),
    key("optimiser.final_lr_share", SHARE, "learning rate at the end, as a share of the peak"),
    key("evaluate.knn_k", COUNT, "neighbours of the kNN vote"),
    key("evaluate.knn_temperature", POSITIVE, "temperature of the kNN vote"),
    key("evaluate.per_class", Kind::Integers(Range::AtLeast(1.0), None), "labels per class of the few-label scores"),
    key("evaluate.draws", COUNT, "random draws of those labels"),
    key("evaluate.probe_axes", COUNT, "the probe sees wider features along this many principal axes"),
    key("evaluate.batch_size", COUNT, "samples a batch when features are computed"),
];

/// Short forms allowed on the command line.
pub static SHORT_FORMS: &[(&str, &str)] = &[
    ("data", "data.path"),
    ("method", "method.name"),
    ("backbone", "backbone.name"),
    ("epochs", "train.epochs"),
    ("batch_size", "train.batch_size"),
    ("chunk_size", "train.chunk_size"),
    ("size", "data.size"),
];

/// The entry of a concrete path such as `views.0.count`.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| fits(key.path, path))
}

/// First segments of the keys that lie in tables, each once, in order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().filter_map(|key| key.path.split_once('.')).map(|(head, _)| head).collect();
    sections.dedup();
    sections
}

/// Whether `path` is a table (or a list of tables) that holds keys.
pub(super) fn is_table(path: &str) -> bool {
    let depth = path.split('.').count();
    KEYS.iter().any(|key| {
        let head: Vec<_> = key.path.split('.').take(depth).collect();
        key.path.split('.').count() > depth && fits(&head.join("."), path)
    })
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(index)) if index.parse::<usize>().is_ok() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// The candidate that `given` was most likely meant to be, if any is near enough. Full paths are compared, and last
/// segments, so that `batchsize` finds `train.batch_size`.
pub(super) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_lowercase();
    let wanted = last(given);
    let mut best = (0.6, None);
    for candidate in candidates {
        let tail = last(candidate);
        let word = tail.split('_').any(|w| w == wanted) || wanted.split('_').any(|w| w == tail);
        let whole = strsim::normalized_damerau_levenshtein(&given.to_lowercase(), candidate);
        let score = whole
            .max(0.95 * strsim::normalized_damerau_levenshtein(&wanted, &tail) + 0.05 * whole)
            .max(if word { 0.7 } else { 0.0 });
        if score > best.0 {
            best = (score, Some(candidate));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_what_was_meant_and_nothing_far() {
        let paths = || KEYS.iter().map(|k| k.path);
        for (given, meant) in [
            ("batchsize", "train.batch_size"),
            ("train.epoch", "train.epochs"),
            ("trian.epochs", "train.epochs"),
            ("optimizer.base_lr", "optimiser.base_lr"),
            ("lr", "optimiser.base_lr"),
            ("data.pth", "data.path"),
            ("Seed", "seed"),
        ] {
            assert_eq!(nearest(given, paths()), Some(meant), "{given}");
        }
        assert_eq!(nearest("quux", paths()), None);
    }

    #[test]
    fn ranges_hold_their_ends_and_refuse_what_is_not_a_number() {
        let inside = |range: Range, v: f64| range.contains(v);
        assert!(inside(Range::AtLeast(2.0), 2.0) && !inside(Range::AtLeast(2.0), 1.9));
        assert!(!inside(Range::Above(0.0), 0.0) && inside(Range::Above(0.0), 1e-300));
        assert!(inside(Range::Within(0.0, 1.0), 1.0) && !inside(Range::Under(0.0, 1.0), 1.0));
        assert!(!inside(Range::AtLeast(0.0), f64::NAN) && !inside(Range::AtLeast(0.0), f64::INFINITY));
    }
}
