//! The networks as operations.

use super::builder::Builder;
use super::proto::Attribute;
use super::signals;
use super::window::Window;
use crate::network::{ConvNext, Network, Norm, ResNet, Vit};
use crate::tensors::Tensor;
use selfsame_base::DataError;

/// Added to a variance before the root is taken.
const NORM_EPSILON: f32 = 1e-5;
/// The same in a layer norm.
const LAYER_NORM_EPSILON: f32 = 1e-6;
/// Groups of a group norm, fewer when the channels do not divide.
const GROUPS: usize = 32;

/// Names of what a network makes.
pub struct Built {
    /// `h`, `[n, width]`
    pub features: String,
    /// What it is pooled from: a map `[n, width, height, width]` (a ConvNeXt's has its features last; a signal's has height 1), or tokens
    /// `[n, tokens, width]`.
    pub places: Option<String>,
}

impl From<String> for Built {
    fn from(features: String) -> Self {
        Self { features, places: None }
    }
}

/// The features of the normalized images `x`, `[n, channels, height, width]`; of signals the height is 1.
pub fn build(b: &mut Builder, network: &Network, x: &str, size: [usize; 2]) -> Result<Built, DataError> {
    match network {
        Network::ResNet(net) => resnet(b, net, x),
        Network::Vit(net) => vit(b, net, x, size),
        Network::ConvNext(net) => convnext(b, net, x),
        Network::BeliefNetwork { layers } => belief_network(b, *layers, x).map(Built::from),
        Network::Mlp { layers, norm, residual } => mlp(b, *layers, *norm, *residual, x).map(Built::from),
        Network::Tcn(net) => signals::tcn(b, net, x),
        Network::CpcEncoder(net) => signals::cpc_encoder(b, net, x).map(Built::from),
    }
}

/// What `h` is pooled from as rows, `[n, places, width]`, and their width.
///
/// # Errors
/// If the network has a vector all the way.
pub fn tokens(
    b: &mut Builder,
    network: &Network,
    places: Option<String>,
    width: usize,
) -> Result<(String, usize), DataError> {
    let Some(places) = places else {
        let problem = "this encoder has none: it makes one vector of all it sees; drop it";
        return Err(DataError::setting("tokens", problem));
    };
    if let Network::Vit(_) = network {
        return Ok((places, width));
    }
    if let Network::ConvNext(_) = network {
        let rows = b.integers("places.shape", &[0, -1, width as i64]);
        return Ok((b.op("Reshape", &[&places, &rows], &[]), width));
    }
    let rows = b.integers("places.shape", &[0, width as i64, -1]);
    let rows = b.op("Reshape", &[&places, &rows], &[]);
    Ok((b.op("Transpose", &[&rows], &[Attribute::ints("perm", &[0, 2, 1])]), width))
}

fn resnet(b: &mut Builder, net: &ResNet, x: &str) -> Result<Built, DataError> {
    let stride = if net.imagenet_stem { 2 } else { 1 };
    let mut x = conv_norm(b, net.norm, ["conv1", "bn1"], x, &|kernel| net.window(kernel, stride))?;
    x = b.op("Relu", &[&x], &[]);
    if net.imagenet_stem {
        x = b.op("MaxPool", &[&x], &net.window(3, 2).attributes());
    }
    for (stage, &blocks) in net.blocks.iter().enumerate() {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            // The 3×3 of a bottleneck strides, else the first.
            let (convolutions, strided) = if net.bottleneck { (3, 2) } else { (2, 1) };
            let window = |i, kernel| net.window(kernel, if i == strided || i == 0 { stride } else { 1 });
            x = residual(b, net.norm, convolutions, &format!("layer{}.{block}", stage + 1), &x, &window)?;
        }
    }
    let pooled = b.op("GlobalAveragePool", &[&x], &[]);
    let features = b.op("Flatten", &[&pooled], &[Attribute::int("axis", 1)]);
    Ok(Built { features, places: Some(x) })
}

