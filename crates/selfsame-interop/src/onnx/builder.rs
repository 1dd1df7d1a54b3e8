//! A graph while it is built: an operation takes names of values and gives the name of its result.

use super::proto::{Attribute, Constant, FLOAT, INT64, Node};
use crate::tensors::{Tensor, Tensors};
use selfsame_base::DataError;

/// The operations and constants so far, and the encoder's tensors that are not yet among them.
pub struct Builder {
    tensors: Tensors,
    /// Whether every batch norm goes into the layer before it.
    pub fold: bool,
    /// Operations.
    pub nodes: Vec<Node>,
    /// Constants.
    pub constants: Vec<Constant>,
}

impl Builder {
    /// A graph without operations.
    pub fn new(tensors: Tensors, fold: bool) -> Self {
        Self { tensors, fold, nodes: Vec::new(), constants: Vec::new() }
    }

    /// Gives the value `from`, which an operation makes, another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        let names = self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
        names.filter(|name| *name == from).for_each(|name| *name = to.into());
    }

    /// An operation with one result.
    pub fn op(&mut self, operator: &str, inputs: &[&str], attributes: &[Attribute]) -> String {
        let [output] = self.op_of(operator, inputs, attributes);
        output
    }

    /// An operation with several results.
    pub fn op_of<const N: usize>(&mut self, operator: &str, inputs: &[&str], attributes: &[Attribute]) -> [String; N] {
        let name = format!("{operator}_{}", self.nodes.len());
        let outputs = std::array::from_fn(|i| if N == 1 { name.clone() } else { format!("{name}_{i}") });
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: outputs.to_vec(),
            name,
            op_type: operator.into(),
            attribute: attributes.to_vec(),
        });
        outputs
    }

    /// The encoder's tensor of that name, as it is.
    pub fn weight(&mut self, name: &str, axes: usize) -> Result<String, DataError> {
        let tensor = self.tensors.take(name, axes)?;
        Ok(self.floats(name, &tensor))
    }

    /// The encoder's tensor of that name, for what has to be made of it.
    pub fn take(&mut self, name: &str, axes: usize) -> Result<Tensor, DataError> {
        self.tensors.take(name, axes)
    }

    /// Whether the encoder has a tensor of that name, not yet taken.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains(name)
    }

    /// Checks that no tensor of the encoder was left out.
    pub fn check_complete(&self) -> Result<(), DataError> {
        self.tensors.check_empty()
    }

    /// A constant of numbers.
    pub fn floats(&mut self, name: &str, tensor: &Tensor) -> String {
        self.constant(name, FLOAT, &tensor.shape, tensor.bytes())
    }

    /// A number.
    pub fn float(&mut self, name: &str, value: f32) -> String {
        self.constant(name, FLOAT, &[], value.to_le_bytes().to_vec())
    }

    /// An index.
    pub fn index(&mut self, name: &str, value: i64) -> String {
        self.constant(name, INT64, &[], value.to_le_bytes().to_vec())
    }

    /// A list of integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, INT64, &[values.len()], bytes)
    }

    /// What stands under `name` already is the same: names say what constants hold.
    fn constant(&mut self, name: &str, data_type: i32, shape: &[usize], raw_data: Vec<u8>) -> String {
        if !self.constants.iter().any(|constant| constant.name == name) {
            let dims = shape.iter().map(|&length| length as i64).collect();
            self.constants.push(Constant { dims, data_type, name: name.into(), raw_data });
        }
        name.into()
    }
}
