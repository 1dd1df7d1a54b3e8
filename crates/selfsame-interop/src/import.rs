//! The encoder in a file or a folder that another tool wrote.
//!
//! Checkpoints keep an encoder under many prefixes (`state_dict.module.encoder_q.`, `teacher.backbone.`), beside heads, queues
//! and optimizers. It is found by a parameter that every network of its family has, in each of the [styles](STYLES): what stands
//! before that is the prefix. Shapes then say which network it is, and every tensor of that must be there; what belongs to no
//! encoder is left out, and told.

use crate::names::{STYLES, Style};
use crate::network::{Network, Shapes, Vit};
use crate::read::{self, Entry, StateDict};
use crate::tensors::{Tensor, Tensors};
use crate::{Encoder, Origin, Sample};
use selfsame_base::{DataError, files};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Files of weights in folders of timm and transformers, the one that is read first.
const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// What timm and transformers say of a network.
const CONFIG: &str = "config.json";
/// What transformers say of its input.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Means and deviations of ImageNet, by which nearly all published networks were trained.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];
/// Bytes of a file that are read at most.
const MOST_BYTES: u64 = 1 << 36;
/// Lengths of the axes of weights.
const LENGTHS: std::ops::RangeInclusive<usize> = 1..=1 << 24;
/// Names that a line shows.
const SHOWN: usize = 3;

/// An encoder that another tool wrote, and what was done to read it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The encoder.
    pub encoder: Encoder,
    /// What was done.
    pub report: Report,
}

/// What became of the tensors of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whose names they had, and before which prefix.
    pub found: String,
    /// What was read as it is.
    pub loaded: usize,
    /// What had to be changed, and what was assumed, a line each.
    pub adapted: Vec<String>,
    /// What belongs to no encoder: first parts of names, and how many tensors each.
    pub ignored: BTreeMap<String, usize>,
}

impl Report {
    /// The report, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{}: {} tensors", self.found, self.loaded)];
        lines.extend(self.adapted.iter().cloned());
        if !self.ignored.is_empty() {
            let mut most: Vec<(&String, &usize)> = self.ignored.iter().collect();
            most.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
            let named = most.iter().take(8).map(|(name, count)| format!("{} ({count})", name.escape_debug()));
            let mut line = format!("not of the encoder, left out: {}", named.collect::<Vec<_>>().join(", "));
            if most.len() > 8 {
                let _ = write!(line, " and {} more", most.len() - 8);
            }
            lines.push(line);
        }
        lines
    }
}

/// Whether `path` is, by its name alone, a file or a folder that another tool wrote.
pub fn is_one(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
    let ending = ["safetensors", "pth", "pt", "ckpt", "bin", "tar"].contains(&ending.as_str());
    if path.is_dir() { weights_in(path).is_some() } else { ending && path.is_file() }
}