impl ResNet {
    /// Of a convolution padded by half its kernel.
    fn window(&self, kernel: i64, stride: i64) -> Window {
        let padding = kernel / 2;
        match self.in_time {
            false => Window::square(kernel, stride, padding),
            true => Window::in_time(kernel, stride, [padding; 2]),
        }
    }
}

/// `relu(shortcut(x) + f(x))`; `window` is that of the i-th convolution, from 1, by its kernel, and of the shortcut, 0.
pub(super) fn residual(
    b: &mut Builder,
    norm: Norm,
    convolutions: usize,
    name: &str,
    x: &str,
    window: &dyn Fn(usize, i64) -> Window,
) -> Result<String, DataError> {
    let mut y = x.to_owned();
    for i in 1..=convolutions {
        let names = [format!("{name}.conv{i}"), format!("{name}.bn{i}")];
        y = conv_norm(b, norm, names.each_ref().map(String::as_str), &y, &|kernel| window(i, kernel))?;
        if i < convolutions {
            y = b.op("Relu", &[&y], &[]);
        }
    }
    let names = [0, 1].map(|part| format!("{name}.downsample.{part}"));
    let shortcut = match b.has(&format!("{}.weight", names[0])) {
        true => conv_norm(b, norm, names.each_ref().map(String::as_str), x, &|kernel| window(0, kernel))?,
        false => x.to_owned(),
    };
    let sum = b.op("Add", &[&y, &shortcut], &[]);
    Ok(b.op("Relu", &[&sum], &[]))
}

/// A convolution with its norm; `window` is its window, by the length of its kernel.
pub(super) fn conv_norm(
    b: &mut Builder,
    norm: Norm,
    [conv, bn]: [&str; 2],
    x: &str,
    window: &dyn Fn(i64) -> Window,
) -> Result<String, DataError> {
    let weight = b.take(&format!("{conv}.weight"), 4)?;
    let (channels, kernel) = (weight.shape[0], weight.shape[3]);
    let window = window(kernel as i64).attributes();
    if norm == Norm::Batch && b.fold {
        let [weight, bias] = folded(b, weight, conv, bn)?;
        return Ok(b.op("Conv", &[x, &weight, &bias], &window));
    }
    let weight = b.floats(&format!("{conv}.weight"), &weight);
    if norm == Norm::None {
        let bias = b.weight(&format!("{conv}.bias"), 1)?;
        return Ok(b.op("Conv", &[x, &weight, &bias], &window));
    }
    let y = b.op("Conv", &[x, &weight], &window);
    normalized(b, norm, bn, &y, channels, 2)
}

/// Batch norm or group norm of `[n, channels]` with so many `sides` after them.
fn normalized(
    b: &mut Builder,
    norm: Norm,
    bn: &str,
    y: &str,
    channels: usize,
    sides: usize,
) -> Result<String, DataError> {
    let epsilon = Attribute::float("epsilon", NORM_EPSILON);
    if norm == Norm::Batch {
        let [scale, shift, mean, variance] = [
            b.weight(&format!("{bn}.weight"), 1)?,
            b.weight(&format!("{bn}.bias"), 1)?,
            b.weight(&format!("{bn}.running_mean"), 1)?,
            b.weight(&format!("{bn}.running_var"), 1)?,
        ];
        return Ok(b.op("BatchNormalization", &[y, &scale, &shift, &mean, &variance], &[epsilon]));
    }
    // A group is an instance with its channels side by side; the opset has no norm of groups.
    let groups = (1..=GROUPS.min(channels)).rev().find(|groups| channels.is_multiple_of(*groups)).unwrap_or(1);
    let [ones, zeros] = [1.0, 0.0].map(|value| {
        let tensor = Tensor { shape: vec![groups], values: vec![value; groups] };
        b.floats(&format!("groups.{groups}.{value}"), &tensor)
    });
    let grouped_shape = b.integers(&format!("groups.{groups}.shape"), &[0, groups as i64, -1]);
    let shape = b.op("Shape", &[y], &[]);
    let grouped = b.op("Reshape", &[y, &grouped_shape], &[]);
    let normalized = b.op("InstanceNormalization", &[&grouped, &ones, &zeros], &[epsilon]);
    let normalized = b.op("Reshape", &[&normalized, &shape], &[]);
    let [scale, shift] =
        [per_channel(b, &format!("{bn}.weight"), sides)?, per_channel(b, &format!("{bn}.bias"), sides)?];
    let scaled = b.op("Mul", &[&normalized, &scale], &[]);
    Ok(b.op("Add", &[&scaled, &shift], &[]))
}

