//! Networks that are for signals alone, as operations on maps `[n, channels, 1, steps]`.

use super::builder::Builder;
use super::networks::{Built, conv_norm, residual};
use super::proto::Attribute;
use super::window::Window;
use crate::network::{CpcEncoder, StepPool, Tcn};
use crate::tensors::Tensor;
use selfsame_base::DataError;

/// Gates of a recurrent unit.
const GATES: usize = 3;

/// Residual blocks of dilated convolutions.
pub fn tcn(b: &mut Builder, net: &Tcn, x: &str) -> Result<Built, DataError> {
    let Tensor { mut shape, values } = b.take("input.weight", 2)?;
    shape.resize(4, 1);
    let weight = b.floats("input.weight", &Tensor { shape, values });
    let bias = b.weight("input.bias", 1)?;
    let mut x = b.op("Conv", &[x, &weight, &bias], &[]);
    for block in 0..net.depth {
        let window = |_, kernel| {
            let after = if net.causal { 0 } else { (kernel - 1) / 2 };
            Window::in_time(kernel, 1, [kernel - 1 - after, after]).dilated(if kernel == 1 { 1 } else { 1 << block })
        };
        x = residual(b, net.norm, 2, &format!("blocks.{block}"), &x, &window)?;
    }
    Ok(Built { features: pooled(b, net.pool, &x), places: Some(x) })
}

/// Strided convolutions, and a recurrent network that reads what they give.
pub fn cpc_encoder(b: &mut Builder, net: &CpcEncoder, x: &str) -> Result<String, DataError> {
    let mut x = x.to_owned();
    for (layer, &stride) in net.strides.iter().enumerate() {
        let (names, stride) = ([0, 1].map(|part| format!("layers.{layer}.{part}")), stride as i64);
        // The stretch before and its own, of which the last may be short.
        let window = |kernel| Window::in_time(kernel, stride, [stride, stride - 1]);
        let y = conv_norm(b, net.norm, names.each_ref().map(String::as_str), &x, &window)?;
        x = b.op("Relu", &[&y], &[]);
    }
    if net.recurrent {
        x = gru(b, &x)?;
    }
    Ok(pooled(b, net.pool, &x))
}

/// The states of a gated recurrent unit: `[n, channels, 1, steps]` to `[n, width, 1, steps]`.
fn gru(b: &mut Builder, x: &str) -> Result<String, DataError> {
    let map = |b: &mut Builder, name: &str| {
        let [weight, bias] = [b.take(&format!("gru.{name}.weight"), 2)?, b.take(&format!("gru.{name}.bias"), 1)?];
        Ok::<_, DataError>((weight.shape[1], in_their_order(weight.values), in_their_order(bias.values)))
    };
    let (inputs, of_input, mut biases) = map(b, "input")?;
    let (width, of_state, more) = map(b, "hidden")?;
    biases.extend(more);
    let mut constant = |name: &str, shape: &[usize], values| {
        let shape = [&[1], shape].concat();
        b.floats(&format!("gru.{name}"), &Tensor { shape, values })
    };
    let of_input = constant("input", &[GATES * width, inputs], of_input);
    let of_state = constant("hidden", &[GATES * width, width], of_state);
    let biases = constant("bias", &[2 * GATES * width], biases);
    let steps = b.op("Transpose", &[x], &[Attribute::ints("perm", &[3, 2, 0, 1])]);
    let rows = b.integers("gru.shape", &[0, -1, inputs as i64]);
    let steps = b.op("Reshape", &[&steps, &rows], &[]); // [steps, n, channels]
    let settings = [Attribute::int("hidden_size", width as i64), Attribute::int("linear_before_reset", 1)];
    let states = b.op("GRU", &[&steps, &of_input, &of_state, &biases], &settings); // [steps, 1, n, width]
    Ok(b.op("Transpose", &[&states], &[Attribute::ints("perm", &[2, 3, 1, 0])]))
}

/// The gates' rows: ours are reset, update and new state; theirs begin with the update.
fn in_their_order(mut values: Vec<f32>) -> Vec<f32> {
    let gate = values.len() / GATES;
    values[..2 * gate].rotate_left(gate);
    values
}

/// `[n, channels, 1, steps]` to `[n, channels]`.
fn pooled(b: &mut Builder, pool: StepPool, x: &str) -> String {
    let pooled = match pool {
        StepPool::Mean => b.op("GlobalAveragePool", &[x], &[]),
        StepPool::Max => b.op("GlobalMaxPool", &[x], &[]),
        StepPool::Last => {
            let [from, to, axis] = [("from", -1), ("to", i64::MAX), ("axis", 3)]
                .map(|(name, value)| b.integers(&format!("last.{name}"), &[value]));
            b.op("Slice", &[x, &from, &to, &axis], &[])
        }
    };
    b.op("Flatten", &[&pooled], &[Attribute::int("axis", 1)])
}