fn weights_in(folder: &Path) -> Option<PathBuf> {
    WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads the encoder at `path`: a file of weights, or a folder of timm's or transformers'.
///
/// # Errors
/// If there is none, the file is damaged or wants code to be run, or it is of a network that is not known.
pub fn open(path: &Path) -> Result<Imported, DataError> {
    let file = if path.is_dir() { weights_in(path) } else { Some(path.to_owned()) };
    let file = file.ok_or_else(|| told(path, &format!("neither {} nor {} is in it", WEIGHTS[0], WEIGHTS[1])))?;
    let bytes =
        files::read(&file, MOST_BYTES).map_err(|cause| DataError::Io { path: file.clone(), cause, hint: None })?;
    // Beside a file that is called otherwise, a config is that of something else.
    let of_folder = path.is_dir() || WEIGHTS.iter().any(|name| file.file_name().is_some_and(|own| own == *name));
    let folder = file.parent().filter(|_| of_folder);
    let json = |name: &str| {
        let text = files::read_text(&folder?.join(name)).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    let about =
        About { config: json(CONFIG).unwrap_or_default(), preprocessor: json(PREPROCESSOR).unwrap_or_default() };
    parse(&bytes, &about).map_err(|problem| told(&file, &problem))
}

fn told(path: &Path, problem: &str) -> DataError {
    DataError::Data(format!("{}: {problem}", path.display()))
}

/// What a folder says beside the weights.
#[derive(Debug, Default)]
pub struct About {
    /// `config.json`.
    pub config: Value,
    /// `preprocessor_config.json`.
    pub preprocessor: Value,
}

/// The encoder in the bytes of a file.
///
/// # Errors
/// One line, as for [`open`].
pub fn parse(bytes: &[u8], about: &About) -> Result<Imported, String> {
    let state = read::state_dict(bytes)?;
    let Found { style, prefix, mut own, ignored } = find(&state)?;
    let mut report = Report { ignored, ..Report::default() };
    let mut shapes: Shapes = own.iter().map(|(name, entry)| (name.clone(), entry.shape().to_vec())).collect();
    if let Some((name, shape)) = shapes.iter().find(|(_, shape)| shape.iter().any(|length| !LENGTHS.contains(length))) {
        return Err(format!("{prefix}{} has shape {shape:?}, which is no weight's", name.escape_debug()));
    }
    join_shapes(&mut shapes);
    shapes.iter_mut().for_each(|(name, shape)| flatten_gains(name, shape));
    if let Some(part) = part_that_ours_lack(&shapes) {
        return Err(format!("a vision transformer with {part}, which is not known here"));
    }
    let mut network = Network::of_shapes(&shapes).ok_or_else(|| unknown(&state))?;
    let channels = ["conv1.weight", "patch_embed.proj.weight", "stem.0.weight"]
        .iter()
        .find_map(|name| shapes.get(*name)?.get(1).copied());
    let channels = channels.unwrap_or(3);
    let size = match &mut network {
        Network::Vit(vit) => {
            about.check(vit)?;
            let (side, before) = grid(&shapes, vit)?;
            // The network's own layout, to which positions are brought below.
            shapes.insert("pos_embed".into(), vec![1, vit.positions_before() + side * side, vit.dim]);
            if before != vit.positions_before() {
                report.adapted.push(match before {
                    0 => "the class token has no position: it gets one of zeros".into(),
                    _ => "the positions of the tokens before the patches are added to these tokens".into(),
                });
            }
            side * vit.patch_size
        }
        Network::ResNet(net) if net.imagenet_stem => 224,
        Network::ConvNext(net) if net.patch_size >= 4 => 224,
        _ => 32,
    };
    let (nearest, name) = match network.backbone() {
        Some(choice) => (network.clone(), choice.name),
        None => network.nearest().map(|(network, name)| (network, name.to_owned())).ok_or_else(|| unknown(&state))?,
    };
    let expected = nearest.shapes(channels, [size; 2]);
    if let Some(differences) = differences(&shapes, &expected, &|ours| match style.theirs(ours) {
        Some(theirs) => format!("{prefix}{theirs}"),
        None => format!("{prefix}{ours}"),
    }) {
        return Err(format!("a network that is not known here; nearest is {name}, but {differences}"));
    }
    let backbone = network.backbone().expect("what is as expected is known");
    let values: u128 = expected.values().map(|shape| shape.iter().map(|&n| n as u128).product::<u128>()).sum();
    // Numbers take two bytes at least, and no tensor of an encoder shows those of another.
    if 2 * values > bytes.len() as u128 {
        return Err("its tensors are more than the file holds; it is damaged, fetch it again".into());
    }
    let mut tensors = BTreeMap::new();
    for (name, entry) in std::mem::take(&mut own) {
        let mut tensor = entry.read().map_err(|problem| format!("{prefix}{} {problem}", name.escape_debug()))?;
        flatten_gains(&name, &mut tensor.shape);
        tensors.insert(name, tensor);
    }
    report.loaded = tensors.len();
    if let Network::Vit(vit) = &network {
        join(&mut tensors, vit.depth);
        place(&mut tensors, vit, size / vit.patch_size);
    }
    let prefix = if prefix.is_empty() { String::new() } else { format!(" under {}", prefix.escape_debug()) };
    report.found = format!("{name} by the names of {}{prefix}", style.name);
    let (mean, std) = about.normalization(channels, &mut report);
    let width = match &network {
        Network::ResNet(net) => net.widths.last().copied().unwrap_or(0) * if net.bottleneck { 4 } else { 1 },
        Network::Vit(net) => net.dim,
        Network::ConvNext(net) => net.widths.last().copied().unwrap_or(0),
        Network::BeliefNetwork { .. } | Network::Mlp { .. } | Network::Tcn(_) | Network::CpcEncoder(_) => {
            unreachable!("shapes do not tell these")
        }
    };
    let is_vit = matches!(network, Network::Vit(_));
    let encoder = Encoder {
        sample: Sample::Image,
        backbone,
        channels,
        size: [if is_vit { size } else { about.size().unwrap_or(size) }; 2],
        mean,
        std,
        range: [0.0, 1.0],
        interpolation: about.interpolation().unwrap_or(if is_vit { "bicubic" } else { "bilinear" }),
        width,
        tensors: tensors.into_iter().collect::<Tensors>(),
        head: None,
        origin: Origin::default(),
    };
    Ok(Imported { encoder, report })
}

/// An encoder among tensors.
struct Found<'s, 'a> {
    style: &'static Style,
    prefix: &'s str,
    own: BTreeMap<String, &'s Entry<'a>>,
    ignored: BTreeMap<String, usize>,
}

/// Finds the encoder: of several the teacher of a student, but no other copy that follows the one that learns.
fn find<'s, 'a>(state: &'s StateDict<'a>) -> Result<Found<'s, 'a>, String> {
    let anchored = |style: &'static Style| {
        let prefixes = state.keys().filter_map(|name| name.strip_suffix(style.anchor));
        prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).map(move |prefix| (style, prefix))
    };
    let rank = |prefix: &str| {
        let has = |words: &[&str]| prefix.split(['.', '_']).any(|part| words.contains(&part));
        match () {
            () if has(&["teacher"]) => 0,
            () if has(&["momentum", "target", "k", "key", "ema", "student"]) => 2,
            () => 1,
        }
    };
    let best = STYLES.iter().flat_map(anchored).min_by_key(|(_, prefix)| (rank(prefix), prefix.len()));
    let (style, prefix) = best.ok_or_else(|| unknown(state))?;
    let mut found = Found { style, prefix, own: BTreeMap::new(), ignored: BTreeMap::new() };
    let mut ignore = |name: &str| *found.ignored.entry(name.to_owned()).or_default() += 1;
    for (name, entry) in state {
        let Some(theirs) = name.strip_prefix(prefix) else {
            ignore(apart(name, prefix));
            continue;
        };
        let first = theirs.split('.').next().unwrap_or(theirs);
        match style.ours(theirs) {
            // How many batches a norm has seen is no part of what it computes.
            _ if theirs.ends_with("num_batches_tracked") => {}
            // What stands where a patch was hidden.
            None if theirs.ends_with("mask_token") => ignore(theirs),
            Some(ours) => {
                if found.own.insert(ours.clone(), entry).is_some() {
                    return Err(format!("it has {} twice, by two names", ours.escape_debug()));
                }
            }
            None if style.is_inside(theirs) => drop(found.own.insert(theirs.to_owned(), entry)),
            None => ignore(first),
        }
    }
    Ok(found)
}

