//! An ONNX graph (opset 17), from pixels to `h`: normalization included, any batch, any side where the network allows it. Signals become
//! maps of height 1.

mod builder;
mod networks;
pub mod proto;
#[cfg(feature = "tract")]
pub mod runtime;
mod signals;
mod window;

use crate::network::Network;
use crate::tensors::Tensor;
use crate::{Encoder, File, Graph as Asked, Head, Input, Reading, Sample, card};
use builder::Builder;
use networks::Built;
use prost::Message;
use proto::{Attribute, Axis, FLOAT, Graph, Model, OperatorSet, Port, Property, UINT8};
use selfsame_base::DataError;

/// The operator set: the first with layer normalization.
const OPSET: i64 = 17;
/// The version of the format that came with it.
const IR_VERSION: i64 = 8;
/// A deviation that is a smaller share of its mean is none (as `standardize` of selfsame-data's signals has it).
const CONSTANT: f32 = 1e-6;
/// Values that a file holds at most: protobuf ends at 2 GiB, and the graph needs some of it.
const MOST_VALUES: usize = (1 << 29) - (1 << 20);

/// What is given.
pub const IMAGES: &str = "images";
/// The same, where a sample is a vector.
pub const VECTORS: &str = "vectors";
/// The same, where a sample is a signal.
pub const SIGNALS: &str = "signals";
/// What is asked for.
pub const FEATURES: &str = "h";
/// The rows that `h` is made of, on request.
pub const TOKENS: &str = "tokens";
/// What a head gives.
pub const LOGITS: &str = "logits";
/// The probabilities that it stands for.
pub const PROBABILITIES: &str = "probabilities";
/// What a head gives that tells numbers.
pub const NUMBERS: &str = "numbers";

/// The files of an ONNX folder.
pub(crate) fn files(encoder: Encoder, asked: Asked) -> Result<Vec<File>, DataError> {
    let name = name_of_input(&encoder.sample);
    let given = match (&encoder.sample, asked.input) {
        (Sample::Vector, _) => "numbers `[n, features]`, columns as the encoder was fed them, not yet normalized",
        (Sample::Signal { .. }, _) => "numbers `[n, steps, channels]`, signals of one length, not yet normalized",
        (_, Input::Float) => "numbers `[n, channels, height, width]` on the scale below, not yet normalized",
        (_, Input::U8) => "bytes `[n, height, width, channels]`",
    };
    let (wanted, more) = match &encoder.head {
        None => (FEATURES, String::new()),
        Some(Head { names, reading: Reading::Numbers, .. }) => {
            (NUMBERS, format!(", `{NUMBERS}` are `[n, {}]`", names.len()))
        }
        Some(Head { names, .. }) => (
            PROBABILITIES,
            format!(", `{LOGITS}` and `{PROBABILITIES}`, the temperature applied, are `[n, {}]`", names.len()),
        ),
    };
    let tokens = match asked.tokens {
        true => format!(", `{TOKENS}` are what it is made of, `[n, places, features]`"),
        false => String::new(),
    };
    let usage = format!(
        "`{name}` are {given}; `{FEATURES}` is `[n, {}]`{tokens}{more}. Normalization is in the graph. Tested with \
         onnxruntime 1.32.0:\n\n\
         ```python\nimport onnxruntime\n\nsession = onnxruntime.InferenceSession(\"model.onnx\")\n\
         {wanted}, = session.run([\"{wanted}\"], {{\"{name}\": {name}}})\n```\n",
        encoder.width
    );
    let card = card::page(&encoder, "onnx", &usage);
    Ok(vec![("README.md", card.into_bytes()), ("model.onnx", model(encoder, asked)?.encode_to_vec())])
}

/// The name of what is given.
fn name_of_input(sample: &Sample) -> &'static str {
    match sample {
        Sample::Image | Sample::Sound(_) => IMAGES,
        Sample::Vector => VECTORS,
        Sample::Signal { .. } => SIGNALS,
    }
}