/// The encoder's vector of that name along the channels, with so many `sides` after them: `[channels, 1, 1]`.
fn per_channel(b: &mut Builder, name: &str, sides: usize) -> Result<String, DataError> {
    let Tensor { mut shape, values } = b.take(name, 1)?;
    shape.resize(1 + sides, 1);
    Ok(b.floats(name, &Tensor { shape, values }))
}

/// Weights `[outputs, …]` of a layer without bias and the batch norm after it as one layer: its weights, and its bias.
fn folded(b: &mut Builder, mut weight: Tensor, layer: &str, bn: &str) -> Result<[String; 2], DataError> {
    let mut part = |name: &str| b.take(&format!("{bn}.{name}"), 1).map(|tensor| tensor.values);
    let (scale, shift, mean, variance) = (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
    let outputs = weight.shape[0];
    if [&scale, &shift, &mean, &variance].iter().any(|values| values.len() != outputs) {
        return Err(DataError::Data(format!("the weights: {bn} is not of the {outputs} outputs of {layer}")));
    }
    let factors: Vec<f64> = scale
        .iter()
        .zip(&variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + f64::from(NORM_EPSILON)).sqrt())
        .collect();
    let inputs = weight.values.len() / outputs;
    for (row, factor) in weight.values.chunks_exact_mut(inputs.max(1)).zip(&factors) {
        row.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
    }
    let moved = shift.iter().zip(&mean).zip(&factors);
    let bias = moved.map(|((&shift, &mean), factor)| (f64::from(shift) - f64::from(mean) * factor) as f32).collect();
    // A linear layer's product is by the transposed weights.
    let weight = if weight.shape.len() == 2 { weight.transposed() } else { weight };
    Ok([
        b.floats(&format!("{layer}.weight"), &weight),
        b.floats(&format!("{layer}.bias"), &Tensor { shape: vec![outputs], values: bias }),
    ])
}

