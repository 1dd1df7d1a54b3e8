//! An ONNX graph (opset 17), from pixels to `h`: normalization included, any batch, any side where the network allows it.

mod builder;
mod networks;
pub mod proto;

use crate::network::Network;
use crate::tensors::Tensor;
use crate::{Encoder, File, Input, card};
use builder::Builder;
use prost::Message;
use proto::{Attribute, Axis, FLOAT, Graph, Model, OperatorSet, Port, Property, UINT8};
use selfsame_base::DataError;

/// The operator set: the first with layer normalization.
const OPSET: i64 = 17;
/// The version of the format that came with it.
const IR_VERSION: i64 = 8;
/// Values that a file holds at most: protobuf ends at 2 GiB, and the graph needs some of it.
const MOST_VALUES: usize = (1 << 29) - (1 << 20);

/// What is given.
pub const IMAGES: &str = "images";
/// The same, where a sample is a vector.
pub const VECTORS: &str = "vectors";
/// What is asked for.
pub const FEATURES: &str = "h";

/// The files of an ONNX folder.
pub(crate) fn files(encoder: Encoder, input: Input) -> Result<Vec<File>, DataError> {
    let is_vector = matches!(Network::of(&encoder)?, Network::Mlp { .. });
    let name = if is_vector { VECTORS } else { IMAGES };
    let given = match input {
        Input::Float if is_vector => "numbers `[n, features]`, columns as the encoder was fed them, not yet normalized",
        Input::Float => "numbers `[n, channels, height, width]` on the scale below, not yet normalized",
        Input::U8 => "bytes `[n, height, width, channels]`",
    };
    let usage = format!(
        "`{name}` are {given}; `{FEATURES}` is `[n, {}]`. Normalization is in the graph. Tested with onnxruntime 1.32.0:\n\n\
         ```python\nimport onnxruntime\n\nsession = onnxruntime.InferenceSession(\"model.onnx\")\n\
         h, = session.run([\"{FEATURES}\"], {{\"{name}\": {name}}})\n```\n",
        encoder.width
    );
    let card = card::page(&encoder, "onnx", &usage);
    Ok(vec![("README.md", card.into_bytes()), ("model.onnx", model(encoder, input)?.encode_to_vec())])
}

/// The graph of an encoder.
///
/// # Errors
/// If it has no mapping, or is too large for a file.
pub fn model(encoder: Encoder, input: Input) -> Result<Model, DataError> {
    let network = Network::of(&encoder)?;
    let Encoder { channels, size, mean, std, range, width, tensors, origin, backbone, .. } = encoder;
    if tensors.count() > MOST_VALUES {
        let problem = format!("onnx holds {MOST_VALUES} values at most, and {} has {}", backbone.name, tensors.count());
        return Err(DataError::setting("format", problem));
    }
    if input == Input::U8 && range != [0.0, 1.0] {
        let problem = format!("u8 is for encoders of numbers 0..1, and this one was trained on {range:?}; drop it");
        return Err(DataError::setting("input", problem));
    }
    let is_vector = matches!(network, Network::Mlp { .. });
    if input == Input::U8 && is_vector {
        return Err(DataError::setting("input", "u8 is for images, and this encoder takes vectors; drop it"));
    }
    let mut builder = Builder::new(tensors);
    let normalized = if is_vector {
        normalized(&mut builder, VECTORS, &mean, &std, &[])
    } else {
        normalization(&mut builder, &mean, &std, input)
    };
    let features = networks::build(&mut builder, &network, &normalized, size)?;
    builder.check_complete()?;
    let last = builder.nodes.last_mut().expect("a network has operations");
    assert_eq!(last.output, [features], "the features are computed last");
    last.output = vec![FEATURES.into()];

    let side = |name: &str, own: usize| if matches!(network, Network::ResNet(_)) { name.into() } else { own.into() };
    let (height, spread): (Axis, Axis) = (side("height", size[0]), side("width", size[1]));
    let images = match input {
        Input::Float if is_vector => Port::new(VECTORS, FLOAT, vec!["n".into(), channels.into()]),
        Input::Float => Port::new(IMAGES, FLOAT, vec!["n".into(), channels.into(), height, spread]),
        Input::U8 => Port::new(IMAGES, UINT8, vec!["n".into(), height, spread, channels.into()]),
    };
    let property = |key: &str, value: &str| Property { key: format!("selfsame.{key}"), value: value.into() };
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: "selfsame".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(Graph {
            node: builder.nodes,
            name: backbone.name.clone(),
            initializer: builder.constants,
            input: vec![images],
            output: vec![Port::new(FEATURES, FLOAT, vec!["n".into(), width.into()])],
        }),
        opset_import: vec![OperatorSet { version: OPSET }],
        metadata_props: vec![
            property("method", &origin.method),
            property("backbone", &backbone.name),
            property("plan", &origin.plan),
        ],
    })
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