/// The graph of an encoder.
///
/// # Errors
/// If it has no mapping, or is too large for a file.
pub fn model(encoder: Encoder, asked: Asked) -> Result<Model, DataError> {
    let network = Network::of(&encoder)?;
    let Encoder { sample, channels, size, mean, std, range, width, tensors, origin, backbone, head, .. } = encoder;
    let input = asked.input;
    if tensors.count() > MOST_VALUES {
        let problem = format!("onnx holds {MOST_VALUES} values at most, and {} has {}", backbone.name, tensors.count());
        return Err(DataError::setting("format", problem));
    }
    if input == Input::U8 && range != [0.0, 1.0] {
        let problem = format!("u8 is for encoders of numbers 0..1, and this one was trained on {range:?}; drop it");
        return Err(DataError::setting("input", problem));
    }
    let name = name_of_input(&sample);
    if input == Input::U8 && name != IMAGES {
        return Err(DataError::setting("input", format!("u8 is for images, and this encoder takes {name}; drop it")));
    }
    let mut builder = Builder::new(tensors, asked.fold);
    let normalized = match sample {
        Sample::Vector => {
            let x = normalized(&mut builder, VECTORS, &mean, &std, &[]);
            // Which sees them as images of one pixel.
            match network {
                Network::BeliefNetwork { .. } => as_map(&mut builder, &x, [channels as i64, 1, 1]),
                _ => x,
            }
        }
        Sample::Signal { by_itself, .. } => signal(&mut builder, &mean, &std, by_itself),
        Sample::Image | Sample::Sound(_) => normalization(&mut builder, &mean, &std, input),
    };
    let Built { features, places } = networks::build(&mut builder, &network, &normalized, size)?;
    builder.check_complete()?;
    builder.rename(&features, FEATURES);
    let rows = |name: &str, width: usize| Port::new(name, FLOAT, vec!["n".into(), width.into()]);
    let mut output = vec![rows(FEATURES, width)];
    if asked.tokens {
        let (tokens, width) = networks::tokens(&mut builder, &network, places, width)?;
        builder.rename(&tokens, TOKENS);
        output.push(Port::new(TOKENS, FLOAT, vec!["n".into(), "places".into(), width.into()]));
    }
    if let Some(head) = &head {
        output.extend(read_off(&mut builder, head).into_iter().map(|name| rows(name, head.names.len())));
    }

    let is_bound = matches!(network, Network::Vit(_) | Network::BeliefNetwork { .. });
    let side = |name: &str, own: usize| -> Axis { if is_bound { own.into() } else { name.into() } };
    let (height, spread) = (side("height", size[0]), side("width", size[1]));
    let (kind, axes) = match (name, input) {
        (VECTORS, _) => (FLOAT, vec![channels.into()]),
        (SIGNALS, _) => (FLOAT, vec!["steps".into(), channels.into()]),
        (_, Input::Float) => (FLOAT, vec![channels.into(), height, spread]),
        (_, Input::U8) => (UINT8, vec![height, spread, channels.into()]),
    };
    let given = Port::new(name, kind, [vec!["n".into()], axes].concat());
    let property = |key: &str, value: &str| Property { key: format!("selfsame.{key}"), value: value.into() };
    let names = head.map(|head| property("names", &serde_json::json!(head.names).to_string()));
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "selfsame".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(Graph {
            node: builder.nodes,
            name: backbone.name.clone(),
            initializer: builder.constants,
            input: vec![given],
            output,
        }),
        opset_import: vec![OperatorSet { version: OPSET }],
        metadata_props: [("method", &origin.method), ("backbone", &backbone.name), ("plan", &origin.plan)]
            .map(|(key, value)| property(key, value))
            .into_iter()
            .chain(names)
            .collect(),
    })
}