fn vit(b: &mut Builder, net: &Vit, x: &str, size: [usize; 2]) -> Result<Built, DataError> {
    let (dim, patch) = (net.dim, net.patch_size as i64);
    let [kernel, bias] = [b.weight("patch_embed.proj.weight", 4)?, b.weight("patch_embed.proj.bias", 1)?];
    let window = match net.in_time {
        false => Window::square(patch, patch, 0),
        // The last patch may be cut.
        true => Window::in_time(patch, patch, [0, patch - 1]),
    };
    let patches = b.op("Conv", &[x, &kernel, &bias], &window.attributes());
    let rows = b.integers("patches.shape", &[0, dim as i64, -1]);
    let rows = b.op("Reshape", &[&patches, &rows], &[]);
    let mut tokens = b.op("Transpose", &[&rows], &[Attribute::ints("perm", &[0, 2, 1])]);

    let Tensor { shape, values: mut positions } = b.take("pos_embed", 3)?;
    let [down, across] =
        if net.in_time { [1, size[1].div_ceil(net.patch_size)] } else { size.map(|side| side / net.patch_size) };
    let (own, before) = (down * across, net.positions_before());
    let expected = [1, own + before, dim];
    if shape != expected {
        return Err(DataError::Data(format!("the weights: pos_embed is {shape:?}, expected {expected:?}")));
    }
    let of_patches = positions.split_off(positions.len() - own * dim);
    let mut of_patches = b.floats("pos_embed.patches", &Tensor { shape: vec![1, own, dim], values: of_patches });
    if net.in_time {
        // A shorter signal has the first of them.
        let count = b.op("Shape", &[&tokens], &[Attribute::int("start", 1), Attribute::int("end", 2)]);
        let [from, axis] = [0, 1].map(|value| b.integers(&format!("patches.{value}"), &[value]));
        of_patches = b.op("Slice", &[&of_patches, &from, &count, &axis], &[]);
    }
    tokens = b.op("Add", &[&tokens, &of_patches], &[]);
    let mut first: Vec<f32> = Vec::new();
    if net.class_token {
        first = b.take("cls_token", 3)?.values;
        first.iter_mut().zip(&positions).for_each(|(class, position)| *class += position);
    }
    if net.registers > 0 {
        first.extend(b.take("reg_token", 3)?.values);
    }
    if !first.is_empty() {
        let count = first.len() / dim;
        let class = b.floats("cls_token", &Tensor { shape: vec![1, count, dim], values: first });
        let batch = b.op("Shape", &[&tokens], &[Attribute::int("start", 0), Attribute::int("end", 1)]);
        let one_token = b.integers("cls_token.shape", &[count as i64, dim as i64]);
        let shape = b.op("Concat", &[&batch, &one_token], &[Attribute::int("axis", 0)]);
        let class = b.op("Expand", &[&class, &shape], &[]);
        tokens = b.op("Concat", &[&class, &tokens], &[Attribute::int("axis", 1)]);
    }
    for block in 0..net.depth {
        tokens = transformer_block(b, net, &format!("blocks.{block}"), &tokens)?;
    }
    let encoded = layer_norm(b, "norm", &tokens)?;
    if net.class_token {
        let first = b.index("cls_token.index", 0);
        let features = b.op("Gather", &[&encoded, &first], &[Attribute::int("axis", 1)]);
        return Ok(Built { features, places: Some(encoded) });
    }
    let mut of_patches = encoded.clone();
    if net.registers > 0 {
        let ends = [net.registers as i64, i64::MAX, 1].map(|value| b.integers(&format!("patches.{value}"), &[value]));
        let [from, to, axis] = &ends;
        of_patches = b.op("Slice", &[&of_patches, from, to, axis], &[]);
    }
    let features = b.op("ReduceMean", &[&of_patches], &[Attribute::ints("axes", &[1]), Attribute::int("keepdims", 0)]);
    Ok(Built { features, places: Some(encoded) })
}