/// The beginning of `name` up to the part that tells it from `prefix`.
fn apart<'s>(name: &'s str, prefix: &str) -> &'s str {
    let same = name.split_inclusive('.').zip(prefix.split_inclusive('.')).take_while(|(name, prefix)| name == prefix);
    let shared: usize = same.map(|(part, _)| part.len()).sum();
    let end = name[shared..].find('.').map_or(name.len(), |length| shared + length);
    &name[..end]
}

/// What a published transformer has that ours lack, where shapes and counts alone would name it badly.
fn part_that_ours_lack(shapes: &Shapes) -> Option<&'static str> {
    let gates = ["mlp.w12.", "mlp.w1.", "mlp.fc1_g.", "mlp.weights_in."];
    let rows = |name: &str, axis: usize| shapes.get(name).and_then(|shape| shape.get(axis)).copied();
    let (into, out_of) = (rows("blocks.0.mlp.fc1.weight", 0), rows("blocks.0.mlp.fc2.weight", 1));
    let halved = into.zip(out_of).is_some_and(|(into, out_of)| out_of.checked_mul(2) == Some(into));
    if shapes.contains_key("dist_token") {
        Some("a distillation token (dist_token)")
    } else if halved || shapes.keys().any(|name| gates.iter().any(|gate| name.contains(gate))) {
        Some("gates in its blocks (SwiGLU)")
    } else {
        None
    }
}

