//! What another tool computes with a graph: [tract](https://github.com/sonos/tract), whose code shares nothing with ours.

use super::proto::Model;
use prost::Message;
use selfsame_base::DataError;
use tract_onnx::prelude::*;

/// What a graph is given, `[n, …]`.
#[derive(Clone, Copy, Debug)]
pub enum Samples<'a> {
    /// Of [`Input::Float`](crate::Input::Float).
    Floats(&'a [f32]),
    /// Of [`Input::U8`](crate::Input::U8).
    Bytes(&'a [u8]),
}

/// The outputs of a graph, by name, for samples of this shape.
///
/// # Errors
/// If tract cannot read or run it.
pub fn run(graph: &Model, samples: Samples, shape: &[usize]) -> Result<Vec<(String, Vec<f32>)>, DataError> {
    outputs(graph, samples, shape).map_err(|error| DataError::Data(format!("tract cannot run the graph: {error:#}")))
}

fn outputs(graph: &Model, samples: Samples, shape: &[usize]) -> TractResult<Vec<(String, Vec<f32>)>> {
    let (given, kind) = match samples {
        Samples::Floats(values) => (Tensor::from_shape(shape, values)?, f32::datum_type()),
        Samples::Bytes(values) => (Tensor::from_shape(shape, values)?, u8::datum_type()),
    };
    let fact = InferenceFact::dt_shape(kind, shape);
    let model = onnx().model_for_read(&mut graph.encode_to_vec().as_slice())?.with_input_fact(0, fact)?;
    let names = graph.graph.iter().flat_map(|graph| graph.output.iter().map(|port| port.name.clone()));
    let computed = model.into_optimized()?.into_runnable()?.run(tvec!(given.into()))?;
    names
        .zip(computed)
        .map(|(name, values)| Ok((name, values.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())))
        .collect()
}