fn convnext(b: &mut Builder, net: &ConvNext, x: &str) -> Result<Built, DataError> {
    let patch = net.patch_size as i64;
    // Norms and MLPs want the features last, convolutions second.
    let [last, second] = [[0, 2, 3, 1], [0, 3, 1, 2]].map(|order| [Attribute::ints("perm", &order)]);
    let convolution = |b: &mut Builder, name: &str, x: &str, attributes: &[Attribute]| {
        let [kernel, bias] = [b.weight(&format!("{name}.weight"), 4)?, b.weight(&format!("{name}.bias"), 1)?];
        let y = b.op("Conv", &[x, &kernel, &bias], attributes);
        Ok::<_, DataError>(b.op("Transpose", &[&y], &last))
    };
    let mut x = convolution(b, "stem.0", x, &Window::square(patch, patch, 0).attributes())?;
    x = layer_norm(b, "stem.1", &x)?;
    for (stage, (&depth, &width)) in net.depths.iter().zip(&net.widths).enumerate() {
        if stage > 0 {
            let name = format!("stages.{stage}.downsample");
            let normalized = layer_norm(b, &format!("{name}.0"), &x)?;
            let map = b.op("Transpose", &[&normalized], &second);
            x = convolution(b, &format!("{name}.1"), &map, &Window::square(2, 2, 0).attributes())?;
        }
        for block in 0..depth {
            let name = format!("stages.{stage}.blocks.{block}");
            let map = b.op("Transpose", &[&x], &second);
            let mut depthwise = Window::square(7, 1, 3).attributes();
            depthwise.push(Attribute::int("group", width as i64));
            let filtered = convolution(b, &format!("{name}.conv_dw"), &map, &depthwise)?;
            let normalized = layer_norm(b, &format!("{name}.norm"), &filtered)?;
            let hidden = linear(b, &format!("{name}.mlp.fc1"), &normalized)?;
            let hidden = gelu(b, &hidden);
            let processed = linear(b, &format!("{name}.mlp.fc2"), &hidden)?;
            let processed = scaled(b, &format!("{name}.gamma"), &processed)?;
            x = b.op("Add", &[&x, &processed], &[]);
        }
    }
    let mean = b.op("ReduceMean", &[&x], &[Attribute::ints("axes", &[1, 2]), Attribute::int("keepdims", 0)]);
    Ok(Built { features: layer_norm(b, "head.norm", &mean)?, places: Some(x) })
}

/// `x + attention(norm1(x))`, then `x + mlp(norm2(x))`
fn transformer_block(b: &mut Builder, net: &Vit, name: &str, x: &str) -> Result<String, DataError> {
    let (heads, width) = (net.heads as i64, (net.dim / net.heads) as i64);
    let normalized = layer_norm(b, &format!("{name}.norm1"), x)?;
    let qkv = linear(b, &format!("{name}.attn.qkv"), &normalized)?;
    let parts: [String; 3] = b.op_of("Split", &[&qkv], &[Attribute::int("axis", -1)]);
    let by_head = b.integers("heads.shape", &[0, 0, heads, width]);
    // Rows of a head: tokens for queries and values, features for keys.
    let orders = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]];
    let [queries, keys, values] = std::array::from_fn(|i| {
        let part = b.op("Reshape", &[&parts[i], &by_head], &[]);
        b.op("Transpose", &[&part], &[Attribute::ints("perm", &orders[i])])
    });
    let scale = b.float("heads.scale", 1.0 / (width as f32).sqrt());
    let queries = b.op("Mul", &[&queries, &scale], &[]);
    let scores = b.op("MatMul", &[&queries, &keys], &[]);
    let shares = b.op("Softmax", &[&scores], &[Attribute::int("axis", -1)]);
    let attended = b.op("MatMul", &[&shares, &values], &[]);
    let attended = b.op("Transpose", &[&attended], &[Attribute::ints("perm", &[0, 2, 1, 3])]);
    let side_by_side = b.integers("tokens.shape", &[0, 0, net.dim as i64]);
    let attended = b.op("Reshape", &[&attended, &side_by_side], &[]);
    let mut attended = linear(b, &format!("{name}.attn.proj"), &attended)?;
    if net.layer_scale {
        attended = scaled(b, &format!("{name}.ls1.gamma"), &attended)?;
    }
    let x = b.op("Add", &[x, &attended], &[]);

    let normalized = layer_norm(b, &format!("{name}.norm2"), &x)?;
    let hidden = linear(b, &format!("{name}.mlp.fc1"), &normalized)?;
    let hidden = gelu(b, &hidden);
    let mut processed = linear(b, &format!("{name}.mlp.fc2"), &hidden)?;
    if net.layer_scale {
        processed = scaled(b, &format!("{name}.ls2.gamma"), &processed)?;
    }
    Ok(b.op("Add", &[&x, &processed], &[]))
}

/// `gamma · x`
fn scaled(b: &mut Builder, name: &str, x: &str) -> Result<String, DataError> {
    let gamma = b.weight(name, 1)?;
    Ok(b.op("Mul", &[x, &gamma], &[]))
}