fn unknown(state: &StateDict) -> String {
    let names: Vec<String> = state.keys().take(SHOWN).map(|name| name.escape_debug().take(100).collect()).collect();
    let what =
        if names.is_empty() { "it has no tensors".into() } else { format!("it begins with {}", names.join(", ")) };
    format!("no ResNet, ConvNeXt or vision transformer by any known names; {what}")
}

/// What tells the tensors that were found from those that a network has; `shown` is what their file calls ours.
fn differences(found: &Shapes, expected: &Shapes, shown: &dyn Fn(&str) -> String) -> Option<String> {
    let some = |names: Vec<&String>| {
        let mut text =
            names.iter().take(SHOWN).map(|name| shown(name).escape_debug().to_string()).collect::<Vec<_>>().join(", ");
        if names.len() > SHOWN {
            let _ = write!(text, " and {} more", names.len() - SHOWN);
        }
        text
    };
    let missing: Vec<&String> = expected.keys().filter(|name| !found.contains_key(*name)).collect();
    let besides: Vec<&String> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    let other = expected.iter().find(|(name, shape)| found.get(*name).is_some_and(|found| found != *shape));
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("it lacks {}", some(missing)));
    }
    if !besides.is_empty() {
        parts.push(format!("it has {} besides", some(besides)));
    }
    if let Some((name, shape)) = other {
        parts.push(format!("its {} is {:?}, expected {shape:?}", shown(name).escape_debug(), found[name]));
    }
    (!parts.is_empty()).then(|| parts.join(", and "))
}

/// Names of the parts of a block's queries, keys and values that some keep apart.
const APART: [&str; 3] = ["q", "k", "v"];

/// Queries, keys and values that are apart, as one.
fn join_shapes(shapes: &mut Shapes) {
    for block in 0.. {
        let part = |part: &str, leaf: &str| format!("blocks.{block}.attn.{part}.{leaf}");
        let mut any = false;
        for leaf in ["weight", "bias"] {
            let parts = APART.map(|name| shapes.get(&part(name, leaf)).cloned());
            if let [Some(q), Some(k), Some(v)] = parts
                && q == k
                && k == v
                && !q.is_empty()
            {
                APART.iter().for_each(|name| drop(shapes.remove(&part(name, leaf))));
                let mut joined = q;
                joined[0] = joined[0].saturating_mul(3);
                shapes.insert(part("qkv", leaf), joined);
                any = true;
            }
        }
        if !any {
            break;
        }
    }
}

/// Gains that stand as a column, for maps whose channels come first, as a vector.
fn flatten_gains(name: &str, shape: &mut Vec<usize>) {
    if name.ends_with(".gamma") && shape.len() == 3 && shape[1..] == [1, 1] {
        shape.truncate(1);
    }
}

/// As [`join_shapes`], of the tensors.
fn join(tensors: &mut BTreeMap<String, Tensor>, depth: usize) {
    for block in 0..depth {
        for leaf in ["weight", "bias"] {
            let name = |part: &str| format!("blocks.{block}.attn.{part}.{leaf}");
            if let [Some(mut q), Some(k), Some(v)] = APART.map(|part| tensors.remove(&name(part))) {
                q.shape[0] *= 3;
                q.values.extend(k.values);
                q.values.extend(v.values);
                tensors.insert(name("qkv"), q);
            }
        }
    }
}

/// Patches to a side, and tokens before those of the patches that have a position.
fn grid(shapes: &Shapes, vit: &Vit) -> Result<(usize, usize), String> {
    let tokens = match shapes.get("pos_embed").map(Vec::as_slice) {
        Some(&[1, tokens, _]) => tokens,
        Some(shape) => return Err(format!("its positions are {shape:?}, expected [1, tokens, {}]", vit.dim)),
        None => {
            return Err(
                "a vision transformer without pos_embed: relative or rotated positions are not known here".into()
            );
        }
    };
    let class = usize::from(vit.class_token);
    let befores = [0, class, class + vit.registers];
    let side = |before: usize| Some(tokens.checked_sub(before)?.isqrt()).filter(|side| side * side + before == tokens);
    let found = befores.into_iter().find_map(|before| Some((side(before).filter(|&side| side > 0)?, before)));
    found.ok_or_else(|| format!("its positions are of {tokens} tokens, whose patches are no square"))
}