/// What a head gives of `h`, and what that stands for: the names of the outputs.
fn read_off(builder: &mut Builder, head: &Head) -> Vec<&'static str> {
    let weight = builder.floats("head.weight", &head.weight.transposed());
    let bias = builder.floats("head.bias", &head.bias);
    let product = builder.op("MatMul", &[FEATURES, &weight], &[]);
    let outputs = builder.op("Add", &[&product, &bias], &[]);
    let activation = match head.reading {
        Reading::Numbers => {
            builder.rename(&outputs, NUMBERS);
            return vec![NUMBERS];
        }
        Reading::Classes => ("Softmax", vec![Attribute::int("axis", -1)]),
        Reading::Labels => ("Sigmoid", Vec::new()),
    };
    builder.rename(&outputs, LOGITS);
    let temperature = builder.float("head.temperature", head.temperature);
    let scaled = builder.op("Div", &[LOGITS, &temperature], &[]);
    let probabilities = builder.op(activation.0, &[&scaled], &activation.1);
    builder.rename(&probabilities, PROBABILITIES);
    vec![LOGITS, PROBABILITIES]
}

/// Signals, first normalized `by_itself` if so, as maps `[n, channels, 1, steps]` of `(x − mean) / std`.
fn signal(builder: &mut Builder, mean: &[f32], std: &[f32], by_itself: bool) -> String {
    let mut x = SIGNALS.to_owned();
    if by_itself {
        let over_time = [Attribute::ints("axes", &[1]), Attribute::int("keepdims", 1)];
        let mean = builder.op("ReduceMean", &[&x], &over_time);
        let centered = builder.op("Sub", &[&x, &mean], &[]);
        let squares = builder.op("Mul", &[&centered, &centered], &[]);
        let variance = builder.op("ReduceMean", &[&squares], &over_time);
        let deviation = builder.op("Sqrt", &[&variance], &[]);
        // Of a constant channel 0 is left: what a number as large divides.
        let (share, large) = (builder.float("input.constant", CONSTANT), builder.float("input.large", f32::MAX));
        let size = builder.op("Abs", &[&mean], &[]);
        let bound = builder.op("Mul", &[&size, &share], &[]);
        let varies = builder.op("Greater", &[&deviation, &bound], &[]);
        let divisor = builder.op("Where", &[&varies, &deviation, &large], &[]);
        x = builder.op("Div", &[&centered, &divisor], &[]);
    }
    let x = normalized(builder, &x, mean, std, &[]);
    let x = builder.op("Transpose", &[&x], &[Attribute::ints("perm", &[0, 2, 1])]);
    as_map(builder, &x, [mean.len() as i64, 1, -1])
}

/// `x` as maps `[n, …]` of that shape.
fn as_map(builder: &mut Builder, x: &str, shape: [i64; 3]) -> String {
    let shape = builder.integers("input.shape", &[&[0], &shape[..]].concat());
    builder.op("Reshape", &[x, &shape], &[])
}

/// `(x − mean) / std` per channel, `[n, channels, height, width]`.
fn normalization(builder: &mut Builder, mean: &[f32], std: &[f32], input: Input) -> String {
    let (white, images) = match input {
        Input::Float => (1.0, IMAGES.to_owned()),
        Input::U8 => {
            let numbers = builder.op("Cast", &[IMAGES], &[Attribute::int("to", FLOAT.into())]);
            (255.0, builder.op("Transpose", &[&numbers], &[Attribute::ints("perm", &[0, 3, 1, 2])]))
        }
    };
    let scaled = |values: &[f32]| values.iter().map(|value| value * white).collect::<Vec<f32>>();
    normalized(builder, &images, &scaled(mean), &scaled(std), &[1, 1])
}

/// `(x − mean) / std` along the channels, which the axes `sides` follow.
fn normalized(builder: &mut Builder, x: &str, mean: &[f32], std: &[f32], sides: &[usize]) -> String {
    let per_channel = |values: &[f32]| Tensor { shape: [&[values.len()], sides].concat(), values: values.to_vec() };
    let (mean, std) = (per_channel(mean), per_channel(std));
    let (mean, std) = (builder.floats("input.mean", &mean), builder.floats("input.std", &std));
    let centered = builder.op("Sub", &[x, &mean], &[]);
    builder.op("Div", &[&centered, &std], &[])
}