/// `x / 2 · (1 + erf(x / √2))`
fn gelu(b: &mut Builder, x: &str) -> String {
    let root = b.float("gelu.root", std::f32::consts::SQRT_2);
    let [one, half] = [b.float("gelu.one", 1.0), b.float("gelu.half", 0.5)];
    let share = b.op("Div", &[x, &root], &[]);
    let share = b.op("Erf", &[&share], &[]);
    let share = b.op("Add", &[&share, &one], &[]);
    let product = b.op("Mul", &[x, &share], &[]);
    b.op("Mul", &[&product, &half], &[])
}

fn layer_norm(b: &mut Builder, name: &str, x: &str) -> Result<String, DataError> {
    let [scale, shift] = [b.weight(&format!("{name}.weight"), 1)?, b.weight(&format!("{name}.bias"), 1)?];
    let attributes = [Attribute::int("axis", -1), Attribute::float("epsilon", LAYER_NORM_EPSILON)];
    Ok(b.op("LayerNormalization", &[x, &scale, &shift], &attributes))
}

/// `x · weightᵀ + bias` along the last axis.
fn linear(b: &mut Builder, name: &str, x: &str) -> Result<String, DataError> {
    let weight = b.take(&format!("{name}.weight"), 2)?.transposed();
    let weight = b.floats(&format!("{name}.weight"), &weight);
    let bias = b.weight(&format!("{name}.bias"), 1)?;
    let product = b.op("MatMul", &[x, &weight], &[]);
    Ok(b.op("Add", &[&product, &bias], &[]))
}

/// Layers of `relu(norm(x · weightᵀ))` on vectors, which from the second on may add to what they were given.
fn mlp(b: &mut Builder, layers: usize, norm: Norm, residual: bool, x: &str) -> Result<String, DataError> {
    let mut x = x.to_owned();
    for layer in 0..layers {
        let name = format!("layers.{layer}");
        let mut y = if norm == Norm::None {
            linear(b, &format!("{name}.linear"), &x)?
        } else {
            let (linear, bn) = (format!("{name}.linear"), format!("{name}.norm"));
            let weight = b.take(&format!("{linear}.weight"), 2)?;
            let width = weight.shape[0];
            if norm == Norm::Batch && b.fold {
                let [weight, bias] = folded(b, weight, &linear, &bn)?;
                let product = b.op("MatMul", &[&x, &weight], &[]);
                b.op("Add", &[&product, &bias], &[])
            } else {
                let weight = b.floats(&format!("{linear}.weight"), &weight.transposed());
                let product = b.op("MatMul", &[&x, &weight], &[]);
                normalized(b, norm, &bn, &product, width, 0)?
            }
        };
        if residual && layer > 0 {
            y = b.op("Add", &[&y, &x], &[]);
        }
        x = b.op("Relu", &[&y], &[]);
    }
    Ok(x)
}

/// Layers of sigmoids on pixels row by row, channels fastest; the means of all layers side by side.
fn belief_network(b: &mut Builder, layers: usize, x: &str) -> Result<String, DataError> {
    let [scale, shift] = [per_channel(b, "scale", 2)?, per_channel(b, "shift", 2)?];
    let x = b.op("Mul", &[x, &scale], &[]);
    let x = b.op("Add", &[&x, &shift], &[]);
    let x = b.op("Transpose", &[&x], &[Attribute::ints("perm", &[0, 2, 3, 1])]);
    let mut below = b.op("Flatten", &[&x], &[Attribute::int("axis", 1)]);
    let mut means = Vec::new();
    for layer in 0..layers {
        let sums = linear(b, &format!("layers.{layer}"), &below)?;
        below = b.op("Sigmoid", &[&sums], &[]);
        means.push(below.clone());
    }
    let means: Vec<&str> = means.iter().map(String::as_str).collect();
    Ok(b.op("Concat", &means, &[Attribute::int("axis", 1)]))
}