/// Positions as the network has them: of the patches, and of the class token where there are no registers.
fn place(tensors: &mut BTreeMap<String, Tensor>, vit: &Vit, side: usize) {
    let (dim, wanted) = (vit.dim, vit.positions_before());
    let Some(mut positions) = tensors.remove("pos_embed") else { return };
    let before = positions.shape[1] - side * side;
    if before != wanted {
        let of_patches = positions.values.split_off(before * dim);
        let mut given = positions.values.chunks_exact(dim);
        for (name, count) in [("cls_token", usize::from(vit.class_token)), ("reg_token", vit.registers)] {
            if let Some(token) = tensors.get_mut(name) {
                for (token, position) in token.values.chunks_exact_mut(dim).take(count).zip(&mut given) {
                    token.iter_mut().zip(position).for_each(|(token, position)| *token += position);
                }
            }
        }
        positions.values = vec![0.0; wanted * dim];
        positions.values.extend(of_patches);
        positions.shape[1] = wanted + side * side;
    }
    tensors.insert("pos_embed".into(), positions);
}

impl About {
    /// Takes the heads that the config tells, and checks that blocks compute what ours do.
    fn check(&self, vit: &mut Vit) -> Result<(), String> {
        let count =
            |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
        let heads =
            count(&self.config["num_attention_heads"]).or_else(|| count(&self.config["model_args"]["num_heads"]));
        if let Some(heads) = heads {
            vit.heads = heads;
        }
        if !vit.dim.is_multiple_of(vit.heads) {
            return Err(format!("{CONFIG} says {} heads, which do not divide its width of {}", vit.heads, vit.dim));
        }
        match self.config["hidden_act"].as_str() {
            None | Some("gelu") => Ok(()),
            Some(other) => {
                let other: String = other.escape_debug().take(50).collect();
                Err(format!("{CONFIG} says that its activation is {other}, and blocks here have gelu"))
            }
        }
    }

    /// Means and deviations of the input's channels.
    fn normalization(&self, channels: usize, report: &mut Report) -> (Vec<f32>, Vec<f32>) {
        let numbers = |value: &Value| {
            let values: Option<Vec<f32>> = value.as_array()?.iter().map(|v| v.as_f64().map(|v| v as f32)).collect();
            values.filter(|values| values.len() == channels && values.iter().all(|value| value.is_finite()))
        };
        let of_timm = &self.config["pretrained_cfg"];
        for (mean, std) in [
            (&of_timm["mean"], &of_timm["std"]),
            (&self.config["mean"], &self.config["std"]),
            (&self.preprocessor["image_mean"], &self.preprocessor["image_std"]),
        ] {
            if let (Some(mean), Some(std)) = (numbers(mean), numbers(std))
                && std.iter().all(|&std| std > 0.0)
            {
                return (mean, std);
            }
        }
        let [mean, std] = IMAGENET.map(|values| match channels {
            3 => values.to_vec(),
            _ => vec![values.iter().sum::<f32>() / 3.0; channels],
        });
        report
            .adapted
            .push(format!("nothing says how its input was normalized: as ImageNet's, mean {mean:?}, std {std:?}"));
        (mean, std)
    }

    /// Side of the input of a network that takes any.
    fn size(&self) -> Option<usize> {
        let side = self.config["pretrained_cfg"]["input_size"].as_array()?.last()?.as_u64()?;
        usize::try_from(side).ok().filter(|side| (4..=4096).contains(side))
    }

    /// How images are resized.
    fn interpolation(&self) -> Option<&'static str> {
        match (self.config["pretrained_cfg"]["interpolation"].as_str(), self.preprocessor["resample"].as_u64()) {
            (Some("bicubic"), _) | (None, Some(3)) => Some("bicubic"),
            (Some("bilinear"), _) | (None, Some(2)) => Some("bilinear"),
            _ => None,
        }
    }
}
